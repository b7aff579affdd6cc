"""VerifyBlobs: what is recorded against what is there, on a folder and on a bucket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from lienthong.client.connection import Connection
from lienthong.client.operator import Operator
from lienthong.clock import FakeClock
from lienthong.errors import PermissionDenied, Unavailable
from lienthong.pki.trust import TrustStore
from lienthong.rpc.streams import Gate
from lienthong.storage.v1 import storage_pb2

from services.storage.blobs import BlobFolder
from services.storage.domain import Entry, Fault, Finding, Progress, Summary
from services.storage.verify import Part, Verifier
from tests.services.storage.conftest import CLIENT, Mesh, StorageNode, digest_of, in_a_folder

OPERATOR = "operator/an"
MISSING = storage_pb2.BLOB_FAULT_MISSING
SIZE = storage_pb2.BLOB_FAULT_SIZE
DIGEST = storage_pb2.BLOB_FAULT_DIGEST
UNRECORDED = storage_pb2.BLOB_FAULT_UNRECORDED


async def verify(
    node: StorageNode, *, deep: bool = False, who: str = OPERATOR
) -> tuple[list[tuple[bytes, int, int, int, int]], storage_pb2.VerifyBlobsSummary]:
    """The findings as tuples, and the summary, which must be the last message."""
    call = node.blobs(who).VerifyBlobs(storage_pb2.VerifyBlobsRequest(deep=deep))
    parts = [part async for part in call]
    assert [part.WhichOneof("part") for part in parts].index("summary") == len(parts) - 1
    found = [part.finding for part in parts if part.HasField("finding")]
    return (
        [(f.sha256, f.fault, f.size_bytes, f.found_bytes, f.holds) for f in found],
        parts[-1].summary,
    )


async def test_every_kind_of_difference_is_found_and_nothing_is_mended(node: StorageNode) -> None:
    well, lost, cut, flipped = [
        (await node.upload(data)).sha256 for data in (b"well", b"lost", b"cut off", b"flipped" * 100_000)
    ]
    await node.hold("transfer/1", lost, cut)
    await node.hold("transfer/2", lost)
    stray = digest_of(b"stray")
    node.home.remove(lost)
    node.home.write(cut, b"cut")
    node.home.write(flipped, b"flipped" * 99_999 + b"flippeD")
    node.home.write(stray, b"stray")
    node.clock.advance(2 * node.settings.stale_seconds)
    shallow = {
        (lost, MISSING, 4, 0, 2),
        (cut, SIZE, 7, 3, 1),
        (stray, UNRECORDED, 0, 5, 0),
    }

    found, summary = await verify(node)

    assert set(found) == shallow
    assert [each[0] for each in found] == sorted(each[0] for each in found)
    assert (summary.recorded, summary.recorded_bytes, summary.findings) == (4, 700_015, 3)
    found, summary = await verify(node, deep=True)
    assert set(found) == {*shallow, (flipped, DIGEST, 700_000, 700_000, 0)}
    assert summary.findings == 4
    assert set(node.files()) == {each.hex() for each in (well, cut, flipped, stray)}
    assert await node.download(well) == b"well"


async def test_what_is_on_its_way_in_or_out_is_no_finding(node: StorageNode) -> None:
    coming = b"an upload that has not committed"
    node.home.write(digest_of(coming), coming)
    await node.upload(b"decided")
    gone = (await node.upload(b"removed, the row is not")).sha256
    await node.database.execute("UPDATE blob SET collecting_since = now()")
    node.home.remove(gone)

    found, summary = await verify(node, deep=True)

    assert found == []
    assert (summary.recorded, summary.recorded_bytes) == (0, 0)


async def test_a_healthy_store_under_work_has_no_findings(mesh: Mesh) -> None:
    # Nothing is kept longer than it is held, so the collector has as much to do as the uploads.
    node = await mesh.start("H01", grace=timedelta(0), upload_grant=timedelta(0))
    for number in range(30):
        stays = (await node.upload(f"stays {number}".encode() * 100)).sha256
        await node.hold("delivery/1", stays)
    done, numbers = asyncio.Event(), itertools.count()

    async def upload() -> None:
        while not done.is_set():
            await node.upload(f"{next(numbers) % 10} comes and goes".encode() * 100)

    async def collect() -> int:
        collector, removed = node.collector(), 0
        while not done.is_set():
            removed += await collector.collect()
        return removed

    async def look() -> list[tuple[bytes, int, int, int, int]]:
        try:
            return [each for round_ in range(10) for each in (await verify(node, deep=round_ % 2 == 1))[0]]
        finally:
            done.set()

    found, collected, *_ = await asyncio.gather(look(), collect(), upload(), upload())

    assert collected > 10, "a race that nobody ran shows nothing"
    assert found == []


async def test_bytes_without_a_row_are_told_by_age_on_the_clock_of_the_node(node: StorageNode) -> None:
    stray = digest_of(b"stray")
    node.home.write(stray, b"stray")

    assert (await verify(node))[0] == []
    node.clock.advance(node.settings.stale_seconds + 5)
    assert (await verify(node))[0] == [(stray, UNRECORDED, 0, 5, 0)]

    collector = node.collector()
    assert await collector.adopt_orphans() == 1
    assert (await verify(node))[0] == []  # the collector has it now
    async with asyncio.timeout(5):
        while node.home.names():
            await collector.collect()
    assert (await verify(node))[0] == []


@in_a_folder
async def test_more_rows_than_a_page(node: StorageNode) -> None:
    """1,500 rows of which one in five has no file; what is missing comes in order and is complete."""
    digests = sorted(digest_of(str(number).encode()) for number in range(1500))
    await node.database.execute(
        "INSERT INTO blob SELECT sha256, 1, now(), now() + interval '1 day'"
        " FROM unnest($1::bytea[]) AS given(sha256)",
        digests,
    )
    for place, digest in enumerate(digests):
        if place % 5:
            node.home.write(digest, b"x")

    found, summary = await verify(node)

    assert [each[0] for each in found] == digests[::5]
    assert (summary.recorded, summary.findings) == (1500, 300)


class Listed(BlobFolder):
    """A folder that lists what it is told to, a little slowly."""

    def __init__(self, folder: Path, clock: FakeClock, entries: list[Entry]) -> None:
        super().__init__(folder, threads=2)
        self._clock = clock
        self._entries = entries

    async def entries(self) -> AsyncGenerator[Entry, None]:
        for entry in self._entries:
            self._clock.advance(0.6)
            yield entry


async def listed(node: StorageNode) -> list[Entry]:
    blobs = node.home.blobs()
    found = [entry async for entry in blobs.entries()]
    await blobs.close()
    return found


async def looked_at(node: StorageNode, entries: list[Entry]) -> list[Part]:
    """What is found where the names were listed some time ago."""
    blobs = Listed(node.folder, node.clock, entries)
    verifier = Verifier(node.database, blobs, node.clock, 3600, Gate(1, 1, "STORAGE_BUSY"))
    parts = [part async for part in verifier.verify(deep=False)]
    await blobs.close()
    return parts


@in_a_folder
async def test_progress_is_told_about_each_second(node: StorageNode) -> None:
    for number in range(5):
        await node.upload(str(number).encode())

    assert await looked_at(node, await listed(node)) == [Progress(2, 5), Progress(4, 5), Summary(5, 5, 0)]


@in_a_folder
async def test_what_changed_since_it_was_listed_is_looked_at_again(node: StorageNode) -> None:
    short, stray, lost = b"short for a while", b"recorded by now", b"there by now"
    for data in (short, lost):
        await node.upload(data)
    node.home.write(digest_of(short), b"short")
    node.home.remove(digest_of(lost))
    node.home.write(digest_of(stray), stray)
    then = await listed(node)
    node.clock.advance(7200)
    before = {part.fault for part in await looked_at(node, then) if isinstance(part, Finding)}

    for data in (short, lost, stray):
        await node.upload(data)

    assert before == {Fault.SIZE, Fault.MISSING, Fault.UNRECORDED}
    after = await looked_at(node, then)
    assert [part for part in after if not isinstance(part, Progress)] == [Summary(3, 44, 0)]


@in_a_folder
async def test_a_store_that_lists_out_of_order_gets_no_answer(node: StorageNode) -> None:
    for number in range(3):
        await node.upload(str(number).encode())

    with pytest.raises(Unavailable, match="BLOBS_UNREADABLE"):
        await looked_at(node, (await listed(node))[::-1])


@in_a_folder
async def test_only_operators_and_auditors_may_look(node: StorageNode) -> None:
    await node.upload(b"of G22")

    for who in (CLIENT, "org/H01.15/clerk/an", node.routing):
        with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
            await verify(node, who=who)
    assert (await verify(node, who="auditor/binh"))[0] == []


@in_a_folder
async def test_a_client_that_goes_away_stops_the_work(node: StorageNode) -> None:
    sha256 = (await node.upload(b"locked by somebody")).sha256
    node.home.remove(sha256)
    other = await asyncpg.connect(node.database.url)

    async def waiting() -> int:
        return int(await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async def until_waiting(count: int) -> None:
        async with asyncio.timeout(4):  # less than the lock's own limit, which would end it too
            while await waiting() != count:
                await asyncio.sleep(0.02)

    try:
        async with other.transaction():
            await other.execute("SELECT FROM blob FOR UPDATE")
            call = node.blobs(OPERATOR).VerifyBlobs(storage_pb2.VerifyBlobsRequest())
            await until_waiting(1)
            call.cancel()
            await until_waiting(0)
    finally:
        await other.close()
    assert (await verify(node))[0] == [(sha256, MISSING, 18, 0, 0)]  # and its place is free


async def test_a_store_that_cannot_be_read_is_told(mesh: Mesh) -> None:
    node = await mesh.start("H01")
    await node.upload(b"abc")
    if "bucket" in node.home.settings:
        broken = node.settings.bucket.model_copy(update={"bucket": "no-such-bucket"})  # type: ignore[union-attr]
        node = await mesh.start("H02", bucket=broken)
    else:
        node.folder.rename(node.folder.with_name("away"))

    with pytest.raises(Unavailable, match="BLOBS_UNREADABLE"):
        await verify(node)


@in_a_folder
async def test_the_sdk_passes_everything_on(node: StorageNode) -> None:
    lost = (await node.upload(b"lost")).sha256
    node.home.remove(lost)
    tls = node.pki.tls(OPERATOR)
    async with Connection(tls, node.address, node.node, trust=TrustStore.load(tls.roots)) as connection:
        answers = [answer async for answer in Operator(connection).verify_blobs(deep=False)]

    assert [answer.WhichOneof("part") for answer in answers] == ["finding", "summary"]
    assert answers[0].finding.sha256 == lost
    assert answers[1].summary.findings == 1
