"""A process: the apps it hosts, one server for all of them, supervised loops, and a graceful end.

def main() -> None:
    run(build, RegistryProcess)       # async def build(settings: RegistryProcess) -> Sequence[App]
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from lienthong import telemetry
from lienthong.advice import explain
from lienthong.cancellation import end_if_cancelled
from lienthong.clock import Clock, SystemClock
from lienthong.errors import DomainError
from lienthong.preflight import check_process
from lienthong.rpc.health import Check, Health, answering_probes
from lienthong.rpc.server import Server, Servicer, build_server
from lienthong.settings import NodeSettings, load

_log: Final = logging.getLogger("lienthong.app")

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0

Background = Callable[[], Awaitable[object]]
Close = Callable[[], Awaitable[object]]
S = TypeVar("S", bound=NodeSettings)


@dataclass(frozen=True, slots=True)
class App:
    """One service, built: what it serves, what it does meanwhile, how it is ready, what it closes.

    `background` are loops that run until cancelled. `close` is called in reverse order.
    """

    name: str
    servicers: Sequence[Servicer] = ()
    background: Sequence[Background] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    close: Sequence[Close] = ()


def run(build: Callable[[S], Awaitable[Sequence[App]]], kind: type[S]) -> None:
    """Build the apps and serve them until SIGTERM or SIGINT; a refusal at start is told with what to do."""
    try:
        settings = load(kind)
        check_process(settings, SystemClock().now())
    except DomainError as error:
        sys.exit(f"lienthong: {explain(error)}")
    recording = telemetry.setup(settings.telemetry, service=settings.service, node=settings.node)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_main(build, settings))
    except DomainError as error:
        _log.critical("start failed", extra={"reason": error.reason, "problem": error.message})
        sys.exit(f"lienthong: {explain(error)}")
    finally:
        recording.shutdown()


async def _main(build: Callable[[S], Awaitable[Sequence[App]]], settings: S) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: KeyboardInterrupt cancels the main task instead
            break
    await serve(await build(settings), settings, stop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(
    apps: Sequence[App],
    settings: NodeSettings,
    stop: asyncio.Event,
    *,
    on_started: Callable[[Server], object] | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve all apps on one server until `stop` is set; then end gracefully and close everything.

    The server starts before the loops do, because apps in one process call each other through it.
    """
    clock = clock or SystemClock()
    checks = {f"{app.name}.{name}": check for app in apps for name, check in app.checks.items()}
    health = Health(checks, clock=clock)
    try:
        # Outermost: while calls in flight end, probes still learn that no new ones are wanted.
        async with answering_probes(health, settings.health_listen):
            await _serve(apps, settings, stop, health, on_started, clock)
    finally:
        await _close(apps)
        _log.info("stopped")


async def _serve(
    apps: Sequence[App],
    settings: NodeSettings,
    stop: asyncio.Event,
    health: Health,
    on_started: Callable[[Server], object] | None,
    clock: Clock,
) -> None:
    server = await _started(apps, settings, health)
    loops = asyncio.create_task(_background(apps, server, clock), name="background")
    try:
        if on_started is not None:
            on_started(server)
        _log.info("serving", extra={"address": server.address, "apps": [app.name for app in apps]})
        await stop.wait()
    finally:
        # Calls in flight may wait for work of the loops, so the loops end after the calls.
        await server.stop(settings.grace)
        loops.cancel()
        await asyncio.gather(loops, return_exceptions=True)


async def _started(apps: Sequence[App], settings: NodeSettings, health: Health) -> Server:
    server = await build_server(
        settings.tls,
        settings.listen,
        [servicer for app in apps for servicer in app.servicers],
        node=settings.node,
        trust_domain=settings.trust_domain,
        health=health,
    )
    await server.start()
    return server


async def _background(apps: Sequence[App], server: Server, clock: Clock) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise("health", server.health.run, clock), name="health")
        for app in apps:
            for loop in app.background:
                name = f"{app.name}.{getattr(loop, '__qualname__', 'loop')}"
                group.create_task(supervise(name, loop, clock), name=name)


async def supervise(name: str, loop: Background, clock: Clock) -> None:
    """Keep a loop running: what it raises is logged, and it starts again after a growing delay."""
    delay = _FIRST_DELAY
    while True:
        started = clock.monotonic()
        try:
            await loop()
        except Exception:  # the whole point: whatever it was, the loop must not be silently dead
            end_if_cancelled()
            if clock.monotonic() - started > _LONGEST_DELAY:
                delay = _FIRST_DELAY
            _log.exception("background loop failed", extra={"loop": name, "delay": delay})
            await clock.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
        else:
            _log.info("background loop finished", extra={"loop": name})
            return


async def _close(apps: Sequence[App]) -> None:
    """Close everything, the last built first; one that fails keeps none from closing."""
    for app in reversed(apps):
        for close in reversed(app.close):
            try:
                await close()
            except Exception:
                _log.exception("close failed", extra={"app": app.name})
