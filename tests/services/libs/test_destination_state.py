"""Back-off state of destinations in the database: one outage is one failure, a sign of life ends it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest_asyncio
from lienthong import backoff
from lienthong.backoff import DESTINATION_DDL, Backoff, DestinationState
from lienthong.db import Database

from tests.support.postgres import Databases

POLICY = Backoff(initial=0.1, factor=2, cap=10, jitter=0)


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open(None, DESTINATION_DDL)
    yield database
    await database.close()


async def _fail(db: Database, error: str = "PEER_DOWN") -> DestinationState:
    async with db.transaction() as tx:
        return await backoff.failed(tx, "H01", error, POLICY, random.Random(1))


async def test_one_outage_counts_once(db: Database) -> None:
    states = await asyncio.gather(*(_fail(db) for _ in range(8)))
    assert {state.failures for state in states} == {1}
    assert await backoff.due(db, ["H01", "H02"]) == ["H02"]


async def test_failure_after_the_delay_counts_and_remembers_the_first(db: Database) -> None:
    first = await _fail(db, "FIRST")
    await asyncio.sleep(0.12)
    assert await backoff.due(db, ["H01"]) == ["H01"]
    second = await _fail(db, "SECOND")
    assert (second.failures, second.last_error) == (2, "SECOND")
    assert second.first_failure_time == first.first_failure_time
    assert second.retry_time is not None
    assert first.retry_time is not None
    assert second.retry_time > first.retry_time


async def test_sign_of_life_ends_it(db: Database) -> None:
    await _fail(db)
    assert await backoff.alive(db, "H01") is True
    state = (await backoff.state(db, ["H01"]))["H01"]
    assert (state.failures, state.retry_time, state.first_failure_time) == (0, None, None)
    assert state.last_success_time is not None
    assert await backoff.alive(db, "H01") is False


async def test_unknown_destination_is_well(db: Database) -> None:
    assert await backoff.state(db, ["H09"]) == {"H09": DestinationState("H09")}
    assert await backoff.due(db, ["H09"]) == ["H09"]
    assert await backoff.alive(db, "H09") is False
