"""What routing remembers of the directory is never two ages at once."""

from __future__ import annotations

from lienthong.clock import FakeClock
from lienthong.registry.v1 import directory_pb2 as pb

from services.routing.directory import Directory


class Register:
    """The two answers of a directory that grows: a hand-made neighbour, not one of our services."""

    def __init__(self) -> None:
        self.nodes = {"G22": "", "H01": "G22"}
        self.asked_trees = 0

    async def ListNodes(self, request: pb.ListNodesRequest) -> pb.ListNodesResponse:
        self.asked_trees += 1
        nodes = [pb.Node(node=node, parent=parent) for node, parent in self.nodes.items()]
        return pb.ListNodesResponse(nodes=nodes)

    async def ResolveRecipients(self, request: pb.ResolveRecipientsRequest) -> pb.ResolveRecipientsResponse:
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
