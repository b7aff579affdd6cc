"""Many documents in one stream: each answered by itself, nothing twice, whatever breaks in the middle."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from lienthong.client import MAIN
from lienthong.client.bulk import submit_all
from lienthong.errors import PermissionDenied
from lienthong.ids import new_id
from lienthong.routing.v1 import submission_pb2, submission_pb2_grpc
from lienthong.rpc.identity import Caller
from lienthong.types.v1 import document_pb2

from services.routing import intake
from services.routing.bulk import ROOM_BYTES, BulkDesk
from tests.services.routing.papers import (
    FIFTH,
    LEADER,
    OWN_SOFTWARE,
    SIXTH,
    Papers,
    client_of,
    document,
    issued,
    restarted,
)
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

Request = submission_pb2.SubmitDocumentRequest
Message = submission_pb2.SubmitDocumentsRequest
Answer = submission_pb2.SubmitDocumentsResponse
ISSUED = submission_pb2.SUBMISSION_STATE_ISSUED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def main(site: Site, papers: Papers) -> document_pb2.Attachment:
    """A sealed letter that FIFTH uploaded."""
    return await site.agency(OWN_SOFTWARE).attach(await papers.sealed(site), MAIN)


def request(main: document_pb2.Attachment, number: int, **fields: Any) -> Request:
    facts = {"organization": FIFTH, "subject": "Gửi hàng loạt", "document_id": str(new_id()), **fields}
    made = Request(request_id=str(uuid.uuid4()), document=document(main, **facts), recipients=[SIXTH])
    made.already_issued.CopyFrom(issued(number))
    return made


async def stream(site: Site, requests: list[Request], who: str = OWN_SOFTWARE) -> list[Answer]:
    stub = submission_pb2_grpc.SubmissionServiceStub(site.channel(who))

    async def messages() -> AsyncIterator[Message]:
        for one in requests:
            yield Message(submission=one)

    async with asyncio.timeout(60):
        return [answer async for answer in stub.SubmitDocuments(messages())]


def taken(answers: list[Answer]) -> dict[str, submission_pb2.Submission]:
    return {a.request_id: a.submission for a in answers if a.WhichOneof("outcome") == "submission"}


def failures(answers: list[Answer]) -> dict[str, tuple[int, str, str]]:
    return {
        a.request_id: (a.failure.code, a.failure.reason, a.failure.field)
        for a in answers
        if a.WhichOneof("outcome") == "failure"
    }


async def assert_each_once(site: Site, requests: list[Request]) -> None:
    """Every document is issued and in the inbox of its recipient: once."""
    wanted = {one.document.document_id for one in requests}
    async with asyncio.timeout(60):
        while await site.rows("routing", "SELECT FROM queue_item"):
            await asyncio.sleep(0.1)
    rows = await site.rows(
        "routing",
        "SELECT s.document_id, s.state, s.recipients, d.delivery_id FROM submission s"
        " LEFT JOIN delivery d ON d.envelope_id = s.envelope_id WHERE s.document_id = ANY($1)",
        [uuid.UUID(text) for text in wanted],
    )
    assert sorted(str(row["document_id"]) for row in rows) == sorted(wanted)
    assert {row["state"] for row in rows} == {ISSUED}
    assert all(row["delivery_id"] for row in rows)
    entered = await site.rows(
        "registry",
        "SELECT description->>'document_id' AS document_id FROM entry WHERE external"
        " AND description->>'document_id' = ANY($1)",
        sorted(wanted),
    )
    assert sorted(row["document_id"] for row in entered) == sorted(wanted)


async def test_three_bad_ones_among_three_hundred_harm_nobody(
    site: Site, main: document_pb2.Attachment
) -> None:
    requests = [request(main, 1000 + place) for place in range(300)]
    unknown, subject, id_ = requests[10], requests[150], requests[299]
    unknown.recipients[:] = ["X99"]
    subject.document.subject = " "
    id_.request_id = "no id"
    answers = await stream(site, requests)
    assert len(answers) == 300
    assert failures(answers) == {
        unknown.request_id: (3, "RECIPIENT_UNKNOWN", "recipients[0]"),
        subject.request_id: (3, "SUBJECT_MISSING", "document.subject"),
        "no id": (3, "ID_MALFORMED", "request_id"),
    }
    good = [one for one in requests if one not in (unknown, subject, id_)]
    assert set(taken(answers)) == {one.request_id for one in good}
    await assert_each_once(site, good)
    # The same again gets the same submissions, and makes nothing.
    again = await stream(site, good[:20])
    first = taken(answers)
    assert {i: s.submission_id for i, s in taken(again).items()} == {
        one.request_id: first[one.request_id].submission_id for one in good[:20]
    }
    await assert_each_once(site, good)
    inbox = await site.agency(client_of(SIXTH)).inbox.all()
    delivered = [d.document.document_id for d in inbox]
    assert all(delivered.count(one.document.document_id) == 1 for one in good)


async def test_conflicts_inside_one_batch_are_told_item_by_item(
    site: Site, main: document_pb2.Attachment
) -> None:
    """The same document, the same request id, and the same request, all in one breath."""
    first, same_document, fine = request(main, 2001), request(main, 2002), request(main, 2003)
    same_document.document.document_id = first.document.document_id
    reused = request(main, 2004)
    reused.request_id = fine.request_id
    repeated = Request()
    repeated.CopyFrom(fine)
    odd = request(main, 2005)
    odd.already_issued.series = "a\0b"
    answers = await stream(site, [first, same_document, fine, repeated, odd])
    outcomes = failures(answers)
    [refused] = [outcomes[i] for i in (first.request_id, same_document.request_id) if i in outcomes]
    assert refused == (6, "DOCUMENT_SUBMITTED", "document.document_id")
    assert [a.WhichOneof("outcome") for a in answers if a.request_id == fine.request_id] == ["submission"] * 2
    assert len({a.submission.submission_id for a in answers if a.request_id == fine.request_id}) == 1
    assert outcomes[odd.request_id] == (3, "SERIES_INVALID", "already_issued.series")
    assert failures(await stream(site, [reused])) == {
        reused.request_id: (6, "REQUEST_ID_REUSED", "request_id")
    }
    # What was refused left no trace: with another document the same request id is good.
    loser = same_document if same_document.request_id in outcomes else first
    loser.document.document_id = str(new_id())
    assert not failures(await stream(site, [loser]))


async def test_a_number_taken_twice_is_given_up_and_its_neighbours_go_on(
    site: Site, main: document_pb2.Attachment
) -> None:
    """The register refuses one of a batch: the batch falls apart, and only that one is abandoned."""
    requests = [request(main, 3001 + place) for place in range(20)]
    twin = request(main, 3005)
    assert not failures(await stream(site, [*requests, twin]))
    ids = [uuid.UUID(one.document.document_id) for one in [*requests, twin]]
    async with asyncio.timeout(30):
        while True:
            rows = await site.rows(
                "routing", "SELECT number, state, reason FROM submission WHERE document_id = ANY($1)", ids
            )
            if all(row["state"] in (ISSUED, submission_pb2.SUBMISSION_STATE_ABANDONED) for row in rows):
                break
            await asyncio.sleep(0.05)
    given_up = [(row["number"], row["reason"]) for row in rows if row["state"] != ISSUED]
    assert given_up == [(3005, "NUMBER_TAKEN")]
    assert len(rows) == 21


class BreakingLine:
    """Between client and node; cuts every connection when told to."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0
        self.server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        except OSError:
            pass
        finally:
            self._writers -= {writer, back}
            writer.close()
            back.close()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
        target.close()

    def close(self) -> None:
        self.cut()
        if self.server is not None:
            self.server.close()


