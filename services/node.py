"""`python -m services.node`: all services of a node in one process, on one mTLS port.

The same code and the same gRPC as in processes of their own: they call each other through the port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

from lienthong.app import App, run
from lienthong.clock import SystemClock
from lienthong.db import Database
from lienthong.preflight import open_database
from lienthong.settings import DatabaseSettings, NodeSettings

from services.registry import app as registry
from services.registry.settings import RegistrySettings
from services.reporting import app as reporting
from services.reporting.settings import ReportingSettings
from services.routing import app as routing
from services.routing.settings import RoutingSettings
from services.routing.station import Checkpoint, no_checkpoint
from services.signing import app as signing
from services.signing.settings import SigningSettings
from services.storage import app as storage
from services.storage.settings import StorageSettings


class NodeProcess(NodeSettings):
    """What a node with all services in one process is told."""

    registry: RegistrySettings
    signing: SigningSettings
    storage: StorageSettings
    routing: RoutingSettings
    reporting: ReportingSettings


class _Build(Protocol):
    def __call__(self, *, database: Database) -> Awaitable[App]: ...


async def build(settings: NodeProcess, *, checkpoint: Checkpoint = no_checkpoint) -> Sequence[App]:
    """Build every service on its own database; the databases close last. `checkpoint` is routing's."""
    build_reporting = partial(reporting.build, settings.reporting, node=settings)
    build_routing = partial(routing.build, settings.routing, node=settings, checkpoint=checkpoint)
    services: list[tuple[str, DatabaseSettings, _Build]] = [
        ("registry", settings.registry.database, partial(registry.build, settings.registry, node=settings)),
        ("signing", settings.signing.database, partial(signing.build, settings.signing, node=settings)),
        ("storage", settings.storage.database, partial(storage.build, settings.storage, node=settings)),
        ("routing", settings.routing.database, build_routing),
        ("reporting", settings.reporting.database, build_reporting),
    ]
    clock = SystemClock()
    databases: list[App] = []
    apps: list[App] = []
    for name, database_settings, build_service in services:
        database = await open_database(
            database_settings, clock, application_name=f"lienthong-{settings.node}-{name}"
        )
        databases.append(App(name=f"{name}-database", close=[database.close]))
        apps.append(await build_service(database=database))
    return [*databases, *apps]


def main() -> None:
    """Serve until told to stop."""
    run(build, NodeProcess)


if __name__ == "__main__":
    main()
