"""Loops that go on after a failure, and still end when they are told to."""

from __future__ import annotations

import asyncio


def end_if_cancelled() -> None:
    """Raise CancelledError when the running task was asked to end and an error hid that.

    A task group that breaks in the same moment as it is cancelled raises only what broke it (Python 3.11 and
    3.12: 3.13 cancels again). A loop that takes up its work after each error would then never end (seen: one
    stop of a mesh in four, when neighbours stopped together).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
