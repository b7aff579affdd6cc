"""Documents a second through four nodes, and the time of one: `python -m tests.bench.chain`.

Counted from the first byte that the sender streams until the last receipt `03` is back at the sender. Each
document has a letter (leader's and agency's signatures, the same bytes for all: sealing is left out) and an
annex of 10 KB of its own; its envelope is signed, verified and committed at every node; it is entered into
the outgoing register of the sender and, by a client that accepts it, into the incoming one of the recipient.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from lienthong.client import Agency
from lienthong.client.bulk import submit_all
from lienthong.mesh import Mesh

from tests.bench import limits
from tests.bench.harness import Result, percentile, report
from tests.bench.mesh import RECIPIENT, Paper, accept_all, both_ends, four_nodes, node_tls, paper

_ANNEX = 10 * 1024
_WARM = 64


async def _statuses(sender: Agency, cursor: str, count: int) -> tuple[float, float]:
    """When the last `01` and when the last `03` of so many documents came back."""
    delivered = accepted = 0
    last_delivered = last_accepted = 0.0
    async for item in sender.watch_receipts(cursor):
        if item.receipt.status == "01":
            delivered, last_delivered = delivered + 1, time.monotonic()
        elif item.receipt.status == "03":
            accepted, last_accepted = accepted + 1, time.monotonic()
        if delivered == accepted == count:
            break
    return last_delivered, last_accepted


async def _cursors(sender: Agency, recipient: Agency) -> tuple[str, str]:
    cursor = ""
    while True:
        page, cursor = await sender.receipts(cursor)
        if not page:
            break
    inbox = ""
    while True:
        deliveries, inbox = await recipient.inbox.list(inbox)
        if not deliveries:
            return cursor, inbox


async def throughput(mesh: Mesh, letter: Paper, documents: int, first: int) -> dict[str, float]:
    """Rates of one run, in documents a second from its beginning to the named event of the last document."""
    requests = [letter.request(first + number, [RECIPIENT]) for number in range(documents)]
    async with both_ends(mesh) as (sender, recipient):
        receipts, inbox = await _cursors(sender, recipient)
        async with asyncio.timeout(30 + documents), asyncio.TaskGroup() as group:
            began = time.monotonic()
            back = group.create_task(_statuses(sender, receipts, documents))
            group.create_task(accept_all(recipient, inbox, documents))
            taken = 0
            async for answer in submit_all(sender, requests):
                if answer.WhichOneof("outcome") != "submission":
                    raise AssertionError(f"refused: {answer.failure}")
                taken += 1
            submitted = time.monotonic()
        delivered, accepted = back.result()
    assert taken == documents
    rates = {"taken": submitted, "delivered, 01 back": delivered, "accepted, 03 back": accepted}
    return {name: documents / (end - began) for name, end in rates.items()}


async def latency(mesh: Mesh, letter: Paper, documents: int, first: int) -> list[float]:
    """Milliseconds from submit to the `01` at the sender, one document after another."""
    times: list[float] = []
    async with both_ends(mesh) as (sender, recipient):
        cursor, _ = await _cursors(sender, recipient)
        receipts = sender.watch_receipts(cursor)
        for number in range(documents):
            request = letter.request(first + number, [RECIPIENT])
            began = time.monotonic()
            async for answer in submit_all(sender, [request]):
                assert answer.WhichOneof("outcome") == "submission", answer
            async for item in receipts:
                if item.receipt.status == "01":
                    break
            times.append((time.monotonic() - began) * 1000)
        await receipts.aclose()
    return times


async def measure(mesh: Mesh, folder: Path, documents: int, singles: int) -> list[Result]:
    """All of this file's results, limits beside them."""
    letter = await paper(mesh, folder, _ANNEX)
    await throughput(mesh, letter, _WARM, 1)
    rates = await throughput(mesh, letter, documents, 1_000_000)
    times = await latency(mesh, letter, singles, 2_000_000)
    stream = await limits.bare_stream(node_tls(mesh), documents=4096, size=_ANNEX)
    commits = await limits.bare_commits(mesh.databases.server("G22").url(), documents=4096, size=_ANNEX)
    results = []
    for name, rate in rates.items():
        results.append(Result(f"chain of 4: {name} / bare stream", rate, "documents/s", stream))
        results.append(Result(f"chain of 4: {name} / bare commits", rate, "documents/s", commits))
    for percent in (50, 99):
        results.append(
            Result(f"one document, idle chain of 4: 01 back, p{percent}", percentile(times, percent), "ms")
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.chain", description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=100)
    chosen = parser.parse_args()
    with four_nodes() as mesh:
        results = asyncio.run(measure(mesh, mesh.layout.folder, chosen.documents, chosen.singles))
    report("Four nodes in a row", results)


if __name__ == "__main__":
    main()
