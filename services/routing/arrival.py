"""The last step of transport: what is addressed to organizations of this node is delivered, or answered for.

A local worker after custody: store the small attachments, validate all, sign the receipts, and then one
commit of deliveries, inbox rows, receipts and events. What is INVALID is delivered with its verdict, for
the clerk to refuse. Receipts from elsewhere end here too, in the sender's books.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from lienthong import queue
from lienthong.db import Transaction, UniqueViolation
from lienthong.errors import Aborted, DomainError, ResourceExhausted
from lienthong.events import NewEvent, append
from lienthong.queue import Claim
from lienthong.routing.v1 import queue_pb2
from lienthong.signing.v1 import signing_pb2
from lienthong.telemetry import span_from
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2

from services.routing import delivery_store, transfer_store
from services.routing.attachments import Attachments
from services.routing.delivery_store import NewDelivery
from services.routing.detached import both
from services.routing.dispatch import Dispatch
from services.routing.domain import FORMAT_VERSION, Status, for_readers
from services.routing.issuing import EVENT
from services.routing.receipts import ReceiptBook, ReceiptMaker
from services.routing.station import Station
from services.routing.transfer_store import Envelope, Transfer, TransferState

_log: Final = logging.getLogger("lienthong.routing.arrival")

INBOX: Final = "inbox"
_RETRY_SECONDS: Final = 2.0
_TOO_LARGE: Final = "DOCUMENT_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Arriving:
    """A transfer that ends here."""

    claim: Claim
    transfer: Transfer
    envelope: Envelope
    payload: document_pb2.EnvelopePayload

    @property
    def is_known(self) -> bool:
        """Whether this node understands the version in which the message is written."""
        return self.payload.format_version <= FORMAT_VERSION


@dataclass(slots=True)
class Outcome:
    """What one commit of arrivals writes."""

    deliveries: list[NewDelivery]
    # Receipts by the organization that they go to.
    receipts: defaultdict[str, list[document_pb2.Receipt]]


class Arrival:
    """The worker of the arrival queue; works a batch of claims at a time."""

    def __init__(
        self,
        station: Station,
        attachments: Attachments,
        dispatch: Dispatch,
        maker: ReceiptMaker,
        book: ReceiptBook,
    ) -> None:
        self._node = station.node
        self._db = station.db
        self._directory = station.directory
        self._attachments = attachments
        self._dispatch = dispatch
        self._maker = maker
        self._book = book
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id
        self._checkpoint = station.checkpoint

    async def work(self, claims: list[Claim]) -> None:
        """Deliver what can be delivered; what fails alone is tried again alone."""
        loaded = await transfer_store.load_transfers(self._db, [claim.id for claim in claims])
        arriving = [Arriving(c, t, e, e.payload()) for c in claims for t, e in [loaded[c.id]]]
        receipts = [a for a in arriving if a.is_known and a.payload.WhichOneof("message") == "receipts"]
        others = [a for a in arriving if a not in receipts]
        if receipts:
            await self._enter(receipts)
        if others:
            await self._deliver(others)

    async def _enter(self, arriving: Sequence[Arriving]) -> None:
        await self._checkpoint("arrival.receipts.before")
        batches = [(a.envelope, await self._book.credible(a.payload)) for a in arriving]
        async with self._db.transaction() as tx:
            await queue.finish(tx, [a.claim for a in arriving])
            await self._book.enter(tx, batches)
            await self._settle(tx, arriving)
        await self._checkpoint("arrival.receipts.after")

    async def _deliver(self, arriving: Sequence[Arriving]) -> None:
        await self._checkpoint("arrival.before")
        judged = await asyncio.gather(*(self._judge(a) for a in arriving), return_exceptions=True)
        ready: list[tuple[Arriving, list[document_pb2.AttachmentVerdict]]] = []
        for item, verdicts in zip(arriving, judged, strict=True):
            if isinstance(verdicts, DomainError):
                delay = verdicts.retry_after or _RETRY_SECONDS
                await queue.retry(self._db, item.claim, delay, str(verdicts))
            elif isinstance(verdicts, BaseException):
                raise verdicts
            else:
                ready.append((item, verdicts))
        if ready:
            await self._checkpoint("arrival.validated")
            await self._commit(ready)
            await self._checkpoint("arrival.after")

    async def _judge(self, arriving: Arriving) -> list[document_pb2.AttachmentVerdict]:
        """Bring the small attachments to storage, hold all, and validate each."""
        if not arriving.is_known:
            return []  # nothing of it is read, so it will be refused
        document = arriving.payload.document
        with span_from(arriving.transfer.traceparent, "validate attachments"):
            digests = sorted({attachment.sha256 for attachment in document.attachments})
            holder = f"envelope/{arriving.envelope.envelope_id}"
            # What many documents have in common (a letterhead, a bulk of one text) is here after the first.
            missing = await self._attachments.hold(holder, digests)
            riding = arriving.envelope.blobs
            brought = {sha256: riding[sha256] for sha256 in missing if sha256 in riding}
            for sha256, content in brought.items():
                await self._attachments.write(arriving.transfer.recipients[0], sha256, content)
            if missing:
                await self._attachments.require(holder, digests)
            await self._checkpoint("arrival.stored")
            sizes = await self._sizes(digests, riding, arriving.transfer.recipients[0])
            # Only what storage just took is known to be what its digest says: a neighbour sent the bytes.
            reports = await asyncio.gather(
                *(self._report(a, sizes[a.sha256], brought.get(a.sha256)) for a in document.attachments)
            )
        return [verdict_of(report) for report in reports]

    async def _sizes(
        self, digests: Sequence[bytes], riding: Mapping[bytes, bytes], organization: str
    ) -> dict[bytes, int]:
        """How long the files are: the envelope has only the sender's word, which decides nothing here."""
        stored = [digest for digest in digests if digest not in riding]
        stats = await self._attachments.stat(stored, organization) if stored else {}
        return {d: len(riding[d]) if d in riding else stats[d].size_bytes for d in digests}

    async def _report(
        self, attachment: document_pb2.Attachment, size: int, content: bytes | None
    ) -> signing_pb2.ValidateDocumentResponse:
        """A signature beside a file takes the place of looking into it only where nobody can look into it."""
        if size != attachment.size_bytes:
            return _unparsed(attachment, "SIZE_MISMATCH")
        inside = await self._inside(attachment, content)
        if not attachment.detached_signatures:
            return inside or _unparsed(attachment, _TOO_LARGE)
        # Storage hashed the bytes itself: the digest is judged.
        beside = await self._attachments.detached.validate(attachment)
        return beside if inside is None else both(inside, beside)

    async def _inside(
        self, attachment: document_pb2.Attachment, content: bytes | None
    ) -> signing_pb2.ValidateDocumentResponse | None:
        """The judgement on what is in the file; None where it is too large to be looked into."""
        if self._attachments.detached.has(attachment):
            return None
        try:
            return await self._attachments.validate(attachment.sha256, attachment.media_type, content=content)
        except ResourceExhausted as error:
            # Signing takes less than this node's setting says: no retry makes the file smaller.
            if error.reason != _TOO_LARGE:
                raise
            return None

    async def _commit(self, ready: Sequence[tuple[Arriving, list[document_pb2.AttachmentVerdict]]]) -> None:
        known = await delivery_store.known_recipients(self._db, [a.envelope.envelope_id for a, _ in ready])
        outcome = Outcome([], defaultdict(list))
        for arriving, verdicts in ready:
            await self._one(arriving, verdicts, known, outcome)
        # What a node sent is receipts, of whatever version: they earn none.
        outcome.receipts.pop("", None)
        parcels = await self._maker.parcels(
            outcome.receipts,
            urgency=max(a.envelope.urgency for a, _ in ready),
            traceparent=ready[0][0].transfer.traceparent,
        )
        await self._checkpoint("arrival.signed")
        claims = [arriving.claim for arriving, _ in ready]
        try:
            async with self._db.transaction() as tx:
                await queue.finish(tx, claims)
                await delivery_store.insert_deliveries(tx, outcome.deliveries)
                await self._dispatch.commit(tx, parcels)
                await append(tx, [self._event(delivery) for delivery in outcome.deliveries])
                await self._settle(tx, [arriving for arriving, _ in ready])
                self._wakeups.notify_after(tx, EVENT, INBOX)
        except UniqueViolation:
            raise Aborted("DELIVERED_MEANWHILE", "another worker delivered one of these") from None

    async def _one(
        self,
        arriving: Arriving,
        verdicts: list[document_pb2.AttachmentVerdict],
        known: set[tuple[UUID, str]],
        outcome: Outcome,
    ) -> None:
        transfer, envelope, document = arriving.transfer, arriving.envelope, arriving.payload.document
        nodes = await self._directory.serving_nodes(transfer.recipients)
        now = self._clock.now()
        with span_from(transfer.traceparent, "deliver") as span:
            span.set_attribute("lienthong.recipients", len(transfer.recipients))
            hops = [document_pb2.HopFact.FromString(hop) for hop in transfer.hops]
            hops[-1].out_time.CopyFrom(to_timestamp(now))
            for recipient in transfer.recipients:
                key = (envelope.envelope_id, recipient)
                if key in known:
                    continue
                known.add(key)
                receipt = self._maker.receipt(
                    envelope.envelope_id, document.document_id, recipient, Status.ARRIVED, 1
                )
                refusal = self._refusal(arriving, nodes[recipient], now)
                if refusal:
                    make_negative(receipt, refusal)
                else:
                    receipt.outcome = document_pb2.TRANSPORT_OUTCOME_DELIVERED
                    receipt.verdicts.extend(verdicts)
                    receipt.hops.extend(hops)
                    outcome.deliveries.append(self._delivery(arriving, recipient, verdicts))
                outcome.receipts[arriving.payload.organization].append(receipt)

    def _refusal(self, arriving: Arriving, serving_node: str, now: datetime) -> str:
        """Why this node, which has custody, will never deliver to a recipient; empty when it will."""
        if not arriving.is_known:
            return "FORMAT_VERSION"
        if serving_node != self._node:
            return "NO_ROUTE"
        return "EXPIRED" if arriving.envelope.expire_time <= now else ""

    def _delivery(
        self, arriving: Arriving, recipient: str, verdicts: Sequence[document_pb2.AttachmentVerdict]
    ) -> NewDelivery:
        return NewDelivery(
            delivery_id=self._new_id(),
            envelope_id=arriving.envelope.envelope_id,
            recipient=recipient,
            sender=arriving.payload.document.organization,
            document=arriving.payload.document.SerializeToString(),
            verdicts=tuple(verdict.SerializeToString() for verdict in verdicts),
            traceparent=arriving.transfer.traceparent,
            arrive_time=self._clock.now(),
        )

    def _event(self, delivery: NewDelivery) -> NewEvent:
        event = queue_pb2.DeliveredEvent(
            delivery_id=str(delivery.delivery_id),
            envelope_id=str(delivery.envelope_id),
            recipient=delivery.recipient,
            document=for_readers(document_pb2.Document.FromString(delivery.document)),
            arrive_time=to_timestamp(delivery.arrive_time),
        )
        return NewEvent(
            self._new_id(),
            "routing.delivered",
            str(delivery.delivery_id),
            event.SerializeToString(),
            delivery.traceparent,
        )

    async def _settle(self, tx: Transaction, arriving: Sequence[Arriving]) -> None:
        done = (int(TransferState.TRANSFER_STATE_ACCEPTED), "")
        await transfer_store.settle(tx, {a.transfer.transfer_id: done for a in arriving})

    async def reject(self, claim: Claim) -> None:
        """Outbox work: the next hop refused a transfer for good; this node has custody and says so (R3)."""
        transfer_id = UUID(bytes=claim.payload)
        transfer, envelope = (await transfer_store.load_transfers(self._db, [transfer_id]))[transfer_id]
        payload = envelope.payload()
        if payload.WhichOneof("message") != "document":
            _log.error("receipts were refused by the next hop", extra={"transfer": str(transfer_id)})
            return
        reason = await self._db.fetchval("SELECT reason FROM transfer WHERE transfer_id = $1", transfer_id)
        receipts = []
        for recipient in transfer.recipients:
            receipt = self._maker.receipt(
                envelope.envelope_id, payload.document.document_id, recipient, "", 1
            )
            make_negative(receipt, reason or "REJECTED")
            receipts.append(receipt)
        parcels = await self._maker.parcels(
            {payload.document.organization: receipts},
            urgency=envelope.urgency,
            traceparent=transfer.traceparent,
        )
        async with self._db.transaction() as tx:
            await queue.finish(tx, [claim])
            await self._dispatch.commit(tx, parcels)


