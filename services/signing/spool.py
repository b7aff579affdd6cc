"""Streams to private files and back: memory does not grow with a document, and nothing stays behind.

Each call gets a folder of its own (0700, files 0600) that is removed however the call ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from lienthong.errors import InvalidArgument, ResourceExhausted

MAX_CHUNK: Final = 512 * 1024
ANSWER_CHUNK: Final = 256 * 1024
_PREFIX: Final = "call-"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds."""

    sha256: bytes
    size: int


class Workspace:
    """The files of one call: what came in, and what goes out."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.source = folder / "source"
        self.target = folder / "target"

    async def receive(self, chunks: AsyncIterable[bytes]) -> Content:
        """Write the chunks to `source`; CHUNK_TOO_LARGE and DOCUMENT_TOO_LARGE where they are."""
        size = 0
        with _private(self.source) as file:
            sink = _Sink(file)
            async for chunk in chunks:
                if len(chunk) > MAX_CHUNK:
                    raise InvalidArgument("CHUNK_TOO_LARGE", "a chunk is too large", limit=MAX_CHUNK)
                size += len(chunk)
                if size > self._max_bytes:
                    raise ResourceExhausted(
                        "DOCUMENT_TOO_LARGE",
                        "the document is larger than this node takes",
                        limit=self._max_bytes,
                    )
                await asyncio.to_thread(sink.write, chunk)
        return Content(sink.digest(), size)

    async def result(self) -> Content:
        """What `target` holds now."""
        return await asyncio.to_thread(_measured, self.target)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes of `target`, piece by piece."""
        with self.target.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, ANSWER_CHUNK):
                yield piece


class Spool:
    """A folder of workspaces. It belongs to one process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._leftovers: set[Path] = set()

    def open(self) -> None:
        """Make the folder, and remove what a killed process left in it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for stale in self._folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)

    @asynccontextmanager
    async def workspace(self) -> AsyncIterator[Workspace]:
        """Private files, gone afterwards."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX, dir=self._folder))
        try:
            yield Workspace(folder, self._max_bytes)
        finally:
            self._leftovers.add(folder)
            await asyncio.shield(asyncio.to_thread(self._remove))

    def _remove(self) -> None:
        # A cancelled call's thread may still write into its folder: what resists goes with the next call.
        for folder in tuple(self._leftovers):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                self._leftovers.discard(folder)


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


class _Sink:
    """A file that is hashed as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._file.write(chunk)

    def digest(self) -> bytes:
        return self._hash.digest()


def _measured(path: Path) -> Content:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Content(digest.digest(), file.tell())
