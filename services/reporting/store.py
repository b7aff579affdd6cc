"""Tables of reporting. Facts are kept once by their identifier; only what is new is counted.

The cursor lies in the transaction of what it stands for (design R7), and is compared before it moves: of
two replicas that read the same events one commits, and the other starts again from what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from lienthong.db import Queries, Record, Transaction

from services.reporting.domain import (
    Arrival,
    Code,
    DailyCount,
    Facts,
    Handling,
    Issue,
    Measure,
    Outcome,
    Period,
    Receipt,
    tally,
)

STREAM: Final = "routing"
DERIVED: Final = ("reader", "journey", "receipt", "arrival", "handling", "daily_count")
MAX_COUNTS: Final = 20_000
_MEASURES: Final = ", ".join(measure.value for measure in Measure)


async def cursor(queries: Queries) -> str:
    """How far the events were read; "" at the beginning."""
    return await queries.fetchval("SELECT cursor FROM reader WHERE stream = $1", STREAM) or ""


async def move_cursor(tx: Transaction, before: str, after: str) -> bool:
    """Move on, if nobody else did meanwhile; the row stays locked until the commit."""
    moved = await tx.fetchval(
        "INSERT INTO reader AS r (stream, cursor) SELECT $1, $3 WHERE $2 = '' OR EXISTS"
        " (SELECT FROM reader WHERE stream = $1)"
        " ON CONFLICT (stream) DO UPDATE SET cursor = excluded.cursor WHERE r.cursor = $2 RETURNING true",
        STREAM,
        before,
        after,
    )
    return bool(moved)


async def reset(tx: Transaction) -> None:
    """Forget everything: the reader begins anew and derives the same again."""
    await tx.execute(f"TRUNCATE {', '.join(DERIVED)}")


async def add(tx: Transaction, facts: Facts) -> None:
    """Keep the facts, and count those that are new."""
    new = Facts(
        issues=await _new_issues(tx, facts.issues),
        receipts=await _new_receipts(tx, facts.receipts),
        arrivals=await _new_arrivals(tx, facts.arrivals),
        handlings=await _new_handlings(tx, facts.handlings),
    )
    await _count(tx, new)


async def find_by_id(queries: Queries, document_id: str) -> Issue | None:
    """The journey's beginning."""
    row = await queries.fetchrow("SELECT * FROM journey WHERE document_id = $1", document_id)
    return None if row is None else _issue(row)


async def find_by_code(queries: Queries, code: Code) -> Issue | None:
    """The journey's beginning; of several documents of one number the last issued."""
    row = await queries.fetchrow(
        "SELECT * FROM journey WHERE organization = $1 AND number = $2 AND notation = $3 AND year = $4"
        " ORDER BY issue_time DESC, document_id DESC LIMIT 1",
        code.organization,
        code.number,
        code.notation,
        code.year,
    )
    return None if row is None else _issue(row)


async def receipts_of(queries: Queries, document_id: str) -> list[Receipt]:
    """All receipts about a document, in no order that means anything."""
    rows = await queries.fetch("SELECT * FROM receipt WHERE document_id = $1", document_id)
    return [Receipt(**{**dict(row), "outcome": Outcome(row["outcome"])}) for row in rows]


async def daily_counts(queries: Queries, organization: str, period: Period) -> list[DailyCount]:
    """Counts by organization and day; at most MAX_COUNTS and one more."""
    rows = await queries.fetch(
        f"SELECT organization, day, {_MEASURES} FROM daily_count"  # noqa: S608  (constants)
        " WHERE day BETWEEN $2 AND $3 AND ($1 = '' OR organization = $1)"
        " ORDER BY organization, day LIMIT $4",
        organization,
        period.first,
        period.last,
        MAX_COUNTS + 1,
    )
    return [
        DailyCount(row["organization"], row["day"], {measure: row[measure.value] for measure in Measure})
        for row in rows
    ]


async def _new_issues(tx: Transaction, issues: Sequence[Issue]) -> list[Issue]:
    # One by one: the recipients are an array in each row, and arrays of arrays must be rectangular.
    new = []
    for issue in issues:
        added = await tx.fetchval(
            "INSERT INTO journey VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
            " ON CONFLICT DO NOTHING RETURNING true",
            issue.document_id,
            issue.envelope_id,
            issue.code.organization,
            issue.code.number,
            issue.code.notation,
            issue.code.year,
            issue.document,
            list(issue.recipients),
            issue.submit_time,
            issue.issue_time,
            issue.trace_id,
            issue.day,
        )
        if added:
            new.append(issue)
    return new


async def _new_receipts(tx: Transaction, receipts: Sequence[Receipt]) -> list[Receipt]:
    first = {receipt.receipt_id: receipt for receipt in reversed(receipts)}
    columns = _columns(list(first.values()), Receipt)
    columns[6] = [receipt.outcome.value for receipt in first.values()]
    rows = await tx.fetch(
        "INSERT INTO receipt SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[],"
        " $6::text[], $7::smallint[], $8::timestamptz[], $9::date[], $10::bytea[])"
        " ON CONFLICT DO NOTHING RETURNING receipt_id",
        *columns,
    )
    return [first[row["receipt_id"]] for row in rows]


async def _new_arrivals(tx: Transaction, arrivals: Sequence[Arrival]) -> list[Arrival]:
    first = {arrival.delivery_id: arrival for arrival in reversed(arrivals)}
    rows = await tx.fetch(
        "INSERT INTO arrival SELECT * FROM unnest($1::text[], $2::text[], $3::date[])"
        " ON CONFLICT DO NOTHING RETURNING delivery_id",
        *_columns(list(first.values()), Arrival),
    )
    return [first[row["delivery_id"]] for row in rows]


async def _new_handlings(tx: Transaction, handlings: Sequence[Handling]) -> list[Handling]:
    first = {handling.receipt_id: handling for handling in reversed(handlings)}
    rows = await tx.fetch(
        "INSERT INTO handling SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::date[])"
        " ON CONFLICT DO NOTHING RETURNING receipt_id",
        *_columns(list(first.values()), Handling),
    )
    return [first[row["receipt_id"]] for row in rows]


async def _count(tx: Transaction, facts: Facts) -> None:
    counts = tally(facts)
    # Sorted: two replicas that count the same days lock the rows in the same order.
    days = sorted({(organization, day) for organization, day, _ in counts})
    columns = [[counts[organization, day, measure] for organization, day in days] for measure in Measure]
    sums = ", ".join(f"{m.value} = c.{m.value} + excluded.{m.value}" for m in Measure)
    await tx.execute(
        f"INSERT INTO daily_count AS c (organization, day, {_MEASURES})"  # noqa: S608  (constants)
        " SELECT * FROM unnest($1::text[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[],"
        " $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])"
        f" ON CONFLICT (organization, day) DO UPDATE SET {sums}",
        [organization for organization, _ in days],
        [day for _, day in days],
        *columns,
    )


def _columns(items: Sequence[Receipt | Arrival | Handling], kind: type) -> list[list[object]]:
    """The items as columns, in the order of the fields: which is that of the table."""
    return [[getattr(item, field.name) for item in items] for field in fields(kind)]


def _issue(row: Record) -> Issue:
    return Issue(
        document_id=row["document_id"],
        envelope_id=row["envelope_id"],
        code=Code(row["organization"], row["number"], row["notation"], row["year"]),
        document=row["document"],
        recipients=tuple(row["recipients"]),
        submit_time=row["submit_time"],
        issue_time=row["issue_time"],
        trace_id=row["trace_id"],
        day=row["day"],
    )
