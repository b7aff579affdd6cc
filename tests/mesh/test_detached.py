"""Files too large to be parsed, through four nodes: signed beside them, delivered, judged by their digest.

The nodes parse up to 1 MiB, so that such files are made in no time; the one of a gibibyte is above what nodes
parse as shipped.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lienthong.client import ANNEX, MAIN, Agency
from lienthong.client.agency import IssueHere, Submission
from lienthong.mesh import Mesh, Topology
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import NOTATION, already_issued, document, leader_signed, sealed_letter
from tests.mesh.waiting import delivered, reached
from tests.support.memory import Peaks
from tests.support.mesh import agency

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

CHAIN = ["G22", "H01", "H01.15", "H01.15.07"]
COMMUNE = "H01.15.07"
VALID = document_pb2.VERDICT_VALID
MIB = 1024 * 1024
PARSED = {"routing": {"max_parse_bytes": MIB}, "signing": {"max_document_bytes": MIB}}
HUGE = 1024 * MIB
ALLOWED = 300 * 1000 * 1000
WITHIN = 90.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Four nodes that parse little; nothing of them stays on the disk, where they keep a gibibyte each."""
    folder = tmp_path_factory.mktemp("detached") / "data"
    try:
        with Mesh.start(Topology.four_levels(), folder, overrides=PARSED) as mesh:
            mesh.wait_ready()
            yield mesh
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: pytest keeps temporary folders for a while, and these files are large."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


def drawing(path: Path, size: int) -> Path:
    """Bytes that nobody parses: a random block again and again, each time with its number."""
    block = random.Random(size).randbytes(MIB - 8)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big"))
            file.write(block)
    return path


async def beside(mesh: Mesh, path: Path) -> bytes:
    """The signature of the office's leader, who never sends the file."""
    async with agency(mesh, "G22", "leader") as leader:
        return await leader.signing.sign_digest(path)


async def verdicts_of(office: Agency, submission: Submission) -> dict[bytes, document_pb2.AttachmentVerdict]:
    """What the commune's node said in its receipt."""
    receipts = await office.all_receipts(submission.document.document_id)
    [arrived] = [receipt for receipt in receipts if receipt.status == "01"]
    assert [hop.node for hop in arrived.hops] == CHAIN
    return {verdict.sha256: verdict for verdict in arrived.verdicts}


async def test_issued_elsewhere(mesh: Mesh, folder: Path) -> None:
    letter = await sealed_letter(mesh, "G22", folder / "cong-van.pdf")
    plan = drawing(folder / "ban-ve.pdf", 3 * MIB)
    signature = await beside(mesh, plan)
    async with agency(mesh, "G22") as office, agency(mesh, COMMUNE) as commune:
        main = await office.attach(letter, MAIN)
        annex = await office.attach(plan, ANNEX, detached_signatures=[signature])
        submission = await office.submit(document("G22", main, annex), [COMMUNE], already_issued(701))
        await reached(office, submission, "01")
        submission = await office.wait_issued(submission.submission_id)
        verdicts = await verdicts_of(office, submission)
        assert [verdicts[a.sha256].verdict for a in (main, annex)] == [VALID, VALID]
        assert (verdicts[annex.sha256].level, len(verdicts[annex.sha256].signers)) == ("B-T", 1)
        delivery = await delivered(commune, submission)
        fetched = await commune.inbox.fetch(delivery.delivery_id, folder / "den")
        assert fetched.files[annex.sha256].read_bytes() == plan.read_bytes()
        [arrived] = [a for a in fetched.document.attachments if a.role == ANNEX]
        report = await commune.signing.validate_digest(
            fetched.files[annex.sha256], arrived.detached_signatures
        )
        assert (report.verdict, report.signatures[0].role) == (VALID, "PERSONAL")


async def test_issued_here_the_agency_signs_beside_its_annex(mesh: Mesh, folder: Path) -> None:
    letter = await leader_signed(mesh, "G22", folder / "du-thao.pdf")
    plan = drawing(folder / "ban-ve.pdf", 3 * MIB)
    async with agency(mesh, "G22", "clerk") as clerk:
        main, annex = await clerk.attach(letter, MAIN), await clerk.attach(plan, ANNEX)
        issue = IssueHere(notation=NOTATION)
        submission = await clerk.submit(document("G22", main, annex), [COMMUNE], issue)
        await reached(clerk, submission, "01")
        submission = await clerk.wait_issued(submission.submission_id)
        verdicts = await verdicts_of(clerk, submission)
        assert {(v.verdict, v.level) for v in verdicts.values()} == {(VALID, "B-T")}
        report = await clerk.signing.validate_digest(
            plan, submission.document.attachments[1].detached_signatures
        )
    assert annex.sha256 in verdicts, "the bytes are as they were"
    assert (report.verdict, report.signatures[0].role) == (VALID, "AGENCY")
    assert (int(report.number), report.notation) == (submission.document.number, NOTATION)


async def test_a_gibibyte_passes_in_little_memory(mesh: Mesh, folder: Path) -> None:
    letter = await sealed_letter(mesh, "G22", folder / "cong-van.pdf")
    plan = drawing(folder / "ban-ve.pdf", HUGE)
    with plan.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    async with agency(mesh, "G22") as office:
        with Peaks({node: mesh.pid(node) for node in CHAIN}) as watch:
            began = time.monotonic()
            signature = await beside(mesh, plan)
            main = await office.attach(letter, MAIN)
            annex = await office.attach(plan, ANNEX, detached_signatures=[signature])
            uploaded = time.monotonic()
            submission = await office.submit(document("G22", main, annex), [COMMUNE], already_issued(702))
            await reached(office, submission, "01", within=WITHIN)
            ended = time.monotonic()
        verdicts = await verdicts_of(office, submission)
    print(
        f"1 GiB: signed, uploaded in {uploaded - began:.1f} s, over three links in {ended - uploaded:.1f} s"
    )
    print({name: f"{peak / 1e6:.0f} MB" for name, peak in watch.peaks.items()})
    assert annex.sha256 == digest
    assert (verdicts[digest].verdict, verdicts[digest].level) == (VALID, "B-T")
    assert {name: peak for name, peak in watch.peaks.items() if peak >= ALLOWED} == {}
    assert set(CHAIN) <= watch.peaks.keys()
