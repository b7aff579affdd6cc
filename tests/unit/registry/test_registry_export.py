"""Printed registers: the columns of the annex, escaped and aligned."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from services.registry.domain import BookKey, Description, Direction, Entry, EntryState, Register
from services.registry.export import MAX_CHUNK, Chunks, HtmlPage, TextPage, cells_of, columns_of

ATTACK = "<script>alert('MẪU')</script> & \"x\""


def entry(direction: Direction, **options: object) -> Entry:
    facts: dict[str, object] = {
        "entry_id": UUID(int=1),
        "book": BookKey(Register("H01", direction, 2026, "")),
        "number": 5,
        "state": EntryState.ISSUED,
        "entry_date": date(2026, 3, 2),
        "notation": "QĐ-MAU",
        "description": Description(
            type_name="Quyết định", subject=ATTACK, recipients=("H01.15", "H01.03"), issued_date="2026-03-01"
        ),
        "void_reason": "",
        "envelope_id": None,
        "last_seq": 1,
        "change_time": datetime(2026, 3, 2, tzinfo=UTC),
    }
    return Entry(**{**facts, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", list(Direction))
def test_ten_columns_fill_the_page(direction: Direction) -> None:
    columns = columns_of(direction)
    assert len(columns) == 10
    assert sum(column.percent for column in columns) == 100
    assert len(cells_of(entry(direction))) == 10


def test_what_a_document_says_stays_text() -> None:
    page = HtmlPage(Register("H01", Direction.OUTGOING, 2026, ""), "UBND <MẪU>")
    line = page.line(cells_of(entry(Direction.OUTGOING)))
    assert "<script>" not in line + page.beginning()
    assert "&lt;script&gt;" in line
    assert "UBND &lt;MẪU&gt; (H01)" in page.beginning()


def test_a_void_number_says_why() -> None:
    void = entry(Direction.OUTGOING, state=EntryState.VOID, void_reason="trùng nội dung")
    assert cells_of(void)[0] == "05/QĐ-MAU"
    assert cells_of(void)[9] == "HỦY: trùng nội dung"


@pytest.mark.parametrize("direction", list(Direction))
def test_text_lines_are_aligned(direction: Direction) -> None:
    page = TextPage(Register("H01", direction, 2026, ""), "UBND tỉnh MẪU")
    table = (page.beginning() + page.line(cells_of(entry(direction)))).split("\n\n", 1)[1]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_chunks_are_bounded_and_lose_nothing() -> None:
    chunks = Chunks()
    text = "ộ" * MAX_CHUNK
    pieces = [*chunks.add(text), *chunks.add("x"), chunks.rest()]
    assert all(len(piece) <= MAX_CHUNK for piece in pieces)
    assert b"".join(pieces).decode() == text + "x"
