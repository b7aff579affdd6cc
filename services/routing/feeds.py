"""Streams that feed one call with the answers of another, and what is told when the first one fails.

Where making a request raises, gRPC cancels the call that was to be fed: whoever awaits it sees a
cancellation, as if somebody had stopped the work, and would never learn the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import Generic, TypeVar

M = TypeVar("M")
R = TypeVar("R")


class Feed(Generic[M]):
    """Requests for one call. Pass `requests()` to the stub and its call to `answer` or `answers`."""

    def __init__(self, source: AsyncIterable[M]) -> None:
        self._source = source
        self._failure: Exception | None = None

    async def requests(self) -> AsyncIterator[M]:
        """The requests; remembers what ends them too early."""
        try:
            async for request in self._source:
                yield request
        except Exception as error:
            self._failure = error
            raise

    async def answer(self, call: Awaitable[R]) -> R:
        """The call's one answer, or what went wrong first."""
        try:
            return await call
        except (Exception, asyncio.CancelledError) as error:
            self._explain(error)
            raise

    async def answers(self, call: AsyncIterable[R]) -> AsyncIterator[R]:
        """The call's stream of answers, or what went wrong first."""
        try:
            async for answer in call:
                yield answer
        except (Exception, asyncio.CancelledError) as error:
            self._explain(error)
            raise

    def _explain(self, error: BaseException) -> None:
        task = asyncio.current_task()
        stopped = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
        if self._failure is not None and not stopped:
            raise self._failure from None
