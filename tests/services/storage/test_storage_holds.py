"""Holds against collection, crashes in between, and the order that makes bytes durable."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from lienthong.clock import SystemClock
from lienthong.db import Database
from lienthong.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from lienthong.settings import DatabaseSettings
from lienthong.storage.v1 import storage_pb2

from services.storage import store
from services.storage.app import PACKAGE
from services.storage.blobs import BlobFolder
from services.storage.disk import Disk
from services.storage.domain import Announced, Hold
from services.storage.intake import Intake, Limits
from services.storage.settings import StorageSettings
from services.storage.staging import Staging
from tests.services.storage import killed
from tests.services.storage.conftest import Mesh, StorageNode, digest_of, in_a_folder
from tests.services.storage.homes import Home
from tests.support.postgres import Databases

ROOT = Path(__file__).parents[3]


def past_everything(node: StorageNode) -> None:
    """Grace and upload grants are over."""
    node.clock.advance(max(node.settings.grace, node.settings.upload_grant))


async def test_nobody_needs_it_and_it_goes(node: StorageNode) -> None:
    sha256 = (await node.upload(b"forgotten")).sha256
    collector = node.collector()

    assert await collector.collect() == 0  # within its grace
    past_everything(node)
    assert await collector.collect() == 1

    assert node.files() == []
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        await node.download(sha256, node.routing)


async def test_a_hold_keeps_until_released(node: StorageNode) -> None:
    sha256 = (await node.upload(b"kept")).sha256
    assert await node.hold("transfer/1", sha256, sha256) == []
    assert await node.hold("delivery/1", sha256) == []
    assert await node.hold("delivery/1", sha256) == []
    past_everything(node)
    collector = node.collector()

    await node.release("transfer/1", "transfer/unknown")
    assert await collector.collect() == 0
    assert await node.download(sha256, node.routing) == b"kept"

    await node.release("delivery/1")
    await node.release("delivery/1")
    assert await collector.collect() == 1


@in_a_folder
async def test_a_live_upload_grant_keeps(mesh: Mesh) -> None:
    node = await mesh.start("H01", grace=timedelta(seconds=1), upload_grant=timedelta(hours=1))
    await node.upload(b"soon submitted")
    mesh.clock.advance(60)

    assert await node.collector().collect() == 0


async def test_what_is_missing_is_named_and_nothing_is_held_for_it(node: StorageNode) -> None:
    sha256 = (await node.upload(b"here")).sha256

    assert await node.hold("transfer/1", bytes(32), sha256, digest_of(b"x")) == sorted(
        [bytes(32), digest_of(b"x")]
    )
    rows = await node.database.fetch("SELECT sha256, holder FROM hold")
    assert [tuple(row) for row in rows] == [(sha256, "transfer/1")]


@in_a_folder
async def test_malformed_holds_are_refused(node: StorageNode) -> None:
    with pytest.raises(InvalidArgument, match="HOLDER_MALFORMED"):
        await node.hold("", bytes(32))
    with pytest.raises(InvalidArgument, match="DIGEST_MALFORMED"):
        await node.hold("transfer/1", b"short")
    with pytest.raises(InvalidArgument, match="HOLDER_MALFORMED"):
        await node.release("")
    with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
        await node.blobs().PlaceHolds(storage_pb2.PlaceHoldsRequest())


async def test_held_or_missing_never_held_and_gone(node: StorageNode) -> None:
    chance = random.Random(11)
    digests = [(await node.upload(f"raced {number}".encode())).sha256 for number in range(120)]
    past_everything(node)
    collector = node.collector()

    async def hold(number: int) -> list[bytes]:
        await asyncio.sleep(chance.random() * 0.3)
        return await node.hold(f"transfer/{number}", *digests[number * 4 : number * 4 + 4])

    async def collect() -> int:
        await asyncio.sleep(chance.random() * 0.3)
        return await collector.collect()

    answers = await asyncio.gather(*(hold(number) for number in range(30)), *(collect() for _ in range(6)))
    await collector.collect()

    missing = {digest for answer in answers[:30] if isinstance(answer, list) for digest in answer}
    assert 0 < len(missing) < len(digests), "a race that one side always wins shows nothing"
    assert set(node.files()) == {digest.hex() for digest in digests if digest not in missing}
    for digest in set(digests) - missing:
        assert (await node.download(digest, node.routing)).startswith(b"raced")


async def test_a_hold_that_commits_while_the_collector_looks_is_seen(node: StorageNode) -> None:
    sha256 = (await node.upload(b"in the gap")).sha256
    past_everything(node)
    placed = asyncio.Event()

    async def collect() -> int:
        await placed.wait()
        return await node.collector().collect()

    # Begun outside of the transaction: on a connection of its own it must neither wait nor decide.
    other = asyncio.create_task(collect())
    async with node.database.transaction() as tx:
        await store.place_holds(tx, [Hold("transfer/1", (sha256,))])
        placed.set()
        assert await other == 0
    assert await node.collector().collect() == 0
    assert await node.download(sha256, node.routing) == b"in the gap"


@in_a_folder
async def test_a_hold_between_looking_and_locking_is_seen(node: StorageNode) -> None:
    """So many rows that the collector is still locking the last ones when they are held: the statement
    that chose them cannot see those holds, only a second one can."""
    await node.database.execute(
        "INSERT INTO blob SELECT sha256(n::text::bytea), 1, now(), now() + n * interval '1 microsecond'"
        " FROM generate_series(1, 30000) AS n"
    )
    past_everything(node)
    late = await node.database.fetch("SELECT sha256 FROM blob ORDER BY grace_until DESC LIMIT 900")
    digests = [row["sha256"] for row in late]
    done = asyncio.Event()

    async def mark() -> None:
        async with node.database.transaction() as tx:
            await store.mark(tx, node.clock.now(), 30_000)
        done.set()

    async def hold(digest: bytes) -> None:
        async with node.database.transaction() as tx:
            await store.place_holds(tx, [Hold("transfer/1", (digest,))])

    async def hold_many(mine: list[bytes]) -> None:
        for digest in mine:
            if done.is_set():
                return
            await hold(digest)

    await asyncio.gather(mark(), *(hold_many(digests[place::5]) for place in range(5)))

    held = await node.database.fetchval("SELECT count(*) FROM hold")
    lies = await node.database.fetchval(
        "SELECT count(*) FROM hold JOIN blob USING (sha256) WHERE collecting_since IS NOT NULL"
    )
    assert (held > 0, lies) == (True, 0)


async def test_an_upload_takes_back_what_was_marked(node: StorageNode) -> None:
    sha256 = (await node.upload(b"back again")).sha256
    past_everything(node)
    async with node.database.transaction() as tx:
        assert await store.mark(tx, node.clock.now(), 10) == 1
    assert await node.hold("transfer/1", sha256) == [sha256]  # decided: missing for everybody

    await node.upload(b"back again")

    assert await node.collector().collect() == 0
    assert await node.hold("transfer/1", sha256) == []
    assert await node.download(sha256) == b"back again"


async def test_uploads_win_against_a_busy_collector(node: StorageNode) -> None:
    collector = node.collector()
    for number in range(25):
        data = f"again and again {number % 3}".encode()
        past_everything(node)
        stored, _ = await asyncio.gather(node.upload(data), collector.collect())
        assert await node.download(stored.sha256) == data


@pytest.mark.parametrize("act", ["upload", "collect"])
async def test_killed_between_file_and_row_nothing_lies(mesh: Mesh, act: str) -> None:
    node = await mesh.start("H01", grace=timedelta(hours=1), upload_grant=timedelta(hours=1))
    sha256 = digest_of(killed.DATA)
    if act == "collect":
        await node.upload(killed.DATA)

    await asyncio.to_thread(_killed, act, node)

    there = [sha256.hex()] if act == "upload" else []
    assert node.home.names() == there
    assert await node.hold("transfer/1", sha256) == [sha256]  # no lie
    collector = node.collector()
    mesh.clock.advance(7200)
    assert await collector.adopt_orphans() == len(there)
    assert await collector.collect() == 1
    assert node.home.names() == []
    assert await node.database.fetchval("SELECT count(*) FROM blob") == 0
    await node.upload(killed.DATA)
    assert await node.hold("transfer/1", sha256) == []


def _killed(act: str, node: StorageNode) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.services.storage.killed", act, node.settings.model_dump_json()],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL


class WatchedDisk:
    """The real calls, written down; one of them may fail."""

    def __init__(self, root: Path, failing: str = "") -> None:
        self.root, self.failing, self.calls = root, failing, list[str]()
        self.disk = Disk(fsync=self.fsync, replace=self.replace)

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self._note(f"fsync {self._name(path)}", lambda: os.fsync(descriptor))

    def replace(self, source: Path, target: Path) -> None:
        self._note(f"name {self._name(target)}", lambda: Disk().replace(source, target))

    def _name(self, path: Path) -> str:
        if path.parent.name == "staging":
            return "file"
        return str(path.relative_to(self.root)) if path != self.root else "root"

    def _note(self, call: str, do: Callable[[], None]) -> None:
        self.calls.append(call)
        if call == self.failing:
            raise OSError(errno.EIO, "the disk fails")
        do()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads descriptors from /proc")
async def test_file_name_and_folders_are_durable_before_the_row(databases: Databases, tmp_path: Path) -> None:
    name = digest_of(b"durable").hex()
    order = [
        "fsync file",
        "fsync root",
        f"fsync {name[:2]}",
        f"name {name[:2]}/{name[2:4]}/{name}",
        f"fsync {name[:2]}/{name[2:4]}",
    ]
    database = await databases.open(PACKAGE)
    try:
        for failing in order:
            watched = WatchedDisk(tmp_path / failing.replace("/", "-"), failing)
            with pytest.raises(OSError, match="the disk fails"):
                await _keep(database, watched)
            assert watched.calls == order[: order.index(failing) + 1]
            assert await database.fetchval("SELECT count(*) FROM blob") == 0, f"a row in spite of: {failing}"
        watched = WatchedDisk(tmp_path / "well")
        await _keep(database, watched)
        assert watched.calls == order
        assert await database.fetchval("SELECT count(*) FROM blob") == 1
    finally:
        await database.close()


async def test_a_disk_that_fills_up_meanwhile_is_told(databases: Databases, tmp_path: Path) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    watched = WatchedDisk(tmp_path / "full")
    watched.disk = Disk(fsync=full)
    database = await databases.open(PACKAGE)
    try:
        with pytest.raises(ResourceExhausted, match="STORAGE_FULL"):
            await _keep(database, watched)
    finally:
        await database.close()
    assert not list((tmp_path / "full" / "staging").iterdir())


async def _keep(database: Database, watched: WatchedDisk) -> None:
    staging = Staging(watched.root / "staging", disk=watched.disk)
    blobs = BlobFolder(watched.root, disk=watched.disk)
    limits = Limits(2**20, timedelta(hours=1), timedelta(hours=1))
    try:
        async with Intake(database, staging, blobs, SystemClock(), limits).incoming(Announced()) as incoming:
            await incoming.write(b"durable")
            await incoming.keep("G22")
    finally:
        await staging.close()
        await blobs.close()


async def test_memory_does_not_grow_with_a_file(
    databases: Databases, tmp_path: Path, home: Callable[[str], Home]
) -> None:
    own = home("H01").settings
    settings = StorageSettings(
        database=DatabaseSettings(url=await databases.create(PACKAGE)),
        folder=tmp_path / "H01",
        free_floor_bytes=0,
        **own,
    )
    command = [sys.executable, "-m", "tests.services.storage.flat", settings.model_dump_json(), str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()

    assert process.returncode == 0
    # To a bucket go parts of 8 MiB, two on their way and one being filled.
    assert int(output.split()[-1]) < (48 if own else 24) * 2**20
