"""SubmitDocuments: many documents in one stream, each judged, made durable and answered by itself.

At most WINDOW documents of a stream, and ROOM_BYTES of them, are in hand from the moment they are read until
their answer is taken by the client; the rest stays in the transport, whose flow control stops the sender.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Final

from lienthong.errors import DomainError, Internal
from lienthong.ids import IdFactory
from lienthong.routing.v1 import submission_pb2
from lienthong.rpc.errors import code_of
from lienthong.rpc.identity import Caller
from lienthong.telemetry import current_traceparent, span_from

from services.routing.intake import Intake
from services.routing.room import Room

_log: Final = logging.getLogger("lienthong.routing.bulk")

WINDOW: Final = 256
ROOM_BYTES: Final = 8 * 1024 * 1024
_ID_LETTERS: Final = 200

Answer = submission_pb2.SubmitDocumentsResponse
Message = submission_pb2.SubmitDocumentsRequest


class BulkDesk:
    """Takes streams of documents."""

    def __init__(self, intake: Intake, new_id: IdFactory, window: int = WINDOW) -> None:
        self._intake = intake
        self._new_id = new_id
        self._window = window

    async def take(self, messages: AsyncIterator[Message], caller: Caller) -> AsyncGenerator[Answer, None]:
        """Answers in the order in which the intents became durable, or were refused."""
        stream = _Stream(self, caller, self._window)
        reading = asyncio.create_task(stream.read(messages), name="bulk stream")
        try:
            while (answer := await stream.answers.get()) is not None:
                yield answer
                stream.slots.release()
            await reading
        finally:
            # What is being judged for a stream that broke goes on by itself (intake.py), and its documents
            # become durable or do not; the client asks again with the same ids.
            reading.cancel()
            await asyncio.wait([reading])

    async def one(self, request: submission_pb2.SubmitDocumentRequest, caller: Caller, stream: str) -> Answer:
        """One document, in a trace of its own that names the stream which brought it."""
        request_id = request.request_id[:_ID_LETTERS]
        try:
            with span_from("", "submit one of many", links=[stream]):
                submission = await self._intake.show(await self._intake.take(request, caller, waits=True))
            return Answer(request_id=request_id, submission=submission)
        except DomainError as error:
            return Answer(request_id=request_id, failure=failure(error))
        except Exception as error:
            correlation_id = str(self._new_id())
            _log.error("one of many failed", exc_info=error, extra={"correlation_id": correlation_id})
            internal = Internal("INTERNAL", f"internal error, correlation id {correlation_id}")
            return Answer(request_id=request_id, failure=failure(internal))


class _Stream:
    """One open stream: what it may still read, and what it has to say."""

    def __init__(self, desk: BulkDesk, caller: Caller, window: int) -> None:
        self.slots = asyncio.Semaphore(window)
        # Bounded by the slots: an answer keeps its slot until it is taken.
        self.answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._room = Room(ROOM_BYTES)
        self._desk = desk
        self._caller = caller
        self._trace = current_traceparent()

    async def read(self, messages: AsyncIterator[Message]) -> None:
        """Read as long as there are slots; `None` closes the answers, however this ends."""
        incoming = aiter(messages)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self.slots.acquire()
                    message = await anext(incoming, None)
                    if message is None:
                        break
                    size = message.ByteSize()
                    await self._room.enter(size)
                    task = group.create_task(self._judge(message.submission))
                    # Also of a task that is cancelled before it began.
                    task.add_done_callback(partial(self._leave, size))
        finally:
            self.answers.put_nowait(None)

    def _leave(self, size: int, _task: asyncio.Task[None]) -> None:
        self._room.leave(size)

    async def _judge(self, request: submission_pb2.SubmitDocumentRequest) -> None:
        self.answers.put_nowait(await self._desk.one(request, self._caller, self._trace))


def failure(error: DomainError) -> submission_pb2.SubmissionFailure:
    """Why one document was not taken, in the words that a call of its own would have heard."""
    told = submission_pb2.SubmissionFailure(
        code=code_of(error).value[0],
        reason=error.reason,
        message=error.message[:1024],
        field=error.violations[0].field if error.violations else "",
    )
    if error.retry_after is not None:
        told.retry_delay.FromNanoseconds(max(0, round(error.retry_after * 1e9)))
    return told
