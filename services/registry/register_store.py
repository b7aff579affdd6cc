"""Tables book, entry, record: queries only. Writes happen under the locks of their books."""

# ruff: noqa: S608 - statements are put together from constants of this file only
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from lienthong.db import Queries, Transaction
from lienthong.db import Record as Row

from services.registry.chain import GENESIS, Record
from services.registry.domain import (
    BookKey,
    Description,
    Direction,
    Entry,
    EntryState,
    RecordKind,
    Register,
)
from services.registry.ledger import BookState, Done, NumberKey

_ENTRY: Final = """
    SELECT e.entry_id, e.number, e.state, e.entry_date, e.notation, e.description, e.void_reason,
           e.envelope_id, e.last_seq, e.change_time, b.organization, b.direction, b.year, b.series, b.external
    FROM entry e JOIN book b USING (book_id)
"""
_BOOK_ARGUMENTS: Final = "unnest($1::text[], $2::smallint[], $3::integer[], $4::text[], $5::boolean[])"
_BOOK_COLUMNS: Final = "organization, direction, year, series, external"


async def done_before(queries: Queries, request_ids: Iterable[UUID]) -> dict[UUID, Done]:
    """Which of these requests were done, and to which entries."""
    rows = await queries.fetch(
        "SELECT request_id, request_hash, entry_id FROM record WHERE request_id = ANY($1::uuid[])",
        list(request_ids),
    )
    return {row["request_id"]: Done(row["request_hash"], row["entry_id"]) for row in rows}


async def lock_books(
    tx: Transaction, keys: Iterable[BookKey]
) -> tuple[dict[BookKey, int], dict[BookKey, BookState]]:
    """Open the books that do not exist and lock all of them; returns their ids and states.

    Always in one order: two transactions that lock the same books in opposite order would deadlock.
    """
    columns = _columns(sorted(set(keys)))
    await tx.execute(
        f"INSERT INTO book ({_BOOK_COLUMNS}, head) SELECT k.*, $6::bytea FROM {_BOOK_ARGUMENTS} k"
        " ON CONFLICT DO NOTHING",
        *columns,
        GENESIS,
    )
    rows = await tx.fetch(
        f"SELECT b.* FROM book b JOIN {_BOOK_ARGUMENTS} AS k({_BOOK_COLUMNS}) USING ({_BOOK_COLUMNS})"
        " ORDER BY b.book_id FOR UPDATE OF b",
        *columns,
    )
    ids = {_book_key(row): row["book_id"] for row in rows}
    return ids, {_book_key(row): _book_state(row) for row in rows}


async def entries_by_id(queries: Queries, entry_ids: Iterable[UUID]) -> list[Entry]:
    """These entries, where they exist."""
    rows = await queries.fetch(f"{_ENTRY} WHERE e.entry_id = ANY($1::uuid[])", list(entry_ids))
    return [_entry(row) for row in rows]


async def entries_by_envelope(queries: Queries, envelopes: Sequence[tuple[str, UUID]]) -> list[Entry]:
    """The arrivals of these envelopes at these organizations."""
    rows = await queries.fetch(
        f"{_ENTRY} JOIN unnest($1::text[], $2::uuid[]) AS k(organization, envelope_id)"
        " ON e.organization = k.organization AND e.envelope_id = k.envelope_id",
        [organization for organization, _ in envelopes],
        [envelope_id for _, envelope_id in envelopes],
    )
    return [_entry(row) for row in rows]


async def entries_by_number(
    queries: Queries, book_ids: Mapping[BookKey, int], numbers: Sequence[NumberKey]
) -> list[Entry]:
    """The external entries that hold these numbers."""
    rows = await queries.fetch(
        f"{_ENTRY} JOIN unnest($1::bigint[], $2::integer[], $3::text[]) AS k(book_id, number, notation)"
        " ON e.book_id = k.book_id AND e.number = k.number AND e.notation = k.notation WHERE e.external",
        [book_ids[book] for book, _, _ in numbers],
        [number for _, number, _ in numbers],
        [notation for _, _, notation in numbers],
    )
    return [_entry(row) for row in rows]


