"""trace: the waterfall of a document's transport, of any nodes, and that of a trace from files of spans."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from lienthong.cli.choosing import MEMBERS
from lienthong.cli.exits import UsageRefused
from lienthong.cli.helping import documented
from lienthong.cli.session import Session, choice_of, output_of, run

if TYPE_CHECKING:
    from lienthong.waterfall import Hop, Span

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_NARROWEST: Final = 80
_IN_A_FILE: Final = 140


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    documented(
        app,
        "trace",
        "Vẽ thời gian chuyển một văn bản qua từng nút",
        "Draw how long each node took to carry a document",
        (
            "lienthong trace 15/VPCP-TH",
            "Theo xác nhận 01 đã ký của mọi nút, thêm vết của nút mình nếu hồ sơ có nêu",
            "From the signed receipts 01 of all nodes, and the own node's spans if the profile names them",
        ),
        (
            "lienthong trace 15/VPCP-TH --spans /var/lib/lienthong/spans.jsonl --calls",
            "Thêm vết trong tệp, cả các cuộc gọi giữa các dịch vụ",
            "With spans from a file, calls between services too",
        ),
        (
            "lienthong trace --id 0af7651916cd43dd8448eb211c80319c build/demo/trace",
            "Chỉ từ tệp vết, không hỏi nút nào",
            "From files alone, no node is asked",
        ),
    )(trace)


def trace(
    context: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="DOCUMENT|FILE", help="Văn bản / document; hoặc tệp vết cùng --id / files with --id."
        ),
    ],
    trace_id: Annotated[str, typer.Option("--id", metavar="TRACE", help="Mã vết / trace id: 32 hex.")] = "",
    spans: Annotated[
        list[Path] | None,
        typer.Option("--spans", metavar="PLACE", help="Tệp, thư mục vết / files, folders (*.jsonl)."),
    ] = None,
    calls: Annotated[bool, typer.Option("--calls", help="Cả cuộc gọi giữa dịch vụ / calls too.")] = False,
    width: Annotated[
        int | None, typer.Option(metavar="N", help="Số cột / columns.", min=_NARROWEST, max=400)
    ] = None,
) -> None:
    names, wanted = _read(what, trace_id)
    if wanted:
        _from_files(context, [Path(name) for name in names] + (spans or []), wanted, width)
        return
    if len(names) != 1:
        raise UsageRefused("OPTIONS_EXCLUSIVE", "name one document, or files with --id", field="document")

    async def work(session: Session) -> None:
        from lienthong.cli import references
        from lienthong.cli.travelling import known_journey
        from lienthong.waterfall import hops_of, own_work

        found = await references.find_submission(session, names[0])
        journey = await known_journey(session, found.document.document_id)
        hops = hops_of({branch.organization: branch.hops for branch in journey.branches if branch.hops})
        local = _local(spans or session.profile.spans, found.trace_id)
        _show(session, found.trace_id, hops, local if calls else own_work(local), width)

    run(context, MEMBERS, work)


def _read(what: list[str], trace_id: str) -> tuple[list[str], str]:
    """What was named, and the trace id where files are meant; behind the files is its older place."""
    if not trace_id and len(what) > 1 and _TRACE_ID.fullmatch(what[-1]):
        return what[:-1], what[-1]
    return what, trace_id


def _from_files(context: typer.Context, places: Sequence[Path], trace_id: str, width: int | None) -> None:
    from lienthong.waterfall import read_trace, render

    for place in places:
        if not place.exists():
            raise UsageRefused("FILE_MISSING", f"{place} is not there", field=str(place))
    output = output_of(choice_of(context))
    found = read_trace(places, trace_id)
    if output.as_json:
        output.json({"trace_id": trace_id, "hops": [], "spans": [_span_shape(span) for span in found]})
    else:
        output.line(render(found, _width(width)))


def _local(places: Sequence[Path], trace_id: str) -> list[Span]:
    """What may be read here of the trace; nothing is no mistake: nodes belong to different owners."""
    from lienthong.errors import NotFound
    from lienthong.waterfall import read_trace

    there = [place for place in places if place.exists()]
    if not there or not trace_id:
        return []
    try:
        return read_trace(there, trace_id)
    except NotFound:
        return []


def _show(
    session: Session, trace_id: str, hops: Sequence[Hop], spans: Sequence[Span], width: int | None
) -> None:
    from lienthong.waterfall import render_transport

    if session.output.as_json:
        shape = {"hops": [_hop_shape(hop) for hop in hops], "spans": [_span_shape(span) for span in spans]}
        session.output.json({"trace_id": trace_id, **shape})
        return
    if not hops:
        session.output.note(session.words("no_hops_yet"))
    if hops or spans:
        session.output.line(render_transport(trace_id, hops, spans, _width(width)))
        session.output.note(session.words("waterfall_legend"))
    if hops and not spans:
        session.output.note(session.words("hops_only"))


def _width(wished: int | None) -> int:
    if wished:
        return wished
    return max(_NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _IN_A_FILE


def _hop_shape(hop: Hop) -> dict[str, Any]:
    return {
        "node": hop.node,
        "next_node": hop.next_node or None,
        "recipients": list(hop.recipients),
        "in_ns": hop.in_ns,
        "out_ns": hop.out_ns,
        "span_id": hop.span_id or None,
    }


def _span_shape(span: Span) -> dict[str, Any]:
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id or None,
        "node": span.node,
        "service": span.service,
        "name": span.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status,
    }
