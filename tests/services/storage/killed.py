"""A process that is killed at the worst moment: `killed.py upload|collect URL FOLDER`.

upload   ends itself by SIGKILL when the file has its name and the row is not committed;
collect  when the file is removed and the row is not.
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
from lienthong.settings import DatabaseSettings

from services.storage.blobs import BlobFolder, Disk
from services.storage.collector import Collector
from services.storage.domain import Announced
from services.storage.intake import Intake, Limits

DATA = b"half way " * 1000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def replace_and_die(source: Path, target: Path) -> None:
    source.replace(target)
    die()


def unlink_and_die(path: Path) -> None:
    path.unlink()
    die()


async def main(act: str, url: str, folder: Path) -> None:
    database = await Database.open(DatabaseSettings(url=url))
    clock = SystemClock()
    if act == "upload":
        blobs = BlobFolder(folder, disk=Disk(replace=replace_and_die))
        limits = Limits(2**20, timedelta(hours=1), timedelta(hours=1))
        async with Intake(database, blobs, clock, limits).incoming(Announced()) as incoming:
            await incoming.write(DATA)
            await incoming.keep("G22")
    else:
        blobs = BlobFolder(folder, disk=Disk(unlink=unlink_and_die))
        # Hours ahead: what this collector may take, the one of the node that runs beside it may not yet.
        later = FakeClock(clock.now() + timedelta(hours=2))
        collector = Collector(database, blobs, later, interval=1, orphan_interval=1, orphan_age=1)
        await collector.collect()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
