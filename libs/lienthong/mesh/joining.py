"""Adds a node to a mesh that runs: its parent invites, it enrols by the token, the supervisor starts it.

Every step may be repeated: the token is kept until the plan knows the node, and an enrolment that is run
again gets the parent's first answer. A plan that knows the node and was not taken over is offered again.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Final

from lienthong.client.connection import Connection
from lienthong.clock import Clock
from lienthong.enrolment import Enrolled, Token, enrol, invite
from lienthong.errors import FailedPrecondition, FieldViolation, InvalidArgument, PermissionDenied
from lienthong.mesh.control import Upbringing, open_mesh
from lienthong.mesh.directory_import import tier_of
from lienthong.mesh.directory_news import write_snapshot
from lienthong.mesh.layout import Layout
from lienthong.mesh.parts import parts_of
from lienthong.mesh.plan import Plan
from lienthong.mesh.topology import Node, Organization, Person
from lienthong.mesh.view import MeshView
from lienthong.pki.identity import Identity, Kind
from lienthong.registry.v1 import directory_pb2
from pydantic import ValidationError

_PATIENCE_SECONDS: Final = 15.0
# A token that was never used and will not be any more.
_SPENT: Final = frozenset({"TOKEN_EXPIRED", "TOKEN_UNKNOWN"})
_PEOPLE: Final = (
    Person(kind="leader", name="lanh-dao", title="Lãnh đạo MẪU", position="Chủ tịch"),
    Person(kind="clerk", name="van-thu", title="Văn thư MẪU", position="Văn thư"),
    Person(kind="client", name="qlvb", title="Phần mềm quản lý văn bản MẪU"),
)


def add_node(folder: Path, *, code: str, name: str, tier: str, parent: str, clock: Clock) -> Upbringing:
    """Enrol the node and hand it to the supervisor; who waits for it to serve asks the answer.

    MESH_NOT_RUNNING, TOPOLOGY_INVALID, OPERATOR_MISSING, and the reasons of EnrolmentService.
    """
    view = open_mesh(folder)
    upbringing = Upbringing(folder, clock)
    upbringing.require_running()
    node, organization = _newcomer(view, code, name, tier, parent)
    plan = Plan.read(view.layout.plan)
    if node in plan.topology.nodes and upbringing.is_untaken(plan):
        upbringing.grow(plan)
        _forget_tokens(view.layout, code)
        return upbringing
    topology = view.topology.with_node(node, organization)
    enrolled = asyncio.run(_enrolled(view, node, organization, clock))
    _agree(view, node, enrolled)
    write_snapshot(view.layout.node(code), enrolled.snapshot)
    upbringing.grow(Plan.read(view.layout.plan).grown(topology, random.SystemRandom()))
    _forget_tokens(view.layout, code)
    return upbringing


def _newcomer(view: MeshView, code: str, name: str, tier: str, parent: str) -> tuple[Node, Organization]:
    """Node and organization as the topology will have them, under the organization that runs the parent."""
    codes = {organization.code for organization in view.topology.organizations}
    try:
        node = Node.model_validate({"node": code, "name": name, "tier": tier, "parent": parent})
        facts = {"code": code, "name": name, "tier": tier, "node": code, "people": _PEOPLE}
        superior = parent if parent in codes else None
        return node, Organization.model_validate({**facts, "superior": superior})
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        found = [FieldViolation(".".join(map(str, p["loc"])), p["msg"]) for p in problems]
        line = "; ".join(f"{violation.field}: {violation.description}" for violation in found)
        raise InvalidArgument("TOPOLOGY_INVALID", f"no such node can be: {line}", violations=found) from None


async def _enrolled(view: MeshView, node: Node, organization: Organization, clock: Clock) -> Enrolled:
    """The parent's answer to a token, which is asked for unless an earlier run was given it."""
    kept, folders = _token(view.layout, node), _folders(view, node.node)
    if kept.exists():
        try:
            return await enrol(Token.read(kept), folders, clock=clock)
        except PermissionDenied as refusal:
            if refusal.reason not in _SPENT:
                raise
            kept.unlink()
    (await _invited(view, node, organization, clock)).write(kept)
    return await enrol(Token.read(kept), folders, clock=clock)


async def _invited(view: MeshView, node: Node, organization: Organization, clock: Clock) -> Token:
    parent = node.parent or ""
    operators = [name for name in view.topology.operators if view.tls(f"operator/{name}").key.exists()]
    if not operators:
        raise FailedPrecondition("OPERATOR_MISSING", "no operator's certificate is in the mesh's folder")
    tls = view.tls(f"operator/{operators[0]}")
    tier = tier_of(node.tier)
    async with Connection(
        tls, view.addresses(parent), parent, patience=_PATIENCE_SECONDS, clock=clock
    ) as connection:
        return await invite(
            connection,
            directory_pb2.Node(node=node.node, name=node.name, parent=parent, tier=tier),
            directory_pb2.Organization(
                code=organization.code,
                name=organization.name,
                superior=organization.superior or "",
                tier=tier,
                node=node.node,
                valid_from=organization.valid_from,
            ),
        )


def _folders(view: MeshView, code: str) -> dict[Identity, Path]:
    """Which certificates the newcomer asks for; where others keep the certificates, none."""
    if view.layout.own_pki is not None:
        return {}
    domain, layout = view.topology.trust_domain, view.layout
    folders = {
        Identity(domain, Kind.NODE, node=code, service=part.service): layout.issued(
            part.identity, "tls"
        ).folder
        for part in parts_of(code, view.mode)
    }
    folders[Identity(domain, Kind.NODE, node=code)] = layout.issued(f"node/{code}", "envelope").folder
    owner = Identity(domain, Kind.ORGANIZATION, organization=code)
    folders[owner] = layout.issued(f"org/{code}", "envelope").folder
    return folders


def _agree(view: MeshView, node: Node, enrolled: Enrolled) -> None:
    """What the parent says of the mesh is what this folder says: else it is another mesh's parent."""
    answer, parent = enrolled.response, node.parent or ""
    told = (answer.trust_domain, answer.parent.node, answer.node.node, dict(answer.parent_addresses))
    ours = (view.topology.trust_domain, parent, node.node, view.addresses(parent))
    if told != ours:
        raise FailedPrecondition("MESH_DIFFERS", f"the parent answered {told}, this folder says {ours}")


def _token(layout: Layout, node: Node) -> Path:
    """A token enrols what it was asked for: other facts of the node need another."""
    facts = hashlib.sha256("\0".join((node.name, node.tier, node.parent or "")).encode()).hexdigest()
    return layout.run / f"{node.node}-{facts[:8]}.token"


def _forget_tokens(layout: Layout, code: str) -> None:
    for token in layout.run.glob(f"{code}-*.token"):
        token.unlink(missing_ok=True)
