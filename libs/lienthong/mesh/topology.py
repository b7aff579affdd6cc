"""Which nodes, organizations and people a mesh has: read from YAML, checked, nothing done yet.

The shipped `four-levels.yaml` is the mesh of the demo: Government Office, province, district, commune.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from lienthong.errors import FieldViolation, InvalidArgument
from lienthong.pki.identity import Kind
from lienthong.settings import NodeCode, Section, TrustDomain
from pydantic import Field, ValidationError, model_validator

Tier = Literal["CENTRAL", "PROVINCE", "DISTRICT", "COMMUNE", "OUTSIDE"]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]


class Node(Section):
    """One deployment; its code is that of the organization that runs it."""

    node: NodeCode
    name: str
    tier: Tier
    parent: NodeCode | None = None


class Person(Section):
    """Who, or which software, holds a certificate of an organization."""

    kind: Literal["leader", "clerk", "client"]
    name: Slug
    title: str = ""
    position: str = ""


class Organization(Section):
    """An agency, the node that serves it, and its people."""

    code: NodeCode
    name: str
    tier: Tier
    node: NodeCode
    superior: NodeCode | None = None
    valid_from: Day = "2020-01-01"
    valid_to: Day | None = None
    # Its own software signs: then the node holds no leader's and no agency's key for it.
    signs_itself: bool = False
    people: tuple[Person, ...] = ()

    def of_kind(self, kind: Kind) -> Iterator[Person]:
        """Its people of one kind, in the order of the file."""
        return (person for person in self.people if person.kind == kind.value)


class Topology(Section):
    """A whole mesh. Children dial their parents; one node without parent is the root."""

    trust_domain: TrustDomain
    nodes: tuple[Node, ...] = Field(min_length=1)
    organizations: tuple[Organization, ...] = Field(min_length=1)
    operators: tuple[Slug, ...] = ()

    @classmethod
    def read(cls, file: Path) -> Topology:
        """The topology of a YAML file, or InvalidArgument("TOPOLOGY_INVALID") that names each mistake."""
        try:
            return cls.parse(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise _invalid([(str(file), f"cannot be read: {error.strerror}")]) from None

    @classmethod
    def four_levels(cls) -> Topology:
        """The shipped example: four nodes, seven organizations, one of them closed."""
        shipped = resources.files("lienthong.mesh") / "four-levels.yaml"
        return cls.parse(shipped.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Topology:
        try:
            content: Any = yaml.safe_load(text)
            return cls.model_validate(content)
        except yaml.YAMLError as error:
            raise _invalid([("file", " ".join(str(error).split()))]) from None
        except ValidationError as error:
            problems = error.errors(include_input=False, include_context=False, include_url=False)
            raise _invalid([(".".join(map(str, p["loc"])) or "file", p["msg"]) for p in problems]) from None

    @property
    def root(self) -> Node:
        return next(node for node in self.nodes if node.parent is None)

    def node(self, code: str) -> Node:
        """One node by its code, or KeyError."""
        return {node.node: node for node in self.nodes}[code]

    def organization(self, code: str) -> Organization:
        """One organization by its code, or KeyError."""
        return {organization.code: organization for organization in self.organizations}[code]

    def served_by(self, node: str) -> tuple[Organization, ...]:
        return tuple(organization for organization in self.organizations if organization.node == node)

    def children(self, node: str) -> tuple[Node, ...]:
        return tuple(child for child in self.nodes if child.parent == node)

    @model_validator(mode="after")
    def _consistent(self) -> Topology:
        nodes = {node.node: node.parent for node in self.nodes}
        codes = {organization.code for organization in self.organizations}
        if len(nodes) != len(self.nodes) or len(codes) != len(self.organizations):
            raise ValueError("a node or organization is named twice")
        for node in self.nodes:
            if node.parent is not None and node.parent not in nodes:
                raise ValueError(f"node {node.node}: its parent {node.parent} is not a node")
            if not _reaches_root(node.node, nodes):
                raise ValueError(f"node {node.node}: its parents run in a circle")
        if sum(parent is None for parent in nodes.values()) != 1:
            raise ValueError("exactly one node has no parent")
        for organization in self.organizations:
            if organization.node not in nodes:
                raise ValueError(f"organization {organization.code}: {organization.node} is not a node")
            if organization.superior is not None and organization.superior not in codes:
                raise ValueError(f"organization {organization.code}: no superior {organization.superior}")
            names = [(person.kind, person.name) for person in organization.people]
            if len(set(names)) != len(names):
                raise ValueError(f"organization {organization.code}: a person is named twice")
        return self


def _reaches_root(node: str, parents: dict[str, str | None]) -> bool:
    here: str | None = node
    for _ in parents:
        here = parents.get(here) if here is not None else None
        if here is None:
            return True
    return False


def _invalid(problems: list[tuple[str, str]]) -> InvalidArgument:
    line = "; ".join(f"{where}: {problem}" for where, problem in problems)
    return InvalidArgument(
        "TOPOLOGY_INVALID",
        f"the topology is not usable: {line}",
        violations=[FieldViolation(where, problem) for where, problem in problems],
    )
