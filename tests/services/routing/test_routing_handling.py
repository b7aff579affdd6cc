"""Statuses: forward only, by the recipient alone, once however often they are reported."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from lienthong.client import Agency
from lienthong.client.registers import INCOMING
from lienthong.errors import (
    AlreadyExists,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from lienthong.routing.v1 import inbox_pb2, inbox_pb2_grpc
from lienthong.types.v1 import document_pb2

from tests.services.routing.inboxes import delivery_of, receipts_of
from tests.services.routing.papers import (
    CLERK,
    FIFTH,
    OWN_SOFTWARE,
    SIXTH,
    SIXTH_SOFTWARE,
    Papers,
    send,
    this_year,
)
from tests.services.routing.refusing import nothing_written, refused
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAYS = {
    "01": [],
    "02": ["02"],
    "03": ["03"],
    "04": ["03", "04"],
    "05": ["03", "05"],
    "06": ["03", "06"],
}
FOLLOWING = {"01": "02 03", "02": "", "03": "04 05 06", "04": "05 06", "05": "06", "06": ""}
FORBIDDEN = [
    (current, wanted)
    for current, after in FOLLOWING.items()
    for wanted in ("02", "03", "04", "05", "06")
    if wanted not in after.split() and wanted != current
]


async def delivered(site: Site, papers: Papers, organization: str = SIXTH) -> tuple[Agency, str, str]:
    """A fresh delivery: the recipient's client, the delivery, the document."""
    sent = await send(site, papers, [organization])
    agency, delivery_id = await delivery_of(site, organization, sent.document.document_id)
    return agency, delivery_id, sent.document.document_id


async def report(site: Site, who: str, **fields: object) -> document_pb2.Receipt:
    """ReportStatus as it is, without an SDK between."""
    facts = {"request_id": str(uuid.uuid4()), **fields}
    stub = inbox_pb2_grpc.InboxServiceStub(site.channel(who))
    return (await stub.ReportStatus(inbox_pb2.ReportStatusRequest(**facts))).receipt  # type: ignore[arg-type]


async def test_the_whole_way_is_numbered_by_the_recipient_and_reaches_the_sender(
    site: Site, papers: Papers
) -> None:
    agency, delivery_id, document_id = await delivered(site, papers)
    made = [await agency.inbox.accept(delivery_id, actor="Văn thư Mẫu")]
    made += [await step(delivery_id) for step in (agency.inbox.assign, agency.inbox.process)]
    made += [await agency.inbox.complete(delivery_id)]
    assert [(r.status, r.sequence) for r in made] == [("03", 2), ("04", 3), ("05", 4), ("06", 5)]
    assert [r.arrival_number > 0 for r in made] == [True, False, False, False]
    clerk = site.agency(CLERK)
    found = await receipts_of(clerk, document_id, 5)
    assert sorted(r.status for r in found) == ["01", "03", "04", "05", "06"]
    [state] = (await clerk.submission(document_id=document_id)).recipients
    assert (state.status, state.arrival_number) == ("06", made[0].arrival_number)


async def test_a_refusal_takes_no_number_and_tells_its_reason(site: Site, papers: Papers) -> None:
    agency, delivery_id, document_id = await delivered(site, papers)
    book = agency.registers.book(INCOMING, this_year())
    before = [e.number async for e in agency.registers.entries(book)]
    receipt = await agency.inbox.refuse(delivery_id, "Gửi nhầm nơi nhận (MẪU)")
    assert (receipt.status, receipt.arrival_number) == ("02", 0)
    assert [e.number async for e in agency.registers.entries(book)] == before
    clerk = site.agency(CLERK)
    await receipts_of(clerk, document_id, 2)
    [state] = (await clerk.submission(document_id=document_id)).recipients
    assert (state.status, state.reason) == ("02", "Gửi nhầm nơi nhận (MẪU)")
    assert state.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED, "a refusal is no failure of transport"


@pytest.mark.parametrize("current", FOLLOWING)
async def test_forbidden_moves(site: Site, papers: Papers, current: str) -> None:
    agency, delivery_id, _ = await delivered(site, papers)
    for status in WAYS[current]:
        await agency.inbox.report(delivery_id, status, reason="MẪU")
    for wanted in [wanted for before, wanted in FORBIDDEN if before == current]:
        reason = "STATUS_BACKWARDS" if FOLLOWING[current] else "STATUS_FINAL"
        async with nothing_written(site):
            call = report(site, SIXTH_SOFTWARE, delivery_id=delivery_id, status=wanted, reason="MẪU")
            error = await refused(call, FailedPrecondition, reason, "status")
        assert (error.metadata["current"], error.metadata["status"]) == (current, wanted)


