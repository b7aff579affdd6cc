"""Blobs in a bucket of any S3: `<prefix>ab/cd/<sha256>`.

The order of intake.py, with an object store in the place of a folder:

    prepare   the bytes go to their key, in parts, before any row is locked: this may take minutes
    publish   under the row's lock: ask for the object's length; put it again only where it is not whole
    commit    the row

Why the races of store.py and collector.py end the same way here:

* An object appears whole or not at all (S3: a put and the completion of a multipart put are atomic), and what
  is answered is durable and seen by the next request (S3 since 2020, SeaweedFS, MinIO, Ceph).
* A key holds the bytes of its digest, whoever put them: two uploads at once put the same thing, so the last
  one may win.
* An upload after `mark`: `record` waits for the collector's lock or clears its mark. Where the collector
  deleted the object that `prepare` had just put, `publish` sees that, under the lock, and puts it again. Once
  the row is locked and unmarked no collector deletes.
* Killed between the object and the commit: an object without a row, found by its age and collected.
* What no lock excludes: a DELETE whose answer was lost, and which the store carries out after the same bytes
  were uploaded again. `delete` is one request with few retries, bounded in time, so that takes a store that
  sits on a request while it answers others; VerifyBlobs finds it (MISSING).

Every byte is judged three times: the staged file is hashed while it is sent (its last piece leaves only if
the digest is right), each part carries its SHA-256, which the store compares (SeaweedFS checks that header,
and not the signed payload's hash: tried), and a whole blob is hashed when it is read.

A killed process leaves the parts of an unfinished multipart put. They are no objects and cost room: give the
bucket a rule that aborts incomplete multipart uploads after a day. The key needs Get, Put, Delete and List.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from lienthong.errors import InvalidArgument, NotFound
from obstore.store import S3Store

from services.storage.blobs import corrupt
from services.storage.bucket_errors import RangeMissing, told
from services.storage.domain import DIGEST_BYTES, SENT_CHUNK, Content, Entry
from services.storage.settings import BucketSettings

# Parts of a large blob: two on their way and one being filled, for at most `_LARGE_AT_ONCE` blobs.
_PART: Final = 8 * 1024 * 1024
_PARTS_IN_FLIGHT: Final = 2
_LARGE_AT_ONCE: Final = 4
# Up to here one request does it, and the bytes are in memory at once.
_SMALL: Final = 4 * 1024 * 1024
_FILE_READ: Final = 1024 * 1024
# One request for so much of a blob: a receiver that is slow then keeps no answer of the store waiting.
_RANGE: Final = 2 * 1024 * 1024
_PAGE: Final = 1000
_RETRIES: Final = 3
_READY_SECONDS: Final = 5.0
_PROBE: Final = "ready"

if TYPE_CHECKING:  # a name of the stubs only
    from obstore.store import ClientConfig, S3Credential


class Bucket:
    """Blobs in one bucket. `seconds` bounds each request, its retries included."""

    def __init__(self, s3: S3Store, prefix: str, seconds: float) -> None:
        self._s3 = s3
        self._prefix = prefix
        self._seconds = seconds
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    @classmethod
    def open(cls, settings: BucketSettings) -> Bucket:
        """The bucket of these settings; nothing is asked yet, see `check_ready`."""
        return cls(_s3(settings), settings.prefix, settings.request_seconds)

    async def prepare(self, staged: Path, content: Content) -> None:
        """Bring the bytes to their key; they are nothing until their row is."""
        await self._put(staged, content)

    async def publish(self, staged: Path, content: Content) -> None:
        """See that the object is there and whole. Whoever calls holds the lock of the blob's row."""
        if await self.size(content.sha256) == content.size:
            return
        await self._put(staged, content)
        if await self.size(content.sha256) != content.size:
            raise corrupt(content)

    async def read(self, content: Content, offset: int = 0, length: int = 0) -> AsyncGenerator[bytes, None]:
        """A range of a blob (length 0 = to the end); a whole blob is hashed on its way.

        NotFound("BLOB_UNKNOWN") without an object; DataLoss("BLOB_CORRUPT") where it is not its key's.
        """
        wanted = length or content.size - offset
        judge = _Judge(content, wanted)
        if not wanted and await self.size(content.sha256) is None:
            raise _unknown(content)
        while judge.wanted:
            piece = await self._range(content, offset, min(judge.wanted, _RANGE))
            offset += len(piece)
            for start in range(0, len(piece), SENT_CHUNK):
                yield judge.passed(piece[start : start + SENT_CHUNK])

    async def delete(self, sha256: bytes) -> None:
        """Remove a blob; nothing happens where there is none."""
        try:
            async with told(self._seconds):
                await obstore.delete_async(self._s3, self._key(sha256))
        except FileNotFoundError:
            await self._ask(self._seconds)

    async def size(self, sha256: bytes) -> int | None:
        """The length of the object, or None."""
        try:
            async with told(self._seconds):
                return (await obstore.head_async(self._s3, self._key(sha256)))["size"]
        except FileNotFoundError:
            # The answer to HEAD has no body that would tell a missing object from a missing bucket.
            await self._ask(self._seconds)
            return None

    async def entries(self) -> AsyncGenerator[Entry, None]:
        """All blobs in the order of their keys, which is the order of the digests."""
        pages = obstore.list(self._s3, self._prefix or None, chunk_size=_PAGE)
        while True:
            async with told(self._seconds):
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                if sha256 := self._digest(found["path"]):
                    yield Entry(sha256, found["size"], found["last_modified"].timestamp())

    async def check_ready(self) -> None:
        """Ask the bucket: STORE_UNAVAILABLE, STORE_DENIED, BUCKET_MISSING."""
        await self._ask(min(_READY_SECONDS, self._seconds))

    async def close(self) -> None:
        """Nothing to let go of: connections are the store's, which goes with us."""

    async def _ask(self, seconds: float) -> None:
        try:
            async with told(seconds):
                await obstore.get_async(self._s3, self._prefix + _PROBE)
        except FileNotFoundError:
            pass  # the bucket says that it has no such object, so it is there and knows our key

    async def _put(self, staged: Path, content: Content) -> None:
        key = self._key(content.sha256)
        async with aclosing(_judged(staged, content)) as pieces:
            if content.size <= _SMALL:
                whole = b"".join([piece async for piece in pieces])
                async with told(self._seconds):
                    await obstore.put_async(self._s3, key, whole, use_multipart=False)
                return
            # Each part is a request with its own limit; all together may take what they take.
            parts = 1 + content.size // _PART
            async with self._large, told(self._seconds * parts):
                await obstore.put_async(
                    self._s3, key, pieces, chunk_size=_PART, max_concurrency=_PARTS_IN_FLIGHT
                )

    async def _range(self, content: Content, offset: int, size: int) -> bytes:
        try:
            async with told(self._seconds):
                found = await obstore.get_async(
                    self._s3, self._key(content.sha256), options={"range": (offset, offset + size)}
                )
                if found.meta["size"] != content.size:
                    raise corrupt(content)
                return (await found.buffer_async()).to_bytes()
        except FileNotFoundError:
            raise _unknown(content) from None
        except RangeMissing:
            raise corrupt(content) from None

    def _key(self, sha256: bytes) -> str:
        name = sha256.hex()
        return f"{self._prefix}{name[:2]}/{name[2:4]}/{name}"

    def _digest(self, key: str) -> bytes | None:
        """The digest that a key stands for; None for what is not ours."""
        try:
            sha256 = bytes.fromhex(key.rpartition("/")[2])
        except ValueError:
            return None
        return sha256 if len(sha256) == DIGEST_BYTES and self._key(sha256) == key else None


