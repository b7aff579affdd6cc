"""One link, seen from one side: both sides run the same session over one stream, whoever dialled.

The forwarder claims transfers only for the neighbour whose stream this session holds (R4), so that a
neighbour that is away costs no attempts. What is in flight keeps its lease; when the stream breaks it is
given back untried, and the neighbour answers repeats with its first answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lienthong import backoff, queue
from lienthong.db import Database
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, Unavailable
from lienthong.ids import sub_id
from lienthong.queue import Claim, Item
from lienthong.routing.v1 import link_pb2
from lienthong.storage.v1 import storage_pb2
from lienthong.telemetry import span_from
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, envelope_pb2, grant_pb2

from services.routing import transfer_store
from services.routing.custody import MAX_BYTES, MAX_TRANSFERS, Custody, Outcome
from services.routing.dispatch import large
from services.routing.ping import Pings
from services.routing.station import Station
from services.routing.transfer_store import (
    REJECTION,
    TRANSFER,
    Envelope,
    Transfer,
    TransferState,
)

if TYPE_CHECKING:
    from lienthong.storage.v1.storage_pb2_grpc import ReplicationServiceAsyncStub

_log: Final = logging.getLogger("lienthong.routing.link")

VERSIONS: Final = (1,)
_HELLO_SECONDS: Final = 10.0
_BEAT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 35.0
_OFFERS_IN_FLIGHT: Final = 4
_OFFERS_TAKEN: Final = 4
_PINGS_AT_A_TIME: Final = 64
_REPLICATE_SECONDS: Final = 1800.0
_RETRY_SECONDS: Final = 2.0

Write = Callable[[link_pb2.LinkFrame], Awaitable[None]]
_FINAL: Final = {
    Outcome.TRANSFER_OUTCOME_ACCEPTED: TransferState.TRANSFER_STATE_ACCEPTED,
    Outcome.TRANSFER_OUTCOME_REJECTED: TransferState.TRANSFER_STATE_REJECTED,
}


@dataclass(frozen=True, slots=True)
class LinkDesk:
    """What every session of a node shares. `instance_id` names this run of the process."""

    station: Station
    instance_id: str
    custody: Custody
    replication: ReplicationServiceAsyncStub
    connected: set[str]
    pings: Pings
    # A node that was killed offers what it had on offer again when this is over.
    lease_seconds: float = 30.0

    @property
    def db(self) -> Database:
        return self.station.db


class LinkEnded(Exception):  # noqa: N818 - not a failure
    """The stream ended in good order: everything the session still does is cancelled."""


class LinkSession:
    """One side of one open link. `run` ends with the stream, by a goodbye, or by an error."""

    def __init__(self, desk: LinkDesk, peer: str, *, dials: bool, write: Write) -> None:
        self._desk = desk
        self._peer = peer
        self._dials = dials
        self._write = write
        self._writing = asyncio.Lock()
        self._in_flight: dict[UUID, Claim] = {}
        self._window = asyncio.Semaphore(_OFFERS_IN_FLIGHT * MAX_TRANSFERS)
        self._taking = asyncio.Semaphore(_OFFERS_TAKEN)
        self._pinging: set[asyncio.Task[None]] = set()
        self._heard = desk.station.clock.monotonic()

    async def run(self, frames: AsyncIterator[link_pb2.LinkFrame]) -> None:
        """Exchange frames until the other side ends. Whatever is in flight then is given back."""
        await self._send(link_pb2.LinkFrame(hello=self._hello()))
        async with asyncio.timeout(_HELLO_SECONDS):
            await self._greet(await anext(frames, link_pb2.LinkFrame()))
        self._desk.connected.add(self._peer)
        self._desk.pings.joined(self._peer, self._send)
        _log.info("link is up", extra={"peer": self._peer, "dials": self._dials})
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (self._forward, self._renew, self._beat):
                    group.create_task(loop())
                await self._read(frames, group)
                raise LinkEnded
        except* LinkEnded:
            pass
        finally:
            self._desk.connected.discard(self._peer)
            self._desk.pings.left(self._peer, self._send)
            _log.info("link is down", extra={"peer": self._peer})
            await asyncio.shield(self._give_back())

    def _hello(self) -> link_pb2.Hello:
        return link_pb2.Hello(
            versions=VERSIONS,
            node=self._desk.station.node,
            instance_id=self._desk.instance_id,
            epoch=1,
            max_transfers=MAX_TRANSFERS,
            max_bytes=MAX_BYTES,
        )

    async def _greet(self, frame: link_pb2.LinkFrame) -> None:
        hello = frame.hello
        if frame.WhichOneof("frame") != "hello" or hello.node != self._peer:
            raise InvalidArgument(
                "HELLO_MISSING", "the first frame must be the hello of the node that dialled"
            )
        if not set(VERSIONS) & set(hello.versions):
            raise FailedPrecondition(
                "LINK_VERSION",
                "the sides have no version of the link in common",
                versions=list(hello.versions),
            )
        # A sign of life ends the back-off (promise 4).
        await backoff.alive(self._desk.db, self._peer)

    async def _read(self, frames: AsyncIterator[link_pb2.LinkFrame], group: asyncio.TaskGroup) -> None:
        async for frame in frames:
            self._heard = self._desk.station.clock.monotonic()
            match frame.WhichOneof("frame"):
                case "offer":
                    # Bounded: past it the neighbour's frames wait in the transport.
                    await self._taking.acquire()
                    group.create_task(self._take(frame.offer))
                case "answer":
                    await self._answered(frame.answer.answers, group)
                case "ping" | "pong":
                    self._pass_ping(frame, group)
                case "goodbye":
                    _log.info("goodbye", extra={"peer": self._peer, "reason": frame.goodbye.reason})
                    return

    def _pass_ping(self, frame: link_pb2.LinkFrame, group: asyncio.TaskGroup) -> None:
        """Beside everything else: a neighbour that is slow to read must not keep this one waiting."""
        if len(self._pinging) >= _PINGS_AT_A_TIME:
            return  # its origin hears nothing and says so
        pings = self._desk.pings
        is_ping = frame.WhichOneof("frame") == "ping"
        passing = pings.on_ping(self._peer, frame.ping) if is_ping else pings.on_pong(self._peer, frame.pong)
        task = group.create_task(passing)
        self._pinging.add(task)
        task.add_done_callback(self._pinging.discard)

    async def _take(self, offer: link_pb2.Offer) -> None:
        async def answering(answers: list[link_pb2.TransferAnswer]) -> None:
            if answers:
                await self._send(link_pb2.LinkFrame(answer=link_pb2.Answer(answers=answers)))

        try:
            await self._desk.custody.take(self._peer, offer, dials=self._dials, answering=answering)
        except DomainError as error:
            # Ours to mend (database, storage, signing): nothing was committed, so the neighbour keeps it.
            _log.warning("offer deferred", extra={"peer": self._peer, "reason": error.reason})
            await answering(
                [
                    link_pb2.TransferAnswer(
                        transfer_id=transfer.transfer_id,
                        outcome=Outcome.TRANSFER_OUTCOME_DEFERRED,
                        reason=error.reason,
                    )
                    for transfer in offer.transfers
                ]
            )
        finally:
            self._taking.release()

    async def _forward(self) -> None:
        """Claim and offer, most urgent first, as long as the window has room."""
        desk = self._desk
        while True:
            seen = desk.station.wakeups.generation(TRANSFER)
            for _ in range(MAX_TRANSFERS):
                await self._window.acquire()
            claims = await queue.claim(
                desk.db,
                TRANSFER,
                destinations=[self._peer],
                limit=MAX_TRANSFERS,
                lease_seconds=desk.lease_seconds,
            )
            for _ in range(MAX_TRANSFERS - len(claims)):
                self._window.release()
            if claims:
                await self._offer(claims)
            else:
                await desk.station.wakeups.wait(TRANSFER, seen, 1.0)

    async def _offer(self, claims: Sequence[Claim]) -> None:
        self._in_flight.update((claim.id, claim) for claim in claims)
        loaded = await transfer_store.load_transfers(self._desk.db, [claim.id for claim in claims])
        batch = link_pb2.Offer()
        size = 0
        for claim in claims:
            message = self._message(*loaded[claim.id])
            length = message.ByteSize()
            if batch.transfers and size + length > MAX_BYTES:
                await self._send_offer(batch)
                batch, size = link_pb2.Offer(), 0
            batch.transfers.append(message)
            size += length
        await self._send_offer(batch)

    async def _send_offer(self, offer: link_pb2.Offer) -> None:
        # Before the bytes leave: silence after this point is UNCONFIRMED and never expiry (R3).
        await transfer_store.mark_offered(self._desk.db, [UUID(t.transfer_id) for t in offer.transfers])
        await self._send(link_pb2.LinkFrame(offer=offer))

    def _message(self, transfer: Transfer, envelope: Envelope) -> link_pb2.Transfer:
        message = link_pb2.Transfer(
            transfer_id=str(transfer.transfer_id),
            envelope=envelope_pb2.SignedEnvelope.FromString(envelope.signed),
            recipients=transfer.recipients,
            hops=[document_pb2.HopFact.FromString(hop) for hop in transfer.hops],
            blobs=[link_pb2.InlineBlob(sha256=d, content=c) for d, c in envelope.blobs.items()],
        )
        message.hops[-1].out_time.CopyFrom(to_timestamp(self._desk.station.clock.now()))
        with span_from(transfer.traceparent, f"offer to {self._peer}") as span:
            span.set_attribute("lienthong.transfer", message.transfer_id)
            message.traceparent = transfer.traceparent
        if envelope.is_held and not self._dials:
            digests = sorted({a.sha256 for a in large(envelope.payload().document)})
            message.grant.CopyFrom(
                self._desk.custody.grant(
                    grant_pb2.GRANT_PURPOSE_PULL, digests, self._peer, message.transfer_id
                )
            )
        return message

    async def _answered(self, answers: Sequence[link_pb2.TransferAnswer], group: asyncio.TaskGroup) -> None:
        final: dict[UUID, tuple[int, str]] = {}
        for answer in answers:
            transfer_id = UUID(answer.transfer_id)
            claim = self._in_flight.get(transfer_id)
            if claim is None:
                continue  # answered before, or never offered here
            if answer.outcome in _FINAL:
                final[transfer_id] = (_FINAL[answer.outcome], answer.reason[:200])
            elif answer.outcome == Outcome.TRANSFER_OUTCOME_WANTED and self._dials:
                group.create_task(self._push(claim, answer))
            else:
                await queue.retry(self._desk.db, claim, _RETRY_SECONDS, answer.reason)
                self._landed([transfer_id])
        if final:
            await self._settle(final)

    async def _settle(self, final: dict[UUID, tuple[int, str]]) -> None:
        """Custody has passed, or was refused for good: one transaction for a batch of answers."""
        rejected = [i for i, (state, _) in final.items() if state == TransferState.TRANSFER_STATE_REJECTED]
        async with self._desk.db.transaction() as tx:
            # A lease lost meanwhile changes nothing: the neighbour's answer is the truth, and whoever
            # claimed the item since will hear the same answer.
            await queue.complete(tx, [self._in_flight[i] for i in final])
            await transfer_store.settle(tx, final)
            work = [Item(sub_id(i, REJECTION), REJECTION, i.bytes) for i in rejected]
            for envelope_id in await transfer_store.passed_on(tx, list(final), self._desk.station.node):
                work.append(transfer_store.release_work(envelope_id, f"envelope/{envelope_id}"))
            if work:
                await queue.put(tx, work, self._desk.station.wakeups)
        self._landed(list(final))

    async def _push(self, claim: Claim, answer: link_pb2.TransferAnswer) -> None:
        """Bring the neighbour the attachments it lacks, then offer again at once."""
        try:
            with span_from(claim.traceparent, f"push attachments to {self._peer}"):
                await self._desk.replication.Replicate(
                    storage_pb2.ReplicateRequest(
                        peer_node=self._peer,
                        direction=storage_pb2.REPLICATION_DIRECTION_PUSH,
                        digests=answer.wanted,
                        grant=answer.grant,
                    ),
                    timeout=_REPLICATE_SECONDS,
                )
            await queue.release(self._desk.db, [claim])
        except DomainError as error:
            _log.warning("push failed", extra={"peer": self._peer, "reason": error.reason})
            await queue.retry(self._desk.db, claim, _RETRY_SECONDS, str(error))
        self._landed([claim.id])
        self._desk.station.wakeups.notify(TRANSFER)

    def _landed(self, transfer_ids: Sequence[UUID]) -> None:
        for transfer_id in transfer_ids:
            if self._in_flight.pop(transfer_id, None) is not None:
                self._window.release()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._desk.lease_seconds / 3)
            if self._in_flight:
                claims = list(self._in_flight.values())
                await queue.renew(self._desk.db, claims, self._desk.lease_seconds)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            if self._desk.station.clock.monotonic() - self._heard > _SILENCE_SECONDS:
                raise Unavailable("LINK_SILENT", "the neighbour has been silent for too long")
            await self._send(link_pb2.LinkFrame(heartbeat=link_pb2.Heartbeat()))

    async def _send(self, frame: link_pb2.LinkFrame) -> None:
        async with self._writing:
            await self._write(frame)

    async def _give_back(self) -> None:
        """Offered and unanswered: to be offered again as soon as the neighbour is back."""
        claims = list(self._in_flight.values())
        self._in_flight.clear()
        if claims:
            try:
                await queue.release(self._desk.db, claims)
            except DomainError as error:
                _log.warning("left to their leases", extra={"peer": self._peer, "reason": error.reason})