async def test_the_same_status_again_is_the_same_receipt(site: Site, papers: Papers) -> None:
    agency, delivery_id, document_id = await delivered(site, papers)
    answers = await asyncio.gather(*(agency.inbox.accept(delivery_id) for _ in range(10)))
    assert len({receipt.receipt_id for receipt in answers}) == 1
    request_id = uuid.uuid4()
    first = await agency.inbox.report(delivery_id, "04", request_id=request_id)
    assert await agency.inbox.report(delivery_id, "04", request_id=request_id) == first
    await receipts_of(site.agency(CLERK), document_id, 3)


async def test_a_request_id_of_another_status_is_refused(site: Site, papers: Papers) -> None:
    agency, delivery_id, _ = await delivered(site, papers)
    request_id = str(uuid.uuid4())
    await agency.inbox.report(delivery_id, "03", request_id=uuid.UUID(request_id))
    call = report(site, SIXTH_SOFTWARE, request_id=request_id, delivery_id=delivery_id, status="04")
    async with nothing_written(site):
        await refused(call, AlreadyExists, "REQUEST_ID_REUSED")


async def test_nobody_reports_for_another(site: Site, papers: Papers) -> None:
    agency, delivery_id, _ = await delivered(site, papers)
    for who in (OWN_SOFTWARE, CLERK):
        async with nothing_written(site):
            call = report(site, who, delivery_id=delivery_id, status="03")
            await refused(call, PermissionDenied, "DELIVERY_FOREIGN", "delivery_id")
        stub = inbox_pb2_grpc.InboxServiceStub(site.channel(who))
        fetch = stub.FetchDelivery(inbox_pb2.FetchDeliveryRequest(delivery_id=delivery_id))
        await refused(fetch, NotFound, "DELIVERY_UNKNOWN", "delivery_id")
        confirm = inbox_pb2.ConfirmFetchedRequest(request_id=str(uuid.uuid4()), delivery_ids=[delivery_id])
        async with nothing_written(site):
            await refused(stub.ConfirmFetched(confirm), NotFound, "DELIVERY_UNKNOWN", "delivery_ids")
    assert not (await agency.inbox.accept(delivery_id)).reason


@pytest.mark.parametrize(
    ("fields", "kind", "reason", "field"),
    [
        ({"status": "01"}, InvalidArgument, "STATUS_UNKNOWN", "status"),
        ({"status": "07"}, InvalidArgument, "STATUS_UNKNOWN", "status"),
        ({"status": ""}, InvalidArgument, "STATUS_UNKNOWN", "status"),
        ({"status": "02"}, InvalidArgument, "REASON_MISSING", "reason"),
        ({"status": "02", "reason": "  "}, InvalidArgument, "REASON_MISSING", "reason"),
        ({"status": "02", "reason": "ề" * 501}, InvalidArgument, "FIELD_TOO_LONG", "reason"),
        ({"status": "03", "actor": "x" * 101}, InvalidArgument, "FIELD_TOO_LONG", "actor"),
        (
            {"status": "03", "own_arrival_number": -1},
            InvalidArgument,
            "NUMBER_INVALID",
            "own_arrival_number",
        ),
        ({"status": "03", "delivery_id": "x"}, InvalidArgument, "ID_MALFORMED", "delivery_id"),
        ({"status": "03", "request_id": "x"}, InvalidArgument, "ID_MALFORMED", "request_id"),
        ({"status": "03", "delivery_id": str(uuid.uuid4())}, NotFound, "DELIVERY_UNKNOWN", "delivery_id"),
    ],
)
async def test_bad_reports(
    site: Site, papers: Papers, fields: dict[str, object], kind: type[DomainError], reason: str, field: str
) -> None:
    _, delivery_id, _ = await one_delivery(site, papers)
    async with nothing_written(site):
        call = report(site, SIXTH_SOFTWARE, **{"delivery_id": delivery_id, **fields})
        await refused(call, kind, reason, field)


_ONE: dict[str, tuple[Agency, str, str]] = {}


async def one_delivery(site: Site, papers: Papers) -> tuple[Agency, str, str]:
    """One delivery at 01 for all the reports that change nothing."""
    if site.address not in _ONE:
        _ONE[site.address] = await delivered(site, papers)
    return _ONE[site.address]


