"""A mesh from outside: who is in it, where each process answers, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping

from lienthong.mesh.health import is_serving
from lienthong.mesh.layout import Layout
from lienthong.mesh.parts import Mode, Part, parts_of
from lienthong.mesh.ports import NodePorts
from lienthong.mesh.topology import Topology
from lienthong.settings import TlsSettings


class MeshView:
    """What clients, tests and tools need to know of a mesh that somebody runs."""

    def __init__(
        self, topology: Topology, layout: Layout, ports: Mapping[str, NodePorts], mode: Mode = "node"
    ) -> None:
        self.topology = topology
        self.layout = layout
        self.ports = dict(ports)
        self.mode: Mode = mode

    def parts(self, node: str | None = None) -> tuple[Part, ...]:
        """The processes of one node, or of all."""
        nodes = [node] if node is not None else [known.node for known in self.topology.nodes]
        return tuple(part for known in nodes for part in parts_of(known, self.mode))

    def address(self, node: str) -> str:
        """Where a node's routing answers; all of the node where one process has all services."""
        return self.ports[node].address

    def addresses(self, node: str) -> dict[str, str]:
        """Where each of a node's services answers."""
        return self.ports[node].addresses

    def timestamps_url(self, node: str) -> str:
        """The node's timestamp authority (RFC 3161 over HTTP)."""
        return self.ports[node].timestamps_url

    def tls(self, path: str) -> TlsSettings:
        """The certificate of a client: tls("org/G22/clerk/tran-thi-van-thu"), tls("operator/quan-tri")."""
        return self.layout.tls(path)

    def is_serving(self, node: str) -> bool:
        """Whether all processes of a node are healthy right now, asked with their own certificates."""
        return all(self.part_is_serving(part) for part in self.parts(node))

    def part_is_serving(self, part: Part) -> bool:
        """Whether one process is healthy right now."""
        address = self.ports[part.node].of(part.service)
        return is_serving(self.layout.part(part).tls, address, part.node)
