"""The deadline of the call being served, passed on to the calls it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from lienthong.errors import DeadlineExceeded

# So that a server whose own sub-call ran out of time can still say so to its caller.
_SHAVED: Final = 0.02


@dataclass(slots=True)
class Deadline:
    """How long one caller waits; without a meaning once its call is over, for tasks that outlive it."""

    at: float | None
    over: bool = False


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def set_deadline(seconds_left: float | None) -> Deadline:
    """Remember how long the caller will wait, for the rest of this call's task."""
    deadline = Deadline(None if seconds_left is None else time.monotonic() + seconds_left)
    _deadline.set(deadline)
    return deadline


def remaining() -> float | None:
    """Seconds the current caller will still wait; None without a caller or a deadline."""
    deadline = _deadline.get()
    if deadline is None or deadline.over or deadline.at is None:
        return None
    return deadline.at - time.monotonic()


def timeout_for(wanted: float | None) -> float | None:
    """The time-out of a call made now: what is wanted, and never longer than our own caller waits."""
    left = remaining()
    if left is None:
        return wanted
    if left <= 0:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "the caller's time is over")
    left = max(left - _SHAVED, left / 2)
    return left if wanted is None else min(wanted, left)


@contextmanager
def detached() -> Iterator[None]:
    """Work that outlives the call that started it (coalesced flushes, workflows): tasks and calls made in
    this block do not inherit the caller's deadline."""
    token = _deadline.set(None)
    try:
        yield
    finally:
        _deadline.reset(token)