async def write_books(
    tx: Transaction, book_ids: Mapping[BookKey, int], books: Mapping[BookKey, BookState]
) -> None:
    """How far the books have come now."""
    await tx.execute(
        "UPDATE book SET highest = k.highest, last_seq = k.last_seq, head = k.head"
        " FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[])"
        " AS k(book_id, highest, last_seq, head)"
        " WHERE book.book_id = k.book_id",
        [book_ids[key] for key in books],
        [state.highest for state in books.values()],
        [state.last_seq for state in books.values()],
        [state.head for state in books.values()],
    )


async def write_entries(tx: Transaction, book_ids: Mapping[BookKey, int], entries: Iterable[Entry]) -> None:
    """New entries, and the new state of known ones."""
    ordered = sorted(entries, key=lambda entry: entry.entry_id)
    await tx.execute(
        "INSERT INTO entry (entry_id, book_id, organization, external, number, state, entry_date, notation,"
        " description, void_reason, envelope_id, last_seq, change_time)"
        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::boolean[], $5::integer[],"
        " $6::smallint[],"
        " $7::date[], $8::text[], $9::jsonb[], $10::text[], $11::uuid[], $12::bigint[], $13::timestamptz[])"
        " ON CONFLICT (entry_id) DO UPDATE SET state = excluded.state, description = excluded.description,"
        " void_reason = excluded.void_reason, last_seq = excluded.last_seq,"
        " change_time = excluded.change_time",
        [entry.entry_id for entry in ordered],
        [book_ids[entry.book] for entry in ordered],
        [entry.book.register.organization for entry in ordered],
        [entry.book.external for entry in ordered],
        [entry.number for entry in ordered],
        [int(entry.state) for entry in ordered],
        [entry.entry_date for entry in ordered],
        [entry.notation for entry in ordered],
        [json.dumps(asdict(entry.description), ensure_ascii=False) for entry in ordered],
        [entry.void_reason for entry in ordered],
        [entry.envelope_id for entry in ordered],
        [entry.last_seq for entry in ordered],
        [entry.change_time for entry in ordered],
    )


async def write_records(tx: Transaction, book_ids: Mapping[BookKey, int], records: Sequence[Record]) -> None:
    """The records, for ever."""
    await tx.execute(
        "INSERT INTO record (book_id, seq, kind, entry_id, request_id, request_hash, canonical,"
        " hash, create_time)"
        " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[],"
        " $7::bytea[], $8::bytea[], $9::timestamptz[])",
        [book_ids[record.book] for record in records],
        [record.seq for record in records],
        [record.kind.value for record in records],
        [record.entry_id for record in records],
        [record.request_id for record in records],
        [record.request_hash for record in records],
        [record.canonical for record in records],
        [record.hash for record in records],
        [record.create_time for record in records],
    )


# -- reading a register --------------------------------------------------------------------------------------


async def entries_after(
    queries: Queries, register: Register, number: int, entry_id: UUID, limit: int
) -> list[Entry]:
    """The next lines of a register, our own and external ones together, by number."""
    # Each of the two books gives its next lines from its index: a page costs the same wherever it begins.
    rows = await queries.fetch(
        "SELECT e.*, b.organization, b.direction, b.year, b.series, b.external FROM book b, LATERAL ("
        " SELECT entry_id, number, state, entry_date, notation, description, void_reason, envelope_id,"
        "  last_seq, change_time FROM entry WHERE book_id = b.book_id AND (number, entry_id) > ($5, $6)"
        " ORDER BY number, entry_id LIMIT $7) e"
        " WHERE b.organization = $1 AND b.direction = $2 AND b.year = $3 AND b.series = $4"
        " ORDER BY e.number, e.entry_id LIMIT $7",
        *_register_arguments(register),
        number,
        entry_id,
        limit,
    )
    return [_entry(row) for row in rows]


