"""Four nodes to measure, and the documents that are sent through them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from lienthong.client import ANNEX, MAIN, Agency
from lienthong.mesh import Mesh, Topology
from lienthong.routing.v1 import submission_pb2
from lienthong.settings import TlsSettings
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import already_issued, document, sealed_letter
from tests.support.mesh import agency

SENDER: Final = "G22"
RECIPIENT: Final = "H01.15.07"
CHAIN: Final = ("G22", "H01", "H01.15", "H01.15.07")


@contextmanager
def four_nodes(**options: object) -> Iterator[Mesh]:
    """The shipped mesh, ready."""
    with (
        tempfile.TemporaryDirectory(prefix="lienthong-bench-") as folder,
        Mesh.start(Topology.four_levels(), Path(folder) / "mesh", **options) as mesh,  # type: ignore[arg-type]
    ):
        mesh.wait_ready()
        yield mesh


def node_tls(mesh: Mesh, node: str = SENDER) -> TlsSettings:
    """The certificate of a node, for the bare streams."""
    return mesh.layout.node(node).tls


@dataclass(frozen=True, slots=True)
class Paper:
    """A signed and sealed letter, uploaded once, and small annexes that are each other bytes."""

    main: document_pb2.Attachment
    annex_bytes: int

    def request(self, number: int, recipients: Sequence[str]) -> submission_pb2.SubmitDocumentRequest:
        """One document of many; its annex rides in the request."""
        annex = text_pdf(self.annex_bytes)
        part = document_pb2.Attachment(
            name=f"phu-luc-{number}.pdf",
            role=ANNEX,
            media_type="application/pdf",
            size_bytes=len(annex),
            sha256=_digest(annex),
        )
        paper = document(SENDER, self.main, part, subject=f"V/v đo tốc độ MẪU số {number}")
        return submission_pb2.SubmitDocumentRequest(
            request_id=str(uuid4()),
            document=paper,
            recipients=recipients,
            already_issued=already_issued(number),
            inline_contents=[annex],
        )


async def paper(mesh: Mesh, folder: Path, annex_bytes: int = 10 * 1024) -> Paper:
    """Sign and upload the letter that all documents share: sealing is not what is measured."""
    path = await sealed_letter(mesh, SENDER, folder / "cong-van.pdf")
    async with agency(mesh, SENDER) as client:
        return Paper(await client.attach(path, MAIN), annex_bytes)


@asynccontextmanager
async def both_ends(mesh: Mesh) -> AsyncIterator[tuple[Agency, Agency]]:
    """The sender's and the recipient's software."""
    async with agency(mesh, SENDER) as sender, agency(mesh, RECIPIENT) as recipient:
        yield sender, recipient


async def accept_all(recipient: Agency, cursor: str, count: int, callers: int = 64) -> None:
    """Accept every delivery behind the cursor until so many are: the arrival register fills."""
    waiting: asyncio.Queue[str | None] = asyncio.Queue(maxsize=4 * callers)

    async def accept() -> None:
        while (delivery_id := await waiting.get()) is not None:
            await recipient.inbox.accept(delivery_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(accept())
        seen = 0
        async for delivery in recipient.inbox.watch(cursor):
            await waiting.put(delivery.delivery_id)
            seen += 1
            if seen == count:
                break
        for _ in range(callers):
            await waiting.put(None)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def text_pdf(size: int) -> bytes:
    """A PDF of one page and exactly `size` bytes, none like another."""
    head = b"%PDF-1.7\n"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
    )
    filler = max(0, size - 600)
    stream = b"% " + os.urandom(filler // 2).hex().encode()
    parts, offsets, place = [head], [], len(head)
    bodies = [*objects, b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream)]
    for number, body in enumerate(bodies, 1):
        part = b"%d 0 obj\n%s\nendobj\n" % (number, body)
        offsets.append(place)
        parts.append(part)
        place += len(part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail = b"xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return b"".join(parts) + tail % (table, place)
