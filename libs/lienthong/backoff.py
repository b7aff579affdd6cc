"""When to try a failing destination again: a pure rule, and its state in the database.

One sick destination harms nobody else (promise 4): its state is a row of its own, survives a restart, is
shared by all replicas, and is ended by any sign of life.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lienthong.db import Queries, Record, Transaction

DESTINATION_DDL: Final = """
CREATE TABLE destination (
    name               text        PRIMARY KEY,
    failures           integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    retry_time         timestamptz,
    first_failure_time timestamptz,
    last_error         text        NOT NULL DEFAULT '',
    last_success_time  timestamptz
);
"""

_ERROR_LETTERS: Final = 500
# A live destination's row is not rewritten for every batch, only to keep this precision.
_SUCCESS_PRECISION: Final = timedelta(seconds=30)
_COLUMNS: Final = "name, failures, retry_time, first_failure_time, last_error, last_success_time"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by `factor` from `initial` to `cap` seconds, each spread by +-`jitter` of itself."""

    initial: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.initial <= self.cap and self.factor >= 1 and 0 <= self.jitter < 1):
            raise ValueError(f"not a back-off: {self}")

    def next_delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after the `attempt`-th failure in a row, counted from 1."""
        if attempt < 1:
            raise ValueError("attempts are counted from 1")
        try:
            delay = min(self.cap, self.initial * self.factor ** (attempt - 1))
        except OverflowError:
            delay = self.cap
        # Without the spread all destinations lost in one outage would come back in the same instant.
        return min(self.cap, delay * rng.uniform(1 - self.jitter, 1 + self.jitter))


def next_delay(attempt: int, policy: Backoff, rng: random.Random) -> float:
    """`policy.next_delay`, as a function."""
    return policy.next_delay(attempt, rng)


@dataclass(frozen=True, slots=True)
class DestinationState:
    """What is known about one destination; `retry_time` is None while it is well."""

    name: str
    failures: int = 0
    retry_time: datetime | None = None
    first_failure_time: datetime | None = None
    last_error: str = ""
    last_success_time: datetime | None = None


async def failed(
    tx: Transaction, name: str, error: str, policy: Backoff, rng: random.Random
) -> DestinationState:
    """Note a failure and put the destination off.

    Of the many attempts in flight when a destination goes down only the first counts: the others are the
    same outage, and would push the next attempt far away.
    """
    failures = await tx.fetchval(
        "INSERT INTO destination AS d (name, failures, first_failure_time, last_error)"
        " VALUES ($1, 1, now(), $2)"
        " ON CONFLICT (name) DO UPDATE SET failures = d.failures + 1, last_error = excluded.last_error,"
        "   first_failure_time = coalesce(d.first_failure_time, now())"
        " WHERE d.retry_time IS NULL OR d.retry_time <= now()"
        " RETURNING failures",
        name,
        error[:_ERROR_LETTERS],
    )
    if failures is not None:
        delay = timedelta(seconds=policy.next_delay(failures, rng))
        await tx.execute("UPDATE destination SET retry_time = now() + $2 WHERE name = $1", name, delay)
    return (await state(tx, [name]))[name]


async def alive(tx: Queries, name: str) -> bool:
    """Note a sign of life, which ends the back-off. True when the destination was down before."""
    was_down = await tx.fetchval(
        "WITH before AS (SELECT failures FROM destination WHERE name = $1)"
        " INSERT INTO destination AS d (name, last_success_time) VALUES ($1, now())"
        " ON CONFLICT (name) DO UPDATE SET failures = 0, retry_time = NULL, first_failure_time = NULL,"
        "   last_error = '', last_success_time = now()"
        " WHERE d.failures > 0 OR d.last_success_time IS NULL OR d.last_success_time < now() - $2::interval"
        " RETURNING coalesce((SELECT failures > 0 FROM before), false)",
        name,
        _SUCCESS_PRECISION,
    )
    return bool(was_down)


async def state(queries: Queries, names: Sequence[str] | None = None) -> dict[str, DestinationState]:
    """The state of the destinations named, or of all known; one that was never tried is well."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM destination"  # noqa: S608  (constants)
        " WHERE $1::text[] IS NULL OR name = ANY($1) ORDER BY name",
        names,
    )
    found = {row["name"]: _state(row) for row in rows}
    return found | {name: DestinationState(name) for name in names or () if name not in found}


async def due(queries: Queries, names: Sequence[str]) -> list[str]:
    """Those of `names` that may be tried now, by the database's clock."""
    rows = await queries.fetch(
        "SELECT asked.name FROM unnest($1::text[]) AS asked(name) LEFT JOIN destination USING (name)"
        " WHERE retry_time IS NULL OR retry_time <= now()",
        names,
    )
    return [row["name"] for row in rows]


def _state(row: Record) -> DestinationState:
    return DestinationState(**dict(row))
