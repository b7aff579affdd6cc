"""Both ends of links: the servicer for neighbours that dial, the dialer for those that this node dials."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Final, Protocol

import grpc
from lienthong import backoff
from lienthong.backoff import Backoff
from lienthong.cancellation import end_if_cancelled
from lienthong.errors import DomainError, PermissionDenied
from lienthong.routing.v1 import link_pb2, link_pb2_grpc
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.identity import current_caller

from services.routing.directory import Directory
from services.routing.link import LinkDesk, LinkSession

_log: Final = logging.getLogger("lienthong.routing.link")

# Only the child dials, so a parent that is back waits for its children: seconds, not minutes.
BACKOFF: Final = Backoff(initial=0.3, cap=5.0, jitter=0.3)

_Context = grpc.aio.ServicerContext[link_pb2.ExchangeRequest, link_pb2.ExchangeResponse]


class LinkServicer(link_pb2_grpc.LinkServiceServicer):
    """Takes the links that neighbours dial."""

    def __init__(self, desk: LinkDesk, directory: Directory, peers: frozenset[str]) -> None:
        self._desk = desk
        self._directory = directory
        self._peers = peers
        self._sessions: dict[str, asyncio.Task[None]] = {}

    async def Exchange(
        self, request_iterator: AsyncIterator[link_pb2.ExchangeRequest], context: _Context
    ) -> AsyncIterator[link_pb2.ExchangeResponse]:
        peer = current_caller().node
        await self._admit(peer)
        frames: asyncio.Queue[link_pb2.LinkFrame | None] = asyncio.Queue(maxsize=4)

        async def serve() -> None:
            session = LinkSession(self._desk, peer, dials=False, write=frames.put)
            try:
                await session.run(_requests(request_iterator))
            finally:
                # A full queue means that nobody reads any more.
                if frames.full():
                    frames.get_nowait()
                frames.put_nowait(None)

        # A neighbour that dials again lost its old stream, even if this side has not noticed yet.
        await self._replace(peer)
        task = self._sessions[peer] = asyncio.create_task(serve(), name=f"link {peer}")
        try:
            while (frame := await frames.get()) is not None:
                yield link_pb2.ExchangeResponse(frame=frame)
            await _reraise(task)
        finally:
            task.cancel()
            await asyncio.wait([task])
            if self._sessions.get(peer) is task:
                del self._sessions[peer]

    async def _admit(self, peer: str) -> None:
        tree = await self._directory.tree()
        if peer not in tree.parents:
            raise PermissionDenied("NODE_UNKNOWN", "the directory knows no such node", node=peer)
        if peer not in self._peers and not tree.are_neighbours(self._desk.station.node, peer):
            raise PermissionDenied("NODE_NOT_NEIGHBOUR", "the node is no neighbour of this one", node=peer)

    async def _replace(self, peer: str) -> None:
        old = self._sessions.pop(peer, None)
        if old is not None:
            old.cancel()
            await asyncio.wait([old])


async def _requests(
    requests: AsyncIterator[link_pb2.ExchangeRequest],
) -> AsyncIterator[link_pb2.LinkFrame]:
    async for request in requests:
        yield request.frame


async def _reraise(task: asyncio.Task[None]) -> None:
    """What ended the session, one domain error rather than a group of one."""
    try:
        await task
    except BaseExceptionGroup as group:
        raise first_error(group) from None


def first_error(group: BaseExceptionGroup) -> BaseException:
    """The first domain error of a task group, else the first error."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop(0)
        if isinstance(error, BaseExceptionGroup):
            stack.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, DomainError)), leaves[0])


class Dial(Protocol):
    """Opens a channel to a neighbour."""

    def __call__(self) -> DomainChannel: ...


class Dialer:
    """Keeps one link to one neighbour that this node dials, with its back-off in the database."""

    def __init__(self, desk: LinkDesk, peer: str, dial: Dial, rng: random.Random | None = None) -> None:
        self._desk = desk
        self._peer = peer
        self._dial = dial
        self._rng = rng or random.SystemRandom()
        self.__qualname__ = f"Dialer({peer})"

    async def __call__(self) -> None:
        """Dial for ever: the loop of one link."""
        while True:
            if not await backoff.due(self._desk.db, [self._peer]):
                await asyncio.sleep(0.2)
                continue
            try:
                await self._session()
            except (DomainError, TimeoutError, BaseExceptionGroup, grpc.aio.UsageError) as error:
                end_if_cancelled()
                await self._failed(error)
            end_if_cancelled()
            await asyncio.sleep(0.1)

    async def _session(self) -> None:
        channel = self._dial()
        try:
            # A neighbour that is away must cost a moment, not gRPC's own minutes.
            call = link_pb2_grpc.LinkServiceStub(channel).Exchange()

            async def write(frame: link_pb2.LinkFrame) -> None:
                await call.write(link_pb2.ExchangeRequest(frame=frame))

            async def frames() -> AsyncIterator[link_pb2.LinkFrame]:
                async for response in call:
                    yield response.frame

            try:
                await LinkSession(self._desk, self._peer, dials=True, write=write).run(frames())
            finally:
                call.cancel()
        finally:
            await channel.close()

    async def _failed(self, error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            error = first_error(error)
        reason = error.reason if isinstance(error, DomainError) else type(error).__name__
        _log.warning("link failed", extra={"peer": self._peer, "reason": reason})
        if not isinstance(error, (DomainError, TimeoutError)):
            _log.exception("link failed unexpectedly", exc_info=error)
        try:
            async with self._desk.db.transaction() as tx:
                await backoff.failed(tx, self._peer, str(error), BACKOFF, self._rng)
        except DomainError as failure:
            _log.warning("back-off not written", extra={"reason": failure.reason})
            await asyncio.sleep(1.0)
