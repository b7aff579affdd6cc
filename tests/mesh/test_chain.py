"""Four nodes, nobody harmed: one document down the whole chain and a reply up, from the clients' side."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from lienthong.client import ANNEX, MAIN, Agency
from lienthong.client.agency import Submission
from lienthong.mesh import Mesh
from lienthong.types.v1 import document_pb2
from lienthong.waterfall import Span, read_trace

from tests.mesh.mail import SAMPLES, already_issued, document, sealed_letter
from tests.mesh.waiting import delivered, eventually, reached, until
from tests.support.mesh import agency

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

CHAIN = ["G22", "H01", "H01.15", "H01.15.07"]
RECIPIENTS = ["H01", "H01.03", "H01.15", "H01.15.07", "H01.15.09"]
COMMUNE = "H01.15.07"


@dataclass(frozen=True)
class Sent:
    """One document that went down the chain: a large MAIN and a small annex."""

    submission: Submission
    main: document_pb2.Attachment
    annex: document_pb2.Attachment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sent(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """Delivered to five recipients behind one link."""
    path = await sealed_letter(mesh, "G22", tmp_path_factory.mktemp("chain") / "chain.pdf", "qua bốn cấp")
    async with agency(mesh, "G22") as client:
        main = await client.attach(path, MAIN)
        annex = await client.attach(SAMPLES / "phu-luc-mau.xlsx", ANNEX)
        assert annex.size_bytes < 64 * 1024 < main.size_bytes, "one travels in the batch, the other beside it"
        submission = await client.submit(
            document("G22", main, annex, subject="V/v qua bốn cấp"), RECIPIENTS, already_issued(501)
        )
        await reached(client, submission, "01")
    return Sent(submission, main, annex)


async def envelope_of(client: Agency, submission: Submission) -> Submission:
    """As the sender's node knows it now, with its envelope."""
    return await client.wait_issued(submission.submission_id)


@pytest_asyncio.fixture(loop_scope="module")
async def office(mesh: Mesh) -> AsyncIterator[Agency]:
    """The Government Office's software."""
    async with agency(mesh, "G22") as client:
        yield client


async def test_receipts_tell_every_hop_in_order(sent: Sent, office: Agency) -> None:
    receipts = await office.all_receipts(sent.submission.document.document_id)
    [receipt] = [r for r in receipts if r.recipient == COMMUNE and r.status == "01"]
    assert receipt.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED
    assert [hop.node for hop in receipt.hops] == CHAIN
    times = [t.ToNanoseconds() for hop in receipt.hops for t in (hop.in_time, hop.out_time)]
    assert times == sorted(times)
    assert all(times)
    assert len({hop.span_id for hop in receipt.hops}) == len(CHAIN)
    verdicts = {verdict.sha256: verdict for verdict in receipt.verdicts}
    assert verdicts[sent.main.sha256].verdict == document_pb2.VERDICT_VALID
    assert verdicts[sent.main.sha256].level == "B-T"
    assert verdicts[sent.annex.sha256].verdict == document_pb2.VERDICT_UNSIGNED


async def test_receipts_come_once_from_every_recipient(sent: Sent, office: Agency) -> None:
    receipts = await office.all_receipts(sent.submission.document.document_id)
    arrived = Counter(r.recipient for r in receipts if r.status == "01")
    assert arrived == Counter(RECIPIENTS)
    paths = {r.recipient: [hop.node for hop in r.hops] for r in receipts if r.status == "01"}
    assert paths["H01.03"] == CHAIN[:2]
    assert paths["H01.15.09"] == CHAIN[:3]


async def test_transport_is_one_trace_over_all_nodes(mesh: Mesh, sent: Sent, office: Agency) -> None:
    spans = await whole_trace(mesh, office, sent.submission.trace_id)
    assert {span.node for span in spans} == set(CHAIN)
    known = {span.span_id for span in spans}
    strangers = {span.parent_id for span in spans} - known
    assert strangers == {""}, "every parent is a span that some node wrote"
    assert [span.name.rpartition("/")[2] for span in spans if not span.parent_id] == ["SubmitDocument"]
    packages = {node: packages_at(spans, node) for node in CHAIN}
    assert packages["G22"] == {"registry", "signing", "routing", "storage"}
    for node in CHAIN[1:]:
        assert {"registry", "signing", "storage"} <= packages[node]
        assert any(span.node == node and span.name.startswith("take custody from") for span in spans)
    hops = await hop_spans(office, sent.submission)
    assert hops <= known, "the hop facts in the receipt name spans of this trace"


async def whole_trace(mesh: Mesh, office: Agency, trace_id: str) -> list[Span]:
    """The spans, once the last batch (receipts come after the delivery) was written."""

    async def ask() -> list[Span] | None:
        spans = read_trace(mesh.layout.spans(), trace_id)
        parents = {span.parent_id for span in spans} - {span.span_id for span in spans}
        return spans if parents == {""} and len({span.node for span in spans}) == len(CHAIN) else None

    return await eventually(ask, 10.0)


