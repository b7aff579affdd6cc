"""Rows of envelopes, transfers and what came in over links. Every statement takes a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from lienthong.db import Queries, Record, Transaction
from lienthong.ids import sub_id
from lienthong.queue import Item, Wakeups, put
from lienthong.routing.v1 import link_pb2, queue_pb2
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, envelope_pb2

ARRIVAL: Final = "arrival"
TRANSFER: Final = "transfer"
REJECTION: Final = "rejection"
RELEASE: Final = "release"

TransferState = queue_pb2.TransferState


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed envelope as it is kept: the exact bytes, and what routing reads of them."""

    envelope_id: UUID
    sender: str
    document_id: UUID | None
    urgency: int
    expire_time: datetime
    signed: bytes
    # Attachments that ride in the batch, by digest; the others are held in storage.
    blobs: Mapping[bytes, bytes]
    is_held: bool

    def payload(self) -> document_pb2.EnvelopePayload:
        """What was signed."""
        signed = envelope_pb2.SignedEnvelope.FromString(self.signed)
        return document_pb2.EnvelopePayload.FromString(signed.payload)


@dataclass(frozen=True, slots=True)
class Transfer:
    """An envelope on its way to one next hop; `next_hop` is this node for what is delivered here."""

    transfer_id: UUID
    envelope_id: UUID
    from_node: str
    next_hop: str
    recipients: tuple[str, ...]
    hops: tuple[bytes, ...]
    traceparent: str
    priority: int


def release_work(owner_id: UUID, holder: str) -> Item:
    """The outbox item that ends what storage holds for an envelope or a submission."""
    return Item(sub_id(owner_id, RELEASE), RELEASE, holder.encode())


def held_by(payload: bytes) -> str:
    """The holder that a release item names; before it named one it was the id of an envelope."""
    return f"envelope/{UUID(bytes=payload)}" if len(payload) == 16 else payload.decode()


async def insert_envelopes(tx: Transaction, envelopes: Sequence[Envelope]) -> None:
    """Keep envelopes; one that is known already stays as it is (it is the same bytes: the id is signed)."""
    ordered = sorted({e.envelope_id: e for e in envelopes}.values(), key=lambda e: e.envelope_id)
    await tx.execute(
        "INSERT INTO envelope (envelope_id, sender, document_id, urgency, expire_time, signed, is_held)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::smallint[], $5::timestamptz[],"
        " $6::bytea[], $7::boolean[]) ON CONFLICT DO NOTHING",
        [e.envelope_id for e in ordered],
        [e.sender for e in ordered],
        [e.document_id for e in ordered],
        [e.urgency for e in ordered],
        [e.expire_time for e in ordered],
        [e.signed for e in ordered],
        [e.is_held for e in ordered],
    )
    blobs = [(e.envelope_id, digest, e.blobs[digest]) for e in ordered for digest in sorted(e.blobs)]
    if blobs:
        await tx.execute(
            "INSERT INTO envelope_blob (envelope_id, sha256, content)"
            " SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) ON CONFLICT DO NOTHING",
            *map(list, zip(*blobs, strict=True)),
        )


async def insert_transfers(
    tx: Transaction, transfers: Sequence[Transfer], node: str, wakeups: Wakeups
) -> None:
    """Take custody: the rows, and the work that each needs in the queue of its way."""
    ordered = sorted(transfers, key=lambda t: t.transfer_id)
    if not ordered:
        return
    # unnest flattens arrays of arrays: lists travel as one text, codes and hex digits hold no comma.
    await tx.execute(
        "INSERT INTO transfer (transfer_id, envelope_id, from_node, next_hop, recipients, hops, traceparent,"
        " state) SELECT transfer_id, envelope_id, from_node, next_hop, string_to_array(recipients, ','),"
        " ARRAY(SELECT decode(hop, 'hex') FROM unnest(string_to_array(hops, ',')) WITH ORDINALITY"
        " AS h(hop, place) ORDER BY place), traceparent, $8"
        " FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])"
        " AS new(transfer_id, envelope_id, from_node, next_hop, recipients, hops, traceparent)",
        [t.transfer_id for t in ordered],
        [t.envelope_id for t in ordered],
        [t.from_node for t in ordered],
        [t.next_hop for t in ordered],
        [",".join(t.recipients) for t in ordered],
        [",".join(hop.hex() for hop in t.hops) for t in ordered],
        [t.traceparent for t in ordered],
        TransferState.TRANSFER_STATE_QUEUED,
    )
    items = [
        Item(
            t.transfer_id,
            ARRIVAL if t.next_hop == node else TRANSFER,
            b"",
            destination=t.next_hop,
            priority=t.priority,
            traceparent=t.traceparent,
        )
        for t in ordered
    ]
    await put(tx, items, wakeups)


