"""Judging a PDF: every signature, what was changed after it, what the whole is worth. Never raises on input.

Coverage, modification level and certificate decide together; "the digest fits" alone proves nothing, because
an incremental update that swaps a page leaves it true.
"""

# mypy: allow-untyped-calls

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lienthong.clock import Clock
from lienthong.errors import DomainError
from lienthong.pki.trust import TrustStore
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import DiffResult, ModificationLevel
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel

from services.signing.domain import (
    DATE_FIELD,
    NUMBER_FIELD,
    Level,
    Reason,
    SignatureReport,
    SignatureRole,
    ValidationReport,
    Verdict,
    lowest_level,
    parse_issue_statement,
    parse_printed_date,
    split_number,
    unreadable_signature,
)
from services.signing.pdf.judging import Judge
from services.signing.pdf.opening import (
    DEFAULT_LIMITS,
    HOSTILE_INPUT,
    Limits,
    entry,
    field_text,
    form_fields,
    reading,
)

_TAIL: Final = 4096
_REASON_OF: Final = {
    "DOCUMENT_FORMAT": Reason.DOCUMENT_FORMAT,
    "DOCUMENT_ENCRYPTED": Reason.DOCUMENT_ENCRYPTED,
    "DOCUMENT_TOO_LARGE": Reason.DOCUMENT_TOO_COMPLEX,
    "DOCUMENT_TOO_COMPLEX": Reason.DOCUMENT_TOO_COMPLEX,
}


@dataclass(frozen=True, slots=True)
class _Found:
    """One signature with its report and what was changed after it."""

    embedded: EmbeddedPdfSignature | None
    report: SignatureReport
    covers_all: bool = False


