"""Tables of storage: blob, upload_grant, hold. Every rule about who wins a race is in these statements.

A blob's row is its lock. `record` (a new or repeated upload), `place_holds` and the two steps of the
collector all take it, and whoever comes second sees what the first one decided:

    place_holds first   -> `mark` looks again with the lock in hand, finds the hold, leaves the blob
    mark first          -> place_holds reports the blob missing; an upload clears the mark and has it back
    forget first        -> the upload makes a new row, and renames its file only after that
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lienthong.db import Queries, Transaction

from services.storage.domain import BlobStat, Content, Hold, Recorded

_NOT_NEEDED = (
    "NOT EXISTS (SELECT FROM hold WHERE hold.sha256 = blob.sha256)"
    " AND NOT EXISTS (SELECT FROM upload_grant AS g WHERE g.sha256 = blob.sha256 AND g.expire_time > $2)"
)


async def record(tx: Transaction, content: Content, now: datetime, grace_until: datetime) -> None:
    """Say that the blob is here, and lock its row until the commit; the file gets its name meanwhile."""
    await tx.execute(
        "INSERT INTO blob AS b (sha256, size_bytes, create_time, grace_until) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (sha256) DO UPDATE SET collecting_since = NULL, size_bytes = excluded.size_bytes,"
        " grace_until = greatest(b.grace_until, excluded.grace_until)",
        content.sha256,
        content.size,
        now,
        grace_until,
    )


async def grant_upload(tx: Transaction, sha256: bytes, organization: str, expire_time: datetime) -> datetime:
    """Let the organization use the blob until then, or longer if it could already."""
    expires: datetime = await tx.fetchval(
        "INSERT INTO upload_grant AS g (sha256, organization, expire_time) VALUES ($1, $2, $3)"
        " ON CONFLICT (sha256, organization)"
        " DO UPDATE SET expire_time = greatest(g.expire_time, excluded.expire_time) RETURNING expire_time",
        sha256,
        organization,
        expire_time,
    )
    return expires


async def renew_grant(
    tx: Transaction, content: Content, organization: str, now: datetime, expire_time: datetime
) -> datetime | None:
    """Prolong a grant that still stands for a blob that is here; None where either is not so."""
    # Shared like a hold's: the collector passes over the row, or has decided and we see that.
    here = await tx.fetchval(
        "SELECT true FROM blob JOIN upload_grant USING (sha256) WHERE blob.sha256 = $1 AND size_bytes = $2"
        " AND collecting_since IS NULL AND organization = $3 AND expire_time > $4 FOR SHARE OF blob",
        content.sha256,
        content.size,
        organization,
        now,
    )
    return await grant_upload(tx, content.sha256, organization, expire_time) if here else None


async def find(queries: Queries, sha256: bytes) -> Content | None:
    """The blob, if it is here."""
    size = await queries.fetchval(
        "SELECT size_bytes FROM blob WHERE sha256 = $1 AND collecting_since IS NULL", sha256
    )
    return None if size is None else Content(sha256, size)


async def is_granted(queries: Queries, sha256: bytes, organization: str, now: datetime) -> bool:
    """Whether the organization uploaded these bytes itself, not too long ago."""
    return bool(
        await queries.fetchval(
            "SELECT true FROM upload_grant WHERE sha256 = $1 AND organization = $2 AND expire_time > $3",
            sha256,
            organization,
            now,
        )
    )


async def stat(
    queries: Queries, digests: Sequence[bytes], organization: str, now: datetime
) -> list[BlobStat]:
    """What is known, in the order asked."""
    rows = await queries.fetch(
        "SELECT asked.sha256, b.sha256 IS NOT NULL AS present, coalesce(b.size_bytes, 0) AS size,"
        " g.sha256 IS NOT NULL AS granted"
        " FROM unnest($1::bytea[]) WITH ORDINALITY AS asked(sha256, place)"
        " LEFT JOIN blob AS b ON b.sha256 = asked.sha256 AND b.collecting_since IS NULL"
        " LEFT JOIN upload_grant AS g ON g.sha256 = b.sha256 AND g.organization = $2 AND g.expire_time > $3"
        " ORDER BY place",
        list(digests),
        organization,
        now,
    )
    return [BlobStat(row["sha256"], row["present"], row["size"], row["granted"]) for row in rows]


async def present(queries: Queries, digests: Sequence[bytes]) -> dict[bytes, Content]:
    """Those of the digests that are here."""
    rows = await queries.fetch(
        "SELECT sha256, size_bytes FROM blob WHERE sha256 = ANY($1) AND collecting_since IS NULL",
        list(digests),
    )
    return {row["sha256"]: Content(row["sha256"], row["size_bytes"]) for row in rows}


async def place_holds(tx: Transaction, holds: Sequence[Hold]) -> list[bytes]:
    """Hold what is here, and name what is not."""
    wanted = sorted({digest for hold in holds for digest in hold.digests})
    # In the order of the digests: two callers that lock in opposite order would wait for each other.
    # FOR SHARE, so that many may hold one blob at a time, and none while it is being collected.
    rows = await tx.fetch(
        "SELECT sha256 FROM blob WHERE sha256 = ANY($1) AND collecting_since IS NULL"
        " ORDER BY sha256 FOR SHARE",
        wanted,
    )
    here = {row["sha256"] for row in rows}
    pairs = sorted({(digest, hold.holder) for hold in holds for digest in hold.digests if digest in here})
    await tx.execute(
        "INSERT INTO hold (sha256, holder) SELECT * FROM unnest($1::bytea[], $2::text[])"
        " ON CONFLICT DO NOTHING",
        [digest for digest, _ in pairs],
        [holder for _, holder in pairs],
    )
    return [digest for digest in wanted if digest not in here]


async def release_holds(tx: Transaction, holders: Sequence[str]) -> None:
    """End what these hold."""
    # Locked in one order before the delete, whose own order is whatever the plan makes of it.
    await tx.execute(
        "DELETE FROM hold USING (SELECT sha256, holder FROM hold WHERE holder = ANY($1)"
        " ORDER BY sha256, holder FOR UPDATE) AS gone"
        " WHERE hold.sha256 = gone.sha256 AND hold.holder = gone.holder",
        list(holders),
    )


async def mark(tx: Transaction, now: datetime, limit: int) -> int:
    """Decide which blobs nobody needs, and take them away from everybody; the count."""
    rows = await tx.fetch(
        "SELECT sha256 FROM blob WHERE collecting_since IS NULL AND grace_until <= $2"  # noqa: S608 (constants)
        f" AND {_NOT_NEEDED} ORDER BY grace_until LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
        now,
    )
    # A second statement, hence a second snapshot: a hold committed after the first one was taken, and
    # before its row was locked, is seen only now; and none can come while the rows are locked.
    changed = await tx.fetch(
        "UPDATE blob SET collecting_since = $2 WHERE sha256 = ANY($1)"  # noqa: S608 (constants)
        f" AND {_NOT_NEEDED} RETURNING 1",
        [row["sha256"] for row in rows],
        now,
    )
    return len(changed)


async def marked(queries: Queries, limit: int) -> list[bytes]:
    """What is decided and not done, the oldest first: also what a killed collector left."""
    rows = await queries.fetch(
        "SELECT sha256 FROM blob WHERE collecting_since IS NOT NULL ORDER BY collecting_since LIMIT $1", limit
    )
    return [row["sha256"] for row in rows]


async def lock_marked(tx: Transaction, sha256: bytes) -> bool:
    """Lock the row if the decision still stands: an upload may have taken it back."""
    return bool(
        await tx.fetchval(
            "SELECT true FROM blob WHERE sha256 = $1 AND collecting_since IS NOT NULL FOR UPDATE SKIP LOCKED",
            sha256,
        )
    )


async def forget(tx: Transaction, sha256: bytes) -> None:
    """Remove the row of a blob whose file is gone."""
    await tx.execute("DELETE FROM blob WHERE sha256 = $1", sha256)


async def adopt_orphans(tx: Transaction, digests: Sequence[bytes], now: datetime) -> int:
    """Give files without a row one that says: to be collected. The count.

    An upload that is about to commit holds the key already: the insert waits for it and then does nothing.
    """
    rows = await tx.fetch(
        "INSERT INTO blob (sha256, size_bytes, create_time, grace_until, collecting_since)"
        " SELECT digest, 0, $2::timestamptz, $2, $2 FROM unnest($1::bytea[]) AS digest ORDER BY digest"
        " ON CONFLICT DO NOTHING RETURNING 1",
        list(digests),
        now,
    )
    return len(rows)


async def recorded_after(queries: Queries, after: bytes, limit: int) -> list[Recorded]:
    """The next rows in the order of the digests, those that the collector takes among them."""
    rows = await queries.fetch(
        "SELECT sha256, size_bytes, collecting_since IS NOT NULL AS leaving FROM blob"
        " WHERE sha256 > $1 ORDER BY sha256 LIMIT $2",
        after,
        limit,
    )
    return [Recorded(row["sha256"], row["size_bytes"], row["leaving"]) for row in rows]


async def count_present(queries: Queries) -> int:
    """How many blobs are here."""
    return int(await queries.fetchval("SELECT count(*) FROM blob WHERE collecting_since IS NULL"))


async def share_present(tx: Transaction, sha256: bytes) -> Content | None:
    """The blob, if it is here. Until the commit nobody collects it nor uploads it again."""
    size = await tx.fetchval(
        "SELECT size_bytes FROM blob WHERE sha256 = $1 AND collecting_since IS NULL FOR SHARE", sha256
    )
    return None if size is None else Content(sha256, size)


async def is_recorded(queries: Queries, sha256: bytes) -> bool:
    """Whether there is a row, be it one that the collector takes."""
    return bool(await queries.fetchval("SELECT true FROM blob WHERE sha256 = $1", sha256))


async def count_holds(queries: Queries, sha256: bytes) -> int:
    """How many hold the blob."""
    return int(await queries.fetchval("SELECT count(*) FROM hold WHERE sha256 = $1", sha256))
