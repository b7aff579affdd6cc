"""The submission workflow (design R1): a durable intent, then steps that finish without the client.

RECEIVED -> NUMBERED -> SEALED -> STAMPED -> ISSUED, or ABANDONED. Each step calls others first, with ids
that follow from the submission, and then commits its outcome if nobody else did. Killed anywhere, the queue
item's lease runs out and the next worker goes on from the committed state.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lienthong import queue
from lienthong.errors import DomainError
from lienthong.ids import sub_id
from lienthong.notation import printed_code
from lienthong.queue import Claim
from lienthong.registry.v1 import register_pb2
from lienthong.signing.v1 import signing_pb2
from lienthong.telemetry import span_from

from services.routing import submission_store as store
from services.routing.attachments import Attachments, StoredFile, purpose_of
from services.routing.domain import Attachment, Document, State
from services.routing.issuing import VOID, Issuing, register_work
from services.routing.judgement import is_final
from services.routing.station import Station
from services.routing.submission_store import Submission
from services.routing.transfer_store import release_work

if TYPE_CHECKING:
    from lienthong.registry.v1.register_pb2_grpc import RegisterServiceAsyncStub

_log: Final = logging.getLogger("lienthong.routing.submission")


class SubmissionWorkflow:
    """Takes submissions from RECEIVED to ISSUED."""

    def __init__(
        self,
        station: Station,
        registers: RegisterServiceAsyncStub,
        attachments: Attachments,
        issuing: Issuing,
    ) -> None:
        self._db = station.db
        self._registers = registers
        self._attachments = attachments
        self._detached = attachments.detached
        self._issuing = issuing
        self._wakeups = station.wakeups
        self._checkpoint = station.checkpoint
        self._steps = {
            State.SUBMISSION_STATE_RECEIVED: self._number,
            State.SUBMISSION_STATE_NUMBERED: self._seal,
            State.SUBMISSION_STATE_SEALED: self._stamp,
            State.SUBMISSION_STATE_STAMPED: self._issue,
        }

    async def advance(self, claim: Claim) -> None:
        """Work of the submission queue: every step that is left. Raises to be tried again later."""
        submission_id = UUID(bytes=claim.payload)
        while True:
            submission = await store.get(self._db, submission_id)
            step = self._steps.get(State.ValueType(submission.state))
            if step is None:
                return
            name = State.Name(State.ValueType(submission.state)).removeprefix("SUBMISSION_STATE_").lower()
            await self._checkpoint(f"submission.{name}.before")
            try:
                with span_from(submission.traceparent, f"submission after {name}"):
                    await step(submission)
            except DomainError as error:
                if not is_final(error):
                    raise
                await self._abandon(submission, error)
            await self._checkpoint(f"submission.{name}.after")
            self._wakeups.notify(f"submission/{submission_id}")

    async def _number(self, submission: Submission) -> None:
        """Take number and date. They are frozen from here on, also over New Year."""
        if submission.is_external:
            request_entry = register_pb2.IssueEntriesRequest(issues=[external_entry(submission)])
            await self._registers.IssueEntries(request_entry)
            number, day = submission.number, submission.issued_date
        else:
            request = register_pb2.ReserveNumbersRequest(
                reservations=[
                    register_pb2.Reservation(
                        request_id=str(_entry_id(submission)),
                        organization=submission.organization,
                        series=submission.series,
                        notation=submission.notation,
                        description=describe(submission.document, submission.recipients),
                    )
                ]
            )
            reserved = (await self._registers.ReserveNumbers(request)).numbers[0]
            number, day = reserved.number, reserved.issued_date
        await self._checkpoint("submission.number.taken")
        document = _copy(submission.document, number=number, notation=submission.notation, issued_date=day)
        state = State.SUBMISSION_STATE_STAMPED if submission.is_external else State.SUBMISSION_STATE_NUMBERED
        async with self._db.transaction() as tx:
            await store.advance(tx, submission, state, document=document, number=number, issued_date=day)

    async def _seal(self, submission: Submission) -> None:
        """Fill and seal MAIN, sign the others; only what is persisted here ever leaves."""
        document = _copy(submission.document)
        for attachment in document.attachments:
            header = signing_pb2.SignDocumentHeader(
                purpose=purpose_of(attachment),
                organization=submission.organization,
                document_id=document.document_id,
                media_type=attachment.media_type,
                number=submission.number,
                notation=submission.notation,
                issued_date=submission.issued_date,
                clerk=submission.caller,
            )
            if self._beside(attachment):
                attachment.detached_signatures.append(await self._detached.sign(attachment, header))
            else:
                _put(
                    attachment,
                    await self._attachments.sign(attachment.sha256, header, submission.organization),
                )
        await self._persist(submission, State.SUBMISSION_STATE_SEALED, document)

    async def _stamp(self, submission: Submission) -> None:
        """Timestamp every seal. The authority may take minutes; nothing waits for it but this document."""
        document = _copy(submission.document)
        for attachment in document.attachments:
            # Not by its size: a file that was sealed inside has grown, and has nothing beside it.
            if attachment.detached_signatures:
                # The last one is ours: the persisted step before this put it there.
                attachment.detached_signatures[-1] = await self._detached.stamp(
                    attachment.detached_signatures[-1]
                )
                continue
            stamped = await self._attachments.stamp(
                attachment.sha256, attachment.media_type, submission.organization
            )
            _put(attachment, stamped)
        await self._persist(submission, State.SUBMISSION_STATE_STAMPED, document)

    def _beside(self, attachment: Attachment) -> bool:
        """Where signatures lie beside the file already, they go on there, whatever the limit is by now."""
        return bool(attachment.detached_signatures) or self._detached.is_sealed_beside(attachment)

    async def _persist(self, submission: Submission, state: int, document: Document) -> None:
        step = State.Name(State.ValueType(state)).removeprefix("SUBMISSION_STATE_").lower()
        await self._checkpoint(f"submission.{step}.stored")
        # Held before the row says so (R5); outputs of a loser of the race fall to the collector.
        await self._attachments.require(holder(submission), [a.sha256 for a in document.attachments])
        async with self._db.transaction() as tx:
            await store.advance(tx, submission, state, document=document)

    async def _issue(self, submission: Submission) -> None:
        """Sign the envelope; one commit of envelope, transfers and event, then the register follows."""
        await self._issuing.issue([submission])

    async def _abandon(self, submission: Submission, error: DomainError) -> None:
        """Only routing gives up: the reason is committed first, then the number becomes void (R1) and
        storage may let the files go."""
        _log.warning(
            "submission abandoned",
            extra={"submission": str(submission.submission_id), "reason": error.reason},
        )
        async with self._db.transaction() as tx:
            if await store.mark_abandoned(tx, submission, error.reason):
                work = [release_work(submission.submission_id, holder(submission))]
                if not submission.is_external:
                    work.append(register_work(submission, VOID))
                await queue.put(tx, work, self._wakeups)

    async def mark_register(self, claim: Claim) -> None:
        """Outbox work: the register entry of an issued document."""
        submission = await store.get(self._db, UUID(bytes=claim.payload))
        issue = register_pb2.Issue(
            request_id=str(sub_id(submission.submission_id, "issue")),
            entry_id=str(_entry_id(submission)),
            description=describe(submission.document, submission.recipients),
        )
        with span_from(submission.traceparent, "mark the register entry issued"):
            await self._registers.IssueEntries(register_pb2.IssueEntriesRequest(issues=[issue]))
        await self._checkpoint("submission.register.marked")

    async def void_register(self, claim: Claim) -> None:
        """Outbox work: the number of an abandoned document, if one was taken."""
        submission = await store.get(self._db, UUID(bytes=claim.payload))
        request = register_pb2.VoidEntryRequest(
            request_id=str(sub_id(submission.submission_id, "void")),
            entry_id=str(_entry_id(submission)),
            reason=submission.reason,
        )
        try:
            await self._registers.VoidEntry(request)
        except DomainError as error:
            if error.reason != "ENTRY_UNKNOWN":  # abandoned before a number was taken
                raise
        await self._checkpoint("submission.register.voided")


def _entry_id(submission: Submission) -> UUID:
    return sub_id(submission.submission_id, "number")


def external_entry(submission: Submission) -> register_pb2.Issue:
    """The register's line of a document that the organization's own software numbered."""
    return register_pb2.Issue(
        request_id=str(_entry_id(submission)),
        external=register_pb2.ExternalEntry(
            organization=submission.organization,
            series=submission.series,
            number=submission.number,
            notation=submission.notation,
            issued_date=submission.issued_date,
        ),
        description=describe(submission.document, submission.recipients),
    )


def holder(submission: Submission) -> str:
    """In whose name storage holds a submission's attachments."""
    return f"submission/{submission.submission_id}"


def describe(document: Document, recipients: tuple[str, ...]) -> register_pb2.Description:
    """The columns of the register of outgoing documents (decree 30/2020, annex IV)."""
    code = printed_code(document.number, document.notation) if document.number else ""
    return register_pb2.Description(
        document_id=document.document_id,
        type_name=document.type_name,
        subject=document.subject,
        signer=document.signer_name,
        recipients=sorted(recipients),
        author=document.organization,
        code=code,
        issued_date=document.issued_date,
    )


def _copy(document: Document, **changes: object) -> Document:
    copy = Document()
    copy.CopyFrom(document)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


def _put(attachment: Attachment, stored: StoredFile) -> None:
    attachment.sha256 = stored.sha256
    attachment.size_bytes = stored.size_bytes
