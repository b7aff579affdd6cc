"""The batcher's rules: gather while busy, never wait when idle, shield the flush from its callers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from lienthong.batching import Batcher
from lienthong.errors import Internal, NotFound, ResourceExhausted, Unavailable


class Flushes:
    """Doubles numbers, and notes the batches; held back while `gate` is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        await self.gate.wait()
        return [NotFound("ODD_ONE", "negative") if item < 0 else item * 2 for item in items]


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_idle_batcher_flushes_at_once() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=10)
    assert await batcher.submit(4) == 8
    assert await batcher.submit(5) == 10
    assert flushes.batches == [[4], [5]]


async def test_items_gather_while_a_flush_runs() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=3)
    calls = [asyncio.create_task(batcher.submit(0))]
    await _settle()
    calls += [asyncio.create_task(batcher.submit(n)) for n in range(1, 8)]
    await _settle()
    assert flushes.batches == [[0]]
    flushes.gate.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert flushes.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


async def test_bytes_are_bounded_but_a_large_item_goes_alone() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=10, max_bytes=10, size=lambda item: item)
    calls = [asyncio.create_task(batcher.submit(n)) for n in (6, 4, 1, 99, 2)]
    flushes.gate.set()
    await asyncio.gather(*calls)
    assert flushes.batches == [[6, 4], [1], [99], [2]]


async def test_concurrent_flushes_up_to_the_limit() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=1, concurrency=2)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(4)]
    await _settle()
    assert flushes.batches == [[0], [1]]
    flushes.gate.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6]


async def test_cancelled_caller_cancels_neither_flush_nor_others() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=10)
    first, second = (asyncio.create_task(batcher.submit(n)) for n in (1, 2))
    await _settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    flushes.gate.set()
    assert await second == 4
    assert flushes.batches == [[1, 2]]


async def test_item_cancelled_before_its_flush_is_withdrawn() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=10)
    first = asyncio.create_task(batcher.submit(1))
    await _settle()
    second, third = (asyncio.create_task(batcher.submit(n)) for n in (2, 3))
    await _settle()
    second.cancel()
    flushes.gate.set()
    assert (await first, await third) == (2, 6)
    assert flushes.batches == [[1], [3]]


async def test_one_items_error_is_its_own() -> None:
    batcher = Batcher(Flushes(), max_items=10)
    calls = [asyncio.create_task(batcher.submit(n)) for n in (1, -1, 3)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert results[0::2] == [2, 6]
    assert isinstance(results[1], NotFound)


async def test_failed_flush_reaches_all_its_callers_and_no_later_one() -> None:
    failures = [Unavailable("DATABASE_UNAVAILABLE")]

    async def flush(items: list[int]) -> Sequence[int | Exception]:
        if failures:
            raise failures.pop()
        return items

    batcher = Batcher(flush, max_items=10)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(2)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert await batcher.submit(7) == 7


async def test_flush_that_loses_results_is_a_defect() -> None:
    async def flush(items: list[int]) -> Sequence[int | Exception]:
        return items[1:]

    with pytest.raises(Internal, match="BATCH_MISCOUNTED"):
        await Batcher(flush, max_items=10).submit(1)


async def test_full_batcher_refuses() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=1, max_pending=2)
    calls = [asyncio.create_task(batcher.submit(0))]
    await _settle()
    calls += [asyncio.create_task(batcher.submit(n)) for n in (1, 2)]
    await _settle()
    with pytest.raises(ResourceExhausted, match="BATCH_FULL") as raised:
        await batcher.submit(3)
    assert raised.value.retry_after
    flushes.gate.set()
    assert await asyncio.gather(*calls) == [0, 2, 4]


async def test_close_drains_and_then_refuses() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=2)
    calls = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
    await asyncio.sleep(0)
    await batcher.close()
    assert all(call.done() for call in calls)
    assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8]
    with pytest.raises(Unavailable, match="SHUTTING_DOWN"):
        await batcher.submit(9)
