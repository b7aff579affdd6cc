"""The main job on one node: both ways in, the inbox, arrival numbers, receipts back at the sender."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lienthong.client import ANNEX, MAIN
from lienthong.client.registers import INCOMING, OUTGOING
from lienthong.registry.v1 import register_pb2
from lienthong.routing.v1 import submission_pb2
from lienthong.types.v1 import document_pb2

from tests.services.routing.inboxes import delivery_of, receipts_of
from tests.services.routing.papers import (
    CLERK,
    FIFTH,
    HERE,
    OWN_SOFTWARE,
    SENDER,
    SIXTH,
    Papers,
    document,
    issued,
    send,
    this_year,
)
from tests.support import ooxml
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERED = document_pb2.TRANSPORT_OUTCOME_DELIVERED


async def test_issued_here_delivered_accepted_and_told_to_the_sender(
    site: Site, papers: Papers, folder: Path
) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    annex = await clerk.attach(ooxml.docx(folder / "phu-luc.docx"), ANNEX)
    taken = await clerk.submit(document(main, annex), [FIFTH, SIXTH], HERE)
    sent = await clerk.wait_issued(taken.submission_id)
    assert (sent.document.number, sent.document.notation) == (1, "VPM-TH")
    assert sent.document.attachments[0].sha256 != main.sha256, "the sealed file is another one"

    agency, delivery_id = await delivery_of(site, FIFTH, sent.document.document_id)
    fetched = await agency.inbox.fetch(delivery_id, folder / "inbox")
    assert fetched.document == sent.document
    assert [v.verdict for v in fetched.delivery.verdicts] == [document_pb2.VERDICT_VALID] * 2
    assert [v.level for v in fetched.delivery.verdicts] == ["B-T", "B-T"]
    for path in fetched.files.values():
        assert (await agency.signing.validate(path)).verdict == document_pb2.VERDICT_VALID

    receipt = await agency.inbox.accept(delivery_id, actor="Văn thư Mẫu")
    assert (receipt.status, receipt.arrival_number, receipt.actor) == ("03", 1, "Văn thư Mẫu")
    found = await receipts_of(clerk, sent.document.document_id, 3)
    arrived = [r for r in found if r.status == "01"]
    assert {r.recipient for r in arrived} == {FIFTH, SIXTH}
    assert all(r.outcome == DELIVERED and r.hops[0].node == SENDER for r in arrived)
    assert [r for r in found if r.status == "03"] == [receipt]
    state = {r.organization: r for r in (await clerk.submission(taken.submission_id)).recipients}
    assert (state[FIFTH].status, state[FIFTH].arrival_number, state[FIFTH].outcome) == ("03", 1, DELIVERED)
    assert (state[SIXTH].status, state[SIXTH].arrival_number) == ("01", 0)


async def test_the_outgoing_entry_is_marked_issued(site: Site, papers: Papers) -> None:
    sent = await send(site, papers, [SIXTH])
    registers = site.agency(CLERK).registers
    book = registers.book(OUTGOING, this_year())

    async def ask() -> register_pb2.Entry | None:
        entries = [e async for e in registers.entries(book) if e.number == sent.document.number]
        done = [e for e in entries if e.state == register_pb2.ENTRY_STATE_ISSUED]
        return done[0] if done else None

    entry = await site.connection(CLERK).wait_until(ask, 20.0)
    assert entry is not None
    assert entry.description.document_id == sent.document.document_id
    checked = await registers.check(book)
    assert (list(checked.missing), checked.chain_intact) == ([], True)


async def test_already_issued_keeps_its_bytes_and_is_external_in_the_register(
    site: Site, papers: Papers
) -> None:
    own = site.agency(OWN_SOFTWARE)
    main = await own.attach(await papers.sealed(site), MAIN)
    taken = await own.submit(document(main, organization=FIFTH), [SENDER], issued(41))
    sent = await own.wait_issued(taken.submission_id)
    assert (sent.document.number, sent.document.issued_date) == (41, "2026-02-05")
    assert sent.document.attachments[0].sha256 == main.sha256
    book = own.registers.book(OUTGOING, 2026)
    entries = [e async for e in own.registers.entries(book)]
    assert [(e.number, e.state) for e in entries] == [(41, register_pb2.ENTRY_STATE_EXTERNAL)]
    agency, delivery_id = await delivery_of(site, SENDER, sent.document.document_id)
    receipt = await agency.inbox.accept(delivery_id)
    assert receipt.arrival_number == 1
    incoming = [e async for e in agency.registers.entries(agency.registers.book(INCOMING, this_year()))]
    assert [(e.number, e.description.code) for e in incoming] == [(1, "41/VM-BC")]


async def test_fifty_repeats_at_once_are_one_document_with_one_number(site: Site, papers: Papers) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    request_id = clerk.inbox._connection.new_id()
    wanted = document(main, subject="Năm mươi lần MẪU")
    before = await site.count("routing", "submission")
    answers = await asyncio.gather(
        *(clerk.submit(wanted, [SIXTH], HERE, request_id=request_id) for _ in range(50))
    )
    assert len({a.submission_id for a in answers}) == 1
    sent = await clerk.wait_issued(answers[0].submission_id)
    assert await site.count("routing", "submission") == before + 1
    rows = await site.rows("routing", "SELECT number FROM submission WHERE number = $1", sent.document.number)
    assert len(rows) == 1
    agency, _ = await delivery_of(site, SIXTH, sent.document.document_id)
    assert [d.document.subject for d in await agency.inbox.all()].count("Năm mươi lần MẪU") == 1


async def test_submissions_are_found_by_both_ids_and_page_by_page(site: Site, papers: Papers) -> None:
    sent = [await send(site, papers, [SIXTH]) for _ in range(2)]
    clerk = site.agency(CLERK)
    found = await clerk.submission(document_id=sent[0].document.document_id)
    assert found.submission_id == sent[0].submission_id
    stub = clerk._submissions
    pages: list[str] = []
    token = ""
    while True:
        request = submission_pb2.ListSubmissionsRequest(page_size=2, page_token=token)
        page = await stub.ListSubmissions(request)
        assert len(page.submissions) <= 2
        pages += [s.submission_id for s in page.submissions]
        token = page.next_page_token
        if not token:
            break
    assert pages == sorted(set(pages), reverse=True), "newest first, none twice"
    assert {s.submission_id for s in sent} < set(pages)


async def test_nobody_sees_the_submissions_and_deliveries_of_others(site: Site, papers: Papers) -> None:
    sent = await send(site, papers, [SIXTH])
    other = site.agency(OWN_SOFTWARE)
    assert sent.submission_id not in {s.submission_id for s in (await other.submissions())[0]}
    assert not await other.all_receipts(sent.document.document_id)
    assert sent.document.document_id not in {d.document.document_id for d in await other.inbox.all()}


async def test_confirmed_is_confirmed_once_and_for_all(site: Site, papers: Papers) -> None:
    sent = await send(site, papers, [SIXTH])
    agency, delivery_id = await delivery_of(site, SIXTH, sent.document.document_id)
    request_id = agency.inbox._connection.new_id()
    await agency.inbox.confirm(delivery_id, request_id=request_id)
    [first] = await site.rows(
        "routing", "SELECT fetch_time FROM delivery WHERE delivery_id = $1", delivery_id
    )
    await agency.inbox.confirm(delivery_id, request_id=request_id)
    await agency.inbox.confirm(delivery_id)
    [again] = await site.rows(
        "routing", "SELECT fetch_time FROM delivery WHERE delivery_id = $1", delivery_id
    )
    assert first["fetch_time"] == again["fetch_time"]
    assert [d.fetched for d in await agency.inbox.all() if d.delivery_id == delivery_id] == [True]