class Validator:
    """Shares trust stores, with their caches of verified chains, among all documents. Thread-safe."""

    def __init__(
        self, trust: TrustStore, timestamp_trust: TrustStore, clock: Clock, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._judge = Judge(trust, timestamp_trust, clock)
        self._limits = limits

    def validate(self, path: Path) -> ValidationReport:
        """The verdict on a file; what cannot be read is INVALID with the reason why."""
        try:
            return self._validate(path)
        except DomainError as error:
            return _invalid(_REASON_OF.get(error.reason, Reason.DOCUMENT_BROKEN))
        except HOSTILE_INPUT:
            return _invalid(Reason.DOCUMENT_BROKEN)

    def _validate(self, path: Path) -> ValidationReport:
        # This thread's processor time: a verdict stands for ever, so a busy machine must not make it.
        deadline = time.thread_time() + self._limits.max_seconds
        with reading(path, self._limits) as reader:
            return self._judged(reader, deadline)

    def _judged(self, reader: PdfFileReader, deadline: float) -> ValidationReport:
        fields = list(enumerate_sig_fields(reader, filled_status=True))
        if len(fields) > self._limits.max_signatures:
            return _invalid(Reason.DOCUMENT_TOO_COMPLEX)
        found: list[_Found] = []
        for embedded, name in _in_order(reader, fields):
            if time.thread_time() > deadline:
                return _invalid(Reason.VALIDATION_TIME_LIMIT)
            found.append(self._one(embedded, name, {f for f, _, _ in fields}))
        return _whole(reader, found)

    def _one(self, embedded: EmbeddedPdfSignature | None, name: str, signature_fields: set[str]) -> _Found:
        if embedded is None:
            return _Found(None, unreadable_signature(str(name)))
        try:
            embedded.compute_integrity_info()
            report = self._judge.report(embedded)
            covers_all = embedded.evaluate_signature_coverage() is SignatureCoverageLevel.ENTIRE_FILE
            reasons = _changes(embedded, report.role, signature_fields)
        except HOSTILE_INPUT:
            return _Found(None, unreadable_signature(str(name)))
        if reasons:
            report = replace(report, verdict=Verdict.INVALID, reasons=(*report.reasons, *reasons))
        return _Found(embedded, report, covers_all)


def _in_order(
    reader: PdfFileReader, fields: Sequence[tuple[str, Any, Any]]
) -> list[tuple[EmbeddedPdfSignature | None, str]]:
    """By revision. pyHanko's own list skips formats it does not know and fails as a whole on one bad CMS."""
    found: list[tuple[EmbeddedPdfSignature | None, str]] = []
    for name, _, field in fields:
        try:
            found.append((EmbeddedPdfSignature(reader, field, name), name))
        except HOSTILE_INPUT:
            found.append((None, name))
    return sorted(found, key=lambda item: -1 if item[0] is None else item[0].signed_revision)


def _changes(
    embedded: EmbeddedPdfSignature, role: SignatureRole, signature_fields: set[str]
) -> tuple[Reason, ...]:
    """What makes later changes inadmissible. A person's signature admits number, date and further signatures;
    a seal admits only what archives add (validation data), locked or not."""
    coverage: SignatureCoverageLevel = embedded.evaluate_signature_coverage()
    if coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return (Reason.CONTENT_NOT_COVERED,)
    if not _gap_is_contents(embedded):
        return (Reason.BYTE_RANGE_INVALID,)
    changed = Reason.CHANGED_AFTER_SEAL if role is SignatureRole.AGENCY else Reason.CHANGED_AFTER_SIGNING
    result: object = embedded.diff_result
    if not isinstance(result, DiffResult) or not embedded.summarise_integrity_info()["docmdp_ok"]:
        return (changed,)
    if result.modification_level <= ModificationLevel.LTA_UPDATES:
        return ()
    if role is SignatureRole.AGENCY or result.modification_level > ModificationLevel.FORM_FILLING:
        return (changed,)
    others = result.changed_form_fields - signature_fields - {NUMBER_FIELD, DATE_FIELD}
    return (changed,) if others else ()


def _gap_is_contents(embedded: EmbeddedPdfSignature) -> bool:
    """What the byte range leaves out must be the signature's own hexadecimal string, and nothing else."""
    start, first, second, _ = (int(part) for part in embedded.byte_range)
    stream = embedded.reader.stream
    stream.seek(first)
    gap = stream.read(second - first)
    if start != 0 or gap[:1] != b"<" or gap[-1:] != b">":
        return False
    try:
        return bytes.fromhex(gap[1:-1].decode("ascii")) == embedded.pkcs7_content
    except ValueError:
        return False


def _whole(reader: PdfFileReader, found: Sequence[_Found]) -> ValidationReport:
    signatures = tuple(item.report for item in found)
    number, notation, date = _mark(reader, found)
    report = ValidationReport(
        Verdict.UNSIGNED, lowest_level(signatures), signatures, number=number, notation=notation, date=date
    )
    if not signatures:
        return report
    junk, disordered = _data_after_end(reader, found), _disordered(signatures)
    if junk or disordered or any(signature.verdict is not Verdict.VALID for signature in signatures):
        reasons = [reason for signature in signatures for reason in signature.reasons]
        reasons += [Reason.DATA_AFTER_END] if junk else []
        reasons += [Reason.SIGNATURE_ORDER] if disordered else []
        return replace(report, verdict=Verdict.INVALID, reasons=tuple(dict.fromkeys(reasons)))
    if not found[-1].covers_all:
        return replace(report, verdict=Verdict.PARTIAL, reasons=(Reason.CONTENT_NOT_COVERED,))
    return replace(report, verdict=Verdict.VALID)


def _disordered(signatures: Sequence[SignatureReport]) -> bool:
    """The law's order is the leader first; a person's signature under an existing seal is none."""
    roles = [signature.role for signature in signatures]
    return (
        SignatureRole.AGENCY in roles and SignatureRole.PERSONAL in roles[roles.index(SignatureRole.AGENCY) :]
    )


def _data_after_end(reader: PdfFileReader, found: Sequence[_Found]) -> bool:
    """Bytes after the last %%EOF that no signature covers: readers ignore them, so does pyHanko's verdict."""
    if any(item.covers_all for item in found):
        return False
    stream = reader.stream
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _TAIL))
    _, marker, rest = stream.read(_TAIL).rpartition(b"%%EOF")
    last = found[-1].embedded
    nothing_new = last is not None and last.signed_revision == reader.xrefs.total_revisions - 1
    return not marker or bool(rest.strip(b"\r\n")) or nothing_new


def _mark(reader: PdfFileReader, found: Sequence[_Found]) -> tuple[str | None, str | None, dt.date | None]:
    """Number, notation and date: what the fields print, completed by what a valid seal says it issues."""
    fields = form_fields(reader)
    number, notation = split_number(field_text(fields.get(NUMBER_FIELD)))
    date = parse_printed_date(field_text(fields.get(DATE_FIELD)))
    for item in found:
        if (
            item.embedded is None
            or item.report.role is not SignatureRole.AGENCY
            or item.report.verdict is not Verdict.VALID
        ):
            continue
        said = parse_issue_statement(str(entry(item.embedded.sig_object, "/Reason", "")))
        if said is not None:
            number, notation, date = (
                number or f"{said.number:02d}",
                notation or said.notation,
                date or said.date,
            )
    return number or None, notation, date


def _invalid(reason: Reason) -> ValidationReport:
    return ValidationReport(Verdict.INVALID, Level.NONE, reasons=(reason,))
