"""Serial numbers of timestamp tokens: unique for ever, without a commit for each.

A block of numbers is reserved in the database before the first of it is used, so a killed process wastes
numbers and repeats none. A database restored from backup reserves blocks a second time: the time of the
reservation, in the upper bits, keeps them apart (RFC 3161 2.4.2 allows 160 bits).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from lienthong.clock import Clock

from services.signing.tsa import Failure, RefusedError

BLOCK: Final = 10_000
_NUMBER_BITS: Final = 64

Reserve = Callable[[], Awaitable[int]]
"""The number of a block that nobody else gets."""


class Serials:
    """One block in use and one in reserve. Used from the event loop only."""

    def __init__(self, reserve: Reserve, clock: Clock) -> None:
        self._reserve, self._clock = reserve, clock
        self._current: Iterator[int] = iter(())
        self._spare: range | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()

    def take(self) -> int:
        """The next serial; where the database could not give a block for so long, the request is refused."""
        serial = next(self._current, None)
        if serial is None:
            if self._spare is None:
                raise RefusedError(Failure.SYSTEM_FAILURE, "no serial numbers at the moment")
            self._current, self._spare = iter(self._spare), None
            self._wanted.set()
            serial = next(self._current)
        return serial

    async def fill(self) -> None:
        """Reserve a block unless there is one in reserve."""
        if self._spare is None:
            block = await self._reserve()
            second = int(self._clock.now().timestamp())
            first = (second << _NUMBER_BITS) + block * BLOCK
            self._spare = range(first, first + BLOCK)
        self._wanted.clear()

    async def run(self) -> None:
        """Keep a block in reserve, for ever."""
        while True:
            await self._wanted.wait()
            await self.fill()
