"""R7: a reader by cursor loses no event, whatever the order of the commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from lienthong import events
from lienthong.db import Database
from lienthong.events import EVENT_DDL, Cursor, NewEvent
from lienthong.ids import new_id
from lienthong.queue import Wakeups

from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open(None, EVENT_DDL)
    yield database
    await database.close()


def _event(subject: str, kind: str = "issued") -> NewEvent:
    return NewEvent(new_id(), kind, subject, subject.encode())


async def _append(db: Database, *subjects: str, kind: str = "issued") -> None:
    async with db.transaction() as tx:
        await events.append(tx, [_event(subject, kind) for subject in subjects])


async def _settled(db: Database, after: Cursor | None, count: int) -> events.Page:
    """Read until `count` events are settled: the server's autovacuum may hold the horizon."""
    async with asyncio.timeout(10):
        while len((page := await events.read(db, after, 100)).events) < count:
            await asyncio.sleep(0.02)
    return page


async def test_late_commit_is_not_lost(db: Database) -> None:
    drawn, go_on = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with db.transaction() as tx:
            await events.append(tx, [_event("early number, late commit")])
            drawn.set()
            await go_on.wait()

    slow = asyncio.create_task(late())
    await drawn.wait()
    await _append(db, "late number, early commit")

    # The reader that R7 forbids: highest sequence seen, then everything above it.
    plain = await db.fetch("SELECT seq, subject FROM event WHERE seq > 0 ORDER BY seq")
    assert [row["subject"] for row in plain] == ["late number, early commit"]
    first = await events.read(db, None, 100)
    assert first.events == []

    go_on.set()
    await slow
    lost = await db.fetch("SELECT subject FROM event WHERE seq > $1", plain[-1]["seq"])
    assert lost == []  # the plain reader never sees the other one
    page = await _settled(db, first.cursor, 2)
    assert [event.subject for event in page.events] == [
        "early number, late commit",
        "late number, early commit",
    ]


async def test_reader_among_concurrent_writers_sees_each_event_once(databases: Databases) -> None:
    db = await databases.open(None, EVENT_DDL, pool_size=16)
    written = 0

    async def writer(name: int) -> None:
        nonlocal written
        for number in range(20):
            async with db.transaction() as tx:
                await events.append(tx, [_event(f"{name}/{number}/a"), _event(f"{name}/{number}/b")])
                await asyncio.sleep(0.001 * (name % 5))
            written += 2

    writers = [asyncio.create_task(writer(name)) for name in range(12)]
    seen: list[str] = []
    cursor: Cursor | None = None
    async with asyncio.timeout(60):
        while len(seen) < 480:
            page = await events.read(db, cursor, 7)
            seen += [event.subject for event in page.events]
            cursor = Cursor.decode(page.cursor.encode())
            await asyncio.sleep(0)
    await asyncio.gather(*writers)
    assert written == len(seen) == len(set(seen)) == 480
    assert (await events.read(db, cursor, 7)).events == []
    await db.close()


async def test_order_within_a_transaction_is_the_order_given(db: Database) -> None:
    subjects = [f"{n}" for n in range(50)]
    await _append(db, *subjects)
    page = await _settled(db, None, 50)
    assert [event.subject for event in page.events] == subjects


async def test_pages_follow_on(db: Database) -> None:
    for n in range(5):
        await _append(db, f"{n}a", f"{n}b")
    await _settled(db, None, 10)
    seen: list[str] = []
    cursor: Cursor | None = None
    while (page := await events.read(db, cursor, 3)).events:
        seen += [event.subject for event in page.events]
        cursor = page.cursor
    assert seen == [f"{n}{letter}" for n in range(5) for letter in "ab"]


async def test_filter_moves_the_cursor_past_the_others(db: Database) -> None:
    await _append(db, "a", "b", kind="other")
    await _settled(db, None, 2)
    page = await events.read(db, None, 10, ["issued"])
    assert page.events == []
    await _append(db, "c")
    await _settled(db, None, 3)
    page = await events.read(db, page.cursor, 10)
    assert [event.subject for event in page.events] == ["c"]


async def _fail(db: Database) -> None:
    async with db.transaction() as tx:
        await events.append(tx, [_event("never")])
        raise ZeroDivisionError


async def test_event_of_a_failed_change_never_was(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await _fail(db)
    await _append(db, "after")
    page = await _settled(db, None, 1)
    assert [event.subject for event in page.events] == ["after"]


async def test_watch_delivers_what_comes(db: Database) -> None:
    wakeups = Wakeups()
    await _append(db, "before")
    seen: list[str] = []

    async def follow() -> None:
        async for page in events.watch(db, None, wakeups):
            seen.extend(event.subject for event in page.events)
            if len(seen) == 2:
                return

    watching = asyncio.create_task(follow())
    async with db.transaction() as tx:
        await events.append(tx, [_event("meanwhile")])
        tx.after_commit(lambda: wakeups.notify("event"))
    async with asyncio.timeout(10):
        await watching
    assert seen == ["before", "meanwhile"]
