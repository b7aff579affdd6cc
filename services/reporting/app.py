"""Puts reporting together: the only place that constructs."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lienthong.app import App
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.migrations import require_head
from lienthong.preflight import open_database
from lienthong.reporting.v1 import reporting_pb2_grpc
from lienthong.routing.v1.queue_pb2_grpc import EventServiceStub
from lienthong.rpc.client import Channels
from lienthong.settings import NodeSettings

from services.reporting import store
from services.reporting.reader import EventReader
from services.reporting.service import IndicatorServicer, JourneyServicer
from services.reporting.settings import ReportingProcess, ReportingSettings

PACKAGE = "services.reporting"


async def build(
    settings: ReportingSettings,  # noqa: ARG001 - every service is built alike; the database is open
    *,
    node: NodeSettings,
    database: Database,
    clock: Clock | None = None,
    rng: random.Random | None = None,
) -> App:
    """Reporting of one node. The caller owns the database."""
    await require_head(database, PACKAGE)
    channels = Channels(node.tls, node.addresses, node=node.node)
    reader = EventReader(
        database,
        channels.stub(EventServiceStub, "routing"),
        clock or SystemClock(),
        rng or random.Random(),  # noqa: S311 - spreads attempts, protects nothing
    )
    return App(
        name="reporting",
        servicers=[
            (reporting_pb2_grpc.add_JourneyServiceServicer_to_server, JourneyServicer(database)),
            (reporting_pb2_grpc.add_IndicatorServiceServicer_to_server, IndicatorServicer(database)),
        ],
        background=[reader.run],
        checks={"database": database.check_ready},
        close=[channels.close],
    )


async def build_process(settings: ReportingProcess) -> Sequence[App]:
    """Reporting alone in a process."""
    database = await open_database(settings.reporting.database, SystemClock(), application_name="reporting")
    app = await build(settings.reporting, node=settings, database=database)
    return [App(name="reporting-database", close=[database.close]), app]


async def rebuild(settings: ReportingProcess) -> None:
    """Forget what was derived; the running service, or the next one, reads everything again."""
    database = await open_database(
        settings.reporting.database, SystemClock(), application_name="reporting-rebuild"
    )
    try:
        async with database.transaction() as tx:
            await store.reset(tx)
    finally:
        await database.close()
