"""Rows and values of routing to protocol messages."""

from __future__ import annotations

from collections.abc import Sequence

from lienthong.db import Record
from lienthong.events import Event
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, event_pb2

from services.routing.delivery_store import cursor_of
from services.routing.domain import leave_out_signatures
from services.routing.submission_store import Submission


def submission_to_proto(submission: Submission, recipients: Sequence[Record]) -> submission_pb2.Submission:
    """A submission with what is known of its recipients."""
    states = [
        submission_pb2.RecipientState(
            organization=row["organization"],
            outcome=row["outcome"],
            status=row["status"],
            reason=row["reason"],
            arrival_number=row["arrival_number"],
        )
        for row in recipients
    ] or [submission_pb2.RecipientState(organization=code) for code in sorted(submission.recipients)]
    return submission_pb2.Submission(
        submission_id=str(submission.submission_id),
        document=submission.document,
        state=submission_pb2.SubmissionState.ValueType(submission.state),
        reason=submission.reason,
        envelope_id=str(submission.envelope_id or ""),
        create_time=to_timestamp(submission.create_time),
        issue_time=to_timestamp(submission.issue_time),
        recipients=states,
        trace_id=trace_id(submission.traceparent),
    )


def trace_id(traceparent: str) -> str:
    """The trace in a W3C traceparent; empty without one."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def delivery_to_proto(row: Record, cursor: str = "") -> inbox_pb2.Delivery:
    """A delivery as its recipient sees it."""
    return inbox_pb2.Delivery(
        delivery_id=str(row["delivery_id"]),
        envelope_id=str(row["envelope_id"]),
        recipient=row["recipient"],
        document=document_pb2.Document.FromString(row["document"]),
        arrive_time=to_timestamp(row["arrive_time"]),
        status=row["status"],
        arrival_number=row["arrival_number"],
        verdicts=[document_pb2.AttachmentVerdict.FromString(v) for v in row["verdicts"]],
        fetched=row["fetch_time"] is not None,
        cursor=cursor,
    )


def listed_delivery(row: Record) -> inbox_pb2.Delivery:
    """A delivery in an inbox, with the cursor behind it."""
    delivery = delivery_to_proto(row, cursor_of(row).encode())
    leave_out_signatures(delivery.document)
    return delivery


def listed_submission(submission: Submission, recipients: Sequence[Record]) -> submission_pb2.Submission:
    """A submission among others."""
    listed = submission_to_proto(submission, recipients)
    leave_out_signatures(listed.document)
    return listed


def received_receipt(row: Record) -> submission_pb2.ReceivedReceipt:
    """A receipt in a list, with the cursor behind it."""
    return submission_pb2.ReceivedReceipt(
        receipt=document_pb2.Receipt.FromString(row["payload"]), cursor=cursor_of(row).encode()
    )


def event_to_proto(event: Event) -> event_pb2.Event:
    """An event as other services read it."""
    return event_pb2.Event(
        id=str(event.id),
        kind=event.kind,
        subject=event.subject,
        create_time=to_timestamp(event.create_time),
        traceparent=event.traceparent,
        payload=event.payload,
        cursor=event.cursor.encode(),
    )
