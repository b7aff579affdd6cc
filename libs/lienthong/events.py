"""Events: rows of the change's own transaction, read by cursor without ever losing one (design R7).

A plain sequence loses events: a transaction that drew number 7 may commit after a reader has passed 8.
So readers go by (xid, seq) and see only what lies below every transaction still running: no row can
appear there any more. The price is that one long transaction delays all readers (db.py limits it).

Transaction ids belong to one PostgreSQL cluster. A physical copy keeps them; after a logical restore
(pg_dump) into another cluster the stored ones must be reset before the service starts, or the rows stay
out of sight until the new cluster has counted as far.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from lienthong.db import Database, Queries, Record, Transaction
from lienthong.errors import InvalidArgument

# Columns and predicates for any table that is read by cursor (an inbox has the same two columns).
CURSOR_COLUMNS: Final = (
    "xid xid8 NOT NULL DEFAULT pg_current_xact_id(),\n    seq bigint GENERATED ALWAYS AS IDENTITY"
)
SETTLED: Final = "xid < pg_snapshot_xmin(pg_current_snapshot())"
AFTER: Final = "(xid, seq) > ($1::text::xid8, $2::bigint)"
IN_ORDER: Final = "ORDER BY xid, seq"
HORIZON: Final = "pg_snapshot_xmin(pg_current_snapshot())::text"

EVENT_DDL: Final = f"""
CREATE TABLE event (
    {CURSOR_COLUMNS},
    id          uuid        NOT NULL,
    kind        text        NOT NULL,
    subject     text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    traceparent text        NOT NULL DEFAULT '',
    payload     bytea       NOT NULL,
    PRIMARY KEY (xid, seq)
);
"""

_POSITION: Final = struct.Struct(">QQ")
_LARGEST_SEQ: Final = 2**63 - 1
_POLL_SECONDS: Final = 1.0
_SETTLING_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place between two rows. Its text is opaque to those who keep it."""

    xid: int
    seq: int

    def encode(self) -> str:
        """The text handed to clients."""
        return base64.urlsafe_b64encode(_POSITION.pack(self.xid, self.seq)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read what `encode` gave; "" is the beginning. Raises InvalidArgument("CURSOR_INVALID")."""
        if not text:
            return BEGINNING
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            cursor = cls(*_POSITION.unpack(packed))
        except (ValueError, binascii.Error, struct.error):
            cursor = None
        if cursor is None or cursor.seq > _LARGEST_SEQ or cursor.encode() != text:
            raise InvalidArgument("CURSOR_INVALID", "not a cursor that was given out here", field="cursor")
        return cursor


BEGINNING: Final = Cursor(0, 0)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, to be told to others."""

    id: UUID
    kind: str
    subject: str
    payload: bytes
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is read."""

    cursor: Cursor
    id: UUID
    kind: str
    subject: str
    create_time: datetime
    traceparent: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and where to go on: the cursor moves also past what a filter left out."""

    events: list[Event]
    cursor: Cursor


class Signal(Protocol):
    """What tells that there may be news (queue.Wakeups)."""

    def generation(self, name: str) -> int: ...
    async def wait(self, name: str, seen: int, timeout_seconds: float) -> bool: ...


async def append(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Write events with the change that they tell of, in the order given."""
    await tx.execute(
        "INSERT INTO event (id, kind, subject, traceparent, payload)"
        " SELECT id, kind, subject, traceparent, payload"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])"
        " WITH ORDINALITY AS new(id, kind, subject, traceparent, payload, place) ORDER BY place",
        [event.id for event in events],
        [event.kind for event in events],
        [event.subject for event in events],
        [event.traceparent for event in events],
        [event.payload for event in events],
    )


async def read(
    queries: Queries, after: Cursor | None, limit: int, kinds: Sequence[str] | None = None
) -> Page:
    """Up to `limit` settled events after the cursor, and the next cursor.

    Must not run in a transaction above read committed: its old snapshot would be asked for the horizon.
    """
    start = after or BEGINNING
    # One statement, so one snapshot: the horizon returned is the one the rows were chosen by.
    rows = await queries.fetch(
        f"SELECT {HORIZON} AS horizon, page.* FROM (SELECT 1) AS one LEFT JOIN ("  # noqa: S608  (constants)
        " SELECT xid::text AS xid, seq, id, kind, subject, create_time, traceparent, payload FROM event"
        f" WHERE {AFTER} AND {SETTLED} AND ($4::text[] IS NULL OR kind = ANY($4))"
        # Qualified: a bare xid would mean the text beside it, and sort 10 before 9.
        " ORDER BY event.xid, event.seq LIMIT $3) AS page ON true ORDER BY page.xid::xid8, page.seq",
        str(start.xid),
        start.seq,
        limit,
        kinds,
    )
    events = [_event(row) for row in rows if row["id"] is not None]
    if len(events) == limit:
        return Page(events, events[-1].cursor)
    # Everything below the horizon was seen; rows to come have at least its xid, and a seq above 0.
    return Page(events, max(start, Cursor(int(rows[0]["horizon"]), 0)))


async def watch(
    db: Database,
    after: Cursor | None,
    wakeups: Signal,
    *,
    name: str = "event",
    limit: int = 256,
    kinds: Sequence[str] | None = None,
) -> AsyncIterator[Page]:
    """Pages as they come, for ever. A lost wake-up costs a second, never an event."""
    cursor = after or BEGINNING
    while True:
        seen = wakeups.generation(name)
        page = await read(db, cursor, limit, kinds)
        cursor = page.cursor
        if page.events:
            yield page
        elif await _unsettled(db, cursor):
            await asyncio.sleep(_SETTLING_SECONDS)  # committed, but something older still runs
        else:
            await wakeups.wait(name, seen, _POLL_SECONDS)


async def _unsettled(db: Database, cursor: Cursor) -> bool:
    found: Any = await db.fetchval(
        f"SELECT EXISTS (SELECT FROM event WHERE {AFTER})",  # noqa: S608  (a constant)
        str(cursor.xid),
        cursor.seq,
    )
    return bool(found)


def _event(row: Record) -> Event:
    return Event(
        cursor=Cursor(int(row["xid"]), row["seq"]),
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        create_time=row["create_time"],
        traceparent=row["traceparent"],
        payload=row["payload"],
    )
