"""Bounds: how many documents are in hand, and how many threads work on them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from lienthong.errors import ResourceExhausted

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Threads for CPU work. RSA, P-256 and SHA-256 release the GIL; parsing does not."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="signing")

    async def run(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """The result of `work` in a thread. A cancelled caller waits for it: it uses the caller's files."""
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: context.run(work, *args, **named)
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at, or asyncio complains that nobody did
            raise

    async def close(self) -> None:
        """Wait for what is running."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


class Gate:
    """Lets so many in; the others wait a moment and are then told to come back (design, promise 6)."""

    def __init__(self, places: int, patience: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """A place, or ResourceExhausted("SIGNING_BUSY")."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise ResourceExhausted(
                "SIGNING_BUSY", "too many documents are in hand", retry_after=max(1.0, self._patience)
            ) from None
        try:
            yield
        finally:
            self._places.release()
