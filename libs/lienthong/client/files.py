"""Files on their way to and from a node: in pieces, checked by SHA-256, never whole in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from lienthong.errors import DataLoss, InvalidArgument
from lienthong.signing.v1 import signing_pb2

CHUNK_BYTES: Final = 256 * 1024
# What a file is called while it comes.
PART: Final = ".part"

MEDIA_TYPES: Final = {
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_MAX_NAME_BYTES: Final = 200  # a file system takes 255; room for a number before it
_UNSAFE: Final = re.compile(r'[/\\:*?"<>|]')

M = TypeVar("M")
# An answer that is a chunk, or last the result.
Piece = signing_pb2.PrepareDocumentResponse | signing_pb2.SignDocumentResponse


def media_type_of(path: Path) -> str:
    """By the name's ending; the node looks at the bytes."""
    found = MEDIA_TYPES.get(path.suffix.lower())
    if found is None:
        raise InvalidArgument(
            "ATTACHMENT_FORMAT", "an attachment is a PDF, DOCX, XLSX or PPTX file", name=path.name
        )
    return found


async def sending(
    header: M,
    chunk: Callable[[bytes], M],
    source: Path,
    offset: int = 0,
    sent: Callable[[int], None] | None = None,
) -> AsyncIterator[M]:
    """The header, then the file in pieces from `offset` on; `sent` hears of each when the next is wanted."""
    yield header
    file = await asyncio.to_thread(source.open, "rb")
    try:
        await asyncio.to_thread(file.seek, offset)
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk(piece)
            if sent is not None:
                sent(len(piece))
    finally:
        file.close()


async def receive(pieces: AsyncIterable[Piece], target: Path) -> bytes:
    """Write the chunks to `target`, which appears whole or not at all; the SHA-256 of the result."""
    digest, expected = hashlib.sha256(), b""
    with arriving(target) as file:
        async for piece in pieces:
            if piece.HasField("result"):
                expected = piece.result.sha256
            else:
                digest.update(piece.chunk)
                await asyncio.to_thread(file.write, piece.chunk)
        check_digest(expected, digest.digest(), target.name)
    return expected


@contextmanager
def arriving(target: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when the block ends well; a reader never sees half of it."""
    part = target.with_name(target.name + PART)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            # The node may forget its copy once the recipient confirmed: first it must survive a power cut.
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def safe_name(name: str, taken: set[str]) -> str:
    """A file name from what the sender wrote: no folders, no control characters, none twice."""
    plain = unicodedata.normalize("NFC", name)
    plain = "".join(letter for letter in plain if unicodedata.category(letter)[0] != "C")
    plain = _UNSAFE.sub("_", plain).strip(". ")
    stem, dot, ending = plain.rpartition(".")
    if not dot:
        stem, ending = plain, ""
    stem = stem.encode()[: _MAX_NAME_BYTES - len(ending.encode()[:20])].decode(errors="ignore") or "tep"
    ending = dot + ending.encode()[:20].decode(errors="ignore") if dot else ""
    if ending.casefold() == PART:
        ending += "_"  # or it would pass for the beginning of another file
    number, chosen = 1, stem + ending
    while chosen.casefold() in taken:
        number += 1
        chosen = f"{stem}-{number}{ending}"
    taken.add(chosen.casefold())
    return chosen


def check_digest(expected: bytes, found: bytes, name: str) -> None:
    """Raise DataLoss("DIGEST_MISMATCH") unless the bytes are those that were promised."""
    if expected != found:
        raise DataLoss(
            "DIGEST_MISMATCH",
            "the bytes that came are not those that were promised",
            name=name,
            expected=expected.hex(),
            found=found.hex(),
        )
