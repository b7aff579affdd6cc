"""The settings files of a mesh's nodes, and the directory that they all import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from lienthong.files import write_whole
from lienthong.mesh.layout import Layout, NodeLayout
from lienthong.mesh.parts import WHOLE, Mode, Part, parts_of
from lienthong.mesh.ports import NodePorts
from lienthong.mesh.topology import Topology
from lienthong.settings import SERVICES

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
    mode: Mode = "node"
    grace: float = _GRACE_SECONDS
    # Whether new nodes may join under those of the mesh.
    enrolment: bool = False

    def write_all(self) -> None:
        """The directory, and every node's folders and settings."""
        write_yaml(self.layout.organizations, directory(self.topology))
        for node in self.topology.nodes:
            self.write_node(node.node, self.layout.organizations)

    def write_node(self, node: str, organizations: Path | None) -> None:
        """The folders of one node and the settings of its processes."""
        own = self.layout.node(node)
        for folder in (own.storage, own.spool):
            folder.mkdir(parents=True, exist_ok=True)
        for part in parts_of(node, self.mode):
            place = own.process(part.service)
            place.folder.mkdir(parents=True, exist_ok=True)
            write_yaml(place.settings, self.of_part(part, organizations))

    def of_node(self, node: str) -> dict[str, Any]:
        """The whole file of a node whose services share a process."""
        return self.of_part(Part(node), self.layout.organizations)

    def of_part(self, part: Part, organizations: Path | None) -> dict[str, Any]:
        """The whole file of one process."""
        own = self.layout.node(part.node)
        place = own.process(part.service)
        settings: dict[str, Any] = {
            "node": part.node,
            "trust_domain": self.topology.trust_domain,
            "service": part.service,
            "tls": {name: str(path) for name, path in place.tls.model_dump().items()},
            "listen": self.ports[part.node].of(part.service),
            "addresses": self.ports[part.node].addresses,
            "telemetry": {"spans_file": str(place.spans)},
            "grace": self.grace,
        }
        for service in SERVICES if part.service == WHOLE else (part.service,):
            settings[service] = {
                "database": self.database(part.node, service, own.folder / f"{service}-password"),
                **self._section(service, part.node, own, organizations),
                **self.overrides.get(service, {}),
            }
        return settings

    def _section(
        self, service: str, node: str, own: NodeLayout, organizations: Path | None
    ) -> dict[str, Any]:
        match service:
            case "registry":
                return self._registry(node, own, organizations)
            case "signing":
                return self._signing(node, own)
            case "routing":
                return self._routing(node, own)
            case "storage":
                return self._storage(node, own)
            case _:
                return {}

    def _registry(self, node: str, own: NodeLayout, organizations: Path | None) -> dict[str, Any]:
        section: dict[str, Any] = {}
        if organizations is not None:
            section["organizations_file"] = str(organizations)
        if self.enrolment:
            listen = self.ports[node].enrolment_address
            section["enrolment"] = {
                "listen": listen,
                "address": listen,
                "document_chain": str(own.document_chain),
            }
            # The TEST hierarchy is ours, so any node may certify its children; others' keys we do not hold.
            if self.layout.own_pki is None:
                issuers = {name: str(self.layout.pki / "ca" / name) for name in ("transport", "document")}
                section["enrolment"]["issuers"] = issuers
        return section

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
            "tsa_listen": self.ports[node].timestamps_address,
            "spool": str(own.spool),
        }

    def _routing(self, node: str, own: NodeLayout) -> dict[str, Any]:
        parent = self.topology.node(node).parent
        return {
            "document_roots": str(own.roots),
            "document_intermediates": str(own.document_chain),
            "crls": [str(crl) for crl in own.crls],
            "links": [{"node": parent, "address": self.ports[parent].of("routing")}] if parent else [],
        }

    def _storage(self, node: str, own: NodeLayout) -> dict[str, Any]:
        parent = self.topology.node(node).parent
        peers = {parent: self.ports[parent].of("storage")} if parent else {}
        # A laptop's disk may be nearly full; a demo's documents are small.
        return {"folder": str(own.storage), "peers": peers, "free_floor_bytes": 64 * 1024**2}


def directory(topology: Topology) -> dict[str, list[dict[str, Any]]]:
    """Nodes and organizations as the registry's import reads them."""
    return {
        "nodes": [node.model_dump(exclude_none=True) for node in topology.nodes],
        "organizations": [
            organization.model_dump(exclude_none=True, exclude={"people", "signs_itself"})
            for organization in topology.organizations
        ],
    }


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """A YAML file that people can read, replaced at once: a power cut leaves the old one or the new."""
    write_whole(path, yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False).encode())
