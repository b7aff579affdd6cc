"""A bucket of SeaweedFS: large blobs in parts, what goes wrong with a store, the race with the collector."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
import pytest
import pytest_asyncio
from lienthong.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from pydantic import ValidationError

from services.storage.bucket import Bucket
from services.storage.domain import SENT_CHUNK, Content, Entry
from services.storage.settings import BucketSettings
from tests.services.storage.conftest import Mesh, digest_of
from tests.services.storage.homes import BucketHome
from tests.services.storage.wire import Wire
from tests.support.seaweed import Seaweed

MIB = 2**20
SMALL = b"one request"
LARGE = random.Random(5).randbytes(20 * MIB + 7)
in_a_bucket = pytest.mark.parametrize("home", ["bucket"], indirect=True)


@pytest.fixture
def own(seaweed: Seaweed, request: pytest.FixtureRequest) -> BucketHome:
    return BucketHome(seaweed, f"{digest_of(request.node.nodeid.encode()).hex()}/")


@pytest.fixture
def bucket(own: BucketHome) -> Bucket:
    return Bucket.open(own.bucket)


def staged(folder: Path, data: bytes) -> tuple[Path, Content]:
    path = folder / "staged"
    path.write_bytes(data)
    return path, Content(digest_of(data), len(data))


async def published(bucket: Bucket, folder: Path, data: bytes) -> Content:
    path, content = staged(folder, data)
    await bucket.prepare(path, content)
    await bucket.publish(path, content)
    return content


async def read(bucket: Bucket, content: Content, offset: int = 0, length: int = 0) -> bytes:
    return b"".join([chunk async for chunk in bucket.read(content, offset, length)])


async def test_a_large_blob_goes_in_parts_and_comes_out_in_pieces(bucket: Bucket, tmp_path: Path) -> None:
    content = await published(bucket, tmp_path, LARGE)

    pieces = [len(chunk) async for chunk in bucket.read(content)]
    assert max(pieces) <= SENT_CHUNK
    assert await read(bucket, content) == LARGE
    assert await read(bucket, content, 2 * MIB - 1, 5 * MIB) == LARGE[2 * MIB - 1 : 7 * MIB - 1]
    assert await read(bucket, content, len(LARGE) - 1) == LARGE[-1:]
    assert await bucket.size(content.sha256) == len(LARGE)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "in parts"])
async def test_a_staged_file_that_changed_never_becomes_an_object(
    bucket: Bucket, own: BucketHome, tmp_path: Path, data: bytes
) -> None:
    for changed in (data[:-1] + b"!", data[:-1]):
        path, content = staged(tmp_path, data)
        path.write_bytes(changed)
        with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
            await bucket.prepare(path, content)
    assert own.names() == []


async def test_an_object_that_is_not_what_its_key_says(
    bucket: Bucket, own: BucketHome, tmp_path: Path
) -> None:
    content = await published(bucket, tmp_path, LARGE)

    own.write(content.sha256, LARGE[:-1] + b"!")
    chunks = bucket.read(content)
    for _ in range(len(LARGE) // SENT_CHUNK):
        await anext(chunks)
    with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
        await anext(chunks)  # the last one: who has the whole has the right one
    own.write(content.sha256, LARGE[: 5 * MIB])
    for offset in (0, 5 * MIB - 1, 5 * MIB, 9 * MIB):
        with pytest.raises(DataLoss, match="BLOB_CORRUPT"):
            await read(bucket, content, offset, 10)
    own.remove(content.sha256)
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        await read(bucket, content)
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        await read(bucket, Content(digest_of(b""), 0))


async def test_publish_puts_again_what_the_collector_took(bucket: Bucket, tmp_path: Path) -> None:
    """The collector has the row's lock when `prepare` ends, and deletes; then `publish` has the lock."""
    path, content = staged(tmp_path, SMALL)
    await bucket.prepare(path, content)
    await bucket.delete(content.sha256)
    await bucket.delete(content.sha256)

    await bucket.publish(path, content)

    assert await read(bucket, content) == SMALL


async def test_entries_are_those_of_the_prefix_in_order(
    bucket: Bucket, own: BucketHome, seaweed: Seaweed, tmp_path: Path
) -> None:
    contents = [await published(bucket, tmp_path, str(number).encode() * number) for number in range(30)]
    name = digest_of(b"stranger").hex()
    objects = seaweed.objects()
    for key in ("readme", f"00/00/{name}", f"{name[:2]}/{name[2:4]}/{name}x", f"zz/zz/{'z' * 64}"):
        obstore.put(objects, own.prefix + key, b"x")
    obstore.put(objects, f"{own.prefix[:-1]}2/{name[:2]}/{name[2:4]}/{name}", b"x")

    entries = [entry async for entry in bucket.entries()]

    assert [Content(entry.sha256, entry.size) for entry in entries] == sorted(
        contents, key=lambda content: content.sha256
    )
    assert all(abs(entry.modified - time.time()) < 60 for entry in entries)


