"""Which rows of the directory a node is still to import.

A registry imports its file at its start, and rows there win over what is known. A mesh that stays must not
undo at a restart what operators changed meanwhile, so each row is given to each node once: what a node has
imported is written down then. A node that enrolled begins with the directory that its parent signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from lienthong.mesh.layout import NodeLayout
from lienthong.mesh.node_settings import directory, write_yaml
from lienthong.mesh.topology import Topology
from lienthong.registry.v1 import directory_pb2, enrolment_pb2

_KEYS: Final = {"nodes": "node", "organizations": "code"}

Rows = dict[str, list[dict[str, Any]]]


def write_news(topology: Topology, node: NodeLayout) -> Path | None:
    """The file with what the node lacks, or None when it lacks nothing."""
    rows = pending(topology, node)
    if not any(rows.values()):
        node.directory.unlink(missing_ok=True)
        return None
    write_yaml(node.directory, rows)
    return node.directory


def pending(topology: Topology, node: NodeLayout) -> Rows:
    """What the node lacks: as its parent gave it, else as the topology has it."""
    return _merged(_read(node.snapshot), news(topology, known(node)))


def mark_imported(topology: Topology, node: NodeLayout) -> None:
    """The node has all that the topology names."""
    rows = directory(topology)
    write_yaml(node.imported, {part: [row[key] for row in rows[part]] for part, key in _KEYS.items()})
    for file in (node.snapshot, node.directory):
        file.unlink(missing_ok=True)


def write_snapshot(node: NodeLayout, snapshot: enrolment_pb2.DirectorySnapshot) -> None:
    """Keep the directory that a parent gave to a new node, for its first start."""
    node.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    nodes = [_given(_fields(n, ("node", "parent", "name")), n.tier) for n in snapshot.nodes]
    organizations = [
        _given(_fields(o, ("code", "name", "superior", "node", "valid_from", "valid_to")), o.tier)
        for o in snapshot.organizations
    ]
    write_yaml(node.snapshot, {"nodes": nodes, "organizations": organizations})


def news(topology: Topology, imported: Mapping[str, Sequence[str]]) -> Rows:
    """The rows whose codes were not imported before."""
    rows = directory(topology)
    return {
        part: [row for row in rows[part] if row[key] not in imported.get(part, ())]
        for part, key in _KEYS.items()
    }


def known(node: NodeLayout) -> dict[str, list[str]]:
    """The codes that a node has imported, by `nodes` and `organizations`."""
    content = _read(node.imported)
    return {part: [str(code) for code in content.get(part, ())] for part in _KEYS}


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content


def _merged(given: Mapping[str, Sequence[dict[str, Any]]], rows: Rows) -> Rows:
    """What the parent gave, and of ours what it did not name: it knows what operators changed since."""
    merged: Rows = {}
    for part, key in _KEYS.items():
        first = list(given.get(part, ()))
        named = {row[key] for row in first}
        merged[part] = [*first, *(row for row in rows[part] if row[key] not in named)]
    return merged


def _fields(message: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if getattr(message, name)}


def _given(row: dict[str, Any], tier: directory_pb2.Tier.ValueType) -> dict[str, Any]:
    return {**row, "tier": directory_pb2.Tier.Name(tier).removeprefix("TIER_")}
