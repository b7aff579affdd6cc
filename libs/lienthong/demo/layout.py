"""One page in the layout of decree 30/2020, annex I: agency left, national title right, room for what is
filled in and signed later.

The places of number, date and signature are part of the layout: whoever draws the page knows them.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import fontpkg_noto_serif
from lienthong.client.signing import Placement, Placements
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

# Annex I, I.2: margins of 30 to 35 mm on the left, 15 to 20 mm on the right.
_LEFT: Final = 85.0
_RIGHT: Final = A4[0] - 51.0
_AGENCY_X: Final = 178.0
_NATION_X: Final = 410.0
_SIGNER_X: Final = 440.0
_NUMBER_Y: Final = 741.0
_POSITION_Y: Final = 365.0
_NAME_Y: Final = 246.0
_LOWEST_BODY_Y: Final = 392.0
_SIZE: Final = 13.0
# From the foot of a field to the line that its text will stand on, when the node fills it.
_DESCENT: Final = 5.3

# Where `lienthong.agency_signing` puts the leader's signature too: one page layout for both ways in.
LEADER_PLACE: Final = Placement(page=0, left=345, bottom=270, width=190, height=70)

REGULAR: Final = "DemoSerif"
ITALIC: Final = "DemoSerif-Italic"
_FACES: Final = {REGULAR: "NotoSerif[wdth,wght].ttf", ITALIC: "NotoSerif-Italic[wdth,wght].ttf"}


@dataclass(frozen=True, slots=True)
class Page:
    """What one official document says. Without `number` and `day` it leaves room for both.

    A document with a `title` ("BÁO CÁO") prints it over its subject; one without is a công văn, whose
    subject stands under the number as "V/v ...".
    """

    agency: str
    notation: str
    place: str
    subject: str
    addressees: tuple[str, ...]
    paragraphs: tuple[str, ...]
    copies: tuple[str, ...]
    authority: str
    position: str
    signer: str
    superior: str = ""
    title: str = ""
    urgency: str = ""
    number: int | None = None
    day: date | None = None


class PageFullError(ValueError):
    """The text needs more than the one page that this layout has."""


def draw(page: Page, target: Path) -> Placements:
    """Write the PDF, and say where number, date and the leader's signature go."""
    _register_faces()
    # Uncompressed and invariant: equal words give equal bytes, whoever looks inside can read them.
    canvas = Canvas(str(target), pagesize=A4, invariant=1)
    canvas.setTitle(f"MẪU - {page.subject}")
    canvas.setAuthor(page.agency)
    _head(canvas, page)
    number = _number(canvas, page)
    day = _place_and_date(canvas, page)
    _body(canvas, page, _subject(canvas, page))
    _closing(canvas, page)
    canvas.showPage()
    canvas.save()
    return Placements(number=number, date=day, leader=LEADER_PLACE)


def printed_date(day: date) -> str:
    """Annex I, II.4: days below 10 take a leading zero, and of the months only 1 and 2."""
    month = f"{day.month:02d}" if day.month <= 2 else str(day.month)
    return f"ngày {day.day:02d} tháng {month} năm {day.year}"


