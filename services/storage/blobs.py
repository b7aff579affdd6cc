"""Blobs in a local folder: `ab/cd/<sha256>`, written beside, made durable, then given their name.

    async with blobs.stage() as staged:
        async for chunk in chunks:
            await staged.write(chunk)
        content = await staged.finish()       # hashed and fsynced, not yet visible
        ...                                   # the row is locked
        await staged.publish()                # renamed, folders fsynced: durable

A blob is only ever seen whole. Work on files runs in a few threads of its own, so a slow disk never holds
up the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, ParamSpec, Protocol, TypeVar

from lienthong.errors import DataLoss, NotFound, ResourceExhausted
from lienthong.ids import new_id

from services.storage.domain import SENT_CHUNK, Content

_STAGING: Final = "staging"
# How often a growing file looks whether the disk is filling up.
_ROOM_CHECK: Final = 16 * 1024 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

P = ParamSpec("P")
R = TypeVar("R")


class Staged(Protocol):
    """Bytes on their way in; gone when its block ends, unless published."""

    @property
    def size(self) -> int: ...
    async def write(self, chunk: bytes) -> None: ...
    async def finish(self) -> Content: ...
    async def publish(self) -> None: ...


class Blobs(Protocol):
    """Where bytes live: a folder here, a bucket of an object store elsewhere."""

    def stage(self) -> AbstractAsyncContextManager[Staged]: ...
    def read(self, content: Content, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]: ...
    async def delete(self, sha256: bytes) -> None: ...
    async def exists(self, sha256: bytes) -> bool: ...
    def digests(self, older_than: float) -> AsyncIterator[bytes]: ...
    async def check_ready(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Disk:
    """The calls whose order makes a file durable: injected, so that a test can watch it."""

    fsync: Callable[[int], None] = os.fsync
    replace: Callable[[Path, Path], None] = os.replace
    unlink: Callable[[Path], None] = os.unlink
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free


class BlobFolder:
    """A folder of blobs. `floor` bytes of the disk stay free."""

    def __init__(self, root: Path, *, floor: int = 0, threads: int = 8, disk: Disk | None = None) -> None:
        self._root = root
        self._floor = floor
        self._disk = disk or Disk()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        self._durable_folders: set[Path] = set()
        (root / _STAGING).mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.shutdown(wait=True)

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[StagedFile]:
        """A place for bytes that come; whatever was not published is removed, however the block ends."""
        self.check_room()
        staged = StagedFile(self, self._root / _STAGING / new_id().hex)
        try:
            await self.run(staged.open)
            yield staged
        finally:
            await self.run(staged.discard)

    async def read(self, content: Content, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """A range of a blob (0 = to the end); a whole blob is hashed on its way.

        NotFound("BLOB_UNKNOWN") without a file; DataLoss("BLOB_CORRUPT") where it is not what its name says.
        """
        wanted = length or content.size - offset
        digest = hashlib.sha256() if wanted == content.size else None
        try:
            file = await self.run(self._open, content.sha256, offset)
        except FileNotFoundError:
            raise NotFound("BLOB_UNKNOWN", "no such blob", sha256=content.sha256.hex()) from None
        try:
            if await self.run(_length, file) != content.size:
                raise _corrupt(content)
            while wanted:
                chunk = await self.run(_next_chunk, file, min(wanted, SENT_CHUNK), digest)
                wanted -= len(chunk)
                # Judged before the last piece leaves: the receiver has the whole only if it is right.
                if not chunk or (not wanted and digest and digest.digest() != content.sha256):
                    raise _corrupt(content)
                yield chunk
        finally:
            await self.run(file.close)

    async def delete(self, sha256: bytes) -> None:
        """Remove a blob; nothing happens where there is none."""
        await self.run(self._delete, sha256)

    async def exists(self, sha256: bytes) -> bool:
        """Whether there is a file of this name."""
        return await self.run(self.path(sha256).is_file)

    async def digests(self, older_than: float) -> AsyncIterator[bytes]:
        """The names of the files that were last written before that time of the system (seconds)."""
        for folder in await self.run(lambda: sorted(self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]"))):
            for digest in await self.run(_old_digests, folder, older_than):
                yield digest

    async def sweep_staging(self, now: float, stale_seconds: float) -> int:
        """Remove what a killed process left behind; the age spares the uploads of a living one."""
        return await self.run(self._sweep, now - stale_seconds)

    async def check_ready(self) -> None:
        """Raise unless bytes could be taken in now."""
        await self.run(self.check_room)

    def check_room(self, coming: int = 0) -> None:
        """ResourceExhausted("STORAGE_FULL") where so many bytes would use up the reserve."""
        if self._disk.free_bytes(self._root) - coming < self._floor:
            raise _full()

    def path(self, sha256: bytes) -> Path:
        """Where a blob lives."""
        name = sha256.hex()
        return self._root / name[:2] / name[2:4] / name

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it in a thread. A cancelled caller still waits for the step that runs: nobody may close or
        remove a file under a thread that writes to it."""
        step = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            if not step.cancelled():
                step.exception()
            raise

    def publish(self, staged: Path, content: Content) -> None:
        """Give a durable file its name, and make the name durable."""
        target = self.path(content.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._make_folders_durable(target.parent)
        self._disk.replace(staged, target)
        self._fsync_folder(target.parent)

    def fsync(self, file: IO[bytes]) -> None:
        """Make the bytes of an open file durable."""
        file.flush()
        self._disk.fsync(file.fileno())

    def _make_folders_durable(self, folder: Path) -> None:
        # A folder made just now by us, or by another process, is only an entry in its parent's cache.
        # Set operations are atomic; doing it twice does no harm.
        if folder not in self._durable_folders:
            self._fsync_folder(folder.parent.parent)
            self._fsync_folder(folder.parent)
            self._durable_folders.add(folder)

    def _fsync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self._disk.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, sha256: bytes, offset: int) -> IO[bytes]:
        file = self.path(sha256).open("rb", buffering=0)
        file.seek(offset)
        return file

    def _delete(self, sha256: bytes) -> None:
        with suppress(FileNotFoundError):
            self._disk.unlink(self.path(sha256))

    def _sweep(self, before: float) -> int:
        removed = 0
        for path in (self._root / _STAGING).iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed


