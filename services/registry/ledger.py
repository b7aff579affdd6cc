"""What acts do to books: numbering, issuing, voiding, arriving. Pure: a state in, the same state ahead out.

A call's acts are done all together or not at all, and one call that is refused takes no number and changes
nothing for the calls beside it in the same transaction.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID

from lienthong.errors import AlreadyExists, DomainError, FailedPrecondition, NotFound

from services.registry.chain import GENESIS, Record, record_of
from services.registry.domain import BookKey, Description, Direction, Entry, EntryState, RecordKind

Call: TypeAlias = "tuple[Act, ...]"
Answer: TypeAlias = tuple[Entry, ...] | DomainError
NumberKey: TypeAlias = tuple[BookKey, int, str]
EnvelopeKey: TypeAlias = tuple[str, UUID]


NOTHING: Final = Description()


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to do. `book` is absent where the entry tells it (ISSUE, VOID); `number` 0 takes the next;
    `field` is where the act stands in the request, for error messages."""

    kind: RecordKind
    request_id: UUID
    request_hash: bytes
    entry_id: UUID
    field: str
    book: BookKey | None = None
    number: int = 0
    entry_date: date = date.min
    notation: str = ""
    description: Description = NOTHING
    reason: str = ""
    envelope_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class BookState:
    """How far a book has come."""

    highest: int = 0
    last_seq: int = 0
    head: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Done:
    """A request that was done before."""

    request_hash: bytes
    entry_id: UUID


@dataclass(slots=True)
class LedgerState:
    """What the acts of one transaction need to know, read under the locks of their books."""

    organizations: frozenset[str] = frozenset()
    books: MutableMapping[BookKey, BookState] = field(default_factory=dict)
    entries: MutableMapping[UUID, Entry] = field(default_factory=dict)
    done: MutableMapping[UUID, Done] = field(default_factory=dict)
    numbers: MutableMapping[NumberKey, UUID] = field(default_factory=dict)
    envelopes: MutableMapping[EnvelopeKey, UUID] = field(default_factory=dict)

    def know(self, entry: Entry) -> None:
        """Find the entry from now on by everything that must be unique."""
        self.entries[entry.entry_id] = entry
        if entry.book.external:
            self.numbers[entry.book, entry.number, entry.notation] = entry.entry_id
        if entry.envelope_id is not None:
            self.envelopes[entry.book.register.organization, entry.envelope_id] = entry.entry_id


class Ledger:
    """Takes calls in order; afterwards `records` and `changed` say what to write."""

    def __init__(self, state: LedgerState, time: datetime) -> None:
        self._state = state
        self._time = time
        self.records: list[Record] = []
        self.changed: dict[UUID, Entry] = {}

    @property
    def books(self) -> dict[BookKey, BookState]:
        """The books that grew, as they are now."""
        return {record.book: self._state.books[record.book] for record in self.records}

    def take(self, calls: Sequence[Call]) -> list[Answer]:
        """Do the calls; each answers with its entries in order, or with why nothing of it was done."""
        return [self._take(call) for call in calls]

    def _take(self, call: Call) -> Answer:
        draft = _Draft(_fork(self._state), self._time)
        try:
            entries = tuple(draft.do(act) for act in call)
        except DomainError as error:
            return error
        _merge(self._state, draft.state)
        self.records += draft.records
        self.changed |= {record.entry_id: self._state.entries[record.entry_id] for record in draft.records}
        return entries


