"""Node processes that end with this one, however it ends.

They share a process group with a small shell that holds the other end of a pipe of ours. The kernel closes
the pipe when we are gone (SIGKILL too), and the shell kills its group. PR_SET_PDEATHSIG would need code
between fork and exec (a deadlock once gRPC's threads run), and fires when the starting *thread* ends. The
group is not the terminal's: Ctrl-C reaches us, and we stop the nodes in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from lienthong.errors import FailedPrecondition
from lienthong.settings import FILE_VARIABLE, PREFIX

_WATCHDOG: Final = "read -r _; kill -KILL 0"


class NodeProcesses:
    """Starts, kills and stops the processes of nodes, each by its name (parts.Part.name). Thread-safe."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.RLock()
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            process_group=0,
        )

    def start(
        self,
        name: str,
        settings: Path,
        log: Path,
        environ: Mapping[str, str] | None = None,
        *,
        module: str = "services.node",
    ) -> int:
        """Start a process that does not run, and return its id at once: see health.wait_serving."""
        with self._lock:
            if self.alive(name):
                raise FailedPrecondition("NODE_RUNNING", f"node {name} runs already", node=name)
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", module],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**_environment(), FILE_VARIABLE: str(settings), **(environ or {})},
                    process_group=self._watchdog.pid,
                )
            self._processes[name] = process
            return process.pid

    def alive(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """The process that was started by this name, running or not; KeyError before."""
        return self._processes[name].pid

    def exit_code(self, name: str) -> int | None:
        """None while it runs; KeyError before it was started."""
        return self._processes[name].poll()

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the process is gone: its port and its locks are free."""
        with self._lock:
            process = self._processes[name]
            process.kill()
            process.wait()

    def stop(self, names: Iterable[str] | None = None, *, grace: float = 15.0) -> None:
        """SIGTERM to these processes (all by default) together; what is not gone after `grace` is killed."""
        with self._lock:
            chosen = [self._processes[name] for name in (self._processes if names is None else names)]
            for process in chosen:
                if process.poll() is None:
                    process.terminate()
            deadline = time.monotonic() + grace
            for process in chosen:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def close(self, *, grace: float = 15.0) -> None:
        """Stop all processes and the watchdog. Whatever interrupts this, nothing of the group survives it."""
        try:
            self.stop(grace=grace)
        finally:
            # Also the grandchildren a node may have started: they are in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._watchdog.pid, signal.SIGKILL)
            for process in (*self._processes.values(), self._watchdog):
                process.wait()
            assert self._watchdog.stdin is not None
            self._watchdog.stdin.close()


def _environment() -> dict[str, str]:
    """Ours, without settings of ours: a node is told everything by its own file."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
