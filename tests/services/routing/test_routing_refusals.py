"""Bad submissions: each is refused with a stable reason, its field and advice; nothing is written."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from lienthong.client import ANNEX
from lienthong.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from lienthong.registry.v1 import register_pb2
from lienthong.routing.v1 import submission_pb2, submission_pb2_grpc
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc

from tests.services.routing.bad_submissions import CASES, FIRST
from tests.services.routing.bench import Bench, Request
from tests.services.routing.papers import (
    CLERK,
    FIFTH,
    LEADER,
    OWN_SOFTWARE,
    SENDER,
    SIXTH,
    SOFTWARE,
    Papers,
    padded,
    send,
    this_year,
)
from tests.services.routing.refusing import nothing_written, refused
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(site: Site, papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(site, papers, tmp_path_factory.mktemp("bench"))
    await made.main()
    await papers.sealed(site)
    return made


@pytest.mark.parametrize("case", CASES)
async def test_bad_submissions(bench: Bench, case: str) -> None:
    make, kind, reason, field = CASES[case]
    request = await make(bench)
    async with nothing_written(bench.site):
        await refused(bench.submit(request), kind, reason, field)


async def test_a_document_sealed_before_is_not_sealed_again(bench: Bench) -> None:
    content = (await bench.papers.sealed(bench.site)).read_bytes()
    clerk = f"org/{FIFTH}/clerk/van-thu"
    request = await bench.request(await bench.file(content, who=clerk), organization=FIFTH)
    async with nothing_written(bench.site):
        await refused(bench.submit(request, clerk), FailedPrecondition, "DOCUMENT_ALREADY_SEALED", FIRST)


@pytest.mark.parametrize(
    ("who", "reason"),
    [(SOFTWARE, "CLERK_REQUIRED"), (LEADER, "ROLE_REFUSED"), ("operator/quan-tri", "ROLE_REFUSED")],
)
async def test_only_a_clerk_has_a_document_sealed(bench: Bench, who: str, reason: str) -> None:
    request = await bench.request()
    async with nothing_written(bench.site):
        await refused(bench.submit(request, who), PermissionDenied, reason)


async def test_an_upload_with_the_wrong_digest_leaves_nothing_to_submit(bench: Bench) -> None:
    content = b"%PDF-1.7 other bytes than announced"
    announced = hashlib.sha256(b"announced").digest()

    async def upload() -> None:
        async def parts() -> Any:
            header = storage_pb2.UploadHeader(organization=SENDER, sha256=announced, size_bytes=len(content))
            yield storage_pb2.UploadRequest(header=header)
            yield storage_pb2.UploadRequest(chunk=content)

        await storage_pb2_grpc.BlobServiceStub(bench.site.channel(CLERK)).Upload(parts())

    before = await bench.site.count("storage", "blob")
    await refused(upload(), InvalidArgument, "DIGEST_MISMATCH")
    assert await bench.site.count("storage", "blob") == before
    for digest in (announced, hashlib.sha256(content).digest()):
        request = await bench.request()
        request.document.attachments[0].sha256, request.document.attachments[0].size_bytes = digest, 0
        async with nothing_written(bench.site):
            await refused(bench.submit(request), NotFound, "ATTACHMENT_MISSING", f"{FIRST}.sha256")


async def test_a_request_id_with_other_content_is_refused_and_the_first_answer_stands(bench: Bench) -> None:
    first = await bench.request(subject="Lần đầu MẪU")
    taken = await bench.submit(first)
    await bench.site.agency(CLERK).wait_issued(taken.submission_id)
    other = Request()
    other.CopyFrom(first)
    other.document.subject = "Nội dung khác MẪU"
    error = await refused(bench.submit(other), AlreadyExists, "REQUEST_ID_REUSED", "request_id")
    assert error.metadata["request_id"] == first.request_id
    assert (await bench.submit(first)).submission_id == taken.submission_id


async def test_a_document_is_submitted_once_and_the_second_leaves_no_hold(bench: Bench) -> None:
    sent = await send(bench.site, bench.papers, [SIXTH])
    again = await bench.request(document_id=sent.document.document_id)
    before = {row["holder"] for row in await bench.site.rows("storage", "SELECT holder FROM hold")}
    await refused(bench.submit(again), AlreadyExists, "DOCUMENT_SUBMITTED", "document.document_id")
    after = {row["holder"] for row in await bench.site.rows("storage", "SELECT holder FROM hold")}
    assert {holder for holder in after - before if holder.startswith("submission/")} == set()


async def test_what_cannot_be_sealed_is_abandoned_with_its_reason_and_its_number_is_void(
    bench: Bench,
) -> None:
    """An expired seal: only sealing finds out, after the number was taken."""
    request = await bench.request()
    clerk = bench.site.agency(CLERK)
    async with bench.papers.expired_seal(bench.site):
        taken = await bench.submit(request)
        with pytest.raises(FailedPrecondition) as given_up:
            await clerk.wait_issued(taken.submission_id)
    assert given_up.value.reason == "SIGNER_CERTIFICATE_EXPIRED"
    found = await clerk.submission(taken.submission_id)
    assert found.envelope_id == ""
    book = clerk.registers.book(register_pb2.DIRECTION_OUTGOING, this_year())

    async def ask() -> register_pb2.Entry | None:
        entries = [e async for e in clerk.registers.entries(book) if e.number == found.document.number]
        return entries[0] if entries and entries[0].state == register_pb2.ENTRY_STATE_VOID else None

    void = await bench.site.connection(CLERK).wait_until(ask, 20.0)
    assert void is not None
    assert void.void_reason == "SIGNER_CERTIFICATE_EXPIRED"
    checked = await clerk.registers.check(book)
    assert (list(checked.missing), checked.reserved) == ([], 0)

    async def let_go() -> bool | None:
        return f"submission/{taken.submission_id}" not in await holders(bench.site) or None

    assert await bench.site.connection(CLERK).wait_until(let_go, 20.0), "storage keeps the files for ever"


async def test_a_file_that_went_meanwhile_leaves_no_hold_on_the_others(bench: Bench) -> None:
    """The collector decides between the judgement and the hold: here the test decides in its place."""
    content = padded(bench.papers.letter().read_bytes(), 100_000)
    annex = await bench.file(content, ANNEX)
    request = await bench.request(await bench.main(), annex)
    storage = await asyncpg.connect(bench.site.urls["storage"])
    try:
        async with nothing_written(bench.site):
            async with storage.transaction():
                await storage.execute(
                    "UPDATE blob SET collecting_since = now() WHERE sha256 = $1", annex.sha256
                )
                submitting = asyncio.ensure_future(bench.submit(request))
                await somebody_waits(bench.site, "storage")
            await refused(submitting, NotFound, "ATTACHMENT_MISSING")
    finally:
        await storage.close()


async def test_repeats_of_a_doubtful_commit_share_one_hold(bench: Bench) -> None:
    """Whether the first commit happened nobody knows: its hold stays, and its repeats make no others."""
    request = await bench.request()
    before = await holders(bench.site)
    routing = await asyncpg.connect(bench.site.urls["routing"])
    try:
        async with routing.transaction():
            await routing.execute("LOCK TABLE submission IN SHARE MODE")
            for _ in range(2):
                await refused(bench.submit(request), Aborted, "DATABASE_CONFLICT")
            assert len(await holders(bench.site) - before) == 1
    finally:
        await routing.close()
    taken = await bench.submit(request)
    assert await holders(bench.site) - before == {f"submission/{taken.submission_id}"}


async def somebody_waits(site: Site, service: str) -> None:
    async with asyncio.timeout(20):
        while not await site.rows(
            service,
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ):
            await asyncio.sleep(0.02)


async def holders(site: Site) -> set[str]:
    """In whose names storage holds files of submissions."""
    rows = await site.rows("storage", "SELECT DISTINCT holder FROM hold WHERE holder LIKE 'submission/%'")
    return {row["holder"] for row in rows}


@pytest.mark.parametrize(
    ("who", "request_of", "reason", "field"),
    [
        (CLERK, {}, "KEY_MISSING", "key"),
        (CLERK, {"submission_id": "x"}, "ID_MALFORMED", "submission_id"),
        (CLERK, {"document_id": "x"}, "ID_MALFORMED", "document_id"),
    ],
)
async def test_asking_for_nothing_in_particular(
    bench: Bench, who: str, request_of: dict[str, str], reason: str, field: str
) -> None:
    stub = submission_pb2_grpc.SubmissionServiceStub(bench.site.channel(who))
    request = submission_pb2.GetSubmissionRequest(**request_of)
    await refused(stub.GetSubmission(request), InvalidArgument, reason, field)


async def test_another_organizations_submission_does_not_exist(bench: Bench) -> None:
    sent = await send(bench.site, bench.papers, [SIXTH])
    stub = submission_pb2_grpc.SubmissionServiceStub(bench.site.channel(OWN_SOFTWARE))
    for key in (
        submission_pb2.GetSubmissionRequest(submission_id=sent.submission_id),
        submission_pb2.GetSubmissionRequest(document_id=sent.document.document_id),
        submission_pb2.GetSubmissionRequest(submission_id=str(uuid.uuid4())),
    ):
        await refused(stub.GetSubmission(key), NotFound, "SUBMISSION_UNKNOWN")


async def test_page_tokens_and_cursors_of_nobody(bench: Bench) -> None:
    stub = submission_pb2_grpc.SubmissionServiceStub(bench.site.channel(CLERK))
    wrong = submission_pb2.ListSubmissionsRequest(page_token="17")
    await refused(stub.ListSubmissions(wrong), InvalidArgument, "PAGE_TOKEN_INVALID", "page_token")
    for cursor in ("17", "AAAA", "a b", "=" * 22):
        listing = submission_pb2.ListReceiptsRequest(cursor=cursor)
        await refused(stub.ListReceipts(listing), InvalidArgument, "CURSOR_INVALID", "cursor")

        async def first(behind: str = cursor) -> None:
            async for _ in stub.WatchReceipts(submission_pb2.WatchReceiptsRequest(cursor=behind)):
                return

        await refused(first(), InvalidArgument, "CURSOR_INVALID", "cursor")