class StagedFile:
    """One file on its way in. Its methods are awaited one after another."""

    def __init__(self, folder: BlobFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._content: Content | None = None
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        """Append; ResourceExhausted("STORAGE_FULL") when the disk is."""
        await self._folder.run(self._write, chunk)

    async def finish(self) -> Content:
        """No more bytes come: make them durable and say what they are."""
        await self._folder.run(self._durable)
        self._content = Content(self._digest.digest(), self.size)
        return self._content

    async def publish(self) -> None:
        """Make it a blob. Whoever calls holds the row's lock, see intake.py."""
        assert self._content is not None, "publish comes after finish"
        await self._folder.run(self._folder.publish, self._path, self._content)

    def open(self) -> None:
        """Make the file; `discard` removes it."""
        self._file = self._path.open("xb")

    def discard(self) -> None:
        """Close and remove what was not published."""
        if self._file is not None:
            with suppress(OSError):  # a full disk is told again when the buffer is flushed
                self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, chunk: bytes) -> None:
        assert self._file is not None, "opened by stage"
        if self.size // _ROOM_CHECK != (self.size + len(chunk)) // _ROOM_CHECK:
            self._folder.check_room()
        with _disk_full_told():
            self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def _durable(self) -> None:
        assert self._file is not None, "opened by stage"
        with _disk_full_told():
            self._folder.fsync(self._file)


def _next_chunk(file: IO[bytes], size: int, digest: hashlib._Hash | None) -> bytes:
    chunk = file.read(size)
    if digest is not None:
        digest.update(chunk)
    return chunk


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _old_digests(folder: Path, older_than: float) -> list[bytes]:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError, ValueError):
            if len(path.name) == 64 and path.stat().st_mtime < older_than:
                found.append(bytes.fromhex(path.name))
    return found


@contextmanager
def _disk_full_told() -> Iterator[None]:
    """A full disk is something to tell the caller, any other trouble a defect."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _full() from error


def _full() -> ResourceExhausted:
    return ResourceExhausted("STORAGE_FULL", "the disk of this node is full", retry_after=60.0)


def _corrupt(content: Content) -> DataLoss:
    return DataLoss("BLOB_CORRUPT", "the stored bytes are not what was stored", sha256=content.sha256.hex())
