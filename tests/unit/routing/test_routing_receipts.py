"""Promise 7: who may state what about a delivery; and what arrival makes of refusals and reports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lienthong.signing.v1 import signing_pb2
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2 as pb

from services.routing.arrival import make_negative, verdict_of
from services.routing.convert import trace_id
from services.routing.domain import Tree
from services.routing.receipts import may_state

RECIPIENT, SERVING = "H01.03", "H01"
TREE = Tree({"G22": "", "H01": "G22", "H01.15": "H01", "H02": "G22"})
DELIVERED, NOT_DELIVERED = pb.TRANSPORT_OUTCOME_DELIVERED, pb.TRANSPORT_OUTCOME_NOT_DELIVERED
SIGNERS = {
    "recipient": pb.EnvelopePayload(organization=RECIPIENT),
    "other organization": pb.EnvelopePayload(organization="H01.04"),
    "serving node's organization": pb.EnvelopePayload(organization=SERVING),
    "serving node": pb.EnvelopePayload(node=SERVING),
    "node on the way": pb.EnvelopePayload(node="G22"),
    "node off the way": pb.EnvelopePayload(node="H02"),
    "node of nowhere": pb.EnvelopePayload(node="Z99"),
    "nobody": pb.EnvelopePayload(),
}
# What each may state: arrival (01), handling (02 to 06), non-delivery.
MAY = {
    "recipient": "01 handling",
    "other organization": "",
    "serving node's organization": "",
    "serving node": "01 negative",
    "node on the way": "negative",
    "node off the way": "",
    "node of nowhere": "",
    "nobody": "",
}
STATEMENTS = {
    "01": [pb.Receipt(recipient=RECIPIENT, status="01", outcome=DELIVERED)],
    "handling": [pb.Receipt(recipient=RECIPIENT, status=s) for s in ("02", "03", "04", "05", "06", "15")],
    "negative": [pb.Receipt(recipient=RECIPIENT, outcome=NOT_DELIVERED)],
}


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_who_may_state_what(signer: str, statement: str) -> None:
    for receipt in STATEMENTS[statement]:
        said = may_state(SIGNERS[signer], receipt, SERVING, TREE, "G22")
        assert said is (statement in MAY[signer].split())


def test_of_a_recipient_without_a_way_any_node_of_the_tree_may_say_so() -> None:
    [receipt] = STATEMENTS["negative"]
    assert may_state(SIGNERS["node off the way"], receipt, "", TREE, "G22")
    assert not may_state(SIGNERS["node of nowhere"], receipt, "", TREE, "G22")


@pytest.mark.parametrize("statement", ["01", "handling"])
def test_nobody_serves_an_organization_without_a_node(statement: str) -> None:
    """An unknown recipient has the serving node "": a payload without a sender must not match it."""
    for receipt in STATEMENTS[statement]:
        assert not may_state(pb.EnvelopePayload(), receipt, "", TREE, "G22")


def test_a_negative_receipt_is_no_status() -> None:
    receipt = pb.Receipt(recipient=RECIPIENT, status="01", outcome=DELIVERED)
    make_negative(receipt, "EXPIRED")
    assert (receipt.status, receipt.outcome, receipt.reason_code) == ("", NOT_DELIVERED, "EXPIRED")


def test_a_verdict_keeps_reasons_once_and_the_latest_timestamp() -> None:
    def signed(name: str, day: int, *reasons: str) -> signing_pb2.SignatureReport:
        stamp = to_timestamp(datetime(2026, 2, day, tzinfo=UTC))
        return signing_pb2.SignatureReport(signer_name=name, timestamp_time=stamp, reasons=reasons)

    report = signing_pb2.ValidateDocumentResponse(
        sha256=b"x" * 32,
        verdict=pb.VERDICT_INVALID,
        level="B-T",
        reasons=["CHANGED_AFTER_SEAL"],
        signatures=[signed("A", 3, "CHANGED_AFTER_SEAL"), signed("B", 2, "SIGNATURE_INVALID")],
    )
    verdict = verdict_of(report)
    assert list(verdict.reasons) == ["CHANGED_AFTER_SEAL", "SIGNATURE_INVALID"]
    assert list(verdict.signers) == ["A", "B"]
    assert verdict.timestamp_time.ToDatetime().day == 3
    assert not verdict_of(signing_pb2.ValidateDocumentResponse()).HasField("timestamp_time")


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_trace_of_a_traceparent(traceparent: str, trace: str) -> None:
    assert trace_id(traceparent) == trace
