"""Reads routing's events and derives from them, each exactly once (design R7).

First by ListEvents until there are none, then by WatchEvents as they come. When the watch breaks, or
cannot be had at all, the same loop goes back to the list: polling alone is enough.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.message import DecodeError
from lienthong.backoff import Backoff
from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.errors import DomainError, Unavailable
from lienthong.routing.v1 import queue_pb2
from lienthong.types.v1 import event_pb2

from services.reporting import convert, store
from services.reporting.domain import Arrival, Facts, Handling, Issue, Receipt

if TYPE_CHECKING:  # the generated module has this class only in its stubs
    from lienthong.routing.v1.queue_pb2_grpc import EventServiceAsyncStub

T = TypeVar("T")

_log = logging.getLogger(__name__)
_PAGE: Final = 500
_POLICY: Final = Backoff(initial=0.5, cap=30.0)


class EventReader:
    """The one who writes the read models."""

    def __init__(
        self, database: Database, events: EventServiceAsyncStub, clock: Clock, rng: random.Random
    ) -> None:
        self._database = database
        self._events = events
        self._clock = clock
        self._rng = rng
        self._failures = 0

    async def run(self) -> None:
        """Read for ever; while routing is away, ask less and less often."""
        while True:
            try:
                await self.catch_up()
                await self._watch()
            except DomainError as error:
                self._failures += 1
                fields = {"reason": error.reason, "failures": self._failures}
                _log.warning("routing's events cannot be read", extra=fields)
            await self._clock.sleep(_POLICY.next_delay(max(self._failures, 1), self._rng))

    async def catch_up(self) -> None:
        """Read what there is, page by page."""
        cursor = await store.cursor(self._database)
        while True:
            request = queue_pb2.ListEventsRequest(cursor=cursor, page_size=_PAGE)
            page = await self._events.ListEvents(request)
            await self.apply(page.events, cursor, page.next_cursor)
            cursor = page.next_cursor
            self._failures = 0
            if not page.events:
                return

    async def apply(self, events: Iterable[event_pb2.Event], before: str, after: str) -> None:
        """Derive from the events between two cursors, in one transaction with the cursor."""
        facts = gather(events)
        if before == after:
            return
        async with self._database.transaction() as tx:
            if not await store.move_cursor(tx, before, after):
                raise Unavailable("READER_OVERTAKEN", "another replica has read these events")
            await store.add(tx, facts)

    async def _watch(self) -> None:
        cursor = await store.cursor(self._database)
        call = self._events.WatchEvents(queue_pb2.WatchEventsRequest(cursor=cursor))
        async with _batches(call) as batches:
            async for events in batches:
                after = events[-1].cursor
                await self.apply(events, cursor, after)
                cursor = after


@asynccontextmanager
async def _batches(call: Any) -> AsyncIterator[AsyncIterator[list[event_pb2.Event]]]:
    """What a watch brings, in batches of what came meanwhile: one commit for many events.

    The queue is bounded, so that a flood waits in the stream and not in our memory.
    """
    arrived: asyncio.Queue[event_pb2.Event] = asyncio.Queue(_PAGE)

    async def pump() -> None:
        async for response in call:
            await arrived.put(response.event)

    async def batches() -> AsyncIterator[list[event_pb2.Event]]:
        while not (pumping.done() and arrived.empty()):
            first = asyncio.ensure_future(arrived.get())
            waiting: list[asyncio.Future[Any]] = [first, pumping]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if first.done():
                    rest = [arrived.get_nowait() for _ in range(arrived.qsize())]
                    yield [first.result(), *rest]
            finally:
                first.cancel()
        await pumping  # raises what ended the watch

    pumping = asyncio.create_task(pump())
    try:
        yield batches()
    finally:
        call.cancel()
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


def gather(events: Iterable[event_pb2.Event]) -> Facts:
    """The facts of the events; one that cannot be read is logged and stops nothing."""
    facts: list[convert.Fact] = []
    for event in events:
        try:
            fact = convert.fact_from_event(event)
        except (DomainError, DecodeError, ValueError, OverflowError):
            # Kept at routing, and read again by a rebuild once this code understands it.
            _log.exception("event not understood", extra={"event_id": event.id, "kind": event.kind})
            continue
        if fact is not None:
            facts.append(fact)
    return Facts(_of(facts, Issue), _of(facts, Receipt), _of(facts, Arrival), _of(facts, Handling))


def _of(facts: Sequence[object], kind: type[T]) -> list[T]:
    return [fact for fact in facts if isinstance(fact, kind)]
