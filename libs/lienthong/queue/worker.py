"""The loop that works a queue: claims, runs with bounded concurrency, keeps leases, backs off, stops cleanly.

Killed at any moment it loses nothing: its leases run out and another worker takes over. Work may therefore
run twice; it becomes once by completing its claims in the transaction of its effects (`queue.finish`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from lienthong.backoff import Backoff
from lienthong.db import Database
from lienthong.errors import DomainError
from lienthong.queue import items
from lienthong.queue.items import Claim, LeaseLost, Order
from lienthong.queue.wakeups import Wakeups, clean_task

_log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[Claim], Awaitable[None]]
BatchWork: TypeAlias = Callable[[list[Claim]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """How a worker behaves. `completes`: the work completes its claims in its own transaction."""

    concurrency: int = 8
    batch_size: int = 1
    lease_seconds: float = 30.0
    poll_seconds: float = 1.0
    backoff: Backoff = field(default_factory=Backoff)
    grace_seconds: float = 10.0
    completes: bool = False
    # A batch that fails is tried again at once, each claim alone: only the one that is at fault is put off.
    apart: bool = False
    # Every so many claims take the oldest instead of the most urgent, so that the ordinary is not
    # starved by a flood of the urgent (promise 5).
    oldest_every: int = 10


class BatchWorker:
    """Runs `work` on groups of claims. Work that raises is tried again later; its claims are given back.

    `destinations`, where given, is asked before each claim which may be served now.
    """

    def __init__(
        self,
        db: Database,
        queue: str,
        work: BatchWork,
        policy: WorkerPolicy | None = None,
        *,
        wakeups: Wakeups | None = None,
        destinations: Callable[[], Sequence[str]] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._db = db
        self._queue = queue
        self._work = work
        self._policy = policy or WorkerPolicy()
        self._wakeups = wakeups or Wakeups()
        self._destinations = destinations
        self._rng = rng or random.SystemRandom()
        self._running: set[asyncio.Task[None]] = set()
        self._held: dict[UUID, Claim] = {}
        self._rounds = itertools.count(1)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`, or until cancelled; what is in hand by then is finished or given back."""
        renewal = clean_task(self._renew(), name=f"renew {self._queue}")
        try:
            while not self._stopping.is_set():
                await self._round()
        finally:
            try:
                await self._drain()
            finally:
                renewal.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewal

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is in hand is done or its grace is over."""
        self._stopping.set()
        self._wakeups.wake(self._queue)

    async def _round(self) -> None:
        seen = self._wakeups.generation(self._queue)
        free = self._policy.concurrency - len(self._running)
        if free <= 0:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return
        claims = await self._claim(free * self._policy.batch_size)
        for start in range(0, len(claims), self._policy.batch_size):
            self._start(claims[start : start + self._policy.batch_size])
        if not claims and not self._stopping.is_set():
            await self._wakeups.wait(self._queue, seen, self._policy.poll_seconds)

    async def _claim(self, limit: int) -> list[Claim]:
        oldest = next(self._rounds) % self._policy.oldest_every == 0
        try:
            return await items.claim(
                self._db,
                self._queue,
                destinations=self._destinations() if self._destinations else None,
                limit=limit,
                lease_seconds=self._policy.lease_seconds,
                order=Order.OLDEST if oldest else Order.URGENT,
            )
        except DomainError as error:
            _log.warning("queue %s could not be claimed: %s", self._queue, error)
            return []

    def _start(self, claims: list[Claim]) -> None:
        self._held.update((claim.id, claim) for claim in claims)
        task = clean_task(self._one(claims), name=f"work {self._queue}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _one(self, claims: list[Claim]) -> None:
        try:
            await self._work(claims)
            if not self._policy.completes:
                await items.complete(self._db, claims)
        except Exception as error:
            await self._failed(claims, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                # Nobody cancelled us: something inside was, so this is a failure. Given back untried it
                # would fail again at once, for ever.
                await self._put_off(claims, error)
                return
            await self._give_back(claims)
            raise
        finally:
            for claim in claims:
                self._held.pop(claim.id, None)

    async def _failed(self, claims: list[Claim], error: Exception) -> None:
        if self._policy.apart and len(claims) > 1:
            _log.warning("queue %s: a batch falls apart: %s", self._queue, error)
            await self._one_by_one(claims)
        elif isinstance(error, LeaseLost):
            _log.warning("queue %s: a lease ran out during the work", self._queue)
        else:
            if not isinstance(error, DomainError):
                _log.error("queue %s: work failed", self._queue, exc_info=error)
            await self._put_off(claims, error)

    async def _one_by_one(self, claims: list[Claim]) -> None:
        waiting = list(claims)
        try:
            while waiting:
                await self._one([waiting.pop(0)])
        except asyncio.CancelledError:
            await self._give_back(waiting)
            raise

    async def _put_off(self, claims: list[Claim], error: BaseException) -> None:
        asked = (error.retry_after or 0.0) if isinstance(error, DomainError) else 0.0
        text = str(error) if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
        try:
            for claim in claims:
                delay = max(asked, self._policy.backoff.next_delay(claim.attempts, self._rng))
                await items.retry(self._db, claim, delay, text)
        except DomainError as failure:
            _log.warning("queue %s: left to their leases: %s", self._queue, failure)

    async def _give_back(self, claims: list[Claim]) -> None:
        try:
            await items.release(self._db, claims)
        except DomainError as failure:
            _log.warning("queue %s: left to their leases: %s", self._queue, failure)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._policy.lease_seconds / 3)
            if not self._held:
                continue
            try:
                await items.renew(self._db, list(self._held.values()), self._policy.lease_seconds)
            except DomainError as error:
                # What is lost by this is found by the fence when the work completes.
                _log.warning("queue %s: leases were not renewed: %s", self._queue, error)

    async def _drain(self) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=self._policy.grace_seconds)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


class Worker(BatchWorker):
    """Runs `work` on one claim at a time, up to `concurrency` of them together."""

    def __init__(
        self,
        db: Database,
        queue: str,
        work: Work,
        policy: WorkerPolicy | None = None,
        *,
        wakeups: Wakeups | None = None,
        destinations: Callable[[], Sequence[str]] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        async def single(claims: list[Claim]) -> None:
            await work(claims[0])

        policy = policy or WorkerPolicy()
        if policy.batch_size != 1:
            raise ValueError("a Worker takes claims one by one: use BatchWorker")
        super().__init__(db, queue, single, policy, wakeups=wakeups, destinations=destinations, rng=rng)
