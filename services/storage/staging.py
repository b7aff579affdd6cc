"""Bytes on their way in: a local folder, wherever blobs live in the end.

    async with staging.stage(partial, offset) as staged:
        async for chunk in chunks:
            await staged.write(chunk)
        content = await staged.finish()       # hashed and fsynced

What was not published is removed when the block ends, unless the stream only broke and its bytes have a name
to wait under (partial.py). Then the next stream goes on: it hashes what is there again, from the disk, since
a digest's inner state is nowhere else, and since only what is really there counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

from lienthong.errors import DataLoss, DomainError, Internal, InvalidArgument
from lienthong.ids import new_id

from services.storage.disk import Disk, Threads, full, full_told
from services.storage.domain import Content, offset_wrong
from services.storage.partial import SUFFIX, Free, Partial, Taken, kept_of_links, length, locked

# How often a growing file looks whether the disk is filling up.
_ROOM_CHECK: Final = 16 * 1024 * 1024
# One step of hashing again: short enough that a cancelled stream does not keep a thread for long.
_REHASHED: Final = 8 * 1024 * 1024
_READ: Final = 256 * 1024
# How long a stream that just broke may take to be noticed and to let go of its bytes, in seconds.
_RELEASE: Final = 2.0
_POLL: Final = 0.05


class Staging:
    """The folder for bytes that come. `floor` bytes of its disk stay free."""

    def __init__(self, folder: Path, *, floor: int = 0, threads: int = 8, disk: Disk | None = None) -> None:
        self._folder = folder
        self._floor = floor
        self._disk = disk or Disk()
        self._threads = Threads(threads, "staging")
        folder.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.close()

    @asynccontextmanager
    async def stage(self, partial: Partial | None = None, offset: int = 0) -> AsyncIterator[StagedFile]:
        """A place for bytes; with a partial, they go on at `offset` and outlive a broken stream.

        FailedPrecondition("UPLOAD_OFFSET_WRONG") where fewer than `offset` bytes are here, or where another
        stream has them; STORAGE_FULL.
        """
        self.check_room()
        staged = StagedFile(self._threads, self, self._folder, partial)
        keep = False
        try:
            await self._open(staged, offset)
            yield staged
        except BaseException as error:
            keep = staged.cut_short or _only_broke(error)
            raise
        finally:
            await self._threads.run(staged.leave if keep else staged.discard)

    async def kept(self, partial: Partial) -> int:
        """How many bytes of it the next stream finds; those of a stream that goes on are not among them."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RELEASE
        while True:
            kept, busy = await self._threads.run(_kept, partial, self._folder)
            if not busy or loop.time() > deadline:
                return kept
            await asyncio.sleep(_POLL)

    async def kept_of_links(self, sha256: bytes) -> Partial | None:
        """What is kept of a blob that links bring."""
        return await self._threads.run(kept_of_links, self._folder, sha256)

    async def sweep(self, now: float, stale_seconds: float, partial_seconds: float) -> int:
        """Remove what nobody came back for, and what a killed process left; their number."""
        return await self._threads.run(self._sweep, now - stale_seconds, now - partial_seconds)

    async def check_ready(self) -> None:
        """Raise unless bytes could be taken in now."""
        await self._threads.run(self.check_room)

    def check_room(self, coming: int = 0) -> None:
        """ResourceExhausted("STORAGE_FULL") where so many bytes would use up the reserve."""
        if self._disk.free_bytes(self._folder) - coming < self._floor:
            raise full()

    def fsync(self, file: FileIO) -> None:
        """Make the bytes of an open file durable."""
        self._disk.fsync(file.fileno())

    async def _open(self, staged: StagedFile, offset: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RELEASE
        while not await self._threads.run(staged.open, offset):
            if loop.time() > deadline:
                raise offset_wrong(0)
            await asyncio.sleep(_POLL)
        while staged.size < staged.resumed:
            await self._threads.run(staged.rehash)

    def _sweep(self, stale: float, forgotten: float) -> int:
        removed = 0
        for path in self._folder.iterdir():
            oldest = forgotten if path.suffix == SUFFIX else stale
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    removed += _remove_unless_used(path, oldest)
        return removed


class StagedFile:
    """One file on its way in. Its methods are awaited one after another."""

    def __init__(self, threads: Threads, staging: Staging, folder: Path, partial: Partial | None) -> None:
        self.path = folder
        self.size = 0
        self.resumed = 0
        # Set by whoever sees the bytes end too early: a caller that goes away looks like one that is done.
        self.cut_short = False
        self._threads = threads
        self._staging = staging
        self._folder = folder
        self._partial = partial
        self._file: FileIO | None = None
        self._digest = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        """Append; ResourceExhausted("STORAGE_FULL") when the disk is."""
        await self._threads.run(self._write, chunk)

    async def finish(self) -> Content:
        """No more bytes come: make them durable and say what they are."""
        await self._threads.run(self._durable)
        return Content(self._digest.digest(), self.size)

    def open(self, offset: int) -> bool:
        """Take up what is kept, cut to `offset`, or begin anew; False while another stream may have it."""
        free = self._partial.free(self._folder) if self._partial else Free(None, busy=False)
        here = length(free.taken.file) if free.taken else 0
        if here < offset:
            if free.taken:
                free.taken.file.close()
            if free.busy:
                return False
            raise offset_wrong(here)
        while free.taken is None and self._file is None:
            # Again, where another stream found our file before we had locked it.
            self.path = self._partial.fresh(self._folder) if self._partial else self._folder / new_id().hex
            self._file = locked(self.path, create=True)
        if free.taken is None:
            return True
        self.path, self._file = free.taken.path, free.taken.file
        self._file.truncate(offset)
        self.resumed = offset
        return True

    def rehash(self) -> None:
        """Hash the next of the bytes that were kept."""
        file = self._opened()
        wanted = min(self.resumed - self.size, _REHASHED)
        while wanted:
            piece = file.read(min(wanted, _READ))
            if not piece:
                raise offset_wrong(0)  # somebody else than we cut the file
            self._digest.update(piece)
            self.size += len(piece)
            wanted -= len(piece)

    def leave(self) -> None:
        """The stream broke: what came waits for the next one."""
        if self._partial is None or self._file is None or not length(self._file):
            self.discard()
        else:
            self._file.close()

    def discard(self) -> None:
        """Close and remove what was not published."""
        if self._file is not None:
            Taken(self.path, self._file).remove()

    def _write(self, chunk: bytes) -> None:
        file = self._opened()
        if self.size // _ROOM_CHECK != (self.size + len(chunk)) // _ROOM_CHECK:
            self._staging.check_room()
        rest = memoryview(chunk)
        with full_told():
            while rest:  # unbuffered, so that a killed process leaves all that it took; may write less
                rest = rest[file.write(rest) :]
        self._digest.update(chunk)
        self.size += len(chunk)

    def _durable(self) -> None:
        with full_told():
            self._staging.fsync(self._opened())

    def _opened(self) -> FileIO:
        assert self._file is not None, "opened by stage"
        return self._file


def _only_broke(error: BaseException) -> bool:
    """Whether the bytes that came are still good: their sender went away, or may not go on for now.

    Not where they were refused, nor on a full disk (whoever keeps what it has there keeps everybody out), nor
    after an OSError: when a fsync failed, the cache may hold what the disk never got.
    """
    if isinstance(error, DomainError):
        return not isinstance(error, InvalidArgument | DataLoss | Internal) and error.reason != "STORAGE_FULL"
    return isinstance(error, asyncio.CancelledError)


def _kept(partial: Partial, folder: Path) -> tuple[int, bool]:
    """Bytes that can be gone on from, and whether another stream is at work."""
    free = partial.free(folder)
    if free.taken is None:
        return 0, free.busy
    with free.taken.file as file:
        return length(file), free.busy


def _remove_unless_used(path: Path, oldest: float) -> bool:
    file = locked(path)
    if file is None:
        return False
    with file:
        # Looked at again: a stream may have come and gone since.
        if os.fstat(file.fileno()).st_mtime >= oldest:
            return False
        path.unlink()
    return True
