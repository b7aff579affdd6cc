"""The JSON of the command line. These names are a promise: they may grow, never change.

Times are ISO 8601 in UTC, days `YYYY-MM-DD`, digests hexadecimal, codes of enums their name without prefix
("ISSUED", "DELIVERED", "VALID"), what is unknown null. Each function below is one shape.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.registry.v1 import register_pb2
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.times import from_timestamp
from lienthong.types.v1 import document_pb2

Shape = dict[str, Any]


def time_shape(stamp: Timestamp) -> str | None:
    """`2026-11-23T02:03:04.567000+00:00`."""
    if not (stamp.seconds or stamp.nanos):
        return None
    try:
        return from_timestamp(stamp).isoformat()
    except ValueError:
        return None  # out of range: nodes of other owners stamp receipts and hops


def code_shape(document: document_pb2.Document) -> str | None:
    """`07/QĐ-BNV`, as printed (decree 30/2020: a number below 10 takes a zero); null before the number."""
    return f"{document.number:02d}/{document.notation}" if document.number else None


def urgency_name(value: int) -> str:
    name = document_pb2.Urgency.Name(document_pb2.Urgency.ValueType(value)).removeprefix("URGENCY_")
    return "ORDINARY" if name == "UNSPECIFIED" else name


def outcome_name(value: int) -> str:
    name = document_pb2.TransportOutcome.Name(document_pb2.TransportOutcome.ValueType(value))
    return _named(name, "TRANSPORT_OUTCOME_")


def verdict_name(value: int) -> str:
    return _named(document_pb2.Verdict.Name(document_pb2.Verdict.ValueType(value)), "VERDICT_")


def role_name(value: int) -> str:
    name = document_pb2.AttachmentRole.Name(document_pb2.AttachmentRole.ValueType(value))
    return _named(name, "ATTACHMENT_ROLE_")


def state_name(value: int) -> str:
    name = submission_pb2.SubmissionState.Name(submission_pb2.SubmissionState.ValueType(value))
    return _named(name, "SUBMISSION_STATE_")


def entry_state_name(value: int) -> str:
    name = register_pb2.EntryState.Name(register_pb2.EntryState.ValueType(value))
    return _named(name, "ENTRY_STATE_")


def attachment_shape(attachment: document_pb2.Attachment) -> Shape:
    return {
        "name": attachment.name,
        "role": role_name(attachment.role),
        "media_type": attachment.media_type,
        "size_bytes": attachment.size_bytes,
        "sha256": attachment.sha256.hex(),
        "detached_signatures": len(attachment.detached_signatures),
    }


def document_shape(document: document_pb2.Document) -> Shape:
    return {
        "document_id": document.document_id,
        "organization": document.organization,
        "code": code_shape(document),
        "number": document.number or None,
        "notation": document.notation or None,
        "issued_date": document.issued_date or None,
        "type": document.type_name,
        "subject": document.subject,
        "urgency": urgency_name(document.urgency),
        "signer": document.signer_name,
        "position": document.signer_position,
        "due_date": document.due_date or None,
        "answers": [
            {"document_id": a.document_id or None, "organization": a.organization, "code": a.code or None}
            for a in document.answers
        ],
        "attachments": [attachment_shape(attachment) for attachment in document.attachments],
    }


def submission_shape(submission: submission_pb2.Submission) -> Shape:
    return {
        "submission_id": submission.submission_id,
        "state": state_name(submission.state),
        "reason": submission.reason or None,
        "envelope_id": submission.envelope_id or None,
        "trace_id": submission.trace_id or None,
        "create_time": time_shape(submission.create_time),
        "issue_time": time_shape(submission.issue_time),
        "document": document_shape(submission.document),
        "recipients": [
            {
                "organization": state.organization,
                "outcome": outcome_name(state.outcome) or None,
                "status": state.status or None,
                "reason": state.reason or None,
                "arrival_number": state.arrival_number or None,
            }
            for state in submission.recipients
        ],
    }


def verdict_shape(verdict: document_pb2.AttachmentVerdict) -> Shape:
    return {
        "sha256": verdict.sha256.hex(),
        "verdict": verdict_name(verdict.verdict),
        "level": verdict.level or None,
        "reasons": list(verdict.reasons),
        "signers": list(verdict.signers),
        "timestamp_time": time_shape(verdict.timestamp_time),
    }


def delivery_shape(delivery: inbox_pb2.Delivery) -> Shape:
    return {
        "delivery_id": delivery.delivery_id,
        "envelope_id": delivery.envelope_id,
        "recipient": delivery.recipient,
        "arrive_time": time_shape(delivery.arrive_time),
        "status": delivery.status or None,
        "arrival_number": delivery.arrival_number or None,
        "fetched": delivery.fetched,
        "cursor": delivery.cursor,
        "verdicts": [verdict_shape(verdict) for verdict in delivery.verdicts],
        "document": document_shape(delivery.document),
    }


def hop_shape(hop: document_pb2.HopFact) -> Shape:
    return {
        "node": hop.node,
        "in_time": time_shape(hop.in_time),
        "out_time": time_shape(hop.out_time),
        "span_id": hop.span_id or None,
    }


def receipt_shape(receipt: document_pb2.Receipt) -> Shape:
    return {
        "receipt_id": receipt.receipt_id,
        "document_id": receipt.document_id,
        "recipient": receipt.recipient,
        "status": receipt.status or None,
        "outcome": outcome_name(receipt.outcome) or None,
        "sequence": receipt.sequence,
        "act_time": time_shape(receipt.act_time),
        "actor": receipt.actor or None,
        "reason": receipt.reason or None,
        "reason_code": receipt.reason_code or None,
        "arrival_number": receipt.arrival_number or None,
        "arrival_date": receipt.arrival_date or None,
        "node": receipt.node,
        "verdicts": [verdict_shape(verdict) for verdict in receipt.verdicts],
        "hops": [hop_shape(hop) for hop in receipt.hops],
    }


def journey_shape(journey: reporting_pb2.Journey) -> Shape:
    return {
        "document": document_shape(journey.document),
        "envelope_id": journey.envelope_id,
        "trace_id": journey.trace_id or None,
        "submit_time": time_shape(journey.submit_time),
        "issue_time": time_shape(journey.issue_time),
        "recipients": [branch_shape(branch) for branch in journey.branches],
    }


def branch_shape(branch: reporting_pb2.Branch) -> Shape:
    return {
        "organization": branch.organization,
        "node": branch.node or None,
        "outcome": outcome_name(branch.outcome) or None,
        "reason": branch.reason or None,
        "arrival_number": branch.arrival_number or None,
        "arrival_date": branch.arrival_date or None,
        "hops": [hop_shape(hop) for hop in branch.hops],
        "verdicts": [verdict_shape(verdict) for verdict in branch.verdicts],
        "statuses": [
            {
                "status": fact.status,
                "act_time": time_shape(fact.act_time),
                "receive_time": time_shape(fact.receive_time),
                "actor": fact.actor or None,
                "reason": fact.reason or None,
            }
            for fact in sorted(branch.statuses, key=lambda fact: fact.sequence)
        ],
    }


def entry_shape(entry: register_pb2.Entry) -> Shape:
    about = entry.description
    return {
        "entry_id": entry.entry_id,
        "number": entry.number,
        "state": entry_state_name(entry.state),
        "entry_date": entry.entry_date,
        "notation": entry.notation or None,
        "void_reason": entry.void_reason or None,
        "document_id": about.document_id or None,
        "type": about.type_name or None,
        "subject": about.subject or None,
        "signer": about.signer or None,
        "recipients": list(about.recipients),
        "author": about.author or None,
        "code": about.code or None,
        "issued_date": about.issued_date or None,
    }


def check_shape(check: register_pb2.CheckRegisterResponse) -> Shape:
    return {
        "highest": check.highest,
        "issued": check.issued,
        "void": check.void,
        "reserved": check.reserved,
        "missing": list(check.missing),
        "chain_intact": check.chain_intact,
        "chain_head": check.chain_head.hex(),
    }


def _named(name: str, prefix: str) -> str:
    """Without its prefix; empty for what is not set."""
    plain = name.removeprefix(prefix)
    return "" if plain == "UNSPECIFIED" else plain
