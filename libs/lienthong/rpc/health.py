"""Truthful health: a server says SERVING only while every check of its apps passes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health
from lienthong.clock import Clock, SystemClock
from lienthong.rpc.ports import refused_port

_log: Final = logging.getLogger("lienthong.health")

# A check returns when all is well, and raises when not.
Check = Callable[[], Awaitable[object]]

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
# What a probe asks for to learn whether the process lives, whatever it is waiting for.
LIVE: Final = "live"
_PROBES_AT_ONCE: Final = 16
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


class _Probes(health_pb2_grpc.HealthServicer):
    """Answers probes from the same state as the server. Nobody may watch: who asks here is not known."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        """`live` is told by the event loop itself: one that is stuck answers nobody."""
        if request.service == LIVE:
            return health_pb2.HealthCheckResponse(status=_SERVING)
        return await self._health.servicer.Check(request, context)


@asynccontextmanager
async def answering_probes(health: Health, listen: str | None) -> AsyncIterator[str | None]:
    """Answer plaintext health probes on `listen` ("host:port"), and nothing else; gives the bound address."""
    if listen is None:
        yield None
        return
    await health.offer(())
    server = grpc.aio.server(
        maximum_concurrent_rpcs=_PROBES_AT_ONCE,
        # Two processes on one port would each answer half of the probes, silently.
        options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4096)],
    )
    health_pb2_grpc.add_HealthServicer_to_server(_Probes(health), server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        port = 0
    if port == 0:
        raise refused_port(listen, "health_listen")
    await server.start()
    try:
        yield f"{listen.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(None)
