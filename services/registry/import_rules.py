"""Rules of a directory import: what a set of rows must satisfy, each breach named by row and field. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from lienthong.errors import FieldViolation, InvalidArgument

from services.registry.codes import CodeKey, CodeScheme, full_qcvn102, is_qd20, proposed_qcvn102
from services.registry.domain import Node, Organization, Tier
from services.registry.text import is_plain

MAX_NAME: Final = 200  # decree 30/2020, annex VI: OrganName
MAX_ALIASES: Final = 16
MAX_VIOLATIONS: Final = 40  # more would not fit into an error anyway


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as somebody wrote it; `tier` 0 is none."""

    node: str
    parent: str
    name: str
    tier: int


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organization as somebody wrote it."""

    code: str
    name: str
    superior: str
    tier: int
    node: str
    valid_from: str
    valid_to: str
    aliases: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """All nodes and organizations by their codes."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    organizations: Mapping[str, Organization] = field(default_factory=dict)


class _Breaches:
    def __init__(self) -> None:
        self.found: list[tuple[str, FieldViolation]] = []

    def add(self, reason: str, where: str, what: str) -> None:
        self.found.append((reason, FieldViolation(where, f"{reason}: {what}")))

    def refuse(self) -> None:
        """Raise what was found; the first gives the reason of the whole."""
        if self.found:
            shown = [violation for _, violation in self.found[:MAX_VIOLATIONS]]
            raise InvalidArgument(
                self.found[0][0],
                f"the import has {len(self.found)} faults, nothing was imported",
                violations=shown,
                faults=len(self.found),
            )


def merged(known: Directory, nodes: Sequence[NodeRow], organizations: Sequence[OrganizationRow]) -> Directory:
    """The directory as it is after the import, or InvalidArgument with every row and field at fault."""
    breaches = _Breaches()
    new_nodes = [_node(row, f"nodes[{index}]", breaches) for index, row in enumerate(nodes)]
    new_organizations = [
        _organization(row, f"organizations[{index}]", breaches) for index, row in enumerate(organizations)
    ]
    _no_doubles((row.node for row in nodes), "nodes[{}].node", "NODE_DUPLICATE", breaches)
    _no_doubles(
        (row.code for row in organizations), "organizations[{}].code", "ORGANIZATION_DUPLICATE", breaches
    )
    # What follows compares rows with each other: on rows that cannot even be read it would only make noise.
    breaches.refuse()
    read_nodes = [node for node in new_nodes if node is not None]
    read = [organization for organization in new_organizations if organization is not None]
    after = Directory(
        {**known.nodes, **{node.node: node for node in read_nodes}},
        {**known.organizations, **{organization.code: organization for organization in read}},
    )
    _check_tree(after, read_nodes, breaches)
    _check_superiors(after, read, breaches)
    _check_aliases(after, read, breaches)
    breaches.refuse()
    return Directory(after.nodes, {**after.organizations, **_with_proposals(after, read)})


def _node(row: NodeRow, where: str, breaches: _Breaches) -> Node | None:
    before = len(breaches.found)
    _check_code(row.node, f"{where}.node", breaches)
    if row.parent:
        _check_code(row.parent, f"{where}.parent", breaches)
    _check_name(row.name, f"{where}.name", breaches)
    tier = _tier(row.tier, f"{where}.tier", breaches)
    if tier is None or len(breaches.found) > before:
        return None
    return Node(row.node, row.parent, row.name, tier)


def _organization(row: OrganizationRow, where: str, breaches: _Breaches) -> Organization | None:
    before = len(breaches.found)
    _check_code(row.code, f"{where}.code", breaches)
    for name, code in (("superior", row.superior), ("node", row.node)):
        if code:
            _check_code(code, f"{where}.{name}", breaches)
    _check_name(row.name, f"{where}.name", breaches)
    tier = _tier(row.tier, f"{where}.tier", breaches)
    opens = _day(row.valid_from, f"{where}.valid_from", breaches)
    closes = _day(row.valid_to, f"{where}.valid_to", breaches) if row.valid_to else None
    if opens and closes and closes <= opens:
        breaches.add("VALIDITY_INVALID", f"{where}.valid_to", "closes before it opens")
    aliases = _aliases(row, where, breaches)
    if tier is None or opens is None or len(breaches.found) > before:
        return None
    return Organization(row.code, row.name, row.superior, tier, row.node, opens, closes, aliases)


def _aliases(row: OrganizationRow, where: str, breaches: _Breaches) -> tuple[CodeKey, ...]:
    if len(row.aliases) > MAX_ALIASES:
        breaches.add("TOO_MANY_ITEMS", f"{where}.aliases", f"at most {MAX_ALIASES} aliases")
        return ()
    found: set[CodeKey] = set()
    for index, (scheme, value) in enumerate(row.aliases):
        if scheme == CodeScheme.QD20 and is_qd20(value) and value != row.code:
            found.add(CodeKey(CodeScheme.QD20, value))
        elif scheme == CodeScheme.QCVN102 and (full := full_qcvn102(value)) is not None:
            found.add(CodeKey(CodeScheme.QCVN102, full))
        else:
            breaches.add("ORGANIZATION_CODE_INVALID", f"{where}.aliases[{index}]", "not a code of its scheme")
    return tuple(sorted(found))


