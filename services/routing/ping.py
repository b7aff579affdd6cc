"""How far is it to a node? Pings go over the open links of this replica, past all queues, and come back.

Each node on the way remembers a ping for a moment, hands it to the neighbour towards the target, and puts
itself in front of the answer: when the ping came by its clock, and how long the rest of the way took by its
monotonic clock. Nothing is stored; a ping that gets lost is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import DomainError, NotFound, ResourceExhausted, Unavailable
from lienthong.ids import IdFactory
from lienthong.routing.v1 import link_pb2, queue_pb2
from lienthong.rpc.deadline import remaining
from lienthong.times import to_timestamp

from services.routing.directory import Directory
from services.routing.station import Station

_log: Final = logging.getLogger("lienthong.routing.ping")

WAIT_SECONDS: Final = 20.0
_REMEMBERED_SECONDS: Final = 30.0
_MAX_PENDING: Final = 1_000
# No way through the state is as long.
_MAX_HOPS: Final = 64
_MAX_NAME: Final = 64
# Each relay adds to a frame: one that came near the limit of a message would break the next link.
_MAX_BYTES: Final = 8 * 1024
# Of one neighbour, so that none takes all the places.
_MAX_PENDING_OF_ONE: Final = 100
_SEND_SECONDS: Final = 5.0
# Frames that a slow line has not taken yet.
_MAX_SENDING: Final = 32
# So that the origin can still tell what it knows before its caller stops listening.
_SHAVED_SECONDS: Final = 0.2

NODE_UNKNOWN: Final = "NODE_UNKNOWN"
LINK_DOWN: Final = "LINK_DOWN"
LOOP: Final = "LOOP"
TOO_MANY_PINGS: Final = "TOO_MANY_PINGS"
PING_UNANSWERED: Final = "PING_UNANSWERED"

Send = Callable[[link_pb2.LinkFrame], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Passed:
    """A ping that went on to a neighbour; `origin` at the node that asked, `came_from` at the others."""

    came_from: str
    went_to: str
    time: datetime
    started: float
    origin: asyncio.Future[link_pb2.Pong] | None = None


class Pings:
    """The pings of one replica: asked here, or on their way through."""

    def __init__(self, node: str, directory: Directory, clock: Clock, new_id: IdFactory) -> None:
        self._node = node
        self._directory = directory
        self._clock = clock
        self._new_id = new_id
        self._links: dict[str, Send] = {}
        self._passed: dict[str, _Passed] = {}
        self._sending: dict[str, int] = {}

    @classmethod
    def of(cls, station: Station) -> Pings:
        """Those of a station."""
        return cls(station.node, station.directory, station.clock, station.new_id)

    def joined(self, peer: str, send: Send) -> None:
        """A link is up."""
        self._links[peer] = send

    def left(self, peer: str, send: Send) -> None:
        """A link is down; a newer one to the same neighbour stays."""
        if self._links.get(peer) == send:
            del self._links[peer]

    async def ask(self, target: str) -> list[queue_pb2.PingHop]:
        """The way to a node, this one first; raises as QueueService.PingNode tells."""
        if target == self._node:
            return [self._hop(self._clock.now(), 0.0)]
        if not 0 < len(target) <= _MAX_NAME:
            raise _failure(NODE_UNKNOWN, target[:_MAX_NAME], self._node)
        time, started = self._clock.now(), self._clock.monotonic()
        ping = link_pb2.Ping(ping_id=str(self._new_id()), node=target, path=[self._node])
        answered: asyncio.Future[link_pb2.Pong] = asyncio.get_running_loop().create_future()
        reason = await self._pass_on(ping, "", time, started, answered)
        if reason:
            raise _failure(reason, target, self._node)
        try:
            async with asyncio.timeout(_patience()):
                pong = await answered
        except TimeoutError:
            raise _failure(PING_UNANSWERED, target, self._node) from None
        finally:
            self._passed.pop(ping.ping_id, None)
        if pong.reason:
            raise _failure(pong.reason, target, pong.hops[-1].node if pong.hops else self._node)
        return [self._hop(time, self._clock.monotonic() - started), *pong.hops]

    async def on_ping(self, peer: str, ping: link_pb2.Ping) -> None:
        """A neighbour's ping: answer it, or pass it on."""
        time, started = self._clock.now(), self._clock.monotonic()
        if ping.ByteSize() > _MAX_BYTES or not 0 < len(ping.ping_id) <= 64:
            return  # no answer could reach anybody
        if not 0 < len(ping.path) <= _MAX_HOPS:
            return
        reason = ""
        if self._node in ping.path:
            reason = LOOP
        elif ping.node != self._node:
            onward = link_pb2.Ping(ping_id=ping.ping_id, node=ping.node, path=[*ping.path, self._node])
            reason = await self._pass_on(onward, peer, time, started, None)
            if not reason:
                return
        pong = link_pb2.Pong(ping_id=ping.ping_id, hops=[self._hop(time, 0.0)], reason=reason)
        await self._send(peer, link_pb2.LinkFrame(pong=pong))

    async def on_pong(self, peer: str, pong: link_pb2.Pong) -> None:
        """A neighbour's answer: ours, or on its way back. Only whom we asked may answer, and once."""
        passed = self._passed.get(pong.ping_id)
        if passed is None or passed.went_to != peer:
            return
        if len(pong.hops) >= _MAX_HOPS or pong.ByteSize() > _MAX_BYTES:
            return
        del self._passed[pong.ping_id]
        if passed.origin is not None:
            if not passed.origin.done():
                passed.origin.set_result(pong)
            return
        own = self._hop(passed.time, self._clock.monotonic() - passed.started)
        back = link_pb2.Pong(ping_id=pong.ping_id, hops=[own, *pong.hops], reason=pong.reason[:64])
        await self._send(passed.came_from, link_pb2.LinkFrame(pong=back))

    async def _pass_on(
        self,
        ping: link_pb2.Ping,
        came_from: str,
        time: datetime,
        started: float,
        origin: asyncio.Future[link_pb2.Pong] | None,
    ) -> str:
        """Hand it to the neighbour towards its target; returns why that is not possible, or nothing."""
        try:
            neighbour = (await self._directory.tree()).next_hop(self._node, ping.node)
        except DomainError as error:
            if origin is not None:
                raise
            return error.reason
        if neighbour is None:
            return NODE_UNKNOWN
        if neighbour not in self._links:
            return LINK_DOWN
        self._forget(started - _REMEMBERED_SECONDS)
        of_one = sum(passed.came_from == came_from for passed in self._passed.values())
        if len(self._passed) >= _MAX_PENDING or of_one >= _MAX_PENDING_OF_ONE:
            return TOO_MANY_PINGS
        if ping.ping_id in self._passed:
            return TOO_MANY_PINGS
        self._passed[ping.ping_id] = _Passed(came_from, neighbour, time, started, origin)
        if not await self._send(neighbour, link_pb2.LinkFrame(ping=ping)):
            self._passed.pop(ping.ping_id, None)
            return LINK_DOWN
        return ""

    async def _send(self, peer: str, frame: link_pb2.LinkFrame) -> bool:
        """Whether the frame went out. A link that breaks meanwhile is the concern of its own session."""
        send = self._links.get(peer)
        if send is None or self._sending.get(peer, 0) >= _MAX_SENDING:
            return False
        # Never cancelled: gRPC ends the whole call, and with it the link, where a pending write is.
        writing = asyncio.ensure_future(send(frame))
        self._sending[peer] = self._sending.get(peer, 0) + 1
        writing.add_done_callback(lambda done: self._sent(peer, done))
        done, _ = await asyncio.wait({writing}, timeout=_SEND_SECONDS)
        return bool(done) and not writing.cancelled() and writing.exception() is None

    def _sent(self, peer: str, writing: asyncio.Future[None]) -> None:
        self._sending[peer] -= 1
        if not self._sending[peer]:
            del self._sending[peer]
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            _log.info("a ping was not sent", extra={"peer": peer, "error": type(error).__name__})

    def _forget(self, before: float) -> None:
        """The oldest stand first."""
        while self._passed:
            oldest = next(iter(self._passed))
            if self._passed[oldest].started > before:
                return
            del self._passed[oldest]

    def _hop(self, time: datetime, onward: float) -> queue_pb2.PingHop:
        hop = queue_pb2.PingHop(node=self._node, time=to_timestamp(time))
        hop.onward.FromNanoseconds(round(onward * 1e9))
        return hop


def _patience() -> float:
    left = remaining()
    return WAIT_SECONDS if left is None else max(0.0, min(WAIT_SECONDS, left - _SHAVED_SECONDS))


def _failure(reason: str, target: str, reached: str) -> DomainError:
    """What the asker is told. A reason that the contract does not name (LOOP, a newer one) is the cause."""
    error: DomainError
    match reason:
        case "NODE_UNKNOWN":
            error = NotFound("NODE_UNKNOWN", "no way leads to this node", field="node")
        case "TOO_MANY_PINGS":
            error = ResourceExhausted("TOO_MANY_PINGS", "too many pings are on their way", retry_after=5.0)
        case "LINK_DOWN":
            error = Unavailable("LINK_DOWN", "the next link on the way is down")
        case _:
            error = Unavailable("PING_UNANSWERED", "the ping was not answered")
            if reason != PING_UNANSWERED:
                error.metadata["cause"] = reason
    error.metadata |= {"node": target, "reached": reached}
    return error
