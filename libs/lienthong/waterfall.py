"""The waterfall of one trace as text, from the span lines that the nodes wrote (see telemetry.py), and from
the hop facts that nodes of other owners signed into their receipts: those alone are enough.

Hostile or half-written lines are skipped: a node may have been killed in the middle of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.errors import InvalidArgument, NotFound
from lienthong.types.v1 import document_pb2

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_BAR: Final = "█"
_CUSTODY_BAR: Final = "▒"
_NAME_WIDTH: Final = 46
_TRANSPORT_NAME_WIDTH: Final = 34
_MIN_BAR: Final = 20
_LATEST_NS: Final = 2**63  # what a clock of 64 bits can say


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was written; `links` are traceparents of other traces or spans."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    node: str
    start_ns: int
    end_ns: int
    status: str = "UNSET"
    status_text: str = ""
    links: tuple[str, ...] = ()

    @property
    def milliseconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """A span at its depth in the tree."""

    span: Span
    depth: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One node's custody on the way to one next node; without `next_node` the document arrived there."""

    node: str
    next_node: str
    span_id: str
    in_ns: int
    out_ns: int
    recipients: tuple[str, ...]

    @property
    def milliseconds(self) -> float:
        return (self.out_ns - self.in_ns) / 1e6


@dataclass(slots=True)
class _Branch:
    span: Span
    children: list[_Branch] = field(default_factory=list)


def span_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and every *.jsonl under the folders."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    return found


def read_trace(paths: Iterable[Path], trace_id: str) -> list[Span]:
    """The spans of one trace in files and folders, by start; NotFound("TRACE_UNKNOWN") if there are none."""
    if not _TRACE_ID.fullmatch(trace_id):
        raise InvalidArgument("TRACE_ID_INVALID", "a trace id is 32 lower-case hexadecimal digits")
    files = span_files(paths)
    spans = {span.span_id: span for path in files for span in _spans(path, trace_id)}
    if not spans:
        raise NotFound(
            "TRACE_UNKNOWN", "no span of this trace was found", trace_id=trace_id, files=len(files)
        )
    return sorted(spans.values(), key=lambda span: (span.start_ns, span.span_id))


def rows(spans: Sequence[Span]) -> list[Row]:
    """The tree in reading order; a span whose parent was not written stands at the top."""
    branches = {span.span_id: _Branch(span) for span in spans}
    tops: list[_Branch] = []
    for span in sorted(spans, key=lambda span: (span.start_ns, span.span_id)):
        parent = branches.get(span.parent_id)
        (tops if parent is None else parent.children).append(branches[span.span_id])
    # Without recursion: a hostile file may nest as deep as it likes. Spans in a circle have no top: left out.
    waiting = [(branch, 0) for branch in reversed(tops)]
    found: list[Row] = []
    while waiting:
        branch, depth = waiting.pop()
        found.append(Row(branch.span, depth))
        waiting += [(child, depth + 1) for child in reversed(branch.children)]
    return found


def render(spans: Sequence[Span], width: int = 120) -> str:
    """The waterfall: node, service, name, milliseconds, and a bar on the time axis of the whole trace."""
    if not spans:
        return ""
    begin, end = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    node_width = max(len(span.node) for span in spans)
    service_width = max(len(span.service) for span in spans)
    bar_width = max(_MIN_BAR, width - _NAME_WIDTH - node_width - service_width - 16)
    nodes = {span.node for span in spans}
    lines = [
        f"trace {spans[0].trace_id}: {len(spans)} spans, {len(nodes)} nodes, {(end - begin) / 1e6:.1f} ms"
    ]
    for row in rows(spans):
        span = row.span
        name = _fitted("  " * row.depth + _short(span.name), _NAME_WIDTH)
        place = _bar(span, begin, max(end - begin, 1), bar_width)
        line = f"{_plain(span.node):<{node_width}}  {_plain(span.service):<{service_width}}  {name}  "
        line += f"{span.milliseconds:>9.1f} ms |{place}|"
        lines.append(f"{line} {_failure(span)}" if _failure(span) else line)
    return "\n".join(lines)


def hops_of(ways: Mapping[str, Sequence[document_pb2.HopFact]]) -> list[Hop]:
    """The hops of all recipients' ways, each once: what many recipients share is one transfer."""
    shared: dict[tuple[str, str, str], Hop] = {}
    for recipient, facts in sorted(ways.items()):
        nexts = [fact.node for fact in facts[1:]]
        for fact, next_node in zip(facts, [*nexts, ""], strict=True):
            key = (fact.node, next_node, fact.span_id)
            begin, end = _stamped(fact.in_time), _stamped(fact.out_time)
            seen = shared.get(key) or Hop(fact.node, next_node, fact.span_id, begin, end, ())
            shared[key] = replace(
                seen,
                in_ns=min(seen.in_ns, begin),
                out_ns=max(seen.out_ns, end),
                recipients=(*seen.recipients, recipient),
            )
    return sorted(shared.values(), key=lambda hop: (hop.in_ns, hop.node, hop.next_node == "", hop.next_node))


