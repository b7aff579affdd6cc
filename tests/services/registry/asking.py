"""A served registry as its tests see it, and the requests that they send."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from lienthong.clock import FakeClock
from lienthong.db import Database
from lienthong.registry.v1 import register_pb2 as pb
from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceStub
from lienthong.registry.v1.register_pb2_grpc import RegisterServiceStub

from tests.support.serving import Pki

if TYPE_CHECKING:  # the generated modules have these classes only in their stubs
    from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceAsyncStub
    from lienthong.registry.v1.register_pb2_grpc import RegisterServiceAsyncStub

EXAMPLE = Path(__file__).parents[3] / "services/registry/examples/four-levels.yaml"
ROUTING = "node/H01/routing"


@dataclass
class Registry:
    """A served registry and the channels of its callers."""

    address: str
    database: Database
    clock: FakeClock
    pki: Pki
    stack: AsyncExitStack
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def channel(self, who: str) -> grpc.aio.Channel:
        if who not in self.channels:
            channel = self.pki.channel(who, "H01", self.address)
            self.stack.push_async_callback(channel.close)
            self.channels[who] = channel
        return self.channels[who]

    def register(self, who: str = ROUTING) -> RegisterServiceAsyncStub:
        return RegisterServiceStub(self.channel(who))

    def directory(self, who: str = ROUTING) -> DirectoryServiceAsyncStub:
        return DirectoryServiceStub(self.channel(who))


def new_id() -> str:
    return str(uuid.uuid4())


def reservation(request_id: str = "", **fields: object) -> pb.Reservation:
    facts: dict[str, object] = {"organization": "H01", "notation": "QĐ-MAU", **fields}
    return pb.Reservation(request_id=request_id or new_id(), **facts)  # type: ignore[arg-type]


async def reserve(stub: RegisterServiceAsyncStub, *items: pb.Reservation) -> list[pb.ReservedNumber]:
    request = pb.ReserveNumbersRequest(reservations=items or [reservation()])
    return list((await stub.ReserveNumbers(request)).numbers)


def outgoing(year: int = 2026, organization: str = "H01", series: str = "") -> pb.Book:
    return pb.Book(organization=organization, direction=pb.DIRECTION_OUTGOING, year=year, series=series)


def incoming(year: int = 2026, organization: str = "H01") -> pb.Book:
    return pb.Book(organization=organization, direction=pb.DIRECTION_INCOMING, year=year)


async def issue(stub: RegisterServiceAsyncStub, entry_id: str, **description: object) -> str:
    item = pb.Issue(
        request_id=new_id(),
        entry_id=entry_id,
        description=pb.Description(**description),  # type: ignore[arg-type]
    )
    return (await stub.IssueEntries(pb.IssueEntriesRequest(issues=[item]))).entry_ids[0]


async def void(stub: RegisterServiceAsyncStub, entry_id: str, reason: str = "trùng (MẪU)") -> None:
    await stub.VoidEntry(pb.VoidEntryRequest(request_id=new_id(), entry_id=entry_id, reason=reason))


async def check(stub: RegisterServiceAsyncStub, book: pb.Book) -> pb.CheckRegisterResponse:
    return await stub.CheckRegister(pb.CheckRegisterRequest(book=book))
