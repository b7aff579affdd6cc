"""A mesh that stays, driven as its users drive it: by the command line, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from lienthong.mesh import MeshView
from lienthong.mesh.control import open_mesh
from lienthong.mesh.state import MeshState

_SECONDS = 280.0


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def refusal(self) -> dict[str, Any]:
        """The error that --json printed."""
        found: dict[str, Any] = json.loads(self.err.strip().splitlines()[-1])["error"]
        return found


def lienthong(*arguments: str, environ: dict[str, str] | None = None) -> Said:
    """Run one command; JSON, and no variables of ours but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")}
    ended = subprocess.run(
        [sys.executable, "-m", "lienthong.cli", "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env={**inherited, **(environ or {})},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


@dataclass(frozen=True, slots=True)
class Standing:
    """One folder with a mesh."""

    folder: Path

    def run(self, command: str, *arguments: str, environ: dict[str, str] | None = None) -> Said:
        """One of the mesh's commands on this folder."""
        return lienthong(*command.split(), *arguments, "--data", str(self.folder), environ=environ)

    def up(self, *arguments: str, environ: dict[str, str] | None = None) -> MeshView:
        """Bring it up, which must succeed."""
        said = self.run("up", *arguments, environ=environ)
        assert said.code == 0, said
        return self.view

    @property
    def view(self) -> MeshView:
        return open_mesh(self.folder)

    @property
    def state(self) -> MeshState:
        state = MeshState.read(self.folder / "run" / "state.yaml")
        assert state is not None
        return state

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything that it started, PostgreSQL and watchdogs too."""
        supervisor = psutil.Process(self.state.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def power_cut(self) -> list[int]:
        """Kill everything at once, as when the machine loses its power: nobody can tidy up."""
        family = self.family()
        for process in family:
            process.suspend()  # or a watchdog would stop the database in order
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=20)
        return [process.pid for process in family]

    def until(self, holds: Callable[[MeshState], bool], within: float = 60.0) -> MeshState:
        """The supervisor's state once `holds` says so."""
        deadline = time.monotonic() + within
        while not holds(state := self.state):
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
        return state


@contextmanager
def standing(name: str) -> Iterator[Standing]:
    """A folder that PostgreSQL's account can enter (pytest's are closed to it); all ends and goes with it."""
    base = Path(tempfile.mkdtemp(prefix=f"lienthong-{name}-", dir="/var/tmp"))
    base.chmod(0o755)
    mesh = Standing(base / "mesh")
    try:
        yield mesh
    finally:
        _end(mesh)
        shutil.rmtree(base, ignore_errors=True)


def _end(mesh: Standing) -> None:
    with suppress(AssertionError, psutil.NoSuchProcess):
        family = mesh.family()
        if "lienthong.mesh.supervisor" in family[0].cmdline():
            family[0].send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs(family, timeout=40)
            for process in left:
                process.kill()
