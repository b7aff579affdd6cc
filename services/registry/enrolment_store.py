"""Table invitation: queries only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lienthong.db import Transaction


@dataclass(frozen=True, slots=True)
class Invitation:
    """A token's other half. `response` is there once it was used."""

    secret_hash: bytes
    node: str
    content: bytes
    expire_time: datetime
    request_id: UUID | None = None
    request_hash: bytes | None = None
    response: bytes | None = None


async def invite(tx: Transaction, invitation: Invitation, now: datetime) -> None:
    """Enter an invitation; an open one of the same node ends."""
    await tx.execute("DELETE FROM invitation WHERE node = $1 AND use_time IS NULL", invitation.node)
    await tx.execute(
        "INSERT INTO invitation (secret_hash, node, content, create_time, expire_time)"
        " VALUES ($1, $2, $3, $4, $5)",
        invitation.secret_hash,
        invitation.node,
        invitation.content,
        now,
        invitation.expire_time,
    )


async def exists(tx: Transaction, secret_hash: bytes) -> bool:
    """Whether such a secret was given out."""
    return bool(await tx.fetchval("SELECT true FROM invitation WHERE secret_hash = $1", secret_hash))


async def locked(tx: Transaction, secret_hash: bytes) -> Invitation | None:
    """The invitation of a secret, locked: of two that show it at once one uses it."""
    row = await tx.fetchrow(
        "SELECT secret_hash, node, content, expire_time, request_id, request_hash, response"
        " FROM invitation WHERE secret_hash = $1 FOR UPDATE",
        secret_hash,
    )
    return Invitation(**dict(row)) if row is not None else None


async def use(
    tx: Transaction,
    secret_hash: bytes,
    request_id: UUID,
    request_hash: bytes,
    response: bytes,
    now: datetime,
) -> None:
    """Use an invitation up, and keep the answer for a repeat."""
    await tx.execute(
        "UPDATE invitation SET use_time = $2, request_id = $3, request_hash = $4, response = $5"
        " WHERE secret_hash = $1",
        secret_hash,
        now,
        request_id,
        request_hash,
        response,
    )
