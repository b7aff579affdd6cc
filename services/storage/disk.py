"""Work on files: the calls whose order makes bytes durable, the threads that make them, a full disk told."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from lienthong.errors import ResourceExhausted

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Disk:
    """The calls whose order makes a file durable: injected, so that a test can watch it."""

    fsync: Callable[[int], None] = os.fsync
    replace: Callable[[Path, Path], None] = os.replace
    unlink: Callable[[Path], None] = os.unlink
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free


class Threads:
    """A few threads of one's own: a slow disk never holds up the event loop, nor anybody else's threads."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it in a thread. A cancelled caller still waits for the step that runs: nobody may close or
        remove a file under a thread that writes to it."""
        step = asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            if not step.cancelled():
                step.exception()
            raise

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._pool.shutdown(wait=True)


@contextmanager
def full_told() -> Iterator[None]:
    """A full disk is something to tell the caller, any other trouble a defect."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise full() from error


def full() -> ResourceExhausted:
    """What a caller is told when nothing more fits."""
    return ResourceExhausted("STORAGE_FULL", "the disk of this node is full", retry_after=60.0)
