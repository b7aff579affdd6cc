"""The one way in for bytes: staged, hashed, durable, named, and only then said to be here.

The order is the promise (design, promise 1). The file is written and fsynced first. Then, in one
transaction, the row is written (which locks it against the collector), the file gets its name, its folders
are fsynced, and the transaction commits. Killed before the commit: a file without a row, which the
collector finds and removes. There is no instant at which a row speaks of bytes that a crash could take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from lienthong.clock import Clock
from lienthong.db import Database

from services.storage import store
from services.storage.blobs import Blobs, Staged
from services.storage.domain import Announced, Content, check_chunk, check_size


@dataclass(frozen=True, slots=True)
class Limits:
    """What this node takes, and how long it keeps what nobody asked it to keep."""

    largest_blob: int
    grace: timedelta
    upload_grant: timedelta


class Intake:
    """Takes bytes in, from uploaders and from peers alike."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, limits: Limits) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._limits = limits

    @asynccontextmanager
    async def incoming(self, announced: Announced) -> AsyncIterator[Incoming]:
        """Room for one blob; nothing is left of it unless it was kept."""
        check_size(announced.size, self._limits.largest_blob)
        async with self._blobs.stage() as staged:
            yield Incoming(self, staged, announced, announced.size or self._limits.largest_blob)

    async def keep(self, staged: Staged, content: Content, organization: str) -> datetime:
        """Make the blob durable and say so; the end of its upload grant, or of its grace without one."""
        now = self._clock.now()
        grace_until = now + self._limits.grace
        async with self._database.transaction() as tx:
            await store.record(tx, content, now, grace_until)
            expire_time = grace_until
            if organization:
                expire_time = await store.grant_upload(
                    tx, content.sha256, organization, now + self._limits.upload_grant
                )
            # Last, and under the row's lock: a collector at work on an old copy must not remove this one.
            await staged.publish()
        return expire_time


@dataclass(slots=True)
class Incoming:
    """One blob on its way in."""

    _intake: Intake
    _staged: Staged
    _announced: Announced
    _largest: int

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._staged.size

    async def write(self, chunk: bytes) -> None:
        """Take a piece: CHUNK_TOO_LARGE, ATTACHMENT_TOO_LARGE, SIZE_MISMATCH, STORAGE_FULL."""
        check_chunk(chunk)
        size = self._staged.size + len(chunk)
        if self._announced.size and size > self._announced.size:
            self._announced.check(Content(self._announced.sha256, size))
        check_size(size, self._largest)
        await self._staged.write(chunk)

    async def keep(self, organization: str = "") -> tuple[Content, datetime]:
        """No more comes: judge the bytes and make them a blob."""
        content = await self._staged.finish()
        self._announced.check(content)
        return content, await self._intake.keep(self._staged, content, organization)
