"""A day as the demo's clients would have seen it, built by hand: one recipient answers, one refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.client import Fetched
from lienthong.demo.seen import Arrival, Book, Day, Refusal, Report, Sent
from lienthong.envelope import Signer
from lienthong.mesh import Topology
from lienthong.pki.identity import Identity, Kind
from lienthong.registry.v1 import register_pb2
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2, envelope_pb2
from lienthong.waterfall import Span

TOPOLOGY = Topology.four_levels()
SENDER, REFUSING, REPLYING = "G22", "H01.03", "H01.15.07"
RECIPIENTS = (REFUSING, REPLYING)
PATHS = {REFUSING: ("G22", "H01"), REPLYING: ("G22", "H01", "H01.15", "H01.15.07")}
NOON = Timestamp(seconds=1_795_400_000, nanos=5_000_000)
TRACE = "ab" * 16


def whole_day(folder: Path) -> Day:
    """Everything went as it should."""
    document = _sent(folder, "doc", SENDER, RECIPIENTS, 1, "VPCP-TH", "MAIN")
    reply = _sent(folder, "reply", REPLYING, (SENDER,), 7, "BC-UBND", "MAIN")
    reply.arrivals[SENDER].fetched.document.answers.add(document_id="doc")
    document.receipts = [
        _receipt(REFUSING, "01", 1),
        _receipt(REFUSING, "02", 2, reason="không đúng chức năng"),
        _receipt(REPLYING, "01", 1),
        _receipt(REPLYING, "03", 2, arrival=4),
        *(_receipt(REPLYING, status, place) for place, status in enumerate(("04", "05", "06"), 3)),
    ]
    reply.receipts = [_receipt(SENDER, "01", 1), _receipt(SENDER, "03", 2, arrival=9)]
    document.journey = _journey(document, PATHS)
    reply.journey = _journey(reply, {SENDER: tuple(reversed(PATHS[REPLYING]))})
    return Day(
        document=document,
        reply=reply,
        killed_node="H01",
        killed_at="LEASED",
        refusals=[
            Refusal("DECLARED_SECRET", "SECRET_REFUSED", "SECRET_REFUSED"),
            Refusal("CHANGED_AFTER_SIGNING", "ATTACHMENT_CHANGED", "ATTACHMENT_CHANGED"),
        ],
        strays=dict.fromkeys((SENDER, *RECIPIENTS), 0),
        books=[
            _book(SENDER, True, [(1, "doc")]),
            _book(SENDER, False, [(9, "reply")]),
            _book(REFUSING, False, []),
            _book(REPLYING, False, [(4, "doc")]),
        ],
        spans=[
            Span(TRACE, f"{place:016x}", "", f"/lienthong.{service}.v1.S/M", "node", node, 1, 2)
            for place, (node, service) in enumerate(
                (node.node, service) for node in TOPOLOGY.nodes for service in ("routing", "storage")
            )
        ],
        timings_ms={"start": 1, "issue": 2, "delivered": 3, "reply": 4},
    )


def _sent(
    folder: Path,
    document_id: str,
    sender: str,
    recipients: tuple[str, ...],
    number: int,
    notation: str,
    *names: str,
) -> Sent:
    document = document_pb2.Document(
        document_id=document_id, organization=sender, number=number, notation=notation
    )
    for name in names:
        document.attachments.add(
            name=f"{name}.pdf",
            role=document_pb2.ATTACHMENT_ROLE_MAIN,
            sha256=hashlib.sha256(f"{document_id}/{name}".encode()).digest(),
        )
    submission = submission_pb2.Submission(document=document, trace_id=TRACE)
    sources = {attachment.name: attachment.sha256 for attachment in document.attachments}
    sent = Sent(sender, document_id, recipients, sources, submission)
    for recipient in recipients:
        sent.arrivals[recipient] = _arrival(folder, document, recipient)
    return sent


def _arrival(folder: Path, document: document_pb2.Document, recipient: str) -> Arrival:
    delivery = inbox_pb2.Delivery(delivery_id=recipient, recipient=recipient, document=document)
    payload = document_pb2.EnvelopePayload(organization=document.organization, document=document)
    identity = Identity("mau.lienthong.test", Kind.ORGANIZATION, organization=document.organization)
    fetched = Fetched(
        delivery,
        envelope_pb2.SignedEnvelope(),
        payload,
        Signer(identity, "00"),
        {attachment.sha256: folder / attachment.name for attachment in document.attachments},
    )
    judged = {a.sha256: _report(a.sha256, document.organization) for a in document.attachments}
    node = TOPOLOGY.organization(recipient).node
    return Arrival(recipient, node, fetched, judged, [delivery])


def _report(digest: bytes, organization: str) -> Report:
    report = signing_pb2.ValidateDocumentResponse(
        sha256=digest, verdict=document_pb2.VERDICT_VALID, level="B-T"
    )
    for role, name in (("PERSONAL", "Lãnh đạo MẪU"), ("AGENCY", "Cơ quan MẪU")):
        report.signatures.add(
            role=role,
            signer_name=name,
            organization=organization,
            level="B-T",
            verdict=document_pb2.VERDICT_VALID,
            signing_time=NOON,
            timestamp_time=NOON,
        )
    return report


def _receipt(
    recipient: str, status: str, sequence: int, *, reason: str = "", arrival: int = 0
) -> document_pb2.Receipt:
    outcome = (
        document_pb2.TRANSPORT_OUTCOME_DELIVERED
        if status == "01"
        else document_pb2.TRANSPORT_OUTCOME_UNSPECIFIED
    )
    return document_pb2.Receipt(
        recipient=recipient,
        status=status,
        sequence=sequence,
        reason=reason,
        arrival_number=arrival,
        outcome=outcome,
        act_time=NOON,
    )


def _journey(sent: Sent, paths: dict[str, tuple[str, ...]]) -> reporting_pb2.Journey:
    journey = reporting_pb2.Journey(document=sent.document, trace_id=TRACE)
    for recipient in sent.recipients:
        branch = journey.branches.add(organization=recipient, node=paths[recipient][-1])
        for node in paths[recipient]:
            branch.hops.add(node=node, in_time=NOON, out_time=NOON)
        for receipt in sent.receipts:
            if receipt.recipient == recipient:
                branch.arrival_number = branch.arrival_number or receipt.arrival_number
                branch.statuses.add(
                    status=receipt.status, sequence=receipt.sequence, act_time=NOON, actor="Văn thư MẪU"
                )
    return journey


def _book(organization: str, outgoing: bool, lines: list[tuple[int, str]]) -> Book:
    entries = []
    for number, document_id in lines:
        description = register_pb2.Description(document_id=document_id)
        entries.append(register_pb2.Entry(number=number, description=description))
    return Book(organization, outgoing, register_pb2.CheckRegisterResponse(chain_intact=True), entries)
