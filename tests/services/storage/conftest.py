"""Storage of one node or more, as callers see it: over mutual TLS, on real PostgreSQL and real files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from lienthong.clock import FakeClock
from lienthong.db import Database
from lienthong.grant import sign_grant
from lienthong.settings import DatabaseSettings
from lienthong.storage.v1 import storage_pb2
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub, ReplicationServiceStub
from lienthong.times import to_timestamp
from lienthong.types.v1 import grant_pb2

from services.storage.app import PACKAGE, build
from services.storage.blobs import BlobFolder
from services.storage.collector import Collector
from services.storage.settings import StorageSettings
from tests.support.postgres import Databases
from tests.support.serving import Pki, serving

if TYPE_CHECKING:  # the generated module has these classes only in its stubs
    from lienthong.storage.v1.storage_pb2_grpc import BlobServiceAsyncStub, ReplicationServiceAsyncStub

CLIENT = "org/G22/client/app"
ROUTING = "node/H01/routing"


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what the other side of a call does after the call has ended."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class StorageNode:
    """A running storage and what a test may ask of it."""

    node: str
    folder: Path
    address: str
    database: Database
    settings: StorageSettings
    clock: FakeClock
    pki: Pki
    stack: AsyncExitStack
    _channels: dict[str, Any] = field(default_factory=dict)

    def _channel(self, who: str) -> Any:
        if who not in self._channels:
            self._channels[who] = self.pki.channel(who, self.node, self.address)
            self.stack.push_async_callback(self._channels[who].close)
        return self._channels[who]

    def blobs(self, who: str = CLIENT) -> BlobServiceAsyncStub:
        stub: BlobServiceAsyncStub = BlobServiceStub(self._channel(who))
        return stub

    def replication(self, who: str) -> ReplicationServiceAsyncStub:
        stub: ReplicationServiceAsyncStub = ReplicationServiceStub(self._channel(who))
        return stub

    @property
    def routing(self) -> str:
        return f"node/{self.node}/routing"

    async def upload(self, data: bytes, who: str = CLIENT, **header: Any) -> storage_pb2.UploadResponse:
        header.setdefault("organization", "G22")
        step = 256 * 1024

        async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
            yield storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(**header))
            for start in range(0, len(data), step):
                yield storage_pb2.UploadRequest(chunk=data[start : start + step])

        return await self.blobs(who).Upload(messages())

    async def download(self, sha256: bytes, who: str = CLIENT, **request: Any) -> bytes:
        call = self.blobs(who).Download(storage_pb2.DownloadRequest(sha256=sha256, **request))
        return b"".join([answer.chunk async for answer in call])

    async def hold(self, holder: str, *digests: bytes) -> list[bytes]:
        request = storage_pb2.PlaceHoldsRequest(holds=[storage_pb2.Hold(holder=holder, digests=digests)])
        return list((await self.blobs(self.routing).PlaceHolds(request)).missing)

    async def release(self, *holders: str) -> None:
        await self.blobs(self.routing).ReleaseHolds(storage_pb2.ReleaseHoldsRequest(holders=holders))

    async def replicate(
        self, peer: str, direction: Any, digests: list[bytes], grant: grant_pb2.SignedGrant
    ) -> int:
        request = storage_pb2.ReplicateRequest(
            peer_node=peer, direction=direction, digests=digests, grant=grant
        )
        return (await self.replication(self.routing).Replicate(request)).moved_bytes

    def files(self) -> list[str]:
        """Every file of the folder, blobs and leftovers."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    def collector(self) -> Collector:
        """A second collector at the same blobs, for the test to run when it likes."""
        blobs = BlobFolder(self.folder, threads=2)
        self.stack.callback(blobs.close)
        return Collector(self.database, blobs, self.clock, interval=60, orphan_interval=60, orphan_age=3600)


@dataclass
class Mesh:
    """Starts storages."""

    databases: Databases
    pki: Pki
    folder: Path
    clock: FakeClock
    stack: AsyncExitStack

    async def start(self, node: str, **settings: Any) -> StorageNode:
        url = await self.databases.create(PACKAGE)
        database = await Database.open(DatabaseSettings(url=url))
        self.stack.push_async_callback(database.close)
        settings.setdefault("free_floor_bytes", 0)
        settings.setdefault("collect_interval", 1e9)  # tests collect when they like
        # The node's own collector sleeps: it would take what a test is about to collect and count.
        asleep = {"collect_interval": 1e9, "orphan_interval": 1e9}
        section = StorageSettings(
            database=DatabaseSettings(url=url), folder=self.folder / node, **{**asleep, **settings}
        )
        process = self.pki.settings(node, "storage")
        app = await build(section, node=process, database=database, clock=self.clock)
        address = await self.stack.enter_async_context(serving([app], process))
        return StorageNode(node, section.folder, address, database, section, self.clock, self.pki, self.stack)

    def grant(
        self,
        digests: list[bytes],
        *,
        purpose: grant_pb2.GrantPurpose.ValueType = grant_pb2.GRANT_PURPOSE_DOWNLOAD,
        signer: str = ROUTING,
        seconds: float = 60,
        **who: str,
    ) -> grant_pb2.SignedGrant:
        payload = grant_pb2.GrantPayload(
            purpose=purpose,
            digests=digests,
            expire_time=to_timestamp(self.clock.now() + timedelta(seconds=seconds)),
            **who,
        )
        return sign_grant(payload, self.pki.key(signer))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("pki"))


@pytest_asyncio.fixture
async def mesh(databases: Databases, pki: Pki, tmp_path: Path) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        # Files carry the time of the machine, so the clock begins there.
        yield Mesh(databases, pki, tmp_path, FakeClock(datetime.now(UTC)), stack)


@pytest_asyncio.fixture
async def node(mesh: Mesh) -> StorageNode:
    return await mesh.start("H01", largest_blob_bytes=8 * 1024 * 1024)