async def test_a_stream_that_breaks_is_resumed_and_nothing_is_there_twice(
    site: Site, main: document_pb2.Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, port = site.address.rpartition(":")
    line = BreakingLine(host, int(port))
    address = await line.start()
    with monkeypatch.context() as patch:
        patch.setattr(Site, "address", property(lambda _: address))
        own = site.agency(OWN_SOFTWARE)
    requests = [request(main, 4000 + place) for place in range(120)]
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(90):
            async for answer in submit_all(own, requests, window=40):
                answers.append(answer)
                if len(answers) in (15, 60):
                    line.cut()
    finally:
        line.close()
    assert line.connections >= 3
    assert not failures(answers)
    assert sorted(a.request_id for a in answers) == sorted(one.request_id for one in requests)
    await assert_each_once(site, requests)


async def test_the_node_restarts_in_the_middle(site: Site, main: document_pb2.Attachment) -> None:
    requests = [request(main, 5000 + place) for place in range(120)]
    answers: list[Answer] = []
    restarting: asyncio.Task[None] | None = None

    async def restart() -> None:
        await site.crash()
        await site.start()

    async with asyncio.timeout(90):
        async for answer in submit_all(site.agency(OWN_SOFTWARE), requests, window=30):
            answers.append(answer)
            if len(answers) == 35:
                restarting = asyncio.create_task(restart())
        assert restarting is not None
        await restarting
    told = {a.request_id for a in answers}
    assert told == {one.request_id for one in requests}
    assert len(answers) == len(requests)
    # A process that is dead says nothing; here its server may still stumble, and say so (test_routing_crash).
    stumbled = {i for i, (_, reason, _) in failures(answers).items() if reason == "INTERNAL"}
    assert set(failures(answers)) == stumbled
    if stumbled:
        assert not failures(await stream(site, [r for r in requests if r.request_id in stumbled]))
    await assert_each_once(site, requests)


async def test_who_may_send_many(site: Site, main: document_pb2.Attachment) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        await stream(site, [request(main, 6001)], LEADER)
    assert refusal.value.reason == "ROLE_REFUSED"
    [answer] = await stream(site, [request(main, 6002, organization=SIXTH)])
    assert (answer.failure.reason, answer.failure.field) == ("SENDER_FOREIGN", "document.organization")


async def test_an_error_of_the_source_comes_after_the_answers_before_it(
    site: Site, main: document_pb2.Attachment
) -> None:
    requests = [request(main, 6100 + place) for place in range(3)]

    def source() -> Any:
        yield from requests
        raise LookupError("the folder is gone")

    answers: list[Answer] = []

    async def collect() -> None:
        async for answer in submit_all(site.agency(OWN_SOFTWARE), source()):
            answers.append(answer)

    with pytest.raises(LookupError):
        await collect()
    assert set(taken(answers)) == {one.request_id for one in requests}


async def test_what_is_not_judged_yet_waits_with_the_sender(
    site: Site, main: document_pb2.Attachment
) -> None:
    """The database is made to wait: the client can push no more than the node's room and the transport's."""
    content = bytes(200_000)
    requests = [request(main, 7000 + place) for place in range(120)]
    call = submission_pb2_grpc.SubmissionServiceStub(site.channel(OWN_SOFTWARE)).SubmitDocuments()
    written = 0
    locked = asyncio.Event()

    async def write() -> None:
        nonlocal written
        await locked.wait()
        for one in requests:
            one.inline_contents.append(content)  # of no attachment: refused once it is judged
            await call.write(Message(submission=one))
            written += 1
        await call.done_writing()

    blocker = await asyncpg.connect(site.urls["routing"])
    writing = asyncio.create_task(write())
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE request IN ACCESS EXCLUSIVE MODE")
            locked.set()
            await asyncio.sleep(2)
            pushed = written
            assert 0 < pushed * len(content) < ROOM_BYTES + 6 * 1024 * 1024, pushed
            assert not writing.done()
        async with asyncio.timeout(60):
            answers = [answer async for answer in call]
        await writing
    finally:
        writing.cancel()
        await blocker.close()
    reasons = {reason for _, reason, _ in failures(answers).values()}
    assert len(answers) == len(requests)
    assert reasons <= {"INLINE_UNUSED", "DATABASE_CONFLICT"}
    assert "INLINE_UNUSED" in reasons


class SlowJudge:
    """Takes nothing until it is let go, and remembers how many it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()

    async def take(self, one: Request, _caller: Caller, *, waits: bool) -> Request:
        assert waits, "what is too much waits in the stream"
        self.asked += 1
        await self.gate.wait()
        return one

    async def show(self, _taken: Request) -> submission_pb2.Submission:
        raise PermissionDenied("SENDER_FOREIGN", "the test takes nothing")


async def test_no_more_than_the_window_is_read_or_left_unanswered() -> None:
    judge, read = SlowJudge(), 0
    desk = BulkDesk(judge, uuid.uuid4, window=8)  # type: ignore[arg-type]

    async def messages() -> AsyncIterator[Message]:
        nonlocal read
        for place in range(50):
            read += 1
            yield Message(submission=Request(request_id=str(place)))

    async with aclosing(desk.take(messages(), Caller.__new__(Caller))) as answers:
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.05)
        assert (read, judge.asked) == (8, 8)
        judge.gate.set()
        assert (await first).failure.reason == "SENDER_FOREIGN"
        await asyncio.sleep(0.05)
        assert read == 8, "an answer keeps its place until it is taken"
        rest = [answer async for answer in answers]
    assert len(rest) == 49
    assert read == 50


async def test_a_stream_that_is_given_up_leaves_whole_documents_or_none(
    site: Site, main: document_pb2.Attachment
) -> None:
    requests = [request(main, 8000 + place) for place in range(60)]
    call = submission_pb2_grpc.SubmissionServiceStub(site.channel(OWN_SOFTWARE)).SubmitDocuments()
    for one in requests:
        await call.write(Message(submission=one))
    await call.read()
    call.cancel()
    # The same ids again: what was made is found, what was not is made.
    answers = await stream(site, requests)
    assert not failures(answers)
    assert len(taken(answers)) == len(requests)
    await assert_each_once(site, requests)


async def test_an_id_that_another_method_had_harms_nobody_else(
    site: Site, main: document_pb2.Attachment
) -> None:
    """Requests of all methods are remembered in one table, each with an answer of its own kind."""
    used = uuid.uuid4()
    await site.agency(OWN_SOFTWARE).inbox.confirm(request_id=used)
    requests = [request(main, 8100 + place) for place in range(40)]
    requests[7].request_id = str(used)
    reused = {str(used): (6, "REQUEST_ID_REUSED", "request_id")}
    assert failures(await stream(site, requests)) == reused
    assert failures(await stream(site, requests)) == reused, "and so do those who repeat"
    await assert_each_once(site, [one for one in requests if one.request_id != str(used)])


async def test_where_all_places_are_taken_the_rest_waits_in_the_stream(
    site: Site, main: document_pb2.Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(intake, "_MAX_JUDGING", 2)
        await restarted(site)
        requests = [request(main, 8200 + place) for place in range(40)]
        assert not failures(await stream(site, requests))
    await restarted(site)
    await assert_each_once(site, requests)
