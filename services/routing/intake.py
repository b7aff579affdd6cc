"""Takes a submission in: judge, make the intent durable, and wait a little for the workflow."""

from __future__ import annotations

import asyncio
import logging
from typing import Final
from uuid import UUID

from lienthong.errors import AlreadyExists, DomainError, NotFound, ResourceExhausted
from lienthong.idempotency import Request, content_hash
from lienthong.ids import parse_id
from lienthong.routing.v1 import submission_pb2
from lienthong.rpc.deadline import detached
from lienthong.rpc.identity import Caller
from lienthong.telemetry import current_traceparent

from services.routing import inline
from services.routing.attachments import Attachments
from services.routing.convert import submission_to_proto
from services.routing.domain import Document, State
from services.routing.intents import Intent, Intents
from services.routing.judgement import Judgement
from services.routing.room import Room
from services.routing.station import Station
from services.routing.submission import holder
from services.routing.submission_store import Submission

_log: Final = logging.getLogger("lienthong.routing.intake")

# How long a client is kept waiting for ISSUED; past it the answer tells how far it got.
_WAIT_SECONDS: Final = 5.0
# Documents that are being judged for all callers together: more would only wait for the same processors.
_MAX_JUDGING: Final = 1024
# An outage in which more than these are repeated leaves a hold for each of the others.
_MAX_DOUBTFUL: Final = 4096
# What they may carry inside themselves.
_ROOM_BYTES: Final = 64 * 1024 * 1024
_DONE: Final = (State.SUBMISSION_STATE_ISSUED, State.SUBMISSION_STATE_ABANDONED)


