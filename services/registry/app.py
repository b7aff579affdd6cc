"""Builds the registry: the only place where its parts meet."""

from __future__ import annotations

from collections.abc import Sequence

from lienthong.app import App
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.migrations import require_head
from lienthong.pki.keys import load_signing_key
from lienthong.pki.requests import Issuers
from lienthong.preflight import open_database
from lienthong.registry.v1 import directory_pb2_grpc, enrolment_pb2, enrolment_pb2_grpc, register_pb2_grpc
from lienthong.rpc.newcomers import NewcomerListener, listen_for_newcomers
from lienthong.rpc.server import Servicer
from lienthong.settings import NodeSettings

from services.registry.directory import OrganizationDirectory
from services.registry.enrolment import Enrolment, Parent
from services.registry.organizations_file import organizations_from_file
from services.registry.registers import Registers
from services.registry.service import DirectoryServicer, EnrolmentServicer, RegisterServicer
from services.registry.settings import EnrolmentSettings, RegistryProcess, RegistrySettings

PACKAGE = "services.registry"


async def build(
    settings: RegistrySettings, *, node: NodeSettings, database: Database, clock: Clock | None = None
) -> App:
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
    enrolment = EnrolmentServicer(Enrolment(database, clock, _parent(settings.enrolment, node)))
    offered: Servicer = (enrolment_pb2_grpc.add_EnrolmentServiceServicer_to_server, enrolment)
    listeners = _listeners(settings.enrolment, node, offered)
    return App(
        name="registry",
        servicers=(
            offered,
            (directory_pb2_grpc.add_DirectoryServiceServicer_to_server, DirectoryServicer(directory)),
            (
                register_pb2_grpc.add_RegisterServiceServicer_to_server,
                RegisterServicer(registers, directory),
            ),
        ),
        background=[listener.run for listener in listeners],
        checks={"database": database.check_ready},
        close=(registers.close, *(listener.close for listener in listeners)),
    )


def _parent(settings: EnrolmentSettings | None, node: NodeSettings) -> Parent | None:
    if settings is None:
        return None
    issuers = settings.issuers
    return Parent(
        node=node.node,
        trust_domain=node.trust_domain,
        enrolment_address=settings.address,
        addresses=settings.addresses or node.addresses,
        roots=node.tls.roots,
        document_chain=settings.document_chain,
        key=load_signing_key(node.tls.key, node.tls.certificate),
        issuers=Issuers.load(issuers.transport, issuers.document) if issuers is not None else None,
    )


def _listeners(
    settings: EnrolmentSettings | None, node: NodeSettings, offered: Servicer
) -> list[NewcomerListener]:
    """The port for newcomers, where there is to be one: bound now, so that a taken one stops the start."""
    if settings is None:
        return []
    name = enrolment_pb2.DESCRIPTOR.services_by_name["EnrolmentService"].full_name
    return [
        listen_for_newcomers(
            node.tls, settings.listen, {name: offered}, node=node.node, trust_domain=node.trust_domain
        )
    ]


async def build_process(settings: RegistryProcess) -> Sequence[App]:
    """The registry alone in a process."""
    database = await open_database(settings.registry.database, SystemClock(), application_name="registry")
    app = await build(settings.registry, node=settings, database=database)
    return [App(name="registry-database", close=[database.close]), app]
