"""The files of the day: the Government Office's draft, the commune's answer, and what must be refused.

All words are our own and say MẪU; nobody is quoted.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Final

from lienthong.client import Placements
from lienthong.demo.layout import Page, draw
from lienthong.mesh import Organization, Topology
from lienthong.pki.identity import Kind
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

NOTATION: Final = "VPCP-TH"
REPLY_NOTATION: Final = "BC-UBND"
SUBJECT: Final = "rà soát việc gửi, nhận văn bản điện tử giữa bốn cấp"
REPLY_SUBJECT: Final = "Kết quả rà soát việc gửi, nhận văn bản điện tử tại xã MẪU"

_ANNEXES: Final = {
    "cong-van-mau.docx": "phu-luc-1-huong-dan.docx",
    "phu-luc-mau.xlsx": "phu-luc-2-so-lieu.xlsx",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted PDF and the places that its fields will take."""

    path: Path
    placements: Placements


def draft_dispatch(topology: Topology, recipients: tuple[str, ...], due: date, folder: Path) -> Draft:
    """The Government Office's công văn, without number, date and signatures."""
    office = topology.organization("G22")
    leader = next(office.of_kind(Kind.LEADER))
    named = tuple(topology.organization(code).name for code in recipients)
    page = Page(
        agency=office.name,
        notation=NOTATION,
        place="Hà Nội",
        subject=SUBJECT,
        urgency="Khẩn",
        addressees=named,
        paragraphs=_dispatch_words(due),
        copies=("Như trên", "Lãnh đạo Văn phòng (để báo cáo)", "Lưu: VT, TH"),
        authority="KT. CHỦ NHIỆM",
        position=leader.position,
        signer=leader.title,
    )
    target = folder / "du-thao.pdf"
    return Draft(target, draw(page, target))


def draft_reply(topology: Topology, number: int, day: date, answered: str, folder: Path) -> Path:
    """The commune's report: numbered and dated by the commune's own software, not yet signed."""
    commune = topology.organization("H01.15.07")
    page = Page(
        superior=superior_name(topology, commune),
        agency=commune.name,
        notation=REPLY_NOTATION,
        number=number,
        place="Xã MẪU",
        day=day,
        title="BÁO CÁO",
        subject=REPLY_SUBJECT,
        addressees=(topology.organization("G22").name,),
        paragraphs=_reply_words(answered),
        copies=("Như trên", "Lưu: VT"),
        authority="TM. ỦY BAN NHÂN DÂN",
        position=next(commune.of_kind(Kind.LEADER)).position,
        signer=next(commune.of_kind(Kind.LEADER)).title,
    )
    target = folder / "bao-cao-chua-ky.pdf"
    draw(page, target)
    return target


def superior_name(topology: Topology, organization: Organization) -> str:
    """The name printed over an agency's own; empty for one without a superior."""
    return topology.organization(organization.superior).name if organization.superior else ""


def annexes(folder: Path) -> tuple[Path, ...]:
    """The DOCX and the XLSX annex: the sample files that ship with the project."""
    shipped = resources.files("lienthong.demo") / "samples"
    copied = []
    for sample, name in _ANNEXES.items():
        with resources.as_file(shipped / sample) as source:
            copied.append(Path(shutil.copyfile(source, folder / name)))
    return tuple(copied)


def tampered(signed: Path, target: Path) -> Path:
    """A signed PDF whose first page was given other words afterwards, the way an editor saves a change."""
    with signed.open("rb") as stream, target.open("wb") as output:
        writer = IncrementalPdfFileWriter(stream)
        page = writer.root["/Pages"]["/Kids"][0]
        words = generic.StreamObject(stream_data=b"BT /F1 14 Tf 85 700 Td (NOI DUNG DA BI SUA) Tj ET")
        page[generic.pdf_name("/Contents")] = writer.add_object(words)
        writer.update_container(page)
        writer.write(output)
    return target


def _dispatch_words(due: date) -> tuple[str, ...]:
    purpose = (
        "Để chuẩn bị đánh giá việc gửi, nhận văn bản điện tử có ký số từ trung ương đến cấp xã, Văn phòng "
        "Chính phủ MẪU đề nghị các cơ quan rà soát danh mục mã định danh, chứng thư số và sổ đăng ký văn bản "
        "của đơn vị mình theo hướng dẫn tại Phụ lục 1 và biểu số liệu tại Phụ lục 2 kèm theo."
    )
    return (
        purpose,
        f"Báo cáo kết quả gửi về Văn phòng Chính phủ MẪU trên hệ thống liên thông trước ngày {due:%d/%m/%Y}.",
    )


def _reply_words(answered: str) -> tuple[str, ...]:
    beginning = (
        f"Thực hiện Công văn số {answered} của Văn phòng Chính phủ MẪU, "
        "Ủy ban nhân dân xã MẪU báo cáo như sau:"
    )
    checked = (
        "2. Văn bản đến được kiểm tra chữ ký số và dấu thời gian trên từng tệp trước khi vào sổ; "
        "không có văn bản thất lạc, không có văn bản trùng."
    )
    return (
        beginning,
        "1. Mã định danh của xã đúng với danh mục; chứng thư số của cơ quan và của Chủ tịch còn hiệu lực.",
        checked,
        "3. Số đi và số đến trong năm liên tục, không có khoảng trống.",
    )
