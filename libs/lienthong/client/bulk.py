"""Hands over many documents in one stream, and goes on where a broken stream left off.

    async for answer in submit_all(agency, requests):
        if answer.WhichOneof("outcome") == "failure":
            ...

Every request is answered once. What is not answered when the stream breaks (or was refused only for the
moment) is sent again under the same `request_id`, so nothing is submitted twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import grpc
from lienthong.client.agency import Agency
from lienthong.client.connection import is_passing
from lienthong.client.files import media_type_of
from lienthong.errors import AlreadyExists, DomainError
from lienthong.ids import parse_id
from lienthong.routing.v1 import submission_pb2
from lienthong.types.v1 import document_pb2

WINDOW: Final = 256
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 3.0
# Codes of failures that say nothing about the document.
_PASSING: Final = frozenset(code.value[0] for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED))

Request = submission_pb2.SubmitDocumentRequest
Answer = submission_pb2.SubmitDocumentsResponse


async def submit_all(
    agency: Agency, requests: AsyncIterable[Request] | Iterable[Request], *, window: int = WINDOW
) -> AsyncGenerator[Answer, None]:
    """The answers, in the order in which the node gives them; at most `window` requests are on their way.

    A request without `request_id` is given one. An error of the stream that time does not cure is raised, as
    is one of `requests`, but only after what came before it is answered.
    """
    bulk = _Bulk(agency, window)
    pump = asyncio.create_task(bulk.pump(_each(requests)))
    try:
        async with aclosing(bulk.answers()) as answers:
            async for answer in answers:
                yield answer
        await pump
    finally:
        pump.cancel()
        await asyncio.wait([pump])


def describe(
    path: Path,
    content: bytes,
    role: document_pb2.AttachmentRole.ValueType,
    *,
    name: str = "",
    media_type: str | None = None,
) -> document_pb2.Attachment:
    """An attachment whose bytes go along in `inline_contents` instead of an upload before."""
    return document_pb2.Attachment(
        name=name or path.name,
        role=role,
        media_type=media_type or media_type_of(path),
        size_bytes=len(content),
        sha256=sha256(content).digest(),
    )


class _Bulk:
    """What is not answered yet, whichever stream it goes over."""

    def __init__(self, agency: Agency, window: int) -> None:
        self._connection = agency._connection
        self._stub = agency._submissions
        self._slots = asyncio.Semaphore(window)
        self._unanswered: dict[str, Request] = {}
        self._since: dict[str, float] = {}
        self._to_send: deque[str] = deque()
        self._news = asyncio.Event()
        self._exhausted = False

    async def pump(self, requests: AsyncIterator[Request]) -> None:
        """Take requests in as others are answered; one task for all streams, which no break disturbs."""
        try:
            async for request in requests:
                request.request_id = request.request_id or str(self._connection.new_id())
                # The answer is found by it, so what the node would shorten must not go out.
                parse_id(request.request_id, "request_id")
                await self._slots.acquire()
                if request.request_id in self._unanswered:
                    raise AlreadyExists(
                        "REQUEST_ID_REUSED", "the same request id stands twice", field="request_id"
                    )
                self._unanswered[request.request_id] = request
                self._since[request.request_id] = self._connection.clock.monotonic()
                self._to_send.append(request.request_id)
                self._news.set()
        finally:
            self._exhausted = True
            self._news.set()

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """Over one stream after the other, until everything is answered."""
        clock, patience = self._connection.clock, self._connection.waiting.patience
        broken: float | None = None
        delay = _FIRST_DELAY
        while True:
            try:
                async with aclosing(self._stream()) as answers:
                    async for answer in answers:
                        broken, delay = None, _FIRST_DELAY
                        yield answer
            except DomainError as error:
                broken = clock.monotonic() if broken is None else broken
                if not is_passing(error) or clock.monotonic() + delay > broken + patience:
                    raise
            if self._exhausted and not self._unanswered:
                return
            await clock.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _stream(self) -> AsyncGenerator[Answer, None]:
        """One stream, from its opening until it breaks or everything is answered."""
        call = self._stub.SubmitDocuments()
        self._to_send = deque(self._unanswered)
        writing = asyncio.create_task(self._write(call))
        later: set[asyncio.Task[None]] = set()
        try:
            async for answer in call:
                request_id = answer.request_id
                if request_id not in self._unanswered:
                    continue
                if self._may_repeat(answer):
                    task = asyncio.create_task(self._again(answer))
                    later.add(task)
                    task.add_done_callback(later.discard)
                    continue
                del self._unanswered[request_id], self._since[request_id]
                self._slots.release()
                self._news.set()
                yield answer
        finally:
            call.cancel()
            for task in (writing, *later):
                task.cancel()
            await asyncio.gather(writing, *later, return_exceptions=True)

    async def _write(self, call: Any) -> None:
        """Feed the stream. Its own end says why a write failed."""
        try:
            while True:
                while self._to_send:
                    request = self._unanswered.get(self._to_send.popleft())
                    if request is not None:
                        await call.write(submission_pb2.SubmitDocumentsRequest(submission=request))
                if self._exhausted and not self._unanswered:
                    await call.done_writing()
                    return
                self._news.clear()
                await self._news.wait()
        except (DomainError, grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            return

    def _may_repeat(self, answer: Answer) -> bool:
        """Whether the node only asks to come back, and there is patience left."""
        failure = answer.failure
        passing = failure.code in _PASSING or failure.HasField("retry_delay")
        waited = self._connection.clock.monotonic() - self._since[answer.request_id]
        return passing and waited < self._connection.waiting.patience

    async def _again(self, answer: Answer) -> None:
        asked = answer.failure.retry_delay.ToNanoseconds() / 1e9
        await self._connection.clock.sleep(max(asked, _FIRST_DELAY))
        self._to_send.append(answer.request_id)
        self._news.set()


async def _each(requests: AsyncIterable[Request] | Iterable[Request]) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
