"""Protobuf <-> domain for the registers: bounds are checked here, before anything is coalesced.

What PostgreSQL would refuse must be refused here: in a transaction shared by many callers it would fail all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from lienthong.errors import InvalidArgument
from lienthong.ids import parse_id
from lienthong.notation import check_notation, check_series
from lienthong.registry.v1 import register_pb2 as pb
from lienthong.times import parse_day, to_timestamp, vietnam_day

from services.registry.chain import content_hash
from services.registry.codes import is_qd20
from services.registry.directory_convert import check_count
from services.registry.domain import BookKey, Description, Direction, Entry, RecordKind, Register
from services.registry.ledger import Act
from services.registry.registers import Inspection
from services.registry.text import check_text

MAX_ITEMS: Final = 1_000
MAX_RECIPIENTS: Final = 10_000
_YEARS: Final = range(1945, 10_000)
_LIMITS: Final = {
    "document_id": 64,
    "type_name": 100,
    "subject": 500,
    "signer": 200,
    "author": 200,
    "code": 100,
    "note": 500,
}
MAX_RECIPIENT: Final = 200
MAX_REASON: Final = 500


def reservations_from_proto(request: pb.ReserveNumbersRequest, now: datetime) -> list[Act]:
    """The day, and with it the year's book, is the day on which the request came in."""
    check_count(len(request.reservations), MAX_ITEMS, "reservations")
    return [_reservation(item, f"reservations[{i}].", now) for i, item in enumerate(request.reservations)]


def issues_from_proto(request: pb.IssueEntriesRequest) -> list[Act]:
    """Reserved entries to issue, external ones to enter."""
    check_count(len(request.issues), MAX_ITEMS, "issues")
    return [_issue(item, f"issues[{i}].") for i, item in enumerate(request.issues)]


def void_from_proto(request: pb.VoidEntryRequest) -> Act:
    """One entry to void."""
    if not request.reason.strip():
        raise InvalidArgument("REASON_MISSING", "a void entry needs its reason", field="reason")
    reason = check_text(request.reason, MAX_REASON, "reason")
    entry_id = parse_id(request.entry_id, "entry_id")
    return Act(
        RecordKind.VOID,
        request_id=parse_id(request.request_id, "request_id"),
        request_hash=content_hash(kind="VOID", entry_id=str(entry_id), reason=reason),
        entry_id=entry_id,
        field="",
        reason=reason,
    )


def arrivals_from_proto(request: pb.RecordArrivalsRequest, now: datetime) -> list[Act]:
    """Deliveries to enter on the day on which the request came in."""
    check_count(len(request.arrivals), MAX_ITEMS, "arrivals")
    return [_arrival(item, f"arrivals[{i}].", now) for i, item in enumerate(request.arrivals)]


def register_from_proto(book: pb.Book) -> Register:
    """The register that a reader names."""
    _check_code(book.organization, "book.organization")
    if book.direction not in (pb.DIRECTION_OUTGOING, pb.DIRECTION_INCOMING):
        raise InvalidArgument(
            "DIRECTION_INVALID", "a register is outgoing or incoming", field="book.direction"
        )
    if book.year not in _YEARS:
        raise InvalidArgument("YEAR_INVALID", "not the year of a register", field="book.year", year=book.year)
    series = check_series(book.series, "book.series")
    return Register(book.organization, Direction(book.direction), book.year, series)


def reserved_to_proto(entries: Sequence[Entry]) -> pb.ReserveNumbersResponse:
    """Numbers and dates in the order asked."""
    return pb.ReserveNumbersResponse(
        numbers=[
            pb.ReservedNumber(
                entry_id=str(entry.entry_id), number=entry.number, issued_date=entry.entry_date.isoformat()
            )
            for entry in entries
        ]
    )


def arrived_to_proto(entries: Sequence[Entry]) -> pb.RecordArrivalsResponse:
    """Arrival numbers in the order asked."""
    return pb.RecordArrivalsResponse(
        arrivals=[
            pb.RecordedArrival(
                entry_id=str(entry.entry_id), number=entry.number, arrival_date=entry.entry_date.isoformat()
            )
            for entry in entries
        ]
    )


def entry_to_proto(entry: Entry) -> pb.Entry:
    """One line."""
    return pb.Entry(
        entry_id=str(entry.entry_id),
        number=entry.number,
        state=pb.EntryState.ValueType(entry.state),
        entry_date=entry.entry_date.isoformat(),
        notation=entry.notation,
        description=pb.Description(**asdict(entry.description)),
        void_reason=entry.void_reason,
        change_time=to_timestamp(entry.change_time),
    )


