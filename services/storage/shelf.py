"""Blobs as a link carries them: the start of one, its pieces, the start of the next.

Both directions use the same two ends: `Shelf.parts` gives, an `Assembly` takes. Each blob is judged and
durable before the next begins, so what a broken stream brought is not brought again. A pull also keeps the
blob that broke off (partial.py): a later order goes on inside it, also of a later process. A push does not:
its stream has no way to learn how much of a blob the receiver has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from types import TracebackType
from typing import Self

from lienthong.db import Database
from lienthong.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

from services.storage import store
from services.storage.blobs import Blobs
from services.storage.convert import Part
from services.storage.domain import Announced, Content, check_range
from services.storage.intake import Incoming, Intake
from services.storage.partial import Partial


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

    def assembly(self, wanted: Sequence[bytes], *, lasting: bool = False) -> Assembly:
        """A place where these blobs may be put together; a lasting one goes on where an earlier one broke."""
        return Assembly(self._intake, wanted, lasting=lasting)


class Assembly:
    """Blobs on their way in, of which one is open at a time. It outlives a broken stream: `begin` of the
    open blob goes on where the bytes ended. What is open when the block ends is thrown away, unless the
    assembly is a lasting one and its stream only broke."""

    def __init__(self, intake: Intake, wanted: Sequence[bytes], *, lasting: bool) -> None:
        self._intake = intake
        self._wanted = list(wanted)
        self._lasting = lasting
        self._stack = AsyncExitStack()
        self._open: tuple[Content, Incoming] | None = None
        self.moved = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def ask(self) -> tuple[list[bytes], int]:
        """What to ask for next, and from which byte of the first on; nothing once all came.

        A blob of which a part is here is asked for alone: only the first of a request can begin in its midst.
        """
        if self._open is None and self._lasting:
            await self._take_up()
        if self._open is not None:
            content, incoming = self._open
            return [content.sha256], incoming.size
        return list(self._wanted), 0

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

    def lacks(self, digests: Sequence[bytes]) -> bool:
        """Whether one of them has not come."""
        return not set(self._wanted).isdisjoint(digests)

    async def _take_up(self) -> None:
        for digest in self._wanted:
            partial = await self._intake.kept_of_links(digest)
            here = await self._intake.kept(partial) if partial else 0
            if partial and here:
                # Another replica may have taken it since; then all of it comes again.
                with suppress(FailedPrecondition):
                    await self._enter(partial.content, here)
                return

    async def _begin(self, content: Content) -> None:
        if self._open is not None:
            if self._open[0] != content:
                self.check_complete()
            return
        if content.sha256 not in self._wanted:
            raise InvalidArgument(
                "DIGEST_MISMATCH", "nobody asked for this blob", sha256=content.sha256.hex()
            )
        await self._enter(content, 0)

    async def _enter(self, content: Content, offset: int) -> None:
        announced = Announced(content.sha256, content.size)
        partial = Partial.of_links(content) if self._lasting and content.size else None
        incoming = await self._stack.enter_async_context(self._intake.incoming(announced, partial, offset))
        self._open = content, incoming

    async def _write(self, chunk: bytes) -> None:
        if self._open is None or not chunk:
            raise InvalidArgument("STREAM_MALFORMED", "a piece of no blob, or an empty one")
        await self._open[1].write(chunk)
        self.moved += len(chunk)

    async def _close(self) -> None:
        assert self._open is not None, "only an open blob is closed"
        content, incoming = self._open
        try:
            await incoming.keep()
        except InvalidArgument as error:
            if not incoming.resumed:
                raise
            # What an earlier stream left may be what is wrong (a power cut after it): once more, without it.
            self._open = None
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise Unavailable(
                "PEER_UNAVAILABLE",
                "what was kept of a blob was not its beginning",
                sha256=content.sha256.hex(),
            ) from error
        self._wanted.remove(content.sha256)
        self._open = None
        await self._stack.aclose()