class _Draft:
    """One call on its way: thrown away when one of its acts is refused."""

    def __init__(self, state: LedgerState, time: datetime) -> None:
        self.state = state
        self.records: list[Record] = []
        self._time = time

    def do(self, act: Act) -> Entry:
        done = self.state.done.get(act.request_id)
        if done is not None:
            if done.request_hash != act.request_hash:
                raise AlreadyExists(
                    "REQUEST_ID_REUSED",
                    "this request id came before with other content",
                    field=f"{act.field}request_id",
                    request_id=act.request_id,
                )
            return self.state.entries[done.entry_id]
        match act.kind:
            case RecordKind.ISSUE:
                return self._write(act, self._issued(act))
            case RecordKind.VOID:
                return self._write(act, self._voided(act))
            case RecordKind.EXTERNAL | RecordKind.ARRIVE:
                return self._entered_before(act) or self._write(act, self._entered(act))
            case RecordKind.RESERVE:
                return self._write(act, self._entered(act))

    def _issued(self, act: Act) -> Entry:
        entry = self._entry(act)
        if entry.state is EntryState.VOID:
            raise _refused("ENTRY_VOID", "the entry is void", entry)
        if entry.state is not EntryState.RESERVED:
            raise _refused("ENTRY_ISSUED", "the entry is issued already", entry)
        return replace(entry, state=EntryState.ISSUED, description=act.description)

    def _voided(self, act: Act) -> Entry:
        entry = self._entry(act)
        if entry.state is EntryState.VOID:
            raise _refused("ENTRY_VOID", "the entry is void already", entry)
        if entry.state is not EntryState.RESERVED:
            raise _refused("ENTRY_ISSUED", "an issued entry is not voided", entry)
        return replace(entry, state=EntryState.VOID, void_reason=act.reason)

    def _entry(self, act: Act) -> Entry:
        entry = self.state.entries.get(act.entry_id)
        if entry is None:
            raise NotFound(
                "ENTRY_UNKNOWN",
                "no such entry in any register",
                field=f"{act.field}entry_id",
                entry_id=act.entry_id,
            )
        return entry

    def _entered_before(self, act: Act) -> Entry | None:
        """The entry that an equal fact made under another request id: an envelope has one entry for a
        recipient, and an external number one document."""
        assert act.book is not None
        organization = act.book.register.organization
        if act.envelope_id is not None:
            known = self.state.envelopes.get((organization, act.envelope_id))
            if known is not None:
                return _same_arrival(act, self.state.entries[known])
        if not act.book.external:
            return None
        taken = self.state.numbers.get((act.book, act.number, act.notation))
        if taken is None:
            return None
        entry = self.state.entries[taken]
        document_id = act.description.document_id
        if act.kind is RecordKind.EXTERNAL and document_id and entry.description.document_id == document_id:
            return entry
        raise AlreadyExists(
            "NUMBER_TAKEN",
            "the number is in the register for another document",
            field=f"{act.field}{'own_number' if act.kind is RecordKind.ARRIVE else 'external.number'}",
            number=act.number,
            organization=organization,
        )

    def _entered(self, act: Act) -> Entry:
        assert act.book is not None
        organization = act.book.register.organization
        if organization not in self.state.organizations:
            raise NotFound(
                "ORGANIZATION_UNKNOWN",
                f"no organization {organization} in the directory",
                field=f"{act.field}organization",
                organization=organization,
            )
        number = act.number if act.book.external else self.state.books[act.book].highest + 1
        return Entry(
            entry_id=act.entry_id,
            book=act.book,
            number=number,
            state=_entered_state(act),
            entry_date=act.entry_date,
            notation=act.notation,
            description=act.description,
            void_reason="",
            envelope_id=act.envelope_id,
            last_seq=0,
            change_time=self._time,
        )

    def _write(self, act: Act, entry: Entry) -> Entry:
        book = self.state.books[entry.book]
        entry = replace(entry, last_seq=book.last_seq + 1, change_time=self._time)
        record = record_of(act.kind, entry, act.request_id, act.request_hash, book.head)
        self.state.books[entry.book] = BookState(max(book.highest, entry.number), record.seq, record.hash)
        self.state.know(entry)
        self.state.done[act.request_id] = Done(act.request_hash, entry.entry_id)
        self.records.append(record)
        return entry


def _entered_state(act: Act) -> EntryState:
    assert act.book is not None
    if act.book.external and act.book.register.direction is Direction.OUTGOING:
        return EntryState.EXTERNAL
    return EntryState.RESERVED if act.kind is RecordKind.RESERVE else EntryState.ISSUED


def _same_arrival(act: Act, entry: Entry) -> Entry:
    if act.number and (not entry.book.external or entry.number != act.number):
        raise AlreadyExists(
            "ENVELOPE_REGISTERED",
            "the envelope has another arrival number already",
            field=f"{act.field}own_number",
            number=entry.number,
        )
    return entry


def _refused(reason: str, message: str, entry: Entry) -> FailedPrecondition:
    return FailedPrecondition(reason, message, entry_id=entry.entry_id, number=entry.number)


def _fork(state: LedgerState) -> LedgerState:
    return LedgerState(
        organizations=state.organizations,
        books=ChainMap({}, state.books),
        entries=ChainMap({}, state.entries),
        done=ChainMap({}, state.done),
        numbers=ChainMap({}, state.numbers),
        envelopes=ChainMap({}, state.envelopes),
    )


def _merge(state: LedgerState, fork: LedgerState) -> None:
    for name in ("books", "entries", "done", "numbers", "envelopes"):
        getattr(state, name).update(getattr(fork, name).maps[0])
