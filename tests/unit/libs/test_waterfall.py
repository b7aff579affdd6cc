"""The waterfall: what is read from span files, how the tree stands, what is drawn."""

import json
from pathlib import Path
from typing import Any

import pytest
from lienthong.errors import InvalidArgument, NotFound
from lienthong.waterfall import Span, read_trace, render, rows

TRACE = "0af7651916cd43dd8448eb211c80319c"
OTHER = "1" * 32
MS = 1_000_000


def record(span_id: str, parent: str = "", **changes: Any) -> dict[str, Any]:
    return {
        "trace_id": TRACE,
        "span_id": span_id,
        "parent_id": parent,
        "name": "work",
        "service": "routing",
        "node": "G22",
        "start_ns": 0,
        "end_ns": MS,
        "status": "UNSET",
        "status_text": "",
        "attributes": {},
        "links": [],
    } | changes


def span(span_id: str, parent: str = "", start: int = 0, end: int = 10, **changes: Any) -> Span:
    fields = {"name": "work", "service": "routing", "node": "G22"} | changes
    return Span(TRACE, span_id, parent, start_ns=start * MS, end_ns=end * MS, **fields)


def write(path: Path, *records: dict[str, Any] | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_spans_of_one_trace_are_read_from_all_nodes(tmp_path: Path) -> None:
    write(tmp_path / "nodes/G22/spans.jsonl", record("a", start_ns=5), record("x", trace_id=OTHER))
    write(tmp_path / "nodes/H01/spans.jsonl", record("b", "a", node="H01", start_ns=2))

    found = read_trace([tmp_path], TRACE)

    assert [(s.span_id, s.node) for s in found] == [("b", "H01"), ("a", "G22")]


def test_a_line_cut_off_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    whole = json.dumps(record("a"))
    nested = '{"trace_id": "' + TRACE + '", "x": ' + "[" * 100_000
    file = write(
        tmp_path / "spans.jsonl", whole[:-20], nested, f'["{TRACE}"]', f'{{"trace_id": "{TRACE}"}}', whole
    )

    assert [s.span_id for s in read_trace([file], TRACE)] == ["a"]


@pytest.mark.parametrize("time", ["Infinity", "-Infinity", "NaN", "9" * 400, "-1", str(2**63), '"x"', "null"])
def test_a_time_that_cannot_be_spoils_no_other_line(tmp_path: Path, time: str) -> None:
    lying = json.dumps(record("b")).replace(f'"end_ns": {MS}', f'"end_ns": {time}')
    assert time in lying
    file = write(tmp_path / "spans.jsonl", lying, record("a", end_ns=2**63 - 1))

    found = read_trace([file], TRACE)

    assert [s.span_id for s in found] == ["a"]
    assert f"trace {TRACE}: 1 spans" in render(found)


def test_the_id_in_another_place_does_not_make_a_span_of_the_trace(tmp_path: Path) -> None:
    file = write(tmp_path / "spans.jsonl", record("a", trace_id=OTHER, links=[f"00-{TRACE}-{'2' * 16}-01"]))

    with pytest.raises(NotFound, match="TRACE_UNKNOWN"):
        read_trace([file], TRACE)


@pytest.mark.parametrize("trace_id", ["", "0AF7651916CD43DD8448EB211C80319C", "0af7", TRACE + "0"])
def test_what_is_no_trace_id_is_refused(tmp_path: Path, trace_id: str) -> None:
    with pytest.raises(InvalidArgument, match="TRACE_ID_INVALID"):
        read_trace([tmp_path], trace_id)


def test_children_stand_under_their_parents_by_start() -> None:
    spans = [span("c", "a", 7), span("a"), span("b", "a", 3), span("d", "b", 4), span("e", "gone", 1)]

    assert [(row.span.span_id, row.depth) for row in rows(spans)] == [
        ("a", 0),
        ("b", 1),
        ("d", 2),
        ("c", 1),
        ("e", 0),
    ]


def test_bars_lie_on_one_axis() -> None:
    spans = [span("a", start=0, end=100), span("b", "a", 50, 100, node="H01.15"), span("c", "a", 100, 100)]

    title, *lines = render(spans, width=120).splitlines()
    bars = [line.split("|")[1] for line in lines]

    assert title == f"trace {TRACE}: 3 spans, 2 nodes, 100.0 ms"
    assert len({len(bar) for bar in bars}) == 1
    assert set(bars[0]) == {"█"}
    half = len(bars[1]) // 2
    assert bars[1] == " " * half + "█" * (len(bars[1]) - half)
    assert bars[2].strip() == "█"
    assert bars[2].endswith("█")


def test_failures_say_their_reason() -> None:
    text = render([span("a", status="ERROR", status_text="DATABASE_BUSY"), span("b", status="ERROR")])

    first, second = text.splitlines()[1:]
    assert first.endswith("| DATABASE_BUSY")
    assert second.endswith("| ERROR")


def test_names_are_short_and_tame() -> None:
    name = "/lienthong.routing.v1.InboxService/ListInbox"
    text = render([span("a", name=name), span("b", name="kim\x1b[31m đỏ"), span("c", name="x" * 500)])

    assert "  InboxService/ListInbox  " in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 140


def test_what_nodes_wrote_draws_no_lines_of_its_own() -> None:
    evil = "x\x1b[2J\nH99"
    text = render([span("a", node=evil, service=evil, status="ERROR", status_text=evil)])

    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_nothing_is_drawn_of_nothing() -> None:
    assert render([]) == ""
