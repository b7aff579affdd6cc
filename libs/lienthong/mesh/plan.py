"""What was decided when a mesh was made, kept in its mesh.yaml: later starts need nothing else.

A mesh may grow (nodes, organizations, people); anything else in its topology stays, because data in five
databases a node was written under it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import yaml
from lienthong.errors import FailedPrecondition, FieldViolation, InvalidArgument
from lienthong.mesh.layout import Layout
from lienthong.mesh.node_settings import write_yaml
from lienthong.mesh.parts import Mode
from lienthong.mesh.ports import NodePorts, assign, free_ports
from lienthong.mesh.topology import Topology
from lienthong.mesh.view import MeshView
from lienthong.settings import Section
from pydantic import Field, ValidationError


class Ports(Section):
    """NodePorts as they stand in the file."""

    services: dict[str, int]
    timestamps: int
    enrolment: int


class Plan(Section):
    """One mesh. Without `postgres_port` the server is another's, whose URL is in a file of its own."""

    version: Literal[1] = 1
    mesh_id: str = Field(pattern=r"^[0-9a-f]{8}$")
    # Where the mesh lives. A copy of its folder says another's, whose databases are not the copy's to drop.
    folder: Path | None = None
    processes: Mode
    base_port: int | None = None
    postgres_port: int | None = None
    # A folder of certificates that somebody else keeps; the TEST hierarchy is made where it is left out.
    pki: Path | None = None
    ports: dict[str, Ports]
    topology: Topology

    @classmethod
    def read(cls, file: Path) -> Plan:
        """The plan of a mesh, or InvalidArgument("MESH_FILE_INVALID")."""
        try:
            return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            problem = " ".join(str(error).split())[:400]
            raise InvalidArgument("MESH_FILE_INVALID", f"{file} cannot be used: {problem}") from None

    def write(self, file: Path) -> None:
        """Replace the file at once: a start that is interrupted leaves the old plan or the new one."""
        write_yaml(file, self.model_dump(mode="json", exclude_none=True))

    def housed(self, folder: Path) -> Plan:
        """The plan, living in this folder; unchanged while the mesh still is where it says (a copy)."""
        return self if self.is_copy(folder) else self.model_copy(update={"folder": folder})

    def is_copy(self, folder: Path) -> bool:
        """Whether the mesh lives elsewhere, and is still there."""
        if self.folder is None or self.folder == folder:
            return False
        try:
            return Plan.read(Layout(self.folder).plan).mesh_id == self.mesh_id
        except InvalidArgument:
            return False

    def digest(self) -> str:
        """Tells plans apart: what the supervisor says that it runs."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def view(self, folder: Path) -> MeshView:
        """The mesh as clients see it."""
        ports = {node: NodePorts(p.services, p.timestamps, p.enrolment) for node, p in self.ports.items()}
        return MeshView(self.topology, Layout(folder, self.pki), ports, self.processes)

    def grown(self, topology: Topology, rng: random.Random) -> Plan:
        """The plan with what a topology adds; FailedPrecondition("MESH_DIFFERS") for any other change."""
        differences = list(_differences(self.topology, topology))
        if differences:
            raise FailedPrecondition(
                "MESH_DIFFERS",
                f"this folder holds another mesh: {'; '.join(differences[:8])}",
                violations=[FieldViolation("topology", difference) for difference in differences[:40]],
            )
        added = [node.node for node in topology.nodes if node.node not in self.ports]
        taken = {port for node in self.view(Path()).ports.values() for port in node.numbers()}
        if self.postgres_port is not None:
            taken.add(self.postgres_port)
        new = assign(added, self.base_port, rng, mode=self.processes, taken=taken)
        ports = {**self.ports, **{node: _kept(found) for node, found in new.items()}}
        return self.model_copy(update={"topology": topology, "ports": ports})


def new_plan(
    topology: Topology,
    *,
    mesh_id: str,
    processes: Mode,
    base_port: int | None,
    embedded: bool,
    pki: Path | None,
    rng: random.Random,
) -> Plan:
    """The plan of a new mesh, with its ports chosen."""
    ports = assign([node.node for node in topology.nodes], base_port, rng, mode=processes)
    taken = {port for node in ports.values() for port in node.numbers()}
    postgres_port: int | None = None
    if embedded:
        postgres_port = max(taken) + 1 if base_port is not None else free_ports(1, rng, taken)[0]
    return Plan(
        mesh_id=mesh_id,
        processes=processes,
        base_port=base_port,
        postgres_port=postgres_port,
        pki=pki,
        ports={node: _kept(found) for node, found in ports.items()},
        topology=topology,
    )


def _kept(ports: NodePorts) -> Ports:
    return Ports(services=dict(ports.services), timestamps=ports.timestamps, enrolment=ports.enrolment)


def _differences(old: Topology, new: Topology) -> Iterator[str]:
    """What the new topology changes or leaves out; what it adds is no difference."""
    if old.trust_domain != new.trust_domain:
        yield f"trust domain {new.trust_domain} instead of {old.trust_domain}"
    if old.tiers != new.tiers:
        yield "other tiers"
    if set(old.operators) - set(new.operators):
        yield f"operators left out: {', '.join(sorted(set(old.operators) - set(new.operators)))}"
    nodes = {node.node: node for node in new.nodes}
    for node in old.nodes:
        yield from _changes(f"node {node.node}", node, nodes.get(node.node), ())
    organizations = {organization.code: organization for organization in new.organizations}
    for organization in old.organizations:
        found = organizations.get(organization.code)
        who = f"organization {organization.code}"
        yield from _changes(who, organization, found, ("people",))
        people = set(found.people) if found is not None else set(organization.people)
        for person in organization.people:
            if person not in people:
                yield f"{who}: {person.kind} {person.name} is changed or left out"


def _changes(who: str, old: Section, new: Section | None, but: Sequence[str]) -> Iterator[str]:
    if new is None:
        yield f"{who} is left out"
        return
    for name in type(old).model_fields:
        was, now = getattr(old, name), getattr(new, name)
        if name not in but and was != now:
            yield f"{who}: {name} is {now!r} instead of {was!r}"
