"""The registers at work: coalesced transactions that number, issue, void and enter; and their inspection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from lienthong.batching import Batcher
from lienthong.clock import Clock
from lienthong.db import Database, Record, Transaction, UniqueViolation
from lienthong.errors import Aborted

from services.registry import directory_store, register_store
from services.registry.chain import GENESIS, ChainCheck
from services.registry.domain import BookKey, Entry, Register
from services.registry.ledger import Act, Answer, Call, Ledger, LedgerState

_MAX_CALLS: Final = 256
_MAX_ACTS: Final = 2_000
_ATTEMPTS: Final = 3
_PAGE: Final = 500
MAX_MISSING: Final = 100


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a check of a register found."""

    highest: int
    issued: int
    void: int
    reserved: int
    missing: tuple[int, ...]
    chain_intact: bool
    chain_head: bytes


class Registers:
    """All registers of one node. Concurrent calls share transactions: the row of a book is one lock, and
    one commit for sixty-four callers is what makes it fast."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._batcher: Batcher[Call, tuple[Entry, ...]] = Batcher(
            self._flush, max_items=_MAX_CALLS, max_bytes=_MAX_ACTS, size=len
        )

    def now(self) -> datetime:
        """The time that decides the day and year of what is entered."""
        return self._clock.now()

    async def perform(self, acts: Sequence[Act]) -> tuple[Entry, ...]:
        """Do the acts of one call, all or none; answers with their entries once they are durable."""
        if not acts:
            return ()
        return await self._batcher.submit(tuple(acts))

    async def close(self) -> None:
        """Finish what was taken."""
        await self._batcher.close()

    async def _flush(self, calls: list[Call]) -> Sequence[tuple[Entry, ...] | Exception]:
        for _ in range(_ATTEMPTS):
            try:
                async with self._database.transaction() as tx:
                    return await self._write(tx, calls)
            except UniqueViolation:
                # Another process entered the same request or envelope into a book that we had not locked;
                # the next attempt finds what it entered.
                continue
        raise Aborted("DATABASE_CONFLICT", "a concurrent transaction came first", retry_after=0.05)

    async def _write(self, tx: Transaction, calls: list[Call]) -> list[Answer]:
        acts = [act for call in calls for act in call]
        book_ids, state = await _locked_state(tx, acts)
        ledger = Ledger(state, self._clock.now())
        answers = ledger.take(calls)
        if ledger.records:
            await register_store.write_books(tx, book_ids, ledger.books)
            await register_store.write_entries(tx, book_ids, ledger.changed.values())
            await register_store.write_records(tx, book_ids, ledger.records)
        return answers

    # -- reading ---------------------------------------------------------------------------------------------

    async def page(self, register: Register, number: int, entry_id: UUID, limit: int) -> list[Entry]:
        """The lines behind (number, entry_id)."""
        return await register_store.entries_after(self._database, register, number, entry_id, limit)

    async def lines(self, register: Register) -> AsyncIterator[Entry]:
        """All lines by number, a page at a time: a register of any size passes through little memory."""
        number, entry_id = 0, UUID(int=0)
        while entries := await self.page(register, number, entry_id, _PAGE):
            for entry in entries:
                yield entry
            number, entry_id = entries[-1].number, entries[-1].entry_id

    async def inspect(self, register: Register) -> Inspection:
        """Whether the numbers are complete and both chains of the register hold."""
        own = await register_store.book_summary(self._database, BookKey(register), MAX_MISSING)
        own_holds = own is None or await self._chain_holds(BookKey(register), own)
        outside = BookKey(register, external=True)
        other = await register_store.book_summary(self._database, outside, 0)
        other_holds = other is None or await self._chain_holds(outside, other)
        if own is None:
            return Inspection(0, 0, 0, 0, (), other_holds, GENESIS)
        return Inspection(
            highest=own["highest"],
            issued=own["issued"],
            void=own["void"],
            reserved=own["reserved"],
            missing=tuple(own["missing"]),
            chain_intact=own_holds and other_holds,
            chain_head=own["head"],
        )

    async def _chain_holds(self, key: BookKey, summary: Record) -> bool:
        check = ChainCheck()
        while check.seq < summary["last_seq"]:
            limit = min(_PAGE, summary["last_seq"] - check.seq)
            records = await register_store.records_after(
                self._database, key, summary["book_id"], check.seq, limit
            )
            if not records:
                return False
            for record, entry in records:
                check.follow(record, entry)
        counted: bool = summary["unrecorded"] == 0 and summary["highest"] == summary["last_number"]
        return counted and check.finish(summary["last_seq"], summary["head"])


async def _locked_state(tx: Transaction, acts: Sequence[Act]) -> tuple[dict[BookKey, int], LedgerState]:
    """Lock every book that the acts touch, and only then read what they depend on."""
    request_ids = [act.request_id for act in acts]
    early = await register_store.done_before(tx, request_ids)
    new = [act for act in acts if act.request_id not in early]
    targets = await register_store.entries_by_id(tx, {act.entry_id for act in new if act.book is None})
    keys = {act.book for act in new if act.book is not None} | {entry.book for entry in targets}
    book_ids, books = await register_store.lock_books(tx, keys) if keys else ({}, {})
    # Read again, now under the locks: meanwhile another process may have done the same requests.
    state = LedgerState(books=books, done=await register_store.done_before(tx, request_ids) if new else early)
    state.organizations = await directory_store.known_codes(
        tx, {act.book.register.organization for act in new if act.book is not None}
    )
    wanted = {done.entry_id for done in state.done.values()} | {entry.entry_id for entry in targets}
    found = await register_store.entries_by_id(tx, wanted) if wanted else []
    envelopes = {
        (act.book.register.organization, act.envelope_id) for act in new if act.book and act.envelope_id
    }
    if envelopes:
        found += await register_store.entries_by_envelope(tx, sorted(envelopes))
    numbers = {(act.book, act.number, act.notation) for act in new if act.book and act.book.external}
    if numbers:
        found += await register_store.entries_by_number(tx, book_ids, sorted(numbers))
    for entry in found:
        state.know(entry)
    return book_ids, state
