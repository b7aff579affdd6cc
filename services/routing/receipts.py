"""Receipts: signed statements about one delivery. Made where a delivery is, applied where its sender is.

They travel like documents, as envelopes with custody, but earn no receipts and enter no inbox. Receipts of
one batch for one sender's organization share one envelope, so one signature.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from lienthong.db import Transaction
from lienthong.events import NewEvent, append
from lienthong.routing.v1 import queue_pb2
from lienthong.telemetry import current_traceparent
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2

from services.routing import delivery_store
from services.routing.delivery_store import ReceivedReceipt
from services.routing.dispatch import RECEIPT_LIFE, Dispatch, Parcel, keep
from services.routing.domain import FORMAT_VERSION, Status, Tree
from services.routing.seals import Seals
from services.routing.station import Station
from services.routing.transfer_store import Envelope

_log: Final = logging.getLogger("lienthong.routing.receipts")

EVENT: Final = "event"
RECEIPT: Final = "receipt"
_MAX_IN_ENVELOPE: Final = 256


class ReceiptMaker:
    """Puts receipts into signed envelopes on their way to the senders."""

    def __init__(self, station: Station, seals: Seals, dispatch: Dispatch) -> None:
        self._node = station.node
        self._seals = seals
        self._dispatch = dispatch
        self._clock = station.clock
        self._new_id = station.new_id

    async def parcels(
        self,
        receipts: Mapping[str, Sequence[document_pb2.Receipt]],
        *,
        organization: str = "",
        urgency: int = document_pb2.URGENCY_ORDINARY,
        traceparent: str = "",
    ) -> list[Parcel]:
        """Envelopes for the senders (organization -> receipts), signed by `organization` or by this node."""
        payloads = [
            self._payload(sender, list(batch[start : start + _MAX_IN_ENVELOPE]), organization, urgency)
            for sender, batch in sorted(receipts.items())
            for start in range(0, len(batch), _MAX_IN_ENVELOPE)
        ]
        if not payloads:
            return []
        hop = document_pb2.HopFact(node=self._node, in_time=to_timestamp(self._clock.now()))
        return [
            await self._dispatch.parcel(
                keep(signed, payload, {}),
                [recipient.organization for recipient in payload.recipients],
                [hop],
                traceparent=traceparent or current_traceparent(),
            )
            for signed, payload in zip(await self._seals.sign(payloads), payloads, strict=True)
        ]

    def _payload(
        self, sender: str, receipts: list[document_pb2.Receipt], organization: str, urgency: int
    ) -> document_pb2.EnvelopePayload:
        now = self._clock.now()
        payload = document_pb2.EnvelopePayload(
            format_version=FORMAT_VERSION,
            envelope_id=str(self._new_id()),
            create_time=to_timestamp(now),
            expire_time=to_timestamp(now + RECEIPT_LIFE),
            urgency=document_pb2.Urgency.ValueType(urgency),
            recipients=[document_pb2.Recipient(organization=sender)],
            receipts=document_pb2.ReceiptBatch(receipts=receipts),
        )
        if organization:
            payload.organization = organization
        else:
            payload.node = self._node
        return payload

    def receipt(
        self, envelope_id: UUID, document_id: str, recipient: str, status: str, sequence: int
    ) -> document_pb2.Receipt:
        """What all receipts have in common."""
        return document_pb2.Receipt(
            receipt_id=str(self._new_id()),
            envelope_id=str(envelope_id),
            document_id=document_id,
            recipient=recipient,
            status=status,
            sequence=sequence,
            act_time=to_timestamp(self._clock.now()),
            actor=self._node,
            node=self._node,
        )


class ReceiptBook:
    """Takes receipts in at the node of the sender."""

    def __init__(self, station: Station) -> None:
        self._node = station.node
        self._directory = station.directory
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id

    async def credible(self, payload: document_pb2.EnvelopePayload) -> list[document_pb2.Receipt]:
        """The receipts that their signer may state (promise 7); others are dropped with a log line."""
        receipts = list(payload.receipts.receipts)
        serving = await self._directory.serving_nodes(sorted({r.recipient for r in receipts}))
        tree = await self._directory.tree()
        good = [r for r in receipts if may_state(payload, r, serving[r.recipient], tree, self._node)]
        if len(good) < len(receipts):
            _log.warning(
                "receipts of a signer who may not state them were dropped",
                extra={"signer": payload.organization or payload.node, "dropped": len(receipts) - len(good)},
            )
        return good

    async def enter(
        self, tx: Transaction, batches: Sequence[tuple[Envelope, list[document_pb2.Receipt]]]
    ) -> None:
        """Keep the receipts, move what the senders know, and tell it; known receipts change nothing."""
        everything = [receipt for _, receipts in batches for receipt in receipts]
        envelope_ids = sorted({UUID(receipt.envelope_id) for receipt in everything})
        senders = await delivery_store.senders_of(tx, envelope_ids)
        received = [
            ReceivedReceipt(receipt, senders[key], envelope.envelope_id)
            for envelope, receipts in batches
            for receipt in receipts
            if (key := (UUID(receipt.envelope_id), receipt.recipient)) in senders
        ]
        new = await delivery_store.insert_receipts(tx, received)
        fresh = [item for item in received if item.receipt.receipt_id in new]
        await delivery_store.apply_receipts(tx, [item.receipt for item in fresh])
        await append(tx, [self._event(item) for item in fresh])
        self._wakeups.notify_after(tx, EVENT, RECEIPT)

    def _event(self, received: ReceivedReceipt) -> NewEvent:
        event = queue_pb2.ReceiptEvent(
            receipt=received.receipt,
            organization=received.organization,
            receive_time=to_timestamp(self._clock.now()),
        )
        return NewEvent(
            self._new_id(),
            "routing.receipt",
            received.receipt.document_id,
            event.SerializeToString(),
            current_traceparent(),
        )


def may_state(
    payload: document_pb2.EnvelopePayload,
    receipt: document_pb2.Receipt,
    serving_node: str,
    tree: Tree,
    own_node: str,
) -> bool:
    """Who may sign what: `01` the recipient or its serving node, handling the recipient alone.

    A negative receipt is the custodian's (R3): a node on the way from here to the recipient. Of a recipient
    that this directory no longer knows the way is not known either, so any node of the tree is believed.
    """
    if receipt.outcome == document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED:
        way = tree.path(own_node, serving_node) if serving_node else tree.parents
        return bool(payload.node) and payload.node in way
    if payload.organization:
        return payload.organization == receipt.recipient
    # A recipient that is unknown here is served by no node: its "" is nobody's name.
    return receipt.status == Status.ARRIVED and bool(serving_node) and payload.node == serving_node
