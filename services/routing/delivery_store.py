"""Rows of deliveries, of how they are handled, and of the receipts that came back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from lienthong.db import Queries, Record, Transaction
from lienthong.errors import NotFound
from lienthong.events import AFTER, HORIZON, SETTLED, Cursor
from lienthong.types.v1 import document_pb2

from services.routing.domain import Status

# The tables that are read by cursor, and the column that says whose a row is.
_OWNERS: Final = {"delivery": "recipient", "receipt": "organization"}


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A recipient's copy of an envelope, as it arrives."""

    delivery_id: UUID
    envelope_id: UUID
    recipient: str
    sender: str
    document: bytes
    verdicts: tuple[bytes, ...]
    traceparent: str
    arrive_time: datetime


@dataclass(frozen=True, slots=True)
class Handling:
    """One status that a recipient reported: an intent until its receipt is made."""

    handling_id: UUID
    delivery_id: UUID
    status: Status
    sequence: int
    previous: Status
    actor: str
    reason: str
    own_number: int
    act_time: datetime
    traceparent: str
    receipt: bytes | None = None
    failure: str = ""


async def known_recipients(queries: Queries, envelope_ids: Sequence[UUID]) -> set[tuple[UUID, str]]:
    """Which (envelope, recipient) were delivered before: nobody gets an envelope twice (R2)."""
    rows = await queries.fetch(
        "SELECT envelope_id, recipient FROM delivery WHERE envelope_id = ANY($1)", list(envelope_ids)
    )
    return {(row["envelope_id"], row["recipient"]) for row in rows}


async def insert_deliveries(tx: Transaction, deliveries: Sequence[NewDelivery]) -> None:
    """Deliver all; UniqueViolation where another worker delivered one of them: roll back and look again."""
    ordered = sorted(deliveries, key=lambda d: d.delivery_id)
    await tx.execute(
        "INSERT INTO delivery (delivery_id, envelope_id, recipient, sender, document, verdicts, status,"
        " sequence, traceparent, arrive_time) SELECT delivery_id, envelope_id, recipient, sender, document,"
        " ARRAY(SELECT decode(v, 'hex') FROM unnest(string_to_array(verdicts, ',')) WITH ORDINALITY"
        " AS a(v, place) ORDER BY place), $9, 1, traceparent, arrive_time"
        " FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[],"
        " $8::timestamptz[])"
        " AS new(delivery_id, envelope_id, recipient, sender, document, verdicts, traceparent, arrive_time)",
        [d.delivery_id for d in ordered],
        [d.envelope_id for d in ordered],
        [d.recipient for d in ordered],
        [d.sender for d in ordered],
        [d.document for d in ordered],
        [",".join(verdict.hex() for verdict in d.verdicts) for d in ordered],
        [d.traceparent for d in ordered],
        [d.arrive_time for d in ordered],
        str(Status.ARRIVED),
    )


async def get(queries: Queries, delivery_id: UUID) -> Record:
    """One delivery; NotFound("DELIVERY_UNKNOWN")."""
    row = await queries.fetchrow("SELECT * FROM delivery WHERE delivery_id = $1", delivery_id)
    if row is None:
        raise NotFound("DELIVERY_UNKNOWN", "no such delivery", field="delivery_id", delivery_id=delivery_id)
    return row


async def find_many(queries: Queries, delivery_ids: Collection[UUID]) -> dict[UUID, Record]:
    """Those deliveries that there are."""
    rows = await queries.fetch("SELECT * FROM delivery WHERE delivery_id = ANY($1)", list(delivery_ids))
    return {row["delivery_id"]: row for row in rows}


async def lock_many(tx: Transaction, delivery_ids: Collection[UUID]) -> dict[UUID, Record]:
    """`find_many`, each locked until the commit; in one order, or two batches would wait for each other."""
    rows = await tx.fetch(
        "SELECT * FROM delivery WHERE delivery_id = ANY($1) ORDER BY delivery_id FOR UPDATE",
        sorted(delivery_ids),
    )
    return {row["delivery_id"]: row for row in rows}


async def list_after(
    queries: Queries, table: str, owner: str, after: Cursor, limit: int
) -> tuple[list[Record], Cursor]:
    """Settled rows of an inbox or of a list of receipts behind a cursor, and the next cursor (R7)."""
    column = _OWNERS[table]
    rows = await queries.fetch(
        f"SELECT {HORIZON} AS horizon, page.* FROM (SELECT 1) AS one LEFT JOIN"  # noqa: S608  (constants)
        f" (SELECT *, xid::text AS xid_text FROM {table} WHERE {AFTER} AND {SETTLED} AND {column} = $4"
        f" ORDER BY {table}.xid, {table}.seq LIMIT $3) AS page ON true ORDER BY page.xid, page.seq",
        str(after.xid),
        after.seq,
        limit,
        owner,
    )
    found = [row for row in rows if row["seq"] is not None]
    if len(found) == limit:
        return found, cursor_of(found[-1])
    return found, max(after, Cursor(int(rows[0]["horizon"]), 0))


