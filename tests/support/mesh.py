"""Meshes for tests: the shipped topology in a folder, its clients, and what processes it left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from lienthong.client import Agency, Connection, Operator
from lienthong.mesh import Mesh, MeshView, Topology
from lienthong.mesh.parts import Mode

# How fast tests want what production takes its time for.
OVERRIDES: dict[str, dict[str, object]] = {}


def running_mesh(folder: Path, *, postgres_per_node: bool = False, mode: Mode = "node") -> Iterator[Mesh]:
    """The four shipped nodes, ready; stopped afterwards. For a fixture: `yield from running_mesh(...)`."""
    with Mesh.start(
        Topology.four_levels(), folder, postgres_per_node=postgres_per_node, overrides=OVERRIDES, mode=mode
    ) as mesh:
        mesh.wait_ready()
        yield mesh


@asynccontextmanager
async def agency(mesh: MeshView, code: str, kind: str = "client") -> AsyncIterator[Agency]:
    """An organization at its node, as its first leader, clerk or client."""
    organization = mesh.topology.organization(code)
    person = next(person for person in organization.people if person.kind == kind)
    tls = mesh.tls(f"org/{code}/{kind}/{person.name}")
    async with Connection(tls, mesh.addresses(organization.node), organization.node) as connection:
        yield Agency(connection, code)


@asynccontextmanager
async def operator(mesh: MeshView, node: str) -> AsyncIterator[Operator]:
    """The people who run a node."""
    tls = mesh.tls(f"operator/{mesh.topology.operators[0]}")
    async with Connection(tls, mesh.addresses(node), node) as connection:
        yield Operator(connection)


def processes_naming(text: str) -> list[str]:
    """Command lines of living processes in whose environment or arguments `text` stands."""
    found: list[str] = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        told = [*(process.info["cmdline"] or ()), *(process.info["environ"] or {}).values()]
        if any(text in part for part in told):
            found.append(" ".join(process.info["cmdline"] or ()))
    return found
