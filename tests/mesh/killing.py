"""Kills the nodes of a mesh at random moments and starts them again, each a given number of times."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from lienthong.mesh import Mesh

# Longest that a killed node takes to serve again on a machine that also does other things.
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Kill:
    """How one life of a node ends: after `life` seconds, counted from SERVING or (early) from its start."""

    life: float
    early: bool
    absence: float


@dataclass(slots=True)
class Pace:
    """Keeps sending and killing abreast, so that mail is on its way at every kill, on any machine."""

    documents: int
    deaths: int
    acknowledged: int = 0
    started: int = 0
    kills: int = 0

    _AHEAD: ClassVar[int] = 3

    async def to_send(self) -> None:
        """Return when the next document may be sent."""
        while self.started * self.deaths >= self.documents * (self.kills + self._AHEAD):
            await asyncio.sleep(_POLL_SECONDS)
        self.started += 1

    async def to_kill(self) -> None:
        """Return when the next node may die."""
        while self.acknowledged * self.deaths < self.documents * (self.kills - 1):
            await asyncio.sleep(_POLL_SECONDS)
        self.kills += 1


@dataclass(slots=True)
class Killer:
    """Nodes die independently of each other, so that also several are away at once."""

    mesh: Mesh
    fates: dict[str, list[Kill]]
    pace: Pace
    kills: Counter[str] = field(default_factory=Counter)

    @classmethod
    def drawn(cls, mesh: Mesh, rng: random.Random, nodes: Sequence[str], pace: Pace) -> Killer:
        """The same kills for the same seed; their moments still fall differently in every run."""
        fates: dict[str, list[Kill]] = {node: [] for node in nodes}
        # Every node dies: the first round goes to each, the rest where the dice fall.
        victims = [*nodes, *rng.choices(nodes, k=pace.deaths - len(nodes))]
        for node in victims:
            early = rng.random() < 0.15
            fates[node].append(
                Kill(rng.uniform(0.2, 3.0) if early else rng.uniform(0.3, 6.0), early, rng.uniform(0.0, 0.8))
            )
        return cls(mesh, fates, pace)

    async def run(self) -> None:
        """Return when every node has died as often as drawn and serves again."""
        async with asyncio.TaskGroup() as group:
            for node, fate in self.fates.items():
                group.create_task(self._one(node, fate))

    async def _one(self, node: str, fate: Sequence[Kill]) -> None:
        for kill in fate:
            if not kill.early:
                await self._serving(node)
            await asyncio.sleep(kill.life)
            await self.pace.to_kill()
            await asyncio.to_thread(self.mesh.kill, node)
            self.kills[node] += 1
            await asyncio.sleep(kill.absence)
            await asyncio.to_thread(self.mesh.start_node, node)
        await self._serving(node)

    async def _serving(self, node: str) -> None:
        await asyncio.to_thread(self.mesh.wait_ready, [node], timeout=_READY_SECONDS)