async def unsettled(queries: Queries, table: str, owner: str, after: Cursor) -> bool:
    """Whether rows behind the cursor are committed that nobody may read yet."""
    column = _OWNERS[table]
    found: bool = await queries.fetchval(
        f"SELECT EXISTS (SELECT FROM {table} WHERE {AFTER} AND {column} = $3)",  # noqa: S608  (constants)
        str(after.xid),
        after.seq,
        owner,
    )
    return found


def cursor_of(row: Record) -> Cursor:
    """The cursor just behind a row that `list_after` gave."""
    return Cursor(int(row["xid_text"]), row["seq"])


async def mark_fetched(tx: Transaction, organization: str, delivery_ids: Sequence[UUID]) -> list[UUID]:
    """Confirm; returns those that are the organization's."""
    rows = await tx.fetch(
        "UPDATE delivery SET fetch_time = coalesce(fetch_time, now()) WHERE delivery_id IN"
        " (SELECT delivery_id FROM delivery WHERE recipient = $1 AND delivery_id = ANY($2)"
        " ORDER BY delivery_id FOR UPDATE) RETURNING delivery_id",
        organization,
        list(delivery_ids),
    )
    return [row["delivery_id"] for row in rows]


async def insert_handlings(tx: Transaction, handlings: Sequence[Handling]) -> None:
    """Make intents durable: the deliveries, locked by the caller, stand at their new statuses from now on."""
    if not handlings:
        return
    await tx.execute(
        "INSERT INTO handling (handling_id, delivery_id, status, sequence, previous, actor, reason,"
        " own_number, act_time, traceparent) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[],"
        " $4::integer[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::timestamptz[], $10::text[])",
        [h.handling_id for h in handlings],
        [h.delivery_id for h in handlings],
        [str(h.status) for h in handlings],
        [h.sequence for h in handlings],
        [str(h.previous) for h in handlings],
        [h.actor for h in handlings],
        [h.reason for h in handlings],
        [h.own_number for h in handlings],
        [h.act_time for h in handlings],
        [h.traceparent for h in handlings],
    )
    last = {h.delivery_id: h for h in handlings}
    await tx.execute(
        "UPDATE delivery SET status = new.status, sequence = new.sequence"
        " FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS new(delivery_id, status, sequence)"
        " WHERE delivery.delivery_id = new.delivery_id",
        list(last),
        [str(h.status) for h in last.values()],
        [h.sequence for h in last.values()],
    )


async def find_handlings(queries: Queries, handling_ids: Sequence[UUID]) -> dict[UUID, Handling]:
    """Those that there are."""
    rows = await queries.fetch("SELECT * FROM handling WHERE handling_id = ANY($1)", list(handling_ids))
    return {row["handling_id"]: _handling(row) for row in rows}


async def handling_of_status(queries: Queries, delivery_id: UUID, status: Status) -> Handling | None:
    """The handling by which a delivery reached a status, if it did."""
    row = await queries.fetchrow(
        "SELECT * FROM handling WHERE delivery_id = $1 AND status = $2 AND failure = ''"
        " ORDER BY sequence DESC LIMIT 1",
        delivery_id,
        str(status),
    )
    return _handling(row) if row else None


async def finish_handlings(tx: Transaction, receipts: Mapping[UUID, document_pb2.Receipt]) -> int:
    """The receipts are made, by handling; the count. Fewer than asked: another worker made one first."""
    ordered = sorted(receipts)
    rows = await tx.fetch(
        "UPDATE handling SET receipt = made.receipt FROM unnest($1::uuid[], $2::bytea[])"
        " AS made(handling_id, receipt) WHERE handling.handling_id = made.handling_id"
        " AND handling.receipt IS NULL AND handling.failure = '' RETURNING handling.handling_id, delivery_id",
        ordered,
        [receipts[handling_id].SerializeToString() for handling_id in ordered],
    )
    numbers = {row["delivery_id"]: receipts[row["handling_id"]].arrival_number for row in rows}
    numbered = sorted(delivery_id for delivery_id, number in numbers.items() if number)
    if numbered:
        # Locked in one order before the update, whose own order is whatever the plan makes of it.
        await tx.fetch(
            "SELECT 1 FROM delivery WHERE delivery_id = ANY($1) ORDER BY delivery_id FOR UPDATE", numbered
        )
        await tx.execute(
            "UPDATE delivery SET arrival_number = taken.number FROM unnest($1::uuid[], $2::integer[])"
            " AS taken(delivery_id, number) WHERE delivery.delivery_id = taken.delivery_id",
            numbered,
            [numbers[delivery_id] for delivery_id in numbered],
        )
    return len(rows)


