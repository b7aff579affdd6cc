"""R6: one way into a transaction, and nothing of a failed one remains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from lienthong.db import (
    Database,
    TransactionError,
    UniqueViolation,
    assert_no_transaction,
    in_transaction,
    now,
)
from lienthong.errors import Aborted, DeadlineExceeded, ResourceExhausted, Unavailable
from lienthong.postgres import EmbeddedPostgres
from lienthong.settings import DatabaseSettings

from tests.support.postgres import Databases

SCHEMA = (
    "CREATE TABLE item (id integer CONSTRAINT item_is_unique PRIMARY KEY, value integer NOT NULL DEFAULT 0)"
)


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open(None, SCHEMA, pool_size=2)
    yield database
    await database.close()


async def test_raise_after_first_statement_leaves_nothing(db: Database) -> None:
    called: list[str] = []

    async def fail() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO item VALUES (1)")
            tx.after_commit(lambda: called.append("committed"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await db.fetch("SELECT * FROM item") == []
    assert called == []


async def test_commit_is_seen_by_its_callback(db: Database) -> None:
    seen: list[bool] = []
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO item VALUES (1)")
        tx.after_commit(lambda: seen.append(in_transaction()))
        assert seen == []
    assert seen == [False]
    assert await db.fetchval("SELECT count(*) FROM item") == 1


async def test_failing_callback_changes_no_answer(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO item VALUES (1)")
        tx.after_commit(lambda: [][0])
        tx.after_commit(lambda: called.append("second"))
    assert called == ["second"]
    assert "callback after commit failed" in caplog.text


async def test_failed_commit_calls_no_callback(databases: Databases) -> None:
    schema = "CREATE TABLE late (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    db = await databases.open(None, schema)
    called: list[str] = []

    async def commit() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO late VALUES (1), (1)")
            tx.after_commit(lambda: called.append("committed"))

    with pytest.raises(UniqueViolation, match="late_id_key"):
        await commit()
    assert called == []
    await db.close()


async def test_cancelled_transaction_leaves_nothing_and_frees_its_connection(db: Database) -> None:
    inserted = asyncio.Event()

    async def hang() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO item VALUES (1)")
            inserted.set()
            await asyncio.sleep(60)

    for _ in range(4):  # more often than the pool has connections
        inserted.clear()
        task = asyncio.create_task(hang())
        await inserted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await db.fetchval("SELECT count(*) FROM item") == 0


async def test_nested_use_is_refused(db: Database) -> None:
    async with db.transaction():
        with pytest.raises(TransactionError, match="opening a transaction inside an open transaction"):
            async with db.transaction():
                pass
        with pytest.raises(TransactionError):
            await db.fetchval("SELECT 1")
    assert await db.fetchval("SELECT 1") == 1


async def test_calling_out_is_refused_only_inside(db: Database) -> None:
    assert not in_transaction()
    async with db.transaction():
        assert in_transaction()
        with pytest.raises(TransactionError, match="calling storage"):
            assert_no_transaction("calling storage")
    assert_no_transaction("calling storage")


async def test_task_that_outlives_the_transaction_is_free(db: Database) -> None:
    ended = asyncio.Event()

    async def later() -> bool:
        await ended.wait()
        return in_transaction()

    async with db.transaction():
        task = asyncio.create_task(later())
    ended.set()
    assert await task is False


async def test_transaction_used_after_its_end(db: Database) -> None:
    async with db.transaction() as tx:
        pass
    with pytest.raises(TransactionError, match="has ended"):
        await tx.execute("INSERT INTO item VALUES (1)")


async def test_unique_violation_names_its_constraint(db: Database) -> None:
    with pytest.raises(UniqueViolation) as raised:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO item VALUES (1), (1)")
    assert raised.value.constraint == "item_is_unique"


async def test_serialization_failure_is_a_conflict(db: Database) -> None:
    await db.execute("INSERT INTO item VALUES (1)")

    async def overtaken() -> None:
        async with db.transaction("repeatable_read") as tx:
            await tx.fetchval("SELECT value FROM item")
            await _elsewhere(db)
            await tx.execute("UPDATE item SET value = 2")

    with pytest.raises(Aborted, match="DATABASE_CONFLICT") as raised:
        await overtaken()
    assert raised.value.retry_after


async def _elsewhere(db: Database) -> None:
    connection = await asyncpg.connect(db.url)
    await connection.execute("UPDATE item SET value = 1")
    await connection.close()


async def test_deadlock_is_a_conflict_for_one(db: Database) -> None:
    await db.execute("INSERT INTO item VALUES (1), (2)")
    both = asyncio.Barrier(2)

    async def update(first: int, second: int) -> None:
        async with db.transaction() as tx:
            await tx.execute("UPDATE item SET value = value + 1 WHERE id = $1", first)
            await both.wait()
            await tx.execute("UPDATE item SET value = value + 1 WHERE id = $1", second)

    results = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    [failure] = [result for result in results if result is not None]
    assert isinstance(failure, Aborted)
    assert failure.reason == "DATABASE_CONFLICT"


async def test_full_pool_answers_busy_in_bounded_time(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lienthong.db._ACQUIRE_SECONDS", 0.1)
    release = asyncio.Event()

    async def hold() -> None:
        async with db.transaction():
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(ResourceExhausted, match="DATABASE_BUSY") as raised:
        await db.fetchval("SELECT 1")
    assert raised.value.retry_after
    release.set()
    await asyncio.gather(*holders)
    assert await db.fetchval("SELECT 1") == 1


async def test_slow_statement_is_cut_off(databases: Databases) -> None:
    url = await databases.create()
    db = await Database.open(DatabaseSettings(url=url, statement_timeout=0.1))
    with pytest.raises(DeadlineExceeded, match="DATABASE_TIMEOUT"):
        await db.execute("SELECT pg_sleep(5)")
    await db.close()


async def test_own_os_error_is_not_blamed_on_the_database(db: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with db.transaction():
            raise FileNotFoundError("a file of the block")


async def test_time_is_the_databases(db: Database) -> None:
    async with db.transaction() as tx:
        assert await now(tx) == await tx.fetchval("SELECT transaction_timestamp()")


async def test_lost_server_is_unavailable_and_comes_back() -> None:
    server = EmbeddedPostgres.start()
    try:
        db = await Database.open(DatabaseSettings(url=server.url(), pool_size=2))
        await db.check_ready()
        server._halt()
        with pytest.raises(Unavailable, match="DATABASE_UNAVAILABLE"):
            async with db.transaction() as tx:
                await tx.fetchval("SELECT 1")
        with pytest.raises(Unavailable, match="DATABASE_UNAVAILABLE"):
            await db.check_ready()
        await db.close()
    finally:
        server.stop()


async def test_a_pool_that_was_closed_is_an_unavailable_database(databases: Databases) -> None:
    """A call may outlive the pool, at the end of a process: it is told to come back, not of a defect."""
    database = await databases.open(None, SCHEMA, pool_size=2)

    async def closed_in_between() -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO item VALUES (1)")
            database._pool.terminate()
            await tx.execute("INSERT INTO item VALUES (2)")

    with pytest.raises(Unavailable):
        await closed_in_between()
    with pytest.raises(Unavailable):
        await database.fetch("SELECT 1")
