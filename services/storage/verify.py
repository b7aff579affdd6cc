"""Compares what is recorded with what is there, and mends nothing.

Rows and blobs come in the order of their digests and are merged: a page of rows and a page of names are in
memory, whatever the number of blobs. The node goes on meanwhile, so a difference is only a suspicion; it is
looked at again before it is reported:

* a row without bytes, or with bytes of another length: asked again with the row locked (shared), under which
  nobody uploads nor collects the blob;
* bytes without a row: young ones may belong to an upload that has not committed, and are left out. The old
  ones are reported if they are still there and there is still no row;
* another digest (a deep look): read a second time, and reported if the blob is still here.

What the collector has marked is nobody's, and no finding.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.errors import DataLoss, DomainError, NotFound, Unavailable
from lienthong.rpc.streams import Gate

from services.storage import store
from services.storage.blobs import Blobs
from services.storage.domain import Content, Entry, Fault, Finding, Progress, Recorded, Summary

_PAGE: Final = 1000
_PROGRESS_SECONDS: Final = 1.0

Part = Finding | Progress | Summary


@dataclass(slots=True)
class _Tally:
    """What one comparison has seen."""

    compared: int = 0
    compared_bytes: int = 0
    findings: int = 0


class Verifier:
    """Looks through all blobs. Bytes without a row count from `stale_seconds` of age."""

    def __init__(
        self, database: Database, blobs: Blobs, clock: Clock, stale_seconds: float, gate: Gate
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._gate = gate

    async def verify(self, deep: bool) -> AsyncGenerator[Part, None]:
        """Each difference, how far it is about every second, and the counts at the end.

        Unavailable("BLOBS_UNREADABLE") where the blobs cannot be looked at.
        """
        async with self._gate.passed(), aclosing(self._verified(deep)) as parts:
            async for part in parts:
                yield part

    async def _verified(self, deep: bool) -> AsyncGenerator[Part, None]:
        recorded = await store.count_present(self._database)
        tally, told = _Tally(), self._clock.monotonic()
        with _readable():
            await self._blobs.check_ready()
        async with aclosing(self._suspects(tally, deep)) as suspects:
            async for finding in suspects:
                if finding is not None:
                    tally.findings += 1
                    yield finding
                if self._clock.monotonic() - told >= _PROGRESS_SECONDS:
                    told = self._clock.monotonic()
                    yield Progress(tally.compared, recorded)
        yield Summary(tally.compared, tally.compared_bytes, tally.findings)

    async def _suspects(self, tally: _Tally, deep: bool) -> AsyncGenerator[Finding | None, None]:
        """Findings, and None often in between: a sign of life."""
        async with aclosing(self._pairs()) as pairs:
            async for row, entry in pairs:
                if row is None:
                    assert entry is not None, "a pair is of one or two"
                    yield await self._unrecorded(entry)
                elif row.leaving:
                    yield None
                else:
                    tally.compared += 1
                    tally.compared_bytes += row.size
                    async with aclosing(self._compared(row, entry, deep)) as findings:
                        async for finding in findings:
                            yield finding

    async def _compared(
        self, row: Recorded, entry: Entry | None, deep: bool
    ) -> AsyncGenerator[Finding | None, None]:
        if entry is None or entry.size != row.size:
            yield await self._missing_or_short(row)
            return
        yield None
        if deep:
            content = Content(row.sha256, row.size)
            async with aclosing(self._damaged(content)) as found:
                async for damaged in found:
                    yield await self._damaged_again(content) if damaged else None

    async def _pairs(self) -> AsyncGenerator[tuple[Recorded | None, Entry | None], None]:
        """Both streams merged by digest."""
        async with aclosing(self._rows()) as rows, aclosing(self._entries()) as entries:
            row, entry = await anext(rows, None), await anext(entries, None)
            while row is not None or entry is not None:
                if entry is None or (row is not None and row.sha256 < entry.sha256):
                    yield row, None
                    row = await anext(rows, None)
                elif row is None or entry.sha256 < row.sha256:
                    yield None, entry
                    entry = await anext(entries, None)
                else:
                    yield row, entry
                    row, entry = await anext(rows, None), await anext(entries, None)

    async def _rows(self) -> AsyncGenerator[Recorded, None]:
        after = b""
        while rows := await store.recorded_after(self._database, after, _PAGE):
            for row in rows:
                yield row
            after = rows[-1].sha256

    async def _entries(self) -> AsyncGenerator[Entry, None]:
        last = b""
        with _readable():
            async with aclosing(self._blobs.entries()) as entries:
                async for entry in entries:
                    # Merged out of order, everything would be missing and unrecorded: better no answer.
                    if entry.sha256 <= last:
                        raise Unavailable("BLOBS_UNREADABLE", "the store lists its keys out of order")
                    last = entry.sha256
                    yield entry

    async def _missing_or_short(self, row: Recorded) -> Finding | None:
        async with self._database.transaction() as tx:
            content = await store.share_present(tx, row.sha256)
            if content is None:
                return None
            with _readable():
                found = await self._blobs.size(row.sha256)
            if found == content.size:
                return None
            fault = Fault.MISSING if found is None else Fault.SIZE
            holds = await store.count_holds(tx, row.sha256)
            return Finding(row.sha256, fault, content.size, found or 0, holds)

    async def _unrecorded(self, entry: Entry) -> Finding | None:
        if entry.modified > self._clock.now().timestamp() - self._stale_seconds:
            return None
        with _readable():
            found = await self._blobs.size(entry.sha256)
        if found is None or await store.is_recorded(self._database, entry.sha256):
            return None
        return Finding(entry.sha256, Fault.UNRECORDED, 0, found, 0)

    async def _damaged(self, content: Content) -> AsyncGenerator[bool, None]:
        """False after each piece of a blob, and True at the end of one that is not what its name says."""
        try:
            with _readable():
                async with aclosing(self._blobs.read(content)) as chunks:
                    async for _ in chunks:
                        yield False
        except (DataLoss, NotFound):
            yield True

    async def _damaged_again(self, content: Content) -> Finding | None:
        if not any([damaged async for damaged in self._damaged(content)]):
            return None
        # Gone or of another length by now: that is another finding, or none.
        other = await self._missing_or_short(Recorded(content.sha256, content.size, leaving=False))
        if other is not None or await store.find(self._database, content.sha256) is None:
            return other
        holds = await store.count_holds(self._database, content.sha256)
        return Finding(content.sha256, Fault.DIGEST, content.size, content.size, holds)


@contextmanager
def _readable() -> Iterator[None]:
    """The store cannot be looked at: that is an answer for the operator, and not one about a blob."""
    try:
        yield
    except (DataLoss, NotFound):
        raise
    except (OSError, DomainError) as error:
        if isinstance(error, DomainError) and error.reason == "BLOBS_UNREADABLE":
            raise
        cause = error.reason if isinstance(error, DomainError) else type(error).__name__
        raise Unavailable("BLOBS_UNREADABLE", "the store of blobs cannot be read", cause=cause) from error
