"""One certificate's connection to one node, and patience with a node that is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TypeVar

import grpc
from lienthong.clock import Clock, SystemClock
from lienthong.errors import Aborted, DomainError, ResourceExhausted, Unavailable
from lienthong.ids import IdFactory, new_id
from lienthong.pki.trust import TrustStore
from lienthong.rpc.client import Channels
from lienthong.settings import SERVICES, TlsSettings

DEFAULT_PATIENCE: Final = 30.0

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 3.0
# Nothing was decided, or the server says when to come back: the same request may be sent again.
_PASSING: Final = (Unavailable, Aborted)

T = TypeVar("T")
StubT = TypeVar("StubT")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a call is repeated while the node is away; 0 = not at all."""

    clock: Clock
    patience: float = DEFAULT_PATIENCE

    async def repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of `call`, which must be safe to repeat: a read, or a mutation with its request id."""
        deadline = self.clock.monotonic() + self.patience
        delay = _FIRST_DELAY
        while True:
            try:
                return await call()
            except DomainError as error:
                if not is_passing(error):
                    raise
                pause = max(delay, error.retry_after or 0.0)
                if self.clock.monotonic() + pause > deadline:
                    raise
                await self.clock.sleep(pause)
                delay = min(delay * 2, _LONGEST_DELAY)


class Connection:
    """A node as its clients see it. `addresses` is one address, or one a service where they differ.

    `trust` judges envelopes; the roots of the connection by default.
    """

    def __init__(
        self,
        tls: TlsSettings,
        addresses: str | Mapping[str, str],
        node: str,
        *,
        trust: TrustStore | None = None,
        patience: float = DEFAULT_PATIENCE,
        clock: Clock | None = None,
        id_factory: IdFactory = new_id,
    ) -> None:
        named = dict.fromkeys(SERVICES, addresses) if isinstance(addresses, str) else dict(addresses)
        self.node = node
        self.clock = clock or SystemClock()
        self.new_id = id_factory
        self.trust = trust or TrustStore.load(tls.roots)
        self.waiting = Waiting(self.clock, patience)
        self._channels = Channels(tls, named, node=node)

    def stub(self, stub: Callable[[grpc.aio.Channel], StubT], service: str) -> StubT:
        """A stub of one of the node's services, for what this SDK does not wrap."""
        return self._channels.stub(stub, service)

    async def repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        """See Waiting.repeat."""
        return await self.waiting.repeat(call)

    async def watch(
        self,
        open_stream: Callable[[str], AsyncGenerator[T, None]],
        cursor_of: Callable[[T], str],
        cursor: str,
    ) -> AsyncGenerator[T, None]:
        """Items of a Watch behind `cursor`, for ever: a broken stream is opened again behind the last."""
        delay = _FIRST_DELAY
        while True:
            try:
                async with aclosing(open_stream(cursor)) as items:
                    async for item in items:
                        yield item
                        cursor, delay = cursor_of(item), _FIRST_DELAY
            except DomainError as error:
                if not is_passing(error):
                    raise
            await self.clock.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def wait_until(self, ask: Callable[[], Awaitable[T | None]], within: float) -> T | None:
        """Ask until the answer is not None, or None after so many seconds."""
        deadline = self.clock.monotonic() + within
        delay = 0.05
        while (answer := await ask()) is None:
            if self.clock.monotonic() > deadline:
                return None
            await self.clock.sleep(delay)
            delay = min(delay * 1.5, 1.0)
        return answer

    async def close(self) -> None:
        await self._channels.close()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self.close())


def is_passing(error: DomainError) -> bool:
    # Without a delay "exhausted" means a limit (a file too large), which time does not cure.
    return isinstance(error, _PASSING) or (
        isinstance(error, ResourceExhausted) and error.retry_after is not None
    )
