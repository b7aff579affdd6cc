"""Storage of one node or more, as callers see it: over mutual TLS, on real PostgreSQL, with real files and,
once more, with a real S3. A test that has nothing to do with where blobs live says `@in_a_folder`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
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
from lienthong.ids import new_id
from lienthong.settings import DatabaseSettings
from lienthong.storage.v1 import storage_pb2
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub, ReplicationServiceStub
from lienthong.times import to_timestamp
from lienthong.types.v1 import grant_pb2

from services.storage.app import PACKAGE, build
from services.storage.collector import Collector
from services.storage.settings import StorageSettings
from tests.services.storage.homes import BucketHome, FolderHome, Home
from tests.support.postgres import Databases
from tests.support.seaweed import Seaweed
from tests.support.serving import Pki, serving

if TYPE_CHECKING:  # the generated module has these classes only in its stubs
    from lienthong.storage.v1.storage_pb2_grpc import BlobServiceAsyncStub, ReplicationServiceAsyncStub

CLIENT = "org/G22/client/app"
ROUTING = "node/H01/routing"
in_a_folder = pytest.mark.parametrize("home", ["folder"], indirect=True)


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
    home: Home
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
        """The names of all that is here, blobs and leftovers."""
        staged = [path.name for path in (self.folder / "staging").iterdir()]
        return sorted(staged + self.home.names())

    def collector(self) -> Collector:
        """A second collector at the same blobs, for the test to run when it likes."""
        blobs = self.home.blobs()
        self.stack.push_async_callback(blobs.close)
        return Collector(self.database, blobs, self.clock, interval=60, orphan_interval=60, orphan_age=3600)


@dataclass
class Mesh:
    """Starts storages."""

    databases: Databases
    pki: Pki
    folder: Path
    clock: FakeClock
    stack: AsyncExitStack
    home_of: Callable[[str], Home]

    async def start(self, node: str, **settings: Any) -> StorageNode:
        url = await self.databases.create(PACKAGE)
        database = await Database.open(DatabaseSettings(url=url))
        self.stack.push_async_callback(database.close)
        settings.setdefault("free_floor_bytes", 0)
        settings.setdefault("collect_interval", 1e9)  # tests collect when they like
        # The node's own collector sleeps: it would take what a test is about to collect and count.
        asleep = {"collect_interval": 1e9, "orphan_interval": 1e9}
        home = self.home_of(node)
        section = StorageSettings(
            database=DatabaseSettings(url=url),
            folder=self.folder / node,
            **{**asleep, **home.settings, **settings},
        )
        process = self.pki.settings(node, "storage")
        app = await build(section, node=process, database=database, clock=self.clock)
        address = await self.stack.enter_async_context(serving([app], process))
        return StorageNode(
            node, section.folder, address, database, section, self.clock, self.pki, home, self.stack
        )

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


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed.start(tmp_path_factory.mktemp("seaweed") / "server")
    yield server
    server.stop()


@pytest.fixture(params=["folder", "bucket"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Home]:
    """Makes the home of a node's blobs; the server of buckets starts with the first test that needs it."""
    if request.param == "folder":
        return lambda node: FolderHome(tmp_path / node)
    server, test = request.getfixturevalue("seaweed"), new_id().hex
    return lambda node: BucketHome(server, f"{test}/{node}/")


@pytest_asyncio.fixture
async def mesh(
    databases: Databases, pki: Pki, tmp_path: Path, home: Callable[[str], Home]
) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        # Files carry the time of the machine, so the clock begins there.
        yield Mesh(databases, pki, tmp_path, FakeClock(datetime.now(UTC)), stack, home)


@pytest_asyncio.fixture
async def node(mesh: Mesh) -> StorageNode:
    return await mesh.start("H01", largest_blob_bytes=8 * 1024 * 1024)
