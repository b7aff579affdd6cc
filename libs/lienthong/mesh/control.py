"""Bringing a mesh up and down: what `lienthong up` and `down` do, without what they print.

`up` decides and checks, writes mesh.yaml, and hands the lock to a supervisor, which makes all the rest and
says in its state how far it is.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import DeadlineExceeded, DomainError, FailedPrecondition
from lienthong.mesh.databases import MeshDatabases
from lienthong.mesh.ground import (
    check_data,
    check_database,
    check_original,
    check_place,
    check_ports,
    check_unclaimed,
)
from lienthong.mesh.health import log_end
from lienthong.mesh.layout import Layout
from lienthong.mesh.parts import Mode
from lienthong.mesh.pki_check import check_pki
from lienthong.mesh.plan import Plan, new_plan
from lienthong.mesh.state import MeshLock, MeshState, Phase, is_held
from lienthong.mesh.topology import Topology
from lienthong.mesh.view import MeshView
from lienthong.postgres import URL_VARIABLE, ExternalPostgres

READY_SECONDS: Final = 300.0
STOP_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.1
# `status` holds the lock for an instant when it looks.
_LOCK_TRIES: Final = 20
# Routing keeps for 10 s what it asked of the directory; mail for a new node that came within them would be
# sent where unknown nodes are, upwards, and come back NOT_DELIVERED with LOOP (seen).
_DIRECTORY_SECONDS: Final = 11.0
# A process that ended so often without ever serving does not start by itself any more.
_HOPELESS: Final = 3

Progress = Callable[[frozenset[str], int], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `up` was told; None is "as it was", and at the first time the default."""

    topology: Topology | None = None
    processes: Mode | None = None
    base_port: int | None = None
    pki: Path | None = None


def open_mesh(folder: Path) -> MeshView:
    """The mesh of a folder, running or not; FailedPrecondition("MESH_MISSING") where there is none."""
    layout = Layout(folder.resolve())
    if not layout.plan.exists():
        raise FailedPrecondition("MESH_MISSING", f"{folder} holds no mesh", path=folder)
    return Plan.read(layout.plan).view(layout.folder)


