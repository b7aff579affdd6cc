"""Puts routing together: the only place that constructs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from lienthong.app import App
from lienthong.backoff import Backoff
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.ids import IdFactory, new_id
from lienthong.migrations import require_head
from lienthong.pki.keys import SigningKey, load_signing_key
from lienthong.pki.revocation import RevocationFiles
from lienthong.pki.trust import TrustStore
from lienthong.preflight import open_database
from lienthong.queue import BatchWorker, Claim, NotifyBridge, Wakeups, Worker, WorkerPolicy
from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceStub
from lienthong.registry.v1.register_pb2_grpc import RegisterServiceStub
from lienthong.routing.v1 import inbox_pb2_grpc, link_pb2_grpc, queue_pb2_grpc, submission_pb2_grpc
from lienthong.rpc.client import Channels, channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.rpc.server import Servicer
from lienthong.settings import NodeSettings
from lienthong.signing.v1.signing_pb2_grpc import SigningServiceStub, ValidationServiceStub
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub, ReplicationServiceStub

from services.routing.arrival import Arrival
from services.routing.attachments import Attachments
from services.routing.bulk import BulkDesk
from services.routing.custody import Custody
from services.routing.directory import Directory
from services.routing.dispatch import Dispatch
from services.routing.external import ExternalWorkflow
from services.routing.handling import HandlingDesk
from services.routing.intake import Intake
from services.routing.issuing import EXTERNAL, ISSUE, SUBMISSION, VOID, Issuing
from services.routing.judgement import Judgement
from services.routing.link import LinkDesk
from services.routing.link_service import Dialer, LinkServicer
from services.routing.ping import Pings
from services.routing.receipts import ReceiptBook, ReceiptMaker
from services.routing.seals import Seals
from services.routing.service import EventServicer, InboxServicer, QueueServicer, SubmissionServicer
from services.routing.settings import LinkSettings, RoutingProcess, RoutingSettings
from services.routing.station import Checkpoint, Station, no_checkpoint
from services.routing.statuses import HANDLING
from services.routing.submission import SubmissionWorkflow
from services.routing.transfer_store import ARRIVAL, REJECTION, RELEASE, held_by

PACKAGE: Final = "services.routing"
# Work for other services of the node: they are down for seconds, not for hours.
_NEAR: Final = Backoff(initial=0.5, cap=30.0)
# Documents issued elsewhere that share one call of the register and one commit.
_EXTERNAL_BATCH: Final = 64
# Statuses that share one call of the register, one signature of an organization and one commit.
_HANDLING_BATCH: Final = 64
# Holders whose attachments storage lets go in one call.
_RELEASE_BATCH: Final = 256


async def build(
    settings: RoutingSettings,
    *,
    node: NodeSettings,
    database: Database,
    clock: Clock | None = None,
    ids: IdFactory = new_id,
    checkpoint: Checkpoint = no_checkpoint,
) -> App:
    """Routing of one node. The caller owns the database. `checkpoint` is asked between steps of workflows."""
    clock = clock or SystemClock()
    await require_head(database, PACKAGE)
    channels = Channels(node.tls, node.addresses, node=node.node)
    directory = Directory(channels.stub(DirectoryServiceStub, "registry"), node.node, clock)
    station = Station(node.node, database, directory, Wakeups(), clock, ids, checkpoint)
    trust = TrustStore.load(
        settings.document_roots,
        settings.document_intermediates,
        crls=settings.crls,
    )
    parts = _parts(settings, node, station, channels, trust)
    return App(
        name="routing",
        servicers=_servicers(settings, station, parts),
        background=[
            *(worker.run for worker in _workers(settings, station, parts)),
            *(_dialer(node, parts.desk, link) for link in settings.links),
            NotifyBridge(database, station.wakeups).run,
            RevocationFiles(settings.crls, trust, clock).run,
        ],
        checks={"database": database.check_ready},
        close=[channels.close],
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """The collaborators of one node's routing, made once."""

    grant_key: SigningKey
    attachments: Attachments
    intake: Intake
    workflow: SubmissionWorkflow
    external: ExternalWorkflow
    arrival: Arrival
    handling: HandlingDesk
    desk: LinkDesk


