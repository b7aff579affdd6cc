"""Whether the clock may be trusted: a wrong time in a token cannot be taken back.

The witness is another clock (the database's machine). Far apart, one of the two is wrong and nobody knows
which: nothing is stamped until they agree again. On one machine they are one clock.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import Unavailable

_log: Final = logging.getLogger(__name__)

_INTERVAL: Final = 10.0
# How long an agreement counts while the witness does not answer.
_GOOD_FOR: Final = 120.0

Witness = Callable[[], Awaitable[datetime]]


class ClockWatch:
    """Compares our clock with the witness's now and then."""

    def __init__(self, clock: Clock, witness: Witness, tolerance: float) -> None:
        self._clock, self._witness, self._tolerance = clock, witness, tolerance
        self._agreed_at: float | None = None
        self._differs = False

    def is_trusted(self) -> bool:
        """Whether the clocks agreed lately."""
        agreed = self._agreed_at
        return agreed is not None and self._clock.monotonic() - agreed < _GOOD_FOR

    async def compare(self) -> None:
        """Ask the witness once. What the question took counts as doubt, not as difference."""
        before = self._clock.now()
        witnessed = await self._witness()
        after = self._clock.now()
        early, late = (before - witnessed).total_seconds(), (witnessed - after).total_seconds()
        apart = max(early, late)
        if apart <= self._tolerance:
            self._agreed_at, self._differs = self._clock.monotonic(), False
            return
        self._agreed_at = None
        if not self._differs:
            self._differs = True
            _log.error("clock differs from the database's: no timestamps", extra={"seconds": apart})

    async def check_ready(self) -> None:
        if not self.is_trusted():
            raise Unavailable("CLOCK_UNTRUSTED", "the clock differs from the database's")

    async def run(self) -> None:
        """Compare for ever."""
        while True:
            await self.compare()
            await self._clock.sleep(_INTERVAL)
