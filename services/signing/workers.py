"""Bounds: how many documents are in hand, and how many threads work on them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

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
