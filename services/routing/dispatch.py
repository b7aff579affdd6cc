"""Turns signed payloads into envelopes and their transfers: one for each next hop, ready for one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from lienthong.db import Transaction
from lienthong.times import from_timestamp
from lienthong.types.v1 import document_pb2, envelope_pb2

from services.routing import transfer_store
from services.routing.domain import INLINE_BYTES, INLINE_IN_DOCUMENT, Attachment, Document, priority
from services.routing.station import Station
from services.routing.transfer_store import Envelope, Transfer

# Receipts that nobody could be reached with for so long are worth no more attempts.
RECEIPT_LIFE: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Parcel:
    """An envelope with the transfers that take it on."""

    envelope: Envelope
    transfers: tuple[Transfer, ...]


def keep(
    signed: envelope_pb2.SignedEnvelope,
    payload: document_pb2.EnvelopePayload,
    blobs: Mapping[bytes, bytes],
) -> Envelope:
    """What a node keeps of an envelope."""
    is_document = payload.WhichOneof("message") == "document"
    return Envelope(
        envelope_id=UUID(payload.envelope_id),
        sender=payload.organization or payload.node,
        document_id=UUID(payload.document.document_id) if is_document else None,
        urgency=payload.urgency,
        expire_time=from_timestamp(payload.expire_time),
        signed=signed.SerializeToString(),
        blobs=blobs,
        is_held=bool(large(payload.document)),
    )


def large(document: Document) -> list[Attachment]:
    """Attachments that travel from storage to storage."""
    return _sorted_out(document)[1]


def small(document: Document) -> list[Attachment]:
    """Attachments that ride in the batch: the small ones, in their order, as long as there is room."""
    return _sorted_out(document)[0]


def _sorted_out(document: Document) -> tuple[list[Attachment], list[Attachment]]:
    """Both sides of a link must come to the same answer, so it follows from the signed document alone."""
    riding: list[Attachment] = []
    others: list[Attachment] = []
    room = INLINE_IN_DOCUMENT
    for attachment in document.attachments:
        size = max(attachment.size_bytes, 0)
        if size <= min(INLINE_BYTES, room):
            riding.append(attachment)
            room -= size
        else:
            others.append(attachment)
    return riding, others


class Dispatch:
    """Makes and commits parcels for one node."""

    def __init__(self, station: Station) -> None:
        self._node = station.node
        self._directory = station.directory
        self._wakeups = station.wakeups
        self._new_id = station.new_id

    async def parcel(
        self,
        envelope: Envelope,
        recipients: Sequence[str],
        hops: Sequence[document_pb2.HopFact],
        *,
        traceparent: str,
        from_node: str = "",
        urgency: int | None = None,
    ) -> Parcel:
        """Split the recipients by next hop. Those without a way stay here: arrival answers for them."""
        groups = await self._directory.split(recipients)
        facts = tuple(hop.SerializeToString() for hop in hops)
        transfers = tuple(
            Transfer(
                transfer_id=self._new_id(),
                envelope_id=envelope.envelope_id,
                from_node=from_node,
                next_hop=next_hop,
                recipients=tuple(organizations),
                hops=facts,
                traceparent=traceparent,
                priority=priority(envelope.urgency if urgency is None else urgency),
            )
            for next_hop, organizations in sorted(groups.items())
        )
        return Parcel(envelope, transfers)

    async def commit(self, tx: Transaction, parcels: Sequence[Parcel]) -> None:
        """Take custody of all parcels in the transaction."""
        await transfer_store.insert_envelopes(tx, [parcel.envelope for parcel in parcels])
        transfers = [transfer for parcel in parcels for transfer in parcel.transfers]
        await transfer_store.insert_transfers(tx, transfers, self._node, self._wakeups)
