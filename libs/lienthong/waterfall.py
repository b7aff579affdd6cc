"""The waterfall of one trace as text, from the span lines that the nodes wrote (see telemetry.py).

Hostile or half-written lines are skipped: a node may have been killed in the middle of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lienthong.errors import InvalidArgument, NotFound

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_BAR: Final = "█"
_NAME_WIDTH: Final = 46
_MIN_BAR: Final = 20


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
        line = f"{span.node:<{node_width}}  {span.service:<{service_width}}  {name}  "
        line += f"{span.milliseconds:>9.1f} ms |{place}|"
        lines.append(f"{line} {span.status_text or 'ERROR'}" if span.status == "ERROR" else line)
    return "\n".join(lines)


def _bar(span: Span, begin: int, total: int, width: int) -> str:
    """At least one mark, never beyond the axis."""
    first = min(width - 1, (span.start_ns - begin) * width // total)
    last = min(width, max(first + 1, -(-(span.end_ns - begin) * width // total)))
    return " " * first + _BAR * (last - first) + " " * (width - last)


def _short(name: str) -> str:
    """`/lienthong.routing.v1.InboxService/ListInbox` -> `InboxService/ListInbox`; no control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in name)
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
            start_ns=int(record["start_ns"]),
            end_ns=int(record["end_ns"]),
            status=str(record.get("status", "UNSET")),
            status_text=str(record.get("status_text", "")),
            links=tuple(map(str, record.get("links", ()))),
        )
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        return None
