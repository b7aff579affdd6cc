"""The ledger: whatever callers do, numbers are 1..max, acts repeat harmlessly, and the chain holds."""

from datetime import UTC, date, datetime
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.errors import AlreadyExists, DomainError, FailedPrecondition, NotFound

from services.registry.chain import ChainCheck, Record, content_hash
from services.registry.domain import BookKey, Description, Direction, Entry, EntryState, RecordKind, Register
from services.registry.ledger import Act, BookState, Ledger, LedgerState

TIME = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
OUT = BookKey(Register("H01", Direction.OUTGOING, 2026, ""))
OUTSIDE = BookKey(OUT.register, external=True)
IN = BookKey(Register("H01", Direction.INCOMING, 2026, ""))


def uid(name: object) -> UUID:
    return uuid5(UUID(int=1), str(name))


def fresh(organization: str = "H01") -> LedgerState:
    return LedgerState(
        organizations=frozenset({organization}),
        books={OUT: BookState(), OUTSIDE: BookState(), IN: BookState()},
    )


def act(kind: RecordKind, name: object, target: object = None, **options: object) -> Act:
    content = content_hash(kind=kind, target=str(target), **{k: str(v) for k, v in options.items()})
    defaults: dict[str, object] = {"field": "items[0].", "entry_date": date(2026, 3, 2)}
    return Act(
        kind,
        request_id=uid(name),
        request_hash=content,
        entry_id=uid(name if target is None else target),
        **{**defaults, **options},  # type: ignore[arg-type]
    )


def reserve(name: object, **options: object) -> Act:
    return act(RecordKind.RESERVE, name, book=OUT, notation="QĐ-MAU", **options)


def one(state: LedgerState, wanted: Act) -> Entry:
    [answer] = Ledger(state, TIME).take([(wanted,)])
    if isinstance(answer, DomainError):
        raise answer
    return answer[0]


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "issue", "void"]), st.integers(0, 9)), min_size=1, max_size=40
)


@given(st.lists(steps, max_size=6))
def test_numbers_are_one_to_max_and_every_one_is_explained(calls: list[list[tuple[str, int]]]) -> None:
    state = fresh()
    records: list[Record] = []
    kinds = {"issue": RecordKind.ISSUE, "void": RecordKind.VOID}
    for number, call in enumerate(calls):
        acts = tuple(
            reserve(f"{number % 2}-{who}")
            if what == "reserve"
            else act(kinds[what], f"{what}-{who}", f"{number % 2}-{who}", reason="x")
            for what, who in call
        )
        ledger = Ledger(state, TIME)
        ledger.take([acts])
        records += ledger.records
    ours = [entry for entry in state.entries.values() if entry.book == OUT]
    assert sorted(entry.number for entry in ours) == list(range(1, state.books[OUT].highest + 1))
    check = ChainCheck()
    for record in records:
        check.follow(record, state.entries[record.entry_id])
    assert check.finish(state.books[OUT].last_seq, state.books[OUT].head)


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_refused_call_takes_no_number(before: int, after: int) -> None:
    state = fresh()
    good = [reserve(f"good-{i}") for i in range(before)]
    bad = act(RecordKind.VOID, "v", "nobody", reason="x")
    later = [reserve(f"later-{i}") for i in range(after)]
    ledger = Ledger(state, TIME)
    answers = ledger.take([(*good,), (reserve("lost"), bad), (*later,)])
    assert isinstance(answers[1], NotFound)
    assert state.books[OUT].highest == before + after
    assert uid("lost") not in state.entries
    assert len(ledger.records) == before + after


def test_the_same_request_gets_the_first_number_and_another_content_is_refused() -> None:
    state = fresh()
    first = one(state, reserve("a"))
    one(state, reserve("b"))
    assert one(state, reserve("a")) == first
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED"):
        one(state, reserve("a", description=Description(subject="other")))
    assert state.books[OUT].highest == 2