def own_work(spans: Sequence[Span]) -> list[Span]:
    """The nodes' own steps without the calls between services, which are most of the spans of a trace."""
    parents = {span.span_id: span.parent_id for span in spans}
    kept = {span.span_id for span in spans if not span.name.startswith("/") or span.parent_id not in parents}
    return [
        replace(span, parent_id=_nearest(span.parent_id, parents, kept))
        for span in spans
        if span.span_id in kept
    ]


def render_transport(trace_id: str, hops: Sequence[Hop], spans: Sequence[Span] = (), width: int = 100) -> str:
    """Node after node: how long it had custody (▒, from the signed hop facts), and beneath it the steps that
    it wrote down (█), where we may read them. Every node's times are those of its own clock."""
    edges = [edge for hop in hops for edge in (hop.in_ns, hop.out_ns)]
    edges += [edge for span in spans for edge in (span.start_ns, span.end_ns)]
    if not edges:
        return ""
    begin, total = min(edges), max(max(edges) - min(edges), 1)
    nodes = list(dict.fromkeys([*(hop.node for hop in hops), *(span.node for span in spans)]))
    node_width = max(map(len, nodes))
    bar_width = max(_MIN_BAR, width - _TRANSPORT_NAME_WIDTH - node_width - 19)
    lines = [
        f"trace {trace_id}: {len(hops)} hops, {len(spans)} spans, {len(nodes)} nodes, {total / 1e6:.1f} ms"
    ]
    for node in nodes:
        for hop in (hop for hop in hops if hop.node == node):
            onward = f"→ {hop.next_node}" if hop.next_node else "●"
            name = _fitted(_plain(f"{onward} [{', '.join(hop.recipients)}]"), _TRANSPORT_NAME_WIDTH)
            place = _placed(hop.in_ns, hop.out_ns, begin, total, bar_width, _CUSTODY_BAR)
            lines.append(f"{_plain(node):<{node_width}}  {name}  {hop.milliseconds:>9.1f} ms |{place}|")
        for row in rows([span for span in spans if span.node == node]):
            name = _fitted("  " * (row.depth + 1) + _short(row.span.name), _TRANSPORT_NAME_WIDTH)
            place = _bar(row.span, begin, total, bar_width)
            line = f"{'':<{node_width}}  {name}  {row.span.milliseconds:>9.1f} ms |{place}|"
            lines.append(f"{line} {_failure(row.span)}".rstrip())
    return "\n".join(lines)


def _nearest(span_id: str, parents: Mapping[str, str], kept: Collection[str]) -> str:
    for _ in range(len(parents)):  # files may lie: spans in a circle end too
        if span_id in kept or span_id not in parents:
            break
        span_id = parents[span_id]
    return span_id


def _bar(span: Span, begin: int, total: int, width: int) -> str:
    return _placed(span.start_ns, span.end_ns, begin, total, width, _BAR)


def _placed(start: int, end: int, begin: int, total: int, width: int, mark: str) -> str:
    """At least one mark, never beyond the axis."""
    first = min(width - 1, (start - begin) * width // total)
    last = min(width, max(first + 1, -(-(end - begin) * width // total)))
    return " " * first + mark * (last - first) + " " * (width - last)


def _failure(span: Span) -> str:
    return (_plain(span.status_text) or "ERROR") if span.status == "ERROR" else ""


def _stamped(stamp: Timestamp) -> int:
    """Nanoseconds also of a stamp out of range, which ToNanoseconds refuses: other nodes wrote it."""
    return stamp.seconds * 1_000_000_000 + stamp.nanos


def _plain(text: str) -> str:
    """On one line, without control characters: other nodes wrote it, and it is drawn on a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _short(name: str) -> str:
    """`/lienthong.routing.v1.InboxService/ListInbox` -> `InboxService/ListInbox`; no control characters."""
    plain = _plain(name)
    return plain.rsplit(".", 1)[-1] if plain.startswith("/") and "/" in plain.rsplit(".", 1)[-1] else plain


def _fitted(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else text[: width - 1] + "…"


def _spans(path: Path, trace_id: str) -> Iterator[Span]:
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidArgument("FILE_UNREADABLE", f"cannot read {path}: {error.strerror}", path=path) from None
    with file:
        for line in file:
            if trace_id in line:  # cheaper than reading every line of every other trace as JSON
                span = _span(line)
                if span is not None and span.trace_id == trace_id:
                    yield span


def _span(line: str) -> Span | None:
    try:
        record: Any = json.loads(line)
        return Span(
            trace_id=str(record["trace_id"]),
            span_id=str(record["span_id"]),
            parent_id=str(record["parent_id"]),
            name=str(record["name"]),
            service=str(record["service"]),
            node=str(record["node"]),
            start_ns=_nanoseconds(record["start_ns"]),
            end_ns=_nanoseconds(record["end_ns"]),
            status=str(record.get("status", "UNSET")),
            status_text=str(record.get("status_text", "")),
            links=tuple(map(str, record.get("links", ()))),
        )
    except (ValueError, OverflowError, KeyError, TypeError, RecursionError, AttributeError):
        return None


def _nanoseconds(value: Any) -> int:
    """A time that can be computed with; `Infinity` is an OverflowError, 400 digits would be one later."""
    found = int(value)
    if not 0 <= found < _LATEST_NS:
        raise ValueError(value)
    return found
