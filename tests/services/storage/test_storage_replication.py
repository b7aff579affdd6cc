"""Two storages over mutual TLS: what one lacks crosses the link, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from lienthong.errors import (
    DataLoss,
    DomainError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from lienthong.storage.v1 import storage_pb2
from lienthong.types.v1 import grant_pb2

from tests.services.storage.conftest import Mesh, StorageNode, digest_of, in_a_folder, until
from tests.services.storage.wire import Wire

PULL = storage_pb2.REPLICATION_DIRECTION_PULL
PUSH = storage_pb2.REPLICATION_DIRECTION_PUSH
PEER_ROUTING = "node/G22/routing"
CHANCE = random.Random(3)
FILES = [CHANCE.randbytes(size) for size in (1, 300_000, 3 * 2**20)]
SIZE = sum(len(data) for data in FILES)
DIGESTS = [digest_of(data) for data in FILES]


@dataclass
class Link:
    """H01 dials G22 over a wire."""

    mesh: Mesh
    child: StorageNode
    parent: StorageNode
    wire: Wire

    def grant(self, digests: list[bytes], purpose: Any, **changed: Any) -> grant_pb2.SignedGrant:
        arguments = {"peer_node": "H01", "signer": PEER_ROUTING, "purpose": purpose} | changed
        return self.mesh.grant(digests, **arguments)

    async def pull(self, digests: list[bytes], **changed: Any) -> int:
        grant = self.grant(digests, grant_pb2.GRANT_PURPOSE_PULL, **changed)
        return await self.child.replicate("G22", PULL, digests, grant)

    async def push(self, digests: list[bytes], **changed: Any) -> int:
        grant = self.grant(digests, grant_pb2.GRANT_PURPOSE_PUSH, **changed)
        return await self.child.replicate("G22", PUSH, digests, grant)


@pytest_asyncio.fixture
async def link(mesh: Mesh) -> AsyncIterator[Link]:
    parent = await mesh.start("G22")
    wire = await Wire(parent.address).open()
    child = await mesh.start("H01", peers={"G22": wire.address}, patience=10)
    time = asyncio.create_task(_time_passes(mesh))
    yield Link(mesh, child, parent, wire)
    time.cancel()
    await wire.close()


async def _time_passes(mesh: Mesh) -> None:
    """Waits between attempts end in real time: gRPC's own reconnecting knows no other."""
    while True:
        await asyncio.sleep(0.05)
        mesh.clock.advance(0.05)


async def test_pull_brings_what_is_missing_and_nothing_twice(link: Link) -> None:
    for data in FILES:
        await link.parent.upload(data)
    await link.child.upload(FILES[1])

    assert await link.pull(DIGESTS) == SIZE - len(FILES[1])

    for data in FILES:
        assert await link.child.download(digest_of(data), link.child.routing) == data
    carried = link.wire.from_target
    assert carried < SIZE * 1.05
    assert await link.pull(DIGESTS) == 0
    assert link.wire.from_target - carried < 10_000


async def test_push_brings_what_the_peer_lacks_and_nothing_twice(link: Link) -> None:
    for data in FILES:
        await link.child.upload(data)
    await link.parent.upload(FILES[1])

    assert await link.push(DIGESTS) == SIZE - len(FILES[1])

    for data in FILES:
        assert await link.parent.download(digest_of(data), link.parent.routing) == data
    assert link.wire.to_target < SIZE * 1.05
    assert await link.push(DIGESTS) == 0


