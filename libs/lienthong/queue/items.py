"""The rows of the queue and every statement on them.

An item is put by the transaction that makes it necessary, and leaves by the transaction that did it. Between
the two a claim leases it: a lease that runs out (its worker was killed) makes it claimable again, and the
token that each claim draws keeps the old owner from completing what is no longer its own.
All time is the database's. Finished items are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Final
from uuid import UUID

from lienthong.db import Database, Queries, Record, Transaction
from lienthong.errors import Aborted
from lienthong.queue.wakeups import Wakeups

QUEUE_DDL: Final = """
CREATE TABLE queue_item (
    id          uuid        PRIMARY KEY,
    queue       text        NOT NULL,
    destination text        NOT NULL DEFAULT '',
    priority    smallint    NOT NULL DEFAULT 0,
    run_time    timestamptz NOT NULL DEFAULT now(),
    create_time timestamptz NOT NULL DEFAULT now(),
    attempts    integer     NOT NULL DEFAULT 0,
    lease_token bigint      NOT NULL DEFAULT 0,
    lease_time  timestamptz,
    traceparent text        NOT NULL DEFAULT '',
    payload     bytea       NOT NULL,
    last_error  text        NOT NULL DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_item_urgent ON queue_item (queue, destination, priority DESC, run_time, id);
CREATE INDEX queue_item_oldest ON queue_item (queue, run_time, id);
CREATE INDEX queue_item_any ON queue_item (queue, priority DESC, run_time, id);
"""

_ERROR_LETTERS: Final = 500
_CLAIM_COLUMNS: Final = (
    "item.id, item.queue, item.destination, item.priority, item.create_time, item.attempts,"
    " item.lease_token, item.traceparent, item.payload, item.last_error"
)
_CLAIMABLE: Final = "queue = $1 AND run_time <= now() AND (lease_time IS NULL OR lease_time <= now())"
# Locks what is still ours in the order of ids: renewals, completions and retries of overlapping sets run
# at the same time, and would deadlock in opposite orders.
_OURS: Final = (
    "WITH ours AS MATERIALIZED (SELECT item.id FROM queue_item AS item"
    " JOIN unnest($1::uuid[], $2::bigint[]) AS held(id, lease_token) USING (id, lease_token)"
    " ORDER BY item.id FOR UPDATE OF item)"
)


class Order(Enum):
    """Which of the waiting items come first."""

    URGENT = "priority DESC, run_time, id"
    OLDEST = "run_time, id"


class LeaseLost(Aborted):
    """The work took longer than its lease and somebody else has it now: roll back."""


@dataclass(frozen=True, slots=True)
class Item:
    """Work to be done. The same id put twice is one item; a higher `priority` goes first."""

    id: UUID
    queue: str
    payload: bytes
    destination: str = ""
    priority: int = 0
    delay: float = 0.0
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """An item leased to us; `attempts` counts this one."""

    id: UUID
    queue: str
    destination: str
    priority: int
    create_time: datetime
    attempts: int
    lease_token: int
    traceparent: str
    payload: bytes
    last_error: str


async def put(tx: Transaction, items: Sequence[Item], wakeups: Wakeups | None = None) -> set[UUID]:
    """Add items with the change that needs them; returns the ids that were not there yet."""
    ordered = sorted(items, key=lambda item: item.id)
    rows = await tx.fetch(
        "INSERT INTO queue_item (id, queue, destination, priority, run_time, traceparent, payload)"
        " SELECT id, queue, destination, priority, now() + delay, traceparent, payload"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::interval[], $6::text[],"
        " $7::bytea[]) AS new(id, queue, destination, priority, delay, traceparent, payload)"
        " ON CONFLICT (id) DO NOTHING RETURNING id",
        [item.id for item in ordered],
        [item.queue for item in ordered],
        [item.destination for item in ordered],
        [item.priority for item in ordered],
        [timedelta(seconds=item.delay) for item in ordered],
        [item.traceparent for item in ordered],
        [item.payload for item in ordered],
    )
    if wakeups is not None:
        for queue in sorted({item.queue for item in ordered}):
            tx.after_commit(partial(wakeups.notify, queue))
    return {row["id"] for row in rows}


async def claim(
    db: Database,
    queue: str,
    *,
    destinations: Sequence[str] | None = None,
    limit: int,
    lease_seconds: float,
    order: Order = Order.URGENT,
) -> list[Claim]:
    """Lease up to `limit` items, most urgent first and then oldest; only for `destinations` if given.

    Takes also what was leased to somebody whose lease ran out. Two claimers never get the same item.
    """
    if destinations is None:
        chosen = (
            f"SELECT id FROM queue_item WHERE {_CLAIMABLE}"  # noqa: S608  (constants)
            f" ORDER BY {order.value} LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
    else:
        # One index range for each destination: a sick one's backlog is not even looked at. Of the
        # candidates of all, the first `limit` are taken and the others unlocked again at once.
        chosen = (
            "SELECT candidate.id FROM unnest($4::text[]) AS wanted(name)"  # noqa: S608  (constants)
            f" CROSS JOIN LATERAL (SELECT id, priority, run_time FROM queue_item WHERE {_CLAIMABLE}"
            f" AND destination = wanted.name ORDER BY {order.value} LIMIT $2 FOR UPDATE SKIP LOCKED)"
            f" AS candidate ORDER BY {order.value} LIMIT $2"
        )
    rows = await db.fetch(
        f"WITH chosen AS MATERIALIZED ({chosen})"  # noqa: S608  (constants)
        " UPDATE queue_item AS item SET attempts = attempts + 1, lease_token = lease_token + 1,"
        " lease_time = now() + $3 FROM chosen WHERE item.id = chosen.id"
        f" RETURNING {_CLAIM_COLUMNS}, item.run_time",
        queue,
        limit,
        timedelta(seconds=lease_seconds),
        *([] if destinations is None else [destinations]),
    )
    if order is Order.URGENT:
        rows.sort(key=lambda row: (-row["priority"], row["run_time"], row["id"]))
    else:
        rows.sort(key=lambda row: (row["run_time"], row["id"]))
    return [_claim(row) for row in rows]


async def renew(db: Queries, claims: Sequence[Claim], lease_seconds: float) -> set[UUID]:
    """Lengthen the leases; returns those that are still ours."""
    return await _change(db, claims, "lease_time = now() + $3", timedelta(seconds=lease_seconds))


async def complete(tx: Queries, claims: Sequence[Claim]) -> set[UUID]:
    """Remove what was done; returns those that were ours. For the others, roll back: see `finish`."""
    rows = await tx.fetch(
        f"{_OURS} DELETE FROM queue_item AS item USING ours WHERE item.id = ours.id RETURNING item.id",  # noqa: S608
        *_held(claims),
    )
    return {row["id"] for row in rows}


async def finish(tx: Transaction, claims: Sequence[Claim]) -> None:
    """`complete` all, or raise LeaseLost so that the transaction rolls back."""
    if len(await complete(tx, claims)) != len(claims):
        raise LeaseLost("LEASE_LOST", "the work took longer than its lease, another worker has it")


async def retry(db: Queries, claim: Claim, delay: float, error: str) -> bool:
    """Give a failed item back, to be tried after `delay` seconds. False when it was no longer ours."""
    changed = await _change(
        db,
        [claim],
        f"{_GIVEN_BACK}, run_time = now() + $3, last_error = $4",
        timedelta(seconds=delay),
        error[:_ERROR_LETTERS],
    )
    return bool(changed)


async def release(db: Queries, claims: Sequence[Claim]) -> set[UUID]:
    """Give items back untried, to be claimed at once: the attempt does not count."""
    return await _change(db, claims, f"{_GIVEN_BACK}, attempts = attempts - 1")


async def postpone(db: Queries, claims: Sequence[Claim], delay: float) -> set[UUID]:
    """Give items back untried, for `delay` seconds: the attempt does not count."""
    return await _change(
        db, claims, f"{_GIVEN_BACK}, attempts = attempts - 1, run_time = now() + $3", timedelta(seconds=delay)
    )


async def depth(db: Queries, queue: str) -> dict[str, int]:
    """How many items each destination has in the queue, leased ones included."""
    rows = await db.fetch(
        "SELECT destination, count(*) AS items FROM queue_item WHERE queue = $1 GROUP BY destination", queue
    )
    return {row["destination"]: row["items"] for row in rows}


# A new token: whoever gave the item back can no longer complete it by mistake.
_GIVEN_BACK: Final = "lease_time = NULL, lease_token = lease_token + 1"


async def _change(db: Queries, claims: Sequence[Claim], assignments: str, *args: object) -> set[UUID]:
    rows = await db.fetch(
        f"{_OURS} UPDATE queue_item AS item SET {assignments}"  # noqa: S608  (constants)
        " FROM ours WHERE item.id = ours.id RETURNING item.id",
        *_held(claims),
        *args,
    )
    return {row["id"] for row in rows}


def _held(claims: Sequence[Claim]) -> tuple[list[UUID], list[int]]:
    return [claim.id for claim in claims], [claim.lease_token for claim in claims]


def _claim(row: Record) -> Claim:
    return Claim(
        id=row["id"],
        queue=row["queue"],
        destination=row["destination"],
        priority=row["priority"],
        create_time=row["create_time"],
        attempts=row["attempts"],
        lease_token=row["lease_token"],
        traceparent=row["traceparent"],
        payload=row["payload"],
        last_error=row["last_error"],
    )
