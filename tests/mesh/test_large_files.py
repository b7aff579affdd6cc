"""A document of 300 MB through four nodes: it arrives as it was sent, and no process holds it in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lienthong.agency_signing import sign_letter
from lienthong.client import MAIN, Agency
from lienthong.client.agency import Submission
from lienthong.mesh import Mesh
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import already_issued, document
from tests.mesh.waiting import delivered, reached
from tests.support.large_files import MIB, scanned
from tests.support.memory import Peaks, anonymous_bytes
from tests.support.mesh import agency

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

CHAIN = ["G22", "H01", "H01.15", "H01.15.07"]
COMMUNE = "H01.15.07"
LARGE = 300 * MIB
ALLOWED = 300 * 1000 * 1000
# This process has run other tests before: of it only the growth tells something.
CLIENT_MORE = 100 * 1000 * 1000
WITHIN = 120.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: pytest keeps temporary folders for a while, and these files are large."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


async def large_letter(mesh: Mesh, code: str, folder: Path) -> Path:
    """Scanned, and signed by the organization's own software: leader, then agency, both stamped."""
    organization = mesh.topology.organization(code)
    leader = next(person for person in organization.people if person.kind == "leader")
    plain = scanned(folder / "plain.pdf", LARGE)
    signed = await sign_letter(
        plain,
        folder / "van-ban-lon.pdf",
        leader=mesh.layout.issued(f"org/{code}/leader/{leader.name}", "signing"),
        agency=mesh.layout.issued(f"org/{code}", "seal"),
        signer=leader.title,
        timestamps_url=mesh.timestamps_url(organization.node),
    )
    plain.unlink()
    return signed


async def sent(office: Agency, path: Path) -> Submission:
    main = await office.attach(path, MAIN)
    letter = document("G22", main, subject="V/v văn bản lớn")
    submission = await office.submit(letter, [COMMUNE], already_issued(601))
    await reached(office, submission, "01", within=WITHIN)
    return await office.wait_issued(submission.submission_id)  # as it stands now, with its envelope


async def verdict_of(office: Agency, submission: Submission) -> document_pb2.Verdict.ValueType:
    receipts = await office.all_receipts(submission.document.document_id)
    [arrived] = [receipt for receipt in receipts if receipt.status == "01"]
    [verdict] = arrived.verdicts
    assert [hop.node for hop in arrived.hops] == CHAIN
    return verdict.verdict


def sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def test_a_large_document_passes_four_nodes_in_little_memory(mesh: Mesh, folder: Path) -> None:
    path = await large_letter(mesh, "G22", folder)
    assert path.stat().st_size > LARGE
    nodes = {node: mesh.pid(node) for node in CHAIN}
    before = anonymous_bytes()
    async with agency(mesh, "G22") as office, agency(mesh, COMMUNE) as commune:
        # Everything below this process is watched: besides the nodes, PostgreSQL's many.
        with Peaks({**nodes, "client": os.getpid()}) as watch:
            submission = await sent(office, path)
            delivery = await delivered(commune, submission)
            fetched = await commune.inbox.fetch(delivery.delivery_id, folder / "den")
        verdict = await verdict_of(office, submission)
    [(digest, file)] = fetched.files.items()
    assert digest == sha256(path) == sha256(file)
    assert verdict == document_pb2.VERDICT_VALID
    assert watch.peaks.pop("client") - before < CLIENT_MORE
    assert {name: peak for name, peak in watch.peaks.items() if peak >= ALLOWED} == {}
    assert min(watch.peaks[node] for node in CHAIN) > 0
