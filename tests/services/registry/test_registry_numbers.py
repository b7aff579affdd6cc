"""Numbers under load, over New Year, repeated, and after what goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from lienthong.db import Database
from lienthong.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound
from lienthong.registry.v1 import register_pb2 as pb
from lienthong.registry.v1.register_pb2_grpc import RegisterServiceStub
from lienthong.settings import DatabaseSettings

from services.registry.app import build
from services.registry.settings import RegistrySettings
from tests.services.registry.asking import (
    ROUTING,
    Registry,
    check,
    incoming,
    issue,
    new_id,
    outgoing,
    reservation,
    reserve,
    void,
)
from tests.support.serving import serving

if TYPE_CHECKING:  # the generated module has this class only in its stubs
    from lienthong.registry.v1.register_pb2_grpc import RegisterServiceAsyncStub

OPERATOR = "operator/an"


async def test_sixty_four_callers_at_once_get_every_number_once(registry: Registry) -> None:
    stub = registry.register()
    per_call = 5
    answers = await asyncio.gather(
        *(reserve(stub, *(reservation() for _ in range(per_call))) for _ in range(64))
    )
    assert sorted(one.number for answer in answers for one in answer) == list(range(1, 64 * per_call + 1))
    for answer in answers:
        first = answer[0].number
        assert [one.number for one in answer] == list(range(first, first + per_call))
    found = await check(registry.register(OPERATOR), outgoing())
    assert (found.highest, found.reserved, list(found.missing)) == (64 * per_call, 64 * per_call, [])
    assert found.chain_intact


async def test_books_taken_in_any_order_never_deadlock(registry: Registry) -> None:
    stub = registry.register()
    items = [("H01", "A"), ("H01.03", ""), ("H01.15", "B"), ("H01.15.09", "")]

    def call(turn: int) -> list[pb.Reservation]:
        ordered = items[turn % 4 :] + items[: turn % 4]
        return [reservation(organization=code, series=series) for code, series in ordered]

    await asyncio.gather(*(reserve(stub, *call(turn)) for turn in range(32)))
    for code, series in items:
        found = await check(registry.register(OPERATOR), outgoing(organization=code, series=series))
        assert (found.highest, list(found.missing)) == (32, [])


async def test_fifty_repeats_at_once_are_one_reservation(registry: Registry) -> None:
    stub, item = registry.register(), reservation()
    answers = await asyncio.gather(*(reserve(stub, item) for _ in range(50)))
    assert {(a[0].number, a[0].entry_id) for a in answers} == {(1, item.request_id)}
    with pytest.raises(AlreadyExists) as caught:
        await reserve(stub, reservation(item.request_id, notation="TB-MAU"))
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert (await reserve(stub))[0].number == 2


async def test_the_year_turns_at_midnight_in_vietnam(registry: Registry) -> None:
    stub = registry.register()
    await reserve(stub)
    last_second = datetime(2026, 12, 31, 16, 59, 59, tzinfo=UTC)
    registry.clock.advance(last_second - registry.clock.now())
    before = reservation()
    [old] = await reserve(stub, before)
    assert (old.number, old.issued_date) == (2, "2026-12-31")
    registry.clock.advance(1)
    [new] = await reserve(stub)
    assert (new.number, new.issued_date) == (1, "2027-01-01")
    # Number and date were frozen: asking again after New Year changes neither.
    assert await reserve(stub, before) == [old]
    assert (await check(registry.register(OPERATOR), outgoing(2026))).highest == 2
    assert (await check(registry.register(OPERATOR), outgoing(2027))).highest == 1


async def test_issued_and_void_numbers_together_explain_the_series(registry: Registry) -> None:
    stub = registry.register()
    numbers = await reserve(stub, *(reservation() for _ in range(4)))
    await issue(stub, numbers[0].entry_id, subject="Về việc MẪU")
    await void(stub, numbers[1].entry_id)
    await issue(stub, numbers[2].entry_id)
    found = await check(registry.register(OPERATOR), outgoing())
    assert (found.highest, found.issued, found.void, found.reserved) == (4, 2, 1, 1)
    assert found.chain_intact
    with pytest.raises(FailedPrecondition, match="ENTRY_ISSUED"):
        await void(stub, numbers[0].entry_id)
    with pytest.raises(FailedPrecondition, match="ENTRY_VOID"):
        await issue(stub, numbers[1].entry_id)
    with pytest.raises(NotFound, match="ENTRY_UNKNOWN"):
        await issue(stub, new_id())


async def test_a_void_is_repeated_under_its_own_id_only(registry: Registry) -> None:
    stub = registry.register()
    [number] = await reserve(stub)
    request = pb.VoidEntryRequest(request_id=new_id(), entry_id=number.entry_id, reason="trùng (MẪU)")
    await stub.VoidEntry(request)
    await stub.VoidEntry(request)
    assert (await check(registry.register(OPERATOR), outgoing())).void == 1
    request.reason = "khác"
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED"):
        await stub.VoidEntry(request)
    with pytest.raises(InvalidArgument, match="REASON_MISSING"):
        await stub.VoidEntry(pb.VoidEntryRequest(request_id=new_id(), entry_id=number.entry_id, reason=" "))


async def test_a_failure_between_book_and_record_leaves_no_gap(registry: Registry) -> None:
    stub = registry.register()
    await reserve(stub)
    # The book is written first: here the database itself fails on the last statement of the transaction.
    await registry.database.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'disk full, says the test'; END $$"
    )
    await registry.database.execute(
        "CREATE TRIGGER fail BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    item = reservation()
    with pytest.raises(Internal):
        await reserve(stub, item)
    await registry.database.execute("DROP TRIGGER fail ON record")
    assert (await check(registry.register(OPERATOR), outgoing())).highest == 1
    assert [one.number for one in await reserve(stub, item, reservation())] == [2, 3]
    found = await check(registry.register(OPERATOR), outgoing())
    assert (found.highest, list(found.missing), found.chain_intact) == (3, [], True)


async def test_one_bad_item_costs_its_call_and_nobody_else(registry: Registry) -> None:
    stub = registry.register()
    calls = [reserve(stub, reservation(), reservation(organization="H77")), reserve(stub), reserve(stub)]
    refused, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(refused, NotFound)
    assert refused.violations[0].field == "reservations[1].organization"
    assert sorted(other[0].number for other in others if isinstance(other, list)) == [1, 2]


BAD: list[tuple[dict[str, object], str, str]] = [
    ({"notation": "QĐ BNV"}, "NOTATION_INVALID", "notation"),
    ({"notation": ""}, "NOTATION_INVALID", "notation"),
    ({"notation": "SO\N{COMBINING HORN}"}, "NOTATION_INVALID", "notation"),
    ({"notation": "A" * 31}, "NOTATION_INVALID", "notation"),
    ({"series": "a b"}, "SERIES_INVALID", "series"),
    ({"organization": "h01"}, "ORGANIZATION_CODE_INVALID", "organization"),
    ({"request_id": "1"}, "ID_MALFORMED", "request_id"),
    ({"description": pb.Description(subject="a\0b")}, "TEXT_INVALID", "description.subject"),
    ({"description": pb.Description(subject="a" * 501)}, "TEXT_INVALID", "description.subject"),
    (
        {"description": pb.Description(issued_date="2026-13-01")},
        "DATE_INVALID",
        "description.issued_date",
    ),
]


async def test_bad_input_is_refused_by_field(registry: Registry) -> None:
    for change, reason, field in BAD:
        with pytest.raises(InvalidArgument) as caught:
            await reserve(registry.register(), reservation(), reservation(**change))  # type: ignore[arg-type]
        assert caught.value.reason == reason
        assert caught.value.violations[0].field == f"reservations[1].{field}"
    assert (await reserve(registry.register()))[0].number == 1


async def test_a_call_has_at_most_a_thousand_items(registry: Registry) -> None:
    stub = registry.register()
    assert len(await reserve(stub, *(reservation() for _ in range(1000)))) == 1000
    with pytest.raises(InvalidArgument, match="TOO_MANY_ITEMS"):
        await reserve(stub, *(reservation() for _ in range(1001)))


async def test_two_processes_share_the_books(registry: Registry) -> None:
    """Both get the same requests at once, and envelopes that each wants in another book."""
    settings = RegistrySettings(database=DatabaseSettings(url=registry.database.url))
    database = await Database.open(settings.database)
    node = registry.pki.settings("H01")
    app = await build(settings, node=node, database=database, clock=registry.clock)
    async with serving([app], node) as address:
        channel = registry.pki.channel(ROUTING, "H01", address)
        stubs = (registry.register(), RegisterServiceStub(channel))
        items = [reservation() for _ in range(40)]
        answers = await asyncio.gather(*(reserve(stub, item) for item in items for stub in stubs))

        async def busy(stub: RegisterServiceAsyncStub) -> None:
            for _ in range(15):  # one after the other: flushes of both meet at the book's lock all the time
                await reserve(stub)

        await asyncio.gather(*(busy(stub) for stub in stubs for _ in range(8)))
        envelopes = [new_id() for _ in range(20)]

        async def arrive(number: int, envelope: str, own_number: int) -> int:
            item = pb.Arrival(
                request_id=new_id(), organization="H01", envelope_id=envelope, own_number=own_number
            )
            try:
                answer = await stubs[number].RecordArrivals(pb.RecordArrivalsRequest(arrivals=[item]))
            except AlreadyExists as error:
                return 0 if error.reason == "ENVELOPE_REGISTERED" else -1
            return answer.arrivals[0].number

        arrived = await asyncio.gather(
            *(arrive(0, envelope, 0) for envelope in envelopes),
            *(arrive(1, envelope, 100 + n) for n, envelope in enumerate(envelopes)),
        )
        await channel.close()
    await database.close()
    assert answers[::2] == answers[1::2]
    assert sorted(answer[0].number for answer in answers[::2]) == list(range(1, 41))
    ours = sorted(number for number in arrived[:20] if number < 100)
    assert ours == list(range(1, len(ours) + 1))
    # Where our number came first the own one is refused; where the own one came first both tell it.
    assert all(one == other or other == 0 for one, other in zip(arrived[:20], arrived[20:], strict=True))
    for book in (outgoing(), incoming()):
        found = await check(registry.register(OPERATOR), book)
        assert (list(found.missing), found.chain_intact) == ([], True)
