"""Prints by how much a process grows that serves, sends and fetches 64 MB: `flat.py SETTINGS FOLDER`."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from lienthong.db import Database
from lienthong.storage.v1 import storage_pb2
from lienthong.storage.v1.storage_pb2_grpc import BlobServiceStub

from services.storage.app import build
from services.storage.settings import StorageSettings
from tests.support.serving import Pki, serving

CHUNK = 256 * 1024


async def carry(stub: BlobServiceStub, megabytes: int) -> None:
    async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
        yield storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(organization="G22"))
        for number in range(megabytes * 4):
            yield storage_pb2.UploadRequest(chunk=number.to_bytes(4, "big") * (CHUNK // 4))

    stored = await stub.Upload(messages())  # type: ignore[arg-type,misc]
    assert stored.size_bytes == megabytes * 2**20
    received = 0
    async for answer in stub.Download(storage_pb2.DownloadRequest(sha256=stored.sha256)):  # type: ignore[attr-defined]
        received += len(answer.chunk)
    assert received == stored.size_bytes


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main(settings: StorageSettings, folder: Path) -> None:
    database = await Database.open(settings.database)
    pki = Pki.create(folder / "pki")
    process = pki.settings("H01", "storage")
    async with serving([await build(settings, node=process, database=database)], process) as address:
        channel = pki.channel("org/G22/client/app", "H01", address)
        stub = BlobServiceStub(channel)
        await carry(stub, 4)  # what is loaded once is loaded
        before = peak()
        await carry(stub, 64)
        print(peak() - before)
        await channel.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(StorageSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2])))
