"""Judges a document before its intent becomes durable: what can be known now is refused now, by status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from lienthong.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from lienthong.ids import parse_id
from lienthong.notation import check_notation, check_series
from lienthong.routing.v1 import submission_pb2
from lienthong.rpc.identity import Caller
from lienthong.signing.v1 import signing_pb2
from lienthong.storage.v1 import storage_pb2
from lienthong.times import from_timestamp, parse_day
from lienthong.types.v1 import document_pb2

from services.routing import domain
from services.routing.attachments import Attachments, purpose_of
from services.routing.domain import Attachment, Document
from services.routing.station import Station

LIFETIME: Final = timedelta(days=30)
MAX_LIFETIME: Final = timedelta(days=365)

Report = signing_pb2.ValidateDocumentResponse
_NO_PURPOSE: Final = signing_pb2.SIGNING_PURPOSE_UNSPECIFIED

# What validation says of a file that cannot be judged at all, in the words of a submission.
_UNREADABLE: Final[Mapping[str, str]] = {
    "DOCUMENT_FORMAT": "ATTACHMENT_FORMAT",
    "DOCUMENT_ENCRYPTED": "ATTACHMENT_ENCRYPTED",
    "DOCUMENT_BROKEN": "ATTACHMENT_BROKEN",
    "DOCUMENT_ACTIVE_CONTENT": "ATTACHMENT_ACTIVE_CONTENT",
    "DOCUMENT_TOO_LARGE": "ATTACHMENT_TOO_LARGE",
}


class Judgement:
    """The checks of one node; each raises what a client is told."""

    def __init__(self, station: Station, attachments: Attachments, max_attachment_bytes: int) -> None:
        self._directory = station.directory
        self._attachments = attachments
        self._detached = attachments.detached
        self._clock = station.clock
        self._max_bytes = max_attachment_bytes

    def request(self, request: submission_pb2.SubmitDocumentRequest, caller: Caller) -> None:
        """What the request says by itself, and whether this caller may say it."""
        document = request.document
        if document.organization != caller.organization:
            raise PermissionDenied(
                "SENDER_FOREIGN",
                "the certificate may not act for this organization",
                field="document.organization",
                organization=document.organization,
                caller=caller.organization,
            )
        if document.document_id:
            parse_id(document.document_id, "document.document_id")
        domain.check_document(document)
        domain.check_recipients(request.recipients)
        self._issue(request, caller)

    def _issue(self, request: submission_pb2.SubmitDocumentRequest, caller: Caller) -> None:
        kind = request.WhichOneof("issue")
        if kind == "issue_here":
            if caller.role != "clerk":
                raise PermissionDenied(
                    "CLERK_REQUIRED", "only a clerk has the agency's seal applied", role=caller.role
                )
            check_notation(request.issue_here.notation, "issue_here.notation")
            check_series(request.issue_here.series, "issue_here.series")
        elif kind == "already_issued":
            issued = request.already_issued
            if not 0 < issued.number < 1_000_000_000:
                raise InvalidArgument(
                    "NUMBER_INVALID", "a number counts from 1", field="already_issued.number"
                )
            check_notation(issued.notation, "already_issued.notation")
            check_series(issued.series, "already_issued.series")
            parse_day(issued.issued_date, "already_issued.issued_date")
        else:
            raise InvalidArgument("ISSUE_MISSING", "neither issue_here nor already_issued", field="issue")
        if request.document.due_date:
            parse_day(request.document.due_date, "document.due_date")

    def expire_time(self, request: submission_pb2.SubmitDocumentRequest) -> datetime:
        """When nobody delivers any more."""
        now = self._clock.now()
        if not request.HasField("expire_time"):
            return now + LIFETIME
        try:
            moment = from_timestamp(request.expire_time)
        except (ValueError, OverflowError):
            moment = now
        if not now < moment <= now + MAX_LIFETIME:
            raise InvalidArgument(
                "EXPIRE_TIME_INVALID", "the expiry lies ahead, at most a year", field="expire_time"
            )
        return moment

    async def recipients(self, codes: Sequence[str]) -> tuple[str, ...]:
        """Present codes of the recipients; refuses unknown and closed ones, naming each."""
        resolved = await self._directory.resolve(codes)
        bad = {place: (item.code, item.reason) for place, item in enumerate(resolved) if item.reason}
        if bad:
            code, reason = bad[min(bad)]
            name = {"ORGANIZATION_CLOSED": "RECIPIENT_CLOSED"}.get(reason, "RECIPIENT_UNKNOWN")
            raise InvalidArgument(
                name,
                f"{code} cannot receive: {reason}",
                violations=domain.recipient_violations(bad),
                code=code,
                cause=reason,
            )
        present = tuple(item.organization.code for item in resolved)
        domain.check_recipients(present)  # two aliases of one organization are one recipient
        return present

    async def files(
        self, document: Document, kind: str, number: int, contents: Mapping[bytes, bytes]
    ) -> None:
        """Uploaded by this organization, readable, unchanged, and signed as the way in demands.

        `contents` are those files that are in hand, by digest: storage is not asked to send them back.
        """
        stats = await self._attachments.stat([a.sha256 for a in document.attachments], document.organization)
        for place, attachment in enumerate(document.attachments):
            stat = stats.get(attachment.sha256)
            _check_upload(attachment, stat, f"document.attachments[{place}]", self._max_bytes)
        self._detached.check(document, kind)
        reports = await asyncio.gather(
            *(self._report(a, document, kind, contents.get(a.sha256)) for a in document.attachments)
        )
        for place, (attachment, report) in enumerate(zip(document.attachments, reports, strict=True)):
            field = f"document.attachments[{place}]"
            if self._detached.is_beside(attachment, kind):
                _check_beside(report, field)
            else:
                _check_readable(report, field)
            if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN:
                _check_main(report, document.organization, kind, number, field)
            if report.obstacles:
                raise _obstacle(report.obstacles[0], field)

    async def _report(
        self, attachment: Attachment, document: Document, kind: str, content: bytes | None
    ) -> Report:
        if self._detached.is_beside(attachment, kind):
            return await self._detached.validate(attachment)
        intended = purpose_of(attachment) if kind == "issue_here" else _NO_PURPOSE
        return await self._attachments.validate(
            attachment.sha256,
            attachment.media_type,
            intended=intended,
            organization=document.organization,
            content=content,
        )


def _check_upload(
    attachment: Attachment, stat: storage_pb2.BlobStat | None, field: str, max_bytes: int
) -> None:
    # Bytes that others uploaded look the same as bytes that nobody did: a digest is no bearer token.
    if stat is None or not stat.present or not stat.granted:
        raise NotFound(
            "ATTACHMENT_MISSING",
            "these bytes were not uploaded by this organization",
            field=f"{field}.sha256",
            sha256=attachment.sha256.hex(),
        )
    if attachment.size_bytes and attachment.size_bytes != stat.size_bytes:
        raise InvalidArgument(
            "SIZE_MISMATCH",
            "the size differs from the uploaded bytes",
            field=f"{field}.size_bytes",
            size_bytes=stat.size_bytes,
        )
    if stat.size_bytes > max_bytes:
        raise ResourceExhausted(
            "ATTACHMENT_TOO_LARGE",
            "the attachment is over the limit",
            field=field,
            limit=max_bytes,
            size_bytes=stat.size_bytes,
        )
    attachment.size_bytes = stat.size_bytes


def _obstacle(reason: str, field: str) -> DomainError:
    """What would keep the agency from signing: found now, no number is taken in vain."""
    if reason in _UNREADABLE:
        return InvalidArgument(
            _UNREADABLE[reason], f"the attachment cannot be used: {reason}", field=field, cause=reason
        )
    return FailedPrecondition(reason, "the agency could not sign the attachment", field=field)


def _check_readable(report: Report, field: str) -> None:
    for reason in report.reasons:
        if reason in _UNREADABLE:
            raise InvalidArgument(
                _UNREADABLE[reason], f"the attachment cannot be used: {reason}", field=field, cause=reason
            )
    if report.verdict in (document_pb2.VERDICT_INVALID, document_pb2.VERDICT_PARTIAL):
        causes = _causes(report)
        raise InvalidArgument(
            "ATTACHMENT_CHANGED",
            "the signatures of the attachment do not hold",
            field=field,
            verdict=document_pb2.Verdict.Name(report.verdict),
            causes=",".join(causes),
        )


def _check_beside(report: Report, field: str) -> None:
    if report.verdict not in (document_pb2.VERDICT_VALID, document_pb2.VERDICT_UNSIGNED):
        raise InvalidArgument(
            "DETACHED_SIGNATURE_INVALID",
            "a signature beside the file does not hold for it",
            field=f"{field}.detached_signatures",
            causes=",".join(_causes(report)),
        )


def _causes(report: Report) -> list[str]:
    reasons = [*report.reasons, *(r for signature in report.signatures for r in signature.reasons)]
    return list(dict.fromkeys(reasons))[:10]


def _check_main(report: Report, organization: str, kind: str, number: int, field: str) -> None:
    if not _signed_by(report, "PERSONAL", organization):
        raise FailedPrecondition(
            "LEADER_SIGNATURE_MISSING",
            "no valid personal signature of this organization (decree 30/2020, articles 5 and 32)",
            field=field,
        )
    if kind == "issue_here":
        if _signed_by(report, "AGENCY", organization):
            raise FailedPrecondition(
                "DOCUMENT_ALREADY_SEALED", "the document carries the agency's seal already", field=field
            )
        return
    if not _signed_by(report, "AGENCY", organization):
        raise FailedPrecondition("AGENCY_SIGNATURE_MISSING", "no valid signature of the agency", field=field)
    written = report.number.split("/")[0].strip()
    if written and written.lstrip("0") != str(number):
        raise InvalidArgument(
            "NUMBER_MISMATCH",
            "the number in the file is another one",
            field="already_issued.number",
            written=written,
        )


def _signed_by(report: Report, role: str, organization: str) -> bool:
    return any(
        signature.role == role
        and signature.organization == organization
        and signature.verdict == document_pb2.VERDICT_VALID
        for signature in report.signatures
    )


def is_final(error: DomainError) -> bool:
    """Whether trying again cannot help: the document itself is at fault, not a neighbour service."""
    if isinstance(error, (InvalidArgument, FailedPrecondition)):
        return True
    # A file that signing does not take any more (its limit was lowered meanwhile) gets no smaller by waiting.
    return error.reason in ("NUMBER_TAKEN", "DOCUMENT_TOO_LARGE")