def packages_at(spans: list[Span], node: str) -> set[str]:
    """The services that worked for this trace at one node, by the methods that were called."""
    return {span.name.split(".")[1] for span in spans if span.node == node and span.name.startswith("/")}


async def hop_spans(office: Agency, submission: Submission) -> set[str]:
    receipts = await office.all_receipts(submission.document.document_id)
    return {hop.span_id for receipt in receipts for hop in receipt.hops if receipt.status == "01"}


async def test_each_large_attachment_crosses_each_link_once(mesh: Mesh, sent: Sent, office: Agency) -> None:
    """Five recipients, three links, three pulls; a second document with the same file needs none."""
    spans = await whole_trace(mesh, office, sent.submission.trace_id)
    assert pulls(spans) == Counter(
        {("G22", "PullBlobs"): 1, ("H01", "PullBlobs"): 1, ("H01.15", "PullBlobs"): 1}
    )
    again = await office.submit(
        document("G22", sent.main, subject="V/v lần hai"), RECIPIENTS, already_issued(502)
    )
    await reached(office, again, "01")
    assert pulls(await whole_trace(mesh, office, again.trace_id)) == Counter()


def pulls(spans: list[Span]) -> Counter[tuple[str, str]]:
    """Streams of attachments by the node that served them: of the two spans of a call, the child."""
    moving = [span for span in spans if span.name.endswith(("/PullBlobs", "/PushBlobs"))]
    ids = {span.span_id for span in moving}
    served = [span for span in moving if span.parent_id in ids]
    return Counter((span.node, span.name.rpartition("/")[2]) for span in served)


async def test_small_attachments_ride_in_the_batch(mesh: Mesh, office: Agency, tmp_path: Path) -> None:
    """Passing through, they never touch a storage; where they arrive, they are in one."""
    path = await sealed_letter(mesh, "G22", tmp_path / "passing.pdf", "đi qua")
    main = await office.attach(path, MAIN)
    annex = await office.attach(SAMPLES / "cong-van-mau.docx", ANNEX)
    one = await office.submit(
        document("G22", main, annex, subject="V/v đi qua"), [COMMUNE], already_issued(503)
    )
    await reached(office, one, "01")
    kept = {node: await stored(mesh, node, annex.sha256) for node in CHAIN}
    assert kept == {"G22": True, "H01": False, "H01.15": False, "H01.15.07": True}


async def stored(mesh: Mesh, node: str, sha256: bytes) -> bool:
    database = await mesh.databases.open(node, "storage")
    try:
        return bool(await database.fetchval("SELECT EXISTS (SELECT FROM blob WHERE sha256 = $1)", sha256))
    finally:
        await database.close()


async def test_statuses_travel_back(mesh: Mesh, sent: Sent, office: Agency) -> None:
    submission = await envelope_of(office, sent.submission)
    async with agency(mesh, "H01.03") as department:
        delivery = await delivered(department, submission)
        await department.inbox.refuse(delivery.delivery_id, "gửi nhầm cơ quan")
    async with agency(mesh, "H01") as province:
        delivery = await delivered(province, submission)
        accepted = await province.inbox.accept(delivery.delivery_id)

    def told(found: Submission) -> bool:
        states = {state.organization: state.status for state in found.recipients}
        return (states["H01.03"], states["H01"]) == ("02", "03")

    found = await until(office, submission, told)
    states = {state.organization: state for state in found.recipients}
    assert states["H01.03"].reason == "gửi nhầm cơ quan"
    assert states["H01.03"].arrival_number == 0
    assert states["H01"].arrival_number == accepted.arrival_number > 0
    assert all(state.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED for state in found.recipients)


async def test_reply_goes_up_the_chain(mesh: Mesh, sent: Sent, office: Agency, tmp_path: Path) -> None:
    submission = await envelope_of(office, sent.submission)
    async with agency(mesh, COMMUNE) as commune:
        delivery = await delivered(commune, submission)
        fetched = await commune.inbox.fetch(delivery.delivery_id, tmp_path / "got")
        assert set(fetched.files) == {sent.main.sha256, sent.annex.sha256}
        main = await commune.attach(
            await sealed_letter(mesh, COMMUNE, tmp_path / "reply.pdf", "báo cáo"), MAIN
        )
        reply = document(COMMUNE, main, subject="V/v báo cáo")
        reply.answers.add(document_id=fetched.document.document_id, organization="G22")
        answer = await commune.submit(reply, ["G22"], already_issued(12))
        await reached(commune, answer, "01")
        receipts = await commune.all_receipts(answer.document.document_id)
        issued = await envelope_of(commune, answer)
        arrived = await delivered(office, issued)
        accepted = await office.inbox.accept(arrived.delivery_id)
        found = await reached(commune, answer, "03")
    assert [hop.node for hop in receipts[0].hops] == CHAIN[::-1]
    assert [a.document_id for a in arrived.document.answers] == [fetched.document.document_id]
    assert found.recipients[0].arrival_number == accepted.arrival_number > 0
