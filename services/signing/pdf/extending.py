"""From B-B to B-T: putting a timestamp token into the space reserved in the last signature, in place.

The token is an unsigned attribute inside /Contents, which the byte range leaves out, so the signature stays
as it is. It works only while nothing was signed after it: a later signature covers these bytes too.
"""

import asyncio
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import cms
from lienthong.errors import FailedPrecondition, InvalidArgument
from pyhanko.pdf_utils.reader import PdfFileReader

from services.signing.domain import Timestamper
from services.signing.pdf.opening import DEFAULT_LIMITS, Limits, opened

_ALGORITHM = "sha256"
_TOKEN = "signature_time_stamp_token"  # noqa: S105  (the name of an attribute)


@dataclass(frozen=True, slots=True)
class PendingStamp:
    """A signature that waits for its token: what to stamp, and where the CMS stands in the file."""

    field: str
    digest: bytes
    offset: int
    digits: int
    content: bytes
    stamped: bool = False


async def extend(source: Path, output: Path, timestamper: Timestamper, field: str | None = None) -> None:
    """Stamp the last signature, which must be `field` if that is named; one that is stamped already stays.

    `output` may be `source`. The authority may take minutes: nothing is held open meanwhile.
    """
    pending = await asyncio.to_thread(pending_stamp, source, field)
    if pending.stamped:
        if output != source:
            await asyncio.to_thread(shutil.copyfile, source, output)
        return
    token = await timestamper.timestamp(pending.digest, _ALGORITHM)
    await asyncio.to_thread(insert_token, source, output, pending, token)


def pending_stamp(source: Path, field: str | None = None, limits: Limits = DEFAULT_LIMITS) -> PendingStamp:
    """Read the last signature of the file, and check that it may still be stamped."""
    with opened(source, limits) as reader:
        return _pending(reader, source.stat().st_size, field)


def insert_token(source: Path, output: Path, pending: PendingStamp, token: bytes) -> None:
    """Write the document with the token in place. Crash-safe: `output` is replaced as a whole."""
    digits = _with_token(pending, token).hex().encode()
    if len(digits) > pending.digits:
        raise FailedPrecondition(
            "STAMP_SPACE_EXHAUSTED", "the token does not fit the reserved space", field=pending.field
        )
    written = output.with_name(output.name + ".stamping")
    try:
        shutil.copyfile(source, written)
        with written.open("r+b") as target:
            target.seek(pending.offset)
            target.write(digits.ljust(pending.digits, b"0"))
        written.replace(output)
    finally:
        written.unlink(missing_ok=True)


def _pending(reader: PdfFileReader, size: int, field: str | None) -> PendingStamp:
    signatures = reader.embedded_regular_signatures
    if not signatures:
        raise FailedPrecondition("DOCUMENT_NOT_SIGNED", "there is no signature to stamp")
    last = signatures[-1]
    _, first, second, rest = (int(part) for part in last.byte_range)
    if (field is not None and last.field_name != field) or second + rest != size:
        raise FailedPrecondition(
            "SIGNATURE_NOT_LAST", "only the last signature can be stamped", field=field or ""
        )
    value = last.signer_info["signature"].native
    return PendingStamp(
        field=last.field_name,
        digest=hashlib.new(_ALGORITHM, value).digest(),
        offset=first + 1,
        digits=second - first - 2,
        content=last.pkcs7_content,
        stamped=any(a["type"].native == _TOKEN for a in last.signer_info["unsigned_attrs"] or ()),
    )


def _with_token(pending: PendingStamp, token: bytes) -> bytes:
    """The CMS with one more unsigned attribute; everything signed is carried over byte by byte."""
    try:
        stamp = cms.ContentInfo.load(token, strict=True)
        imprint = (
            stamp["content"]["encap_content_info"]["content"]
            .parsed["message_imprint"]["hashed_message"]
            .native
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument("TIMESTAMP_INVALID", "the token cannot be read") from error
    if imprint != pending.digest:
        raise InvalidArgument("TIMESTAMP_INVALID", "the token stamps something else")
    content = cms.ContentInfo.load(pending.content)
    signer = content["content"]["signer_infos"][0]
    attributes = list(signer["unsigned_attrs"] or ())
    attributes.append(cms.CMSAttribute({"type": _TOKEN, "values": [stamp]}))
    signer["unsigned_attrs"] = cms.CMSAttributes(attributes)
    return bytes(content.dump())
