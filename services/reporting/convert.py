"""Proto <-> domain of reporting: events become facts, journeys become answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from lienthong.errors import InvalidArgument
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import queue_pb2
from lienthong.rpc.identity import Caller, CallerKind
from lienthong.times import from_timestamp, parse_day, to_timestamp, vietnam_day
from lienthong.types.v1 import document_pb2, event_pb2

from services.reporting.domain import (
    Arrival,
    Branch,
    Code,
    DailyCount,
    Handling,
    Issue,
    Journey,
    Outcome,
    Period,
    Reader,
    Receipt,
)

Fact = Issue | Receipt | Arrival | Handling

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_OUTCOMES: Final = {
    document_pb2.TRANSPORT_OUTCOME_DELIVERED: Outcome.DELIVERED,
    document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED: Outcome.NOT_DELIVERED,
}


def fact_from_event(event: event_pb2.Event) -> Fact | None:
    """What an event says; None for kinds that are not for us.

    Raises ValueError or DecodeError for one that cannot be read.
    """
    read = _READERS.get(event.kind)
    return None if read is None else read(event)


def reader_from_caller(caller: Caller) -> Reader:
    """Whose figures the caller may see."""
    return Reader(caller.organization if caller.kind is CallerKind.ORGANIZATION else "")


def code_from_proto(code: reporting_pb2.DocumentCode) -> Code:
    if not (code.organization and code.number > 0 and code.notation and code.year > 0):
        raise InvalidArgument(
            "KEY_MISSING", "a code is organization, number, notation and year", field="code"
        )
    return Code(code.organization, code.number, code.notation, code.year)


def period_from_proto(request: reporting_pb2.ListDailyCountsRequest) -> Period:
    return Period(parse_day(request.from_date, "from_date"), parse_day(request.to_date, "to_date"))


def journey_to_proto(journey: Journey) -> reporting_pb2.Journey:
    issue = journey.issue
    return reporting_pb2.Journey(
        document=document_pb2.Document.FromString(issue.document),
        envelope_id=issue.envelope_id,
        submit_time=to_timestamp(issue.submit_time),
        issue_time=to_timestamp(issue.issue_time),
        trace_id=issue.trace_id,
        branches=[_branch_to_proto(branch) for branch in journey.branches],
    )


def counts_to_proto(counts: Iterable[DailyCount]) -> reporting_pb2.ListDailyCountsResponse:
    return reporting_pb2.ListDailyCountsResponse(
        counts=[
            reporting_pb2.DailyCount(
                organization=count.organization,
                date=count.day.isoformat(),
                **{measure.value: number for measure, number in count.counts.items()},
            )
            for count in counts
        ]
    )


def _issue(event: event_pb2.Event) -> Issue:
    issued = queue_pb2.IssuedEvent.FromString(event.payload)
    document = issued.document
    issue_time = from_timestamp(issued.issue_time)
    trace = _TRACEPARENT.fullmatch(event.traceparent)
    day = vietnam_day(issue_time)
    # The year of the number is that of the printed date, which freezes with it (design R1).
    printed = parse_day(document.issued_date, "issued_date") if document.issued_date else day
    return Issue(
        document_id=_text(document.document_id),
        envelope_id=_text(issued.envelope_id),
        code=Code(_text(document.organization), document.number, _text(document.notation), printed.year),
        document=document.SerializeToString(deterministic=True),
        recipients=tuple(sorted({_text(recipient) for recipient in issued.recipients})),
        submit_time=from_timestamp(issued.submit_time),
        issue_time=issue_time,
        trace_id=trace.group(1) if trace else "",
        day=day,
    )


def _receipt(event: event_pb2.Event) -> Receipt:
    received = queue_pb2.ReceiptEvent.FromString(event.payload)
    receipt = received.receipt
    receive_time = from_timestamp(received.receive_time)
    return Receipt(
        receipt_id=_text(receipt.receipt_id),
        document_id=_text(receipt.document_id),
        sender=_text(received.organization),
        recipient=_text(receipt.recipient),
        sequence=receipt.sequence,
        status=_text(receipt.status),
        outcome=_OUTCOMES.get(receipt.outcome, Outcome.NONE),
        receive_time=receive_time,
        day=vietnam_day(receive_time),
        message=receipt.SerializeToString(deterministic=True),
    )


def _arrival(event: event_pb2.Event) -> Arrival:
    delivered = queue_pb2.DeliveredEvent.FromString(event.payload)
    day = vietnam_day(from_timestamp(delivered.arrive_time))
    return Arrival(_text(delivered.delivery_id), _text(delivered.recipient), day)


def _handling(event: event_pb2.Event) -> Handling:
    receipt = queue_pb2.HandledEvent.FromString(event.payload).receipt
    day = vietnam_day(from_timestamp(receipt.act_time))
    return Handling(_text(receipt.receipt_id), _text(receipt.recipient), _text(receipt.status), day)


_READERS: Final[dict[str, Callable[[event_pb2.Event], Fact]]] = {
    "routing.issued": _issue,
    "routing.receipt": _receipt,
    "routing.delivered": _arrival,
    "routing.handled": _handling,
}


def _text(text: str) -> str:
    """A text that the database can keep: one letter NUL would stop the reader for ever."""
    if "\0" in text:
        raise ValueError("a text with NUL")
    return text


def _branch_to_proto(branch: Branch) -> reporting_pb2.Branch:
    transport = _message(branch.transport)
    acceptance = _message(branch.acceptance)
    refusal = _message(branch.refusal)
    return reporting_pb2.Branch(
        organization=branch.organization,
        node=transport.node,
        outcome=transport.outcome,
        reason=transport.reason or transport.reason_code or refusal.reason,
        hops=transport.hops,
        arrival_number=acceptance.arrival_number,
        arrival_date=acceptance.arrival_date,
        verdicts=transport.verdicts,
        statuses=[_status_to_proto(receipt) for receipt in branch.statuses],
    )


def _status_to_proto(receipt: Receipt) -> reporting_pb2.StatusFact:
    message = _message(receipt)
    return reporting_pb2.StatusFact(
        status=receipt.status,
        act_time=message.act_time,
        receive_time=to_timestamp(receipt.receive_time),
        actor=message.actor,
        reason=message.reason,
        sequence=receipt.sequence,
    )


def _message(receipt: Receipt | None) -> document_pb2.Receipt:
    return document_pb2.Receipt.FromString(b"" if receipt is None else receipt.message)
