"""Events are derived from exactly once, whatever breaks, and always to the same tables."""

from __future__ import annotations

import asyncio
import random

import pytest
from lienthong.errors import Unavailable
from lienthong.types.v1 import event_pb2

from services.reporting import store
from services.reporting.domain import Facts
from services.reporting.reader import gather
from tests.services.reporting.conftest import Maker, Reporting
from tests.services.reporting.routing_wire import EventList
from tests.services.reporting.story import Story, event
from tests.support.serving import serving

DAY = ("2026-03-02", "2026-03-02")


def stories(count: int) -> list[event_pb2.Event]:
    """Events of so many documents, mixed."""
    events: list[event_pb2.Event] = []
    for number in range(1, count + 1):
        story = Story(f"story {number}", number=number)
        events += [story.issued(), story.arrived_at_sender("H01.15"), story.delivered("G22.01")]
        events += [story.receipt("H01.15", 2, "03"), story.handled("G22.01", 2, "03")]
    random.Random(count).shuffle(events)
    return events


async def test_rebuilding_gives_identical_tables(reporting: Reporting) -> None:
    await reporting.tell(*stories(20))
    await reporting.tell(*stories(30))  # the first twenty once more
    before = await reporting.tables()
    assert (len(before["journey"]), len(before["receipt"])) == (30, 60)

    async with reporting.database.transaction() as tx:
        await store.reset(tx)
    assert not any((await reporting.tables()).values())
    await reporting.reader().catch_up()

    assert await reporting.tables() == before


async def test_a_running_reader_notices_a_rebuild(reporting: Reporting) -> None:
    await reporting.tell(*stories(3))
    before = await reporting.tables()
    async with reporting.database.transaction() as tx:
        await store.reset(tx)

    await reporting.tell(*stories(3)[:1])  # its next batch finds the cursor gone

    after = await reporting.tables()
    assert {name: rows for name, rows in after.items() if name != "reader"} == {
        name: rows for name, rows in before.items() if name != "reader"
    }


async def test_two_replicas_count_once(reporting: Reporting) -> None:
    await reporting.tell(*stories(1))
    readers = [reporting.reader() for _ in range(3)]
    await reporting.routing.add(*stories(60))

    outcomes = await asyncio.gather(*(reader.catch_up() for reader in readers), return_exceptions=True)
    await reporting.caught_up()

    assert all(outcome is None or isinstance(outcome, Unavailable) for outcome in outcomes)
    assert await reporting.counts("", *DAY) == {
        ("G22", "2026-03-02"): {"sent": 60, "addressed": 120, "delivered": 60},
        ("G22.01", "2026-03-02"): {"received": 60, "accepted": 60},
    }


async def test_the_cursor_moves_with_what_it_stands_for_or_not_at_all(reporting: Reporting) -> None:
    await reporting.tell(*stories(2))
    before = await reporting.tables()

    async def fail_after_the_first_statements() -> None:
        async with reporting.database.transaction() as tx:
            assert await store.move_cursor(tx, await store.cursor(tx), "later")
            await store.add(tx, gather(stories(9)))
            raise RuntimeError("the process ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        await fail_after_the_first_statements()
    assert await reporting.tables() == before
    async with reporting.database.transaction() as tx:
        assert not await store.move_cursor(tx, "somewhere else", "later")
        assert not await store.move_cursor(tx, "", "later")


async def test_events_are_derived_from_as_they_come(reporting: Reporting) -> None:
    for number in range(1, 6):
        await reporting.tell(Story(f"live {number}", number=number).issued())
    assert reporting.routing.watches == 1


async def test_polling_alone_is_enough(reporting: Reporting) -> None:
    await reporting.tell(*stories(1))
    reporting.routing.watchable = False

    # The watch that runs ends with the next event, when nobody may watch any more.
    await reporting.tell(*stories(2))
    await reporting.tell(*stories(40))

    assert (await reporting.counts("G22", *DAY))["G22", "2026-03-02"]["sent"] == 40


async def test_what_cannot_be_read_stops_nothing(reporting: Reporting) -> None:
    nul = Story("nul", notation="X\0Y")
    undated = Story("undated", issued_date="2026-02-30")
    await reporting.tell(
        event_pb2.Event(id="1", kind="routing.issued", payload=b"\xff\xff"),
        event_pb2.Event(id="2", kind="routing.something-new", payload=b"\xff\xff"),
        nul.issued(),
        undated.issued(),
        Story().issued(),
    )

    assert len((await reporting.tables())["journey"]) == 1


async def test_routing_may_be_away_at_the_start_and_later(maker: Maker) -> None:
    routing = EventList()
    settings = maker.pki.settings("G22", "routing")
    async with serving([routing.app()], settings) as address:
        pass  # an address at which nobody is
    reporting = await maker.start(routing, address)
    await asyncio.sleep(0.7)
    again = maker.pki.settings("G22", "routing", listen=address)

    for documents in (2, 5):
        async with serving([routing.app()], again):
            await reporting.tell(*stories(documents))

    assert (await reporting.counts("G22", *DAY))["G22", "2026-03-02"]["sent"] == 5


def test_an_unknown_kind_is_no_fact() -> None:
    facts = gather([event("routing.unknown", Story().document)])
    assert facts == Facts([], [], [], [])
