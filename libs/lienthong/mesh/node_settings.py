"""The settings files of a mesh's nodes, and the directory that they all import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from lienthong.mesh.databases import SERVICES
from lienthong.mesh.layout import Layout, NodeLayout
from lienthong.mesh.ports import NodePorts
from lienthong.mesh.topology import Topology

# Gives the database section of a service; the path is where its password goes.
DatabaseSection = Callable[[str, str, Path], dict[str, Any]]

_GRACE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SettingsWriter:
    """Writes what the nodes of one mesh are told."""

    topology: Topology
    layout: Layout
    ports: Mapping[str, NodePorts]
    database: DatabaseSection
    # Sections merged over ours, by service: what a test wants otherwise.
    overrides: Mapping[str, Mapping[str, Any]]

    def write_all(self) -> None:
        _write_yaml(self.layout.organizations, directory(self.topology))
        for node in self.topology.nodes:
            own = self.layout.node(node.node)
            for folder in (own.storage, own.spool):
                folder.mkdir(parents=True, exist_ok=True)
            _write_yaml(own.settings, self.of_node(node.node))

    def of_node(self, node: str) -> dict[str, Any]:
        """The whole file of one node."""
        own, tls = self.layout.node(node), self.layout.node(node).tls
        sections = {
            "registry": {"organizations_file": str(self.layout.organizations)},
            "signing": self._signing(node, own),
            "routing": self._routing(node, own),
            "storage": self._storage(node, own),
            "reporting": {},
        }
        settings: dict[str, Any] = {
            "node": node,
            "trust_domain": self.topology.trust_domain,
            "service": "node",
            "tls": {name: str(path) for name, path in tls.model_dump().items()},
            "listen": self.ports[node].address,
            "addresses": dict.fromkeys(SERVICES, self.ports[node].address),
            "telemetry": {"spans_file": str(own.spans)},
            "grace": _GRACE_SECONDS,
        }
        for service in SERVICES:
            database = self.database(node, service, own.folder / f"{service}-password")
            settings[service] = {
                "database": database,
                **sections[service],
                **self.overrides.get(service, {}),
            }
        return settings

    def _signing(self, node: str, own: NodeLayout) -> dict[str, Any]:
        return {
            "keys": str(own.keys),
            "document_roots": str(own.roots),
            "document_intermediates": str(own.document_chain),
            "crls": [str(crl) for crl in own.crls],
            # Over HTTP, as with the authority of others that production uses.
            "tsa_urls": [self.ports[node].timestamps_url],
            "tsa": {
                "key": str(own.timestamps / "key.pem"),
                "chain": str(own.timestamps / "chain.pem"),
            },
            "tsa_listen": f"127.0.0.1:{self.ports[node].timestamps}",
            "spool": str(own.spool),
        }

    def _routing(self, node: str, own: NodeLayout) -> dict[str, Any]:
        parent = self.topology.node(node).parent
        return {
            "document_roots": str(own.roots),
            "document_intermediates": str(own.document_chain),
            "crls": [str(crl) for crl in own.crls],
            "links": [{"node": parent, "address": self.ports[parent].address}] if parent else [],
        }

    def _storage(self, node: str, own: NodeLayout) -> dict[str, Any]:
        parent = self.topology.node(node).parent
        peers = {parent: self.ports[parent].address} if parent else {}
        # A laptop's disk may be nearly full; a demo's documents are small.
        return {"folder": str(own.storage), "peers": peers, "free_floor_bytes": 64 * 1024**2}


def directory(topology: Topology) -> dict[str, Any]:
    """Nodes and organizations as the registry's import reads them."""
    return {
        "nodes": [node.model_dump(exclude_none=True) for node in topology.nodes],
        "organizations": [
            organization.model_dump(exclude_none=True, exclude={"people", "signs_itself"})
            for organization in topology.organizations
        ],
    }


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False), encoding="utf-8")
