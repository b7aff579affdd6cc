"""Starts and stops a whole mesh: TEST keys, databases, settings, one process a node."""

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
from lienthong.mesh.health import is_serving, wait_serving
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.node_settings import SettingsWriter
from lienthong.mesh.ports import NodePorts, assign
from lienthong.mesh.processes import NodeProcesses
from lienthong.mesh.topology import Topology
from lienthong.settings import TlsSettings

READY_SECONDS: Final = 90.0


class Mesh:
    """A running mesh; a context manager that stops it. Its calls block: use a thread in a coroutine."""

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        ports: Mapping[str, NodePorts],
        databases: MeshDatabases,
        processes: NodeProcesses,
    ) -> None:
        self.topology = topology
        self.layout = layout
        self.ports = dict(ports)
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
    ) -> Mesh:
        """Make everything in `folder`, which must not hold a mesh, and start all nodes; see `wait_ready`.

        `overrides` change settings by service, e.g. {"routing": {"sweep_interval": 0.5}}.
        """
        layout = Layout(folder.resolve())
        if layout.pki.exists():
            raise FailedPrecondition("MESH_EXISTS", f"{folder} holds a mesh already: remove it", path=folder)
        layout.folder.mkdir(parents=True, exist_ok=True)
        nodes = [node.node for node in topology.nodes]
        began = time.monotonic()
        with ExitStack() as undo:
            databases = _prepare(topology, layout, undo, clock or SystemClock(), postgres_per_node, environ)
            ports = assign(nodes, base_port, random.SystemRandom())
            SettingsWriter(topology, layout, ports, databases.settings, overrides or {}).write_all()
            processes = NodeProcesses()
            undo.callback(processes.close, grace=0.0)
            mesh = cls(topology, layout, ports, databases, processes)
            mesh.timings["prepared"] = time.monotonic() - began
            for node in nodes:
                mesh._launch(node)
            undo.pop_all()
        return mesh

    def wait_ready(self, nodes: Iterable[str] | None = None, *, timeout: float = READY_SECONDS) -> None:
        """Return when these nodes (all by default) say SERVING, or raise with the end of a log."""
        began = time.monotonic()
        deadline = began + timeout
        for node in self._chosen(nodes):
            wait_serving(
                node,
                partial(self.is_serving, node),
                partial(self.processes.alive, node),
                self.layout.node(node).log,
                max(0.0, deadline - time.monotonic()),
            )
        self.timings["ready"] = time.monotonic() - began

    def is_serving(self, node: str) -> bool:
        """Whether a node is healthy right now, asked with its own certificate."""
        return is_serving(self.layout.node(node).tls, self.address(node), node)

    def address(self, node: str) -> str:
        return self.ports[node].address

    def timestamps_url(self, node: str) -> str:
        """The node's timestamp authority (RFC 3161 over HTTP)."""
        return self.ports[node].timestamps_url

    def tls(self, path: str) -> TlsSettings:
        """The certificate of a client: tls("org/G22/clerk/tran-thi-van-thu"), tls("operator/quan-tri")."""
        return self.layout.tls(path)

    def pid(self, node: str) -> int:
        return self.processes.pid(node)

    def kill(self, node: str) -> None:
        """SIGKILL: nothing is flushed, closed or told to anybody."""
        self.processes.kill(node)

    def start_node(self, node: str) -> None:
        """Start a node again that was killed or stopped; its data is as it was left."""
        self._launch(node)

    def stop_node(self, node: str, *, grace: float = 15.0) -> None:
        """SIGTERM, and wait for the end."""
        self.processes.stop([node], grace=grace)

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

    def _launch(self, node: str) -> None:
        own = self.layout.node(node)
        self.processes.start(node, own.settings, own.log)

    def _chosen(self, nodes: Iterable[str] | None) -> list[str]:
        return list(nodes) if nodes is not None else [node.node for node in self.topology.nodes]


def _prepare(
    topology: Topology,
    layout: Layout,
    undo: ExitStack,
    clock: Clock,
    postgres_per_node: bool,
    environ: Mapping[str, str],
) -> MeshDatabases:
    """Keys (RSA takes processor time) while the databases are made (which mostly wait)."""
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="mesh-keys") as pool,
        TemplateBuilder() as templates,
    ):
        keys = pool.submit(issue_all, topology, layout, clock)
        databases = MeshDatabases.start(
            secrets.token_hex(4),
            [node.node for node in topology.nodes],
            per_node=postgres_per_node,
            environ=environ,
        )
        undo.callback(databases.close)
        databases.create(templates)
        keys.result()
    return databases
