"""Tables node, organization, organization_alias, directory: queries only."""

# ruff: noqa: S608 - statements are put together from constants of this file only
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from lienthong.db import Queries, Record, Transaction

from services.registry.codes import CodeKey, CodeScheme
from services.registry.domain import Node, Organization, Tier
from services.registry.import_rules import Directory

_ORGANIZATION = """
    SELECT o.*, coalesce(a.schemes, '{}') AS schemes, coalesce(a.vals, '{}') AS vals
    FROM organization o LEFT JOIN LATERAL (
        SELECT array_agg(scheme ORDER BY scheme, value) AS schemes,
               array_agg(value ORDER BY scheme, value) AS vals
        FROM organization_alias WHERE code = o.code
    ) a ON true
"""


async def lock_directory(tx: Transaction) -> datetime | None:
    """Make imports wait for each other; returns when the directory last changed."""
    changed: datetime | None = await tx.fetchval("SELECT change_time FROM directory FOR UPDATE")
    return changed


async def mark_changed(tx: Transaction) -> datetime:
    """The directory changes now, by the database's clock."""
    changed: datetime = await tx.fetchval("UPDATE directory SET change_time = now() RETURNING change_time")
    return changed


async def all_nodes(queries: Queries) -> list[Node]:
    """All nodes by code."""
    rows = await queries.fetch("SELECT node, parent, name, tier FROM node ORDER BY node")
    return [Node(row["node"], row["parent"], row["name"], Tier(row["tier"])) for row in rows]


async def whole_directory(queries: Queries) -> Directory:
    """Everything: imports are rare, and their rules look at all of it."""
    nodes = await all_nodes(queries)
    rows = await queries.fetch(_ORGANIZATION)
    organizations = [_organization(row) for row in rows]
    return Directory({node.node: node for node in nodes}, {o.code: o for o in organizations})


async def organizations_after(queries: Queries, code: str, limit: int) -> list[Organization]:
    """The next organizations by code."""
    rows = await queries.fetch(f"{_ORGANIZATION} WHERE o.code > $1 ORDER BY o.code LIMIT $2", code, limit)
    return [_organization(row) for row in rows]


async def organizations_by_key(
    queries: Queries, keys: Iterable[CodeKey]
) -> dict[CodeKey, tuple[Organization, ...]]:
    """Who has these codes, as present code or alias; who is open, or closed last, comes first."""
    wanted = sorted(set(keys))
    rows = await queries.fetch(
        "SELECT scheme, value, o.* FROM ("
        " SELECT scheme, value, value AS code FROM unnest($1::smallint[], $2::text[]) AS k(scheme, value)"
        "  WHERE scheme = 1"
        " UNION SELECT scheme, value, code FROM organization_alias"
        "  JOIN unnest($1::smallint[], $2::text[]) AS k(scheme, value) USING (scheme, value)"
        f") held JOIN ({_ORGANIZATION}) o USING (code) "
        " ORDER BY o.valid_to DESC NULLS FIRST, held.value <> o.code",
        [int(key.scheme) for key in wanted],
        [key.value for key in wanted],
    )
    found: dict[CodeKey, list[Organization]] = {}
    for row in rows:
        found.setdefault(CodeKey(CodeScheme(row["scheme"]), row["value"]), []).append(_organization(row))
    return {key: tuple(organizations) for key, organizations in found.items()}


async def known_codes(queries: Queries, codes: Iterable[str]) -> frozenset[str]:
    """Which of these present codes exist."""
    rows = await queries.fetch(
        "SELECT code FROM organization WHERE code = ANY($1::text[])", sorted(set(codes))
    )
    return frozenset(row["code"] for row in rows)


async def organization_name(queries: Queries, code: str) -> str | None:
    """The name of one organization by its present code."""
    name: str | None = await queries.fetchval("SELECT name FROM organization WHERE code = $1", code)
    return name


async def write_nodes(tx: Transaction, nodes: Sequence[Node]) -> None:
    """Add or replace nodes."""
    await tx.execute(
        "INSERT INTO node (node, parent, name, tier)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[])"
        " ON CONFLICT (node) DO UPDATE SET parent = excluded.parent, name = excluded.name,"
        " tier = excluded.tier",
        [node.node for node in nodes],
        [node.parent for node in nodes],
        [node.name for node in nodes],
        [int(node.tier) for node in nodes],
    )


async def write_organizations(tx: Transaction, organizations: Sequence[Organization]) -> None:
    """Add or replace organizations with their aliases."""
    await tx.execute(
        "INSERT INTO organization (code, name, superior, tier, node, valid_from, valid_to)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[],"
        " $5::text[], $6::date[], $7::date[])"
        " ON CONFLICT (code) DO UPDATE SET name = excluded.name, superior = excluded.superior,"
        " tier = excluded.tier, node = excluded.node, valid_from = excluded.valid_from,"
        " valid_to = excluded.valid_to",
        [o.code for o in organizations],
        [o.name for o in organizations],
        [o.superior for o in organizations],
        [int(o.tier) for o in organizations],
        [o.node for o in organizations],
        [o.valid_from for o in organizations],
        [o.valid_to for o in organizations],
    )
    await tx.execute(
        "DELETE FROM organization_alias WHERE code = ANY($1::text[])", [o.code for o in organizations]
    )
    held = [(key, o) for o in organizations for key in o.aliases]
    await tx.execute(
        "INSERT INTO organization_alias (scheme, value, code, valid_to)"
        " SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::date[])",
        [int(key.scheme) for key, _ in held],
        [key.value for key, _ in held],
        [o.code for _, o in held],
        [o.valid_to for _, o in held],
    )


def _organization(row: Record) -> Organization:
    keys = zip(row["schemes"], row["vals"], strict=True)
    return Organization(
        code=row["code"],
        name=row["name"],
        superior=row["superior"],
        tier=Tier(row["tier"]),
        node=row["node"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        aliases=tuple(CodeKey(CodeScheme(scheme), value) for scheme, value in keys),
    )
