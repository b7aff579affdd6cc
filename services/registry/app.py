"""Builds the registry: the only place where its parts meet."""

from __future__ import annotations

from collections.abc import Sequence

from lienthong.app import App
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.migrations import require_head
from lienthong.registry.v1 import directory_pb2_grpc, register_pb2_grpc

from services.registry.directory import OrganizationDirectory
from services.registry.organizations_file import organizations_from_file
from services.registry.registers import Registers
from services.registry.service import DirectoryServicer, RegisterServicer
from services.registry.settings import RegistryProcess, RegistrySettings

PACKAGE = "services.registry"


async def build(settings: RegistrySettings, *, database: Database, clock: Clock | None = None) -> App:
    """The registry on an open, migrated database, which the caller closes.

    Imports the organizations file first, so that a node never answers from an older directory than the
    one it was given; a file with a fault keeps the node from starting.
    """
    clock = clock or SystemClock()
    await require_head(database, PACKAGE)
    directory = OrganizationDirectory(database, clock)
    registers = Registers(database, clock)
    if settings.organizations_file is not None:
        await directory.import_rows(*organizations_from_file(settings.organizations_file))
    return App(
        name="registry",
        servicers=(
            (directory_pb2_grpc.add_DirectoryServiceServicer_to_server, DirectoryServicer(directory)),
            (
                register_pb2_grpc.add_RegisterServiceServicer_to_server,
                RegisterServicer(registers, directory),
            ),
        ),
        checks={"database": database.check_ready},
        close=(registers.close,),
    )


async def build_process(settings: RegistryProcess) -> Sequence[App]:
    """The registry alone in a process."""
    database = await Database.open(settings.registry.database, application_name="registry")
    app = await build(settings.registry, database=database)
    return [App(name="registry-database", close=[database.close]), app]
