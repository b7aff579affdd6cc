"""The one process that keeps a mesh: `python -m lienthong.mesh.supervisor DIR`, started by `lienthong up`.

It owns PostgreSQL (where it is ours) and the nodes' processes, starts again what ended unasked, and says in
run/state.yaml how things are. SIGTERM and SIGINT stop everything in order, SIGHUP takes over a plan that
grew. However it ends, the watchdogs of processes.py and postgres.py let nothing outlive it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lienthong import telemetry
from lienthong.clock import Clock, SystemClock
from lienthong.errors import DomainError
from lienthong.mesh.crew import Crew
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan
from lienthong.mesh.site import Site
from lienthong.mesh.state import MeshLock, MeshState, PartState, Phase, Problem

_log: Final = logging.getLogger("lienthong.mesh.supervisor")

_TICK_SECONDS: Final = 0.3
_REVOCATIONS_SECONDS: Final = 12 * 3600.0


class Supervisor:
    """Keeps the mesh of one folder. `run` returns when it was told to stop, and everything has ended."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._layout = Layout(folder)
        self._clock = clock
        self._started = clock.now()
        self._signals = _Signals()
        self._generation = 0
        self._last: MeshState | None = None

    def run(self) -> None:
        """Start everything, keep it, stop it. Why it cannot start is raised, and stands in the state."""
        site: Site | None = None
        crew: Crew | None = None
        self._say(Phase.STARTING)
        try:
            site = Site(self._layout.folder, Plan.read(self._layout.plan), self._clock)
            site.prepare()
            crew = Crew(site.view, self._clock)
            self._keep(site, crew)
            self._say(Phase.STOPPING, site, crew)
        except DomainError as error:
            _log.critical("mesh failed", extra={"reason": error.reason, "problem": error.message})
            self._say(Phase.FAILED, problem=Problem(reason=error.reason, message=error.message))
            raise
        finally:
            # In order: nodes first, then what they write to.
            if crew is not None:
                crew.close()
            if site is not None:
                site.close()
            _log.info("mesh stopped")

    def _keep(self, site: Site, crew: Crew) -> None:
        revoked_at = self._clock.monotonic()
        while not self._signals.stop:
            if self._signals.reload_asked():
                self._reload(site, crew)
            site.tend_server()
            crew.tend()
            site.tell_news(crew.serving())
            if self._clock.monotonic() - revoked_at > _REVOCATIONS_SECONDS:
                site.refresh_revocations()
                revoked_at = self._clock.monotonic()
            self._say(Phase.RUNNING, site, crew)
            self._signals.wait(_TICK_SECONDS)

    def _reload(self, site: Site, crew: Crew) -> None:
        """Take over a plan that grew; one that cannot be is logged, and the mesh stays as it was."""
        try:
            changed = site.grow(Plan.read(self._layout.plan))
        except DomainError as error:
            _log.error("plan not taken over", extra={"reason": error.reason, "problem": error.message})
            return
        _log.info("plan taken over", extra={"restarted": [part.name for part in changed]})
        crew.renew(site.view, changed)
        self._generation += 1

    def _say(
        self,
        phase: Phase,
        site: Site | None = None,
        crew: Crew | None = None,
        problem: Problem | None = None,
    ) -> None:
        parts: dict[str, PartState] = crew.states() if crew is not None else {}
        state = MeshState(
            phase=phase,
            pid=os.getpid(),
            since=self._started,
            generation=self._generation,
            postgres_pid=site.server_pid if site is not None else None,
            postgres_restarts=site.server_restarts if site is not None else 0,
            parts=parts,
            problem=problem,
        )
        if state != self._last:
            state.write(self._layout.state)
            self._last = state


class _Signals:
    """SIGTERM, SIGINT and SIGHUP as flags, and a pipe that wakes who waits.

    Handlers, not a blocked mask: children would inherit the mask, and a node could not be stopped any more.
    """

    def __init__(self) -> None:
        self.stop = False
        self._reload = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number, action in _actions(self).items():
            signal.signal(number, action)

    def reload_asked(self) -> bool:
        """Whether SIGHUP came since this was asked last."""
        asked, self._reload = self._reload, False
        return asked

    def ask_stop(self, *_: Any) -> None:
        self.stop = True

    def ask_reload(self, *_: Any) -> None:
        self._reload = True

    def wait(self, seconds: float) -> None:
        """Return after so long, or at a signal."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        if ready:
            os.read(self._read, 4096)


def _actions(signals: _Signals) -> dict[signal.Signals, Callable[..., None]]:
    return {
        signal.SIGTERM: signals.ask_stop,
        signal.SIGINT: signals.ask_stop,
        signal.SIGHUP: signals.ask_reload,
    }


def keep(folder: Path) -> None:
    """Be the supervisor of a folder whose lock this process holds."""
    Supervisor(folder, SystemClock()).run()


def main() -> None:
    """Entry of the daemon. It holds the lock from the descriptor it was given, or takes it."""
    parser = argparse.ArgumentParser(prog="python -m lienthong.mesh.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, help="descriptor of the locked file, from who started this")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    lock = MeshLock(chosen.lock) if chosen.lock is not None else MeshLock.take(Layout(folder).lock)
    if lock is None:
        sys.exit(f"lienthong: the mesh in {folder} runs already")
    os.set_inheritable(lock.descriptor, False)
    telemetry.setup_logging("INFO", service="supervisor", node="mesh")
    try:
        keep(folder)
    except DomainError as error:
        sys.exit(f"lienthong: {error}")
    finally:
        with contextlib.suppress(OSError):
            lock.release()


if __name__ == "__main__":
    main()