async def load_transfers(
    queries: Queries, transfer_ids: Sequence[UUID]
) -> dict[UUID, tuple[Transfer, Envelope]]:
    """Transfers with their envelopes and small attachments, in two statements."""
    rows = await queries.fetch(
        "SELECT t.transfer_id, t.envelope_id, t.from_node, t.next_hop, t.recipients, t.hops, t.traceparent,"
        " e.sender, e.document_id, e.urgency, e.expire_time, e.signed, e.is_held"
        " FROM transfer t JOIN envelope e USING (envelope_id) WHERE t.transfer_id = ANY($1)",
        list(transfer_ids),
    )
    blobs = await _blobs(queries, [row["envelope_id"] for row in rows if row["document_id"]])
    return {
        row["transfer_id"]: (
            Transfer(
                row["transfer_id"],
                row["envelope_id"],
                row["from_node"],
                row["next_hop"],
                tuple(row["recipients"]),
                tuple(row["hops"]),
                row["traceparent"],
                row["urgency"],
            ),
            Envelope(
                row["envelope_id"],
                row["sender"],
                row["document_id"],
                row["urgency"],
                row["expire_time"],
                row["signed"],
                blobs.get(row["envelope_id"], {}),
                row["is_held"],
            ),
        )
        for row in rows
    }


async def _blobs(queries: Queries, envelope_ids: Sequence[UUID]) -> dict[UUID, dict[bytes, bytes]]:
    if not envelope_ids:
        return {}
    rows = await queries.fetch(
        "SELECT envelope_id, sha256, content FROM envelope_blob WHERE envelope_id = ANY($1)",
        sorted(set(envelope_ids)),
    )
    found: dict[UUID, dict[bytes, bytes]] = {}
    for row in rows:
        found.setdefault(row["envelope_id"], {})[row["sha256"]] = row["content"]
    return found


async def mark_offered(queries: Queries, transfer_ids: Sequence[UUID]) -> None:
    """Remember that these were offered: from now on silence means UNCONFIRMED, not expiry (R3)."""
    await queries.execute(
        "UPDATE transfer SET attempts = attempts + 1, offer_time = now() FROM"
        " (SELECT transfer_id FROM transfer WHERE transfer_id = ANY($1) ORDER BY transfer_id FOR UPDATE)"
        " AS ours WHERE transfer.transfer_id = ours.transfer_id",
        list(transfer_ids),
    )


async def settle(tx: Transaction, outcomes: Mapping[UUID, tuple[int, str]]) -> None:
    """Custody ended: the state and reason of each transfer, for good."""
    ordered = sorted(outcomes)
    await tx.execute(
        "UPDATE transfer SET state = done.state, reason = done.reason, change_time = now()"
        " FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS done(transfer_id, state, reason)"
        " WHERE transfer.transfer_id = done.transfer_id",
        ordered,
        [outcomes[transfer_id][0] for transfer_id in ordered],
        [outcomes[transfer_id][1] for transfer_id in ordered],
    )


