"""Truthful health: a server says SERVING only while every check of its apps passes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as aio_health
from lienthong.clock import Clock, SystemClock

_log: Final = logging.getLogger("lienthong.health")

# A check returns when all is well, and raises when not.
Check = Callable[[], Awaitable[object]]

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
# While something is missing (at the start always) it is asked for often, so that nobody waits longer than it.
_UNWELL_SECONDS: Final = 0.2


class Health:
    """The state of one server: not serving until the checks ran, while one fails, and once it stops."""

    def __init__(
        self,
        checks: Mapping[str, Check] | None = None,
        *,
        interval: float = 2.0,
        timeout: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        self.servicer = aio_health.HealthServicer()
        self.failing: frozenset[str] = frozenset()
        self._checks = dict(checks or {})
        self._interval = interval
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._services: tuple[str, ...] = ("",)

    async def offer(self, services: Iterable[str]) -> None:
        """Answer for these services too; nothing is serving yet."""
        self._services = ("", *services)
        await self._say(serving=False)

    async def probe(self) -> bool:
        """Run the checks once, tell the outcome, and return it."""
        names = list(self._checks)
        outcomes = await asyncio.gather(*(self._passes(name) for name in names))
        self.failing = frozenset(name for name, passed in zip(names, outcomes, strict=True) if not passed)
        await self._say(serving=not self.failing)
        return not self.failing

    async def run(self) -> None:
        """Probe for ever."""
        while True:
            well = await self.probe()
            await self._clock.sleep(self._interval if well else min(self._interval, _UNWELL_SECONDS))

    async def stop(self) -> None:
        """Say NOT_SERVING from now on: the server is going away."""
        await self.servicer.enter_graceful_shutdown()

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._checks[name]()
        except Exception:  # whatever it is, the check did not pass
            if name not in self.failing:
                _log.warning("health check failed", extra={"check": name}, exc_info=True)
            return False
        if name in self.failing:
            _log.info("health check passes again", extra={"check": name})
        return True

    async def _say(self, *, serving: bool) -> None:
        for service in self._services:
            await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
