"""Making signatures: who may sign now, the personal signature, and what all signatures share.

Every signature first asks whether the certificate may sign now: pyHanko signs with expired and revoked ones
without complaint. All make B-B with room for a token; `extend` makes it B-T when the authority answers.
"""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from lienthong.clock import Clock
from lienthong.errors import DomainError, FailedPrecondition
from lienthong.pki.identity import Identity
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import DOCUMENT_USAGES
from lienthong.times import VIETNAM
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.signers.pdf_signer import PdfSigningSession

from services.signing.domain import (
    LEADER_FIELD,
    Appearance,
    Rectangle,
    SignatureRole,
    Timestamper,
    role_of,
)
from services.signing.pdf import drawings
from services.signing.pdf.active import refuse_active_content
from services.signing.pdf.extending import extend
from services.signing.pdf.opening import form_fields, opened
from services.signing.pdf.placing import rectangle_size, stamp_style
from services.signing.pdf.preparing import page_box, signature_field
from services.signing.pdf.signer import DocumentSigner

# Hexadecimal digits in the file: 16 KiB of CMS, twice what a chain of four and a token with its own need.
RESERVED_DIGITS: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class SigningContext:
    """What every signature needs besides the document: whom we trust, and the time."""

    trust: TrustStore
    clock: Clock


class _TimedSigner(PdfSigner):
    """pyHanko reads the machine's clock; the time of a signature is ours to give."""

    def __init__(self, moment: datetime, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._moment = moment

    def init_signing_session(self, *arguments: Any, **named: Any) -> PdfSigningSession:
        session = super().init_signing_session(*arguments, **named)
        session.system_time = self._moment
        return session


def check_signer(signer: DocumentSigner, context: SigningContext, role: SignatureRole) -> Identity:
    """The identity that signs, or why it may not: SIGNER_CERTIFICATE_EXPIRED, _REVOKED, _UNTRUSTED ..."""
    chain = [certificate.public_bytes(Encoding.DER) for certificate in (signer.certificate, *signer.chain)]
    try:
        leaf = context.trust.verify_der(chain, context.clock.now(), DOCUMENT_USAGES)
        identity = context.trust.identity_of(leaf)
    except DomainError as error:
        subject = error.metadata.get("subject", "")
        raise FailedPrecondition(f"SIGNER_{error.reason}", error.message, subject=subject) from error
    if role_of(identity) is not role:
        raise FailedPrecondition(
            "SIGNER_CERTIFICATE_ROLE", "the certificate is for another role", identity=identity
        )
    return identity


def sign_personal(
    source: Path,
    output: Path,
    signer: DocumentSigner,
    context: SigningContext,
    appearance: Appearance,
    place: Rectangle | None = None,
) -> str:
    """A person's signature (B-B) in the prepared field, else a new one at `place`, else an invisible one.

    Returns the name of the field.
    """
    check_signer(signer, context, SignatureRole.PERSONAL)
    with opened(source) as reader:
        refuse_active_content(reader)
        name, spec = _personal_field(reader, place)
        size = (place.width, place.height) if place else rectangle_size(form_fields(reader).get(name))
        drawing = drawings.personal_signature(appearance, *size) if all(size) else None
        writer = IncrementalPdfFileWriter.from_reader(reader)
        apply_signature(
            writer, output, signer, context.clock.now(), Placed(name, "Ký duyệt", drawing, size, spec)
        )
    return name


async def sign_leader(
    source: Path,
    output: Path,
    signer: DocumentSigner,
    context: SigningContext,
    appearance: Appearance,
    timestamper: Timestamper,
    place: Rectangle | None = None,
) -> str:
    """`sign_personal`, stamped at once (B-T): under the seal it can be stamped no more."""
    name = await asyncio.to_thread(sign_personal, source, output, signer, context, appearance, place)
    try:
        await extend(output, output, timestamper, name)
    except BaseException:
        await asyncio.to_thread(output.unlink, missing_ok=True)
        raise
    return name


@dataclass(frozen=True, slots=True)
class Placed:
    """One signature to make: its field (a new one where `spec` is given), its drawing, what it says."""

    field: str
    statement: str
    drawing: bytes | None
    size: tuple[float, float]
    spec: SigFieldSpec | None = None


def apply_signature(
    writer: IncrementalPdfFileWriter, output: Path, signer: DocumentSigner, moment: datetime, placed: Placed
) -> None:
    """Write the document with the signature (PAdES B-B) to `output`; nothing stays there when it fails.

    For a thread without a running event loop: pyHanko runs one of its own.
    """
    refuse_locked(writer.prev)
    metadata = PdfSignatureMetadata(
        field_name=placed.field,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        reason=placed.statement,
        docmdp_permissions=None,  # type: ignore[arg-type]  # the field's lock decides
    )
    maker = _TimedSigner(
        moment.astimezone(VIETNAM).replace(microsecond=0),
        metadata,
        signer=signer,
        stamp_style=stamp_style(placed.drawing, *placed.size) if placed.drawing is not None else None,
        new_field_spec=placed.spec,
    )
    try:
        with output.open("w+b") as target:
            maker.sign_pdf(writer, bytes_reserved=RESERVED_DIGITS, output=target)
    except BaseException as error:
        output.unlink(missing_ok=True)
        if isinstance(error, SigningError):
            raise FailedPrecondition("DOCUMENT_LOCKED", "an earlier signature forbids this one") from error
        raise


def refuse_locked(reader: PdfFileReader) -> None:
    """A seal's lock forbids every later change, another signature too; pyHanko asks only certifying ones."""
    for signature in reader.embedded_regular_signatures:
        if signature.docmdp_level is MDPPerm.NO_CHANGES:
            field = signature.field_name
            raise FailedPrecondition("DOCUMENT_LOCKED", "an earlier signature forbids changes", field=field)


def _personal_field(reader: PdfFileReader, place: Rectangle | None) -> tuple[str, SigFieldSpec | None]:
    """The prepared field while it is empty; otherwise a new one under the first free name."""
    fields = form_fields(reader)
    prepared = fields.get(LEADER_FIELD)
    if prepared is not None and "/V" not in prepared and place is None:
        return LEADER_FIELD, None
    free = (LEADER_FIELD if n == 1 else f"{LEADER_FIELD}_{n}" for n in itertools.count(1))
    name = next(candidate for candidate in free if candidate not in fields)
    if place is None:
        return name, SigFieldSpec(name)
    return name, signature_field(name, place, page_box(reader, place, name))
