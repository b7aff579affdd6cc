"""profiles.yaml of a mesh: how each person, software and operator of it connects."""

from __future__ import annotations

from lienthong.client.profiles import Profile, Profiles
from lienthong.mesh.view import MeshView


def profiles_of(view: MeshView) -> Profiles:
    """One a person ("G22/clerk/<name>"), and one an operator and node ("operator/<name>" is at the root).

    Who keeps the own certificate elsewhere has none. The default is the first clerk of the root.
    """
    found: dict[str, Profile] = {}
    default: str | None = None
    root = view.topology.root.node
    for organization in view.topology.organizations:
        for person in organization.people:
            name = f"{organization.code}/{person.kind}/{person.name}"
            profile = _profile(view, f"org/{name}", organization.node, organization.code)
            if profile is None:
                continue
            found[name] = profile
            if default is None and organization.node == root and person.kind == "clerk":
                default = name
    for operator in view.topology.operators:
        for node in view.topology.nodes:
            profile = _profile(view, f"operator/{operator}", node.node, None)
            if profile is not None:
                name = f"operator/{operator}"
                found[name if node.node == root else f"{name}@{node.node}"] = profile
    return Profiles(default=default, profiles=found)


def _profile(view: MeshView, path: str, node: str, organization: str | None) -> Profile | None:
    files = view.layout.issued(path, "tls")
    if not files.chain_path.exists():
        return None
    return Profile(
        node=node,
        organization=organization,
        addresses=view.address(node) if view.mode == "node" else view.addresses(node),
        certificate=files.chain_path,
        key=files.key_path,
        roots=view.layout.roots,
        # Of all nodes: they are on this machine, and a document's trace runs over several.
        spans=(view.layout.nodes,),
    )
