"""The demo's checks: a whole day passes; a day on which one thing went wrong fails by that thing's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lienthong.demo.checks import path_between, verify
from lienthong.demo.seen import Book, Day, Refusal, count
from lienthong.registry.v1 import register_pb2
from lienthong.types.v1 import document_pb2
from lienthong.waterfall import Span

from tests.unit.libs.demo_day import REFUSING, REPLYING, SENDER, TOPOLOGY, whole_day


def _failing(day: Day) -> list[str]:
    return [check.name for check in verify(day, TOPOLOGY) if not check.holds]


def test_a_whole_day_holds(tmp_path: Path) -> None:
    day = whole_day(tmp_path)
    assert [check.faults for check in verify(day, TOPOLOGY)] == [()] * len(verify(day, TOPOLOGY))
    totals = count(day)
    assert (totals.delivered, totals.recipients, totals.refused) == (2, 2, 1)
    assert (totals.lost, totals.duplicated, totals.gaps) == (0, 0, 0)


def _lose(day: Day) -> None:
    del day.document.arrivals[REPLYING]


def _double(day: Day) -> None:
    arrival = day.document.arrivals[REPLYING]
    arrival.items = [*arrival.items, *arrival.items]


def _kill_too_early(day: Day) -> None:
    day.killed_at = "QUEUED"


def _other_bytes(day: Day) -> None:
    for report in day.document.arrivals[REPLYING].judged.values():
        report.sha256 = bytes(32)


def _invalid(day: Day) -> None:
    for report in day.document.arrivals[REFUSING].judged.values():
        report.verdict = document_pb2.VERDICT_INVALID


def _unstamped(day: Day) -> None:
    for report in day.reply.arrivals[SENDER].judged.values():
        report.level = "B-B"


def _unsealed(day: Day) -> None:
    for report in day.reply.arrivals[SENDER].judged.values():
        del report.signatures[1]


def _no_receipt(day: Day) -> None:
    day.document.receipts = [r for r in day.document.receipts if (r.recipient, r.status) != (REFUSING, "01")]


def _refused_without_reason(day: Day) -> None:
    refusal = day.document.receipt(REFUSING, "02")
    assert refusal is not None
    refusal.reason = ""


def _accepted_by_all(day: Day) -> None:
    refusal = day.document.receipt(REFUSING, "02")
    assert refusal is not None
    refusal.status = "03"


def _altered_reply(day: Day) -> None:
    day.reply.sources = {"MAIN.pdf": bytes(32)}


def _secret_taken(day: Day) -> None:
    day.refusals[0] = Refusal("DECLARED_SECRET", "SECRET_REFUSED", "")


def _detour(day: Day) -> None:
    del day.document.branch(REPLYING).hops[1]


def _silent_node(day: Day) -> None:
    day.spans = [span for span in day.spans if span.node != "H01.15"]


def _gap(day: Day) -> None:
    day.books[0].check.missing.append(2)


def _wasted_number(day: Day) -> None:
    stray = register_pb2.Entry(number=2, description=register_pb2.Description(document_id="other"))
    first = day.books[0]
    day.books[0] = Book(first.organization, True, first.check, [*first.entries, stray])


def _stray_item(day: Day) -> None:
    day.strays[REFUSING] = 1


@pytest.mark.parametrize(
    ("go_wrong", "named"),
    [
        (_lose, "one inbox item"),
        (_double, "one inbox item"),
        (_stray_item, "one inbox item"),
        (_kill_too_early, "killed"),
        (_other_bytes, "files as signed"),
        (_invalid, "valid, B-T"),
        (_unstamped, "valid, B-T"),
        (_unsealed, "valid, B-T"),
        (_no_receipt, "receipts 01"),
        (_refused_without_reason, "accepted, refused"),
        (_accepted_by_all, "accepted, refused"),
        (_altered_reply, "reply accepted"),
        (_secret_taken, "refusals"),
        (_detour, "journey"),
        (_silent_node, "one trace"),
        (_gap, "registers"),
        (_wasted_number, "registers"),
    ],
)
def test_what_goes_wrong_is_named(go_wrong: Callable[[Day], None], named: str, tmp_path: Path) -> None:
    day = whole_day(tmp_path)
    go_wrong(day)
    assert any(named in name for name in _failing(day)), _failing(day)


def test_counts_come_from_what_was_seen(tmp_path: Path) -> None:
    day = whole_day(tmp_path)
    _lose(day)
    _stray_item(day)
    _gap(day)
    totals = count(day)
    assert (totals.delivered, totals.recipients) == (1, 2)
    assert (totals.lost, totals.duplicated, totals.gaps) == (1, 1, 1)


@pytest.mark.parametrize(
    ("start", "end", "path"),
    [
        ("G22", "G22", ["G22"]),
        ("G22", "H01.15", ["G22", "H01", "H01.15"]),
        ("H01.15.07", "G22", ["H01.15.07", "H01.15", "H01", "G22"]),
        ("H01.15.07", "H01.15", ["H01.15.07", "H01.15"]),
        ("H01.15", "H01.15.07", ["H01.15", "H01.15.07"]),
    ],
)
def test_the_way_between_two_nodes(start: str, end: str, path: list[str]) -> None:
    assert path_between(TOPOLOGY, start, end) == path


def test_services_of_a_trace_are_those_it_calls() -> None:
    spans = [
        Span("t", "1", "", "/lienthong.signing.v1.SigningService/SignDocument", "node", "G22", 0, 1),
        Span("t", "2", "1", "offer to H01", "node", "G22", 0, 1),
    ]
    day = Day(document=None, reply=None, spans=spans)  # type: ignore[arg-type]
    assert day.trace_services == ["signing"]
