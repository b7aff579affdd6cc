"""The SDK's way with large files, over a line that breaks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from lienthong.client import Agency, Connection
from lienthong.client.connection import Waiting
from lienthong.client.transfers import ASKED_FROM, Download
from lienthong.errors import DataLoss, InvalidArgument, Unavailable
from lienthong.types.v1 import document_pb2

from tests.services.storage.conftest import Mesh, StorageNode, digest_of, in_a_folder
from tests.services.storage.wire import Wire

pytestmark = in_a_folder

DATA = random.Random(17).randbytes(6 * 1024 * 1024 + 11)
SIZE = len(DATA)
SHA256 = digest_of(DATA)


@dataclass
class Desk:
    """An organization's software whose line to its node is a wire."""

    mesh: Mesh
    node: StorageNode
    wire: Wire
    connection: Connection
    folder: Path
    told: list[tuple[int, int]] = field(default_factory=list)

    @property
    def agency(self) -> Agency:
        return Agency(self.connection, "G22")

    def note(self, over: int, size: int) -> None:
        self.told.append((over, size))

    def cut_for_good(self, *cuts: int) -> None:
        """The line breaks after so many bytes to the node, and stays so; nobody waits long for it."""
        self.wire.cuts, self.wire.stays_cut = list(cuts), True
        self.connection.waiting = Waiting(self.connection.clock, 0.5)

    def mend(self) -> None:
        self.wire.away = self.wire.stays_cut = False
        self.connection.waiting = Waiting(self.connection.clock, 30.0)

    def file(self, data: bytes = DATA) -> Path:
        path = self.folder / "scan.pdf"
        path.write_bytes(data)
        return path

    async def download(self, size: int = SIZE, sha256: bytes = SHA256) -> Path:
        target = self.folder / "fetched.pdf"
        attachment = document_pb2.Attachment(name="fetched.pdf", sha256=sha256, size_bytes=size)
        grant = self.mesh.grant([sha256], organization="G22")
        await Download(self.connection, attachment, target).run(grant)
        return target

    @property
    def part(self) -> Path:
        return self.folder / "fetched.pdf.part"


@pytest_asyncio.fixture
async def desk(mesh: Mesh, node: StorageNode, tmp_path: Path) -> AsyncIterator[Desk]:
    wire = await Wire(node.address, pause=0.002).open()
    tls = mesh.pki.tls("org/G22/client/app")
    async with Connection(tls, wire.address, "H01") as connection:
        yield Desk(mesh, node, wire, connection, tmp_path)
    await wire.close()


async def test_an_upload_that_breaks_twice_sends_each_byte_about_once(desk: Desk) -> None:
    desk.wire.cuts = [SIZE // 3, 2 * SIZE // 3]

    stored = await desk.agency.upload(desk.file(), progress=desk.note)

    assert (stored.sha256, stored.size_bytes) == (SHA256, SIZE)
    assert (desk.wire.cuts, desk.wire.connections) == ([], 3)
    # What was under way when the wire broke comes again: a window of the connection, twice.
    assert SIZE < desk.wire.to_target < SIZE * 1.5
    assert desk.told[-1] == (SIZE, SIZE)
    assert await desk.node.download(SHA256) == DATA
    assert desk.node.files() == [SHA256.hex()]


async def test_a_later_run_goes_on(desk: Desk) -> None:
    desk.cut_for_good(SIZE // 2)
    with pytest.raises(Unavailable):
        await desk.agency.upload(desk.file())
    desk.mend()
    sent = desk.wire.to_target

    await desk.agency.upload(desk.file(), progress=desk.note)

    first = desk.told[0][0]
    assert SIZE // 4 < first < SIZE
    assert desk.wire.to_target - sent < (SIZE - first) * 1.1
    assert await desk.node.download(SHA256) == DATA


async def test_what_the_node_has_is_not_sent_again(desk: Desk) -> None:
    await desk.agency.upload(desk.file())
    sent = desk.wire.to_target

    stored = await desk.agency.upload(desk.file(), progress=desk.note)

    assert stored.sha256 == SHA256
    assert stored.HasField("expire_time")
    assert desk.told == [(SIZE, SIZE)]
    assert desk.wire.to_target - sent < 20_000


@pytest.mark.parametrize("size", [0, 1, ASKED_FROM, ASKED_FROM + 1])
async def test_every_size_arrives(desk: Desk, size: int) -> None:
    stored = await desk.agency.upload(desk.file(DATA[:size]))

    assert (stored.sha256, stored.size_bytes) == (digest_of(DATA[:size]), size)
    target = await desk.download(size, stored.sha256)
    assert target.read_bytes() == DATA[:size]


async def test_a_spoilt_beginning_is_sent_again(desk: Desk) -> None:
    desk.cut_for_good(SIZE // 2)
    with pytest.raises(Unavailable):
        await desk.agency.upload(desk.file())
    [kept] = (desk.node.folder / "staging").iterdir()
    kept.write_bytes(bytes(kept.stat().st_size))
    desk.mend()

    await desk.agency.upload(desk.file())

    assert await desk.node.download(SHA256) == DATA


async def test_a_file_that_shrinks_meanwhile_is_refused(desk: Desk) -> None:
    path = desk.file()

    def shrink(over: int, _size: int) -> None:
        if not over:
            path.write_bytes(DATA[:1000])

    with pytest.raises(InvalidArgument, match="SIZE_MISMATCH"):
        await desk.agency.upload(path, progress=shrink)


async def test_a_download_that_breaks_goes_on(desk: Desk) -> None:
    await desk.node.upload(DATA)
    desk.wire.cut_after = SIZE // 2

    target = await desk.download()

    assert target.read_bytes() == DATA
    assert desk.wire.connections == 2
    assert desk.wire.from_target < SIZE * 1.4
    assert not desk.part.exists()


async def test_a_later_download_goes_on_from_the_part(desk: Desk) -> None:
    await desk.node.upload(DATA)
    desk.cut_for_good()
    desk.wire.cut_after = SIZE // 2
    with pytest.raises(Unavailable):
        await desk.download()
    here, came = desk.part.stat().st_size, desk.wire.from_target
    assert SIZE // 4 < here < SIZE
    desk.mend()

    target = await desk.download()

    assert target.read_bytes() == DATA
    assert desk.wire.from_target - came < (SIZE - here) * 1.1


@pytest.mark.parametrize("length", [1000, SIZE, SIZE + 1])
async def test_a_part_of_something_else_is_thrown_away(desk: Desk, length: int) -> None:
    await desk.node.upload(DATA)
    desk.part.write_bytes(bytes(length))

    assert (await desk.download()).read_bytes() == DATA
    assert not desk.part.exists()


@pytest.mark.parametrize("size", [SIZE - 1, 1000], ids=["one less", "far less"])
async def test_other_bytes_than_promised_leave_nothing(desk: Desk, size: int) -> None:
    await desk.node.upload(DATA)

    with pytest.raises(DataLoss, match="DIGEST_MISMATCH"):
        await desk.download(size)
    assert not desk.part.exists()
    assert not (desk.folder / "fetched.pdf").exists()
