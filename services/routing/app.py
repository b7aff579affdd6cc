"""Puts routing together: the only place that constructs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from lienthong.app import App
from lienthong.backoff import Backoff
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.ids import IdFactory, new_id
from lienthong.migrations import require_head
from lienthong.pki.keys import load_signing_key
from lienthong.pki.trust import TrustStore
from lienthong.queue import BatchWorker, Claim, NotifyBridge, Wakeups, Worker, WorkerPolicy
from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceStub
from lienthong.registry.v1.register_pb2_grpc import RegisterServiceStub
from lienthong.routing.v1 import inbox_pb2_grpc, link_pb2_grpc, queue_pb2_grpc, submission_pb2_grpc
from lienthong.rpc.client import Channels, channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import NodeSettings
from lienthong.signing.v1.signing_pb2_grpc import SigningServiceStub, ValidationServiceStub
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub, ReplicationServiceStub

from services.routing.arrival import Arrival
from services.routing.attachments import Attachments
from services.routing.custody import Custody
from services.routing.directory import Directory
from services.routing.dispatch import Dispatch
from services.routing.handling import HANDLING, HandlingDesk
from services.routing.intake import Intake
from services.routing.judgement import Judgement
from services.routing.link import LinkDesk
from services.routing.link_service import Dialer, LinkServicer
from services.routing.receipts import ReceiptBook, ReceiptMaker
from services.routing.seals import Seals
from services.routing.service import EventServicer, InboxServicer, QueueServicer, SubmissionServicer
from services.routing.settings import RoutingProcess, RoutingSettings
from services.routing.submission import (
    ISSUE,
    SUBMISSION,
    VOID,
    Checkpoint,
    SubmissionWorkflow,
    no_checkpoint,
)
from services.routing.transfer_store import ARRIVAL, REJECTION, RELEASE

PACKAGE: Final = "services.routing"
# Work for other services of the node: they are down for seconds, not for hours.
_NEAR: Final = Backoff(initial=0.5, cap=30.0)


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
    trust = TrustStore.load(settings.document_roots, settings.document_intermediates)
    # The key of this service's own TLS certificate: what grants are signed with (libs: grant.py).
    grant_key = load_signing_key(node.tls.key, node.tls.certificate)
    signing = channels.stub(SigningServiceStub, "signing")
    registers = channels.stub(RegisterServiceStub, "registry")
    replication = channels.stub(ReplicationServiceStub, "storage")
    wakeups = Wakeups()
    directory = Directory(channels.stub(DirectoryServiceStub, "registry"), node.node, clock)
    attachments = Attachments(
        channels.stub(BlobServiceStub, "storage"), signing, channels.stub(ValidationServiceStub, "signing")
    )
    seals = Seals(signing, trust, clock)
    dispatch = Dispatch(node.node, directory, wakeups, ids)
    maker = ReceiptMaker(node.node, seals, dispatch, clock, ids)
    book = ReceiptBook(directory, wakeups, clock, ids)
    workflow = SubmissionWorkflow(
        node.node,
        database,
        registers,
        attachments,
        seals,
        dispatch,
        wakeups,
        clock,
        ids,
        checkpoint,
    )
    arrival = Arrival(
        node.node,
        database,
        directory,
        attachments,
        dispatch,
        maker,
        book,
        wakeups,
        clock,
        ids,
        checkpoint,
    )
    handling = HandlingDesk(database, registers, dispatch, maker, wakeups, clock, ids, checkpoint)
    custody = Custody(node.node, database, seals, attachments, replication, dispatch, grant_key, clock)
    desk = LinkDesk(
        node.node,
        str(ids()),
        database,
        wakeups,
        custody,
        replication,
        clock,
        connected=set(),
        lease_seconds=settings.lease_seconds,
    )
    judgement = Judgement(directory, attachments, clock, settings.max_attachment_bytes)
    intake = Intake(database, judgement, attachments, wakeups, clock, ids)

    async def release(claim: Claim) -> None:
        await attachments.release([f"envelope/{UUID(bytes=claim.payload)}"])

    def worker(
        queue_name: str,
        work: Callable[[Claim], Awaitable[None]],
        concurrency: int,
        *,
        completes: bool = False,
    ) -> Worker:
        policy = WorkerPolicy(
            concurrency=concurrency,
            lease_seconds=settings.lease_seconds,
            backoff=_NEAR,
            completes=completes,
        )
        return Worker(database, queue_name, work, policy, wakeups=wakeups)

    arrivals = BatchWorker(
        database,
        ARRIVAL,
        arrival.work,
        WorkerPolicy(
            concurrency=settings.arrivals,
            batch_size=settings.arrival_batch,
            lease_seconds=settings.lease_seconds,
            backoff=_NEAR,
            completes=True,
        ),
        wakeups=wakeups,
    )
    workers = [
        worker(SUBMISSION, workflow.advance, settings.submissions),
        worker(ISSUE, workflow.mark_register, 4),
        worker(VOID, workflow.void_register, 2),
        worker(REJECTION, arrival.reject, 2, completes=True),
        worker(RELEASE, release, 2),
        worker(HANDLING, handling.work, 8, completes=True),
        arrivals,
    ]
    dialers = [
        Dialer(desk, link.node, partial(channel_to, node.tls, link.address, node_dns_name(link.node)))
        for link in settings.links
    ]
    return App(
        name="routing",
        servicers=[
            (
                submission_pb2_grpc.add_SubmissionServiceServicer_to_server,
                SubmissionServicer(database, intake, wakeups),
            ),
            (
                inbox_pb2_grpc.add_InboxServiceServicer_to_server,
                InboxServicer(database, handling, wakeups, grant_key, clock),
            ),
            (
                link_pb2_grpc.add_LinkServiceServicer_to_server,
                LinkServicer(desk, directory, frozenset(settings.peers)),
            ),
            (queue_pb2_grpc.add_QueueServiceServicer_to_server, QueueServicer(database, desk.connected)),
            (queue_pb2_grpc.add_EventServiceServicer_to_server, EventServicer(database, wakeups)),
        ],
        background=[*(w.run for w in workers), *dialers, NotifyBridge(database, wakeups).run],
        checks={"database": database.check_ready},
        close=[channels.close],
    )


async def build_process(settings: RoutingProcess) -> Sequence[App]:
    """Routing alone in a process."""
    database = await Database.open(settings.routing.database, application_name="routing")
    app = await build(settings.routing, node=settings, database=database)
    return [App(name="routing-database", close=[database.close]), app]
