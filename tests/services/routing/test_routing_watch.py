"""List and Watch with one cursor: the same rows in the same order, none lost, none twice, while many come."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from lienthong.errors import InvalidArgument
from lienthong.routing.v1 import inbox_pb2, inbox_pb2_grpc
from lienthong.rpc.calls import DomainChannel

from tests.services.routing.inboxes import receipts_of
from tests.services.routing.papers import CLERK, FIFTH, SIXTH, SIXTH_SOFTWARE, Papers, send
from tests.services.routing.refusing import refused
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Rows, twenty transactions at a time.
COUNT = 200


async def deliver(site: Site, envelope_id: str, delay: float) -> None:
    """A transaction that stays open for a while after its row has its place in the sequence."""
    connection = await asyncpg.connect(site.urls["routing"])
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO delivery (delivery_id, envelope_id, recipient, sender, document, verdicts,"
                " status, sequence, traceparent, arrive_time)"
                " SELECT gen_random_uuid(), $1::uuid, $2, 'G22', '', '{}', '01', 1, '', now()",
                envelope_id,
                SIXTH,
            )
            await asyncio.sleep(delay)
    finally:
        await connection.close()


async def listed(channel: DomainChannel, until: Callable[[], bool]) -> list[str]:
    stub = inbox_pb2_grpc.InboxServiceStub(channel)
    found: list[str] = []
    cursor = ""
    while True:
        last = until()
        page = await stub.ListInbox(inbox_pb2.ListInboxRequest(page_size=7, cursor=cursor))
        found += [delivery.delivery_id for delivery in page.deliveries]
        cursor = page.next_cursor
        if last and not page.deliveries:
            return found


async def taken(stream: AsyncGenerator[Any, None], count: int) -> list[Any]:
    async with asyncio.timeout(30):
        found = []
        async for item in stream:
            found.append(item)
            if len(found) == count:
                break
    await stream.aclose()
    return found


async def test_list_and_watch_lose_nothing_while_transactions_commit_out_of_order(
    site: Site, papers: Papers
) -> None:
    await send(site, papers, [SIXTH])
    async with asyncio.timeout(20):
        while await site.count("routing", "delivery") < 1:
            await asyncio.sleep(0.05)
    # Envelopes to hang the rows on: a delivery is unique by envelope and recipient.
    envelopes = [f"00000000-0000-7000-8000-{number:012x}" for number in range(COUNT)]
    await site.rows(
        "routing",
        "INSERT INTO envelope (envelope_id, sender, urgency, expire_time, signed, is_held)"
        " SELECT id, 'G22', 1, now(), '', false FROM unnest($1::uuid[]) AS new(id)",
        envelopes,
    )
    done = asyncio.Event()
    watching = asyncio.create_task(taken(site.agency(SIXTH_SOFTWARE).inbox.watch(), COUNT + 1))
    listing = asyncio.create_task(listed(site.channel(SIXTH_SOFTWARE), done.is_set))
    turns = itertools.cycle((0.15, 0.0, 0.05, 0.0))
    for start in range(0, COUNT, 20):
        batch = envelopes[start : start + 20]
        await asyncio.gather(*(deliver(site, e, next(turns)) for e in batch))
    done.set()
    in_list, in_watch = await listing, [d.delivery_id for d in await watching]
    rows = await site.rows("routing", "SELECT delivery_id FROM delivery WHERE recipient = $1", SIXTH)
    assert sorted(in_list) == sorted(str(row["delivery_id"]) for row in rows)
    assert in_list == in_watch, "the same order for both"


async def test_a_cursor_of_one_serves_the_other(site: Site, papers: Papers) -> None:
    clerk = site.agency(CLERK)
    sent = [await send(site, papers, [FIFTH]) for _ in range(3)]
    for submission in sent:
        await receipts_of(clerk, submission.document.document_id, 1)
    everything = await taken(clerk.watch_receipts(), len(await clerk.all_receipts()))
    page, _ = await clerk.receipts()
    assert [r.receipt.receipt_id for r in page] == [r.receipt.receipt_id for r in everything]
    assert [r.cursor for r in page] == [r.cursor for r in everything]
    middle = everything[0].cursor
    behind, _ = await clerk.receipts(middle)
    assert [r.receipt.receipt_id for r in behind] == [r.receipt.receipt_id for r in everything[1:]]
    watched = await taken(clerk.watch_receipts(middle), len(everything) - 1)
    assert watched == everything[1:]


async def test_a_watch_wakes_up_for_what_comes_later(site: Site, papers: Papers) -> None:
    agency = site.agency(f"org/{FIFTH}/client/qlvb")
    _, cursor = await agency.inbox.list()
    while (await agency.inbox.list(cursor))[0]:
        _, cursor = await agency.inbox.list(cursor)
    waiting: Awaitable[list[Any]] = asyncio.create_task(taken(agency.inbox.watch(cursor), 1))
    sent = await send(site, papers, [FIFTH])
    [delivery] = await waiting
    assert delivery.document.document_id == sent.document.document_id


@pytest.mark.parametrize("cursor", ["17", "AAAA", "a b", "ÿ"])
async def test_cursors_of_nobody(site: Site, cursor: str) -> None:
    stub = inbox_pb2_grpc.InboxServiceStub(site.channel(SIXTH_SOFTWARE))
    call = stub.ListInbox(inbox_pb2.ListInboxRequest(cursor=cursor))
    await refused(call, InvalidArgument, "CURSOR_INVALID", "cursor")