@pytest.mark.parametrize("way", ["pull", "push"])
async def test_orders_at_the_same_time_cross_once(link: Link, way: str) -> None:
    source = link.parent if way == "pull" else link.child
    for data in FILES:
        await source.upload(data)
    order = link.pull if way == "pull" else link.push

    moved = await asyncio.gather(*(order(random.Random(seed).sample(DIGESTS, 3)) for seed in range(6)))

    assert sum(moved) == SIZE
    assert link.wire.from_target + link.wire.to_target < SIZE * 1.1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"peer_node": "H02"}, "GRANT_INVALID"),
        ({"signer": "node/H01/routing"}, "GRANT_INVALID"),
        ({"seconds": -1}, "GRANT_EXPIRED"),
    ],
    ids=["other peer", "own word", "expired"],
)
@pytest.mark.parametrize("way", ["pull", "push"])
@in_a_folder
async def test_only_the_peers_routing_opens_its_storage(
    link: Link, way: str, changed: dict[str, Any], reason: str
) -> None:
    for node in (link.parent, link.child):
        await node.upload(FILES[0], organization="G22")
    await (link.parent if way == "pull" else link.child).upload(b"new")
    order = link.pull if way == "pull" else link.push

    with pytest.raises(PermissionDenied, match=reason):
        await order([digest_of(b"new")], **changed)


@in_a_folder
async def test_a_grant_opens_one_way_and_its_digests_only(link: Link) -> None:
    await link.parent.upload(b"secret of others")
    pull = link.grant([digest_of(b"else")], grant_pb2.GRANT_PURPOSE_PULL)
    push = link.grant([digest_of(b"secret of others")], grant_pb2.GRANT_PURPOSE_PUSH)

    for grant in (pull, push):
        with pytest.raises(PermissionDenied, match="GRANT_INVALID"):
            await link.child.replicate("G22", PULL, [digest_of(b"secret of others")], grant)
    assert link.child.files() == []


async def test_what_nobody_asked_for_is_not_taken(link: Link) -> None:
    """A peer that sends other blobs than its grant names, or other bytes than it says."""
    stub = link.parent.replication("node/H01/storage")
    wanted, other = digest_of(b"wanted"), digest_of(b"other")
    grant = link.grant([wanted], grant_pb2.GRANT_PURPOSE_PUSH)

    async def push(*parts: tuple[bytes, int] | bytes) -> list[bytes]:
        messages = [storage_pb2.PushBlobsRequest(grant=grant)]
        for part in parts:
            if isinstance(part, bytes):
                messages.append(storage_pb2.PushBlobsRequest(chunk=part))
            else:
                start = storage_pb2.BlobStart(sha256=part[0], size_bytes=part[1])
                messages.append(storage_pb2.PushBlobsRequest(start=start))
        return list((await stub.PushBlobs(iter(messages))).digests)

    for parts, reason in (
        (((other, 5), b"other"), "DIGEST_MISMATCH"),
        (((wanted, 6), b"forged"), "DIGEST_MISMATCH"),
        (((wanted, 6), b"wanted too long"), "SIZE_MISMATCH"),
        (((wanted, 6), b"wan"), "SIZE_MISMATCH"),
        (((wanted, 6), b"wan", (other, 5)), "SIZE_MISMATCH"),
        ((b"wanted",), "STREAM_MALFORMED"),
        (((wanted, 6), b""), "STREAM_MALFORMED"),
    ):
        with pytest.raises(InvalidArgument, match=reason):
            await push(*parts)
        assert link.parent.files() == []
    assert await push((wanted, 6), b"wan", b"ted") == [wanted]


async def test_the_sick_source_is_told_and_leaves_nothing(link: Link) -> None:
    for node, order in ((link.parent, link.pull), (link.child, link.push)):
        data = b"sound " * 100_000 + node.node.encode()
        sha256 = (await node.upload(data)).sha256
        node.home.write(sha256, b"rotten" * 100_000 + node.node.encode())
        with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
            await order([sha256])
    await until(lambda: len(link.parent.files()) == len(link.child.files()) == 1)


@in_a_folder
async def test_unknown_blobs_and_peers(link: Link) -> None:
    for order in (link.pull, link.push):
        with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
            await order([digest_of(b"nowhere")])
    with pytest.raises(NotFound, match="PEER_UNKNOWN"):
        await link.child.replicate("H99", PULL, DIGESTS, grant_pb2.SignedGrant())
    with pytest.raises(InvalidArgument, match="DIRECTION_MISSING"):
        await link.child.replicate(
            "G22", storage_pb2.REPLICATION_DIRECTION_UNSPECIFIED, DIGESTS, grant_pb2.SignedGrant()
        )