class Upbringing:
    """One `up`: `begin` leaves the lock in our hands, or finds that the mesh runs."""

    def __init__(self, folder: Path, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self.layout = Layout(folder.resolve())
        self._clock = clock
        self._environ = environ
        self.lock: MeshLock | None = None
        self.generation = 0

    def begin(self, wishes: Wishes) -> bool:
        """Check everything, write the plan; True when a supervisor is to be started, False when one runs."""
        folder = self.layout.folder
        new = [place for place in (folder, *folder.parents) if not place.exists()]
        try:
            check_unclaimed(self.layout, wishes.pki.resolve() if wishes.pki is not None else None)
            check_place(folder, embedded=self._embedded())
            self.lock = _taken(self.layout)
            if self.lock is not None:
                self.layout.state.unlink(missing_ok=True)  # an earlier life's
            elif not self.layout.plan.exists():
                raise FailedPrecondition("MESH_BUSY", "another `up` is making this mesh: try again later")
            plan = self._plan(wishes)
            if self.lock is None:
                if plan != Plan.read(self.layout.plan) or self.is_untaken(plan):
                    self.grow(plan)
                return False
            self._check(plan)
        except BaseException:
            self._give_up(new)
            raise
        # The plan first: what a start leaves that was interrupted is a mesh's, and the next completes it.
        plan.housed(folder).write(self.layout.plan)
        self._keep_url(plan)
        return True

    def start_daemon(self) -> None:
        """Start the supervisor in a session of its own, and leave the lock to it."""
        assert self.lock is not None
        with self.layout.supervisor_log.open("ab") as log:
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "lienthong.mesh.supervisor",
                    str(self.layout.folder),
                    "--lock",
                    str(self.lock.descriptor),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                pass_fds=[self.lock.descriptor],
            )
        self.lock.release()
        self.lock = None

    def wait(self, progress: Progress, timeout: float = READY_SECONDS) -> MeshView:
        """Return when every process serves; raise with the end of a log when one does not.

        SUPERVISOR_ENDED, NODE_ENDED, NODE_NOT_READY, and what kept the supervisor from starting.
        """
        view = open_mesh(self.layout.folder)
        names = frozenset(part.name for part in view.parts())
        deadline = time.monotonic() + timeout
        while True:
            state = MeshState.read(self.layout.state)
            serving = _serving(state, self.generation) & names
            if serving == names:
                # They served once; whether they do now, they must say themselves.
                serving = frozenset(part.name for part in view.parts() if view.part_is_serving(part))
            progress(serving, len(names))
            if serving == names:
                if self.generation:
                    time.sleep(_DIRECTORY_SECONDS)
                return view
            self._check_progress(view, state)
            if time.monotonic() > deadline:
                raise _not_ready(view, min(names - serving))
            time.sleep(_POLL_SECONDS)

    def _check_progress(self, view: MeshView, state: MeshState | None) -> None:
        # A problem of an earlier generation is not the answer to what we asked.
        answered = state is not None and (state.generation >= self.generation or state.phase is Phase.FAILED)
        if state is not None and state.problem is not None and answered:
            raise FailedPrecondition(state.problem.reason, state.problem.message)
        if not is_held(self.layout.lock):
            said = log_end(self.layout.supervisor_log)
            raise FailedPrecondition(
                "SUPERVISOR_ENDED", f"the mesh ended: {said}", log=self.layout.supervisor_log
            )
        for part in view.parts():
            known = state.parts.get(part.name) if state is not None else None
            if known is not None and known.restarts >= _HOPELESS and not known.serving:
                log = view.layout.part(part).log
                raise FailedPrecondition(
                    "NODE_ENDED", f"node {part.name} goes on ending: {log_end(log)}", node=part.name, log=log
                )

    def _embedded(self) -> bool:
        if self.layout.plan.exists():
            return Plan.read(self.layout.plan).postgres_port is not None
        return not self._environ.get(URL_VARIABLE)

    def _plan(self, wishes: Wishes) -> Plan:
        rng = random.SystemRandom()
        if not self.layout.plan.exists():
            return new_plan(
                wishes.topology or Topology.named("three-tiers"),
                mesh_id=secrets.token_hex(4),
                processes=wishes.processes or "node",
                base_port=wishes.base_port,
                embedded=self._embedded(),
                pki=wishes.pki.resolve() if wishes.pki is not None else None,
                rng=rng,
            )
        plan = Plan.read(self.layout.plan)
        _refuse_other_wishes(plan, wishes)
        return plan.grown(wishes.topology, rng) if wishes.topology is not None else plan

    def _check(self, plan: Plan) -> None:
        """All that can be known to go wrong, before a process starts."""
        check_original(self.layout, plan)
        check_ports(plan)
        if plan.postgres_port is None:
            server = ExternalPostgres(self._url())
            check_database(server.url(), self._clock)
            # A URL that was left in the shell for something else must not become this mesh's.
            MeshDatabases(plan.mesh_id, dict.fromkeys(plan.ports, server)).require(self.layout.lived())
        else:
            check_data(self.layout)
        if plan.pki is not None:
            view = plan.view(self.layout.folder)
            check_pki(view.topology, view.layout, view.mode, self._clock.now())

    def grow(self, plan: Plan) -> None:
        """Hand a plan that grew to the supervisor that runs; `wait` then waits for what is new."""
        state = self.require_running()
        if plan.pki is not None:
            view = plan.view(self.layout.folder)
            check_pki(view.topology, view.layout, view.mode, self._clock.now())
        plan.write(self.layout.plan)
        self.generation = state.generation + 1
        os.kill(state.pid, signal.SIGHUP)

    def is_untaken(self, plan: Plan) -> bool:
        """Whether the mesh runs by another plan: this one was written, and never taken over."""
        state = MeshState.read(self.layout.state)
        return state is not None and state.phase is Phase.RUNNING and state.plan != plan.digest()

    def require_running(self) -> MeshState:
        """The state of a mesh that runs; MESH_NOT_RUNNING, MESH_BUSY."""
        if not is_held(self.layout.lock):
            raise FailedPrecondition("MESH_NOT_RUNNING", f"the mesh in {self.layout.folder} does not run")
        state = MeshState.read(self.layout.state)
        if state is None or state.phase is not Phase.RUNNING:
            raise FailedPrecondition("MESH_BUSY", "the mesh is starting or stopping: try again when it runs")
        return state

    def _url(self) -> str:
        named = self._environ.get(URL_VARIABLE)
        if not named and not self.layout.postgres_url.exists():
            raise FailedPrecondition(
                "DATABASE_UNNAMED", f"{URL_VARIABLE} does not name the mesh's PostgreSQL"
            )
        return named or self.layout.postgres_url.read_text(encoding="utf-8").strip()

    def _keep_url(self, plan: Plan) -> None:
        """A later start needs no environment; a server that moved is followed."""
        if plan.postgres_port is not None:
            return
        url = self._url()
        descriptor = os.open(self.layout.postgres_url, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(url + "\n")

    def _give_up(self, new: Sequence[Path]) -> None:
        """Leave nothing of an `up` that was refused; `new` are the folders that were not there before."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None
        if self.layout.folder in new:
            shutil.rmtree(self.layout.run, ignore_errors=True)
            if self.layout.postgres.is_symlink():
                self.layout.postgres.unlink()
        for place in new:
            with suppress(OSError):
                place.rmdir()


def bring_down(folder: Path, timeout: float = STOP_SECONDS) -> bool:
    """Stop the mesh of a folder and wait for its end; False when it did not run."""
    layout = Layout(folder.resolve())
    if not is_held(layout.lock):
        return False
    state = MeshState.read(layout.state)
    if state is None:
        raise FailedPrecondition("MESH_BUSY", "the mesh is being made: try again when it runs")
    # The lock is held, so this number is still its owner's.
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while is_held(layout.lock):
        if time.monotonic() > deadline:
            raise DeadlineExceeded("MESH_NOT_STOPPED", f"process {state.pid} still runs", pid=state.pid)
        time.sleep(_POLL_SECONDS)
    return True


def _refuse_other_wishes(plan: Plan, wishes: Wishes) -> None:
    told = {
        "--processes": (wishes.processes, plan.processes),
        "--base-port": (wishes.base_port, plan.base_port),
        "--pki": (wishes.pki.resolve() if wishes.pki is not None else None, plan.pki),
    }
    other = [
        f"{name} {now}, it was made with {was}" for name, (now, was) in told.items() if now not in (None, was)
    ]
    if other:
        raise FailedPrecondition("MESH_DIFFERS", f"this folder holds another mesh: {'; '.join(other)}")


def _taken(layout: Layout) -> MeshLock | None:
    for _ in range(_LOCK_TRIES):
        lock = MeshLock.take(layout.lock)
        if lock is not None or MeshState.read(layout.state) is not None:
            return lock
        time.sleep(_POLL_SECONDS / 2)
    return None


def _serving(state: MeshState | None, generation: int) -> frozenset[str]:
    if state is None or state.phase is not Phase.RUNNING or state.generation < generation:
        return frozenset()
    if state.problem is not None:  # what was asked for is not what serves
        return frozenset()
    return frozenset(name for name, part in state.parts.items() if part.serving)


def _not_ready(view: MeshView, name: str) -> DomainError:
    log = next(view.layout.part(part).log for part in view.parts() if part.name == name)
    return DeadlineExceeded("NODE_NOT_READY", f"node {name} is not ready: {log_end(log)}", node=name, log=log)
