"""Proto <-> domain of signing, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from lienthong.errors import InvalidArgument
from lienthong.ids import parse_id
from lienthong.pki.identity import is_code
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.times import parse_day, to_timestamp
from lienthong.types.v1 import document_pb2

from services.signing.domain import (
    FieldPlacements,
    IssueMark,
    Level,
    Rectangle,
    SignatureReport,
    ValidationReport,
    Verdict,
    printed_notation,
    seal_over,
)
from services.signing.keys import HeldKey
from services.signing.orders import Format, Purpose, SignOrder, bare_type, declared_format
from services.signing.spool import Content

_PURPOSES: Final = {
    pb.SIGNING_PURPOSE_PERSONAL: Purpose.PERSONAL,
    pb.SIGNING_PURPOSE_SEAL: Purpose.SEAL,
    pb.SIGNING_PURPOSE_ANNEX: Purpose.ANNEX,
}
_VERDICTS: Final = {
    Verdict.VALID: document_pb2.VERDICT_VALID,
    Verdict.PARTIAL: document_pb2.VERDICT_PARTIAL,
    Verdict.INVALID: document_pb2.VERDICT_INVALID,
    Verdict.UNSIGNED: document_pb2.VERDICT_UNSIGNED,
}


def order_from_proto(header: pb.SignDocumentHeader) -> SignOrder:
    purpose = _PURPOSES.get(header.purpose)
    if purpose is None:
        raise InvalidArgument("PURPOSE_MISSING", "say which signature is wanted", field="header.purpose")
    if not is_code(header.organization):
        raise InvalidArgument(
            "ORGANIZATION_MALFORMED", "not an organization's code", field="header.organization"
        )
    personal = purpose is Purpose.PERSONAL
    # A leader may sign what has no identifier yet; what the agency signs has one.
    if header.document_id or not personal:
        parse_id(header.document_id, "header.document_id")
    return SignOrder(
        purpose=purpose,
        organization=header.organization,
        document_id=header.document_id,
        format=format_from_proto(header.media_type),
        mark=None if personal else _mark(header),
        clerk="" if personal else header.clerk,
        media_type=bare_type(header.media_type),
    )


def format_from_proto(media_type: str) -> Format:
    found = declared_format(media_type)
    if found is None:
        raise InvalidArgument(
            "DOCUMENT_FORMAT",
            "only PDF and Office Open XML carry signatures",
            field="header.media_type",
            media_type=media_type[:100],
        )
    return found


def placements_from_proto(header: pb.PrepareDocumentHeader) -> FieldPlacements:
    """The four places; the agency's, where left empty, follows from the leader's (decree 30/2020)."""
    for name in ("number", "date", "leader"):
        if not header.HasField(name):
            raise InvalidArgument("PLACEMENT_MISSING", "a field has no place", field=f"header.{name}")
    leader = _rectangle(header.leader)
    return FieldPlacements(
        number=_rectangle(header.number),
        date=_rectangle(header.date),
        leader=leader,
        agency=_rectangle(header.agency) if header.HasField("agency") else seal_over(leader),
    )


def result_to_proto(content: Content) -> pb.FileResult:
    return pb.FileResult(sha256=content.sha256, size_bytes=content.size)


def keys_to_proto(keys: Iterable[HeldKey]) -> pb.ListKeysResponse:
    return pb.ListKeysResponse(
        keys=[
            pb.Key(
                identity=held.identity.uri,
                name=held.name,
                algorithm=held.algorithm,
                fingerprint=held.fingerprint,
                expire_time=to_timestamp(held.certificate.not_valid_after_utc),
            )
            for held in keys
        ]
    )


def intended_purpose(header: pb.ValidateDocumentHeader) -> Purpose | None:
    """The agency's signature that is to follow, if one is."""
    return {pb.SIGNING_PURPOSE_SEAL: Purpose.SEAL, pb.SIGNING_PURPOSE_ANNEX: Purpose.ANNEX}.get(
        header.intended_purpose
    )


def report_to_proto(
    report: ValidationReport, sha256: bytes, obstacles: Sequence[str] = ()
) -> pb.ValidateDocumentResponse:
    return pb.ValidateDocumentResponse(
        sha256=sha256,
        verdict=_VERDICTS[report.verdict],
        level=_level(report.level),
        reasons=[reason.value for reason in report.reasons],
        signatures=[_signature_to_proto(signature) for signature in report.signatures],
        number=report.number or "",
        notation=report.notation or "",
        date=report.date.isoformat() if report.date else "",
        obstacles=obstacles,
    )


def _signature_to_proto(report: SignatureReport) -> pb.SignatureReport:
    return pb.SignatureReport(
        place=report.field_or_part,
        role=report.role.value,
        signer_name=report.signer_name,
        organization=report.organization,
        certificate_fingerprint=bytes.fromhex(report.certificate_fingerprint),
        level=_level(report.level),
        signing_time=to_timestamp(report.signing_time),
        timestamp_time=to_timestamp(report.timestamp_time),
        verdict=_VERDICTS[report.verdict],
        reasons=[reason.value for reason in report.reasons],
    )


def _level(level: Level) -> str:
    return "" if level is Level.NONE else level.name.replace("_", "-")


def _mark(header: pb.SignDocumentHeader) -> IssueMark:
    day = parse_day(header.issued_date, "header.issued_date")
    # Refuses what could not be printed, before a byte of the file is taken.
    printed_notation(header.number, header.notation)
    return IssueMark(header.number, header.notation, day)


def _rectangle(place: pb.Placement) -> Rectangle:
    return Rectangle(place.page, place.left, place.bottom, place.width, place.height)
