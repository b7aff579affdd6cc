"""Stands for routing on the wire: a real gRPC EventService that serves the events of a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from lienthong.app import App
from lienthong.errors import InvalidArgument, Unavailable
from lienthong.routing.v1 import queue_pb2, queue_pb2_grpc
from lienthong.types.v1 import event_pb2


class EventList(queue_pb2_grpc.EventServiceServicer):
    """Events in their order; the cursor is the place in the list. `watchable` False breaks every watch."""

    def __init__(self) -> None:
        self.events: list[event_pb2.Event] = []
        self.watchable = True
        self.watches = 0
        self._news = asyncio.Condition()

    async def add(self, *events: event_pb2.Event) -> None:
        async with self._news:
            for event in events:
                placed = event_pb2.Event()
                placed.CopyFrom(event)
                placed.cursor = str(len(self.events) + 1)
                self.events.append(placed)
            self._news.notify_all()

    async def ListEvents(
        self,
        request: queue_pb2.ListEventsRequest,
        context: Any,
    ) -> queue_pb2.ListEventsResponse:
        start = self._place(request.cursor)
        events = self.events[start : start + min(request.page_size, 7)]  # small: pages are turned
        return queue_pb2.ListEventsResponse(events=events, next_cursor=str(start + len(events)))

    async def WatchEvents(
        self,
        request: queue_pb2.WatchEventsRequest,
        context: Any,
    ) -> AsyncIterator[queue_pb2.WatchEventsResponse]:
        if not self.watchable:
            raise Unavailable("PEER_UNAVAILABLE", "no watching today")
        self.watches += 1
        place = self._place(request.cursor)
        while True:
            async with self._news:
                while len(self.events) <= place:
                    await self._news.wait()
            if not self.watchable:
                raise Unavailable("PEER_UNAVAILABLE", "no watching any more")
            yield queue_pb2.WatchEventsResponse(event=self.events[place])
            place += 1

    def app(self) -> App:
        return App(name="routing", servicers=[(queue_pb2_grpc.add_EventServiceServicer_to_server, self)])

    def _place(self, cursor: str) -> int:
        place = int(cursor or "0")
        if place > len(self.events):
            raise InvalidArgument("CURSOR_INVALID", "not a cursor that was given out here")
        return place
