"""Which certificates a mesh needs, each with the identity it must carry and what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lienthong.mesh.parts import Mode, parts_of
from lienthong.mesh.topology import Organization, Topology
from lienthong.pki import usage
from lienthong.pki.identity import SCHEME, Kind
from lienthong.pki.issuing import Issued
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import Usages

_TIMESTAMPS = frozenset({usage.TIME_STAMPING})


@dataclass(frozen=True, slots=True)
class Needed:
    """One certificate with its key, in pki/issued/<path>/<purpose>.

    `optional`: the mesh runs without it, because its holder may keep it elsewhere, or needs it no more.
    """

    path: str
    purpose: str
    usages: Usages
    make: Callable[[TestAuthority], Issued]
    optional: bool = False

    def uri(self, trust_domain: str) -> str:
        """The identity it must carry."""
        return f"{SCHEME}{trust_domain}/{self.path}"


def needed(topology: Topology, mode: Mode) -> list[Needed]:
    """All certificates of a mesh: of nodes, of whom they serve, and of people."""
    found = [one for node in topology.nodes for one in _of_node(node.node, mode)]
    for operator in topology.operators:
        found.append(_client("", Kind.OPERATOR, operator, f"operator/{operator}"))
    for organization in topology.organizations:
        found += _of_organization(organization)
    return found


def tsa_name(node: str) -> str:
    """The name of a node's timestamp authority: identities take no dots and no capitals."""
    return node.lower().replace(".", "-")


def served_keys(organization: Organization) -> Iterator[tuple[str, str]]:
    """Path and purpose of each key that the serving node holds for an organization."""
    path = f"org/{organization.code}"
    # An envelope key is used by the node's routing and is always there (design section 10).
    yield path, "envelope"
    if not organization.signs_itself:
        yield path, "seal"
        for leader in organization.of_kind(Kind.LEADER):
            yield f"{path}/leader/{leader.name}", "signing"


def _of_node(node: str, mode: Mode) -> Iterator[Needed]:
    for part in parts_of(node, mode):
        yield Needed(
            part.identity,
            "tls",
            usage.TRANSPORT_USAGES,
            lambda authority, service=part.service: authority.tls_node(node, service),  # type: ignore[misc]
        )
    yield Needed(
        f"node/{node}", "envelope", usage.ENVELOPE_USAGES, lambda authority: authority.node_signer(node)
    )
    yield Needed(
        f"tsa/{tsa_name(node)}",
        "timestamp",
        _TIMESTAMPS,
        lambda authority: authority.timestamp_authority(tsa_name(node)),
    )


def _of_organization(organization: Organization) -> Iterator[Needed]:
    code, name = organization.code, organization.name
    held = dict.fromkeys(served_keys(organization))
    closed = organization.valid_to is not None
    yield Needed(
        f"org/{code}",
        "envelope",
        usage.ENVELOPE_USAGES,
        lambda authority: authority.organization_envelope(code, name),
        closed,
    )
    yield Needed(
        f"org/{code}",
        "seal",
        usage.DOCUMENT_USAGES,
        lambda authority: authority.agency_seal(code, name),
        closed or (f"org/{code}", "seal") not in held,
    )
    for person in organization.people:
        yield _client(code, Kind(person.kind), person.name, f"org/{code}/{person.kind}/{person.name}")
    for leader in organization.of_kind(Kind.LEADER):
        path = f"org/{code}/leader/{leader.name}"
        yield Needed(
            path,
            "signing",
            usage.DOCUMENT_USAGES,
            lambda authority, who=leader: authority.leader(code, who.name, who.title, name),  # type: ignore[misc]
            # A leader may sign with a token of his own, whose key no node holds.
            optional=True,
        )


def _client(organization: str, kind: Kind, name: str, path: str) -> Needed:
    return Needed(
        path,
        "tls",
        frozenset({usage.CLIENT_AUTH}),
        lambda authority: authority.tls_client(organization, kind, name),
        optional=True,
    )
