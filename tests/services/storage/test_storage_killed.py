"""A storage process that is killed while bytes come, and what its successor makes of them."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from lienthong.errors import DomainError
from lienthong.storage.v1 import storage_pb2
from lienthong.types.v1 import grant_pb2

from services.storage.app import PACKAGE
from tests.services.storage.conftest import Mesh, digest_of, in_a_folder, until
from tests.services.storage.process import StorageProcess
from tests.services.storage.wire import Wire
from tests.support.memory import Peaks
from tests.support.postgres import Databases
from tests.support.serving import Pki

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")

STEP = 256 * 1024
DATA = random.Random(13).randbytes(8 * STEP)
SIZE = len(DATA)
SHA256 = digest_of(DATA)
HERE = 5 * STEP
MIB = 1024 * 1024

Starting = Callable[..., StorageProcess]


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest_asyncio.fixture
async def process(databases: Databases, pki: Pki, tmp_path: Path, stack: AsyncExitStack) -> StorageProcess:
    return StorageProcess(pki, "H01", tmp_path / "killed", await databases.create(PACKAGE), stack)


def announced(data: bytes = DATA, offset: int = 0) -> storage_pb2.UploadRequest:
    header = storage_pb2.UploadHeader(
        organization="G22", sha256=digest_of(data), size_bytes=len(data), offset=offset
    )
    return storage_pb2.UploadRequest(header=header)


def kept(process: StorageProcess) -> int:
    return sum(path.stat().st_size for path in (process.folder / "staging").iterdir())


async def test_a_killed_process_leaves_what_it_took(process: StorageProcess) -> None:
    await process.start()
    call = process.blobs().Upload()
    await call.write(announced())
    for at in range(0, HERE, STEP):
        await call.write(storage_pb2.UploadRequest(chunk=DATA[at : at + STEP]))
    await until(lambda: kept(process) == HERE)

    process.kill()
    with pytest.raises(DomainError):
        await call
    await process.start()

    question = storage_pb2.GetUploadRequest(organization="G22", sha256=SHA256, size_bytes=SIZE)
    assert (await process.blobs().GetUpload(question)).offset == HERE
    call = process.blobs().Upload()
    await call.write(announced(offset=HERE))
    for at in range(HERE, SIZE, STEP):
        await call.write(storage_pb2.UploadRequest(chunk=DATA[at : at + STEP]))
    await call.done_writing()
    assert (await call).sha256 == SHA256
    assert kept(process) == 0
    got = process.blobs().Download(storage_pb2.DownloadRequest(sha256=SHA256))
    assert b"".join([answer.chunk async for answer in got]) == DATA


@in_a_folder
async def test_a_pull_goes_on_in_the_next_process(mesh: Mesh, process: StorageProcess) -> None:
    parent = await mesh.start("G22")
    await parent.upload(DATA)
    wire = await Wire(parent.address, pause=0.02).open()
    process.settings = {"peers": {"G22": wire.address}}
    grant = mesh.grant(
        [SHA256],
        purpose=grant_pb2.GRANT_PURPOSE_PULL,
        signer="node/G22/routing",
        peer_node="H01",
        seconds=600,
    )
    order = storage_pb2.ReplicateRequest(
        peer_node="G22", direction=storage_pb2.REPLICATION_DIRECTION_PULL, digests=[SHA256], grant=grant
    )

    await process.start()
    cut = asyncio.create_task(_moved(process, order))
    await until(lambda: kept(process) >= SIZE // 2)
    process.kill()
    with pytest.raises(DomainError):
        await cut
    here = kept(process)
    await process.start()

    assert await _moved(process, order) == SIZE - here
    assert kept(process) == 0
    await wire.close()


async def _moved(process: StorageProcess, order: storage_pb2.ReplicateRequest) -> int:
    return (await process.replication().Replicate(order)).moved_bytes


async def test_memory_stays_flat_under_a_large_upload_and_its_resumption(process: StorageProcess) -> None:
    """300 MB of zeros: in the middle the stream breaks, and what is there is hashed again."""
    size, half = 300 * MIB, 150 * MIB
    zeros = bytes(STEP)
    digest = hashlib.sha256()
    for _ in range(size // STEP):
        digest.update(zeros)

    async def send(begin: int, end: int, sha256: bytes, length: int) -> storage_pb2.UploadResponse:
        async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
            header = storage_pb2.UploadHeader(
                organization="G22", sha256=sha256, size_bytes=length, offset=begin
            )
            yield storage_pb2.UploadRequest(header=header)
            for _ in range(begin, end, STEP):
                yield storage_pb2.UploadRequest(chunk=zeros)

        return await process.blobs().Upload(messages())

    await process.start()
    await send(0, 4 * MIB, digest_of(bytes(4 * MIB)), 4 * MIB)  # what is loaded once is loaded
    with Peaks({"storage": process.pid}, 0.05) as watched:
        before = watched.peaks["storage"]
        with pytest.raises(DomainError, match="SIZE_MISMATCH"):
            await send(0, half, digest.digest(), size)
        assert (await send(half, size, digest.digest(), size)).sha256 == digest.digest()

    assert watched.peaks["storage"] - before < 30 * MIB
