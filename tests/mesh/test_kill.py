"""THE promise, under fire: nodes are killed again and again with mail on its way; nothing is lost or doubled.

The seed is printed; LIENTHONG_SEED repeats a run's plan (who sends what to whom, which node dies how often).
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from lienthong.client import Agency
from lienthong.errors import Aborted, Unavailable
from lienthong.ids import sub_id
from lienthong.mesh import Mesh, Topology
from lienthong.routing.v1 import inbox_pb2

from tests.mesh.killing import Killer, Pace
from tests.mesh.mail import Ledger, Mission, Papers, plan, receivers, submit
from tests.mesh.reckoning import (
    all_accepted,
    check_recipients,
    check_senders,
    check_transfers,
    nothing_on_its_way,
)
from tests.support.mesh import agency

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(420)]

DOCUMENTS = 200
ISSUED_HERE = 24
KILLS = 30
SUBMITTERS = 6
LETTERS = 3
DRAIN_SECONDS = 90.0

T = TypeVar("T")


@dataclass(slots=True)
class Fire:
    """One run: what was acknowledged, accepted and repeated."""

    mesh: Mesh
    papers: Papers
    ledger: Ledger
    pace: Pace
    rng: random.Random
    repeats: int = 0
    accepted: set[str] = field(default_factory=set)
    fetched: int = 0

    async def send(self, missions: Sequence[Mission]) -> None:
        """One submitter: a document after the other, each until it is acknowledged."""
        for mission in missions:
            await self.pace.to_send()
            async with agency(
                self.mesh, mission.sender, "clerk" if mission.issue_here else "client"
            ) as client:
                submission = await self._patiently(partial(submit, client, self.papers, mission))
            self.ledger.acknowledged(submission, mission)
            self.pace.acknowledged += 1

    async def receive(self, code: str, folder: Path) -> None:
        """One organization's software: watches its inbox, fetches some, accepts all. Runs until cancelled."""
        async with agency(self.mesh, code) as client, asyncio.TaskGroup() as group:
            places = asyncio.Semaphore(8)
            async for delivery in client.inbox.watch():
                await places.acquire()
                task = group.create_task(self._accept(client, delivery, folder))
                task.add_done_callback(lambda _: places.release())

    async def _accept(self, client: Agency, delivery: inbox_pb2.Delivery, folder: Path) -> None:
        assert delivery.delivery_id not in self.accepted, "one delivery was shown twice to one watcher"
        self.accepted.add(delivery.delivery_id)
        if self.rng.random() < 0.2:
            await self._patiently(
                partial(client.inbox.fetch, delivery.delivery_id, folder / delivery.delivery_id)
            )
            self.fetched += 1
        request_id = sub_id(UUID(delivery.delivery_id), "accept")
        await self._patiently(partial(client.inbox.report, delivery.delivery_id, "03", request_id=request_id))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a client's program does when the client's own patience ended: the same request again."""
        while True:
            try:
                return await call()
            except (Unavailable, Aborted):
                self.repeats += 1


@pytest.fixture
def burning(tmp_path: Path) -> Iterator[Mesh]:
    """A mesh of its own. Leases are short, so that a killed node's work is taken up within seconds."""
    overrides = {"routing": {"lease_seconds": 4.0}}
    with Mesh.start(Topology.four_levels(), tmp_path / "data", overrides=overrides) as mesh:
        mesh.wait_ready()
        yield mesh


async def test_nothing_is_lost_or_doubled_when_nodes_are_killed(
    burning: Mesh, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("LIENTHONG_SEED", "20240607"))
    with capsys.disabled():
        print(f"\nLIENTHONG_SEED={seed}", flush=True)
    rng = random.Random(seed)
    missions = plan(rng, receivers(burning), documents=DOCUMENTS, here=ISSUED_HERE)
    papers = await Papers.make(burning, tmp_path, missions, letters=LETTERS)
    nodes = [node.node for node in burning.topology.nodes]
    pace = Pace(DOCUMENTS, KILLS)
    killer = Killer.drawn(burning, rng, nodes, pace)
    fire = Fire(burning, papers, Ledger(tmp_path / "ledger.jsonl"), pace, rng)
    began = time.monotonic()
    times: dict[str, float] = {}

    async with asyncio.TaskGroup() as group:
        watchers = [
            group.create_task(fire.receive(code, _folder(tmp_path / "got" / code)))
            for code in receivers(burning)
        ]
        killing = group.create_task(killer.run())
        senders = [group.create_task(fire.send(missions[n::SUBMITTERS])) for n in range(SUBMITTERS)]
        await asyncio.wait(senders)
        times["sent"] = time.monotonic() - began
        await killing
        times["killed"] = time.monotonic() - began
        await all_accepted(burning, fire.ledger, DRAIN_SECONDS)
        await nothing_on_its_way(burning, DRAIN_SECONDS)
        times["drained"] = time.monotonic() - began
        for watcher in watchers:
            watcher.cancel()

    assert sum(killer.kills.values()) == KILLS
    assert len(fire.ledger.entries) == DOCUMENTS
    transfers, offers = await check_transfers(burning)
    deliveries = await check_recipients(burning, fire.ledger)
    numbers = await check_senders(burning, fire.ledger)
    assert deliveries == fire.ledger.deliveries == len(fire.accepted)
    times["checked"] = time.monotonic() - began
    with capsys.disabled():
        print(_table(fire, killer, times, (transfers, offers, numbers)), flush=True)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _table(fire: Fire, killer: Killer, times: dict[str, float], counts: tuple[int, int, int]) -> str:
    transfers, offers, numbers = counts
    rows = {
        "documents acknowledged": len(fire.ledger.entries),
        "numbers taken here": numbers,
        "deliveries accepted": len(fire.accepted),
        "deliveries fetched": fire.fetched,
        "transfers of all nodes": transfers,
        "  offered more than once": offers,
        "kills": sum(killer.kills.values()),
        **{f"  {node}": count for node, count in sorted(killer.kills.items())},
        "calls past patience": fire.repeats,
        "lost": fire.ledger.deliveries - len(fire.accepted),
        **{f"seconds until {name}": f"{seconds:.1f}" for name, seconds in times.items()},
    }
    return "\n".join(f"{name:<28}{value:>10}" for name, value in rows.items())
