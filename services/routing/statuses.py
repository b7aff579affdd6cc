"""Makes statuses that recipients report durable, and finds them again; many share a transaction.

Each is answered by itself. What one of them is refused for (the delivery is another's, the step is
not allowed, its request id came with other content) leaves no row and does not touch the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from lienthong import queue
from lienthong.batching import Batcher
from lienthong.db import Record, Transaction
from lienthong.errors import AlreadyExists, DomainError, NotFound, PermissionDenied
from lienthong.idempotency import Request, forget_many, recall_many, record_many
from lienthong.queue import Item

from services.routing import delivery_store as store
from services.routing.delivery_store import Handling
from services.routing.domain import Document, Status, check_status, priority
from services.routing.station import Station

HANDLING: Final = "handling"
_MAX_ITEMS: Final = 128
# So that one batch is gathered while another is written.
_CONCURRENCY: Final = 2


@dataclass(frozen=True, slots=True)
class Reported:
    """A status as it was reported, and the request that it answers. `handling_id` is its name if new."""

    handling_id: UUID
    request: Request
    organization: str
    delivery_id: UUID
    status: Status
    actor: str
    reason: str
    own_number: int
    traceparent: str


class Statuses:
    """The durable side of reporting."""

    def __init__(self, station: Station) -> None:
        self._db = station.db
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._commits = Batcher(self._commit_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)
        self._reads = Batcher(self._read_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)

    async def commit(self, reported: Reported) -> UUID:
        """Make the intent durable, or name the one that this request, or the same status, made before."""
        return await self._commits.submit(reported)

    async def get(self, handling_id: UUID) -> Handling:
        """One as it stands."""
        return await self._reads.submit(handling_id)

    async def _read_all(self, ids: list[UUID]) -> list[Handling | Exception]:
        found = await store.find_handlings(self._db, ids)
        return [found.get(i) or NotFound("DELIVERY_UNKNOWN", "no such handling") for i in ids]

    async def _commit_all(self, batch: list[Reported]) -> Sequence[UUID | Exception]:
        try:
            async with self._db.transaction() as tx:
                return await self._write(tx, batch)
        except DomainError:
            raise  # the database is away, or was in conflict: true of each, and each may be repeated
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # Something in one of them is what the database does not take; the others must not suffer for it.
            return [answer for reported in batch for answer in await self._commit_all([reported])]

    async def _write(self, tx: Transaction, batch: list[Reported]) -> list[UUID | Exception]:
        recalled = await recall_many(tx, [reported.request for reported in batch])
        new = [reported for reported, answer in zip(batch, recalled, strict=True) if answer is None]
        outcomes = await self._intend(tx, new) if new else {}
        results: list[UUID | Exception] = []
        for reported, answer in zip(batch, recalled, strict=True):
            if isinstance(answer, bytes):
                results.append(UUID(bytes=answer))
            elif isinstance(answer, AlreadyExists):
                results.append(answer)
            else:  # ours, or the same request a second time in this batch
                results.append(outcomes[reported.request.key])
        return results

    async def _intend(
        self, tx: Transaction, batch: Sequence[Reported]
    ) -> dict[tuple[str, UUID], UUID | Exception]:
        desk = _Desk(await store.lock_many(tx, {reported.delivery_id for reported in batch}))
        outcomes: dict[tuple[str, UUID], UUID | Exception] = {}
        for reported in batch:
            try:
                known = await desk.known(tx, reported)
                outcomes[reported.request.key] = known or self._enter(desk, reported)
            except DomainError as refusal:
                outcomes[reported.request.key] = refusal
        await store.insert_handlings(tx, desk.handlings)
        if desk.handlings:
            await queue.put(tx, [desk.work(handling) for handling in desk.handlings], self._wakeups)
        done = [(key, outcome.bytes) for key, outcome in outcomes.items() if isinstance(outcome, UUID)]
        if done:
            await record_many(tx, done)
        if len(done) < len(outcomes):  # refused, so it leaves no row and its repeat is judged anew
            await forget_many(
                tx, [key for key, outcome in outcomes.items() if isinstance(outcome, Exception)]
            )
        return outcomes

    def _enter(self, desk: _Desk, reported: Reported) -> UUID:
        current, sequence = desk.standing[reported.delivery_id]
        check_status(current, reported.status)
        handling = Handling(
            handling_id=reported.handling_id,
            delivery_id=reported.delivery_id,
            status=reported.status,
            sequence=sequence + 1,
            previous=current,
            actor=reported.actor,
            reason=reported.reason,
            own_number=reported.own_number,
            act_time=self._clock.now(),
            traceparent=reported.traceparent,
        )
        desk.handlings.append(handling)
        desk.standing[reported.delivery_id] = handling.status, handling.sequence
        return handling.handling_id


class _Desk:
    """The locked deliveries of one transaction, and what is decided about them so far."""

    def __init__(self, deliveries: dict[UUID, Record]) -> None:
        self._deliveries = deliveries
        self.standing = {i: (Status(row["status"]), int(row["sequence"])) for i, row in deliveries.items()}
        self.handlings: list[Handling] = []

    async def known(self, tx: Transaction, reported: Reported) -> UUID | None:
        """The same status again under another id: late or repeated, so idempotent."""
        delivery = self._deliveries.get(reported.delivery_id)
        if delivery is None:
            raise NotFound(
                "DELIVERY_UNKNOWN",
                "no such delivery",
                field="delivery_id",
                delivery_id=reported.delivery_id,
            )
        if delivery["recipient"] != reported.organization:
            raise PermissionDenied(
                "DELIVERY_FOREIGN", "the delivery is another organization's", field="delivery_id"
            )
        if self.standing[reported.delivery_id][0] != reported.status:
            return None
        for made in self.handlings:
            if (made.delivery_id, made.status) == (reported.delivery_id, reported.status):
                return made.handling_id
        before = await store.handling_of_status(tx, reported.delivery_id, reported.status)
        return before.handling_id if before is not None else None

    def work(self, handling: Handling) -> Item:
        """The queue item that makes the receipt."""
        document = Document.FromString(self._deliveries[handling.delivery_id]["document"])
        return Item(
            handling.handling_id,
            HANDLING,
            handling.handling_id.bytes,
            priority=priority(document.urgency),
            traceparent=handling.traceparent,
        )
