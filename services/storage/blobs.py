"""Where blobs live for good: a local folder here, `ab/cd/<sha256>`; a bucket of an object store elsewhere.

    async with staging.stage() as staged:             # see staging.py: always a local folder
        ...
        content = await staged.finish()               # hashed and fsynced, not yet visible
        await blobs.prepare(staged.path, content)     # what takes long, before anything is locked
        ...                                           # the row is locked
        await blobs.publish(staged.path, content)     # durable under its name

A blob is only ever seen whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from lienthong.errors import DataLoss, NotFound, Unavailable

from services.storage.disk import Disk, Threads
from services.storage.domain import SENT_CHUNK, Content, Entry


class Blobs(Protocol):
    """Bytes under the name of their SHA-256. Every method may be called at the same time by many."""

    async def prepare(self, staged: Path, content: Content) -> None:
        """Do what `publish` can do without a lock, since it may take long."""
        ...

    async def publish(self, staged: Path, content: Content) -> None:
        """Make a finished and prepared local file durable under its name, in place of what is there;
        afterwards the file is gone or may be removed. Whoever calls holds the lock of the blob's row."""
        ...

    def read(self, content: Content, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """A range (length 0 = to the end) in pieces of at most SENT_CHUNK; a whole blob is hashed on its way.

        NotFound("BLOB_UNKNOWN"); DataLoss("BLOB_CORRUPT") where it is not what its name says.
        """
        ...

    async def delete(self, sha256: bytes) -> None:
        """Remove a blob; nothing happens where there is none."""
        ...

    async def size(self, sha256: bytes) -> int | None:
        """The length of what is under this name, or None."""
        ...

    def entries(self) -> AsyncGenerator[Entry, None]:
        """All that is there, in ascending order of the digests."""
        ...

    async def check_ready(self) -> None:
        """Raise unless blobs can be read and published now."""
        ...

    async def close(self) -> None:
        """Wait for what is still under way, and let go."""
        ...


class BlobFolder:
    """A folder of blobs. What is published comes from the same file system: it is renamed, never copied."""

    def __init__(self, root: Path, *, threads: int = 8, disk: Disk | None = None) -> None:
        self._root = root
        self._disk = disk or Disk()
        self._threads = Threads(threads, "blobs")
        self._durable_folders: set[Path] = set()
        root.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        """Wait for what the threads still do."""
        self._threads.close()

    async def prepare(self, staged: Path, content: Content) -> None:
        """Nothing: the file is here already, and renaming it takes no time."""

    async def publish(self, staged: Path, content: Content) -> None:
        """Give a durable file its name, and make the name durable."""
        await self._threads.run(self._publish, staged, content)

    async def read(self, content: Content, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """A range of a blob (0 = to the end); a whole blob is hashed on its way.

        NotFound("BLOB_UNKNOWN") without a file; DataLoss("BLOB_CORRUPT") where it is not what its name says.
        """
        wanted = length or content.size - offset
        digest = hashlib.sha256() if wanted == content.size else None
        try:
            file = await self._threads.run(self._open, content.sha256, offset)
        except FileNotFoundError:
            raise NotFound("BLOB_UNKNOWN", "no such blob", sha256=content.sha256.hex()) from None
        try:
            if await self._threads.run(_length, file) != content.size:
                raise corrupt(content)
            while wanted:
                chunk = await self._threads.run(_next_chunk, file, min(wanted, SENT_CHUNK), digest)
                wanted -= len(chunk)
                # Judged before the last piece leaves: the receiver has the whole only if it is right.
                if not chunk or (not wanted and digest and digest.digest() != content.sha256):
                    raise corrupt(content)
                yield chunk
        finally:
            await self._threads.run(file.close)

    async def delete(self, sha256: bytes) -> None:
        """Remove a blob; nothing happens where there is none."""
        await self._threads.run(self._delete, sha256)

    async def size(self, sha256: bytes) -> int | None:
        """The length of the file of this name, or None."""
        return await self._threads.run(self._size, sha256)

    async def entries(self) -> AsyncGenerator[Entry, None]:
        """All files that are named as blobs, in the order of the digests; one folder of them in memory."""
        for folder in await self._threads.run(self._folders):
            for entry in await self._threads.run(_entries, folder):
                yield entry

    async def check_ready(self) -> None:
        """Raise while the folder is away, as when its disk is not mounted."""
        if not await self._threads.run(self._root.is_dir):
            raise Unavailable("BLOBS_UNREADABLE", "the folder of blobs is not there")

    def path(self, sha256: bytes) -> Path:
        """Where a blob lives."""
        name = sha256.hex()
        return self._root / name[:2] / name[2:4] / name

    def _publish(self, staged: Path, content: Content) -> None:
        target = self.path(content.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._make_folders_durable(target.parent)
        self._disk.replace(staged, target)
        self._fsync_folder(target.parent)

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

    def _size(self, sha256: bytes) -> int | None:
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def _folders(self) -> list[Path]:
        return sorted(self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]"))


def corrupt(content: Content) -> DataLoss:
    """What a reader is told of bytes that are not what their name says."""
    return DataLoss("BLOB_CORRUPT", "the stored bytes are not what was stored", sha256=content.sha256.hex())


def _next_chunk(file: IO[bytes], size: int, digest: hashlib._Hash | None) -> bytes:
    chunk = file.read(size)
    if digest is not None:
        digest.update(chunk)
    return chunk


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _entries(folder: Path) -> list[Entry]:
    prefix, found = folder.parent.name + folder.name, []
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError, ValueError):
            if len(path.name) == 64 and path.name.startswith(prefix):
                known = path.stat()
                found.append(Entry(bytes.fromhex(path.name), known.st_size, known.st_mtime))
    return found