async def test_own_arrival_numbers_and_one_that_is_taken(site: Site, papers: Papers) -> None:
    agency, first, _ = await delivered(site, papers, FIFTH)
    assert (await agency.inbox.accept(first, own_number=700)).arrival_number == 700
    agency, second, _ = await delivered(site, papers, FIFTH)
    call = report(site, OWN_SOFTWARE, delivery_id=second, status="03", own_arrival_number=700)
    await refused(call, AlreadyExists, "NUMBER_TAKEN", "own_arrival_number")
    [state] = [d for d in await agency.inbox.all() if d.delivery_id == second]
    assert (state.status, state.arrival_number) == ("01", 0), "it stands where it stood"
    receipt = await agency.inbox.accept(second, own_number=701)
    assert (receipt.arrival_number, receipt.status) == (701, "03")


@asynccontextmanager
async def gathering(site: Site) -> AsyncIterator[None]:
    """What is reported meanwhile becomes durable together, when this ends."""
    blocker = await asyncpg.connect(site.urls["routing"])
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE handling IN EXCLUSIVE MODE")
            yield
            await asyncio.sleep(0.5)
    finally:
        await blocker.close()


async def test_statuses_of_one_moment_share_an_envelope(site: Site, papers: Papers) -> None:
    deliveries = [await delivered(site, papers) for _ in range(8)]
    await receipts_of(site.agency(CLERK), deliveries[-1][2], 1)
    before = await site.count("routing", "envelope")
    async with gathering(site):
        calls = [asyncio.create_task(agency.inbox.accept(i)) for agency, i, _ in deliveries]
    made = await asyncio.gather(*calls)
    assert [receipt.status for receipt in made] == ["03"] * 8
    assert len({receipt.arrival_number for receipt in made}) == 8
    for _, _, document_id in deliveries:
        await receipts_of(site.agency(CLERK), document_id, 2)
    assert await site.count("routing", "envelope") - before < 8


async def test_of_statuses_of_one_moment_one_that_cannot_be_done_harms_no_other(
    site: Site, papers: Papers
) -> None:
    agency, first, _ = await delivered(site, papers, FIFTH)
    await agency.inbox.accept(first, own_number=800)
    deliveries = [(await delivered(site, papers, FIFTH))[1] for _ in range(5)]
    async with gathering(site):
        calls = [
            asyncio.create_task(agency.inbox.accept(delivery_id, own_number=number))
            for delivery_id, number in zip(deliveries, (801, 802, 800, 803, 804), strict=True)
        ]
    made = await asyncio.gather(*calls, return_exceptions=True)
    assert [r.arrival_number for r in made if isinstance(r, document_pb2.Receipt)] == [801, 802, 803, 804]
    assert isinstance(made[2], AlreadyExists)
    assert made[2].reason == "NUMBER_TAKEN"


async def test_of_statuses_of_one_moment_one_that_is_refused_leaves_nothing(
    site: Site, papers: Papers
) -> None:
    agency, good, _ = await delivered(site, papers)
    request_id = uuid.uuid4()
    async with gathering(site):
        calls = [
            asyncio.create_task(call)
            for call in (
                agency.inbox.accept(good),
                agency.inbox.report(good, "03", request_id=request_id),
                agency.inbox.report(good, "03", request_id=request_id),
                agency.inbox.accept(str(uuid.uuid4())),
            )
        ]
    accepted, again, repeated, unknown = await asyncio.gather(*calls, return_exceptions=True)
    assert accepted == again == repeated
    assert isinstance(unknown, NotFound)
    assert unknown.reason == "DELIVERY_UNKNOWN"


async def test_confirming_too_many_or_twice_with_other_content(site: Site, papers: Papers) -> None:
    _, delivery_id, _ = await delivered(site, papers)
    stub = inbox_pb2_grpc.InboxServiceStub(site.channel(SIXTH_SOFTWARE))
    request_id = str(uuid.uuid4())

    def confirm(*ids: str) -> inbox_pb2.ConfirmFetchedRequest:
        return inbox_pb2.ConfirmFetchedRequest(request_id=request_id, delivery_ids=ids)

    too_many = confirm(*[delivery_id] * 501)
    await refused(stub.ConfirmFetched(too_many), InvalidArgument, "TOO_MANY_ITEMS", "delivery_ids")
    await refused(stub.ConfirmFetched(confirm("x")), InvalidArgument, "ID_MALFORMED", "delivery_ids")
    await stub.ConfirmFetched(confirm(delivery_id))
    async with nothing_written(site):
        await refused(stub.ConfirmFetched(confirm()), AlreadyExists, "REQUEST_ID_REUSED")