async def fail_handling(tx: Transaction, handling: Handling, failure: str) -> None:
    """The intent cannot be done: the delivery stands where it stood; its sequence number stays used."""
    tag = await tx.execute(
        "UPDATE handling SET failure = $2 WHERE handling_id = $1 AND receipt IS NULL AND failure = ''",
        handling.handling_id,
        failure,
    )
    if tag == "UPDATE 1":
        await tx.execute(
            "UPDATE delivery SET status = $2 WHERE delivery_id = $1 AND sequence = $3",
            handling.delivery_id,
            str(handling.previous),
            handling.sequence,
        )


def _handling(row: Record) -> Handling:
    return Handling(
        handling_id=row["handling_id"],
        delivery_id=row["delivery_id"],
        status=Status(row["status"]),
        sequence=row["sequence"],
        previous=Status(row["previous"]),
        actor=row["actor"],
        reason=row["reason"],
        own_number=row["own_number"],
        act_time=row["act_time"],
        traceparent=row["traceparent"],
        receipt=row["receipt"],
        failure=row["failure"],
    )


@dataclass(frozen=True, slots=True)
class ReceivedReceipt:
    """A receipt that reached the node of the sender, with the envelope that proves it."""

    receipt: document_pb2.Receipt
    organization: str
    proof_id: UUID


async def insert_receipts(tx: Transaction, receipts: Sequence[ReceivedReceipt]) -> set[str]:
    """Keep receipts; returns the ids of those that were new."""
    ordered = sorted(receipts, key=lambda r: r.receipt.receipt_id)
    rows = await tx.fetch(
        "INSERT INTO receipt (receipt_id, organization, envelope_id, payload, proof_id)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[])"
        " ON CONFLICT DO NOTHING RETURNING receipt_id",
        [UUID(r.receipt.receipt_id) for r in ordered],
        [r.organization for r in ordered],
        [UUID(r.receipt.envelope_id) for r in ordered],
        [r.receipt.SerializeToString() for r in ordered],
        [r.proof_id for r in ordered],
    )
    return {str(row["receipt_id"]) for row in rows}


async def apply_receipts(tx: Transaction, receipts: Sequence[document_pb2.Receipt]) -> None:
    """What the sender knows moves forward by the recipient's own sequence, never back, and never by clocks.

    The first transport outcome stands: DELIVERED and NOT_DELIVERED exclude each other (R3).
    """
    rounds: list[dict[tuple[UUID, str], document_pb2.Receipt]] = []
    for receipt in sorted(receipts, key=lambda r: (r.envelope_id, r.recipient, r.sequence)):
        key = (UUID(receipt.envelope_id), receipt.recipient)
        # Of one recipient in the order of its sequence; of all others in one statement.
        place = next((one for one in rounds if key not in one), None)
        if place is None:
            rounds.append(place := {})
        place[key] = receipt
    for one in rounds:
        await _apply_round(tx, one)


async def _apply_round(tx: Transaction, receipts: Mapping[tuple[UUID, str], document_pb2.Receipt]) -> None:
    keys = sorted(receipts)
    ordered = [receipts[key] for key in keys]
    names = [envelope_id for envelope_id, _ in keys], [organization for _, organization in keys]
    # Locked in one order before the update, whose own order is whatever the plan makes of it.
    await tx.fetch(
        "SELECT 1 FROM recipient JOIN unnest($1::uuid[], $2::text[]) AS told(envelope_id, organization)"
        " USING (envelope_id, organization) ORDER BY envelope_id, organization FOR UPDATE OF recipient",
        *names,
    )
    await tx.execute(
        "UPDATE recipient AS r SET outcome = CASE WHEN r.outcome = 0 THEN told.outcome ELSE r.outcome END,"
        " status = CASE WHEN told.sequence > r.sequence AND told.status <> '' THEN told.status"
        " ELSE r.status END,"
        " reason = CASE WHEN told.sequence > r.sequence AND told.reason <> '' THEN told.reason"
        " ELSE r.reason END,"
        " arrival_number = CASE WHEN told.number > 0 THEN told.number ELSE r.arrival_number END,"
        " sequence = greatest(r.sequence, told.sequence)"
        " FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::integer[], $5::text[], $6::text[],"
        " $7::integer[]) AS told(envelope_id, organization, outcome, sequence, status, reason, number)"
        " WHERE r.envelope_id = told.envelope_id AND r.organization = told.organization",
        *names,
        [int(receipt.outcome) for receipt in ordered],
        [receipt.sequence for receipt in ordered],
        [receipt.status for receipt in ordered],
        [receipt.reason for receipt in ordered],
        [receipt.arrival_number for receipt in ordered],
    )


async def senders_of(queries: Queries, envelope_ids: Sequence[UUID]) -> Mapping[tuple[UUID, str], str]:
    """The organization of this node that sent each envelope to each recipient, for those that it did send."""
    rows = await queries.fetch(
        "SELECT r.envelope_id, r.organization, e.sender FROM recipient r JOIN envelope e USING (envelope_id)"
        " WHERE r.envelope_id = ANY($1)",
        list(envelope_ids),
    )
    return {(row["envelope_id"], row["organization"]): row["sender"] for row in rows}