def test_a_reserved_entry_ends_once() -> None:
    state = fresh()
    one(state, reserve("a"))
    described = Description(subject="Về việc MẪU")
    issued = one(state, act(RecordKind.ISSUE, "i", "a", description=described))
    assert (issued.state, issued.number, issued.description) == (EntryState.ISSUED, 1, described)
    with pytest.raises(FailedPrecondition, match="ENTRY_ISSUED"):
        one(state, act(RecordKind.VOID, "v", "a", reason="x"))
    with pytest.raises(FailedPrecondition, match="ENTRY_ISSUED"):
        one(state, act(RecordKind.ISSUE, "i2", "a"))
    one(state, reserve("b"))
    one(state, act(RecordKind.VOID, "vb", "b", reason="x"))
    with pytest.raises(FailedPrecondition, match="ENTRY_VOID"):
        one(state, act(RecordKind.ISSUE, "ib", "b"))


def test_an_external_number_belongs_to_one_document() -> None:
    state = fresh()

    def external(name: str, document: str, notation: str = "QĐ-MAU") -> Act:
        described = Description(document_id=document)
        return act(
            RecordKind.EXTERNAL, name, book=OUTSIDE, number=15, notation=notation, description=described
        )

    first = one(state, external("a", "doc-1"))
    assert first.state is EntryState.EXTERNAL
    assert one(state, external("b", "doc-1")) == first
    with pytest.raises(AlreadyExists, match="NUMBER_TAKEN"):
        one(state, external("c", "doc-2"))
    assert one(state, external("d", "doc-2", "TB-MAU")).number == 15
    assert one(state, reserve("ours")).number == 1


def test_an_envelope_has_one_entry_and_the_recipients_own_number_is_used_once() -> None:
    state = fresh()
    outside = BookKey(IN.register, external=True)
    state.books[outside] = BookState()
    ours = one(state, act(RecordKind.ARRIVE, "a", book=IN, envelope_id=uid("e1")))
    assert (ours.number, ours.state) == (1, EntryState.ISSUED)
    assert one(state, act(RecordKind.ARRIVE, "b", book=IN, envelope_id=uid("e1"))) == ours
    with pytest.raises(AlreadyExists, match="ENVELOPE_REGISTERED"):
        one(state, act(RecordKind.ARRIVE, "c", book=outside, number=7, envelope_id=uid("e1")))
    one(state, act(RecordKind.ARRIVE, "d", book=outside, number=7, envelope_id=uid("e2")))
    with pytest.raises(AlreadyExists, match="NUMBER_TAKEN"):
        one(state, act(RecordKind.ARRIVE, "e", book=outside, number=7, envelope_id=uid("e3")))


def test_nobody_unknown_gets_a_register() -> None:
    with pytest.raises(NotFound, match="ORGANIZATION_UNKNOWN"):
        one(fresh("H02"), reserve("a"))


@pytest.mark.parametrize("harm", ["canonical", "order", "entry", "rewound", "gone", "cut"])
def test_the_chain_shows_every_harm(harm: str) -> None:
    from dataclasses import replace

    state = fresh()
    ledger = Ledger(state, TIME)
    ledger.take([(reserve("a"),), (reserve("b"),), (act(RecordKind.ISSUE, "i", "a"),)])
    records = list(ledger.records)
    entries: dict[UUID, Entry | None] = dict(state.entries)
    match harm:
        case "canonical":
            records[1] = replace(records[1], canonical=records[1].canonical.replace(b"MAU", b"MAO"))
        case "order":
            records[0], records[1] = records[1], records[0]
        case "entry":
            entries[uid("b")] = replace(state.entries[uid("b")], void_reason="invented")
        case "rewound":
            entries[uid("a")] = replace(state.entries[uid("a")], state=EntryState.RESERVED, last_seq=1)
        case "gone":
            entries[uid("b")] = None
        case "cut":
            records.pop()
    check = ChainCheck()
    for record in records:
        check.follow(record, entries[record.entry_id])
    assert not check.finish(state.books[OUT].last_seq, state.books[OUT].head)
