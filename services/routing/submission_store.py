"""Rows of submissions and of what is known about their recipients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


async def insert(tx: Transaction, submissions: Sequence[Submission]) -> set[UUID]:
    """Make intents durable; returns those whose document was not submitted before."""
    ordered = sorted(submissions, key=lambda s: (s.organization, s.document.document_id))
    # Recipients travel as one text: unnest flattens arrays of arrays, and codes hold no comma.
    rows = await tx.fetch(
        "INSERT INTO submission (submission_id, organization, caller, document_id, document, recipients,"
        " is_external, series, notation, number, issued_date, state, expire_time, traceparent, create_time)"
        " SELECT submission_id, organization, caller, document_id, document, string_to_array(codes, ','),"
        " is_external, series, notation, number, issued_date, state, expire_time, traceparent, create_time"
        " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::text[], $7::boolean[],"
        " $8::text[], $9::text[], $10::integer[], $11::text[], $12::smallint[], $13::timestamptz[],"
        " $14::text[], $15::timestamptz[]) AS new(submission_id, organization, caller, document_id, document,"
        " codes, is_external, series, notation, number, issued_date, state, expire_time, traceparent,"
        " create_time) ON CONFLICT DO NOTHING RETURNING submission_id",
        [s.submission_id for s in ordered],
        [s.organization for s in ordered],
        [s.caller for s in ordered],
        [UUID(s.document.document_id) for s in ordered],
        [s.document.SerializeToString() for s in ordered],
        [",".join(s.recipients) for s in ordered],
        [s.is_external for s in ordered],
        [s.series for s in ordered],
        [s.notation for s in ordered],
        [s.number for s in ordered],
        [s.issued_date for s in ordered],
        [s.state for s in ordered],
        [s.expire_time for s in ordered],
        [s.traceparent for s in ordered],
        [s.create_time for s in ordered],
    )
    return {row["submission_id"] for row in rows}


async def get(queries: Queries, submission_id: UUID) -> Submission:
    """One submission, whosever; NotFound("SUBMISSION_UNKNOWN")."""
    row = await queries.fetchrow("SELECT * FROM submission WHERE submission_id = $1", submission_id)
    if row is None:
        raise NotFound("SUBMISSION_UNKNOWN", "no such submission", submission_id=submission_id)
    return _submission(row)


async def get_many(queries: Queries, submission_ids: Sequence[UUID]) -> dict[UUID, Submission]:
    """Those of the submissions that there are."""
    rows = await queries.fetch(
        "SELECT * FROM submission WHERE submission_id = ANY($1)", sorted(set(submission_ids))
    )
    return {row["submission_id"]: _submission(row) for row in rows}


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


async def mark_entered(tx: Transaction, submission_ids: Sequence[UUID]) -> None:
    """Documents issued elsewhere are in the register: there is nothing to number, seal or stamp."""
    await tx.execute(
        "UPDATE submission SET state = $2 FROM (SELECT submission_id FROM submission"
        " WHERE submission_id = ANY($1) AND state = $3 ORDER BY submission_id FOR UPDATE) AS ours"
        " WHERE submission.submission_id = ours.submission_id",
        list(submission_ids),
        State.SUBMISSION_STATE_STAMPED,
        State.SUBMISSION_STATE_RECEIVED,
    )


async def mark_issued(tx: Transaction, envelopes: Mapping[UUID, UUID], issue_time: datetime) -> set[UUID]:
    """The last step (submission -> envelope). Returns those that no other worker issued first."""
    ordered = sorted(envelopes)
    rows = await tx.fetch(
        "UPDATE submission SET state = $3, envelope_id = ours.envelope_id, issue_time = $4"
        " FROM (SELECT submission_id, made.envelope_id FROM submission JOIN unnest($1::uuid[], $2::uuid[])"
        " AS made(submission_id, envelope_id) USING (submission_id) WHERE state = $5"
        " ORDER BY submission_id FOR UPDATE OF submission) AS ours"
        " WHERE submission.submission_id = ours.submission_id RETURNING submission.submission_id",
        ordered,
        [envelopes[submission_id] for submission_id in ordered],
        State.SUBMISSION_STATE_ISSUED,
        issue_time,
        State.SUBMISSION_STATE_STAMPED,
    )
    return {row["submission_id"] for row in rows}


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


async def insert_recipients(tx: Transaction, recipients: Mapping[UUID, Sequence[str]]) -> None:
    """What the sender will know of each recipient (envelope -> organizations)."""
    rows = [
        (envelope_id, code) for envelope_id in sorted(recipients) for code in sorted(recipients[envelope_id])
    ]
    await tx.execute(
        "INSERT INTO recipient (envelope_id, organization) SELECT * FROM unnest($1::uuid[], $2::text[])",
        [envelope_id for envelope_id, _ in rows],
        [code for _, code in rows],
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
