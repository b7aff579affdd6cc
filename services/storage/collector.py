"""The collector: removes what nobody needs any more, and what a crash left without a row.

Three steps, each safe to be killed after:

1. mark    one commit: from here on the blob is missing for everybody (store.mark has the races);
2. unlink  with the row locked and the mark still on it: an upload that came meanwhile has cleared it;
3. forget  the row, in the commit of that same lock.

Killed between 2 and 3 the row is still marked, so nobody was told of a blob that is gone, and the next
round finishes. The other order (row first) would leave a file that nobody knows of; file first without a
mark would be a row that lies.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from lienthong.clock import Clock
from lienthong.db import Database

from services.storage import store
from services.storage.blobs import Blobs
from services.storage.staging import Staging

_log = logging.getLogger(__name__)
_BATCH = 200
_ORPHAN_BATCH = 500


class Collector:
    """Rounds of collection, and rarer ones that look for files without a row."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        clock: Clock,
        *,
        interval: float,
        orphan_interval: float,
        orphan_age: float,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._interval = interval
        self._orphan_interval = orphan_interval
        self._orphan_age = orphan_age

    async def run(self) -> None:
        """Collect for ever."""
        looked: float | None = None
        while True:
            if looked is None or self._clock.monotonic() - looked >= self._orphan_interval:
                looked = self._clock.monotonic()
                await self.adopt_orphans()
            await self.collect()
            await self._clock.sleep(self._interval)

    async def collect(self) -> int:
        """One round: the number of blobs removed."""
        async with self._database.transaction() as tx:
            await store.mark(tx, self._clock.now(), _BATCH)
        removed = 0
        for sha256 in await store.marked(self._database, _BATCH):
            removed += await self._remove(sha256)
        if removed:
            _log.info("blobs collected", extra={"count": removed})
        return removed

    async def adopt_orphans(self) -> int:
        """Find files without a row, and mark them for the next round; their number."""
        adopted, batch = 0, list[bytes]()
        # The age spares what an upload is about to commit; even if it did not, its row's lock would.
        async for digest in self._old_files():
            batch.append(digest)
            if len(batch) == _ORPHAN_BATCH:
                adopted += await self._adopt(batch)
                batch.clear()
        adopted += await self._adopt(batch)
        if adopted:
            _log.warning("files without a row found", extra={"count": adopted})
        return adopted

    async def _old_files(self) -> AsyncIterator[bytes]:
        older_than = self._clock.now().timestamp() - self._orphan_age
        async with aclosing(self._blobs.entries()) as entries:
            async for entry in entries:
                if entry.modified < older_than:
                    yield entry.sha256

    async def _adopt(self, digests: list[bytes]) -> int:
        if not digests:
            return 0
        async with self._database.transaction() as tx:
            return await store.adopt_orphans(tx, digests, self._clock.now())

    async def _remove(self, sha256: bytes) -> bool:
        async with self._database.transaction() as tx:
            if not await store.lock_marked(tx, sha256):
                return False
            await self._blobs.delete(sha256)
            await store.forget(tx, sha256)
        return True


class Sweeper:
    """Rounds through the staging folder: removes what no stream came back for."""

    def __init__(
        self, staging: Staging, clock: Clock, interval: float, stale_seconds: float, partial_seconds: float
    ) -> None:
        self._staging = staging
        self._clock = clock
        self._interval = interval
        self._stale_seconds = stale_seconds
        self._partial_seconds = partial_seconds

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await self._clock.sleep(self._interval)
            await self.sweep()

    async def sweep(self) -> int:
        """One round: the number of files removed."""
        now = self._clock.now().timestamp()
        removed = await self._staging.sweep(now, self._stale_seconds, self._partial_seconds)
        if removed:
            _log.info("staged files swept", extra={"count": removed})
        return removed
