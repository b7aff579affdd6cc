"""Builds the events of TEST documents."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lienthong.routing.v1 import queue_pb2
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, event_pb2

NOON = datetime(2026, 3, 2, 5, 0, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_NAMESPACE = uuid.UUID("018f0000-0000-7000-8000-000000000000")


def identifier(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def event(kind: str, payload: Any, traceparent: str = "") -> event_pb2.Event:
    return event_pb2.Event(
        id=identifier(f"{kind}{payload}"),
        kind=kind,
        create_time=to_timestamp(NOON),
        traceparent=traceparent,
        payload=payload.SerializeToString(deterministic=True),
    )


@dataclass(frozen=True)
class Story:
    """One document of one organization."""

    name: str = "a"
    organization: str = "G22"
    number: int = 15
    notation: str = "QĐ-TEST"
    issued_date: str = "2026-03-02"
    recipients: tuple[str, ...] = ("H01.15", "H01.16")
    issue_time: datetime = NOON

    @property
    def document_id(self) -> str:
        return identifier(f"document {self.name}")

    @property
    def envelope_id(self) -> str:
        return identifier(f"envelope {self.name}")

    @property
    def document(self) -> document_pb2.Document:
        return document_pb2.Document(
            document_id=self.document_id,
            organization=self.organization,
            number=self.number,
            notation=self.notation,
            issued_date=self.issued_date,
            subject="MẪU: quyết định thử nghiệm",
        )

    def issued(self) -> event_pb2.Event:
        payload = queue_pb2.IssuedEvent(
            document=self.document,
            envelope_id=self.envelope_id,
            recipients=self.recipients,
            submit_time=to_timestamp(self.issue_time - timedelta(seconds=2)),
            issue_time=to_timestamp(self.issue_time),
        )
        return event("routing.issued", payload, f"00-{TRACE}-00f067aa0ba902b7-01")

    def receipt(
        self,
        recipient: str,
        sequence: int,
        status: str = "",
        *,
        act_time: datetime = NOON,
        receive_time: datetime = NOON,
        **fields: Any,
    ) -> event_pb2.Event:
        payload = queue_pb2.ReceiptEvent(
            receipt=self._receipt(recipient, sequence, status, act_time, **fields),
            organization=self.organization,
            receive_time=to_timestamp(receive_time),
        )
        return event("routing.receipt", payload)

    def arrived_at_sender(self, recipient: str, **fields: Any) -> event_pb2.Event:
        """The receipt 01, as it comes back."""
        hops = [document_pb2.HopFact(node=node, in_time=to_timestamp(NOON)) for node in ("G22", "H01")]
        verdict = document_pb2.AttachmentVerdict(sha256=bytes(32), verdict=document_pb2.VERDICT_VALID)
        return self.receipt(
            recipient,
            1,
            "01",
            outcome=document_pb2.TRANSPORT_OUTCOME_DELIVERED,
            hops=hops,
            verdicts=[verdict],
            node="H01",
            **fields,
        )

    def refused_by_transport(self, recipient: str) -> event_pb2.Event:
        return self.receipt(
            recipient,
            1,
            outcome=document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED,
            reason_code="EXPIRED",
            node="G22",
        )

    def delivered(self, recipient: str, arrive_time: datetime = NOON) -> event_pb2.Event:
        payload = queue_pb2.DeliveredEvent(
            delivery_id=identifier(f"delivery {self.name} {recipient}"),
            envelope_id=self.envelope_id,
            recipient=recipient,
            document=self.document,
            arrive_time=to_timestamp(arrive_time),
        )
        return event("routing.delivered", payload)

    def handled(
        self, recipient: str, sequence: int, status: str, act_time: datetime = NOON
    ) -> event_pb2.Event:
        payload = queue_pb2.HandledEvent(
            delivery_id=identifier(f"delivery {self.name} {recipient}"),
            receipt=self._receipt(recipient, sequence, status, act_time),
        )
        return event("routing.handled", payload)

    def _receipt(
        self, recipient: str, sequence: int, status: str, act_time: datetime, **fields: Any
    ) -> document_pb2.Receipt:
        return document_pb2.Receipt(
            receipt_id=identifier(f"receipt {self.name} {recipient} {sequence}"),
            envelope_id=self.envelope_id,
            document_id=self.document_id,
            recipient=recipient,
            status=status,
            sequence=sequence,
            act_time=to_timestamp(act_time),
            actor="an",
            **fields,
        )
