"""A bound on the bytes that are in memory at a time."""

from __future__ import annotations

import asyncio


class Room:
    """Whoever does not fit waits; one alone always fits. Whoever entered leaves, with the same size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._left = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room for `size` bytes, and take it."""
        while self._used and self._used + size > self._limit:
            self._left.clear()
            await self._left.wait()
        self._used += size

    def leave(self, size: int) -> None:
        """Give the room back."""
        self._used -= size
        self._left.set()
