"""Tells waiting loops that there may be work: within the process, and between processes by NOTIFY.

A wake-up is only a hint. It is never part of a promise: every wait has a time-out, so a lost one costs
at most a poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import asyncpg
from lienthong.db import Database, Transaction
from lienthong.errors import DomainError

_COALESCE_SECONDS: Final = 0.005
_RECONNECT_SECONDS: Final = 1.0
_MAX_NAMES: Final = 10_000
_CHANNEL: Final = "lienthong_wakeups"

_log = logging.getLogger(__name__)


class Wakeups:
    """Wake-ups by name (of a queue, or "event") inside one process.

    Take the generation, look for work, then wait with it: what was notified in between is not missed.

    Names may be as many as there are documents ("submission/<id>"), so only the latest are remembered. One
    that is forgotten looks as if it had been woken: a needless look, never a missed one.
    """

    def __init__(self, max_names: int = _MAX_NAMES) -> None:
        self._max_names = max_names
        self._count = 0
        self._generations: dict[str, int] = {}
        self._forgotten = 0
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._on_notify: list[Callable[[str], None]] = []

    def notify(self, name: str) -> None:
        """There may be work. Cheap, and meant for `tx.after_commit`."""
        self.wake(name)
        for listener in self._on_notify:
            listener(name)

    def notify_after(self, tx: Transaction, *names: str) -> None:
        """Notify of all names once the transaction has committed."""

        def committed() -> None:
            for name in names:
                self.notify(name)

        tx.after_commit(committed)

    def wake(self, name: str) -> None:
        """Wake this process only."""
        self._count += 1
        self._generations.pop(name, None)
        self._generations[name] = self._count  # the latest last
        if len(self._generations) > self._max_names:
            self._forgotten = self._generations.pop(next(iter(self._generations)))
        for waiting in self._waiting.pop(name, ()):
            if not waiting.done():
                waiting.set_result(None)

    def generation(self, name: str) -> int:
        """A number that is another one after each wake-up of `name`."""
        return self._generations.get(name, self._forgotten)

    async def wait(self, name: str, seen: int, timeout_seconds: float) -> bool:
        """Return True once the generation is no longer `seen`, or False after the time-out."""
        if self.generation(name) != seen:
            return True
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[name].add(waiting)
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiting
        except TimeoutError:
            return False
        finally:
            if name in self._waiting:
                self._waiting[name].discard(waiting)
                if not self._waiting[name]:
                    del self._waiting[name]
        return True

    def on_notify(self, listener: Callable[[str], None]) -> None:
        """Hear every `notify`, to pass it on to other processes."""
        self._on_notify.append(listener)


class NotifyBridge:
    """Carries wake-ups between the processes on one database, on one connection of its own.

    NOTIFY takes a lock of the whole cluster at commit (measured: 6.5k -> 3.6k transactions a second), so it
    is sent outside the transactions it tells of, and many are told as one.
    """

    def __init__(self, db: Database, wakeups: Wakeups) -> None:
        self._db = db
        self._wakeups = wakeups
        self._names: set[str] = set()
        self._news = asyncio.Event()
        wakeups.on_notify(self._queue_up)

    async def run(self) -> None:
        """Listen and notify until cancelled; reconnects for ever."""
        while True:
            try:
                await self._session()
            except (DomainError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("wake-ups between processes are interrupted: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _session(self) -> None:
        connection = await self._db.dedicated()
        try:
            await connection.add_listener(_CHANNEL, self._heard)
            while True:
                # Wakes up now and then also without news, to find a dead connection.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(30):
                        await self._news.wait()
                await asyncio.sleep(_COALESCE_SECONDS)
                self._news.clear()
                names, self._names = sorted(self._names), set()
                await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, json.dumps(names))
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=2)

    def _queue_up(self, name: str) -> None:
        self._names.add(name)
        self._news.set()

    def _heard(self, connection: Any, pid: int, _channel: str, payload: object) -> None:
        if pid != connection.get_server_pid():
            for name in json.loads(str(payload)):
                self._wakeups.wake(name)


def clean_task(coroutine: Any, *, name: str) -> asyncio.Task[Any]:
    """A task that inherits neither a transaction nor a trace from whoever starts it."""
    return asyncio.get_running_loop().create_task(coroutine, name=name, context=contextvars.Context())
