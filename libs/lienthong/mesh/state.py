"""What the supervisor of a mesh says of itself, in run/state.yaml, and the lock that proves that it lives."""

from __future__ import annotations

import fcntl
import os
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import yaml
from lienthong.files import write_whole
from lienthong.settings import Section
from pydantic import Field, ValidationError


class Phase(StrEnum):
    """Where a supervisor is in its life."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    FAILED = "FAILED"


class Problem(Section):
    """Why a supervisor gave up, or while it runs: why it did not take over the plan that grew."""

    reason: str
    message: str


class PartState(Section):
    """One process. `serving`: it said so once since it was started last."""

    pid: int | None = None
    since: datetime
    restarts: int = 0
    serving: bool = False
    # Of its last end, where it ended unasked.
    exit_code: int | None = None


class MeshState(Section):
    """All that `up`, `down` and `status` read. Times are UTC."""

    phase: Phase
    pid: int
    since: datetime
    # Counts the answers to SIGHUP since the start, `problem` among them: who sent it waits for the next.
    generation: int = 0
    # Which plan runs (Plan.digest): another may be written and not taken over yet.
    plan: str | None = None
    postgres_pid: int | None = None
    postgres_restarts: int = 0
    parts: dict[str, PartState] = Field(default_factory=dict)
    problem: Problem | None = None

    @classmethod
    def read(cls, file: Path) -> MeshState | None:
        """The last state, or None before the first."""
        try:
            return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, file: Path) -> None:
        """Replace the file at once, so that readers never see half of it."""
        content = self.model_dump(mode="json", exclude_none=True)
        write_whole(file, yaml.safe_dump(content, sort_keys=False).encode(), durable=False)


class MeshLock:
    """Held by `up` while it prepares, then by the supervisor: the kernel frees it however they end.

    The lock belongs to the open file, so a child that inherits the descriptor goes on holding it; there is
    no moment between the two at which another `up` could come in.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, file: Path) -> MeshLock | None:
        """The lock, or None while somebody holds it."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Close our descriptor: free, unless a child holds its own."""
        os.close(self.descriptor)


def is_held(file: Path) -> bool:
    """Whether a mesh runs or is being prepared."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who only look never take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
