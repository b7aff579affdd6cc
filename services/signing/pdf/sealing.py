"""The agency's signature: the red seal with number and date on a main document, the text on an annex.

The clerk's step: only what a leader validly signed is numbered, dated and sealed.
"""

from pathlib import Path
from typing import Final

from lienthong.errors import FailedPrecondition
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader

from services.signing.domain import (
    AGENCY_FIELD,
    Appearance,
    IssueMark,
    Level,
    Rectangle,
    SignatureRole,
    ValidationReport,
    Verdict,
    annex_text,
    issue_statement,
)
from services.signing.pdf import drawings
from services.signing.pdf.active import refuse_active_content
from services.signing.pdf.filling import fill_fields, mark_values, require_unfilled
from services.signing.pdf.fonts import text_width
from services.signing.pdf.opening import form_fields, opened
from services.signing.pdf.placing import rectangle_size
from services.signing.pdf.preparing import page_box, shown_area, signature_field
from services.signing.pdf.signer import DocumentSigner
from services.signing.pdf.signing import Placed, SigningContext, apply_signature, check_signer
from services.signing.pdf.validating import Validator

# ND 30/2020 annex I: an annex carries text of size 10, upright, black, at the top right of its first page.
_ANNEX_SIZE: Final = 10.0
_ANNEX_HEIGHT: Final = 16.0
_ANNEX_MARGIN: Final = 28.0


def seal(
    source: Path,
    output: Path,
    mark: IssueMark,
    signer: DocumentSigner,
    context: SigningContext,
    validator: Validator,
    appearance: Appearance,
    *,
    with_notation: bool = False,
) -> None:
    """Number, date and the agency's signature (B-B, "SEALED") in one incremental update."""
    identity = check_signer(signer, context, SignatureRole.AGENCY)
    require_leader(validator.validate(source), identity.organization)
    values = mark_values(mark, with_notation=with_notation)
    with opened(source) as reader:
        size = rectangle_size(_agency_field(reader))
        writer = IncrementalPdfFileWriter.from_reader(reader)
        fill_fields(writer, values)
        page = drawings.agency_seal(appearance, *size)
        placed = Placed(AGENCY_FIELD, issue_statement(mark), page, size)
        apply_signature(writer, output, signer, context.clock.now(), placed)


def require_sealable(source: Path, report: ValidationReport, organization: str) -> None:
    """What `seal` would refuse of the document itself, found before a number is taken for it."""
    require_leader(report, organization)
    with opened(source) as reader:
        _agency_field(reader)
        require_unfilled(form_fields(reader))


def _agency_field(reader: PdfFileReader) -> generic.DictionaryObject:
    field = form_fields(reader).get(AGENCY_FIELD)
    if field is None or "/Lock" not in field:
        raise FailedPrecondition(
            "DOCUMENT_NOT_PREPARED", "the document lacks the agency's field", field=AGENCY_FIELD
        )
    return field


def require_leader(report: ValidationReport, organization: str) -> None:
    """The law's order: a seal goes only onto what a leader of this very organization validly signed."""
    if any(s.role is SignatureRole.AGENCY for s in report.signatures):
        raise FailedPrecondition(
            "DOCUMENT_ALREADY_SEALED", "the document carries an agency's signature already"
        )
    personal = [
        s for s in report.signatures if s.role is SignatureRole.PERSONAL and s.organization == organization
    ]
    if not personal or not any(s.verdict is Verdict.VALID for s in personal):
        found = ",".join(sorted({reason for s in report.signatures for reason in s.reasons}))
        raise FailedPrecondition("LEADER_SIGNATURE_MISSING", "no valid signature of a leader", found=found)
    if report.verdict is Verdict.INVALID:
        found = ",".join(report.reasons)
        raise FailedPrecondition(
            "DOCUMENT_SIGNATURE_INVALID", "a signature of the document is invalid", found=found
        )
    if not any(s.verdict is Verdict.VALID and s.level >= Level.B_T for s in personal):
        raise FailedPrecondition("LEADER_SIGNATURE_UNSTAMPED", "under the seal it can be stamped no more")


def require_annex(source: Path) -> None:
    """What `sign_annex` would refuse of the document itself."""
    with opened(source) as reader:
        _refuse_unsuitable_annex(reader)


def _refuse_unsuitable_annex(reader: PdfFileReader) -> None:
    refuse_active_content(reader)
    if AGENCY_FIELD in form_fields(reader):
        raise FailedPrecondition("DOCUMENT_ALREADY_SEALED", "the document has an agency's field already")


def sign_annex(
    source: Path, output: Path, mark: IssueMark, signer: DocumentSigner, context: SigningContext
) -> None:
    """The agency's signature (B-B) on an annex in its own file: number, notation, time as text; no image."""
    check_signer(signer, context, SignatureRole.AGENCY)
    moment = context.clock.now()
    with opened(source) as reader:
        _refuse_unsuitable_annex(reader)
        text = annex_text(mark, moment)
        place = _annex_place(reader, text_width(text, _ANNEX_SIZE))
        spec = signature_field(AGENCY_FIELD, place, page_box(reader, place, AGENCY_FIELD), lock=True)
        size = (place.width, place.height)
        drawing = drawings.text_lines((text,), *size, _ANNEX_SIZE)
        writer = IncrementalPdfFileWriter.from_reader(reader)
        apply_signature(
            writer, output, signer, moment, Placed(AGENCY_FIELD, issue_statement(mark), drawing, size, spec)
        )


def _annex_place(reader: PdfFileReader, text: float) -> Rectangle:
    _, _, width, height = shown_area(reader, 0)
    wanted = min(text + 1, width)
    left, bottom = max(0.0, width - _ANNEX_MARGIN - wanted), max(0.0, height - _ANNEX_MARGIN - _ANNEX_HEIGHT)
    return Rectangle(0, left, bottom, wanted, min(_ANNEX_HEIGHT, height))
