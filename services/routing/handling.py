"""How recipients handle deliveries: a status is a durable intent, then a receipt signed by the organization.

ReportStatus commits the intent; a worker takes the arrival number (for 03), signs the receipt and commits
it with the transfer to the sender. Killed in between, the worker goes on: the number's request id follows
from the delivery, so that one delivery has one arrival number. Statuses of one moment share the call of the
register, the signature of their organization and the commit; where that fails, each is tried alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lienthong import queue
from lienthong.db import Record
from lienthong.errors import (
    AlreadyExists,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
)
from lienthong.events import NewEvent, append
from lienthong.idempotency import Request, content_hash
from lienthong.ids import parse_id, sub_id
from lienthong.notation import printed_code
from lienthong.queue import Claim, LeaseLost
from lienthong.registry.v1 import register_pb2
from lienthong.routing.v1 import inbox_pb2, queue_pb2
from lienthong.rpc.identity import Caller
from lienthong.telemetry import current_traceparent, span_from
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2

from services.routing import delivery_store as store
from services.routing.delivery_store import Handling
from services.routing.dispatch import Dispatch, Parcel
from services.routing.domain import (
    STATUS_REASON_LETTERS,
    Document,
    Status,
    parse_status,
)
from services.routing.issuing import EVENT
from services.routing.receipts import ReceiptMaker
from services.routing.station import Station
from services.routing.statuses import Reported, Statuses

if TYPE_CHECKING:
    from lienthong.registry.v1.register_pb2_grpc import RegisterServiceAsyncStub

_WAIT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """A status to be made a receipt of, and what it is about."""

    claim: Claim
    handling: Handling
    delivery: Record
    document: Document

    @property
    def is_open(self) -> bool:
        """Whether that was not done before: then only the claim is left to end."""
        return self.handling.receipt is None and not self.handling.failure


class HandlingDesk:
    """Takes statuses from recipients and sends receipts to senders."""

    def __init__(
        self, station: Station, registers: RegisterServiceAsyncStub, dispatch: Dispatch, maker: ReceiptMaker
    ) -> None:
        self._db = station.db
        self._statuses = Statuses(station)
        self._registers = registers
        self._dispatch = dispatch
        self._maker = maker
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id
        self._checkpoint = station.checkpoint

    async def report(self, request: inbox_pb2.ReportStatusRequest, caller: Caller) -> document_pb2.Receipt:
        """Commit the intent, then wait for its receipt."""
        request_id = parse_id(request.request_id, "request_id")
        delivery_id = parse_id(request.delivery_id, "delivery_id")
        status = parse_status(request.status)
        _check_words(request, status)
        reported = Reported(
            handling_id=self._new_id(),
            request=Request(caller.organization, request_id, content_hash(request)),
            organization=caller.organization,
            delivery_id=delivery_id,
            status=status,
            actor=request.actor or caller.name,
            reason=request.reason,
            own_number=request.own_arrival_number,
            traceparent=current_traceparent(),
        )
        seen = self._wakeups.generation(f"handling/{reported.handling_id}")
        handling_id = await self._statuses.commit(reported)
        if handling_id == reported.handling_id:  # new: there is nothing to read before the worker is done
            await self._wakeups.wait(f"handling/{handling_id}", seen, _POLL_SECONDS)
        return await self._wait(handling_id)

    async def _wait(self, handling_id: UUID) -> document_pb2.Receipt:
        name = f"handling/{handling_id}"
        deadline = self._clock.monotonic() + _WAIT_SECONDS
        while True:
            seen = self._wakeups.generation(name)
            handling = await self._statuses.get(handling_id)
            if handling.receipt is not None:
                return document_pb2.Receipt.FromString(handling.receipt)
            if handling.failure:
                raise _failure(handling)
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise Unavailable(
                    "STATUS_PENDING",
                    "the status is recorded, its receipt is still being made",
                    retry_after=2.0,
                )
            await self._wakeups.wait(name, seen, min(left, _POLL_SECONDS))

    async def work(self, claims: list[Claim]) -> None:
        """Work of the handling queue, all in one commit. What fails together is then tried one by one."""
        cases = await self._cases(claims)
        first = cases[0].handling
        others = [case.handling.traceparent for case in cases[1:]]
        try:
            with span_from(first.traceparent, f"report status {first.status}", links=others):
                await self._checkpoint("handling.before")
                arrivals = await self._numbers(cases)
                await self._checkpoint("handling.numbered")
                await self._commit(cases, arrivals)
        except (AlreadyExists, InvalidArgument, FailedPrecondition) as error:
            if len(cases) > 1:
                raise  # which of them it is true of is seen when each is alone
            async with self._db.transaction() as tx:
                await queue.finish(tx, claims)
                await store.fail_handling(tx, first, error.reason)
        await self._checkpoint("handling.after")
        for case in cases:
            self._wakeups.notify(f"handling/{case.handling.handling_id}")

    async def _cases(self, claims: Sequence[Claim]) -> list[Case]:
        handlings = await store.find_handlings(self._db, [UUID(bytes=claim.payload) for claim in claims])
        deliveries = await store.find_many(self._db, {h.delivery_id for h in handlings.values()})
        cases: list[Case] = []
        for claim in claims:
            handling = handlings[UUID(bytes=claim.payload)]
            delivery = deliveries[handling.delivery_id]
            cases.append(Case(claim, handling, delivery, Document.FromString(delivery["document"])))
        return cases

    async def _numbers(self, cases: Sequence[Case]) -> dict[UUID, register_pb2.RecordedArrival]:
        """Acceptance takes the arrival number; other statuses take none. All in one call of the register."""
        accepted = [case for case in cases if case.is_open and case.handling.status is Status.ACCEPTED]
        if not accepted:
            return {}
        request = register_pb2.RecordArrivalsRequest(arrivals=[_arrival(case) for case in accepted])
        recorded = (await self._registers.RecordArrivals(request)).arrivals
        return {c.handling.handling_id: arrival for c, arrival in zip(accepted, recorded, strict=True)}

    async def _commit(
        self, cases: Sequence[Case], arrivals: Mapping[UUID, register_pb2.RecordedArrival]
    ) -> None:
        receipts = {
            case.handling.handling_id: self._receipt(case, arrivals.get(case.handling.handling_id))
            for case in cases
            if case.is_open
        }
        parcels = await self._parcels([case for case in cases if case.is_open], receipts)
        await self._checkpoint("handling.signed")
        async with self._db.transaction() as tx:
            await queue.finish(tx, [case.claim for case in cases])
            if await store.finish_handlings(tx, receipts) < len(receipts):
                raise LeaseLost("LEASE_LOST", "another worker made one of these receipts")
            await self._dispatch.commit(tx, parcels)
            await append(
                tx, [self._event(c.handling, receipts[c.handling.handling_id]) for c in cases if c.is_open]
            )
            self._wakeups.notify_after(tx, EVENT)

    def _receipt(self, case: Case, arrival: register_pb2.RecordedArrival | None) -> document_pb2.Receipt:
        handling, delivery = case.handling, case.delivery
        receipt = self._maker.receipt(
            delivery["envelope_id"],
            case.document.document_id,
            delivery["recipient"],
            handling.status,
            handling.sequence,
        )
        receipt.act_time.CopyFrom(to_timestamp(handling.act_time))
        receipt.actor = handling.actor
        receipt.reason = handling.reason
        if arrival is not None:
            receipt.arrival_number = arrival.number
            receipt.arrival_date = arrival.arrival_date
        return receipt

    async def _parcels(
        self, cases: Sequence[Case], receipts: Mapping[UUID, document_pb2.Receipt]
    ) -> list[Parcel]:
        """One envelope, so one signature, for each organization that says something to another."""
        said: defaultdict[str, defaultdict[str, list[document_pb2.Receipt]]]
        said = defaultdict(lambda: defaultdict(list))
        for case in cases:
            delivery = case.delivery
            said[delivery["recipient"]][delivery["sender"]].append(receipts[case.handling.handling_id])
        urgency = max((case.document.urgency for case in cases), default=0)
        parcels: list[Parcel] = []
        for organization, by_sender in sorted(said.items()):
            parcels += await self._maker.parcels(by_sender, organization=organization, urgency=urgency)
        return parcels

    def _event(self, handling: Handling, receipt: document_pb2.Receipt) -> NewEvent:
        event = queue_pb2.HandledEvent(delivery_id=str(handling.delivery_id), receipt=receipt)
        return NewEvent(
            self._new_id(),
            "routing.handled",
            str(handling.delivery_id),
            event.SerializeToString(),
            handling.traceparent,
        )


def _arrival(case: Case) -> register_pb2.Arrival:
    document, delivery = case.document, case.delivery
    return register_pb2.Arrival(
        request_id=str(sub_id(delivery["delivery_id"], "arrival")),
        organization=delivery["recipient"],
        envelope_id=str(delivery["envelope_id"]),
        own_number=case.handling.own_number,
        description=register_pb2.Description(
            document_id=document.document_id,
            type_name=document.type_name,
            subject=document.subject,
            signer=document.signer_name,
            author=document.organization,
            code=printed_code(document.number, document.notation),
            issued_date=document.issued_date,
        ),
    )


def _check_words(request: inbox_pb2.ReportStatusRequest, status: Status) -> None:
    if status is Status.REFUSED and not request.reason.strip():
        raise InvalidArgument("REASON_MISSING", "a refusal states its reason", field="reason")
    for field, text, limit in (
        ("reason", request.reason, STATUS_REASON_LETTERS),
        ("actor", request.actor, 100),
    ):
        if len(text) > limit:
            raise InvalidArgument(
                "FIELD_TOO_LONG", f"{field} has at most {limit} characters", field=field, limit=limit
            )
    if request.own_arrival_number < 0:
        raise InvalidArgument("NUMBER_INVALID", "a number counts from 1", field="own_arrival_number")


def _failure(handling: Handling) -> DomainError:
    if handling.failure == "NUMBER_TAKEN":
        return AlreadyExists(
            "NUMBER_TAKEN", "the arrival number is used for another document", field="own_arrival_number"
        )
    return FailedPrecondition(handling.failure, "the status could not be recorded")