def make_negative(receipt: document_pb2.Receipt, reason: str) -> None:
    """Turn a receipt into a signed refusal of transport."""
    receipt.status = ""
    receipt.outcome = document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED
    receipt.reason_code = reason
    receipt.reason = reason


def _unparsed(attachment: document_pb2.Attachment, reason: str) -> signing_pb2.ValidateDocumentResponse:
    """The judgement on a file that nobody here looks into, and that nothing beside it vouches for."""
    return signing_pb2.ValidateDocumentResponse(
        sha256=attachment.sha256, verdict=document_pb2.VERDICT_INVALID, reasons=[reason]
    )


def verdict_of(report: signing_pb2.ValidateDocumentResponse) -> document_pb2.AttachmentVerdict:
    """Our own judgement at arrival, kept for ever: after the certificates expire nobody can make it again."""
    reasons = [*report.reasons, *(r for signature in report.signatures for r in signature.reasons)]
    verdict = document_pb2.AttachmentVerdict(
        sha256=report.sha256,
        verdict=report.verdict,
        reasons=list(dict.fromkeys(reasons))[:20],
        level=report.level,
        signers=[signature.signer_name for signature in report.signatures][:20],
    )
    stamps = [s.timestamp_time for s in report.signatures if s.HasField("timestamp_time")]
    if stamps:
        verdict.timestamp_time.CopyFrom(max(stamps, key=lambda stamp: stamp.ToNanoseconds()))
    return verdict
