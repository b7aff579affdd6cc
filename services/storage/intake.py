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
from services.storage.blobs import Blobs
from services.storage.domain import Announced, Content, check_chunk, check_offset, check_size
from services.storage.partial import Partial
from services.storage.staging import StagedFile, Staging


@dataclass(frozen=True, slots=True)
class Limits:
    """What this node takes, and how long it keeps what nobody asked it to keep."""

    largest_blob: int
    grace: timedelta
    upload_grant: timedelta


class Intake:
    """Takes bytes in, from uploaders and from peers alike."""

    def __init__(
        self, database: Database, staging: Staging, blobs: Blobs, clock: Clock, limits: Limits
    ) -> None:
        self._database = database
        self._staging = staging
        self._blobs = blobs
        self._clock = clock
        self._limits = limits

    @asynccontextmanager
    async def incoming(
        self, announced: Announced, partial: Partial | None = None, offset: int = 0
    ) -> AsyncIterator[Incoming]:
        """Room for one blob; nothing is left of it unless it was kept, or broke off and has a partial."""
        check_size(announced.size, self._limits.largest_blob)
        check_offset(offset)
        async with self._staging.stage(partial, offset) as staged:
            yield Incoming(self, staged, announced, announced.size or self._limits.largest_blob)

    async def kept(self, partial: Partial) -> int:
        """How many bytes of an announced blob are here."""
        check_size(partial.content.size, self._limits.largest_blob)
        return await self._staging.kept(partial)

    async def kept_of_links(self, sha256: bytes) -> Partial | None:
        """What is kept of a blob that links bring."""
        return await self._staging.kept_of_links(sha256)

    async def renew(self, content: Content, organization: str) -> datetime | None:
        """The new end of a grant that the organization holds for a blob that is here, else None."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            return await store.renew_grant(tx, content, organization, now, now + self._limits.upload_grant)

    async def keep(self, staged: StagedFile, content: Content, organization: str) -> datetime:
        """Make the blob durable and say so; the end of its upload grant, or of its grace without one."""
        # A bucket takes its time here, with no row locked and no connection of the pool kept waiting.
        await self._blobs.prepare(staged.path, content)
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
            await self._blobs.publish(staged.path, content)
        return expire_time


@dataclass(slots=True)
class Incoming:
    """One blob on its way in."""

    _intake: Intake
    _staged: StagedFile
    _announced: Announced
    _largest: int

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._staged.size

    @property
    def resumed(self) -> int:
        """How many of them an earlier stream brought."""
        return self._staged.resumed

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
        if self.size < self._announced.size:
            self._staged.cut_short = True
            self._announced.check(Content(self._announced.sha256, self.size))
        content = await self._staged.finish()
        self._announced.check(content)
        return content, await self._intake.keep(self._staged, content, organization)
