"""Tamper evidence: each record's hash covers the one before, so that nobody can change the past unnoticed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.registry.domain import BookKey, Entry, RecordKind

GENESIS: Final = bytes(32)
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One act upon one entry, as it is kept for ever."""

    book: BookKey
    seq: int
    kind: RecordKind
    entry_id: UUID
    request_id: UUID
    request_hash: bytes
    canonical: bytes
    hash: bytes
    create_time: datetime


def canonical_json(content: Any) -> bytes:
    """One spelling for one content: sorted keys, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def content_hash(**content: Any) -> bytes:
    """What tells a repeat of a request from another request under the same id."""
    return hashlib.sha256(canonical_json(content)).digest()


def entry_content(entry: Entry) -> dict[str, Any]:
    """Everything that a record says of its entry. `CheckRegister` compares it with the entry's row."""
    register = entry.book.register
    return {
        "organization": register.organization,
        "direction": register.direction.name,
        "year": register.year,
        "series": register.series,
        "external": entry.book.external,
        "entry_id": str(entry.entry_id),
        "number": entry.number,
        "state": entry.state.name,
        "entry_date": entry.entry_date.isoformat(),
        "notation": entry.notation,
        "description": {**asdict(entry.description), "recipients": list(entry.description.recipients)},
        "void_reason": entry.void_reason,
        "envelope_id": str(entry.envelope_id) if entry.envelope_id else "",
    }


def record_of(
    kind: RecordKind, entry: Entry, request_id: UUID, request_hash: bytes, previous: bytes
) -> Record:
    """The record that makes `entry` what it is, chained to the one whose hash is `previous`."""
    canonical = canonical_json(
        {
            "format": _FORMAT,
            "seq": entry.last_seq,
            "kind": kind.value,
            "request_id": str(request_id),
            "time": entry.change_time.isoformat(),
            "entry": entry_content(entry),
        }
    )
    return Record(
        book=entry.book,
        seq=entry.last_seq,
        kind=kind,
        entry_id=entry.entry_id,
        request_id=request_id,
        request_hash=request_hash,
        canonical=canonical,
        hash=link(previous, canonical),
        create_time=entry.change_time,
    )


def link(previous: bytes, canonical: bytes) -> bytes:
    """The hash of a record behind `previous`."""
    return hashlib.sha256(previous + canonical).digest()


class ChainCheck:
    """Walks through a book's records in order and remembers whether everything held."""

    def __init__(self) -> None:
        self.intact = True
        self.seq = 0
        self.head = GENESIS

    def follow(self, record: Record, entry: Entry | None) -> None:
        """One record, with the present row of its entry (None: the row is gone)."""
        told = _told(record.canonical)
        holds = (
            record.seq == self.seq + 1
            and record.hash == link(self.head, record.canonical)
            and told.get("seq") == record.seq
            and told.get("kind") == record.kind.value
            and told.get("request_id") == str(record.request_id)
            and told.get("entry", {}).get("entry_id") == str(record.entry_id)
            and entry is not None
            # A row that points before its newest record was turned back to what it said earlier.
            and entry.last_seq >= record.seq
            and (entry.last_seq > record.seq or told["entry"] == entry_content(entry))
        )
        self.intact = self.intact and holds
        self.seq, self.head = record.seq, record.hash

    def finish(self, last_seq: int, head: bytes) -> bool:
        """Whether the chain also ends where the book says (or further, where it has grown meanwhile)."""
        return self.intact and self.seq == last_seq and self.head == head


def _told(canonical: bytes) -> dict[str, Any]:
    try:
        told = json.loads(canonical)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("entry"), dict) else {}
