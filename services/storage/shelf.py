"""Blobs as a link carries them: the start of one, its pieces, the start of the next.

Both directions use the same two ends: `Shelf.parts` gives, an `Assembly` takes. Each blob is judged and
durable before the next begins, so what a broken stream brought is not brought again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from lienthong.db import Database
from lienthong.errors import InvalidArgument, NotFound

from services.storage import store
from services.storage.blobs import Blobs
from services.storage.convert import Part
from services.storage.domain import Announced, Content, check_range
from services.storage.intake import Incoming, Intake


class Shelf:
    """What this node has, for links."""

    def __init__(self, database: Database, blobs: Blobs, intake: Intake) -> None:
        self._database = database
        self._blobs = blobs
        self._intake = intake

    async def find(self, digests: Sequence[bytes]) -> list[Content]:
        """The blobs in the order asked, or NotFound("BLOB_UNKNOWN") if one is not here."""
        here = await store.present(self._database, digests)
        for digest in digests:
            if digest not in here:
                raise NotFound("BLOB_UNKNOWN", "no such blob", sha256=digest.hex())
        return [here[digest] for digest in digests]

    async def missing(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of the digests that are not here, in the order asked."""
        here = await store.present(self._database, digests)
        return [digest for digest in digests if digest not in here]

    async def parts(self, contents: Sequence[Content], offset: int = 0) -> AsyncGenerator[Part, None]:
        """One blob after another; the first one from `offset` on."""
        for content in contents:
            length = check_range(offset, 0, content.size)
            yield content
            if length:
                async with aclosing(self._blobs.read(content, offset)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            offset = 0

    def assembly(self, wanted: Sequence[bytes]) -> Assembly:
        """A place where these blobs may be put together."""
        return Assembly(self._intake, wanted)


class Assembly:
    """Blobs on their way in, of which one is open at a time. It outlives a broken stream: `begin` of the
    open blob goes on where the bytes ended. What is open when the block ends is thrown away."""

    def __init__(self, intake: Intake, wanted: Sequence[bytes]) -> None:
        self._intake = intake
        self._wanted = list(wanted)
        self._stack = AsyncExitStack()
        self._open: tuple[Content, Incoming] | None = None
        self.moved = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def remaining(self) -> list[bytes]:
        """What has not come, the open blob first."""
        if self._open is None:
            return list(self._wanted)
        first = self._open[0].sha256
        return [first, *(digest for digest in self._wanted if digest != first)]

    @property
    def offset(self) -> int:
        """How much of the first one is here."""
        return 0 if self._open is None else self._open[1].size

    async def add(self, part: Part) -> None:
        """Take the next message: DIGEST_MISMATCH, SIZE_MISMATCH, STREAM_MALFORMED what `Incoming` says."""
        if isinstance(part, Content):
            await self._begin(part)
        else:
            await self._write(part)
        if self._open is not None and self._open[1].size == self._open[0].size:
            await self._close()

    def check_complete(self) -> None:
        """Refuse a stream that ended inside a blob."""
        if self._open is not None:
            content, incoming = self._open
            raise InvalidArgument(
                "SIZE_MISMATCH", "the stream ended inside a blob", expected=content.size, found=incoming.size
            )

    async def _begin(self, content: Content) -> None:
        if self._open is not None:
            if self._open[0] != content:
                self.check_complete()
            return
        if content.sha256 not in self._wanted:
            raise InvalidArgument(
                "DIGEST_MISMATCH", "nobody asked for this blob", sha256=content.sha256.hex()
            )
        incoming = await self._stack.enter_async_context(
            self._intake.incoming(Announced(content.sha256, content.size))
        )
        self._open = content, incoming

    async def _write(self, chunk: bytes) -> None:
        if self._open is None or not chunk:
            raise InvalidArgument("STREAM_MALFORMED", "a piece of no blob, or an empty one")
        await self._open[1].write(chunk)
        self.moved += len(chunk)

    async def _close(self) -> None:
        assert self._open is not None, "only an open blob is closed"
        content, incoming = self._open
        await incoming.keep()
        self._wanted.remove(content.sha256)
        self._open = None
        await self._stack.aclose()
