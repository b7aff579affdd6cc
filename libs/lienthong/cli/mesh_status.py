"""How `lienthong status` shows a mesh: a table for people, a shape for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from lienthong.times import VIETNAM
from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from lienthong.cli.output import Output
    from lienthong.mesh.status import MeshStatus, NodeStatus, ProcessStatus

_HEADINGS: Final = (
    ("Nút", "Node"),
    ("Cấp", "Tier"),
    ("Tiến trình", "Process"),
    ("Phục vụ", "Serving"),
    ("Địa chỉ", "Address"),
    ("PID", "PID"),
    ("Từ lúc", "Since"),
    ("Chạy lại", "Restarts"),
    ("Bộ nhớ", "Memory"),
    ("Nối cha", "Parent link"),
    ("Chờ", "Waiting"),
    ("Đĩa", "Disk"),
)
_MIB: Final = 1024 * 1024


def shape(status: MeshStatus) -> dict[str, Any]:
    """The status as one JSON value."""
    content: dict[str, Any] = _plain(asdict(status))
    for node, row in zip(status.nodes, content["nodes"], strict=True):
        row["serving"] = node.serving
    return {**content, "running": status.running, "well": status.well}


def render(status: MeshStatus, output: Output) -> None:
    """The status as a table, and a line for all that is one for the mesh."""
    vietnamese = output.words.language == "vi"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for vi, en in _HEADINGS:
        table.add_column(vi if vietnamese else en, no_wrap=True)
    for node in status.nodes:
        for place, process in enumerate(node.processes):
            table.add_row(*_row(node if place == 0 else None, process))
    output.show(table)
    server = status.postgres
    state = _yes(server.answers)
    whose = ("riêng", "own") if server.own else ("ngoài", "external")
    output.line(f"PostgreSQL ({whose[0 if vietnamese else 1]}) {server.place} {state}")
    since = f" {_moment(status.since)}" if status.since else ""
    output.line(f"{status.phase}{since}  {status.folder}", "bold")


def _row(node: NodeStatus | None, process: ProcessStatus) -> list[str]:
    """One process; what is the node's stands in its first row."""
    own = [node.node, node.tier] if node is not None else ["", ""]
    shared = ["", "", ""]
    if node is not None:
        disk = node.files + (node.database or 0)
        waiting = "?" if node.waiting is None else str(node.waiting)
        link = "-" if node.parent is None else "?" if node.link is None else _yes(node.link)
        shared = [link, waiting, f"{disk / _MIB:.0f} MiB"]
    return [
        *own,
        process.name.partition("/")[2] or "node",
        _yes(process.serving),
        process.address,
        str(process.pid or "-"),
        _moment(process.since) if process.since else "-",
        str(process.restarts),
        f"{process.memory / _MIB:.0f} MiB" if process.memory is not None else "-",
        *shared,
    ]


def _yes(good: bool) -> str:
    return "✓" if good else "✗"


def _moment(moment: datetime) -> str:
    return moment.astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M:%S")


def _plain(value: Any) -> Any:
    """What JSON can carry."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
