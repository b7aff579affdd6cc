"""An announced upload that breaks goes on where it broke, for whom it belongs to, and for nobody else."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lienthong.errors import (
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
)
from lienthong.storage.v1 import storage_pb2

from services.storage.domain import Content
from services.storage.partial import Partial
from services.storage.staging import Staging
from tests.services.storage.conftest import CLIENT, Mesh, StorageNode, digest_of, in_a_folder, until

OTHER = "org/H01.15/clerk/an"
STEP = 256 * 1024
DATA = random.Random(9).randbytes(5 * STEP)
SIZE = len(DATA)
SHA256 = digest_of(DATA)
HERE = 3 * STEP  # 60 %


def header(**changed: Any) -> storage_pb2.UploadRequest:
    announced: dict[str, Any] = {"organization": "G22", "sha256": SHA256, "size_bytes": SIZE} | changed
    return storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(**announced))


def pieces(data: bytes) -> list[storage_pb2.UploadRequest]:
    return [storage_pb2.UploadRequest(chunk=data[at : at + STEP]) for at in range(0, len(data), STEP)]


async def begun(node: StorageNode, data: bytes = DATA[:HERE], who: str = CLIENT, **changed: Any) -> Any:
    """A stream that sent so much and stays open; its bytes are on the disk."""
    call = node.blobs(who).Upload()
    await call.write(header(**changed))
    before = staged_bytes(node)
    for piece in pieces(data):
        await call.write(piece)
    await until(lambda: staged_bytes(node) >= before + len(data))
    return call


def staged_bytes(node: StorageNode) -> int:
    return sum(path.stat().st_size for path in (node.folder / "staging").iterdir())


async def broken(node: StorageNode, data: bytes = DATA[:HERE], who: str = CLIENT, **changed: Any) -> None:
    (await begun(node, data, who, **changed)).cancel()


async def asked(node: StorageNode, who: str = CLIENT, **changed: Any) -> tuple[int, bool]:
    named: dict[str, Any] = {"organization": "G22", "sha256": SHA256, "size_bytes": SIZE} | changed
    answer = await node.blobs(who).GetUpload(storage_pb2.GetUploadRequest(**named))
    return answer.offset, answer.complete


async def test_a_broken_upload_goes_on_where_it_broke(node: StorageNode) -> None:
    assert await asked(node) == (0, False)
    await broken(node)

    assert await asked(node) == (HERE, False)
    stored = await node.upload(DATA[HERE:], sha256=SHA256, size_bytes=SIZE, offset=HERE)

    assert (stored.sha256, stored.size_bytes) == (SHA256, SIZE)
    assert await asked(node) == (SIZE, True)
    assert await node.download(SHA256) == DATA
    assert node.files() == [SHA256.hex()]


async def test_it_may_break_again_and_again(node: StorageNode) -> None:
    for at in range(4):
        await broken(node, DATA[at * STEP : (at + 1) * STEP], offset=at * STEP)
        assert await asked(node) == ((at + 1) * STEP, False)

    await node.upload(DATA[4 * STEP :], sha256=SHA256, size_bytes=SIZE, offset=4 * STEP)
    assert await node.download(SHA256) == DATA


async def test_a_stream_that_ends_too_early_is_told_and_kept(node: StorageNode) -> None:
    """A caller that goes away can look like one that is done."""
    with pytest.raises(InvalidArgument, match="SIZE_MISMATCH"):
        await node.upload(DATA[:HERE], sha256=SHA256, size_bytes=SIZE)

    assert await asked(node) == (HERE, False)


async def test_a_complete_upload_need_not_be_sent_and_is_prolonged(mesh: Mesh, node: StorageNode) -> None:
    first = await node.upload(DATA, sha256=SHA256, size_bytes=SIZE)
    mesh.clock.advance(3600)

    again = await node.upload(b"", sha256=SHA256, size_bytes=SIZE, offset=SIZE)

    assert again.sha256 == SHA256
    assert again.expire_time.ToDatetime() - first.expire_time.ToDatetime() == timedelta(hours=1)
    mesh.clock.advance(node.settings.upload_grant)
    assert await asked(node) == (0, False)
    with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG"):
        await node.upload(b"", sha256=SHA256, size_bytes=SIZE, offset=SIZE)


async def test_nobody_finishes_what_another_began(node: StorageNode) -> None:
    """A digest is no bearer token: the last tenth of a file earns no right to all of it."""
    await broken(node, DATA[: 4 * STEP])
    theirs: dict[str, Any] = {"organization": "H01.15", "sha256": SHA256, "size_bytes": SIZE}

    assert await asked(node, OTHER, organization="H01.15") == (0, False)
    for offset in (4 * STEP, SIZE):
        with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG") as refusal:
            await node.upload(DATA[offset:], OTHER, offset=offset, **theirs)
        assert refusal.value.metadata["offset"] == "0"
    with pytest.raises(PermissionDenied, match="SENDER_FOREIGN"):
        await asked(node, OTHER)
    await node.upload(DATA, sha256=SHA256, size_bytes=SIZE)
    assert await asked(node, OTHER, organization="H01.15") == (0, False)
    with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG"):
        await node.upload(b"", OTHER, offset=SIZE, **theirs)
    with pytest.raises(PermissionDenied, match="GRANT_MISSING"):
        await node.download(SHA256, OTHER)
    assert await node.database.fetchval("SELECT count(*) FROM upload_grant") == 1


async def test_routing_goes_on_for_an_organization(node: StorageNode) -> None:
    await broken(node)

    assert await asked(node, node.routing) == (HERE, False)
    await node.upload(DATA[HERE:], node.routing, sha256=SHA256, size_bytes=SIZE, offset=HERE)
    assert await node.download(SHA256) == DATA


@in_a_folder
async def test_two_streams_at_once_do_not_share_a_file(node: StorageNode) -> None:
    first = await begun(node)

    assert await asked(node) == (0, False)  # what another stream writes cannot be gone on from
    with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG"):
        await node.upload(DATA[HERE:], sha256=SHA256, size_bytes=SIZE, offset=HERE)
    await node.upload(DATA, sha256=SHA256, size_bytes=SIZE)
    for piece in pieces(DATA[HERE:]):
        await first.write(piece)
    await first.done_writing()

    assert (await first).sha256 == SHA256
    assert await node.download(SHA256) == DATA
    assert node.files() == [SHA256.hex()]


@in_a_folder
@pytest.mark.parametrize("first", [0, 1], ids=["longer last", "longer first"])
async def test_of_two_broken_streams_the_longer_is_kept(node: StorageNode, first: int) -> None:
    streams = [await begun(node, DATA[:STEP]), await begun(node)]
    streams.pop(first).cancel()
    assert (await asked(node))[0] == (STEP, HERE)[first]
    streams.pop().cancel()

    async with asyncio.timeout(5):
        while await asked(node) != (HERE, False):
            await asyncio.sleep(0.01)
    await node.upload(DATA[HERE:], sha256=SHA256, size_bytes=SIZE, offset=HERE)
    assert node.files() == [SHA256.hex()]


async def test_a_caller_may_go_back_but_not_beyond(node: StorageNode) -> None:
    await broken(node)

    for offset in (HERE + 1, SIZE, SIZE + 1):
        with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG") as refusal:
            await node.upload(DATA[offset:], sha256=SHA256, size_bytes=SIZE, offset=offset)
        assert refusal.value.metadata["offset"] == str(HERE)
    with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG"):
        await node.upload(DATA, sha256=SHA256, size_bytes=SIZE, offset=-1)
    assert await asked(node) == (HERE, False)  # refused, not thrown away

    await node.upload(DATA[STEP + 5 :], sha256=SHA256, size_bytes=SIZE, offset=STEP + 5)
    assert await node.download(SHA256) == DATA


@pytest.mark.parametrize("missing", ["sha256", "size_bytes"])
async def test_only_what_is_announced_wholly_is_kept(node: StorageNode, missing: str) -> None:
    changed: dict[str, Any] = {missing: b"" if missing == "sha256" else 0}
    await broken(node, **changed)

    await until(lambda: not node.files())
    announced: dict[str, Any] = {"sha256": SHA256, "size_bytes": SIZE, "offset": HERE} | changed
    with pytest.raises(FailedPrecondition, match="UPLOAD_OFFSET_WRONG"):
        await node.upload(DATA[HERE:], **announced)


async def test_bytes_that_turn_out_wrong_are_thrown_away(node: StorageNode) -> None:
    await broken(node, bytes(HERE))
    assert await asked(node) == (HERE, False)

    with pytest.raises(InvalidArgument, match="DIGEST_MISMATCH"):
        await node.upload(DATA[HERE:], sha256=SHA256, size_bytes=SIZE, offset=HERE)

    assert await asked(node) == (0, False)
    assert node.files() == []


async def test_what_the_disk_spoilt_meanwhile_is_found(node: StorageNode) -> None:
    await broken(node)
    await asked(node)
    [kept] = (node.folder / "staging").iterdir()
    kept.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:HERE])

    with pytest.raises(InvalidArgument, match="DIGEST_MISMATCH"):
        await node.upload(DATA[HERE:], sha256=SHA256, size_bytes=SIZE, offset=HERE)
    assert node.files() == []


@pytest.mark.parametrize(
    ("changed", "error", "reason"),
    [
        ({"sha256": b"short"}, InvalidArgument, "DIGEST_MALFORMED"),
        ({"size_bytes": -1}, InvalidArgument, "SIZE_MISMATCH"),
        ({"size_bytes": 2**40}, ResourceExhausted, "ATTACHMENT_TOO_LARGE"),
        ({"organization": ""}, InvalidArgument, "ORGANIZATION_MALFORMED"),
        ({"organization": "H02"}, PermissionDenied, "SENDER_FOREIGN"),
    ],
)
@in_a_folder
async def test_malformed_questions_are_refused(
    node: StorageNode, changed: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        await asked(node, **changed)


async def test_a_length_that_is_not_that_of_the_bytes_is_refused(node: StorageNode) -> None:
    await node.upload(DATA)

    with pytest.raises(InvalidArgument, match="SIZE_MISMATCH"):
        await asked(node, size_bytes=SIZE + 1)


@in_a_folder
async def test_partials_outlive_stale_files_and_end(mesh: Mesh) -> None:
    node = await mesh.start("H01", collect_interval=60.0, stale_seconds=600.0, partial_seconds=3600.0)
    await broken(node)
    assert await asked(node) == (HERE, False)
    open_stream = await begun(node, DATA[:STEP], who=OTHER, organization="H01.15")
    (node.folder / "staging" / "left-by-a-killed-one").write_bytes(b"x")

    await passes(mesh, 1200, lambda: len(node.files()) == 2)
    assert await asked(node) == (HERE, False)
    await passes(mesh, 3600, lambda: len(node.files()) == 1)

    assert await asked(node) == (0, False)
    open_stream.cancel()  # in use, hence never swept, however old
    await until(lambda: node.files() != [])
    assert await asked(node, OTHER, organization="H01.15") == (STEP, False)


async def passes(mesh: Mesh, seconds: float, condition: Callable[[], bool]) -> None:
    mesh.clock.advance(seconds)
    await until(condition)


async def test_the_sweep_spares_what_was_taken_up_meanwhile(tmp_path: Path) -> None:
    staging, partial = Staging(tmp_path), Partial.of_organization("G22", Content(SHA256, SIZE))
    old = partial.fresh(tmp_path)
    old.write_bytes(DATA[:HERE])
    os.utime(old, (0, 0))
    try:
        async with staging.stage(partial, HERE) as staged:
            assert await staging.sweep(1e12, 1, 1) == 0
            await staged.write(DATA[HERE:])
            assert (await staged.finish()).sha256 == SHA256
        assert list(tmp_path.iterdir()) == []
    finally:
        await staging.close()


@in_a_folder
async def test_a_stopped_server_keeps_what_came(mesh: Mesh) -> None:
    node = await mesh.start("H01")
    call = await begun(node)
    await node.stack.aclose()  # the server ends gracefully, its streams with it
    with pytest.raises(BaseException):  # noqa: B017, PT011 - however gRPC tells it
        await call

    [kept] = (node.folder / "staging").iterdir()
    assert kept.read_bytes() == DATA[:HERE]


async def test_a_silent_stream_ends_and_is_kept(mesh: Mesh) -> None:
    node = await mesh.start("H01", patience=0.3)

    async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
        yield header()
        for piece in pieces(DATA[:HERE]):
            yield piece
        await asyncio.sleep(30)

    with pytest.raises(Exception, match="TRANSFER_STALLED"):
        await node.blobs().Upload(messages())
    assert await asked(node) == (HERE, False)
