"""The worker loop: runs, retries, renews, stops cleanly, and survives being killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from lienthong import queue
from lienthong.backoff import Backoff
from lienthong.db import Database
from lienthong.errors import Unavailable
from lienthong.ids import new_id
from lienthong.queue import QUEUE_DDL, BatchWorker, Claim, Item, Wakeups, Worker, WorkerPolicy

from tests.support.postgres import Databases

ROOT = Path(__file__).parents[3]
QUICK = Backoff(initial=0.05, factor=2, cap=0.2, jitter=0)


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open(None, QUEUE_DDL)
    yield database
    await database.close()


async def _put(db: Database, count: int, wakeups: Wakeups | None = None) -> list[Item]:
    items = [Item(new_id(), "forward", b"%d" % n) for n in range(count)]
    async with db.transaction() as tx:
        await queue.put(tx, items, wakeups)
    return items


@asynccontextmanager
async def _running(worker: BatchWorker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        await task


async def _until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_work_is_done_once_and_leaves(db: Database) -> None:
    done: Counter[bytes] = Counter()

    async def work(claim: Claim) -> None:
        done[claim.payload] += 1

    await _put(db, 50)
    async with _running(Worker(db, "forward", work)):
        await _until(lambda: len(done) == 50)
    assert set(done.values()) == {1}
    assert await queue.depth(db, "forward") == {}


async def test_wakeup_is_quicker_than_the_poll(db: Database) -> None:
    done: list[bytes] = []

    async def work(claim: Claim) -> None:
        done.append(claim.payload)

    wakeups = Wakeups()
    policy = WorkerPolicy(poll_seconds=60)
    async with _running(Worker(db, "forward", work, policy, wakeups=wakeups)):
        await asyncio.sleep(0.2)  # by now it waits
        await _put(db, 1, wakeups)
        await _until(lambda: done == [b"0"], 10)


async def test_concurrency_and_batches_are_bounded(db: Database) -> None:
    running = 0
    most = 0
    sizes: list[int] = []

    async def work(claims: list[Claim]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        sizes.append(len(claims))
        await asyncio.sleep(0.02)
        running -= 1

    await _put(db, 40)
    async with _running(BatchWorker(db, "forward", work, WorkerPolicy(concurrency=2, batch_size=8))):
        await _until(lambda: sum(sizes) == 40)
    assert most == 2
    assert max(sizes) == 8


async def test_failed_work_comes_back_with_its_reason(db: Database) -> None:
    errors: list[str] = []

    async def work(claim: Claim) -> None:
        errors.append(claim.last_error)
        if claim.attempts == 1:
            raise Unavailable("PEER_DOWN", "no answer")
        if claim.attempts == 2:
            raise ZeroDivisionError("a defect")

    await _put(db, 1)
    async with _running(Worker(db, "forward", work, WorkerPolicy(backoff=QUICK, poll_seconds=0.02))):
        await _until(lambda: len(errors) == 3)
    assert errors == ["", "PEER_DOWN: no answer", "ZeroDivisionError: a defect"]
    assert await queue.depth(db, "forward") == {}


async def test_work_that_was_cancelled_from_within_is_a_failure(db: Database) -> None:
    """A call that dies with a CancelledError of its own must not come back at once, untried."""
    await _put(db, 1)
    attempts: list[int] = []

    async def work(claim: Claim) -> None:
        attempts.append(claim.attempts)
        raise asyncio.CancelledError

    async with _running(Worker(db, "forward", work, WorkerPolicy(backoff=QUICK, poll_seconds=0.05))):
        await _until(lambda: len(attempts) >= 3)
    assert attempts[:3] == [1, 2, 3]


async def test_the_oldest_is_not_starved_by_a_flood_of_urgent_items(db: Database) -> None:
    """Promise 5: with urgent work always at hand, every so many claims take the oldest."""
    async with db.transaction() as tx:
        await queue.put(tx, [Item(new_id(), "forward", b"ordinary", priority=1)])
    async with db.transaction() as tx:
        await queue.put(tx, [Item(new_id(), "forward", b"urgent", priority=4) for _ in range(40)])
    order: list[bytes] = []

    async def work(claim: Claim) -> None:
        order.append(claim.payload)

    policy = WorkerPolicy(concurrency=1, oldest_every=5, poll_seconds=0.05)
    async with _running(Worker(db, "forward", work, policy)):
        await _until(lambda: b"ordinary" in order)
    assert order.index(b"ordinary") < 10


async def test_long_work_keeps_its_lease(db: Database) -> None:
    started: list[bytes] = []
    ended: list[bytes] = []

    async def work(claim: Claim) -> None:
        started.append(claim.payload)
        await asyncio.sleep(1.5)
        ended.append(claim.payload)

    await _put(db, 1)
    policy = WorkerPolicy(lease_seconds=0.6, poll_seconds=0.05)
    async with _running(Worker(db, "forward", work, policy)), _running(Worker(db, "forward", work, policy)):
        await _until(lambda: bool(ended))
    assert started == [b"0"]


async def test_stop_finishes_what_is_in_hand(db: Database) -> None:
    started = asyncio.Event()
    ended: list[bytes] = []

    async def work(claim: Claim) -> None:
        started.set()
        await asyncio.sleep(0.2)
        ended.append(claim.payload)

    await _put(db, 2)
    async with _running(Worker(db, "forward", work, WorkerPolicy(concurrency=1))):
        await started.wait()
    assert ended == [b"0"]
    assert await queue.depth(db, "forward") == {"": 1}


async def test_cancelled_worker_gives_its_claims_back(db: Database) -> None:
    started = asyncio.Event()

    async def work(claim: Claim) -> None:
        started.set()
        await asyncio.sleep(60)

    await _put(db, 1)
    task = asyncio.create_task(Worker(db, "forward", work, WorkerPolicy(grace_seconds=0.1)).run())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [claim] = await queue.claim(db, "forward", limit=1, lease_seconds=30)
    assert claim.attempts == 1


async def test_killed_workers_item_is_taken_over(db: Database) -> None:
    [item] = await _put(db, 1)
    command = [sys.executable, "-m", "tests.support.queue_worker", db.url]
    victim = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert victim.stdout is not None
    async with asyncio.timeout(30):
        assert (await victim.stdout.readline()).decode().strip() == str(item.id)
    await asyncio.sleep(1.2)  # longer than its lease: it is alive and renews, so nobody else may have it
    assert await queue.claim(db, "forward", limit=1, lease_seconds=30) == []
    victim.kill()
    await victim.wait()
    killed = time.monotonic()

    taken: list[Claim] = []

    async def work(claim: Claim) -> None:
        taken.append(claim)

    async with _running(Worker(db, "forward", work, WorkerPolicy(poll_seconds=0.05))):
        await _until(lambda: bool(taken))
    assert [claim.id for claim in taken] == [item.id]
    assert taken[0].attempts == 2
    assert time.monotonic() - killed < 5
    assert await queue.depth(db, "forward") == {}


async def test_a_batch_that_fails_falls_apart_and_only_the_one_at_fault_is_put_off(db: Database) -> None:
    asked: list[int] = []
    done: Counter[bytes] = Counter()

    async def work(claims: list[Claim]) -> None:
        asked.append(len(claims))
        if any(claim.payload == b"3" for claim in claims):
            raise Unavailable("NEIGHBOUR_AWAY", "not now")
        done.update(claim.payload for claim in claims)

    await _put(db, 8)
    policy = WorkerPolicy(
        batch_size=8, concurrency=1, apart=True, backoff=Backoff(initial=60, jitter=0, cap=60)
    )
    async with _running(BatchWorker(db, "forward", work, policy)):
        await _until(lambda: len(done) == 7 and len(asked) == 9)
    assert asked == [8] + [1] * 8
    assert set(done.values()) == {1}
    assert await queue.depth(db, "forward") == {"": 1}
