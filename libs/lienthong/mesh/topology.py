"""Which tiers, nodes, organizations and people a mesh has: read from YAML, checked, nothing done yet.

Two are shipped: `four-levels` (the administration of 2017, and the mesh of the demo) and `three-tiers` (that
of today: districts were abolished on 1 July 2025).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from lienthong.errors import FieldViolation, InvalidArgument
from lienthong.pki.identity import Kind
from lienthong.settings import NodeCode, Section, TrustDomain
from pydantic import Field, ValidationError, model_validator

SHIPPED: Final = ("four-levels", "three-tiers")

# What the contract can name (registry.v1.Tier); which of them a mesh uses, in which order, is its own data.
Tier = Literal["CENTRAL", "PROVINCE", "DISTRICT", "COMMUNE", "OUTSIDE"]
_OUTSIDE: Final = "OUTSIDE"
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]


class TierInUse(Section):
    """A level of the administration, by the names that people use; `until` is the day it was abolished."""

    tier: Tier
    vi: str
    en: str
    until: Day | None = None


# A file that names no tiers means the four levels of 2017.
_FOUR_LEVELS: Final = (
    TierInUse(tier="CENTRAL", vi="Trung ương", en="Central"),
    TierInUse(tier="PROVINCE", vi="Tỉnh", en="Province"),
    TierInUse(tier="DISTRICT", vi="Huyện", en="District"),
    TierInUse(tier="COMMUNE", vi="Xã", en="Commune"),
)


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
    """A whole mesh. Children dial their parents; one node without parent is the root.

    `tiers` stand from the top down; OUTSIDE (Party, National Assembly, courts) stands beside them.
    """

    trust_domain: TrustDomain
    tiers: tuple[TierInUse, ...] = Field(default=_FOUR_LEVELS, min_length=1)
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
        return cls.named("four-levels")

    @classmethod
    def named(cls, name: str) -> Topology:
        """One of SHIPPED by its name, or that of a file."""
        if name not in SHIPPED:
            return cls.read(Path(name))
        shipped = resources.files("lienthong.mesh") / f"{name}.yaml"
        return cls.parse(shipped.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Topology:
        """The topology that a YAML text describes."""
        try:
            return _validated(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise _invalid([("file", " ".join(str(error).split()))]) from None

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

    def tier(self, name: str) -> TierInUse:
        """A tier in use, or KeyError."""
        found: dict[str, TierInUse] = {tier.tier: tier for tier in self.tiers}
        return found[name]

    def with_node(self, node: Node, organization: Organization) -> Topology:
        """The same mesh with one more node and the organization that runs it, checked anew."""
        content = self.model_dump(mode="json")
        content["nodes"].append(node.model_dump(mode="json"))
        content["organizations"].append(organization.model_dump(mode="json"))
        return _validated(content)

    @model_validator(mode="after")
    def _consistent(self) -> Topology:
        _check_nodes(self)
        _check_organizations(self)
        _check_tiers(self)
        return self


def _check_nodes(topology: Topology) -> None:
    parents = {node.node: node.parent for node in topology.nodes}
    if len(parents) != len(topology.nodes):
        raise ValueError("a node or organization is named twice")
    for node in topology.nodes:
        if node.parent is not None and node.parent not in parents:
            raise ValueError(f"node {node.node}: its parent {node.parent} is not a node")
        if not _reaches_root(node.node, parents):
            raise ValueError(f"node {node.node}: its parents run in a circle")
    if sum(parent is None for parent in parents.values()) != 1:
        raise ValueError("exactly one node has no parent")


def _check_organizations(topology: Topology) -> None:
    nodes = {node.node for node in topology.nodes}
    codes = {organization.code for organization in topology.organizations}
    if len(codes) != len(topology.organizations):
        raise ValueError("a node or organization is named twice")
    for organization in topology.organizations:
        if organization.node not in nodes:
            raise ValueError(f"organization {organization.code}: {organization.node} is not a node")
        if organization.superior is not None and organization.superior not in codes:
            raise ValueError(f"organization {organization.code}: no superior {organization.superior}")
        names = [(person.kind, person.name) for person in organization.people]
        if len(set(names)) != len(names):
            raise ValueError(f"organization {organization.code}: a person is named twice")


def _check_tiers(topology: Topology) -> None:
    """Every tier is one of the mesh's, still in force for who is in force, and nobody is above a superior."""
    order: dict[str, int] = {tier.tier: place for place, tier in enumerate(topology.tiers)}
    if len(order) != len(topology.tiers):
        raise ValueError("a tier is named twice")
    ended: dict[str, str] = {tier.tier: tier.until for tier in topology.tiers if tier.until is not None}
    for node in topology.nodes:
        above = topology.node(node.parent).tier if node.parent is not None else None
        _check_tier(f"node {node.node}", node.tier, above, order)
        if node.tier in ended:
            raise ValueError(f"node {node.node}: tier {node.tier} ended on {ended[node.tier]}")
    for organization in topology.organizations:
        who, superior = f"organization {organization.code}", organization.superior
        above = topology.organization(superior).tier if superior is not None else None
        _check_tier(who, organization.tier, above, order)
        # Days in ISO form compare as text.
        end = ended.get(organization.tier)
        if end is not None and (organization.valid_to is None or organization.valid_to > end):
            raise ValueError(f"{who}: tier {organization.tier} ended on {end}, so it needs a valid_to")


def _check_tier(who: str, tier: str, above: str | None, order: dict[str, int]) -> None:
    if tier == _OUTSIDE:
        return
    if tier not in order:
        raise ValueError(f"{who}: tier {tier} is not one of this mesh: {', '.join(order)}")
    if above in order and order[tier] < order[above]:
        raise ValueError(f"{who}: tier {tier} is above that of its superior, {above}")


def _reaches_root(node: str, parents: dict[str, str | None]) -> bool:
    here: str | None = node
    for _ in parents:
        here = parents.get(here) if here is not None else None
        if here is None:
            return True
    return False


def _validated(content: Any) -> Topology:
    try:
        return Topology.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        raise _invalid([(".".join(map(str, p["loc"])) or "file", p["msg"]) for p in problems]) from None


def _invalid(problems: list[tuple[str, str]]) -> InvalidArgument:
    line = "; ".join(f"{where}: {problem}" for where, problem in problems)
    return InvalidArgument(
        "TOPOLOGY_INVALID",
        f"the topology is not usable: {line}",
        violations=[FieldViolation(where, problem) for where, problem in problems],
    )