async def asked(bucket: Bucket, folder: Path) -> list[Exception]:
    """What each of its methods says."""
    path, content = staged(folder, SMALL)
    large, parts = staged(folder, LARGE)

    async def entries() -> list[Entry]:
        return [entry async for entry in bucket.entries()]

    async def small() -> None:
        path.write_bytes(SMALL)
        await bucket.prepare(path, content)

    async def in_parts() -> None:
        large.write_bytes(LARGE)
        await bucket.prepare(large, parts)

    outcomes: list[object] = []
    for call in (
        small(),
        in_parts(),
        bucket.publish(path, content),
        read(bucket, content),
        bucket.size(content.sha256),
        bucket.delete(content.sha256),
        entries(),
        bucket.check_ready(),
    ):
        outcomes += await asyncio.gather(call, return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, Exception)]


@pytest.mark.parametrize(
    ("changed", "kind", "reason"),
    [
        ({"bucket": "no-such-bucket"}, FailedPrecondition, "BUCKET_MISSING"),
        ({"endpoint": "http://127.0.0.1:9"}, Unavailable, "STORE_UNAVAILABLE"),
        ({"secret_key_file": "wrong"}, FailedPrecondition, "STORE_DENIED"),
        ({"access_key_file": "wrong"}, FailedPrecondition, "STORE_DENIED"),
    ],
    ids=["no bucket", "nobody there", "wrong secret", "unknown key"],
)
async def test_a_store_that_is_not_as_it_should_be(
    own: BucketHome, tmp_path: Path, changed: dict[str, str], kind: type[Exception], reason: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("WRONG")
    given = {name: wrong if value == "wrong" else value for name, value in changed.items()}
    bucket = Bucket.open(own.seaweed.settings(own.prefix, request_seconds=5, **given))

    outcomes = await asked(bucket, tmp_path)

    assert [(type(each), getattr(each, "reason", each)) for each in outcomes] == [(kind, reason)] * 8


async def test_a_silent_store_is_given_up_in_time(own: BucketHome, tmp_path: Path) -> None:
    async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        endpoint = f"http://{host}:{port}"
        bucket = Bucket.open(own.seaweed.settings(own.prefix, endpoint=endpoint, request_seconds=0.5))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="STORE_UNAVAILABLE"):
            await bucket.check_ready()
        with pytest.raises(Unavailable, match="STORE_UNAVAILABLE"):
            await published(bucket, tmp_path, SMALL)
        assert time.monotonic() - began < 5
        server.close()


@pytest_asyncio.fixture
async def wire(seaweed: Seaweed) -> AsyncIterator[Wire]:
    wire = await Wire(seaweed.endpoint.removeprefix("http://")).open()
    yield wire
    await wire.close()


async def test_a_cut_connection_is_mended_by_sending_the_part_again(
    own: BucketHome, wire: Wire, tmp_path: Path
) -> None:
    bucket = Bucket.open(own.seaweed.settings(own.prefix, endpoint=f"http://{wire.address}"))
    wire.cuts = [11 * MIB]

    content = await published(bucket, tmp_path, LARGE)

    assert wire.cuts == []
    assert await read(bucket, content) == LARGE


@in_a_bucket
async def test_while_the_store_is_away_nothing_is_promised(mesh: Mesh, wire: Wire, seaweed: Seaweed) -> None:
    prefix = f"{digest_of(wire.address.encode()).hex()}/"
    settings = seaweed.settings(prefix, endpoint=f"http://{wire.address}", request_seconds=5)
    node = await mesh.start("H01", bucket=settings)
    kept = (await node.upload(b"kept")).sha256
    port = int(wire.address.rpartition(":")[2])
    await wire.close()

    with pytest.raises(Unavailable, match="STORE_UNAVAILABLE") as refusal:
        await node.upload(b"away")
    assert refusal.value.retry_after is not None
    with pytest.raises(Unavailable, match="STORE_UNAVAILABLE"):
        await node.download(kept)
    assert await node.hold("transfer/1", digest_of(b"away")) == [digest_of(b"away")]

    await wire.open(port)
    await node.upload(b"away")
    assert await node.download(digest_of(b"away")) == b"away"
    assert await node.download(kept) == b"kept"


async def test_the_settings_win_over_the_environment(
    own: BucketHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ENDPOINT": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "OTHER",
        "AWS_SESSION_TOKEN": "other",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket.open(own.bucket)

    await bucket.check_ready()
    assert await read(bucket, await published(bucket, tmp_path, SMALL)) == SMALL


def test_settings_name_files_and_no_secrets(seaweed: Seaweed, tmp_path: Path) -> None:
    settings = seaweed.settings("H01/")
    assert "TESTKEY" not in settings.model_dump_json()
    for wrong in (
        {"allow_http": False},
        {"endpoint": "ftp://127.0.0.1"},
        {"prefix": "no-slash"},
        {"prefix": "/"},
        {"bucket": "UPPER"},
        {"secret_key": "in the clear"},
    ):
        with pytest.raises(ValidationError):
            BucketSettings.model_validate({**settings.model_dump(), **wrong})
    with pytest.raises(InvalidArgument, match="SETTINGS_INVALID"):
        Bucket.open(settings.model_copy(update={"access_key_file": tmp_path / "none"}))
