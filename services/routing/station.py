"""What every part of one node's routing shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.ids import IdFactory
from lienthong.queue import Wakeups

from services.routing.directory import Directory

Checkpoint = Callable[[str], Awaitable[None]]


async def no_checkpoint(_step: str) -> None:
    """Production: nothing happens between two steps. Tests let a node die here."""


@dataclass(frozen=True, slots=True)
class Station:
    """One node's routing: its name, its database, its view of the directory, its time and its ids."""

    node: str
    db: Database
    directory: Directory
    wakeups: Wakeups
    clock: Clock
    new_id: IdFactory
    checkpoint: Checkpoint = no_checkpoint
