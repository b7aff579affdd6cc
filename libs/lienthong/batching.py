"""Concurrent calls coalesce into one flush: batches are where the throughput is (design section 8).

    batcher = Batcher(insert_many, max_items=64)
    result = await batcher.submit(item)

An idle batcher flushes at once; while a flush runs, the next batch gathers. No call ever waits for a timer.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lienthong.errors import Internal, ResourceExhausted, Unavailable

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T, R]):
    item: T
    size: int
    result: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Gathers items of concurrent callers and hands them to `flush`, which answers item by item.

    What `flush` raises reaches every caller of that batch; an exception in its list reaches one.
    """

    def __init__(
        self,
        flush: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_items: int,
        max_bytes: int | None = None,
        size: Callable[[T], int] = lambda _: 0,
        max_pending: int = 4096,
        concurrency: int = 1,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size = size
        self._max_pending = max_pending
        self._concurrency = concurrency
        self._pending: deque[_Pending[T, R]] = deque()
        self._flushes: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pending(self) -> int:
        """How many items wait for a flush."""
        return len(self._pending)

    async def submit(self, item: T) -> R:
        """Wait for the item's own result.

        Raises ResourceExhausted("BATCH_FULL") when too many wait. A caller that is cancelled stops
        waiting; its item is flushed all the same once the flush has begun, and is withdrawn before that.
        """
        if self._closed:
            raise Unavailable("SHUTTING_DOWN", "this process is stopping", retry_after=1.0)
        if len(self._pending) >= self._max_pending:
            raise ResourceExhausted("BATCH_FULL", "too many requests are waiting", retry_after=0.5)
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(item, self._size(item), result))
        self._start()
        return await result

    async def close(self) -> None:
        """Take nothing more, and return when everything taken has its result."""
        self._closed = True
        while self._flushes:
            await asyncio.wait(self._flushes)

    def _start(self) -> None:
        while self._pending and len(self._flushes) < self._concurrency:
            # An empty context: a batch belongs to many callers, so neither to the transaction nor to the
            # trace of the one that happened to start it.
            task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())
            self._flushes.add(task)
            task.add_done_callback(self._finished)
            if len(self._flushes) >= len(self._pending):
                return

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._flushes.discard(task)
        self._start()

    async def _run(self) -> None:
        while batch := self._take():
            try:
                results = await self._flush([pending.item for pending in batch])
            except Exception as error:
                _settle(batch, [error] * len(batch))
            except BaseException:
                _settle(batch, [Unavailable("SHUTTING_DOWN", "this process is stopping")] * len(batch))
                raise
            else:
                if len(results) != len(batch):
                    results = [Internal("BATCH_MISCOUNTED", "a flush lost results")] * len(batch)
                _settle(batch, results)

    def _take(self) -> list[_Pending[T, R]]:
        batch: list[_Pending[T, R]] = []
        total = 0
        while self._pending and len(batch) < self._max_items:
            following = self._pending[0]
            if following.result.cancelled():
                self._pending.popleft()
                continue
            if batch and self._max_bytes is not None and total + following.size > self._max_bytes:
                break
            batch.append(self._pending.popleft())
            total += following.size
        return batch


def _settle(batch: Sequence[_Pending[T, R]], results: Sequence[R | Exception]) -> None:
    for pending, result in zip(batch, results, strict=True):
        if pending.result.done():
            continue  # its caller was cancelled meanwhile
        if isinstance(result, Exception):
            pending.result.set_exception(result)
        else:
            pending.result.set_result(result)
