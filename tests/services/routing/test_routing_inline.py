"""Attachments inside the request: stored as if uploaded, judged like any other, refused by field."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from lienthong.client import ANNEX, MAIN
from lienthong.client.bulk import describe, submit_all
from lienthong.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from lienthong.ids import new_id

from services.routing.inline import MAX_BYTES
from tests.services.routing.bench import Bench, Request
from tests.services.routing.inboxes import delivery_of
from tests.services.routing.papers import (
    FIFTH,
    HERE,
    OWN_SOFTWARE,
    SIXTH,
    Papers,
    client_of,
    document,
    issued,
    padded,
)
from tests.services.routing.refusing import nothing_written, refused
from tests.support import ooxml
from tests.support.documents import letter
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def bench(site: Site, papers: Papers, folder: Path) -> Bench:
    return Bench(site, papers, folder)


async def sealed(bench: Bench, number: int) -> Request:
    """A document whose MAIN is in the request and nowhere else."""
    path = await bench.papers.sealed(bench.site)
    content = path.read_bytes()
    main = describe(path, content, MAIN)
    made = await bench.request(main, issue=issued(number), organization=FIFTH, document_id=str(new_id()))
    made.inline_contents.append(content)
    return made


async def test_what_goes_along_is_refused_by_name_and_nothing_is_done(bench: Bench, site: Site) -> None:
    """First, while the file is in no storage: what is refused by the request alone stores nothing."""
    blobs = await site.count("storage", "blob")
    large = await sealed(bench, 1)
    large.inline_contents.append(bytes(1024 * 1024))
    unused = await sealed(bench, 1)
    unused.inline_contents.append(b"%PDF-1.7 of nothing")
    double = await sealed(bench, 1)
    double.inline_contents.append(double.inline_contents[0])
    wrong = await sealed(bench, 1)
    wrong.inline_contents[0] = wrong.inline_contents[0][:-1] + b"!"
    size = await sealed(bench, 1)
    size.document.attachments[0].size_bytes += 1
    cases = [
        (large, "INLINE_TOO_LARGE", "inline_contents"),
        (unused, "INLINE_UNUSED", "inline_contents[1]"),
        (double, "INLINE_UNUSED", "inline_contents[1]"),
        (wrong, "INLINE_UNUSED", "inline_contents[0]"),
        (size, "SIZE_MISMATCH", "document.attachments[0].size_bytes"),
    ]
    for request, reason, field in cases:
        async with nothing_written(site):
            await refused(bench.submit(request, OWN_SOFTWARE), InvalidArgument, reason, field)
    assert await site.count("storage", "blob") == blobs
    missing = await sealed(bench, 1)
    del missing.inline_contents[:]
    async with nothing_written(site):
        await refused(
            bench.submit(missing, OWN_SOFTWARE),
            NotFound,
            "ATTACHMENT_MISSING",
            "document.attachments[0].sha256",
        )


async def test_a_document_that_brings_its_files_is_delivered_with_them(bench: Bench, site: Site) -> None:
    path = await bench.papers.sealed(site)
    annex = bench.folder / "phu-luc.docx"
    ooxml.docx(annex)
    own = site.agency(OWN_SOFTWARE)
    files = [
        describe(path, path.read_bytes(), MAIN),
        describe(annex, annex.read_bytes(), ANNEX),
    ]
    taken = await own.submit(
        document(*files, organization=FIFTH, subject="Kèm tệp"), [SIXTH], issued(11), inline=[annex, path]
    )
    sent = await own.wait_issued(taken.submission_id)
    assert [(a.size_bytes, a.sha256) for a in sent.document.attachments] == [
        (a.size_bytes, a.sha256) for a in files
    ]
    agency, delivery_id = await delivery_of(site, SIXTH, sent.document.document_id)
    fetched = await agency.inbox.fetch(delivery_id, bench.folder / "hop-thu")
    assert [fetched.files[f.sha256].read_bytes() for f in files] == [path.read_bytes(), annex.read_bytes()]


async def test_a_repeat_gets_the_first_answer_and_other_content_is_refused(bench: Bench) -> None:
    request = await sealed(bench, 21)
    first = await bench.submit(request, OWN_SOFTWARE)
    assert (await bench.submit(request, OWN_SOFTWARE)).submission_id == first.submission_id
    del request.inline_contents[:]  # the same document, and yet not the same request
    await refused(bench.submit(request, OWN_SOFTWARE), AlreadyExists, "REQUEST_ID_REUSED", "request_id")
    request.request_id = str(uuid.uuid4())
    await refused(bench.submit(request, OWN_SOFTWARE), AlreadyExists, "DOCUMENT_SUBMITTED")


async def test_bytes_of_another_organization_must_be_brought_and_then_are_our_own(
    bench: Bench, site: Site
) -> None:
    """A digest is no bearer token: FIFTH's upload says nothing for SENDER, whose own bytes do."""
    path = await bench.papers.signed(site)
    content = path.read_bytes()
    await bench.file(content, who=OWN_SOFTWARE)
    request = await bench.request(describe(path, content, MAIN), issue=HERE)
    async with nothing_written(site):
        await refused(bench.submit(request), NotFound, "ATTACHMENT_MISSING")
    request.inline_contents.append(content)
    submission = await bench.submit(request)
    [main] = submission.document.attachments
    assert main.size_bytes >= len(content)


