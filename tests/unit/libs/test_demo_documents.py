"""The demo's documents: room for number, date and signature where the law wants them, and our own words."""

# mypy: allow-untyped-calls

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from lienthong.client import Placement
from lienthong.demo import documents
from lienthong.demo.layout import Page, PageFullError, draw, printed_date
from lienthong.demo.story import RECIPIENTS
from lienthong.mesh import Topology
from pyhanko.pdf_utils.reader import PdfFileReader
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

TOPOLOGY = Topology.four_levels()
DUE = date(2026, 12, 7)


class _Drawn:
    """What a page draws, written down as (left, baseline, words, size)."""

    def __init__(self) -> None:
        self.words: list[tuple[float, float, str, float]] = []

    def text(self, canvas: Canvas, x: float, y: float, words: str, **_: object) -> None:
        self.words.append((x, y, words, canvas._fontsize))

    def inside(self, place: Placement) -> list[str]:
        """The words that would lie in or run through a field."""
        return [
            words
            for x, y, words, size in self.words
            if place.bottom <= y < place.bottom + place.height
            and x < place.left + place.width
            and x + pdfmetrics.stringWidth(words, "DemoSerif", size) > place.left + 0.5
        ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> _Drawn:
    seen, original = _Drawn(), Canvas.drawString

    def spy(canvas: Canvas, x: float, y: float, words: str, **options: object) -> None:
        seen.text(canvas, x, y, words)
        original(canvas, x, y, words, **options)

    monkeypatch.setattr(Canvas, "drawString", spy)
    return seen


def _places(draft: documents.Draft) -> Sequence[Placement]:
    return (draft.placements.number, draft.placements.date, draft.placements.leader)


def test_number_date_and_signature_have_room_of_their_own(tmp_path: Path, drawn: _Drawn) -> None:
    draft = documents.draft_dispatch(TOPOLOGY, RECIPIENTS, DUE, tmp_path)
    for place in _places(draft):
        assert drawn.inside(place) == []
        assert 0 < place.left < place.left + place.width < A4[0]
        assert 0 < place.bottom < place.bottom + place.height < A4[1]
    longest = pdfmetrics.stringWidth("ngày 30 tháng 12 năm 2026", "DemoSerif-Italic", 13)
    assert draft.placements.date.width >= longest
    assert draft.placements.number.width >= pdfmetrics.stringWidth("999", "DemoSerif", 13)


def test_the_number_stands_between_its_word_and_the_notation(tmp_path: Path, drawn: _Drawn) -> None:
    draft = documents.draft_dispatch(TOPOLOGY, RECIPIENTS, DUE, tmp_path)
    line = {words.strip(): x for x, _, words, _ in drawn.words}
    number = draft.placements.number
    assert line["Số:"] < number.left < line[f"/{documents.NOTATION}"]
    assert line[f"/{documents.NOTATION}"] == pytest.approx(number.left + number.width, abs=0.1)


def test_a_numbered_document_prints_number_and_date(tmp_path: Path, drawn: _Drawn) -> None:
    documents.draft_reply(TOPOLOGY, 7, date(2026, 2, 5), "01/VPCP-TH", tmp_path)
    words = [words for _, _, words, _ in drawn.words]
    assert "Số: 07" in words
    assert "ngày 05 tháng 02 năm 2026" in words
    assert "BÁO CÁO" in words


@pytest.mark.parametrize(
    ("day", "printed"),
    [
        (date(2026, 1, 1), "ngày 01 tháng 01 năm 2026"),
        (date(2026, 3, 9), "ngày 09 tháng 3 năm 2026"),
        (date(2026, 12, 31), "ngày 31 tháng 12 năm 2026"),
    ],
)
def test_dates_are_printed_as_the_annex_says(day: date, printed: str) -> None:
    assert printed_date(day) == printed


def test_it_says_what_it_is(tmp_path: Path, drawn: _Drawn) -> None:
    documents.draft_dispatch(TOPOLOGY, RECIPIENTS, DUE, tmp_path)
    words = " ".join(words for _, _, words, _ in drawn.words)
    for part in (
        "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM",
        "Kính gửi:",
        "Nơi nhận:",
        "KHẨN",
        "V/v",
        "VĂN BẢN MẪU",
    ):
        assert part in words


def test_equal_words_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        draft = documents.draft_dispatch(TOPOLOGY, RECIPIENTS, DUE, folder)
        digests.add(hashlib.sha256(draft.path.read_bytes()).digest())
    assert len(digests) == 1


def test_words_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    page = Page("CƠ QUAN MẪU", "MAU", "Hà Nội", "thử", ("A",), ("dài " * 200,), (), "", "GIÁM ĐỐC", "Mẫu")
    with pytest.raises(PageFullError):
        draw(replace(page, paragraphs=page.paragraphs * 3), tmp_path / "full.pdf")


def test_annexes_are_the_samples_under_names_of_their_own(tmp_path: Path) -> None:
    assert [path.suffix for path in documents.annexes(tmp_path)] == [".docx", ".xlsx"]
    assert all(path.read_bytes()[:2] == b"PK" for path in documents.annexes(tmp_path))


def test_tampering_adds_to_the_file_and_shows_other_words(tmp_path: Path) -> None:
    draft = documents.draft_dispatch(TOPOLOGY, RECIPIENTS, DUE, tmp_path)
    changed = documents.tampered(draft.path, tmp_path / "changed.pdf")
    before = draft.path.read_bytes()
    assert changed.read_bytes().startswith(before)
    with changed.open("rb") as stream:
        page = PdfFileReader(stream).root["/Pages"]["/Kids"][0]
        assert b"DA BI SUA" in page["/Contents"].data
