"""What routing asks of the directory, kept for some seconds: who is served where, which way is next."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lienthong.clock import Clock
from lienthong.errors import DomainError
from lienthong.registry.v1 import directory_pb2 as pb
from lienthong.rpc.deadline import detached

from services.routing.domain import AWAY, Tree

if TYPE_CHECKING:
    from lienthong.registry.v1.directory_pb2_grpc import DirectoryServiceAsyncStub

# A directory changes a few times a year; a change takes effect here after so many seconds.
_FRESH_SECONDS: Final = 10.0
_MAX_KNOWN: Final = 50_000
# So that an answer with long names stays under the limit of a message.
_RESOLVE_ITEMS: Final = 4_000


class Turn:
    """One task that asks for all who wait. Its answer is theirs and so is its failure: a directory that hangs
    keeps each of them for one time-out, not for one of every other's before him."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def share(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for whoever asks already, else ask."""
        if self._task is None or self._task.done():
            with detached():  # the answer is everybody's: not bound to the first one's deadline
                self._task = asyncio.create_task(ask())
            self._task.add_done_callback(self._done)
        await asyncio.shield(self._task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled():
            task.exception()  # looked at, also where everybody who waited has gone


@dataclass(slots=True)
class _Known:
    """What was found since `time`, and what is to be asked next: never two ages at once."""

    time: float
    items: dict[str, pb.ResolvedRecipient] = field(default_factory=dict)
    wanted: dict[str, None] = field(default_factory=dict)
    asking: Turn = field(default_factory=Turn)


class Directory:
    """A bounded cache in front of DirectoryService."""

    def __init__(self, stub: DirectoryServiceAsyncStub, node: str, clock: Clock) -> None:
        self._stub = stub
        self._node = node
        self._clock = clock
        self._tree = Tree({})
        self._tree_time = float("-inf")
        self._known = _Known(float("-inf"))
        self._asking_tree = Turn()

    async def tree(self) -> Tree:
        """The nodes with their parents."""
        if self._clock.monotonic() - self._tree_time > _FRESH_SECONDS:
            await self._asking_tree.share(self._ask_tree)
        return self._tree

    async def _ask_tree(self) -> None:
        nodes = (await self._stub.ListNodes(pb.ListNodesRequest())).nodes
        self._tree = Tree({node.node: node.parent for node in nodes})
        self._tree_time = self._clock.monotonic()

    async def resolve(self, codes: Sequence[str]) -> list[pb.ResolvedRecipient]:
        """Where mail for these codes goes today, in their order; each may carry a reason instead."""
        now = self._clock.monotonic()
        if now - self._known.time > _FRESH_SECONDS or len(self._known.items) > _MAX_KNOWN:
            self._known = _Known(now)
        known = self._known
        # Twice: the question under way may have begun before these were wanted; the next one has them.
        for _ in range(2):
            missing = [code for code in dict.fromkeys(codes) if code not in known.items]
            if not missing:
                break
            known.wanted.update(dict.fromkeys(missing))
            try:
                await known.asking.share(partial(self._ask_wanted, known))
            except AWAY:
                raise  # true of all who wait: who asked again would only wait as long again
            except DomainError:
                await self._ask(known.items, missing)  # somebody's question was at fault: each by itself
        return [known.items[code] for code in codes]

    async def _ask_wanted(self, known: _Known) -> None:
        wanted = list(known.wanted)
        known.wanted.clear()
        await self._ask(known.items, wanted)

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
