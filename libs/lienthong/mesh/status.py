"""How a mesh is, asked of all who can tell: the supervisor's state, health over mTLS, queues, disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
from lienthong.client.connection import Connection
from lienthong.client.operator import Operator
from lienthong.errors import DomainError
from lienthong.mesh.databases import MeshDatabases
from lienthong.mesh.parts import Part
from lienthong.mesh.plan import Plan
from lienthong.mesh.state import MeshState, PartState, Phase, is_held
from lienthong.mesh.topology import Node
from lienthong.mesh.view import MeshView
from lienthong.postgres import EmbeddedPostgres, ExternalPostgres
from lienthong.preflight import place

_WORKERS: Final = 8
_PATIENCE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process. `memory` is its proportional share in bytes (PSS), None where the system does not tell."""

    name: str
    serving: bool
    address: str
    pid: int | None
    since: datetime | None
    restarts: int
    memory: int | None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node. `link` is whether its parent is connected; None at the root, or where nobody could tell."""

    node: str
    name: str
    tier: str
    parent: str | None
    processes: tuple[ProcessStatus, ...]
    link: bool | None
    waiting: int | None
    files: int
    database: int | None

    @property
    def serving(self) -> bool:
        return all(process.serving for process in self.processes)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The PostgreSQL. `pid` and `restarts` of our own."""

    place: str
    own: bool
    answers: bool
    pid: int | None
    restarts: int


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """Everything that `lienthong status` shows."""

    folder: Path
    phase: str
    since: datetime | None
    supervisor: int | None
    postgres: ServerStatus
    nodes: tuple[NodeStatus, ...]

    @property
    def running(self) -> bool:
        return self.supervisor is not None

    @property
    def well(self) -> bool:
        return self.running and self.postgres.answers and all(node.serving for node in self.nodes)


def status_of(folder: Path) -> MeshStatus:
    """Ask; what does not answer is told as such, and nothing here waits long for it."""
    folder = folder.resolve()
    plan = Plan.read(folder / "mesh.yaml")
    view = plan.view(folder)
    running = is_held(view.layout.lock)
    state = MeshState.read(view.layout.state) if running else None
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        asked = {part: pool.submit(view.part_is_serving, part) for part in view.parts()} if running else {}
        sizes = _sizes(plan, view) if running else None
        queues = asyncio.run(_queues(view)) if running else {}
        serving = {part: answer.result() for part, answer in asked.items()}
    parts = state.parts if state is not None else {}
    nodes = tuple(
        NodeStatus(
            node=node.node,
            name=node.name,
            tier=node.tier,
            parent=node.parent,
            processes=tuple(
                _process(view, p, parts.get(p.name), serving.get(p, False)) for p in view.parts(node.node)
            ),
            link=_link(node, queues),
            waiting=_waiting(queues.get(node.node)),
            files=_bytes_under(view.layout.node(node.node).folder),
            database=sizes.get(node.node) if sizes is not None else None,
        )
        for node in view.topology.nodes
    )
    return MeshStatus(
        folder=folder,
        phase=_phase(running, state),
        since=state.since if state is not None else None,
        supervisor=state.pid if state is not None else None,
        postgres=_server(plan, view, state, sizes is not None),
        nodes=nodes,
    )


def _phase(running: bool, state: MeshState | None) -> str:
    if not running:
        return "STOPPED"
    return state.phase.value if state is not None else Phase.STARTING.value


def _process(view: MeshView, part: Part, state: PartState | None, serving: bool) -> ProcessStatus:
    pid = state.pid if state is not None else None
    return ProcessStatus(
        name=part.name,
        serving=serving,
        address=view.ports[part.node].of(part.service),
        pid=pid,
        since=state.since if state is not None and pid is not None else None,
        restarts=state.restarts if state is not None else 0,
        memory=memory_of(pid) if pid is not None else None,
    )


def memory_of(pid: int) -> int | None:
    """PSS in bytes: what the process adds, with its share of what it has in common with others."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _bytes_under(folder: Path) -> int:
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):  # spooled files come and go
                total += (Path(where) / file).lstat().st_blocks * 512
    return total


Queues = Mapping[str, list[Any]]


async def _queues(view: MeshView) -> dict[str, list[Any]]:
    """The destinations of each node, where an operator's certificate is at hand and the node answers."""
    operators = [name for name in view.topology.operators if view.tls(f"operator/{name}").key.exists()]
    if not operators:
        return {}
    found = await asyncio.gather(*(_destinations(view, operators[0], n.node) for n in view.topology.nodes))
    return {node: destinations for node, destinations in found if destinations is not None}


async def _destinations(view: MeshView, operator: str, node: str) -> tuple[str, list[Any] | None]:
    tls = view.tls(f"operator/{operator}")
    try:
        async with (
            asyncio.timeout(2 * _PATIENCE_SECONDS),
            Connection(tls, view.addresses(node), node, patience=_PATIENCE_SECONDS) as connection,
        ):
            return node, list(await Operator(connection).destinations())
    except (DomainError, TimeoutError):
        return node, None


def _waiting(destinations: list[Any] | None) -> int | None:
    return sum(destination.waiting for destination in destinations) if destinations is not None else None


def _link(node: Node, queues: Queues) -> bool | None:
    """Whether the node itself says that its parent is connected."""
    if node.parent is None or node.node not in queues:
        return None
    return any(d.node == node.parent and d.connected for d in queues[node.node])


def _sizes(plan: Plan, view: MeshView) -> dict[str, int] | None:
    """Bytes in the databases of each node; None when the server does not answer."""
    layout = view.layout
    try:
        server = (
            ExternalPostgres(layout.postgres_url.read_text(encoding="utf-8").strip())
            if plan.postgres_port is None
            else EmbeddedPostgres.running(layout.postgres, plan.postgres_port)
        )
        return asyncio.run(MeshDatabases(plan.mesh_id, dict.fromkeys(plan.ports, server)).sizes())
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return None


def _server(plan: Plan, view: MeshView, state: MeshState | None, answers: bool) -> ServerStatus:
    if plan.postgres_port is None:
        url = view.layout.postgres_url  # not there yet while the first `up` begins
        where = place(url.read_text(encoding="utf-8").strip()) if url.exists() else ""
        return ServerStatus(where, own=False, answers=answers, pid=None, restarts=0)
    return ServerStatus(
        f"127.0.0.1:{plan.postgres_port}",
        own=True,
        answers=answers,
        pid=state.postgres_pid if state is not None else None,
        restarts=state.postgres_restarts if state is not None else 0,
    )