async def passed_on(tx: Transaction, transfer_ids: Sequence[UUID], node: str) -> list[UUID]:
    """Held envelopes from elsewhere that no transfer and no delivery of this node needs any more.

    The envelope rows are locked, so that of two transfers that end at once the second sees the first.
    """
    rows = await tx.fetch(
        "SELECT envelope_id FROM envelope WHERE is_held AND envelope_id IN"
        " (SELECT envelope_id FROM transfer WHERE transfer_id = ANY($1) AND from_node <> '')"
        " ORDER BY envelope_id FOR UPDATE",
        list(transfer_ids),
    )
    if not rows:
        return []
    left = await tx.fetch(
        "SELECT e.envelope_id FROM unnest($1::uuid[]) AS e(envelope_id) WHERE NOT EXISTS"
        " (SELECT FROM transfer t WHERE t.envelope_id = e.envelope_id AND (t.next_hop = $2 OR t.state = $3))",
        [row["envelope_id"] for row in rows],
        node,
        TransferState.TRANSFER_STATE_QUEUED,
    )
    return [row["envelope_id"] for row in left]


async def first_answers(
    queries: Queries, from_node: str, transfer_ids: Sequence[UUID]
) -> dict[UUID, tuple[int, str]]:
    """What this node answered before to these transfers of a neighbour (R2)."""
    rows = await queries.fetch(
        "SELECT transfer_id, outcome, reason FROM inbound WHERE from_node = $1 AND transfer_id = ANY($2)",
        from_node,
        list(transfer_ids),
    )
    return {row["transfer_id"]: (row["outcome"], row["reason"]) for row in rows}


async def insert_inbound(
    tx: Transaction, from_node: str, answers: Mapping[UUID, tuple[int, str]]
) -> set[UUID]:
    """Remember final answers; returns the transfers that were new. A concurrent duplicate waits here."""
    ordered = sorted(answers)
    rows = await tx.fetch(
        "INSERT INTO inbound (from_node, transfer_id, outcome, reason)"
        " SELECT $1, * FROM unnest($2::uuid[], $3::smallint[], $4::text[]) ON CONFLICT DO NOTHING"
        " RETURNING transfer_id",
        from_node,
        ordered,
        [answers[transfer_id][0] for transfer_id in ordered],
        [answers[transfer_id][1] for transfer_id in ordered],
    )
    return {row["transfer_id"] for row in rows}


async def list_transfers(
    queries: Queries, next_hop: str, document_id: UUID | None, before: UUID | None, limit: int
) -> list[queue_pb2.TransferSummary]:
    """Newest first; LEASED where the queue says that it is on offer now."""
    rows = await queries.fetch(
        "SELECT t.*, e.document_id, e.urgency, q.lease_time > now() AS leased FROM transfer t"
        " JOIN envelope e USING (envelope_id) LEFT JOIN queue_item q ON q.id = t.transfer_id"
        " WHERE ($1 = '' OR t.next_hop = $1) AND ($2::uuid IS NULL OR e.document_id = $2)"
        " AND ($3::uuid IS NULL OR t.transfer_id < $3) ORDER BY t.transfer_id DESC LIMIT $4",
        next_hop,
        document_id,
        before,
        limit,
    )
    return [_summary(row) for row in rows]


async def oldest_waiting(queries: Queries) -> dict[str, datetime]:
    """Since when the oldest transfer waits, by destination."""
    rows = await queries.fetch(
        "SELECT destination, min(create_time) AS oldest FROM queue_item WHERE queue = $1"
        " GROUP BY destination",
        TRANSFER,
    )
    return {row["destination"]: row["oldest"] for row in rows}


def _summary(row: Record) -> queue_pb2.TransferSummary:
    state = row["state"]
    if state == TransferState.TRANSFER_STATE_QUEUED and row["leased"]:
        state = TransferState.TRANSFER_STATE_LEASED
    return queue_pb2.TransferSummary(
        transfer_id=str(row["transfer_id"]),
        envelope_id=str(row["envelope_id"]),
        document_id=str(row["document_id"] or ""),
        next_hop=row["next_hop"],
        recipients=row["recipients"],
        state=state,
        attempts=row["attempts"],
        urgency=row["urgency"],
        create_time=to_timestamp(row["create_time"]),
        change_time=to_timestamp(row["change_time"]),
        reason=row["reason"],
    )


def answer(transfer_id: UUID, outcome: int, reason: str = "") -> link_pb2.TransferAnswer:
    """One answer as it goes over the link."""
    return link_pb2.TransferAnswer(
        transfer_id=str(transfer_id), outcome=link_pb2.TransferOutcome.ValueType(outcome), reason=reason
    )
