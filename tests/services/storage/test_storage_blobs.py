"""Upload and download as organizations and services see them."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lienthong.errors import DataLoss, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from lienthong.pki.testing import TestAuthority
from lienthong.storage.v1 import storage_pb2
from lienthong.types.v1 import grant_pb2

from tests.services.storage.conftest import CLIENT, Mesh, StorageNode, digest_of, in_a_folder, until
from tests.support.serving import Pki

OTHER = "org/H01.15/clerk/an"
SIGNING = "node/H01/signing"
FOREIGN_ROUTING = "node/G22/routing"

DATA = random.Random(7).randbytes(5 * 1024 * 1024 + 3)


async def test_what_goes_in_comes_out(node: StorageNode) -> None:
    stored = await node.upload(DATA, sha256=digest_of(DATA), size_bytes=len(DATA))

    assert stored.sha256 == digest_of(DATA)
    assert stored.size_bytes == len(DATA)
    assert await node.download(stored.sha256) == DATA
    assert node.files() == [stored.sha256.hex()]
    assert node.home.bytes_of(stored.sha256) == DATA


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (1, 0), (300_000, 400_000), (len(DATA) - 1, 1)])
async def test_ranges(node: StorageNode, offset: int, length: int) -> None:
    sha256 = (await node.upload(DATA)).sha256
    expected = DATA[offset : offset + length if length else len(DATA)]

    assert await node.download(sha256, offset=offset, length=length) == expected


@pytest.mark.parametrize(("offset", "length"), [(-1, 0), (4, 0), (0, 4), (2, 2), (0, -1)])
@in_a_folder
async def test_a_range_outside_is_refused(node: StorageNode, offset: int, length: int) -> None:
    sha256 = (await node.upload(b"abc")).sha256

    with pytest.raises(InvalidArgument, match="RANGE_INVALID"):
        await node.download(sha256, offset=offset, length=length)


async def test_an_empty_file_is_a_file(node: StorageNode) -> None:
    sha256 = (await node.upload(b"")).sha256

    assert sha256 == digest_of(b"")
    assert await node.download(sha256) == b""


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"sha256": bytes(32)}, "DIGEST_MISMATCH"),
        ({"sha256": b"short"}, "DIGEST_MALFORMED"),
        ({"size_bytes": 7}, "SIZE_MISMATCH"),
        ({"size_bytes": 5}, "SIZE_MISMATCH"),
        ({"size_bytes": -1}, "SIZE_MISMATCH"),
        ({"organization": ""}, "ORGANIZATION_MALFORMED"),
    ],
)
async def test_what_is_not_as_announced_leaves_nothing(
    node: StorageNode, header: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await node.upload(b"sixsix", **header)

    assert node.files() == []
    assert await node.database.fetchval("SELECT count(*) FROM blob") == 0


async def test_too_large_is_refused_announced_or_not(node: StorageNode) -> None:
    limit = node.settings.largest_blob_bytes
    with pytest.raises(ResourceExhausted, match="ATTACHMENT_TOO_LARGE"):
        await node.upload(b"x", size_bytes=limit + 1)
    with pytest.raises(ResourceExhausted, match="ATTACHMENT_TOO_LARGE"):
        await node.upload(bytes(limit + 1))

    assert node.files() == []


@in_a_folder
async def test_a_full_disk_says_when_to_come_back(mesh: Mesh) -> None:
    node = await mesh.start("H01", free_floor_bytes=2**60)

    with pytest.raises(ResourceExhausted, match="STORAGE_FULL") as refusal:
        await node.upload(b"abc")
    assert refusal.value.retry_after == 60
    assert node.files() == []


@in_a_folder
async def test_a_stream_needs_its_header_and_small_chunks(node: StorageNode) -> None:
    header = storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(organization="G22"))
    large = storage_pb2.UploadRequest(chunk=bytes(512 * 1024 + 1))

    async def send(*messages: storage_pb2.UploadRequest) -> None:
        await node.blobs().Upload(iter(messages))

    with pytest.raises(InvalidArgument, match="UPLOAD_HEADER_MISSING"):
        await send(large)
    with pytest.raises(InvalidArgument, match="UPLOAD_HEADER_MISSING"):
        await send()
    with pytest.raises(InvalidArgument, match="CHUNK_TOO_LARGE"):
        await send(header, large)
    with pytest.raises(InvalidArgument, match="STREAM_MALFORMED"):
        await send(header, header)
    assert node.files() == []


async def test_a_cancelled_upload_leaves_no_file(node: StorageNode) -> None:
    staging = node.folder / "staging"
    call = node.blobs().Upload()
    await call.write(storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(organization="G22")))
    await call.write(storage_pb2.UploadRequest(chunk=b"half"))
    await until(lambda: len(list(staging.iterdir())) == 1)

    call.cancel()

    await until(lambda: not list(staging.iterdir()))
    assert node.files() == []


async def test_a_silent_upload_is_ended(mesh: Mesh) -> None:
    node = await mesh.start("H01", patience=0.2)

    async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
        yield storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(organization="G22"))
        await asyncio.sleep(30)

    with pytest.raises(Exception, match="TRANSFER_STALLED"):
        await node.blobs().Upload(messages())
    assert node.files() == []


async def test_stale_files_are_swept_at_start_and_living_ones_are_not(mesh: Mesh) -> None:
    staging = mesh.folder / "H01" / "staging"
    staging.mkdir(parents=True)
    for name, age in (("dead", 7200), ("alive", 10)):
        (staging / name).write_bytes(b"x")
        moment = mesh.clock.now().timestamp() - age
        os.utime(staging / name, (moment, moment))

    node = await mesh.start("H01")

    assert node.files() == ["alive"]


async def test_the_same_bytes_twice_at_once(node: StorageNode) -> None:
    answers = await asyncio.gather(*(node.upload(DATA[:700_000]) for _ in range(8)))

    assert {answer.sha256 for answer in answers} == {digest_of(DATA[:700_000])}
    assert node.files() == [answers[0].sha256.hex()]
    assert await node.download(answers[0].sha256) == DATA[:700_000]


@in_a_folder
async def test_a_digest_is_no_bearer_token(node: StorageNode) -> None:
    sha256 = (await node.upload(b"of G22")).sha256

    with pytest.raises(PermissionDenied, match="GRANT_MISSING"):
        await node.download(sha256, OTHER)
    with pytest.raises(PermissionDenied, match="GRANT_MISSING"):
        await node.download(bytes(32), OTHER)  # and nothing is learnt about what is here
    with pytest.raises(PermissionDenied, match="SENDER_FOREIGN"):
        await node.upload(b"forged", OTHER)
    assert await node.download(sha256, SIGNING) == b"of G22"


async def test_having_the_bytes_gives_the_grant(node: StorageNode) -> None:
    sha256 = (await node.upload(b"both have it")).sha256
    await node.upload(b"both have it", OTHER, organization="H01.15")

    assert await node.download(sha256, OTHER) == b"both have it"


@in_a_folder
async def test_routing_uploads_for_any_organization_of_its_node(node: StorageNode) -> None:
    sha256 = (await node.upload(b"on behalf", node.routing, organization="G22")).sha256

    assert await node.download(sha256) == b"on behalf"
    with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
        await node.upload(b"x", SIGNING)
    with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
        await node.upload(b"x", FOREIGN_ROUTING)


@in_a_folder
async def test_an_upload_grant_ends(mesh: Mesh, node: StorageNode) -> None:
    stored = await node.upload(b"short-lived")
    mesh.clock.advance(node.settings.upload_grant)

    with pytest.raises(PermissionDenied, match="GRANT_MISSING"):
        await node.download(stored.sha256)
    assert stored.expire_time.ToDatetime() == mesh.clock.now().replace(tzinfo=None)


async def test_a_grant_of_routing_lets_the_named_organization_download(mesh: Mesh, node: StorageNode) -> None:
    sha256 = (await node.upload(b"delivered")).sha256
    good = mesh.grant([bytes(32), sha256], organization="H01.15")

    assert await node.download(sha256, OTHER, grant=good) == b"delivered"
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        await node.download(bytes(32), OTHER, grant=good)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"organization": "H01.16"}, "GRANT_INVALID"),
        ({"digests": [bytes(32)]}, "GRANT_INVALID"),
        ({"signer": FOREIGN_ROUTING}, "GRANT_INVALID"),
        ({"signer": SIGNING}, "GRANT_INVALID"),
        ({"signer": CLIENT}, "GRANT_INVALID"),
        ({"purpose": grant_pb2.GRANT_PURPOSE_PULL, "peer_node": "H01.15"}, "GRANT_INVALID"),
        ({"seconds": -1}, "GRANT_EXPIRED"),
        ({"seconds": 0}, "GRANT_EXPIRED"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
@in_a_folder
async def test_a_grant_for_anything_else_is_refused(
    mesh: Mesh, node: StorageNode, changed: dict[str, Any], reason: str
) -> None:
    sha256 = (await node.upload(b"delivered")).sha256
    arguments: dict[str, Any] = {"digests": [sha256], "organization": "H01.15"} | changed
    grant = mesh.grant(**arguments)

    with pytest.raises(PermissionDenied, match=reason):
        await node.download(sha256, OTHER, grant=grant)


@in_a_folder
async def test_a_tampered_or_untrusted_grant_is_refused(
    mesh: Mesh, node: StorageNode, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sha256 = (await node.upload(b"delivered")).sha256
    good = mesh.grant([sha256], organization="H01.15")
    tampered = grant_pb2.SignedGrant(
        payload=good.payload.replace(b"H01.15", b"H01.16"), signature=good.signature
    )
    unsigned = grant_pb2.SignedGrant(payload=good.payload)
    stranger = Pki(TestAuthority.create(tmp_path_factory.mktemp("stranger"), mesh.clock))
    foreign = Mesh(mesh.databases, stranger, mesh.folder, mesh.clock, mesh.stack, mesh.home_of)

    for grant in (tampered, unsigned, foreign.grant([sha256], organization="H01.15")):
        with pytest.raises(PermissionDenied, match="GRANT_INVALID"):
            await node.download(sha256, "org/H01.16/client/app", grant=grant)


async def test_damaged_bytes_are_told_and_healed_by_a_new_upload(node: StorageNode) -> None:
    sha256 = (await node.upload(DATA[:600_000])).sha256

    node.home.write(sha256, DATA[:599_999] + b"!")
    with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
        await node.download(sha256)
    node.home.write(sha256, b"shorter")
    with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
        await node.download(sha256, offset=1, length=2)

    await node.upload(DATA[:600_000])
    assert await node.download(sha256) == DATA[:600_000]


@in_a_folder
async def test_stat_answers_in_the_order_asked(node: StorageNode) -> None:
    mine = (await node.upload(b"mine")).sha256
    theirs = (await node.upload(b"theirs!", OTHER, organization="H01.15")).sha256
    request = storage_pb2.StatBlobsRequest(digests=[theirs, bytes(32), mine, mine], organization="G22")

    blobs = (await node.blobs(node.routing).StatBlobs(request)).blobs

    assert [(b.sha256, b.present, b.size_bytes, b.granted) for b in blobs] == [
        (theirs, True, 7, False),
        (bytes(32), False, 0, False),
        (mine, True, 4, True),
        (mine, True, 4, True),
    ]
