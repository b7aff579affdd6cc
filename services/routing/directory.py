"""What routing asks of the directory, kept for some seconds: who is served where, which way is next."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from lienthong.clock import Clock
from lienthong.registry.v1 import directory_pb2 as pb

from services.routing.domain import Tree

if TYPE_CHECKING:
    from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceAsyncStub

# A directory changes a few times a year; a change takes effect here after so many seconds.
_FRESH_SECONDS: Final = 10.0
_MAX_KNOWN: Final = 50_000
# So that an answer with long names stays under the limit of a message.
_RESOLVE_ITEMS: Final = 4_000


class Directory:
    """A bounded cache in front of DirectoryService."""

    def __init__(self, stub: DirectoryServiceAsyncStub, node: str, clock: Clock) -> None:
        self._stub = stub
        self._node = node
        self._clock = clock
        self._known: dict[str, pb.ResolvedRecipient] = {}
        self._tree = Tree({})
        self._tree_time = float("-inf")
        self._known_time = float("-inf")
        # A bulk of documents asks the same at one moment: one asks, the others find the answer.
        self._asking = asyncio.Lock()

    async def tree(self) -> Tree:
        """The nodes with their parents."""
        if self._clock.monotonic() - self._tree_time > _FRESH_SECONDS:
            async with self._asking:
                if self._clock.monotonic() - self._tree_time > _FRESH_SECONDS:
                    nodes = (await self._stub.ListNodes(pb.ListNodesRequest())).nodes
                    self._tree = Tree({node.node: node.parent for node in nodes})
                    self._tree_time = self._clock.monotonic()
        return self._tree

    async def resolve(self, codes: Sequence[str]) -> list[pb.ResolvedRecipient]:
        """Where mail for these codes goes today, in their order; each may carry a reason instead."""
        now = self._clock.monotonic()
        if now - self._known_time > _FRESH_SECONDS or len(self._known) > _MAX_KNOWN:
            self._known, self._known_time = {}, now
        known = self._known
        if any(code not in known for code in codes):
            async with self._asking:
                await self._ask(known, [code for code in dict.fromkeys(codes) if code not in known])
        return [known[code] for code in codes]

    async def _ask(self, known: dict[str, pb.ResolvedRecipient], missing: Sequence[str]) -> None:
        for start in range(0, len(missing), _RESOLVE_ITEMS):
            request = pb.ResolveRecipientsRequest(codes=missing[start : start + _RESOLVE_ITEMS])
            response = await self._stub.ResolveRecipients(request)
            known.update({item.code: item for item in response.recipients})

    async def serving_nodes(self, codes: Sequence[str]) -> dict[str, str]:
        """The node that serves each code; "" where it cannot receive."""
        found = await self.resolve(codes)
        return {item.code: "" if item.reason else item.organization.node for item in found}

    async def split(self, organizations: Sequence[str]) -> Mapping[str, list[str]]:
        """Organizations by next hop: a neighbour, or this node for its own and for those without a way."""
        tree = await self.tree()
        nodes = await self.serving_nodes(organizations)
        if any(node and node not in tree.parents for node in nodes.values()):
            # A node that has just joined: by the older tree its mail would go up, and come back as a LOOP.
            self._tree_time = float("-inf")
            tree = await self.tree()
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for organization in organizations:
            node = nodes[organization]
            next_hop = tree.next_hop(self._node, node) if node else None
            groups[next_hop or self._node].append(organization)
        return groups
