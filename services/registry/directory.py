"""The directory at work: who an organization is, where its mail goes today, and imports of the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lienthong.clock import Clock
from lienthong.db import Database, Transaction
from lienthong.errors import InvalidArgument, NotFound
from lienthong.idempotency import recall, record
from lienthong.times import vietnam_day

from services.registry import directory_store as store
from services.registry.codes import lookup_keys
from services.registry.domain import Node, Organization
from services.registry.import_rules import NodeRow, OrganizationRow, merged


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where mail for one code goes; `reason` says why it goes nowhere."""

    code: str
    organization: Organization | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed. `change_time` is absent while nothing was ever imported."""

    added: int
    changed: int
    change_time: datetime | None


class OrganizationDirectory:
    """The organizations and nodes that this node knows."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, code: str) -> Organization:
        """One organization by any of its codes, whether open or not."""
        keys = lookup_keys(code)
        if not keys:
            raise InvalidArgument(
                "ORGANIZATION_CODE_INVALID", "not an organization code", field="code", code=code[:64]
            )
        found = await store.organizations_by_key(self._database, keys)
        for key in keys:
            if key in found:
                return found[key][0]
        raise unknown_organization(code, "code")

    async def page(self, after: str, limit: int) -> list[Organization]:
        """The next organizations by code."""
        return await store.organizations_after(self._database, after, limit)

    async def nodes(self) -> list[Node]:
        """The tree."""
        return await store.all_nodes(self._database)

    async def name(self, code: str, field: str) -> str:
        """The name of an organization by its present code."""
        name = await store.organization_name(self._database, code)
        if name is None:
            raise unknown_organization(code, field)
        return name

    async def resolve(self, codes: Sequence[str]) -> list[Resolution]:
        """Where mail for these codes goes today, in their order."""
        keys = {code: lookup_keys(code) for code in codes}
        found = await store.organizations_by_key(self._database, [k for few in keys.values() for k in few])
        today = vietnam_day(self._clock.now())
        resolutions: dict[str, Resolution] = {}
        for code, few in keys.items():
            holders = [organization for key in few for organization in found.get(key, ())]
            reasons = [organization.unreachable(today) for organization in holders]
            if "" in reasons:
                resolutions[code] = Resolution(code, holders[reasons.index("")])
            else:
                fallback = "ORGANIZATION_UNKNOWN" if few else "ORGANIZATION_CODE_INVALID"
                resolutions[code] = Resolution(code, None, next(iter(reasons), fallback))
        return [resolutions[code] for code in codes]

    async def import_rows(
        self, nodes: Sequence[NodeRow], organizations: Sequence[OrganizationRow]
    ) -> Imported:
        """Import, as the node itself does at its start: repeating it changes nothing."""
        async with self._database.transaction() as tx:
            return await import_rows(tx, nodes, organizations)

    async def import_once(
        self,
        request: tuple[str, UUID, bytes],
        nodes: Sequence[NodeRow],
        organizations: Sequence[OrganizationRow],
    ) -> Imported:
        """Import for a request (caller, request id, hash of its content); a repeat gets the first answer."""
        caller, request_id, request_hash = request
        async with self._database.transaction() as tx:
            answer = await recall(tx, caller, request_id, request_hash)
            if answer is not None:
                return _loaded(answer)
            imported = await import_rows(tx, nodes, organizations)
            await record(tx, caller, request_id, _dumped(imported))
            return imported


def unknown_organization(code: str, field: str) -> NotFound:
    """Nobody has this code."""
    return NotFound("ORGANIZATION_UNKNOWN", f"no organization {code}", field=field, code=code[:64])


async def import_rows(
    tx: Transaction, nodes: Sequence[NodeRow], organizations: Sequence[OrganizationRow]
) -> Imported:
    """Import within a transaction of the caller's; all or nothing."""
    # Imports run one after the other: each judges its rows against the whole directory.
    change_time = await store.lock_directory(tx)
    known = await store.whole_directory(tx)
    after = merged(known, nodes, organizations)
    new_nodes = [node for code, node in after.nodes.items() if known.nodes.get(code) != node]
    new = [found for code, found in after.organizations.items() if known.organizations.get(code) != found]
    if not new_nodes and not new:
        return Imported(0, 0, change_time)
    await store.write_nodes(tx, new_nodes)
    await store.write_organizations(tx, new)
    added = sum(organization.code not in known.organizations for organization in new)
    return Imported(added, len(new) - added, await store.mark_changed(tx))


def _dumped(imported: Imported) -> bytes:
    time = imported.change_time.isoformat() if imported.change_time else None
    return json.dumps([imported.added, imported.changed, time]).encode()


def _loaded(answer: bytes) -> Imported:
    added, changed, time = json.loads(answer)
    return Imported(added, changed, datetime.fromisoformat(time) if time else None)
