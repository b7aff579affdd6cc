"""Rows of submissions and of what is known about their recipients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lienthong.db import Queries, Record, Transaction
from lienthong.errors import NotFound

from services.routing.domain import Document, State


@dataclass(frozen=True, slots=True)
class Submission:
    """A durable intent and how far its workflow got."""

    submission_id: UUID
    organization: str
    caller: str
    document: Document
    recipients: tuple[str, ...]
    is_external: bool
    series: str
    notation: str
    number: int
    issued_date: str
    state: int
    reason: str
    envelope_id: UUID | None
    expire_time: datetime
    traceparent: str
    create_time: datetime
    issue_time: datetime | None


async def insert(tx: Transaction, submission: Submission) -> None:
    """Make the intent durable."""
    await tx.execute(
        "INSERT INTO submission (submission_id, organization, caller, document_id, document, recipients,"
        " is_external, series, notation, number, issued_date, state, expire_time, traceparent, create_time)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        submission.submission_id,
        submission.organization,
        submission.caller,
        UUID(submission.document.document_id),
        submission.document.SerializeToString(),
        list(submission.recipients),
        submission.is_external,
        submission.series,
        submission.notation,
        submission.number,
        submission.issued_date,
        submission.state,
        submission.expire_time,
        submission.traceparent,
        submission.create_time,
    )


async def get(queries: Queries, submission_id: UUID) -> Submission:
    """One submission, whosever; NotFound("SUBMISSION_UNKNOWN")."""
    row = await queries.fetchrow("SELECT * FROM submission WHERE submission_id = $1", submission_id)
    if row is None:
        raise NotFound("SUBMISSION_UNKNOWN", "no such submission", submission_id=submission_id)
    return _submission(row)


async def find(queries: Queries, organization: str, column: str, value: UUID) -> Submission:
    """One submission of an organization, by `submission_id`, or the latest by `document_id`."""
    if column not in ("submission_id", "document_id"):
        raise ValueError(f"submissions are not found by {column}")
    row = await queries.fetchrow(
        f"SELECT * FROM submission WHERE organization = $1 AND {column} = $2"  # noqa: S608  (checked)
        " ORDER BY submission_id DESC LIMIT 1",
        organization,
        value,
    )
    if row is None:
        raise NotFound("SUBMISSION_UNKNOWN", "no such submission of this organization", id=value)
    return _submission(row)


async def newest(queries: Queries, organization: str, before: UUID | None, limit: int) -> list[Submission]:
    """A page of an organization's submissions."""
    rows = await queries.fetch(
        "SELECT * FROM submission WHERE organization = $1 AND ($2::uuid IS NULL OR submission_id < $2)"
        " ORDER BY submission_id DESC LIMIT $3",
        organization,
        before,
        limit,
    )
    return [_submission(row) for row in rows]


async def advance(
    tx: Transaction,
    submission: Submission,
    state: int,
    *,
    document: Document,
    number: int = 0,
    issued_date: str = "",
) -> bool:
    """Take one step. False when another worker took it first: its outcome stands."""
    tag = await tx.execute(
        "UPDATE submission SET state = $3, document = $4, number = $5, issued_date = $6"
        " WHERE submission_id = $1 AND state = $2",
        submission.submission_id,
        submission.state,
        state,
        document.SerializeToString(),
        number or submission.number,
        issued_date or submission.issued_date,
    )
    return tag == "UPDATE 1"


async def mark_issued(
    tx: Transaction, submission: Submission, envelope_id: UUID, issue_time: datetime
) -> bool:
    """The last step: the envelope exists. False when another worker issued it first."""
    tag = await tx.execute(
        "UPDATE submission SET state = $2, envelope_id = $3, issue_time = $4"
        " WHERE submission_id = $1 AND state = $5",
        submission.submission_id,
        State.SUBMISSION_STATE_ISSUED,
        envelope_id,
        issue_time,
        State.SUBMISSION_STATE_STAMPED,
    )
    return tag == "UPDATE 1"


async def mark_abandoned(tx: Transaction, submission: Submission, reason: str) -> bool:
    """Give up before issue; False when the submission had moved on."""
    tag = await tx.execute(
        "UPDATE submission SET state = $3, reason = $4 WHERE submission_id = $1 AND state = $2",
        submission.submission_id,
        submission.state,
        State.SUBMISSION_STATE_ABANDONED,
        reason,
    )
    return tag == "UPDATE 1"


async def insert_recipients(tx: Transaction, envelope_id: UUID, organizations: Sequence[str]) -> None:
    """What the sender will know of each recipient."""
    await tx.execute(
        "INSERT INTO recipient (envelope_id, organization) SELECT $1, unnest($2::text[])",
        envelope_id,
        sorted(organizations),
    )


async def recipients(queries: Queries, envelope_ids: Sequence[UUID]) -> dict[UUID, list[Record]]:
    """What is known of the recipients of envelopes, by code."""
    rows = await queries.fetch(
        "SELECT * FROM recipient WHERE envelope_id = ANY($1) ORDER BY organization", list(envelope_ids)
    )
    found: dict[UUID, list[Record]] = {}
    for row in rows:
        found.setdefault(row["envelope_id"], []).append(row)
    return found


def _submission(row: Record) -> Submission:
    return Submission(
        submission_id=row["submission_id"],
        organization=row["organization"],
        caller=row["caller"],
        document=Document.FromString(row["document"]),
        recipients=tuple(row["recipients"]),
        is_external=row["is_external"],
        series=row["series"],
        notation=row["notation"],
        number=row["number"],
        issued_date=row["issued_date"],
        state=row["state"],
        reason=row["reason"],
        envelope_id=row["envelope_id"],
        expire_time=row["expire_time"],
        traceparent=row["traceparent"],
        create_time=row["create_time"],
        issue_time=row["issue_time"],
    )