class _Judge:
    """Counts the pieces of a blob and hashes them if they are all of it."""

    def __init__(self, content: Content, wanted: int) -> None:
        self._content = content
        self._digest = hashlib.sha256() if wanted == content.size else None
        self.wanted = wanted

    def passed(self, piece: bytes) -> bytes:
        """The piece. Judged before the last one leaves: the receiver has the whole only if it is right."""
        self.wanted -= len(piece)
        if self._digest:
            self._digest.update(piece)
            if not self.wanted and self._digest.digest() != self._content.sha256:
                raise corrupt(self._content)
        if not piece:
            raise corrupt(self._content)
        return piece


async def _judged(staged: Path, content: Content) -> AsyncGenerator[bytes, None]:
    """The bytes of a staged file, which broke off at DataLoss are never an object."""
    judge = _Judge(content, content.size)
    file = await asyncio.to_thread(staged.open, "rb")
    try:
        while judge.wanted:
            piece = await asyncio.to_thread(file.read, min(judge.wanted, _FILE_READ))
            yield await asyncio.to_thread(judge.passed, piece)
    finally:
        file.close()


def _s3(settings: BucketSettings) -> S3Store:
    client: ClientConfig = {
        "allow_http": settings.allow_http,
        "connect_timeout": timedelta(seconds=min(5.0, settings.request_seconds)),
        "timeout": timedelta(seconds=settings.request_seconds),
    }
    if settings.roots:
        client["root_certificate"] = _read(settings.roots, "roots")
    keys: S3Credential = {
        "access_key_id": _read(settings.access_key_file, "access_key_file"),
        "secret_access_key": _read(settings.secret_key_file, "secret_key_file"),
        "token": None,
        "expires_at": None,
    }
    return S3Store(
        settings.bucket,
        config={
            # This name of it, and keys by a function, since both win over what AWS_* variables of the
            # environment say: the settings decide, and nothing else.
            "aws_endpoint_url_s3": settings.endpoint,
            "skip_signature": False,
            "region": settings.region,
            "checksum_algorithm": "sha256",
            # One object a request: not every S3 knows the request that deletes many.
            "disable_bulk_delete": True,
        },
        credential_provider=lambda: keys,
        client_options=client,
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=settings.request_seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            "SETTINGS_INVALID", f"the file of storage.bucket.{name} cannot be read", field=name
        ) from error


def _unknown(content: Content) -> NotFound:
    return NotFound("BLOB_UNKNOWN", "no such blob", sha256=content.sha256.hex())
