"""The durable queue on a real PostgreSQL: joined to the change, leased, fenced, in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from lienthong import queue
from lienthong.db import Database
from lienthong.ids import new_id
from lienthong.queue import QUEUE_DDL, Claim, Item, LeaseLost, Order, Wakeups

from tests.support.postgres import Databases


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open(None, QUEUE_DDL)
    yield database
    await database.close()


def _items(count: int, destination: str = "", priority: int = 0) -> list[Item]:
    return [Item(new_id(), "forward", b"%d" % n, destination, priority) for n in range(count)]


async def _put(db: Database, items: list[Item]) -> set[UUID]:
    async with db.transaction() as tx:
        return await queue.put(tx, items)


async def _claim(db: Database, limit: int = 10, lease_seconds: float = 30.0) -> list[Claim]:
    return await queue.claim(db, "forward", limit=limit, lease_seconds=lease_seconds)


async def _attempt_to_put(db: Database, items: list[Item], wakeups: Wakeups) -> None:
    async with db.transaction() as tx:
        await queue.put(tx, items, wakeups)
        raise ZeroDivisionError


async def test_item_joins_the_transaction(db: Database) -> None:
    wakeups = Wakeups()
    with pytest.raises(ZeroDivisionError):
        await _attempt_to_put(db, _items(1), wakeups)
    assert await _claim(db) == []
    assert wakeups.generation("forward") == 0
    async with db.transaction() as tx:
        await queue.put(tx, _items(1), wakeups)
    assert wakeups.generation("forward") == 1
    assert len(await _claim(db)) == 1


async def test_put_twice_is_one_item(db: Database) -> None:
    items = _items(3)
    assert await _put(db, items[:2]) == {items[0].id, items[1].id}
    assert await _put(db, items) == {items[2].id}
    assert await queue.depth(db, "forward") == {"": 3}


async def test_claim_carries_everything(db: Database) -> None:
    item = Item(new_id(), "forward", b"\x00bytes", "H01", 3, traceparent="00-aa-bb-01")
    await _put(db, [item])
    [claim] = await _claim(db)
    assert (
        claim.id,
        claim.payload,
        claim.destination,
        claim.priority,
        claim.traceparent,
        claim.attempts,
    ) == (
        item.id,
        b"\x00bytes",
        "H01",
        3,
        "00-aa-bb-01",
        1,
    )


async def test_most_urgent_first_then_oldest(db: Database) -> None:
    early, urgent, late = _items(2), _items(2, priority=3), _items(2)
    for batch in (early, urgent, late):
        await _put(db, batch)
    first = await _claim(db, limit=3)
    assert [claim.id for claim in first] == [urgent[0].id, urgent[1].id, early[0].id]
    rest = await _claim(db, limit=10)
    assert [claim.id for claim in rest] == [early[1].id, late[0].id, late[1].id]


async def test_oldest_first_ignores_urgency(db: Database) -> None:
    ordinary, urgent = _items(1), _items(1, priority=3)
    await _put(db, ordinary)
    await _put(db, urgent)
    [claim] = await queue.claim(db, "forward", limit=1, lease_seconds=30, order=Order.OLDEST)
    assert claim.id == ordinary[0].id


async def test_only_the_destinations_asked_for(db: Database) -> None:
    here, there, urgent = _items(3, "H01"), _items(3, "H02"), _items(2, "H02", priority=2)
    await _put(db, here + there + urgent + _items(3, "H03", priority=9))
    claims = await queue.claim(db, "forward", destinations=["H01", "H02"], limit=4, lease_seconds=30)
    assert len(claims) == 4
    assert [claim.id for claim in claims[:2]] == [item.id for item in urgent]
    assert {claim.destination for claim in claims} <= {"H01", "H02"}
    others = await queue.claim(db, "forward", destinations=["H01", "H02"], limit=99, lease_seconds=30)
    assert len(others) == 4
    assert await queue.claim(db, "forward", destinations=[], limit=9, lease_seconds=30) == []


async def test_delayed_item_waits(db: Database) -> None:
    await _put(db, [Item(new_id(), "forward", b"", delay=0.3)])
    assert await _claim(db) == []
    await asyncio.sleep(0.35)
    assert len(await _claim(db)) == 1


async def test_64_concurrent_claimers_never_share(databases: Databases) -> None:
    db = await databases.open(None, QUEUE_DDL, pool_size=64)
    items = _items(600)
    await _put(db, items)
    claimed: Counter[UUID] = Counter()

    async def claimer() -> None:
        while claims := await _claim(db, limit=7):
            claimed.update(claim.id for claim in claims)

    await asyncio.gather(*(claimer() for _ in range(64)))
    # A claimer may stop while others hold locks; nothing may be left or taken twice all the same.
    await claimer()
    assert set(claimed) == {item.id for item in items}
    assert set(claimed.values()) == {1}
    await db.close()


async def test_expired_lease_old_owner_cannot_complete(db: Database) -> None:
    await _put(db, _items(1))
    [old] = await _claim(db, lease_seconds=0.1)
    assert await _claim(db) == []
    await asyncio.sleep(0.15)
    [new] = await _claim(db)
    assert new.id == old.id
    assert (new.lease_token, new.attempts) == (old.lease_token + 1, 2)

    assert await queue.renew(db, [old], 30) == set()
    assert await queue.retry(db, old, 0, "late") is False
    assert await queue.release(db, [old]) == set()
    await db.execute("CREATE TABLE effect (id uuid)")
    with pytest.raises(LeaseLost):
        await _effect(db, old)
    assert await db.fetchval("SELECT count(*) FROM effect") == 0

    await _effect(db, new)
    assert await db.fetchval("SELECT count(*) FROM effect") == 1
    assert await queue.depth(db, "forward") == {}


async def _effect(db: Database, claim: Claim) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO effect VALUES ($1)", claim.id)
        await queue.finish(tx, [claim])


async def test_complete_tells_which_were_ours(db: Database) -> None:
    await _put(db, _items(3))
    claims = await _claim(db, lease_seconds=0.1)
    await asyncio.sleep(0.15)
    [taken] = await _claim(db, limit=1)
    async with db.transaction() as tx:
        ours = await queue.complete(tx, claims)
    assert ours == {claim.id for claim in claims} - {taken.id}


async def test_renewed_lease_is_kept(db: Database) -> None:
    await _put(db, _items(2))
    kept, lost = await _claim(db, lease_seconds=0.2)
    assert await queue.renew(db, [kept], 30) == {kept.id}
    await asyncio.sleep(0.25)
    assert [claim.id for claim in await _claim(db)] == [lost.id]


async def test_retry_waits_and_remembers_why(db: Database) -> None:
    await _put(db, _items(1))
    [claim] = await _claim(db)
    assert await queue.retry(db, claim, 0.2, "PEER_DOWN: no answer")
    assert await _claim(db) == []
    await asyncio.sleep(0.25)
    [again] = await _claim(db)
    assert (again.attempts, again.last_error) == (2, "PEER_DOWN: no answer")


async def test_released_and_postponed_count_no_attempt(db: Database) -> None:
    await _put(db, _items(1))
    [claim] = await _claim(db)
    assert await queue.release(db, [claim]) == {claim.id}
    [claim] = await _claim(db)
    assert claim.attempts == 1
    assert await queue.postpone(db, [claim], 0.2) == {claim.id}
    assert await _claim(db) == []
    await asyncio.sleep(0.25)
    [claim] = await _claim(db)
    assert claim.attempts == 1


async def test_given_back_item_cannot_be_completed(db: Database) -> None:
    await _put(db, _items(1))
    [claim] = await _claim(db)
    await queue.release(db, [claim])
    assert await queue.complete(db, [claim]) == set()
    assert await queue.depth(db, "forward") == {"": 1}


async def test_opposite_orders_do_not_deadlock(db: Database) -> None:
    await _put(db, _items(200))
    claims = await _claim(db, limit=200)
    changes = [queue.renew(db, claims if n % 2 else claims[::-1], 30) for n in range(16)]
    assert all(len(ours) == 200 for ours in await asyncio.gather(*changes))


async def test_wakeup_between_look_and_wait_is_not_missed() -> None:
    wakeups = Wakeups()
    seen = wakeups.generation("forward")
    wakeups.notify("forward")
    assert await wakeups.wait("forward", seen, 0) is True
    assert await wakeups.wait("forward", wakeups.generation("forward"), 0.01) is False


async def test_wakeup_reaches_another_process(db: Database) -> None:
    here, there = Wakeups(), Wakeups()
    bridges = [queue.NotifyBridge(db, wakeups) for wakeups in (here, there)]
    running = [asyncio.create_task(bridge.run()) for bridge in bridges]
    try:
        async with asyncio.timeout(10):
            seen = there.generation("forward")
            while not await there.wait("forward", seen, 0.2):  # until both listen
                here.notify("forward")
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