class Intake:
    """SubmitDocument and SubmitDocuments, but for reading and writing protocol messages."""

    def __init__(self, station: Station, judgement: Judgement, attachments: Attachments) -> None:
        self._intents = Intents(station)
        self._room = Room(_ROOM_BYTES)
        self._places = asyncio.Semaphore(_MAX_JUDGING)
        self._judgement = judgement
        self._attachments = attachments
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id
        self._judging: dict[Request, asyncio.Task[Submission]] = {}
        # Requests of which nobody knows whether they are durable, with the ids of their submissions.
        self._doubtful: dict[Request, UUID] = {}

    async def submit(self, request: submission_pb2.SubmitDocumentRequest, caller: Caller) -> Submission:
        """The submission of this request, made now or before, as far as it got while the client waits."""
        return await self._wait(await self.take(request, caller))

    async def take(
        self, request: submission_pb2.SubmitDocumentRequest, caller: Caller, *, waits: bool = False
    ) -> Submission:
        """The submission of this request, made now or before: durable, and no further than that.

        `waits`: where too many are being judged it waits for its turn; a call by itself is told to come back.
        """
        request_id = parse_id(request.request_id, "request_id")
        key = Request(caller.organization, request_id, content_hash(request))
        return await self._intents.recall(key) or await self._once(request, caller, key, waits)

    async def show(self, submission: Submission) -> submission_pb2.Submission:
        """As a client sees it, with what is known of its recipients."""
        return submission_to_proto(submission, await self._intents.recipients(submission))

    async def _once(
        self, request: submission_pb2.SubmitDocumentRequest, caller: Caller, key: Request, waits: bool
    ) -> Submission:
        """Judge once however many callers repeat the request at the same time."""
        task = self._judging.get(key)
        if task is None:
            if not waits and self._places.locked():
                raise ResourceExhausted("BATCH_FULL", "too many documents are being judged", retry_after=1.0)
            size = request.ByteSize()
            await self._enter(size)
            task = self._judging.get(key) or self._start(request, caller, key)
            task.add_done_callback(lambda _: self._leave(size))
        return await asyncio.shield(task)

    async def _enter(self, size: int) -> None:
        await self._places.acquire()
        try:
            await self._room.enter(size)
        except BaseException:
            self._places.release()
            raise

    def _leave(self, size: int) -> None:
        self._room.leave(size)
        self._places.release()

    def _start(
        self, request: submission_pb2.SubmitDocumentRequest, caller: Caller, key: Request
    ) -> asyncio.Task[Submission]:
        with detached():  # the work is everybody's who repeats: not bound to the first one's deadline
            task = asyncio.create_task(self._take(request, caller, key))
        self._judging[key] = task
        task.add_done_callback(lambda _: self._judging.pop(key, None))
        return task

    async def _take(
        self, request: submission_pb2.SubmitDocumentRequest, caller: Caller, key: Request
    ) -> Submission:
        self._judgement.request(request, caller)
        contents = inline.matched(request)
        recipients = await self._judgement.recipients(list(request.recipients))
        if contents:
            await inline.store(self._attachments, contents, caller.organization)
            del request.inline_contents[:]  # the same bytes are in `contents`
        document = Document()
        document.CopyFrom(request.document)
        document.document_id = document.document_id or str(self._new_id())
        kind = request.WhichOneof("issue") or ""
        await self._judgement.files(document, kind, request.already_issued.number, contents)
        for sha256, content in contents.items():
            self._attachments.passing.put(sha256, content)
        contents.clear()  # durable in storage: the large are not kept in memory as well
        # The same id for a repeat after a doubtful outcome, so that there is one holder, not one a repeat.
        submission_id = self._doubtful.pop(key, None) or self._new_id()
        submission = self._submission(submission_id, request, caller, document, recipients)
        try:
            return await self._make_durable(submission, key)
        except (AlreadyExists, NotFound):  # certain, also for a repeat: what lacks a file was never committed
            await self._release(submission)
            raise
        except Exception:  # the commit may have happened: then the hold is needed
            self._doubt(key, submission_id)
            raise

    async def _make_durable(self, submission: Submission, key: Request) -> Submission:
        # Held before the intent is durable (R5): an upload grant may end while the workflow waits.
        digests = [attachment.sha256 for attachment in submission.document.attachments]
        await self._attachments.require(holder(submission), digests)
        taken = await self._intents.commit(Intent(submission, key))
        if taken.submission_id != submission.submission_id:
            await self._release(submission)
        return taken

    def _doubt(self, key: Request, submission_id: UUID) -> None:
        if len(self._doubtful) >= _MAX_DOUBTFUL:
            del self._doubtful[next(iter(self._doubtful))]
        self._doubtful[key] = submission_id

    async def _release(self, submission: Submission) -> None:
        try:
            await self._attachments.release([holder(submission)])
        except DomainError as error:
            _log.warning(
                "a hold is left behind", extra={"holder": holder(submission), "reason": error.reason}
            )

    def _submission(
        self,
        submission_id: UUID,
        request: submission_pb2.SubmitDocumentRequest,
        caller: Caller,
        document: Document,
        recipients: tuple[str, ...],
    ) -> Submission:
        here, issued = request.issue_here, request.already_issued
        is_external = request.WhichOneof("issue") == "already_issued"
        if is_external:
            document.number, document.notation = issued.number, issued.notation
            document.issued_date = issued.issued_date
        return Submission(
            submission_id=submission_id,
            organization=caller.organization,
            caller=caller.name,
            document=document,
            recipients=recipients,
            is_external=is_external,
            series=issued.series if is_external else here.series,
            notation=issued.notation if is_external else here.notation,
            number=issued.number if is_external else 0,
            issued_date=issued.issued_date if is_external else "",
            state=State.SUBMISSION_STATE_RECEIVED,
            reason="",
            envelope_id=None,
            expire_time=self._judgement.expire_time(request),
            traceparent=current_traceparent(),
            create_time=self._clock.now(),
            issue_time=None,
        )

    async def _wait(self, submission: Submission) -> Submission:
        """The state when it is final or when the client has waited long enough."""
        name = f"submission/{submission.submission_id}"
        deadline = self._clock.monotonic() + _WAIT_SECONDS
        while True:
            seen = self._wakeups.generation(name)
            submission = await self._intents.get(submission.submission_id)
            left = deadline - self._clock.monotonic()
            if submission.state in _DONE or left <= 0:
                return submission
            await self._wakeups.wait(name, seen, min(left, 0.5))
