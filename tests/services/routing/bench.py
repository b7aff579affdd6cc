"""Makes submissions that are good but for what a case changes."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from lienthong.client import MAIN
from lienthong.client.agency import AlreadyIssued, IssueHere
from lienthong.routing.v1 import submission_pb2, submission_pb2_grpc
from lienthong.types.v1 import document_pb2

from tests.services.routing.papers import (
    CLERK,
    HERE,
    SIXTH,
    Papers,
    document,
)
from tests.support.node import Site

PDF = "application/pdf"

Request = submission_pb2.SubmitDocumentRequest


class Bench:
    """Makes submissions that are good but for what a case changes."""

    def __init__(self, site: Site, papers: Papers, folder: Path) -> None:
        self.site = site
        self.papers = papers
        self.folder = folder

    async def file(
        self, content: bytes, role: Any = MAIN, media_type: str = PDF, who: str = CLERK
    ) -> document_pb2.Attachment:
        path = self.folder / f"{hashlib.sha256(content).hexdigest()[:12]}.bin"
        path.write_bytes(content)
        return await self.site.agency(who).attach(path, role, name="tep.pdf", media_type=media_type)

    async def main(self) -> document_pb2.Attachment:
        return await self.file((await self.papers.signed(self.site)).read_bytes())

    async def request(
        self,
        *attachments: document_pb2.Attachment,
        recipients: list[str] | None = None,
        issue: IssueHere | AlreadyIssued | None = HERE,
        **fields: Any,
    ) -> Request:
        files = attachments or (await self.main(),)
        request = Request(
            request_id=str(uuid.uuid4()),
            document=document(*files, **fields),
            recipients=[SIXTH] if recipients is None else recipients,
        )
        if isinstance(issue, IssueHere):
            request.issue_here.CopyFrom(issue)
        elif issue is not None:
            request.already_issued.CopyFrom(issue)
        return request

    async def submit(self, request: Request, who: str = CLERK) -> submission_pb2.Submission:
        stub = submission_pb2_grpc.SubmissionServiceStub(self.site.channel(who))
        return (await stub.SubmitDocument(request)).submission
