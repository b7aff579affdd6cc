"""The TEST certificates of a mesh: all issued into pki/, each node given copies of what it serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lienthong.clock import Clock
from lienthong.mesh.layout import Layout, NodeLayout
from lienthong.mesh.topology import Organization, Topology
from lienthong.pki.identity import Kind
from lienthong.pki.issuing import Issued
from lienthong.pki.testing import TestAuthority


def issue_all(topology: Topology, layout: Layout, clock: Clock) -> TestAuthority:
    """Make the hierarchy and every certificate of the topology, then fill the nodes' folders."""
    authority = TestAuthority.create(layout.pki, clock, topology.trust_domain)
    authority.issue_many(list(_requests(topology, authority)))
    for node in topology.nodes:
        hand_over(topology, layout, authority, node.node)
    return authority


def hand_over(topology: Topology, layout: Layout, authority: TestAuthority, node: str) -> None:
    """Copy to a node its own TLS and envelope key, its timestamp key, and the keys of whom it serves."""
    own = layout.node(node)
    _copy(authority.issued(f"node/{node}/node", "tls"), own.folder / "tls")
    shutil.copyfile(authority.roots_path, own.folder / "roots.pem")
    shutil.copyfile(authority.document_chain_path, own.folder / "document-chain.pem")
    for crl in authority.crl_paths:
        (own.folder / "crl").mkdir(exist_ok=True)
        shutil.copyfile(crl, own.folder / "crl" / crl.name)
    _hand_over_key(authority, own, f"node/{node}", "envelope")
    # Apart from the keys that sign documents: a timestamp authority's key signs nothing else.
    _copy(authority.issued(f"tsa/{tsa_name(node)}", "timestamp"), own.timestamps)
    for organization in topology.served_by(node):
        for path, purpose in _served_keys(organization):
            _hand_over_key(authority, own, path, purpose)


def tsa_name(node: str) -> str:
    """The name of a node's timestamp authority: identities take no dots and no capitals."""
    return node.lower().replace(".", "-")


def _served_keys(organization: Organization) -> Iterator[tuple[str, str]]:
    """Path and purpose of each key that the serving node holds for an organization."""
    path = f"org/{organization.code}"
    # An envelope key is used by the node's routing and is always there (design section 10).
    yield path, "envelope"
    if not organization.signs_itself:
        yield path, "seal"
        for leader in organization.of_kind(Kind.LEADER):
            yield f"{path}/leader/{leader.name}", "signing"


def _requests(topology: Topology, authority: TestAuthority) -> Iterator[Callable[[], Issued]]:
    for node in topology.nodes:
        yield lambda code=node.node: authority.tls_node(code)  # type: ignore[misc]
        yield lambda code=node.node: authority.node_signer(code)  # type: ignore[misc]
        yield lambda code=node.node: authority.timestamp_authority(tsa_name(code))  # type: ignore[misc]
    for operator in topology.operators:
        yield lambda name=operator: authority.tls_client("", Kind.OPERATOR, name)  # type: ignore[misc]
    for organization in topology.organizations:
        yield from _requests_of(organization, authority)


def _requests_of(organization: Organization, authority: TestAuthority) -> Iterator[Callable[[], Issued]]:
    code, name = organization.code, organization.name
    yield lambda: authority.agency_seal(code, name)
    yield lambda: authority.organization_envelope(code, name)
    for person in organization.people:
        yield lambda p=person: authority.tls_client(code, p.kind, p.name)  # type: ignore[misc]
    for leader in organization.of_kind(Kind.LEADER):
        yield lambda p=leader: authority.leader(code, p.name, p.title, name)  # type: ignore[misc]


def _hand_over_key(authority: TestAuthority, node: NodeLayout, path: str, purpose: str) -> None:
    _copy(authority.issued(path, purpose), node.keys / path / purpose)


def _copy(files: Issued, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in (files.certificate_path, files.chain_path, files.key_path):
        shutil.copy(file, folder / file.name)  # with its mode: a key stays 0600
