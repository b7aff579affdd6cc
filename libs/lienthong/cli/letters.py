"""What send and reply have in common: their options, and the letter that these describe."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from lienthong.cli.exits import UsageRefused
from lienthong.cli.helping import existing

if TYPE_CHECKING:
    from lienthong.client.agency import AlreadyIssued, IssueHere
    from lienthong.types.v1 import document_pb2

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="Văn bản chính, rồi các phụ lục / the document, then annexes."),
]
Copies = Annotated[
    list[Path] | None, typer.Option("--copy", metavar="FILE", help="Bản sao y / copy. Lặp lại được.")
]
Editables = Annotated[
    list[Path] | None,
    typer.Option("--editable", metavar="FILE", help="Bản soạn thảo / editable edition. Lặp lại được."),
]
Subject = Annotated[
    str, typer.Option("--subject", metavar="WORDS", help="Trích yếu / subject.", show_default=False)
]
Kind = Annotated[str, typer.Option("--type", metavar="NAME", help="Loại văn bản / kind of document.")]
Urgency = Annotated[
    str,
    typer.Option(
        "--urgency", metavar="GRADE", help="thường, khẩn, thượng-khẩn, hỏa-tốc (ordinary ... flash)."
    ),
]
Due = Annotated[
    str, typer.Option("--due", metavar="DAY", help="Hạn trả lời / due day: 2026-12-07, 07/12/2026.")
]
Notation = Annotated[
    str, typer.Option("--notation", metavar="QĐ-BNV", help="Ký hiệu / notation: QĐ-BNV. Nút cấp số.")
]
Series = Annotated[str, typer.Option("--series", metavar="NAME", help="Sổ riêng / series of the register.")]
Number = Annotated[
    str,
    typer.Option("--number", metavar="N", help="Số đã cấp: 15 hoặc 15/QĐ-BNV / numbered and sealed already."),
]
Issued = Annotated[
    str, typer.Option("--date", metavar="DAY", help="Ngày ban hành, cùng --number / its date of issue.")
]
Signer = Annotated[str, typer.Option("--signer", metavar="NAME", help="Họ tên người ký / who signed.")]
Position = Annotated[str, typer.Option("--position", metavar="WORDS", help="Chức vụ người ký / position.")]
RequestId = Annotated[
    str,
    typer.Option("--request-id", metavar="UUID", help="Mã yêu cầu để gửi lại an toàn / for a safe repeat."),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Chờ đến khi phát hành / wait until issued.")]
Delivered = Annotated[
    bool, typer.Option("--delivered", help="Chờ đủ xác nhận 01 / wait for every receipt 01.")
]
Within = Annotated[
    float, typer.Option("--within", metavar="SECONDS", help="Chờ tối đa, giây / seconds to wait.", min=1)
]


@dataclass(frozen=True, slots=True)
class Letter:
    """What send and reply have in common."""

    files: tuple[tuple[Path, str], ...]
    subject: str
    type_name: str
    urgency: str
    due: str
    signer: str
    position: str
    notation: str
    series: str
    number: str
    issued: str
    request_id: uuid.UUID | None
    wait: bool
    delivered: bool
    within: float

    def issue(self) -> IssueHere | AlreadyIssued:
        """Which way in: with a number the own software issued it, without one the node does."""
        from lienthong.cli import reading
        from lienthong.client.agency import AlreadyIssued, IssueHere

        number, notation = reading.number_and_notation(self.number, self.notation)
        if not number:
            if self.issued:
                message = "--date goes with --number: here the node gives number and date"
                raise UsageRefused("NUMBER_MALFORMED", message, field="date")
            return IssueHere(series=self.series, notation=notation)
        if not self.issued:
            raise UsageRefused("DAY_MALFORMED", "--number also needs --date, the day of issue", field="date")
        day = reading.day(self.issued, "date")
        return AlreadyIssued(series=self.series, number=number, notation=notation, issued_date=day)

    def document(self, organization: str) -> document_pb2.Document:
        """Its metadata, without files."""
        from lienthong.cli import reading
        from lienthong.types.v1 import document_pb2

        return document_pb2.Document(
            organization=organization,
            type_name=self.type_name,
            subject=self.subject,
            urgency=reading.urgency(self.urgency),
            secrecy=document_pb2.SECRECY_NONE,
            signer_name=self.signer,
            signer_position=self.position,
            due_date=reading.day(self.due, "due") if self.due else "",
        )


def files_of(
    files: list[Path], copies: list[Path] | None, editables: list[Path] | None
) -> tuple[tuple[Path, str], ...]:
    """Each file with its role; all of them there before anything is sent."""
    named = [(files[0], "MAIN"), *((path, "ANNEX") for path in files[1:])]
    named += [(path, "COPY") for path in copies or ()]
    named += [(path, "EDITABLE") for path in editables or ()]
    return tuple((existing(path), role) for path, role in named)


def request_id_of(text: str) -> uuid.UUID | None:
    from lienthong.ids import parse_id

    return parse_id(text, "request-id") if text else None


def check(letter: Letter) -> None:
    """What can be seen to be wrong before anything is uploaded."""
    if letter.delivered and not letter.wait:
        raise UsageRefused("OPTIONS_EXCLUSIVE", "--delivered waits, --no-wait does not", field="delivered")
    if not letter.subject.strip():
        raise UsageRefused("SUBJECT_NOT_GIVEN", "say what it is about: --subject", field="subject")
    letter.document("G22")
    letter.issue()
