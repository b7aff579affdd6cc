"""One organization's client: submit, follow, and everything else through its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from lienthong.client.connection import Connection
from lienthong.client.files import media_type_of
from lienthong.client.inbox import Inbox
from lienthong.client.registers import Registers
from lienthong.client.signing import Signing
from lienthong.client.transfers import Progress, Upload
from lienthong.errors import DeadlineExceeded, FailedPrecondition
from lienthong.reporting.v1 import reporting_pb2, reporting_pb2_grpc
from lienthong.routing.v1 import submission_pb2, submission_pb2_grpc
from lienthong.storage.v1 import storage_pb2
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2

MAIN: Final = document_pb2.ATTACHMENT_ROLE_MAIN
ANNEX: Final = document_pb2.ATTACHMENT_ROLE_ANNEX
COPY: Final = document_pb2.ATTACHMENT_ROLE_COPY
EDITABLE: Final = document_pb2.ATTACHMENT_ROLE_EDITABLE

IssueHere = submission_pb2.IssueHere
AlreadyIssued = submission_pb2.AlreadyIssued
Submission = submission_pb2.Submission
ReceivedReceipt = submission_pb2.ReceivedReceipt


class Agency:
    """An organization at its node, in the role of the connection's certificate (client, clerk or leader)."""

    def __init__(self, connection: Connection, organization: str) -> None:
        self.organization = organization
        self.signing = Signing(connection, organization)
        self.inbox = Inbox(connection)
        self.registers = Registers(connection, organization)
        self._connection = connection
        self._submissions = connection.stub(submission_pb2_grpc.SubmissionServiceStub, "routing")
        self._journeys = connection.stub(reporting_pb2_grpc.JourneyServiceStub, "reporting")

    # -- send ------------------------------------------------------------------------------------------------

    async def upload(self, path: Path, *, progress: Progress | None = None) -> storage_pb2.UploadResponse:
        """Stream a file to the node; its SHA-256 and size as stored, durable when this returns.

        A broken line does not begin anew, nor does a later run: what the node has is not sent again.
        """
        return await Upload(self._connection, self.organization, path, progress).run()

    async def attach(
        self,
        path: Path,
        role: document_pb2.AttachmentRole.ValueType,
        *,
        name: str = "",
        media_type: str | None = None,
        progress: Progress | None = None,
        detached_signatures: Sequence[bytes] = (),
    ) -> document_pb2.Attachment:
        """Upload a file and describe it, ready to go into a Document.

        `detached_signatures`: what `signing.sign_digest` gave for a file too large to be signed inside.
        """
        stored = await self.upload(path, progress=progress)
        return document_pb2.Attachment(
            name=name or path.name,
            role=role,
            media_type=media_type or media_type_of(path),
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            detached_signatures=detached_signatures,
        )

    async def submit(
        self,
        document: document_pb2.Document,
        recipients: Sequence[str],
        issue: submission_pb2.IssueHere | submission_pb2.AlreadyIssued,
        *,
        request_id: UUID | None = None,
        expire_time: datetime | None = None,
        inline: Sequence[Path] = (),
    ) -> Submission:
        """Hand a document over; durable when this returns. The same `request_id` gets the same answer.

        `inline` are attachments that were not uploaded before, at most 1 MiB together.
        """
        request = submission_pb2.SubmitDocumentRequest(
            request_id=str(request_id or self._connection.new_id()),
            document=document,
            recipients=recipients,
            expire_time=to_timestamp(expire_time),
            inline_contents=[await asyncio.to_thread(path.read_bytes) for path in inline],
        )
        if isinstance(issue, submission_pb2.IssueHere):
            request.issue_here.CopyFrom(issue)
        else:
            request.already_issued.CopyFrom(issue)
        answer = await self._connection.repeat(lambda: self._submissions.SubmitDocument(request))
        return answer.submission

    # -- follow ----------------------------------------------------------------------------------------------

    async def submission(self, submission_id: str = "", *, document_id: str = "") -> Submission:
        """One submission, by its identifier or by its document's."""
        request = (
            submission_pb2.GetSubmissionRequest(document_id=document_id)
            if document_id
            else submission_pb2.GetSubmissionRequest(submission_id=submission_id)
        )
        answer = await self._connection.repeat(lambda: self._submissions.GetSubmission(request))
        return answer.submission

    async def wait_issued(self, submission_id: str, *, within: float = 60.0) -> Submission:
        """The submission once issued; FailedPrecondition with its reason when it was given up."""

        async def ask() -> Submission | None:
            found = await self.submission(submission_id)
            if found.state == submission_pb2.SUBMISSION_STATE_ABANDONED:
                raise FailedPrecondition(
                    found.reason, "the submission was given up", submission_id=submission_id
                )
            return found if found.state == submission_pb2.SUBMISSION_STATE_ISSUED else None

        issued = await self._connection.wait_until(ask, within)
        if issued is None:
            raise DeadlineExceeded("NOT_ISSUED_YET", "not issued yet", submission_id=submission_id)
        return issued

    async def submissions(self, page_token: str = "") -> tuple[Sequence[Submission], str]:
        """A page of submissions, newest first, and the token of the next."""
        request = submission_pb2.ListSubmissionsRequest(page_token=page_token)
        page = await self._connection.repeat(lambda: self._submissions.ListSubmissions(request))
        return list(page.submissions), page.next_page_token

    async def receipts(self, cursor: str = "") -> tuple[Sequence[ReceivedReceipt], str]:
        """Receipts behind a cursor, and the cursor to go on from."""
        request = submission_pb2.ListReceiptsRequest(cursor=cursor)
        page = await self._connection.repeat(lambda: self._submissions.ListReceipts(request))
        return list(page.receipts), page.next_cursor

    async def all_receipts(self, document_id: str = "") -> Sequence[document_pb2.Receipt]:
        """Every receipt, or every one about a document."""
        found: list[document_pb2.Receipt] = []
        page, cursor = await self.receipts()
        while page:
            found += [item.receipt for item in page if document_id in ("", item.receipt.document_id)]
            page, cursor = await self.receipts(cursor)
        return found

    def watch_receipts(self, cursor: str = "") -> AsyncGenerator[ReceivedReceipt, None]:
        """Receipts behind a cursor as they come, for ever."""

        async def opened(behind: str) -> AsyncGenerator[ReceivedReceipt, None]:
            request = submission_pb2.WatchReceiptsRequest(cursor=behind)
            async for item in self._submissions.WatchReceipts(request):
                yield item.receipt

        return self._connection.watch(opened, lambda receipt: receipt.cursor, cursor)

    async def journey(
        self, document_id: str = "", *, code: reporting_pb2.DocumentCode | None = None
    ) -> reporting_pb2.Journey:
        """Where a document went and what became of it, from the own node's receipts alone."""
        request = (
            reporting_pb2.GetJourneyRequest(code=code)
            if code is not None
            else reporting_pb2.GetJourneyRequest(document_id=document_id)
        )
        answer = await self._connection.repeat(lambda: self._journeys.GetJourney(request))
        return answer.journey
