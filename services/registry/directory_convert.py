"""Protobuf <-> domain for the directory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lienthong.errors import InvalidArgument
from lienthong.registry.v1 import directory_pb2 as pb
from lienthong.times import to_timestamp

from services.registry.directory import Imported, Resolution
from services.registry.domain import Node, Organization
from services.registry.import_rules import NodeRow, OrganizationRow

MAX_CODES: Final = 10_000
MAX_ROWS: Final = 20_000


def check_count(count: int, limit: int, field: str) -> None:
    """Refuse lists that are too long."""
    if count > limit:
        raise InvalidArgument(
            "TOO_MANY_ITEMS", f"{field} has more than {limit} items", field=field, limit=limit
        )


def rows_from_proto(request: pb.ImportOrganizationsRequest) -> tuple[list[NodeRow], list[OrganizationRow]]:
    """The rows as they were sent; the import judges them."""
    check_count(len(request.nodes), MAX_ROWS, "nodes")
    check_count(len(request.organizations), MAX_ROWS, "organizations")
    nodes = [NodeRow(node.node, node.parent, node.name, node.tier) for node in request.nodes]
    return nodes, [_row(organization) for organization in request.organizations]


def content_of(request: pb.ImportOrganizationsRequest) -> bytes:
    """What tells a repeat from another request: everything except the id."""
    content = pb.ImportOrganizationsRequest(nodes=request.nodes, organizations=request.organizations)
    return hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


def organization_to_proto(organization: Organization) -> pb.Organization:
    """One organization."""
    return pb.Organization(
        code=organization.code,
        name=organization.name,
        superior=organization.superior,
        tier=pb.Tier.ValueType(organization.tier),
        node=organization.node,
        valid_from=organization.valid_from.isoformat(),
        valid_to=organization.valid_to.isoformat() if organization.valid_to else "",
        aliases=[
            pb.Alias(scheme=pb.CodeScheme.ValueType(key.scheme), value=key.value)
            for key in organization.aliases
        ],
    )


def nodes_to_proto(nodes: Sequence[Node]) -> pb.ListNodesResponse:
    """The tree."""
    return pb.ListNodesResponse(
        nodes=[
            pb.Node(node=node.node, parent=node.parent, name=node.name, tier=pb.Tier.ValueType(node.tier))
            for node in nodes
        ]
    )


def resolutions_to_proto(resolutions: Sequence[Resolution]) -> pb.ResolveRecipientsResponse:
    """The answers in their order."""
    return pb.ResolveRecipientsResponse(
        recipients=[
            pb.ResolvedRecipient(
                code=resolution.code,
                organization=organization_to_proto(resolution.organization)
                if resolution.organization
                else None,
                reason=resolution.reason,
            )
            for resolution in resolutions
        ]
    )


def imported_to_proto(imported: Imported) -> pb.ImportOrganizationsResponse:
    """What the import changed."""
    changed: datetime | None = imported.change_time
    return pb.ImportOrganizationsResponse(
        added=imported.added, changed=imported.changed, change_time=to_timestamp(changed)
    )


def _row(organization: pb.Organization) -> OrganizationRow:
    return OrganizationRow(
        code=organization.code,
        name=organization.name,
        superior=organization.superior,
        tier=organization.tier,
        node=organization.node,
        valid_from=organization.valid_from,
        valid_to=organization.valid_to,
        aliases=tuple((alias.scheme, alias.value) for alias in organization.aliases),
    )
