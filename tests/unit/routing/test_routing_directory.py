"""What routing remembers of the directory is never two ages at once."""

from __future__ import annotations

import asyncio

import pytest
from lienthong.clock import FakeClock
from lienthong.errors import DomainError, InvalidArgument, Unavailable
from lienthong.registry.v1 import directory_pb2 as pb

from services.routing.directory import Directory


class Register:
    """The two answers of a directory that grows: a hand-made neighbour, not one of our services."""

    def __init__(self) -> None:
        self.nodes = {"G22": "", "H01": "G22"}
        self.asked_trees = 0
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: DomainError | None = None

    async def ListNodes(self, request: pb.ListNodesRequest) -> pb.ListNodesResponse:
        self.asked_trees += 1
        await self._answering()
        nodes = [pb.Node(node=node, parent=parent) for node, parent in self.nodes.items()]
        return pb.ListNodesResponse(nodes=nodes)

    async def _answering(self) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def ResolveRecipients(self, request: pb.ResolveRecipientsRequest) -> pb.ResolveRecipientsResponse:
        self.asked.append(list(request.codes))
        await self._answering()
        if "?" in request.codes:
            raise InvalidArgument("CODES_INVALID")
        found = [
            pb.ResolvedRecipient(code=code, organization=pb.Organization(code=code, node=code))
            if code in self.nodes
            else pb.ResolvedRecipient(code=code, reason="ORGANIZATION_UNKNOWN")
            for code in request.codes
        ]
        return pb.ResolveRecipientsResponse(recipients=found)


async def test_mail_for_a_node_that_has_just_joined_goes_down_to_it() -> None:
    register = Register()
    directory = Directory(register, "H01", FakeClock())  # type: ignore[arg-type]
    assert await directory.split(["G22"]) == {"G22": ["G22"]}
    register.nodes["H01.20"] = "H01"
    assert await directory.split(["H01.20", "G22"]) == {"H01.20": ["H01.20"], "G22": ["G22"]}
    assert register.asked_trees == 2
    await directory.split(["H01.20"])
    assert register.asked_trees == 2, "known now"


def waiting(register: Register) -> list[asyncio.Task[list[pb.ResolvedRecipient]]]:
    """Five who ask at one moment, each for another organization."""
    directory = Directory(register, "H01", FakeClock())  # type: ignore[arg-type]
    register.gate.clear()
    return [asyncio.create_task(directory.resolve([f"G{number:02d}", "G22"])) for number in range(5)]


async def test_a_directory_that_hangs_fails_all_who_wait_at_once() -> None:
    register = Register()
    asking = waiting(register)
    await asyncio.sleep(0)
    register.failure = Unavailable("PEER_UNAVAILABLE", "away")
    register.gate.set()
    told = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 1)
    assert [type(answer) for answer in told] == [Unavailable] * 5
    assert len(register.asked) == 1, "not one after the other"


async def test_a_tree_that_hangs_fails_all_who_wait_and_nobody_after() -> None:
    register = Register()
    directory = Directory(register, "H01", FakeClock())  # type: ignore[arg-type]
    register.gate.clear()
    asking = [asyncio.create_task(directory.tree()) for _ in range(5)]
    await asyncio.sleep(0)
    register.failure = Unavailable("PEER_UNAVAILABLE", "away")
    register.gate.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(answer) for answer in told] == [Unavailable] * 5
    assert register.asked_trees == 1
    register.failure = None
    assert (await directory.tree()).parents == {"G22": "", "H01": "G22"}


async def test_what_many_want_is_asked_together() -> None:
    register = Register()
    asking = waiting(register)
    await asyncio.sleep(0.01)
    register.gate.set()
    answers = await asyncio.gather(*asking)
    assert [[item.code for item in answer] for answer in answers] == [[f"G{n:02d}", "G22"] for n in range(5)]
    assert len(register.asked) <= 2
    assert sorted(code for codes in register.asked for code in codes) == [
        *(f"G{n:02d}" for n in range(5)),
        "G22",
    ]


async def test_a_question_at_fault_harms_only_who_asked_it() -> None:
    register = Register()
    directory = Directory(register, "H01", FakeClock())  # type: ignore[arg-type]
    asking = [asyncio.create_task(directory.resolve([code])) for code in ("G22", "?", "H01")]
    good, bad, also_good = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(bad, InvalidArgument)
    assert not isinstance(good, BaseException)
    assert not isinstance(also_good, BaseException)
    assert [item.code for item in (*good, *also_good)] == ["G22", "H01"]


async def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    register = Register()
    first, *others = waiting(register)
    await asyncio.sleep(0.01)
    first.cancel()
    register.gate.set()
    assert len(await asyncio.gather(*others)) == 4
    with pytest.raises(asyncio.CancelledError):
        await first
