"""What may go wrong outside of us while a mesh runs, and must not end it: files, the server, programs."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from lienthong.errors import DomainError
from lienthong.mesh.state import Problem

_log: Final = logging.getLogger("lienthong.mesh.faults")

# A full disk, files that their owner moves, a server that is away, a program that cannot be run.
FAULTS: Final = (
    DomainError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    subprocess.SubprocessError,
)


def problem_of(error: BaseException) -> Problem:
    """One of FAULTS as the state and the log have it."""
    if isinstance(error, DomainError):
        return Problem(reason=error.reason, message=error.message)
    said = " ".join(str(error).split())[:400]
    return Problem(reason="SUPERVISOR_FAILED", message=f"{type(error).__name__}: {said}")


class Endurance:
    """Outlives the faults of named steps. Each is logged when it changes, not at every try."""

    def __init__(self) -> None:
        self._standing: dict[str, Problem] = {}

    @contextmanager
    def through(self, step: str) -> Iterator[None]:
        """Swallow a fault of this step; `problem` tells whether there was one."""
        try:
            yield
        except FAULTS as error:
            found = problem_of(error)
            if self._standing.get(step) != found:
                _log.error("%s failed", step, extra={"reason": found.reason, "problem": found.message})
            self._standing[step] = found
        else:
            if self._standing.pop(step, None) is not None:
                _log.info("%s works again", step)

    def problem(self, step: str) -> Problem | None:
        """What was wrong with a step when it was tried last."""
        return self._standing.get(step)
