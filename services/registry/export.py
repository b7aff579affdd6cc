"""Registers as people print and bind them: the columns of decree 30/2020, annex IV, in their order. Pure.

Columns that are filled with a pen (who keeps the copy, how many copies, signatures) stay empty.
"""

from __future__ import annotations

import textwrap
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final

from services.registry.domain import Direction, Entry, EntryState, Register

MAX_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading in the annex, its width in characters (TEXT) and in percent (HTML)."""

    heading: str
    characters: int
    percent: int


_OUTGOING: Final = (
    Column("Số, ký hiệu văn bản", 16, 10),
    Column("Ngày tháng văn bản", 10, 8),
    Column("Tên loại và trích yếu nội dung văn bản", 36, 26),
    Column("Người ký", 16, 10),
    Column("Nơi nhận văn bản", 22, 15),
    Column("Đơn vị, người nhận bản lưu", 12, 8),
    Column("Số lượng bản", 6, 4),
    Column("Ngày chuyển", 10, 6),
    Column("Ký nhận", 8, 4),
    Column("Ghi chú", 16, 9),
)
_INCOMING: Final = (
    Column("Ngày đến", 10, 7),
    Column("Số đến", 6, 5),
    Column("Tác giả", 18, 12),
    Column("Số, ký hiệu văn bản", 16, 10),
    Column("Ngày tháng văn bản", 10, 8),
    Column("Tên loại và trích yếu nội dung văn bản", 36, 27),
    Column("Đơn vị hoặc người nhận", 14, 10),
    Column("Ngày chuyển", 10, 6),
    Column("Ký nhận", 8, 5),
    Column("Ghi chú", 16, 10),
)
_TITLES: Final = {
    Direction.OUTGOING: "SỔ ĐĂNG KÝ VĂN BẢN ĐI",
    Direction.INCOMING: "SỔ ĐĂNG KÝ VĂN BẢN ĐẾN",
}


def columns_of(direction: Direction) -> tuple[Column, ...]:
    """The columns of one kind of register."""
    return _OUTGOING if direction is Direction.OUTGOING else _INCOMING


def cells_of(entry: Entry) -> tuple[str, ...]:
    """One line of a register, cell by cell."""
    told = entry.description
    named = ", ".join(part for part in (told.type_name, told.subject) if part)
    if entry.book.register.direction is Direction.OUTGOING:
        recipients = "; ".join(told.recipients)
        code = entry.printed_code
        return (code, _day(entry.entry_date), named, told.signer, recipients, "", "", "", "", _note(entry))
    return (
        _day(entry.entry_date),
        f"{entry.number:02d}",
        told.author,
        told.code,
        _day(date.fromisoformat(told.issued_date)) if told.issued_date else "",
        named,
        "",
        "",
        "",
        _note(entry),
    )


class Page(ABC):
    """One form of the export: a beginning, a piece for each entry, an end."""

    def __init__(self, register: Register, organization: str) -> None:
        self.columns = columns_of(register.direction)
        self.title = _TITLES[register.direction]
        self.subtitle = f"Năm {register.year}" + (f" - Sổ {register.series}" if register.series else "")
        self.organization = f"{organization} ({register.organization})"

    @abstractmethod
    def beginning(self) -> str: ...

    @abstractmethod
    def line(self, cells: Sequence[str]) -> str: ...

    @abstractmethod
    def end(self) -> str: ...


class HtmlPage(Page):
    """A4 landscape; headings repeat on every sheet, no line breaks across two sheets."""

    def beginning(self) -> str:
        widths = "".join(f'<col style="width:{column.percent}%">' for column in self.columns)
        heads = "".join(f"<th>{escape(column.heading)}</th>" for column in self.columns)
        numbers = "".join(f"<td>({number})</td>" for number in range(1, len(self.columns) + 1))
        return (
            '<!DOCTYPE html>\n<html lang="vi"><head><meta charset="utf-8">'
            f"<title>{escape(self.title)} - {escape(self.organization)}</title>\n<style>"
            "@page{size:A4 landscape;margin:15mm 10mm}"
            'body{font-family:"Times New Roman","Noto Serif",serif;font-size:11pt}'
            "header{text-align:center}table{border-collapse:collapse;width:100%;table-layout:fixed}"
            "th,td{border:1px solid #000;padding:2pt 3pt;vertical-align:top;overflow-wrap:anywhere}"
            "thead{display:table-header-group}tr{break-inside:avoid}.numbers td{text-align:center}"
            "</style></head>\n<body><header>"
            f"<p>{escape(self.organization)}</p><h1>{escape(self.title)}</h1><p>{escape(self.subtitle)}</p>"
            f'</header>\n<table><colgroup>{widths}</colgroup><thead><tr>{heads}</tr><tr class="numbers">'
            f"{numbers}</tr></thead>\n<tbody>\n"
        )

    def line(self, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"

    def end(self) -> str:
        return "</tbody></table></body></html>\n"


class TextPage(Page):
    """Aligned columns for a terminal or a text file."""

    def beginning(self) -> str:
        head = f"{self.organization}\n{self.title}\n{self.subtitle}\n\n"
        return head + self._rule() + self.line([column.heading for column in self.columns])

    def line(self, cells: Sequence[str]) -> str:
        wrapped = [
            textwrap.wrap(unicodedata.normalize("NFC", cell), column.characters) or [""]
            for cell, column in zip(cells, self.columns, strict=True)
        ]
        rows = []
        for index in range(max(map(len, wrapped))):
            parts = (part[index] if index < len(part) else "" for part in wrapped)
            padded = (part.ljust(column.characters) for part, column in zip(parts, self.columns, strict=True))
            rows.append("| " + " | ".join(padded) + " |\n")
        return "".join(rows) + self._rule()

    def end(self) -> str:
        return ""

    def _rule(self) -> str:
        return "+-" + "-+-".join("-" * column.characters for column in self.columns) + "-+\n"


class Chunks:
    """Gathers pieces of text into chunks of at most MAX_CHUNK bytes."""

    def __init__(self) -> None:
        self._gathered = bytearray()

    def add(self, text: str) -> list[bytes]:
        """The full chunks that this piece completed."""
        self._gathered += text.encode()
        full = []
        while len(self._gathered) >= MAX_CHUNK:
            full.append(bytes(self._gathered[:MAX_CHUNK]))
            del self._gathered[:MAX_CHUNK]
        return full

    def rest(self) -> bytes:
        """What has not been given out."""
        return bytes(self._gathered)


def _note(entry: Entry) -> str:
    if entry.state is EntryState.VOID:
        state = f"HỦY: {entry.void_reason}"
    elif entry.state is EntryState.RESERVED:
        state = "Đã cấp số, chưa phát hành"
    elif entry.book.external:
        state = "Số do hệ thống của cơ quan cấp"
    else:
        state = ""
    return "; ".join(part for part in (state, entry.description.note) if part)


def _day(day: date) -> str:
    return day.strftime("%d/%m/%Y")
