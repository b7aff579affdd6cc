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
from lienthong.advice import explain
from lienthong.clock import Clock, SystemClock
from lienthong.errors import DomainError, FailedPrecondition
from lienthong.mesh.crew import Crew
from lienthong.mesh.faults import FAULTS, Endurance, problem_of
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan
from lienthong.mesh.site import Site
from lienthong.mesh.state import MeshLock, MeshState, PartState, Phase, Problem

_log: Final = logging.getLogger("lienthong.mesh.supervisor")

_TICK_SECONDS: Final = 0.3
_REVOCATIONS_SECONDS: Final = 12 * 3600.0
_REVOCATIONS_RETRY_SECONDS: Final = 60.0
_TAKE_OVER: Final = "taking over the plan"


class Supervisor:
    """Keeps the mesh of one folder. `run` returns when it was told to stop, and everything has ended."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._layout = Layout(folder)
        self._clock = clock
        self._started = clock.now()
        self._signals = _Signals()
        self._generation = 0
        self._digest: str | None = None
        self._endurance = Endurance()
        self._last: MeshState | None = None

    def run(self) -> None:
        """Start everything, keep it, stop it. Why it cannot start is raised, and stands in the state."""
        site: Site | None = None
        crew: Crew | None = None
        self._say(Phase.STARTING)
        try:
            plan = Plan.read(self._layout.plan)
            site = Site(self._layout.folder, plan, self._clock)
            site.prepare()
            self._digest = plan.digest()
            crew = Crew(site.view, self._clock)
            self._keep(site, crew)
            self._say(Phase.STOPPING, site, crew)
        except FAULTS as error:
            problem = problem_of(error)
            _log.critical("mesh failed", extra={"reason": problem.reason, "problem": problem.message})
            self._say(Phase.FAILED, problem=problem)
            if isinstance(error, DomainError):
                raise
            raise FailedPrecondition(problem.reason, problem.message) from error
        finally:
            # In order: nodes first, then what they write to.
            if crew is not None:
                crew.close()
            if site is not None:
                site.close()
            _log.info("mesh stopped")

    def _keep(self, site: Site, crew: Crew) -> None:
        """Nothing that goes wrong outside of us ends the nodes: each step is tried again."""
        refresh_at = self._clock.monotonic() + _REVOCATIONS_SECONDS
        while not self._signals.stop:
            if self._signals.reload_asked():
                self._reload(site, crew)
            with self._endurance.through("keeping the server"):
                site.tend_server()
            with self._endurance.through("keeping the nodes"):
                crew.tend()
            if site.news_due:
                with self._endurance.through("telling the directory's news"):
                    site.tell_news(crew.serving())
            if self._clock.monotonic() > refresh_at:
                refresh_at = self._clock.monotonic() + self._refresh_revocations(site)
            self._say(Phase.RUNNING, site, crew, self._endurance.problem(_TAKE_OVER))
            self._signals.wait(_TICK_SECONDS)

    def _reload(self, site: Site, crew: Crew) -> None:
        """Take over a plan that grew; one that cannot be is told, and the mesh stays as it was."""
        with self._endurance.through(_TAKE_OVER):
            plan = Plan.read(self._layout.plan)
            changed = site.grow(plan)
            crew.renew(site.view, changed)
            self._digest = plan.digest()
            _log.info("plan taken over", extra={"restarted": [part.name for part in changed]})
        # Also where it failed: who sent the signal waits for an answer, and the problem is one.
        self._generation += 1

    def _refresh_revocations(self, site: Site) -> float:
        """Seconds until it is to be done again."""
        step = "renewing the revocation lists"
        with self._endurance.through(step):
            site.refresh_revocations()
        failed = self._endurance.problem(step) is not None
        return _REVOCATIONS_RETRY_SECONDS if failed else _REVOCATIONS_SECONDS

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
            plan=self._digest,
            postgres_pid=site.server_pid if site is not None else None,
            postgres_restarts=site.server_restarts if site is not None else 0,
            parts=parts,
            problem=problem,
        )
        if state == self._last:
            return
        # Where the disk is full the nodes go on, and the state is written at a later tick.
        with self._endurance.through("writing the state"):
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
        sys.exit(f"lienthong: {explain(error)}")
    finally:
        with contextlib.suppress(OSError):
            lock.release()


if __name__ == "__main__":
    main()
