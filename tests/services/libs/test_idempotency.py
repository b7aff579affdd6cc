"""Promise 2: a repeat gets the first answer; the same id with other content is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from lienthong import db as database
from lienthong.db import Database
from lienthong.errors import Aborted, AlreadyExists, Internal
from lienthong.idempotency import REQUEST_DDL, Request, forget, recall, recall_many, record, record_many
from lienthong.ids import new_id

from tests.support.postgres import Databases

SCHEMA = REQUEST_DDL + "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, caller text);"


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    opened = await databases.open(None, SCHEMA, pool_size=25)
    yield opened
    await opened.close()


async def _call(db: Database, request: Request, *, fails: bool = False, takes: float = 0.0) -> bytes:
    async with db.transaction() as tx:
        answer = await recall(tx, request.caller, request.request_id, request.request_hash)
        if answer is None:
            number = await tx.fetchval("INSERT INTO effect (caller) VALUES ($1) RETURNING id", request.caller)
            await asyncio.sleep(takes)
            if fails:
                raise ZeroDivisionError
            answer = f"answer {number}".encode()
            await record(tx, request.caller, request.request_id, answer)
        return answer


async def test_50_concurrent_calls_run_once(db: Database) -> None:
    request = Request("G22", new_id(), b"hash")
    answers = await asyncio.gather(*(_call(db, request, takes=0.05) for _ in range(50)))
    assert len(set(answers)) == 1
    assert await db.fetchval("SELECT count(*) FROM effect") == 1
    assert await _call(db, request) == answers[0]


async def test_waiter_does_the_work_when_the_first_fails(db: Database) -> None:
    request = Request("G22", new_id(), b"hash")
    first = asyncio.create_task(_call(db, request, fails=True, takes=0.3))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(_call(db, request))
    await asyncio.sleep(0.05)
    assert not second.done()
    with pytest.raises(ZeroDivisionError):
        await first
    assert (await second).startswith(b"answer")
    assert await db.fetchval("SELECT count(*) FROM effect") == 1


async def test_other_content_is_refused(db: Database) -> None:
    request = Request("G22", new_id(), b"hash")
    await _call(db, request)
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED") as raised:
        await _call(db, Request("G22", request.request_id, b"other"))
    assert [violation.field for violation in raised.value.violations] == ["request_id"]
    assert await db.fetchval("SELECT count(*) FROM effect") == 1


async def test_same_id_of_another_caller_is_another_request(db: Database) -> None:
    request = Request("G22", new_id(), b"hash")
    first = await _call(db, request)
    assert await _call(db, Request("H01", request.request_id, b"other")) != first


async def test_batch_answers_item_by_item(db: Database) -> None:
    known, reused, new = (Request("G22", new_id(), b"hash") for _ in range(3))
    answer = await _call(db, known)
    await _call(db, reused)
    async with db.transaction() as tx:
        other = Request("G22", reused.request_id, b"other")
        got = await recall_many(tx, [new, known, other, new, Request("G22", new.request_id, b"other")])
        assert got[:2] == [None, answer]
        assert isinstance(got[2], AlreadyExists)
        assert isinstance(got[3], Aborted)
        assert isinstance(got[4], AlreadyExists)
        await record_many(tx, [(new.key, b"")])
    assert await _call(db, new) == b""


async def test_batches_in_opposite_order_do_not_deadlock(db: Database) -> None:
    requests = [Request("G22", new_id(), b"hash") for _ in range(100)]

    async def batch(order: list[Request]) -> int:
        async with db.transaction() as tx:
            got = await recall_many(tx, order)
            new = [request.key for request, answer in zip(order, got, strict=True) if answer is None]
            await record_many(tx, [(key, b"done") for key in new])
            return len(new)

    counts = await asyncio.gather(*(batch(requests if n % 2 else requests[::-1]) for n in range(10)))
    assert sum(counts) == 100


async def _record_only(db: Database) -> None:
    async with db.transaction() as tx:
        await record(tx, "G22", new_id(), b"answer")


async def test_recording_what_was_not_recalled_is_a_defect(db: Database) -> None:
    with pytest.raises(Internal, match="REQUEST_NOT_RECALLED"):
        await _record_only(db)


async def test_forget_takes_only_the_old(db: Database) -> None:
    await _call(db, Request("G22", new_id(), b"hash"))
    now = await database.now(db)
    assert await forget(db, now - timedelta(hours=1)) == 0
    assert await forget(db, now + timedelta(hours=1)) == 1