async def book_summary(queries: Queries, key: BookKey, limit: int) -> Row | None:
    """Book, counts by state and missing numbers as of one moment: one statement, one snapshot."""
    return await queries.fetchrow(
        "SELECT b.book_id, b.highest, b.last_seq, b.head, c.*, ARRAY("
        "  SELECT n FROM generate_series(1, b.highest) n WHERE NOT b.external AND NOT EXISTS"
        "   (SELECT FROM entry e WHERE e.book_id = b.book_id AND e.number = n AND NOT e.external)"
        "  ORDER BY n LIMIT $6) AS missing"
        " FROM book b, LATERAL (SELECT count(*) FILTER (WHERE state = 1) AS reserved,"
        "  count(*) FILTER (WHERE state = 2) AS issued, count(*) FILTER (WHERE state = 3) AS void,"
        "  count(*) FILTER (WHERE NOT EXISTS (SELECT FROM record r WHERE r.book_id = e.book_id"
        "   AND r.seq = e.last_seq AND r.entry_id = e.entry_id)) AS unrecorded,"
        "  coalesce(max(number), 0) AS last_number FROM entry e WHERE e.book_id = b.book_id) c"
        " WHERE b.organization = $1 AND b.direction = $2 AND b.year = $3 AND b.series = $4"
        " AND b.external = $5",
        *_register_arguments(key.register),
        key.external,
        limit,
    )


async def records_after(
    queries: Queries, key: BookKey, book_id: int, seq: int, limit: int
) -> list[tuple[Record, Entry | None]]:
    """The next records of a book, each with its entry as it stands now."""
    rows = await queries.fetch(
        "SELECT r.seq, r.kind, r.entry_id AS record_entry_id, r.request_id, r.request_hash,"
        " r.canonical, r.hash, r.create_time, e.* FROM record r LEFT JOIN"
        f" ({_ENTRY}) e ON e.entry_id = r.entry_id"
        " WHERE r.book_id = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3",
        book_id,
        seq,
        limit,
    )
    return [(_record(key, row), _entry(row) if row["number"] is not None else None) for row in rows]


def _columns(keys: Sequence[BookKey]) -> tuple[list[Any], ...]:
    return (
        [key.register.organization for key in keys],
        [int(key.register.direction) for key in keys],
        [key.register.year for key in keys],
        [key.register.series for key in keys],
        [key.external for key in keys],
    )


def _register_arguments(register: Register) -> tuple[str, int, int, str]:
    return register.organization, int(register.direction), register.year, register.series


def _book_key(row: Row) -> BookKey:
    register = Register(row["organization"], Direction(row["direction"]), row["year"], row["series"])
    return BookKey(register, row["external"])


def _book_state(row: Row) -> BookState:
    return BookState(row["highest"], row["last_seq"], row["head"])


def _entry(row: Row) -> Entry:
    described = json.loads(row["description"])
    return Entry(
        entry_id=row["entry_id"],
        book=_book_key(row),
        number=row["number"],
        state=EntryState(row["state"]),
        entry_date=row["entry_date"],
        notation=row["notation"],
        description=Description(**{**described, "recipients": tuple(described["recipients"])}),
        void_reason=row["void_reason"],
        envelope_id=row["envelope_id"],
        last_seq=row["last_seq"],
        change_time=row["change_time"],
    )


def _record(key: BookKey, row: Row) -> Record:
    return Record(
        book=key,
        seq=row["seq"],
        kind=RecordKind(row["kind"]),
        entry_id=row["record_entry_id"],
        request_id=row["request_id"],
        request_hash=row["request_hash"],
        canonical=row["canonical"],
        hash=row["hash"],
        create_time=row["create_time"],
    )