async def test_a_cut_pull_goes_on_where_it_was_cut(link: Link) -> None:
    for data in FILES:
        await link.parent.upload(data)
    link.wire.cut_after = SIZE * 2 // 3
    link.wire.pause = 0.01  # so that what was sent before the cut has also been read

    assert await link.pull(DIGESTS) == SIZE  # not a byte of a piece twice

    assert link.wire.connections == 2
    assert link.wire.from_target < SIZE * 1.3
    assert await link.child.download(DIGESTS[2], link.child.routing) == FILES[2]


async def cut_off(link: Link, digests: list[bytes], after: int) -> int:
    """An order that is given up when so much came; how much of the blob that broke is kept."""
    before, link.wire.away = staged_bytes(link), False
    link.wire.cut_after, link.wire.stays_cut = link.wire.from_target + after, True
    link.wire.pause = 0.01
    with pytest.raises(Unavailable, match="PEER_UNAVAILABLE"):
        await link.pull(digests)
    link.wire.away = link.wire.stays_cut = False
    return staged_bytes(link) - before


def staged_bytes(link: Link) -> int:
    return sum(path.stat().st_size for path in (link.child.folder / "staging").iterdir())


async def test_a_later_order_goes_on_inside_the_blob_that_broke(link: Link) -> None:
    for data in FILES:
        await link.parent.upload(data)
    here = await cut_off(link, [DIGESTS[2]], SIZE // 2)
    here += await cut_off(link, [DIGESTS[2]], SIZE // 5)
    assert len(FILES[2]) // 2 < here < len(FILES[2])

    assert await link.pull(DIGESTS) == SIZE - here

    assert link.wire.from_target < SIZE * 1.5
    assert await link.child.download(DIGESTS[2], link.child.routing) == FILES[2]
    assert len(link.child.files()) == len(FILES)


@in_a_folder
async def test_one_order_goes_on_inside_several_blobs(link: Link) -> None:
    files = [CHANCE.randbytes(2**20) for _ in range(3)]
    digests = [(await link.parent.upload(data)).sha256 for data in files]
    here = await cut_off(link, digests[:1], 2**19) + await cut_off(link, digests[1:2], 2**18)

    assert await link.pull(digests) == 3 * 2**20 - here
    assert len(link.child.files()) == 3


@in_a_folder
async def test_what_is_kept_of_a_pull_is_no_upload_of_anybody(link: Link) -> None:
    await link.parent.upload(FILES[2])
    await cut_off(link, DIGESTS[2:], SIZE // 2)
    named = storage_pb2.GetUploadRequest(organization="G22", sha256=DIGESTS[2], size_bytes=len(FILES[2]))

    assert (await link.child.blobs().GetUpload(named)).offset == 0


@in_a_folder
async def test_a_spoilt_beginning_is_fetched_again(link: Link) -> None:
    await link.parent.upload(FILES[2])
    here = await cut_off(link, DIGESTS[2:], SIZE // 2)
    [kept] = (link.child.folder / "staging").iterdir()
    kept.write_bytes(bytes(here))

    assert await link.pull(DIGESTS[2:]) == len(FILES[2]) - here + len(FILES[2])
    assert await link.child.download(DIGESTS[2], link.child.routing) == FILES[2]


@in_a_folder
async def test_a_peer_that_stays_away_is_unavailable(link: Link) -> None:
    await link.wire.close()

    for order in (link.pull, link.push):
        await link.child.upload(FILES[0])
        with pytest.raises((Unavailable, DomainError), match="PEER_UNAVAILABLE"):
            await order([digest_of(b"x")] if order == link.pull else [DIGESTS[0]])
    assert link.child.files() == [DIGESTS[0].hex()]


@in_a_folder
async def test_strangers_do_not_get_in(link: Link) -> None:
    request = storage_pb2.PullBlobsRequest(digests=DIGESTS)

    for who in ("org/G22/client/app", PEER_ROUTING):
        with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
            await anext(aiter(link.parent.replication(who).PullBlobs(request)))
    with pytest.raises(PermissionDenied, match="GRANT_MISSING"):
        await anext(aiter(link.parent.replication("node/H01/storage").PullBlobs(request)))