def inspection_to_proto(found: Inspection) -> pb.CheckRegisterResponse:
    """What a check found."""
    return pb.CheckRegisterResponse(
        highest=found.highest,
        issued=found.issued,
        void=found.void,
        reserved=found.reserved,
        missing=found.missing,
        chain_intact=found.chain_intact,
        chain_head=found.chain_head,
    )


def _reservation(item: pb.Reservation, field: str, now: datetime) -> Act:
    _check_code(item.organization, f"{field}organization")
    series = check_series(item.series, f"{field}series")
    notation = check_notation(item.notation, f"{field}notation")
    description = _description(item.description, f"{field}description.")
    today = vietnam_day(now)
    request_id = parse_id(item.request_id, f"{field}request_id")
    return Act(
        RecordKind.RESERVE,
        request_id=request_id,
        # Without the day: a repeat after midnight is the same request.
        request_hash=_hash("RESERVE", item.organization, series, notation, description),
        entry_id=request_id,
        field=field,
        book=BookKey(Register(item.organization, Direction.OUTGOING, today.year, series)),
        entry_date=today,
        notation=notation,
        description=description,
    )


def _issue(item: pb.Issue, field: str) -> Act:
    description = _description(item.description, f"{field}description.")
    request_id = parse_id(item.request_id, f"{field}request_id")
    if item.WhichOneof("entry") == "external":
        return _external(item, field, description)
    entry_id = parse_id(item.entry_id, f"{field}entry_id")
    return Act(
        RecordKind.ISSUE,
        request_id=request_id,
        request_hash=_hash("ISSUE", str(entry_id), description),
        entry_id=entry_id,
        field=field,
        description=description,
    )


def _external(item: pb.Issue, field: str, description: Description) -> Act:
    entry, within = item.external, f"{field}external."
    _check_code(entry.organization, f"{within}organization")
    series = check_series(entry.series, f"{within}series")
    notation = check_notation(entry.notation, f"{within}notation")
    day = parse_day(entry.issued_date, f"{within}issued_date")
    if entry.number <= 0:
        raise InvalidArgument("NUMBER_INVALID", "a number starts at 1", field=f"{within}number")
    request_id = parse_id(item.request_id, f"{field}request_id")
    register = Register(entry.organization, Direction.OUTGOING, day.year, series)
    return Act(
        RecordKind.EXTERNAL,
        request_id=request_id,
        request_hash=_hash(
            "EXTERNAL", entry.organization, series, notation, entry.number, entry.issued_date, description
        ),
        entry_id=request_id,
        field=field,
        book=BookKey(register, external=True),
        number=entry.number,
        entry_date=day,
        notation=notation,
        description=description,
    )


def _arrival(item: pb.Arrival, field: str, now: datetime) -> Act:
    _check_code(item.organization, f"{field}organization")
    envelope_id = parse_id(item.envelope_id, f"{field}envelope_id")
    description = _description(item.description, f"{field}description.")
    if item.own_number < 0:
        raise InvalidArgument("NUMBER_INVALID", "a number starts at 1", field=f"{field}own_number")
    today = vietnam_day(now)
    request_id = parse_id(item.request_id, f"{field}request_id")
    register = Register(item.organization, Direction.INCOMING, today.year, "")
    return Act(
        RecordKind.ARRIVE,
        request_id=request_id,
        request_hash=_hash("ARRIVE", item.organization, str(envelope_id), item.own_number, description),
        entry_id=request_id,
        field=field,
        book=BookKey(register, external=item.own_number > 0),
        number=item.own_number,
        entry_date=today,
        description=description,
        envelope_id=envelope_id,
    )


def _description(item: pb.Description, field: str) -> Description:
    texts = {name: check_text(getattr(item, name), limit, field + name) for name, limit in _LIMITS.items()}
    check_count(len(item.recipients), MAX_RECIPIENTS, f"{field}recipients")
    recipients = tuple(
        check_text(recipient, MAX_RECIPIENT, f"{field}recipients[{i}]")
        for i, recipient in enumerate(item.recipients)
    )
    if item.issued_date:
        parse_day(item.issued_date, f"{field}issued_date")
    return Description(**texts, issued_date=item.issued_date, recipients=recipients)


def _hash(kind: str, *content: Any) -> bytes:
    return content_hash(
        kind=kind, content=[asdict(part) if isinstance(part, Description) else part for part in content]
    )


def _check_code(code: str, field: str) -> None:
    if not is_qd20(code):
        raise InvalidArgument("ORGANIZATION_CODE_INVALID", f"{field} is not a present code", field=field)
