"""Everybody's own connection to the own node, with the own certificate; all closed together."""

from __future__ import annotations

import asyncio
from types import TracebackType

from lienthong.client import Agency, Connection, Operator
from lienthong.clock import Clock
from lienthong.mesh import Mesh, Person
from lienthong.pki.identity import Kind


class Desks:
    """Opens a connection when it is first asked for. Belongs to one event loop."""

    def __init__(self, mesh: Mesh, clock: Clock) -> None:
        self._mesh = mesh
        self._clock = clock
        self._connections: dict[str, Connection] = {}

    def software(self, organization: str) -> Agency:
        """The client software of an organization."""
        return self._agency(organization, Kind.CLIENT)

    def clerk(self, organization: str) -> Agency:
        return self._agency(organization, Kind.CLERK)

    def leader(self, organization: str) -> Agency:
        return self._agency(organization, Kind.LEADER)

    def operator(self, node: str) -> Operator:
        """A node as its operator sees it."""
        name = self._mesh.topology.operators[0]
        return Operator(self._connection(f"operator/{name}", node))

    def person(self, organization: str, kind: Kind) -> Person:
        """The first person of one kind in an organization."""
        return next(self._mesh.topology.organization(organization).of_kind(kind))

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    async def __aenter__(self) -> Desks:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self.close())

    def _agency(self, organization: str, kind: Kind) -> Agency:
        node = self._mesh.topology.organization(organization).node
        path = f"org/{organization}/{kind.value}/{self.person(organization, kind).name}"
        return Agency(self._connection(path, node), organization)

    def _connection(self, path: str, node: str) -> Connection:
        key = f"{path} at {node}"
        if key not in self._connections:
            self._connections[key] = Connection(
                self._mesh.tls(path), self._mesh.address(node), node, clock=self._clock
            )
        return self._connections[key]
