"""One gigabyte through one link, beside a bare stream: `python -m tests.bench.link`.

Counted from the commit of the issue at the sender's node until the delivery at the neighbour: with reading,
TLS, SHA-256 and fsync on the other side. The file is above the size that is parsed: the signature is apart.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from lienthong.client import ANNEX, MAIN
from lienthong.mesh import Mesh

from tests.bench import limits
from tests.bench.harness import Result, report
from tests.bench.mesh import SENDER, four_nodes, node_tls
from tests.mesh.mail import already_issued, document, sealed_letter
from tests.support.mesh import agency

_NEIGHBOUR = "H01"
_BLOCK = 1024 * 1024


def _large(path: Path, size: int) -> Path:
    """A file that no one could compress, quickly made."""
    block = bytearray(os.urandom(_BLOCK))
    with path.open("wb") as file:
        for number in range(size // _BLOCK):
            block[:8] = number.to_bytes(8, "big")
            file.write(block)
    return path


async def measure(mesh: Mesh, folder: Path, size: int) -> list[Result]:
    """MB a second: up from the client, and over the link."""
    letter = await sealed_letter(mesh, SENDER, folder / "cong-van.pdf")
    large = await asyncio.to_thread(_large, folder / "phu-luc.pdf", size)
    async with agency(mesh, SENDER) as sender, agency(mesh, SENDER, "leader") as leader:
        began = time.monotonic()
        annex = await sender.attach(large, ANNEX)
        uploaded = time.monotonic() - began
        annex.detached_signatures.append(await leader.signing.sign_digest(large))
        paper = document(SENDER, await sender.attach(letter, MAIN), annex)
        async with agency(mesh, _NEIGHBOUR) as recipient:
            _, cursor = await recipient.inbox.list()
            submission = await sender.submit(paper, [_NEIGHBOUR], already_issued(1))
            issued = await sender.wait_issued(submission.submission_id)
            began = time.monotonic()
            async with asyncio.timeout(600):
                async for _ in recipient.inbox.watch(cursor):
                    break
            moved = time.monotonic() - began
        assert issued.document.attachments[1].size_bytes == size
    bare = await limits.bare_bytes(node_tls(mesh), size=size)
    rate = size / 1e6
    return [
        Result(f"upload of {rate:,.0f} MB / bare stream", rate / uploaded, "MB/s", bare),
        Result(f"{rate:,.0f} MB over one link / bare stream", rate / moved, "MB/s", bare),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.link", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    size = parser.parse_args().megabytes * _BLOCK
    with four_nodes() as mesh:
        report("One link", asyncio.run(measure(mesh, mesh.layout.folder, size)))


if __name__ == "__main__":
    main()
