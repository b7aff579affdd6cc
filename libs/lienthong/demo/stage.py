"""What every act of the day works with: the mesh, everybody's desk, folders, clock, and the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

from lienthong.client import Agency, Fetched
from lienthong.clock import Clock
from lienthong.demo.desks import Desks
from lienthong.demo.screen import Screen
from lienthong.demo.seen import Arrival, Report, Sent
from lienthong.ids import IdFactory
from lienthong.mesh import Mesh, Topology
from lienthong.pki.identity import Kind
from lienthong.times import vietnam_day

PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """Shared by all acts; nothing in it changes."""

    mesh: Mesh
    desks: Desks
    screen: Screen
    clock: Clock
    new_id: IdFactory
    folder: Path

    @property
    def topology(self) -> Topology:
        return self.mesh.topology

    @property
    def today(self) -> date:
        return vietnam_day(self.clock.now())

    def drafts(self, organization: str) -> Path:
        """Where an organization's own files lie before they are sent."""
        folder = self.folder / organization / "soan-thao"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def received(self, organization: str) -> Path:
        """Where an organization's client puts what it received."""
        return self.folder / organization / "van-ban-den"

    def actor(self, organization: str) -> str:
        """The clerk whom an organization's software names when it reports a status."""
        return self.desks.person(organization, Kind.CLERK).title

    async def until(
        self,
        what: str,
        ask: Callable[[], Awaitable[T | None]],
        *,
        within: float = PATIENCE_SECONDS,
        every: float = _POLL_SECONDS,
    ) -> T:
        """Ask until there is an answer; TimeoutError that says what did not come."""
        deadline = self.clock.monotonic() + within
        while (answer := await ask()) is None:
            if self.clock.monotonic() > deadline:
                raise TimeoutError(f"waited {within:.0f} s in vain for {what}")
            await self.clock.sleep(every)
        return answer


async def receive(stage: Stage, sent: Sent, organization: str) -> Arrival:
    """A recipient's client finds the document, downloads all files, and has each judged at its own node."""
    agency = stage.desks.software(organization)

    async def found() -> str | None:
        items = [d for d in await agency.inbox.all() if d.document.document_id == sent.document_id]
        return items[0].delivery_id if items else None

    delivery_id = await stage.until(f"{organization}: inbox", found)
    fetched = await agency.inbox.fetch(delivery_id, stage.received(organization))
    judged = await judge(agency, fetched)
    await agency.inbox.confirm(delivery_id)
    node = stage.topology.organization(organization).node
    return Arrival(organization, node, fetched, judged)


async def judge(agency: Agency, fetched: Fetched) -> Mapping[bytes, Report]:
    """Every file's judgement by the client's own node, with the path as downloaded."""
    reports = await asyncio.gather(*(agency.signing.validate(path) for path in fetched.files.values()))
    return dict(zip(fetched.files, reports, strict=True))


async def wait_receipts(stage: Stage, sent: Sent, status: str, recipients: tuple[str, ...]) -> None:
    """Return when the sender's client has this status from all of these recipients."""
    agency = stage.desks.software(sent.sender)

    async def all_there() -> bool | None:
        receipts = await agency.all_receipts(sent.document_id)
        known = {receipt.recipient for receipt in receipts if receipt.status == status}
        return True if known >= set(recipients) else None

    await stage.until(f"{sent.sender}: receipts {status} from {', '.join(recipients)}", all_there)
