"""Streams of bytes from callers: patience with who sends them, places for so many at a time (promise 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from lienthong.errors import ResourceExhausted, Unavailable

T = TypeVar("T")


async def patient(messages: AsyncIterable[T], seconds: float) -> AsyncGenerator[T, None]:
    """The messages, or Unavailable("TRANSFER_STALLED") when the next one takes too long: who sends nothing
    keeps a place from others."""
    waiting = aiter(messages)
    while True:
        try:
            async with asyncio.timeout(seconds):
                message = await anext(waiting)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Unavailable("TRANSFER_STALLED", "no bytes came for too long", seconds=seconds) from None
        yield message


class Gate:
    """Lets so many in at a time; the others wait a moment and are then told to come back."""

    def __init__(self, places: int, patience: float, busy: str) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience
        self._busy = busy

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """A place, or ResourceExhausted with the reason `busy`."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise ResourceExhausted(
                self._busy, "every place is taken", retry_after=max(1.0, self._patience)
            ) from None
        try:
            yield
        finally:
            self._places.release()
