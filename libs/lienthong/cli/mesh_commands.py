"""up, down, status, node add: a mesh that stays on this machine."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from lienthong.cli.helping import documented
from lienthong.cli.session import choice_of, output_of
from lienthong.cli.texts import Text

if TYPE_CHECKING:
    from lienthong.cli.output import Output
    from lienthong.mesh.control import Upbringing
    from lienthong.mesh.view import MeshView

DATA: Final = Path("lienthong-data")
# A mesh that runs already is well, or it is not: there is nothing to wait for but a restart.
_RUNNING_SECONDS: Final = 60.0
_NOT_SERVING: Final = 3
_NOT_RUNNING: Final = 4

_STARTING: Final = Text("Đang dựng lưới", "Starting the mesh")
_RUNS: Final = Text("Lưới đang chạy", "The mesh runs")
_RAN_ALREADY: Final = Text("Lưới đã chạy sẵn, mọi nút phục vụ", "The mesh runs already, every node serves")
_STOPPED: Final = Text("Lưới đã dừng", "The mesh has stopped")
_RAN_NOT: Final = Text("Lưới không chạy", "The mesh does not run")
_DELETED: Final = Text("Dữ liệu đã xóa", "The data is removed")
_DELETE: Final = Text(
    "Xóa hẳn lưới ở {folder}, mọi văn bản và sổ?",
    "Remove the mesh in {folder} for ever, all documents and registers?",
)

_Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Thư mục của lưới / the mesh's folder.")]


class Processes(StrEnum):
    """How many processes a node is."""

    NODE = "node"
    SERVICES = "services"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "up",
        "Dựng và chạy một lưới nút ở lại trên máy này; dữ liệu còn qua mỗi lần dừng và khởi động máy",
        "Make and run a mesh that stays on this machine; data survives stops and restarts",
        ("lienthong up --data luoi", "Ba cấp như hiện nay", "Three tiers, as today"),
        (
            "lienthong up --data luoi4 --topology four-levels --processes services",
            "Bốn cấp, mỗi dịch vụ một tiến trình",
            "Four levels, each service a process",
        ),
        ("lienthong up --data luoi --topology luoi.yaml", "Mô tả của bạn", "Your own description"),
    )(up)
    documented(
        app,
        "down",
        "Dừng lưới; --delete xóa hẳn dữ liệu",
        "Stop the mesh; --delete removes its data for ever",
        ("lienthong down --data luoi", "Dữ liệu còn nguyên", "The data stays"),
    )(down)
    documented(
        app,
        "status",
        "Tình trạng lưới. Mã kết thúc: 0 tốt, 3 có phần không phục vụ, 4 không chạy",
        "How the mesh is. Exit codes: 0 all well, 3 something does not serve, 4 not running",
        ("lienthong status --data luoi --json", "Cho máy đọc", "For programs"),
    )(status)
    node = typer.Typer(
        name="node", help="Nút của lưới / nodes of the mesh.", no_args_is_help=True, rich_markup_mode=None
    )
    # A second command keeps the group a group (typer folds a lone one into its parent).
    node.callback()(_nodes)
    documented(
        node,
        "add",
        "Thêm một nút: cha mời, nút mới đăng ký bằng mã dùng một lần rồi chạy",
        "Add a node: its parent invites, it enrols with a one-time token, and runs",
        (
            'lienthong node add H01.110 --name "UBND xã MẪU Bốn" --tier COMMUNE --parent H01 --data luoi',
            "Một xã có nút riêng",
            "A commune with a node of its own",
        ),
    )(node_add)
    app.add_typer(node, short_help="Nút của lưới: add / nodes of the mesh")


def up(
    context: typer.Context,
    topology: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="three-tiers (mặc định/default), four-levels, tệp/a file."),
    ] = None,
    data: _Data = DATA,
    processes: Annotated[
        Processes | None, typer.Option(help="Một tiến trình mỗi nút hay mỗi dịch vụ / a process per what.")
    ] = None,
    base_port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Cổng đầu; bỏ trống: cổng rỗi / first port; else free ones.",
            min=1024,
            max=65000,
        ),
    ] = None,
    pki: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Chứng thư của bạn thay cho TEST / your own certificates, not TEST."
        ),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Chạy ở cửa sổ này / stay in the terminal.")
    ] = False,
) -> None:
    from lienthong.clock import SystemClock
    from lienthong.mesh.control import Upbringing, Wishes
    from lienthong.mesh.topology import Topology

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    output = output_of(choice_of(context))
    wishes = Wishes(
        topology=Topology.named(topology) if topology is not None else None,
        processes=processes.value if processes is not None else None,
        base_port=base_port,
        pki=pki,
    )
    upbringing = Upbringing(data, SystemClock())
    began = upbringing.begin(wishes)
    if began and foreground:
        _stay(upbringing, output)
        return
    if began:
        upbringing.start_daemon()
    _wait(upbringing, output, started=began)


def _stay(upbringing: Upbringing, output: Output) -> None:
    """Be the supervisor; a thread tells when all serve."""
    import threading

    from lienthong import telemetry
    from lienthong.errors import DomainError
    from lienthong.mesh.supervisor import keep

    telemetry.setup_logging("INFO", service="supervisor", node="mesh")

    def tell() -> None:
        try:
            _wait(upbringing, output, started=True)
        except DomainError as error:
            output.warn(f"{error}")

    threading.Thread(target=tell, name="progress", daemon=True).start()
    keep(upbringing.layout.folder)


def _wait(upbringing: Upbringing, output: Output, *, started: bool) -> None:
    from lienthong.mesh.control import READY_SECONDS

    what = output.words.of(_STARTING)
    seen: frozenset[str] = frozenset()
    patient = started or upbringing.generation > 0
    with output.errors.status(what, spinner="dots") as spinner:

        def progress(serving: frozenset[str], total: int) -> None:
            nonlocal seen
            spinner.update(f"{what}: {len(serving)}/{total}")
            for name in sorted(serving - seen):
                output.note(f"  {name}: SERVING")
            seen = serving

        view = upbringing.wait(progress, READY_SECONDS if patient else _RUNNING_SECONDS)
    if output.as_json:
        output.json(_shape(view, started=started))
        return
    output.line(output.words.of(_RUNS if started else _RAN_ALREADY), "bold")
    for node in view.topology.nodes:
        output.line(f"  {node.node:<14} {view.address(node.node):<18} {node.name}")
    profiles = view.layout.profiles
    shown = profiles.relative_to(Path.cwd()) if profiles.is_relative_to(Path.cwd()) else profiles
    output.line(f"  export LIENTHONG_PROFILES={shown}")


def down(
    context: typer.Context,
    data: _Data = DATA,
    delete: Annotated[
        bool, typer.Option("--delete", help="Xóa hẳn dữ liệu / remove the data for ever.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Không hỏi lại / do not ask.")] = False,
) -> None:
    from lienthong.mesh import control, removal

    output = output_of(choice_of(context))
    view = control.open_mesh(data)
    if delete and not yes:
        question = output.words.of(_DELETE).format(folder=view.layout.folder)
        # Nobody to ask is a no.
        if not sys.stdin.isatty() or not typer.confirm(question):
            raise typer.Exit(1)
    ran = control.bring_down(data)
    if delete:
        removal.delete(data)
    if output.as_json:
        output.json({"stopped": ran, "deleted": delete})
        return
    output.line(output.words.of(_STOPPED if ran else _RAN_NOT))
    if delete:
        output.line(output.words.of(_DELETED))


def status(context: typer.Context, data: _Data = DATA) -> None:
    from lienthong.cli.mesh_status import render, shape
    from lienthong.mesh.control import open_mesh
    from lienthong.mesh.status import status_of

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    output = output_of(choice_of(context))
    open_mesh(data)  # refuses a folder without a mesh
    found = status_of(data)
    if output.as_json:
        output.json(shape(found))
    else:
        render(found, output)
    if not found.running:
        raise typer.Exit(_NOT_RUNNING)
    raise typer.Exit(0 if found.well else _NOT_SERVING)


def _nodes() -> None:
    """Keeps `node` a group."""


def node_add(
    context: typer.Context,
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="Mã của cơ quan chạy nút / its organization's code.")
    ],
    name: Annotated[str, typer.Option(help="Tên cơ quan / the organization's name.")],
    tier: Annotated[str, typer.Option(help="CENTRAL, PROVINCE, DISTRICT, COMMUNE, OUTSIDE.")],
    parent: Annotated[str, typer.Option(help="Nút cha / the parent node.")],
    data: _Data = DATA,
) -> None:
    from lienthong.clock import SystemClock
    from lienthong.mesh.joining import add_node

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    output = output_of(choice_of(context))
    upbringing = add_node(data, code=code, name=name, tier=tier, parent=parent, clock=SystemClock())
    _wait(upbringing, output, started=True)


def _shape(view: MeshView, *, started: bool) -> dict[str, object]:
    return {
        "started": started,
        "folder": str(view.layout.folder),
        "profiles": str(view.layout.profiles),
        "nodes": {node.node: view.addresses(node.node) for node in view.topology.nodes},
    }