def _head(canvas: Canvas, page: Page) -> None:
    y = 796.0
    if page.superior:
        _centred(canvas, _AGENCY_X, y, page.superior.upper(), 12)
        y -= 15
    _centred(canvas, _AGENCY_X, y, page.agency.upper(), 12, bold=True)
    _rule(canvas, _AGENCY_X, y - 5, _width(page.agency.upper(), 12) * 0.4)
    _centred(canvas, _NATION_X, 796, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", 11.5, bold=True)
    motto = "Độc lập - Tự do - Hạnh phúc"
    _centred(canvas, _NATION_X, 780, motto, 13, bold=True)
    _rule(canvas, _NATION_X, 775, _width(motto, 13))


def _number(canvas: Canvas, page: Page) -> Placement:
    """`Số:      /VPCP-TH`, centred under the agency; the gap takes three digits."""
    gap = 23.0
    number = f"{page.number:02d}" if page.number is not None else ""
    before, after = "Số: ", f"/{page.notation}"
    middle = _width(number, _SIZE) if number else gap
    start = _AGENCY_X - (_width(before, _SIZE) + middle + _width(after, _SIZE)) / 2
    left = start + _width(before, _SIZE)
    _text(canvas, start, _NUMBER_Y, before + number, _SIZE)
    _text(canvas, left + middle, _NUMBER_Y, after, _SIZE)
    return Placement(page=0, left=left, bottom=_NUMBER_Y - _DESCENT, width=gap, height=18)


def _place_and_date(canvas: Canvas, page: Page) -> Placement:
    """`Hà Nội, ngày ... tháng ... năm ...` in italics, centred under the national title."""
    before = f"{page.place}, "
    room = _width("ngày 30 tháng 12 năm 2026", _SIZE, ITALIC) + 2
    left = _NATION_X - (_width(before, _SIZE, ITALIC) + room) / 2
    _text(canvas, left, _NUMBER_Y, before, _SIZE, ITALIC)
    left += _width(before, _SIZE, ITALIC)
    if page.day is not None:
        _text(canvas, left, _NUMBER_Y, printed_date(page.day), _SIZE, ITALIC)
    return Placement(page=0, left=left, bottom=_NUMBER_Y - _DESCENT, width=room, height=18)


def _subject(canvas: Canvas, page: Page) -> float:
    """The subject and the mark of urgency; returns the height from which the body may go on."""
    y = _NUMBER_Y - 20
    if page.title:
        _centred(canvas, A4[0] / 2, y - 22, page.title, 14, bold=True)
        lines = simpleSplit(page.subject, REGULAR, _SIZE, 430)
        for index, line in enumerate(lines):
            _centred(canvas, A4[0] / 2, y - 42 - 17 * index, line, _SIZE, bold=True)
        return y - 70 - 17 * len(lines)
    for line in simpleSplit(f"V/v {page.subject}", REGULAR, 12, 190):
        _centred(canvas, _AGENCY_X, y, line, 12)
        y -= 15
    if page.urgency:
        y -= 14
        # Annex I, II.10b: 20 mm by 8 mm, bold capitals in a single frame.
        canvas.setLineWidth(0.8)
        canvas.rect(_AGENCY_X - 36, y - 7, 72, 23)
        _centred(canvas, _AGENCY_X, y, page.urgency.upper(), 13, bold=True)
        y -= 18
    return y - 14


def _body(canvas: Canvas, page: Page, y: float) -> None:
    if len(page.addressees) == 1:
        _centred(canvas, A4[0] / 2, y, f"Kính gửi: {page.addressees[0]}", _SIZE)
    else:
        _text(canvas, 190, y, "Kính gửi:", _SIZE)
        for index, addressee in enumerate(page.addressees):
            end = "." if index == len(page.addressees) - 1 else ";"
            _text(canvas, 255, y, f"- {addressee}{end}", _SIZE)
            y -= 17 if end == ";" else 0
    y -= 14
    style = ParagraphStyle(
        "body", fontName=REGULAR, fontSize=_SIZE, leading=17.5, firstLineIndent=28, alignment=TA_JUSTIFY
    )
    for words in page.paragraphs:
        paragraph = Paragraph(words, style)
        _, height = paragraph.wrap(_RIGHT - _LEFT, y)
        y -= height
        if y < _LOWEST_BODY_Y:
            raise PageFullError(f"the body ends at {y:.0f}, below {_LOWEST_BODY_Y:.0f}")
        paragraph.drawOn(canvas, _LEFT, y)
        y -= 5


def _closing(canvas: Canvas, page: Page) -> None:
    """Recipients of copies on the left, authority, position and full name on the right."""
    _text(canvas, _LEFT, _POSITION_Y, "Nơi nhận:", 12, ITALIC, bold=True)
    for index, copy in enumerate(page.copies):
        end = "." if index == len(page.copies) - 1 else ";"
        _text(canvas, _LEFT, _POSITION_Y - 15 - 14 * index, f"- {copy}{end}", 11)
    if page.authority:
        _centred(canvas, _SIGNER_X, _POSITION_Y + 16, page.authority.upper(), _SIZE, bold=True)
    _centred(canvas, _SIGNER_X, _POSITION_Y, page.position.upper(), _SIZE, bold=True)
    _centred(canvas, _SIGNER_X, _NAME_Y, page.signer, _SIZE, bold=True)
    canvas.setFillGray(0.45)
    _centred(canvas, A4[0] / 2, 42, "VĂN BẢN MẪU - không có giá trị pháp lý (TEST)", 9, ITALIC)
    canvas.setFillGray(0)


def _text(
    canvas: Canvas, x: float, y: float, words: str, size: float, face: str = REGULAR, *, bold: bool = False
) -> None:
    canvas.setFont(face, size)
    # The wheel's variable typeface is regular only: its outline, drawn too, makes it bold.
    canvas.setLineWidth(size * 0.032)
    canvas.drawString(x, y, words, mode=2 if bold else 0)


def _centred(
    canvas: Canvas, x: float, y: float, words: str, size: float, face: str = REGULAR, *, bold: bool = False
) -> None:
    _text(canvas, x - _width(words, size, face) / 2, y, words, size, face, bold=bold)


def _rule(canvas: Canvas, x: float, y: float, length: float) -> None:
    canvas.setLineWidth(0.7)
    canvas.line(x - length / 2, y, x + length / 2, y)


def _width(words: str, size: float, face: str = REGULAR) -> float:
    return float(pdfmetrics.stringWidth(words, face, size))


@functools.cache
def _register_faces() -> None:
    """Noto Serif has every Vietnamese letter; read once."""
    for name, file in _FACES.items():
        pdfmetrics.registerFont(TTFont(name, str(fontpkg_noto_serif.ROOT / "files" / file)))
