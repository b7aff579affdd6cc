"""Takes custody of transfers that a neighbour offers (design R2, R5): judge, hold, one commit, one answer.

A transfer that was answered for good before gets the first answer again. Attachments that are lacking are
pulled where this node dials, and asked for where the neighbour does; custody passes only when all are here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument
from lienthong.grant import sign_grant
from lienthong.ids import parse_id
from lienthong.pki.keys import SigningKey
from lienthong.routing.v1 import link_pb2
from lienthong.storage.v1 import storage_pb2
from lienthong.telemetry import current_traceparent, span_from
from lienthong.times import from_timestamp, to_timestamp
from lienthong.types.v1 import document_pb2, grant_pb2

from services.routing import transfer_store
from services.routing.attachments import Attachments
from services.routing.dispatch import Dispatch, Parcel, keep, large, small
from services.routing.domain import INLINE_BYTES
from services.routing.seals import Seals
from services.routing.station import Station

if TYPE_CHECKING:
    from lienthong.storage.v1.storage_pb2_grpc import ReplicationServiceAsyncStub

_log: Final = logging.getLogger("lienthong.routing.custody")

MAX_TRANSFERS: Final = 64
MAX_BYTES: Final = 768 * 1024
GRANT_LIFE: Final = timedelta(minutes=30)
_REPLICATE_SECONDS: Final = 1800.0

Outcome = link_pb2.TransferOutcome
Answering = Callable[[list[link_pb2.TransferAnswer]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Offered:
    """A transfer on offer whose envelope was judged good."""

    transfer_id: UUID
    transfer: link_pb2.Transfer
    payload: document_pb2.EnvelopePayload

    @property
    def holder(self) -> str:
        """In whose name storage holds the large attachments."""
        return f"envelope/{self.payload.envelope_id}"

    @property
    def digests(self) -> list[bytes]:
        """Large attachments, each digest once."""
        return sorted({a.sha256 for a in large(self.payload.document)})


class Custody:
    """The receiving side of all links of one node."""

    def __init__(
        self,
        station: Station,
        seals: Seals,
        attachments: Attachments,
        replication: ReplicationServiceAsyncStub,
        dispatch: Dispatch,
        grant_key: SigningKey,
    ) -> None:
        self._node = station.node
        self._db = station.db
        self._seals = seals
        self._attachments = attachments
        self._replication = replication
        self._dispatch = dispatch
        self._grant_key = grant_key
        self._clock = station.clock

    async def take(self, peer: str, offer: link_pb2.Offer, *, dials: bool, answering: Answering) -> None:
        """Answer every transfer of an offer: at once what is complete, the rest with its attachments."""
        if len(offer.transfers) > MAX_TRANSFERS or offer.ByteSize() > MAX_BYTES + 64 * 1024:
            raise InvalidArgument("OFFER_TOO_LARGE", "an offer is at most 64 transfers and 768 KiB")
        good, refused = await self._judge(peer, offer.transfers)
        answers = await self._refuse(peer, refused)
        complete, lacking = await self._hold(good)
        answers += await self._commit(peer, complete)
        if lacking and not dials:
            answers += [self._wanted(peer, offered, missing) for offered, missing in lacking]
        await answering(answers)
        if lacking and dials:
            await self._pull(peer, lacking, answering)

    async def _judge(
        self, peer: str, transfers: Sequence[link_pb2.Transfer]
    ) -> tuple[list[Offered], dict[UUID, tuple[int, str]]]:
        ids = [parse_id(transfer.transfer_id, "transfer_id") for transfer in transfers]
        settled = await transfer_store.first_answers(self._db, peer, ids)
        fresh = [(i, t) for i, t in zip(ids, transfers, strict=True) if i not in settled]
        payloads = await self._seals.judge([transfer.envelope for _, transfer in fresh])
        good: list[Offered] = []
        for (transfer_id, transfer), payload in zip(fresh, payloads, strict=True):
            try:
                if isinstance(payload, DomainError):
                    raise payload
                self._check(transfer, payload)
            except DomainError as refusal:
                _log.warning(
                    "transfer refused",
                    extra={"peer": peer, "transfer": str(transfer_id), "reason": refusal.reason},
                )
                settled[transfer_id] = (Outcome.TRANSFER_OUTCOME_REJECTED, refusal.reason)
            else:
                good.append(Offered(transfer_id, transfer, payload))
        return good, settled

    def _check(self, transfer: link_pb2.Transfer, payload: document_pb2.EnvelopePayload) -> None:
        if any(hop.node == self._node for hop in transfer.hops):
            raise FailedPrecondition("LOOP", "the transfer has been here before")
        if from_timestamp(payload.expire_time) <= self._clock.now():
            raise FailedPrecondition("EXPIRED", "the envelope expired before it was taken")
        named = {recipient.organization for recipient in payload.recipients}
        if not transfer.recipients or not named.issuperset(transfer.recipients):
            raise InvalidArgument("RECIPIENT_FOREIGN", "a recipient is not in the signed envelope")
        inline = {blob.sha256 for blob in transfer.blobs}
        if any(attachment.sha256 not in inline for attachment in small(payload.document)):
            raise InvalidArgument("INLINE_ATTACHMENT_MISSING", "a small attachment is not in the batch")
        if any(len(blob.content) > INLINE_BYTES for blob in transfer.blobs):
            raise InvalidArgument("INLINE_ATTACHMENT_TOO_LARGE", "an attachment in the batch is too large")
        if any(hashlib.sha256(blob.content).digest() != blob.sha256 for blob in transfer.blobs):
            raise InvalidArgument("INLINE_ATTACHMENT_BROKEN", "an attachment in the batch is other bytes")

    async def _refuse(self, peer: str, settled: dict[UUID, tuple[int, str]]) -> list[link_pb2.TransferAnswer]:
        """Refusals are final and remembered like acceptances; what was settled before is only repeated."""
        if settled:
            async with self._db.transaction() as tx:
                await transfer_store.insert_inbound(tx, peer, settled)
        return [transfer_store.answer(i, outcome, reason) for i, (outcome, reason) in settled.items()]

    async def _hold(self, good: Sequence[Offered]) -> tuple[list[Offered], list[tuple[Offered, list[bytes]]]]:
        """Hold the large attachments before "not wanted" is said; tell what is lacking of which transfer."""
        holds = {offered.holder: offered.digests for offered in good if offered.digests}
        missing = set(await self._attachments.hold_many(holds)) if holds else set()
        lacking = [(o, wanted) for o in good if (wanted := [d for d in o.digests if d in missing])]
        incomplete = {offered.transfer_id for offered, _ in lacking}
        return [offered for offered in good if offered.transfer_id not in incomplete], lacking

    async def _commit(self, peer: str, complete: Sequence[Offered]) -> list[link_pb2.TransferAnswer]:
        """Take custody of all in one transaction."""
        if not complete:
            return []
        outcomes = {offered.transfer_id: (int(Outcome.TRANSFER_OUTCOME_ACCEPTED), "") for offered in complete}
        parcels = {offered.transfer_id: await self._parcel(peer, offered) for offered in complete}
        async with self._db.transaction() as tx:
            new = await transfer_store.insert_inbound(tx, peer, outcomes)
            await self._dispatch.commit(tx, [parcels[i] for i in parcels if i in new])
            if len(new) < len(outcomes):
                # Answered by a concurrent connection of the same neighbour: its word stands (R2).
                outcomes |= await transfer_store.first_answers(tx, peer, list(outcomes))
        return [transfer_store.answer(i, outcome, reason) for i, (outcome, reason) in outcomes.items()]

    async def _parcel(self, peer: str, offered: Offered) -> Parcel:
        transfer, payload = offered.transfer, offered.payload
        with span_from(transfer.traceparent, f"take custody from {peer}") as span:
            span.set_attribute("lienthong.envelope", payload.envelope_id)
            hop = document_pb2.HopFact(
                node=self._node,
                in_time=to_timestamp(self._clock.now()),
                span_id=format(span.get_span_context().span_id, "016x"),
            )
            wanted = {attachment.sha256 for attachment in small(payload.document)}
            blobs = {blob.sha256: blob.content for blob in transfer.blobs if blob.sha256 in wanted}
            return await self._dispatch.parcel(
                keep(transfer.envelope, payload, blobs),
                transfer.recipients,
                [*transfer.hops, hop],
                traceparent=current_traceparent() or transfer.traceparent,
                from_node=peer,
            )

    def _wanted(self, peer: str, offered: Offered, missing: list[bytes]) -> link_pb2.TransferAnswer:
        answer = transfer_store.answer(offered.transfer_id, Outcome.TRANSFER_OUTCOME_WANTED)
        answer.wanted.extend(missing)
        answer.grant.CopyFrom(
            self.grant(grant_pb2.GRANT_PURPOSE_PUSH, missing, peer, str(offered.transfer_id))
        )
        return answer

    def grant(
        self, purpose: grant_pb2.GrantPurpose.ValueType, digests: Sequence[bytes], peer: str, transfer: str
    ) -> grant_pb2.SignedGrant:
        """Let a neighbour's storage move these blobs from or to ours."""
        payload = grant_pb2.GrantPayload(
            purpose=purpose,
            digests=digests,
            peer_node=peer,
            transfer_id=transfer,
            expire_time=to_timestamp(self._clock.now() + GRANT_LIFE),
        )
        return sign_grant(payload, self._grant_key)

    async def _pull(
        self, peer: str, lacking: Sequence[tuple[Offered, list[bytes]]], answering: Answering
    ) -> None:
        """Pull transfer by transfer; the answers come as each is complete."""

        async def one(offered: Offered, missing: list[bytes]) -> None:
            try:
                with span_from(offered.transfer.traceparent, f"pull attachments from {peer}"):
                    await self._replication.Replicate(
                        storage_pb2.ReplicateRequest(
                            peer_node=peer,
                            direction=storage_pb2.REPLICATION_DIRECTION_PULL,
                            digests=missing,
                            grant=offered.transfer.grant,
                        ),
                        timeout=_REPLICATE_SECONDS,
                    )
                complete, still = await self._hold([offered])
                if still:
                    raise FailedPrecondition("ATTACHMENT_MISSING", "an attachment is not here after the pull")
                answers = await self._commit(peer, complete)
            except DomainError as error:
                _log.warning("pull failed", extra={"peer": peer, "reason": error.reason})
                answers = [
                    transfer_store.answer(
                        offered.transfer_id, Outcome.TRANSFER_OUTCOME_DEFERRED, error.reason
                    )
                ]
            await answering(answers)

        await asyncio.gather(*(one(offered, missing) for offered, missing in lacking))
