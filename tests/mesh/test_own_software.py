"""The SDK and an own software that signs, over real nodes: sent up three levels, received, accepted."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest
from lienthong.agency_signing import Letter, sign_letter, write_letter
from lienthong.client import MAIN, Agency, AlreadyIssued
from lienthong.errors import DomainError
from lienthong.mesh import Mesh
from lienthong.routing.v1 import inbox_pb2
from lienthong.types.v1 import document_pb2

from tests.support.mesh import agency, operator

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(120)]

SENDER = "H01.15.07"
LETTER = Letter(
    agency="Ủy ban nhân dân xã MẪU",
    superior="Ủy ban nhân dân huyện MẪU",
    number=7,
    notation="BC-UBND",
    place="Xã MẪU",
    day=date(2026, 3, 2),
    subject="báo cáo kết quả thực hiện (văn bản MẪU)",
    addressees=("Văn phòng Chính phủ MẪU",),
    paragraphs=("Ủy ban nhân dân xã MẪU báo cáo kết quả, có đủ dấu: ăn, ấm, ế, ệ, ỏ, ỡ, ự, ỹ, Đ, đ.",) * 4,
    position="Chủ tịch",
    signer="Đặng Văn Xã",
)


async def signed_letter(mesh: Mesh, folder: Path) -> Path:
    unsigned = await asyncio.to_thread(write_letter, LETTER, folder / "unsigned.pdf")
    return await sign_letter(
        unsigned,
        folder / "bao-cao.pdf",
        leader=mesh.layout.issued(f"org/{SENDER}/leader/dang-van-xa", "signing"),
        agency=mesh.layout.issued(f"org/{SENDER}", "seal"),
        signer=LETTER.signer,
        timestamps_url=mesh.timestamps_url(SENDER),
    )


async def next_delivery(recipient: Agency, cursor: str) -> inbox_pb2.Delivery:
    async with asyncio.timeout(60):
        async for delivery in recipient.inbox.watch(cursor):
            return delivery
    raise AssertionError("the watch ended")


async def test_what_own_software_signs_is_valid_with_both_signatures_stamped(
    mesh: Mesh, tmp_path: Path
) -> None:
    path = await signed_letter(mesh, tmp_path)
    async with agency(mesh, SENDER) as sender:
        report = await sender.signing.validate(path)

    assert report.verdict == document_pb2.VERDICT_VALID, report
    assert [(s.role, s.level, s.organization) for s in report.signatures] == [
        ("PERSONAL", "B-T", SENDER),
        ("AGENCY", "B-T", SENDER),
    ]


async def test_a_change_after_the_seal_is_seen(mesh: Mesh, tmp_path: Path) -> None:
    path = await signed_letter(mesh, tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"/MediaBox") + 12] ^= 1
    changed = tmp_path / "changed.pdf"
    changed.write_bytes(content)
    async with agency(mesh, SENDER) as sender:
        report = await sender.signing.validate(changed)

    assert report.verdict == document_pb2.VERDICT_INVALID


async def test_a_report_goes_up_from_the_commune_and_its_receipts_come_back(
    mesh: Mesh, tmp_path: Path
) -> None:
    path = await signed_letter(mesh, tmp_path)
    async with agency(mesh, SENDER) as sender, agency(mesh, "G22") as recipient:
        _, cursor = await recipient.inbox.list()
        document = document_pb2.Document(
            organization=SENDER,
            type_name="Báo cáo",
            subject=LETTER.subject,
            signer_name=LETTER.signer,
            signer_position=LETTER.position,
            attachments=[await sender.attach(path, MAIN)],
        )
        issue = AlreadyIssued(number=7, notation=LETTER.notation, issued_date=LETTER.day.isoformat())
        submitted = await sender.submit(document, ["G22"], issue)
        issued = await sender.wait_issued(submitted.submission_id)

        delivery = await next_delivery(recipient, cursor)
        fetched = await recipient.inbox.fetch(delivery.delivery_id, tmp_path / "den")
        await recipient.inbox.confirm(delivery.delivery_id)
        accepted = await recipient.inbox.accept(delivery.delivery_id)

        assert fetched.document.document_id == issued.document.document_id
        assert [file.read_bytes() for file in fetched.files.values()] == [path.read_bytes()]
        assert fetched.signer.identity.organization == SENDER
        assert accepted.status == "03"
        assert accepted.arrival_number >= 1
        await statuses_become(sender, issued.document.document_id, ["01", "03"])

    async with operator(mesh, SENDER) as people:
        transfers, _ = await people.transfers(document_id=issued.document.document_id)
        assert [transfer.next_hop for transfer in transfers] == ["H01.15"]


async def statuses_become(sender: Agency, document_id: str, wanted: list[str]) -> None:
    found: list[str] = []
    for _ in range(300):
        found = [receipt.status for receipt in await sender.all_receipts(document_id)]
        if found == wanted:
            return
        await asyncio.sleep(0.1)
    assert found == wanted


async def test_a_refusal_of_the_server_is_the_same_exception_here(mesh: Mesh, tmp_path: Path) -> None:
    async with agency(mesh, SENDER) as sender:
        unsigned = await asyncio.to_thread(write_letter, LETTER, tmp_path / "unsigned.pdf")
        document = document_pb2.Document(
            organization=SENDER,
            type_name="Báo cáo",
            subject=LETTER.subject,
            attachments=[await sender.attach(unsigned, MAIN)],
        )
        issue = AlreadyIssued(number=8, notation=LETTER.notation, issued_date=LETTER.day.isoformat())
        with pytest.raises(DomainError) as refusal:
            await sender.submit(document, ["G22"], issue)

    assert refusal.value.reason == "LEADER_SIGNATURE_MISSING"
