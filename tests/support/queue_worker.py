"""A worker process for tests to kill: `python -m tests.support.queue_worker URL`.

It claims with a lease of one second, says the id, and then never ends its work.
"""

from __future__ import annotations

import asyncio
import sys

from lienthong.db import Database
from lienthong.queue import Claim, Worker, WorkerPolicy
from lienthong.settings import DatabaseSettings


async def _work_for_ever(claim: Claim) -> None:
    sys.stdout.write(f"{claim.id}\n")
    sys.stdout.flush()
    await asyncio.sleep(600)


async def _main(url: str) -> None:
    db = await Database.open(DatabaseSettings(url=url, pool_size=2))
    await Worker(db, "forward", _work_for_ever, WorkerPolicy(lease_seconds=1.0)).run()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
