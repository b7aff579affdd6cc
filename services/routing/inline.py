"""Attachments that come inside the request: matched by their digests, then stored as an upload would be."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from lienthong.errors import InvalidArgument
from lienthong.routing.v1 import submission_pb2

if TYPE_CHECKING:
    from services.routing.attachments import Attachments

MAX_BYTES: Final = 1024 * 1024


def matched(request: submission_pb2.SubmitDocumentRequest) -> dict[bytes, bytes]:
    """The contents by digest; raises INLINE_TOO_LARGE, INLINE_UNUSED or SIZE_MISMATCH, naming the field."""
    contents, attachments = request.inline_contents, request.document.attachments
    size = sum(map(len, contents))
    if size > MAX_BYTES:
        raise InvalidArgument(
            "INLINE_TOO_LARGE",
            "contents in the request are at most 1 MiB together",
            field="inline_contents",
            size_bytes=size,
            limit=MAX_BYTES,
        )
    places = {attachment.sha256: place for place, attachment in enumerate(attachments)}
    found: dict[bytes, bytes] = {}
    for number, content in enumerate(contents):
        digest = hashlib.sha256(content).digest()
        if digest not in places or digest in found:
            raise InvalidArgument(
                "INLINE_UNUSED",
                "no attachment of the document has the SHA-256 of these bytes, or they came before",
                field=f"inline_contents[{number}]",
                sha256=digest.hex(),
            )
        found[digest] = content
    for place, attachment in enumerate(attachments):
        if attachment.size_bytes and attachment.sha256 in found:
            _check_size(attachment.size_bytes, len(found[attachment.sha256]), place)
    return found


def _check_size(declared: int, size: int, place: int) -> None:
    if declared != size:
        raise InvalidArgument(
            "SIZE_MISMATCH",
            "the size differs from the bytes in the request",
            field=f"document.attachments[{place}].size_bytes",
            size_bytes=size,
        )


async def store(attachments: Attachments, contents: dict[bytes, bytes], organization: str) -> None:
    """Store what the organization has not uploaded before. Without a submission the collector takes it."""
    stats = await attachments.stat(sorted(contents), organization)
    lacking = [digest for digest, stat in stats.items() if not (stat.present and stat.granted)]
    await asyncio.gather(*(attachments.write(organization, d, contents[d]) for d in lacking))
