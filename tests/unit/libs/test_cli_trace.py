"""The waterfall from the hop facts that the nodes signed, with local spans or without any."""

from __future__ import annotations

from lienthong.types.v1 import document_pb2
from lienthong.waterfall import Hop, Span, hops_of, own_work, render_transport

TRACE = "0af7651916cd43dd8448eb211c80319c"
MS = 1_000_000


def fact(node: str, begin: int, end: int, span_id: str = "") -> document_pb2.HopFact:
    found = document_pb2.HopFact(node=node, span_id=span_id or node)
    found.in_time.FromNanoseconds(begin * MS)
    found.out_time.FromNanoseconds(end * MS)
    return found


def span(span_id: str, parent: str, name: str, node: str = "G22", start: int = 0, end: int = 10) -> Span:
    return Span(TRACE, span_id, parent, name, "node", node, start * MS, end * MS)


def test_what_recipients_share_is_one_hop() -> None:
    office, province = fact("G22", 0, 10), fact("H01", 20, 30)
    hops = hops_of(
        {
            "H01": [office, fact("H01", 20, 50)],
            "H01.15": [office, province, fact("H01.15", 40, 60)],
            "H01.15.09": [office, province, fact("H01.15", 40, 65)],
        }
    )

    assert hops == [
        Hop("G22", "H01", "G22", 0, 10 * MS, ("H01", "H01.15", "H01.15.09")),
        Hop("H01", "H01.15", "H01", 20 * MS, 30 * MS, ("H01.15", "H01.15.09")),
        Hop("H01", "", "H01", 20 * MS, 50 * MS, ("H01",)),
        Hop("H01.15", "", "H01.15", 40 * MS, 65 * MS, ("H01.15", "H01.15.09")),
    ]


def test_transfers_that_were_sent_apart_stay_apart() -> None:
    ways = {code: [fact("G22", 0, 5, f"span {code}"), fact("H01", 8, 9)] for code in ("H01", "H01.03")}

    assert [hop.recipients for hop in hops_of(ways) if hop.node == "G22"] == [("H01",), ("H01.03",)]


def test_hop_facts_alone_are_enough() -> None:
    hops = hops_of({"H01": [fact("G22", 0, 25), fact("H01", 50, 100)]})

    title, *lines = render_transport(TRACE, hops, width=100).splitlines()

    assert title == f"trace {TRACE}: 2 hops, 0 spans, 2 nodes, 100.0 ms"
    assert [line.split()[:3] for line in lines] == [["G22", "→", "H01"], ["H01", "●", "[H01]"]]
    first, second = (line.split("|")[1] for line in lines)
    assert len(first) == len(second)
    assert first.strip() == "▒" * first.count("▒")
    assert first.startswith("▒")
    assert abs(first.count("▒") - len(first) / 4) <= 1
    assert second.endswith("▒")
    assert abs(second.count("▒") - len(second) / 2) <= 1
    assert max(map(len, lines)) <= 100


def test_hop_facts_may_lie_as_they_like() -> None:
    lying = fact("H01\x1b[2J\nH99", 50, 100)
    lying.out_time.seconds = 2**62
    lying.out_time.nanos = -5

    text = render_transport(TRACE, hops_of({"H01": [fact("G22", 0, 25), lying]}), width=100)

    assert "\x1b" not in text
    assert len(text.splitlines()) == 3


def test_local_spans_stand_beneath_their_node() -> None:
    hops = hops_of({"H01": [fact("G22", 0, 25), fact("H01", 50, 100)]})
    spans = [span("a", "", "submit"), span("b", "a", "issue", end=5), span("c", "b", "arrive", "H01", 60, 70)]

    lines = render_transport(TRACE, hops, spans, width=100).splitlines()[1:]

    assert [line.split("|")[0].split()[:-2] for line in lines] == [
        ["G22", "→", "H01", "[H01]"],
        ["submit"],
        ["issue"],
        ["H01", "●", "[H01]"],
        ["arrive"],
    ]
    assert lines[2].index("issue") == lines[1].index("submit") + 2


def test_nodes_that_signed_no_hop_yet_are_drawn_by_their_spans() -> None:
    text = render_transport(TRACE, [], [span("a", "", "submit")], width=100)

    assert text.startswith(f"trace {TRACE}: 0 hops, 1 spans, 1 nodes, 10.0 ms")
    assert "submit" in text
    assert render_transport(TRACE, [], []) == ""


def test_own_work_leaves_out_calls_and_keeps_the_tree() -> None:
    spans = [
        span("a", "", "/lienthong.routing.v1.SubmissionService/SubmitDocument"),
        span("b", "a", "issue"),
        span("c", "b", "/lienthong.signing.v1.SigningService/SignEnvelopes"),
        span("d", "c", "sign"),
        span("x", "y", "loop"),
        span("y", "x", "/loop/loop"),
    ]

    kept = {one.span_id: one.parent_id for one in own_work(spans)}

    assert kept == {"a": "", "b": "a", "d": "b", "x": "x"}
