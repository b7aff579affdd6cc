"""A mesh for as long as this process lives: TEST keys, databases, settings, the nodes' processes.

For demo and tests. A mesh that stays is supervisor.py's.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from lienthong.clock import Clock, SystemClock
from lienthong.errors import FailedPrecondition
from lienthong.mesh.databases import MeshDatabases, TemplateBuilder
from lienthong.mesh.health import wait_serving
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.node_settings import SettingsWriter
from lienthong.mesh.parts import Mode, Part
from lienthong.mesh.ports import assign
from lienthong.mesh.processes import NodeProcesses
from lienthong.mesh.topology import Topology
from lienthong.mesh.view import MeshView

READY_SECONDS: Final = 90.0


class Mesh(MeshView):
    """A running mesh; a context manager that stops it. Its calls block: use a thread in a coroutine."""

    def __init__(self, view: MeshView, databases: MeshDatabases, processes: NodeProcesses) -> None:
        super().__init__(view.topology, view.layout, view.ports, view.mode)
        self.databases = databases
        self.processes = processes
        self.timings: dict[str, float] = {}

    @classmethod
    def start(
        cls,
        topology: Topology,
        folder: Path,
        *,
        base_port: int | None = None,
        postgres_per_node: bool = False,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        mode: Mode = "node",
    ) -> Mesh:
        """Make everything in `folder`, which must not hold a mesh, and start all nodes; see `wait_ready`.

        `mode` says whether a node is one process or five. `overrides` change settings by service, e.g.
        {"routing": {"sweep_interval": 0.5}}.
        """
        layout = Layout(folder.resolve())
        if layout.pki.exists():
            raise FailedPrecondition("MESH_EXISTS", f"{folder} holds a mesh already: remove it", path=folder)
        layout.folder.mkdir(parents=True, exist_ok=True)
        nodes = [node.node for node in topology.nodes]
        began = time.monotonic()
        with ExitStack() as undo:
            view = MeshView(
                topology, layout, assign(nodes, base_port, random.SystemRandom(), mode=mode), mode
            )
            databases = _prepare(view, undo, clock or SystemClock(), postgres_per_node, environ)
            SettingsWriter(
                topology, layout, view.ports, databases.settings, overrides or {}, mode
            ).write_all()
            processes = NodeProcesses()
            undo.callback(processes.close, grace=0.0)
            mesh = cls(view, databases, processes)
            mesh.timings["prepared"] = time.monotonic() - began
            for node in nodes:
                mesh.start_node(node)
            undo.pop_all()
        return mesh

    def wait_ready(self, nodes: Iterable[str] | None = None, *, timeout: float = READY_SECONDS) -> None:
        """Return when these nodes (all by default) say SERVING, or raise with the end of a log."""
        began = time.monotonic()
        deadline = began + timeout
        for part in self._chosen(nodes):
            wait_serving(
                part.name,
                partial(self.part_is_serving, part),
                partial(self.processes.alive, part.name),
                self.layout.part(part).log,
                max(0.0, deadline - time.monotonic()),
            )
        self.timings["ready"] = time.monotonic() - began

    def pid(self, node: str) -> int:
        """A node's process, the first where it has several."""
        return self.processes.pid(self.parts(node)[0].name)

    def kill(self, node: str) -> None:
        """SIGKILL to all of a node: nothing is flushed, closed or told to anybody."""
        for part in self.parts(node):
            self.processes.kill(part.name)

    def start_node(self, node: str) -> None:
        """Start a node again that was killed or stopped; its data is as it was left."""
        for part in self.parts(node):
            place = self.layout.part(part)
            self.processes.start(part.name, place.settings, place.log, module=part.module)

    def stop_node(self, node: str, *, grace: float = 15.0) -> None:
        """SIGTERM, and wait for the end."""
        self.processes.stop([part.name for part in self.parts(node)], grace=grace)

    def stop(self, *, grace: float = 15.0) -> None:
        """End everything. The folder stays: logs, spans and documents are for reading."""
        try:
            self.processes.close(grace=grace)
        finally:
            self.databases.close()

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _chosen(self, nodes: Iterable[str] | None) -> list[Part]:
        return list(self.parts()) if nodes is None else [p for node in nodes for p in self.parts(node)]


def _prepare(
    view: MeshView, undo: ExitStack, clock: Clock, postgres_per_node: bool, environ: Mapping[str, str]
) -> MeshDatabases:
    """Keys (RSA takes processor time) while the databases are made (which mostly wait)."""
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="mesh-keys") as pool,
        TemplateBuilder() as templates,
    ):
        keys = pool.submit(issue_all, view.topology, view.layout, clock, view.mode)
        databases = MeshDatabases.start(
            secrets.token_hex(4),
            [node.node for node in view.topology.nodes],
            per_node=postgres_per_node,
            environ=environ,
        )
        undo.callback(databases.close)
        databases.create(templates)
        keys.result()
    return databases
