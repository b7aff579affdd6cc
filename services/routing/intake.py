"""Takes a submission in: judge, make the intent durable, and wait a little for the workflow."""

from __future__ import annotations

import asyncio
import logging
from typing import Final
from uuid import UUID

from lienthong import queue
from lienthong.db import Transaction, UniqueViolation
from lienthong.errors import AlreadyExists, DomainError
from lienthong.idempotency import content_hash, recall, record
from lienthong.ids import parse_id
from lienthong.routing.v1 import submission_pb2
from lienthong.rpc.deadline import detached
from lienthong.rpc.identity import Caller
from lienthong.telemetry import current_traceparent

from services.routing import submission_store as store
from services.routing.attachments import Attachments
from services.routing.domain import Document, State
from services.routing.judgement import Judgement
from services.routing.station import Station
from services.routing.submission import holder, submission_work
from services.routing.submission_store import Submission

_log: Final = logging.getLogger("lienthong.routing.intake")

# How long a client is kept waiting for ISSUED; past it the answer tells how far it got.
_WAIT_SECONDS: Final = 5.0
_DONE: Final = (State.SUBMISSION_STATE_ISSUED, State.SUBMISSION_STATE_ABANDONED)


class Intake:
    """SubmitDocument, but for reading and writing protocol messages."""

    def __init__(self, station: Station, judgement: Judgement, attachments: Attachments) -> None:
        self._db = station.db
        self._judgement = judgement
        self._attachments = attachments
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id
        self._judging: dict[tuple[str, UUID, bytes], asyncio.Task[Submission]] = {}

    async def submit(self, request: submission_pb2.SubmitDocumentRequest, caller: Caller) -> Submission:
        """The submission of this request, made now or before."""
        request_id = parse_id(request.request_id, "request_id")
        digest = content_hash(request)
        known = await self._recall(caller, request_id, digest)
        if known is None:
            known = await self._once(request, caller, request_id, digest)
        return await self._wait(known)

    async def _recall(self, caller: Caller, request_id: UUID, digest: bytes) -> UUID | None:
        """The first answer to this id, without taking it for ours."""
        row = await self._db.fetchrow(
            "SELECT request_hash, response FROM request WHERE caller = $1 AND request_id = $2",
            caller.organization,
            request_id,
        )
        if row is None:
            return None
        if row["request_hash"] != digest:
            raise AlreadyExists(
                "REQUEST_ID_REUSED",
                "this request id came before with other content",
                field="request_id",
                request_id=request_id,
            )
        return UUID(bytes=row["response"])

    async def _once(
        self,
        request: submission_pb2.SubmitDocumentRequest,
        caller: Caller,
        request_id: UUID,
        digest: bytes,
    ) -> UUID:
        """Judge once however many callers repeat the request at the same time."""
        key = (caller.organization, request_id, digest)
        task = self._judging.get(key)
        if task is None:
            with detached():  # the work is everybody's who repeats: not bound to the first one's deadline
                task = asyncio.create_task(self._take(request, caller, request_id, digest))
            self._judging[key] = task
            task.add_done_callback(lambda _: self._judging.pop(key, None))
        return (await asyncio.shield(task)).submission_id

    async def _take(
        self,
        request: submission_pb2.SubmitDocumentRequest,
        caller: Caller,
        request_id: UUID,
        digest: bytes,
    ) -> Submission:
        self._judgement.request(request, caller)
        recipients = await self._judgement.recipients(list(request.recipients))
        document = Document()
        document.CopyFrom(request.document)
        document.document_id = document.document_id or str(self._new_id())
        kind = request.WhichOneof("issue") or ""
        await self._judgement.files(document, kind, request.already_issued.number)
        submission = self._submission(request, caller, document, recipients)
        # Held before the intent is durable (R5): an upload grant may end while the workflow waits.
        await self._attachments.require(holder(submission), [a.sha256 for a in document.attachments])
        try:
            taken = await self._commit(submission, request_id, digest)
        except AlreadyExists:
            await self._release(submission)
            raise
        # After any other failure the commit may have happened: then the hold is needed.
        if taken.submission_id != submission.submission_id:
            await self._release(submission)
        return taken

    async def _commit(self, submission: Submission, request_id: UUID, digest: bytes) -> Submission:
        """Make the intent durable, or return the one that this request made before."""
        async with self._db.transaction() as tx:
            answer = await recall(tx, submission.organization, request_id, digest)
            if answer is not None:
                return await store.get(tx, UUID(bytes=answer))
            await self._insert(tx, submission)
            await record(tx, submission.organization, request_id, submission.submission_id.bytes)
        return submission

    async def _release(self, submission: Submission) -> None:
        try:
            await self._attachments.release([holder(submission)])
        except DomainError as error:
            _log.warning(
                "a hold is left behind", extra={"holder": holder(submission), "reason": error.reason}
            )

    async def _insert(self, tx: Transaction, submission: Submission) -> None:
        try:
            await store.insert(tx, submission)
        except UniqueViolation:
            raise AlreadyExists(
                "DOCUMENT_SUBMITTED",
                "this document was submitted before",
                field="document.document_id",
                document_id=submission.document.document_id,
            ) from None
        await queue.put(tx, [submission_work(submission)], self._wakeups)

    def _submission(
        self,
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
            submission_id=self._new_id(),
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

    async def _wait(self, submission_id: UUID) -> Submission:
        """The state when it is final or when the client has waited long enough."""
        name = f"submission/{submission_id}"
        deadline = self._clock.monotonic() + _WAIT_SECONDS
        while True:
            seen = self._wakeups.generation(name)
            submission = await store.get(self._db, submission_id)
            left = deadline - self._clock.monotonic()
            if submission.state in _DONE or left <= 0:
                return submission
            await self._wakeups.wait(name, seen, min(left, 0.5))
