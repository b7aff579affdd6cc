"""Puts storage together: the only place that constructs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from lienthong.app import App
from lienthong.clock import Clock, SystemClock
from lienthong.db import Database
from lienthong.migrations import require_head
from lienthong.pki.trust import TrustStore
from lienthong.preflight import check_folder, open_database
from lienthong.rpc.streams import Gate
from lienthong.settings import NodeSettings
from lienthong.storage.v1 import storage_pb2_grpc

from services.storage.blobs import BlobFolder, Blobs
from services.storage.collector import Collector, Sweeper
from services.storage.grants import GrantDesk
from services.storage.intake import Intake, Limits
from services.storage.replication import ReplicationService
from services.storage.replicator import Peers, Replicator
from services.storage.service import BlobService, Gates
from services.storage.settings import StorageProcess, StorageSettings
from services.storage.shelf import Shelf
from services.storage.staging import Staging
from services.storage.verify import Verifier

PACKAGE = "services.storage"
# How long a caller waits for a place, in seconds.
_BUSY_PATIENCE: Final = 5.0


def _gate(places: int) -> Gate:
    return Gate(places, _BUSY_PATIENCE, "STORAGE_BUSY")


def _blobs(settings: StorageSettings) -> Blobs:
    if settings.bucket is None:
        return BlobFolder(settings.folder)
    # Here, not above: a node with a folder need not load the client of object stores at each start.
    from services.storage.bucket import Bucket

    return Bucket.open(settings.bucket)


async def build(
    settings: StorageSettings,
    *,
    node: NodeSettings,
    database: Database,
    clock: Clock | None = None,
    trust: TrustStore | None = None,
    rng: random.Random | None = None,
) -> App:
    """Storage of one node. The caller owns the database."""
    clock = clock or SystemClock()
    await require_head(database, PACKAGE)
    # With no room asked for: a full node still gives out what it has, and says itself that it is full.
    check_folder(settings.folder, "storage.folder", room=0)
    staging = Staging(settings.folder / "staging", floor=settings.free_floor_bytes)
    blobs = _blobs(settings)
    sweeper = Sweeper(
        staging, clock, settings.collect_interval, settings.stale_seconds, settings.partial_seconds
    )
    await sweeper.sweep()
    trust = trust or TrustStore.load(node.tls.roots)
    grants = GrantDesk(trust, clock, node.node, node.trust_domain)
    limits = Limits(settings.largest_blob_bytes, settings.grace, settings.upload_grant)
    intake = Intake(database, staging, blobs, clock, limits)
    gates = Gates(*(_gate(n) for n in (settings.uploads, settings.downloads, settings.link_streams)))
    shelf = Shelf(database, blobs, intake)
    peers = Peers(node.tls, dict(settings.peers))
    # A gate of its own for what we dial: two nodes that fetch from each other must not wait in a circle.
    dialled = _gate(settings.link_streams)
    replicator = Replicator(shelf, peers, dialled, clock, rng or random.Random(), settings.patience)  # noqa: S311
    # One at a time: a deep look reads everything, and leaves the disk to those who work.
    verifier = Verifier(database, blobs, clock, settings.stale_seconds, _gate(1))
    service = BlobService(database, blobs, intake, grants, gates, verifier, clock, settings.patience)
    replication = ReplicationService(shelf, replicator, grants, gates.links, settings.patience)
    collector = Collector(
        database,
        blobs,
        clock,
        interval=settings.collect_interval,
        orphan_interval=settings.orphan_interval,
        orphan_age=settings.stale_seconds,
    )

    return App(
        name="storage",
        servicers=[
            (storage_pb2_grpc.add_BlobServiceServicer_to_server, service),
            (storage_pb2_grpc.add_ReplicationServiceServicer_to_server, replication),
        ],
        background=[collector.run, sweeper.run],
        checks={"database": database.check_ready, "folder": staging.check_ready, "blobs": blobs.check_ready},
        close=[blobs.close, staging.close, peers.close],
    )


async def build_process(settings: StorageProcess) -> Sequence[App]:
    """Storage alone in a process."""
    check_folder(settings.storage.folder, "storage.folder", room=settings.storage.free_floor_bytes)
    database = await open_database(settings.storage.database, SystemClock(), application_name="storage")
    app = await build(settings.storage, node=settings, database=database)
    owner = App(name="storage-database", close=[database.close])
    return [owner, app]
