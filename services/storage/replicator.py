"""The dialling side of replication: fetches from a peer, or brings to it, each blob over each link once.

Two orders for the same blob wait for each other (a lock for each digest, taken in one order), and the
second finds it done. A broken stream is taken up again: a pull goes on inside the blob that was cut, in this
order or a later one, also after a restart; a push after the last blob that the peer has durably.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from lienthong.backoff import Backoff
from lienthong.clock import Clock
from lienthong.errors import DataLoss, DomainError, InvalidArgument, NotFound, Unavailable
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.client import channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.rpc.streams import Gate, patient
from lienthong.settings import TlsSettings
from lienthong.storage.v1 import storage_pb2
from lienthong.storage.v1.storage_pb2_grpc import ReplicationServiceStub
from lienthong.types.v1 import grant_pb2

from services.storage import convert
from services.storage.domain import Direction
from services.storage.shelf import Assembly, Shelf

if TYPE_CHECKING:  # the generated module has this class only in its stubs
    from lienthong.storage.v1.storage_pb2_grpc import ReplicationServiceAsyncStub

_log = logging.getLogger(__name__)
_ATTEMPTS: Final = 4
_POLICY: Final = Backoff(initial=0.2, cap=5.0)
_SPOILT: Final = frozenset({"DIGEST_MISMATCH", "SIZE_MISMATCH", "STREAM_MALFORMED"})


class Peers:
    """The storages that this node dials, by node; one connection to each."""

    def __init__(self, tls: TlsSettings, addresses: dict[str, str]) -> None:
        self._tls = tls
        self._addresses = addresses
        self._channels: dict[str, DomainChannel] = {}

    def stub(self, node: str) -> ReplicationServiceAsyncStub:
        """The peer's service, or NotFound("PEER_UNKNOWN")."""
        if node not in self._addresses:
            raise NotFound("PEER_UNKNOWN", "this node does not dial that one", peer_node=node)
        if node not in self._channels:
            self._channels[node] = channel_to(self._tls, self._addresses[node], node_dns_name(node))
        return ReplicationServiceStub(self._channels[node])

    async def close(self) -> None:
        """Close all connections."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()


class Locks:
    """A lock for each key in use."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, owner: str, digests: Sequence[bytes]) -> AsyncIterator[None]:
        """All of them at once, taken in one order so that no two wait for each other."""
        async with AsyncExitStack() as stack:
            for digest in sorted(digests):
                await stack.enter_async_context(self._locks.setdefault((owner, digest), asyncio.Lock()))
            yield


@dataclass(frozen=True, slots=True)
class Link:
    """One order: with which peer, by which grant."""

    stub: ReplicationServiceAsyncStub
    grant: grant_pb2.SignedGrant


class Replicator:
    """Carries out the orders of our routing."""

    def __init__(
        self, shelf: Shelf, peers: Peers, gate: Gate, clock: Clock, rng: random.Random, patience: float
    ) -> None:
        self._shelf = shelf
        self._peers = peers
        self._gate = gate
        self._clock = clock
        self._rng = rng
        self._patience = patience
        self._locks = Locks()

    async def replicate(
        self, peer: str, direction: Direction, digests: Sequence[bytes], grant: grant_pb2.SignedGrant
    ) -> int:
        """Move what is not there yet, and return how many bytes crossed the link."""
        link = Link(self._peers.stub(peer), grant)
        # A pull from any peer satisfies all who want the blob; a push satisfies only its own peer.
        owner = peer if direction is Direction.PUSH else ""
        async with self._locks.held(owner, digests), self._gate.passed():
            if direction is Direction.PULL:
                return await self._pull(link, await self._shelf.missing(digests))
            return await self._push(link, digests)

    async def _pull(self, link: Link, digests: Sequence[bytes]) -> int:
        if not digests:
            return 0
        async with self._shelf.assembly(digests, lasting=True) as assembly:
            await self._persist(lambda: self._pull_once(link, assembly))
            return assembly.moved

    async def _pull_once(self, link: Link, assembly: Assembly) -> None:
        while True:
            digests, offset = await assembly.ask()
            if not digests:
                return
            await self._pull_some(link, assembly, digests, offset)

    async def _pull_some(self, link: Link, assembly: Assembly, digests: Sequence[bytes], offset: int) -> None:
        request = storage_pb2.PullBlobsRequest(digests=digests, grant=link.grant, offset=offset)
        call = link.stub.PullBlobs(request)
        try:
            async with aclosing(patient(call, self._patience)) as messages:
                async for message in messages:
                    await assembly.add(convert.part_from_proto(message))
        except InvalidArgument as error:
            raise _spoilt(error) from error
        finally:
            call.cancel()
        if assembly.lacks(digests):
            raise Unavailable("PEER_UNAVAILABLE", "the peer's stream ended too early")

    async def _push(self, link: Link, digests: Sequence[bytes]) -> int:
        sent = _Count()
        await self._shelf.find(digests)  # before dialling: what we do not have cannot be brought
        await self._persist(lambda: self._push_once(link, digests, sent))
        return sent.bytes

    async def _push_once(self, link: Link, digests: Sequence[bytes], sent: _Count) -> None:
        durable = await self._pushed(link, [], sent)
        wanted = [digest for digest in digests if digest not in durable]
        if wanted:
            durable = await self._pushed(link, wanted, sent)
        if not durable.issuperset(digests):
            raise Unavailable("PEER_UNAVAILABLE", "the peer does not say that it has all blobs")

    async def _pushed(self, link: Link, digests: Sequence[bytes], sent: _Count) -> set[bytes]:
        """Bring the blobs; what the peer says is durable there. With none, this only asks."""
        # Written, not iterated by gRPC: what a failing iterator raises never comes back to its maker.
        call = link.stub.PushBlobs()
        try:
            await call.write(storage_pb2.PushBlobsRequest(grant=link.grant))
            async with aclosing(self._shelf.parts(await self._shelf.find(digests))) as parts:
                async for part in parts:
                    await call.write(convert.pushed_to_proto(part))
                    sent.bytes += len(part) if isinstance(part, bytes) else 0
            await call.done_writing()
            return set((await call).digests)
        except InvalidArgument as error:
            raise _spoilt(error) from error
        finally:
            call.cancel()

    async def _persist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try again while the peer is only away; Unavailable("PEER_UNAVAILABLE") in the end."""
        for number in range(1, _ATTEMPTS + 1):
            try:
                await attempt()
            except Unavailable as error:
                _log.info("replication interrupted", extra={"reason": error.reason, "attempt": number})
                if number == _ATTEMPTS:
                    raise Unavailable(
                        "PEER_UNAVAILABLE", "the peer's storage cannot be reached", cause=error.reason
                    ) from error
            else:
                return
            await self._clock.sleep(_POLICY.next_delay(number, self._rng))


class _Count:
    """Bytes that crossed the link, also those of attempts that failed."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


def _spoilt(error: InvalidArgument) -> DomainError:
    """A stream that is not what it said: for who asked for it, bytes were lost."""
    if error.reason in _SPOILT:
        lost = DataLoss("DIGEST_MISMATCH", f"the link brought other bytes: {error.message}")
        lost.metadata.update(error.metadata)
        return lost
    return error
