"""The day as JSON, for programs: the shape is the contract, so it is written down as types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.demo.seen import Arrival, Day, Report, Sent, count
from lienthong.times import VIETNAM, from_timestamp
from lienthong.types.v1 import document_pb2


class Signature(TypedDict):
    """One signature of the main file."""

    role: str
    signer: str
    organization: str
    level: str
    verdict: str
    signed: str
    timestamp: str


class Document(TypedDict):
    """A document as issued; `transport` is DELIVERED, NOT_DELIVERED or PENDING over all recipients."""

    id: str
    number: int
    notation: str
    sender: str
    transport: str
    signatures: list[Signature]


# "in" is a word of the language, so these fields are named in the other way to write a type.
Hop = TypedDict("Hop", {"node": str, "in": str, "out": str})


class Status(TypedDict):
    """One status as the sender's node knows it."""

    code: str
    time: str
    actor: str


class Attachment(TypedDict):
    """One file: what was uploaded, and what the recipient's client downloaded and had judged."""

    name: str
    role: str
    source_sha256: str
    sha256: str
    path: str
    verdict: str
    level: str
    signers: list[str]
    timestamp: str


class Recipient(TypedDict):
    """One recipient's copy."""

    organization: str
    node: str
    hops: list[Hop]
    arrival_number: int | None
    statuses: list[Status]
    attachments: list[Attachment]


class Reply(TypedDict):
    """The document that answers."""

    document: Document
    recipients: list[Recipient]


class Refused(TypedDict):
    """What was refused, and why."""

    case: str
    reason: str


class Trace(TypedDict):
    """The transport's trace, by the spans that the nodes wrote."""

    trace_id: str
    nodes: list[str]
    services: list[str]
    spans: int


class Counts(TypedDict):
    """The line at the end."""

    delivered: int
    refused: int
    lost: int
    duplicated: int
    gaps: int


class Timings(TypedDict):
    """Milliseconds: mesh ready; submit to issued; submit to the last 01; reply submitted to accepted."""

    start: int
    issue: int
    delivered: int
    reply: int


class Journal(TypedDict):
    """The whole file."""

    document: Document
    recipients: list[Recipient]
    reply: Reply
    refusals: list[Refused]
    trace: Trace
    totals: Counts
    timings_ms: Timings


def journal(day: Day) -> Journal:
    """The day, in the words of the contract."""
    totals = count(day)
    return Journal(
        document=_document(day.document),
        recipients=_recipients(day.document),
        reply=Reply(document=_document(day.reply), recipients=_recipients(day.reply)),
        refusals=[Refused(case=refusal.case, reason=refusal.reason) for refusal in day.refusals],
        trace=Trace(
            trace_id=day.trace_id,
            nodes=day.trace_nodes,
            services=day.trace_services,
            spans=len(day.spans),
        ),
        totals=Counts(
            delivered=totals.delivered,
            refused=totals.refused,
            lost=totals.lost,
            duplicated=totals.duplicated,
            gaps=totals.gaps,
        ),
        timings_ms=Timings(
            start=day.timings_ms["start"],
            issue=day.timings_ms["issue"],
            delivered=day.timings_ms["delivered"],
            reply=day.timings_ms["reply"],
        ),
    )


def write(day: Day, target: Path) -> None:
    """Write the journal to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(journal(day), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def shown_time(stamp: Timestamp) -> str:
    """ISO 8601 in Vietnam's time, milliseconds; empty for none."""
    if not stamp.seconds:
        return ""
    return from_timestamp(stamp).astimezone(VIETNAM).isoformat(timespec="milliseconds")


def _document(sent: Sent) -> Document:
    document = sent.document
    return Document(
        id=sent.document_id,
        number=document.number,
        notation=document.notation,
        sender=sent.sender,
        transport=_transport(sent),
        signatures=_signatures(sent),
    )


def _transport(sent: Sent) -> str:
    receipts = [sent.receipt(recipient, "01") for recipient in sent.recipients]
    outcomes = {receipt.outcome if receipt else 0 for receipt in receipts}
    if outcomes == {document_pb2.TRANSPORT_OUTCOME_DELIVERED}:
        return "DELIVERED"
    return "NOT_DELIVERED" if document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED in outcomes else "PENDING"


def _signatures(sent: Sent) -> list[Signature]:
    """Of the main file, as the first recipient's own node judged them."""
    for arrival in sent.arrivals.values():
        for attachment in arrival.fetched.document.attachments:
            if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN:
                return _judged_signatures(arrival.judged[attachment.sha256])
    return []


def _judged_signatures(report: Report) -> list[Signature]:
    return [
        Signature(
            role=signature.role,
            signer=signature.signer_name,
            organization=signature.organization,
            level=signature.level,
            verdict=_verdict(signature.verdict),
            signed=shown_time(signature.signing_time),
            timestamp=shown_time(signature.timestamp_time),
        )
        for signature in report.signatures
    ]


def _recipients(sent: Sent) -> list[Recipient]:
    return [_recipient(sent, sent.arrivals[code]) for code in sent.recipients if code in sent.arrivals]


def _recipient(sent: Sent, arrival: Arrival) -> Recipient:
    branch = sent.branch(arrival.organization)
    facts = sorted(branch.statuses, key=lambda fact: fact.sequence)
    return Recipient(
        organization=arrival.organization,
        node=arrival.node,
        hops=[
            {"node": hop.node, "in": shown_time(hop.in_time), "out": shown_time(hop.out_time)}
            for hop in branch.hops
        ],
        arrival_number=branch.arrival_number or None,
        statuses=[
            Status(code=fact.status, time=shown_time(fact.act_time), actor=fact.actor) for fact in facts
        ],
        attachments=_attachments(sent, arrival),
    )


def _attachments(sent: Sent, arrival: Arrival) -> list[Attachment]:
    found: list[Attachment] = []
    for attachment in arrival.fetched.document.attachments:
        report = arrival.judged[attachment.sha256]
        found.append(
            Attachment(
                name=attachment.name,
                role=document_pb2.AttachmentRole.Name(attachment.role).removeprefix("ATTACHMENT_ROLE_"),
                source_sha256=sent.sources[attachment.name].hex(),
                sha256=report.sha256.hex(),
                path=str(arrival.fetched.files[attachment.sha256].resolve()),
                verdict=_verdict(report.verdict),
                level=report.level,
                signers=[signature.signer_name for signature in report.signatures],
                timestamp=_last_timestamp(report),
            )
        )
    return found


def _last_timestamp(report: Report) -> str:
    stamps: Sequence[str] = [shown_time(signature.timestamp_time) for signature in report.signatures]
    return max(stamps, default="")


def _verdict(verdict: document_pb2.Verdict.ValueType) -> str:
    return document_pb2.Verdict.Name(verdict).removeprefix("VERDICT_")