def _check_code(code: str, where: str, breaches: _Breaches) -> None:
    if not is_qd20(code):
        breaches.add("ORGANIZATION_CODE_INVALID", where, "not a code of decision 20/2020/QĐ-TTg")


def _check_name(name: str, where: str, breaches: _Breaches) -> None:
    if not name.strip() or not is_plain(name, MAX_NAME):
        breaches.add("NAME_INVALID", where, f"1 to {MAX_NAME} characters, no control characters")


def _tier(tier: int, where: str, breaches: _Breaches) -> Tier | None:
    try:
        return Tier(tier)
    except ValueError:
        breaches.add("TIER_UNKNOWN", where, "not an administrative level")
        return None


def _day(text: str, where: str, breaches: _Breaches) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        breaches.add("VALIDITY_INVALID", where, "not a day written YYYY-MM-DD")
        return None
    return day


def _no_doubles(codes: Iterable[str], where: str, reason: str, breaches: _Breaches) -> None:
    seen: set[str] = set()
    for index, code in enumerate(codes):
        if code in seen:
            breaches.add(reason, where.format(index), "stands in the import twice")
        seen.add(code)


def _check_tree(after: Directory, imported: Sequence[Node], breaches: _Breaches) -> None:
    """Default routes follow this tree: one root, every parent known, no circle."""
    roots = [node.node for node in after.nodes.values() if not node.parent]
    parents = {node.node: node.parent for node in after.nodes.values()}
    for index, node in enumerate(imported):
        where = f"nodes[{index}].parent"
        if node.parent and node.parent not in parents:
            breaches.add("NODE_UNKNOWN", where, "no such node")
        elif not node.parent and len(roots) > 1:
            breaches.add("NODE_TREE_BROKEN", where, f"more than one root: {', '.join(sorted(roots)[:5])}")
        elif _circles(node.node, parents):
            breaches.add("NODE_TREE_BROKEN", where, "the node would be its own ancestor")


def _check_superiors(after: Directory, imported: Sequence[Organization], breaches: _Breaches) -> None:
    superiors = {organization.code: organization.superior for organization in after.organizations.values()}
    for index, organization in enumerate(imported):
        where = f"organizations[{index}]"
        if organization.node and organization.node not in after.nodes:
            breaches.add("NODE_UNKNOWN", f"{where}.node", "no such node")
        if organization.superior and organization.superior not in superiors:
            breaches.add("SUPERIOR_UNKNOWN", f"{where}.superior", "no such organization")
        elif _circles(organization.code, superiors):
            breaches.add("SUPERIOR_CYCLE", f"{where}.superior", "the organization would be its own superior")


def _circles(start: str, above: Mapping[str, str]) -> bool:
    """Whether the way up from `start` comes back to it (a circle further up is that row's fault)."""
    seen: set[str] = set()
    code = above.get(start, "")
    while code and code not in seen:
        if code == start:
            return True
        seen.add(code)
        code = above.get(code, "")
    return False


def _check_aliases(after: Directory, imported: Sequence[Organization], breaches: _Breaches) -> None:
    """One code means one organization on any one day; a present code is a code too."""
    holders: dict[CodeKey, list[Organization]] = {}
    for organization in after.organizations.values():
        for key in (CodeKey(CodeScheme.QD20, organization.code), *organization.aliases):
            holders.setdefault(key, []).append(organization)
    for index, organization in enumerate(imported):
        for key in (CodeKey(CodeScheme.QD20, organization.code), *organization.aliases):
            others = [other for other in holders[key] if other.code != organization.code]
            if any(_overlap(organization, other) for other in others):
                breaches.add("ALIAS_TAKEN", f"organizations[{index}].aliases", f"{key.value} is in use")


def _with_proposals(after: Directory, imported: Sequence[Organization]) -> dict[str, Organization]:
    """The imported organizations, with the proposed old code where none is given and nobody has it."""
    taken = {key for organization in after.organizations.values() for key in organization.aliases}
    result: dict[str, Organization] = {}
    for organization in imported:
        result[organization.code] = organization
        if any(key.scheme is CodeScheme.QCVN102 for key in organization.aliases):
            continue
        proposal = proposed_qcvn102(organization.code)
        key = CodeKey(CodeScheme.QCVN102, proposal) if proposal else None
        if key is not None and key not in taken:
            aliases = tuple(sorted((*organization.aliases, key)))
            result[organization.code] = replace(organization, aliases=aliases)
    return result


def _overlap(one: Organization, other: Organization) -> bool:
    starts = max(one.valid_from, other.valid_from)
    return all(ends is None or starts < ends for ends in (one.valid_to, other.valid_to))
