"""Large files that survive a broken line: each way goes on at the byte where it broke, also of a later run.

Upwards the node says how much of an announced file it has (GetUpload). Downwards the bytes wait beside their
place as `<name>.part`; the file gets its name only when the SHA-256 of the whole is the promised one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final, TypeVar

from lienthong.client.connection import Connection
from lienthong.client.files import CHUNK_BYTES, PART, check_digest, sending
from lienthong.errors import Aborted, DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc
from lienthong.types.v1 import document_pb2, grant_pb2

# Below that, asking where to go on costs more than sending it again.
ASKED_FROM: Final = 1024 * 1024

Progress = Callable[[int, int], None]
"""Called with the bytes that are over, and those of the whole."""
T = TypeVar("T")


class Upload:
    """One file on its way to the node."""

    def __init__(
        self, connection: Connection, organization: str, path: Path, progress: Progress | None = None
    ) -> None:
        self._connection = connection
        self._blobs = connection.stub(storage_pb2_grpc.BlobServiceStub, "storage")
        self._organization = organization
        self._path = path
        self._progress = progress
        self._sha256 = b""
        self._size = 0
        self._over = 0
        self._begun = 0
        self._handed_over = False
        self._kept = 0

    async def run(self) -> storage_pb2.UploadResponse:
        """Send what the node lacks; durable there when this returns. A file that changes meanwhile is
        refused (DIGEST_MISMATCH)."""
        self._sha256, self._size = await asyncio.to_thread(measured, self._path)
        try:
            return await _while_it_moves(self._connection, self._send, self._moved)
        except InvalidArgument as error:
            if error.reason != "DIGEST_MISMATCH" or not self._begun:
                raise
        # What the node had kept may be what is wrong (a power cut after it); it threw that away: all of it.
        self._kept = 0
        return await _while_it_moves(self._connection, self._send, self._moved)

    async def _offset(self) -> int:
        if self._size <= ASKED_FROM:
            return 0
        request = storage_pb2.GetUploadRequest(
            organization=self._organization, sha256=self._sha256, size_bytes=self._size
        )
        return (await self._blobs.GetUpload(request)).offset

    async def _send(self) -> storage_pb2.UploadResponse:
        # All of it, where the node has all: then this sends no byte and prolongs the upload grant.
        offset = await self._offset()
        header = storage_pb2.UploadHeader(
            organization=self._organization, sha256=self._sha256, size_bytes=self._size, offset=offset
        )
        self._begun = self._over = offset
        self._tell()
        request = storage_pb2.UploadRequest
        messages = sending(
            request(header=header), lambda piece: request(chunk=piece), self._path, offset, self._sent
        )
        try:
            return await self._blobs.Upload(messages)
        except FailedPrecondition as error:
            if error.reason != "UPLOAD_OFFSET_WRONG":
                raise
            # What the node kept is less by now, or another run of ours is at work on it: ask again.
            raise Aborted(error.reason, error.message) from error

    async def _moved(self) -> bool:
        # A node that was away all the time need not be waited for once more.
        if not self._handed_over:
            return False
        self._handed_over = False
        before, self._kept = self._kept, await self._connection.repeat(self._offset)
        return self._kept > before

    def _sent(self, count: int) -> None:
        self._over += count
        self._handed_over = True
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._over, self._size)


class Download:
    """One attachment on its way from the node into `target`."""

    def __init__(
        self,
        connection: Connection,
        attachment: document_pb2.Attachment,
        target: Path,
        passed: Callable[[int], None] | None = None,
    ) -> None:
        self._connection = connection
        self._blobs = connection.stub(storage_pb2_grpc.BlobServiceStub, "storage")
        self._attachment = attachment
        self._target = target
        self._part = target.with_name(target.name + PART)
        self._passed = passed
        self._digest = hashlib.sha256()
        self._reached = 0
        self.over = 0

    async def run(self, grant: grant_pb2.SignedGrant) -> None:
        """Bring what is not here yet; DataLoss("DIGEST_MISMATCH") where it is not what was promised."""
        kept = await self._begin()
        try:
            await self._rest(grant)
        except DataLoss as error:
            if not kept or error.reason != "DIGEST_MISMATCH":
                raise
            # The part may be of another file of that name, or of a run that a power cut ended.
            await self._begin()
            await self._rest(grant)

    async def _begin(self) -> int:
        """Take up what an earlier run left; how much that is."""
        self._digest, here = await asyncio.to_thread(_kept, self._part, self._attachment.size_bytes)
        self._move(here - self.over)
        self._reached = here
        return here

    async def _rest(self, grant: grant_pb2.SignedGrant) -> None:
        try:
            with await asyncio.to_thread(self._part.open, "ab") as file:
                await _while_it_moves(self._connection, lambda: self._receive(grant, file), self._moved)
                check_digest(self._attachment.sha256, self._digest.digest(), self._attachment.name)
                # The node may forget its copy once the recipient confirmed: it must survive a power cut.
                await asyncio.to_thread(os.fsync, file.fileno())
        except BaseException as error:
            if isinstance(error, DataLoss) or not self.over:
                self._part.unlink(missing_ok=True)
            raise
        self._part.replace(self._target)

    async def _receive(self, grant: grant_pb2.SignedGrant, file: IO[bytes]) -> None:
        size = self._attachment.size_bytes
        if self.over == size:
            return
        request = storage_pb2.DownloadRequest(sha256=self._attachment.sha256, offset=self.over, grant=grant)
        async for piece in self._blobs.Download(request):
            if self.over + len(piece.chunk) > size:
                raise DataLoss("DIGEST_MISMATCH", "more came than was promised", name=self._attachment.name)
            await asyncio.to_thread(_append, file, piece.chunk)
            self._digest.update(piece.chunk)
            self._move(len(piece.chunk))
        if self.over < size:
            raise Unavailable("STREAM_CLOSED", "the download ended early", name=self._attachment.name)

    async def _moved(self) -> bool:
        before, self._reached = self._reached, self.over
        return self.over > before

    def _move(self, count: int) -> None:
        self.over += count
        if self._passed is not None:
            self._passed(count)


async def _while_it_moves(
    connection: Connection, attempt: Callable[[], Awaitable[T]], moved: Callable[[], Awaitable[bool]]
) -> T:
    """Repeat with the connection's patience, which begins anew whenever the broken attempts got further:
    hours on a slow line must not use up the patience with a node that is away."""
    while True:
        try:
            return await connection.repeat(attempt)
        except (Unavailable, Aborted):
            if not await moved():
                raise


def measured(path: Path) -> tuple[bytes, int]:
    """SHA-256 and length of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            size += len(piece)
    return digest.digest(), size


def _kept(part: Path, size: int) -> tuple[hashlib._Hash, int]:
    """What an earlier run left, hashed; a part that is longer than the whole is of something else."""
    digest, here = hashlib.sha256(), 0
    with part.open("ab+") as file:
        if file.tell() > size:
            file.truncate(0)
        file.seek(0)
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            here += len(piece)
    return digest, here


def _append(file: IO[bytes], chunk: bytes) -> None:
    file.write(chunk)
    file.flush()  # so that a run that is killed leaves it
