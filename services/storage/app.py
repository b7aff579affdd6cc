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
from lienthong.rpc.streams import Gate
from lienthong.settings import NodeSettings
from lienthong.storage.v1 import storage_pb2_grpc

from services.storage.blobs import BlobFolder
from services.storage.collector import Collector
from services.storage.grants import GrantDesk
from services.storage.intake import Intake, Limits
from services.storage.replication import ReplicationService
from services.storage.replicator import Peers, Replicator
from services.storage.service import BlobService, Gates
from services.storage.settings import StorageProcess, StorageSettings
from services.storage.shelf import Shelf

PACKAGE = "services.storage"
# How long a caller waits for a place, in seconds.
_BUSY_PATIENCE: Final = 5.0


def _gate(places: int) -> Gate:
    return Gate(places, _BUSY_PATIENCE, "STORAGE_BUSY")


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
    blobs = BlobFolder(settings.folder, floor=settings.free_floor_bytes)
    await blobs.sweep_staging(clock.now().timestamp(), settings.stale_seconds)
    trust = trust or TrustStore.load(node.tls.roots)
    grants = GrantDesk(trust, clock, node.node, node.trust_domain)
    limits = Limits(settings.largest_blob_bytes, settings.grace, settings.upload_grant)
    intake = Intake(database, blobs, clock, limits)
    gates = Gates(*(_gate(n) for n in (settings.uploads, settings.downloads, settings.link_streams)))
    shelf = Shelf(database, blobs, intake)
    peers = Peers(node.tls, dict(settings.peers))
    # A gate of its own for what we dial: two nodes that fetch from each other must not wait in a circle.
    dialled = _gate(settings.link_streams)
    replicator = Replicator(shelf, peers, dialled, clock, rng or random.Random(), settings.patience)  # noqa: S311
    service = BlobService(database, blobs, intake, grants, gates, clock, settings.patience)
    replication = ReplicationService(shelf, replicator, grants, gates.links, settings.patience)
    collector = Collector(
        database,
        blobs,
        clock,
        interval=settings.collect_interval,
        orphan_interval=settings.orphan_interval,
        orphan_age=settings.stale_seconds,
    )

    async def close_blobs() -> None:
        blobs.close()

    return App(
        name="storage",
        servicers=[
            (storage_pb2_grpc.add_BlobServiceServicer_to_server, service),
            (storage_pb2_grpc.add_ReplicationServiceServicer_to_server, replication),
        ],
        background=[collector.run],
        checks={"database": database.check_ready, "folder": blobs.check_ready},
        close=[close_blobs, peers.close],
    )


async def build_process(settings: StorageProcess) -> Sequence[App]:
    """Storage alone in a process."""
    database = await Database.open(settings.storage.database, application_name="storage")
    app = await build(settings.storage, node=settings, database=database)
    owner = App(name="storage-database", close=[database.close])
    return [owner, app]
