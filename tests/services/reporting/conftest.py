"""Reporting of H01's neighbour G22, fed over mutual TLS by a list of events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from lienthong.clock import SystemClock
from lienthong.db import Database
from lienthong.reporting.v1 import reporting_pb2
from lienthong.reporting.v1.reporting_pb2_grpc import IndicatorServiceStub, JourneyServiceStub
from lienthong.routing.v1.queue_pb2_grpc import EventServiceStub
from lienthong.settings import DatabaseSettings

from services.reporting import store
from services.reporting.app import PACKAGE, build
from services.reporting.reader import EventReader
from services.reporting.settings import ReportingSettings
from tests.services.reporting.routing_wire import EventList
from tests.support.postgres import Databases
from tests.support.serving import Pki, serving

if TYPE_CHECKING:
    from lienthong.reporting.v1.reporting_pb2_grpc import IndicatorServiceAsyncStub, JourneyServiceAsyncStub

CLIENT = "org/G22/client/app"


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@dataclass
class Reporting:
    """A running reporting and what a test may ask of it."""

    pki: Pki
    database: Database
    routing: EventList
    routing_address: str
    address: str
    stack: AsyncExitStack
    _channels: dict[str, Any] = field(default_factory=dict)

    async def caught_up(self) -> None:
        async def seen_all() -> bool:
            return await store.cursor(self.database) == str(len(self.routing.events))

        await until(seen_all)

    async def tell(self, *events: Any) -> None:
        """Let routing commit events, and wait until reporting has them."""
        await self.routing.add(*events)
        await self.caught_up()

    async def journey(self, document_id: str, who: str = CLIENT) -> reporting_pb2.Journey:
        stub: JourneyServiceAsyncStub = JourneyServiceStub(self._channel(who))
        request = reporting_pb2.GetJourneyRequest(document_id=document_id)
        return (await stub.GetJourney(request)).journey

    async def journey_by_code(self, who: str = CLIENT, **code: Any) -> reporting_pb2.Journey:
        stub: JourneyServiceAsyncStub = JourneyServiceStub(self._channel(who))
        request = reporting_pb2.GetJourneyRequest(code=reporting_pb2.DocumentCode(**code))
        return (await stub.GetJourney(request)).journey

    async def counts(
        self, organization: str, first: str, last: str, who: str = "auditor/binh"
    ) -> dict[tuple[str, str], dict[str, int]]:
        """What is counted by organization and day, without zeros."""
        stub: IndicatorServiceAsyncStub = IndicatorServiceStub(self._channel(who))
        request = reporting_pb2.ListDailyCountsRequest(
            organization=organization, from_date=first, to_date=last
        )
        answer = await stub.ListDailyCounts(request)
        return {
            (count.organization, count.date): {
                name.name: value
                for name, value in count.ListFields()
                if name.name not in ("organization", "date")
            }
            for count in answer.counts
        }

    def reader(self) -> EventReader:
        """Another reader of the same events into the same tables, as a second replica has it."""
        channel = self.pki.channel("node/G22/reporting", "G22", self.routing_address)
        self.stack.push_async_callback(channel.close)
        return EventReader(self.database, EventServiceStub(channel), SystemClock(), random.Random(1))

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that was derived, in an order of its own."""
        return {
            table: [tuple(row) for row in await self.database.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in store.DERIVED
        }

    def _channel(self, who: str) -> Any:
        if who not in self._channels:
            self._channels[who] = self.pki.channel(who, "G22", self.address)
            self.stack.push_async_callback(self._channels[who].close)
        return self._channels[who]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@dataclass
class Maker:
    """Starts a reporting that finds routing at an address, whether anybody is there or not."""

    pki: Pki
    databases: Databases
    stack: AsyncExitStack

    async def start(self, routing: EventList, routing_address: str) -> Reporting:
        url = await self.databases.create(PACKAGE)
        database = await Database.open(DatabaseSettings(url=url))
        self.stack.push_async_callback(database.close)
        process = self.pki.settings("G22", "reporting", addresses={"routing": routing_address})
        app = await build(
            ReportingSettings(database=DatabaseSettings(url=url)),
            node=process,
            database=database,
            rng=random.Random(1),
        )
        address = await self.stack.enter_async_context(serving([app], process))
        return Reporting(self.pki, database, routing, routing_address, address, self.stack)


@pytest.fixture
def maker(databases: Databases, pki: Pki, stack: AsyncExitStack) -> Maker:
    return Maker(pki, databases, stack)


@pytest_asyncio.fixture
async def reporting(maker: Maker) -> Reporting:
    routing = EventList()
    process = maker.pki.settings("G22", "routing")
    address = await maker.stack.enter_async_context(serving([routing.app()], process))
    return await maker.start(routing, address)