def _parts(
    settings: RoutingSettings, node: NodeSettings, station: Station, channels: Channels, trust: TrustStore
) -> _Parts:
    # The key of this service's own TLS certificate: what grants are signed with (libs: grant.py).
    grant_key = load_signing_key(node.tls.key, node.tls.certificate)
    signing = channels.stub(SigningServiceStub, "signing")
    registers = channels.stub(RegisterServiceStub, "registry")
    replication = channels.stub(ReplicationServiceStub, "storage")
    attachments = Attachments(
        channels.stub(BlobServiceStub, "storage"),
        signing,
        channels.stub(ValidationServiceStub, "signing"),
        station.clock,
        settings.max_parse_bytes,
    )
    seals = Seals(signing, trust, station.clock)
    dispatch = Dispatch(station)
    maker = ReceiptMaker(station, seals, dispatch)
    custody = Custody(station, seals, attachments, replication, dispatch, grant_key)
    judgement = Judgement(station, attachments, settings.max_attachment_bytes)
    issuing = Issuing(station, attachments, seals, dispatch)
    workflow = SubmissionWorkflow(station, registers, attachments, issuing)
    return _Parts(
        grant_key=grant_key,
        attachments=attachments,
        intake=Intake(station, judgement, attachments),
        workflow=workflow,
        external=ExternalWorkflow(station, registers, issuing, workflow, _NEAR),
        arrival=Arrival(station, attachments, dispatch, maker, ReceiptBook(station)),
        handling=HandlingDesk(station, registers, dispatch, maker),
        desk=LinkDesk(
            station,
            str(station.new_id()),
            custody,
            replication,
            set(),
            Pings.of(station),
            lease_seconds=settings.lease_seconds,
        ),
    )


def _workers(settings: RoutingSettings, station: Station, parts: _Parts) -> list[BatchWorker]:
    """A loop for each queue; `completes`: the work ends its item in the transaction of its effects."""

    async def release(claims: list[Claim]) -> None:
        await parts.attachments.release([held_by(claim.payload) for claim in claims])

    def policy(
        concurrency: int, *, completes: bool = False, batch: int = 1, apart: bool = False
    ) -> WorkerPolicy:
        return WorkerPolicy(
            concurrency=concurrency,
            batch_size=batch,
            lease_seconds=settings.lease_seconds,
            backoff=_NEAR,
            completes=completes,
            apart=apart,
        )

    singles = [
        (SUBMISSION, parts.workflow.advance, policy(settings.submissions)),
        (ISSUE, parts.workflow.mark_register, policy(4)),
        (VOID, parts.workflow.void_register, policy(2)),
        (REJECTION, parts.arrival.reject, policy(2, completes=True)),
    ]
    arrivals = policy(settings.arrivals, completes=True, batch=settings.arrival_batch)
    externals = policy(settings.submissions, completes=True, batch=_EXTERNAL_BATCH)
    batches = [
        (EXTERNAL, parts.external.work, externals),
        (ARRIVAL, parts.arrival.work, arrivals),
        (HANDLING, parts.handling.work, policy(2, completes=True, batch=_HANDLING_BATCH, apart=True)),
        (RELEASE, release, policy(1, batch=_RELEASE_BATCH)),
    ]
    return [
        *(Worker(station.db, name, work, how, wakeups=station.wakeups) for name, work, how in singles),
        *(BatchWorker(station.db, name, work, how, wakeups=station.wakeups) for name, work, how in batches),
    ]


def _dialer(node: NodeSettings, desk: LinkDesk, link: LinkSettings) -> Dialer:
    return Dialer(desk, link.node, partial(channel_to, node.tls, link.address, node_dns_name(link.node)))


def _servicers(settings: RoutingSettings, station: Station, parts: _Parts) -> list[Servicer]:
    db, wakeups = station.db, station.wakeups
    submissions = SubmissionServicer(db, parts.intake, BulkDesk(parts.intake, station.new_id), wakeups)
    inbox = InboxServicer(db, parts.handling, wakeups, parts.grant_key, station.clock)
    links = LinkServicer(parts.desk, station.directory, frozenset(settings.peers))
    queues = QueueServicer(db, parts.desk.connected, parts.desk.pings)
    return [
        (submission_pb2_grpc.add_SubmissionServiceServicer_to_server, submissions),
        (inbox_pb2_grpc.add_InboxServiceServicer_to_server, inbox),
        (link_pb2_grpc.add_LinkServiceServicer_to_server, links),
        (queue_pb2_grpc.add_QueueServiceServicer_to_server, queues),
        (queue_pb2_grpc.add_EventServiceServicer_to_server, EventServicer(db, wakeups)),
    ]


async def build_process(settings: RoutingProcess) -> Sequence[App]:
    """Routing alone in a process."""
    database = await open_database(settings.routing.database, SystemClock(), application_name="routing")
    app = await build(settings.routing, node=settings, database=database)
    return [App(name="routing-database", close=[database.close]), app]
