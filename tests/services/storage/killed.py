"""A process that is killed at the worst moment: `killed.py upload|collect SETTINGS` (JSON).

upload   ends itself by SIGKILL when the blob has its name and the row is not committed;
collect  when the blob is removed and the row is not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from lienthong.clock import FakeClock, SystemClock
from lienthong.db import Database

from services.storage.blobs import BlobFolder, Blobs
from services.storage.bucket import Bucket
from services.storage.collector import Collector
from services.storage.disk import Disk
from services.storage.domain import Announced, Content
from services.storage.intake import Intake, Limits
from services.storage.settings import StorageSettings
from services.storage.staging import Staging

DATA = b"half way " * 1000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def replace_and_die(source: Path, target: Path) -> None:
    source.replace(target)
    die()


def unlink_and_die(path: Path) -> None:
    path.unlink()
    die()


class DyingBucket(Bucket):
    """Dies when the bucket has done what it was asked."""

    async def publish(self, staged: Path, content: Content) -> None:
        await super().publish(staged, content)
        die()

    async def delete(self, sha256: bytes) -> None:
        await super().delete(sha256)
        die()


def dying(settings: StorageSettings) -> Blobs:
    if settings.bucket:
        return DyingBucket.open(settings.bucket)
    return BlobFolder(settings.folder, disk=Disk(replace=replace_and_die, unlink=unlink_and_die))


async def main(act: str, settings: StorageSettings) -> None:
    database = await Database.open(settings.database)
    clock = SystemClock()
    blobs = dying(settings)
    if act == "upload":
        limits = Limits(2**20, timedelta(hours=1), timedelta(hours=1))
        staging = Staging(settings.folder / "staging")
        async with Intake(database, staging, blobs, clock, limits).incoming(Announced()) as incoming:
            await incoming.write(DATA)
            await incoming.keep("G22")
    else:
        # Hours ahead: what this collector may take, the one of the node that runs beside it may not yet.
        later = FakeClock(clock.now() + timedelta(hours=2))
        collector = Collector(database, blobs, later, interval=1, orphan_interval=1, orphan_age=1)
        await collector.collect()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], StorageSettings.model_validate_json(sys.argv[2])))