async def test_a_file_that_is_judged_bad_leaves_no_submission_and_no_hold(bench: Bench, site: Site) -> None:
    path = letter(bench.folder / "unsigned.pdf")
    content = path.read_bytes()
    request = await bench.request(describe(path, content, MAIN), issue=issued(31), organization=FIFTH)
    request.inline_contents.append(content)
    async with asyncio.timeout(30):
        while await site.count("routing", "queue_item"):
            await asyncio.sleep(0.05)
    async with nothing_written(site):
        await refused(
            bench.submit(request, OWN_SOFTWARE),
            FailedPrecondition,
            "LEADER_SIGNATURE_MISSING",
            "document.attachments[0]",
        )


async def test_many_that_bring_their_files_in_one_stream(bench: Bench, site: Site) -> None:
    requests = [await sealed(bench, 41 + place) for place in range(12)]
    requests[5].inline_contents[0] = b"something else"
    own = site.agency(OWN_SOFTWARE)
    answers = {a.request_id: a async for a in submit_all(own, requests)}
    assert len(answers) == 12
    bad = answers.pop(requests[5].request_id)
    assert (bad.failure.reason, bad.failure.field) == ("INLINE_UNUSED", "inline_contents[0]")
    for answer in answers.values():
        sent = await own.wait_issued(answer.submission.submission_id)
        await delivery_of(site, SIXTH, sent.document.document_id)
    assert len(await site.agency(client_of(SIXTH)).inbox.all()) >= 11


async def test_the_largest_file_that_may_come_inside(bench: Bench, site: Site) -> None:
    own = site.agency(OWN_SOFTWARE)
    main = await own.attach(await bench.papers.sealed(site), MAIN)
    path = bench.folder / "phu-luc.pdf"
    path.write_bytes(padded(bench.papers.letter().read_bytes(), MAX_BYTES))
    annex = describe(path, path.read_bytes(), ANNEX)
    assert annex.size_bytes == MAX_BYTES
    taken = await own.submit(document(main, annex, organization=FIFTH), [SIXTH], issued(61), inline=[path])
    sent = await own.wait_issued(taken.submission_id)
    agency, delivery_id = await delivery_of(site, SIXTH, sent.document.document_id)
    fetched = await agency.inbox.fetch(delivery_id, bench.folder / "hop-thu")
    assert fetched.files[annex.sha256].read_bytes() == path.read_bytes()
