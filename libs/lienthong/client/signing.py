"""Preparing, signing and validating documents at the node's signing service."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lienthong.client.connection import Connection
from lienthong.client.files import media_type_of, receive, sending
from lienthong.signing.v1 import signing_pb2, signing_pb2_grpc


@dataclass(frozen=True, slots=True)
class Placement:
    """A rectangle on a page, in points from the lower left corner; pages count from 0."""

    page: int
    left: float
    bottom: float
    width: float
    height: float

    def message(self) -> signing_pb2.Placement:
        return signing_pb2.Placement(
            page=self.page, left=self.left, bottom=self.bottom, width=self.width, height=self.height
        )


@dataclass(frozen=True, slots=True)
class Placements:
    """Where number, date and signatures go; without `agency` the seal covers the leader's left third."""

    number: Placement
    date: Placement
    leader: Placement
    agency: Placement | None = None


class Signing:
    """The signing service as one organization's people and software use it."""

    def __init__(self, connection: Connection, organization: str) -> None:
        self._connection = connection
        self._organization = organization
        self._signing = connection.stub(signing_pb2_grpc.SigningServiceStub, "signing")
        self._validation = connection.stub(signing_pb2_grpc.ValidationServiceStub, "signing")

    async def prepare(self, source: Path, output: Path, placements: Placements) -> bytes:
        """Write the PDF of `source` with its four fields to `output`; its SHA-256. Before any signature."""
        header = signing_pb2.PrepareDocumentHeader(
            number=placements.number.message(),
            date=placements.date.message(),
            leader=placements.leader.message(),
            agency=placements.agency.message() if placements.agency else None,
        )

        async def call() -> bytes:
            request = signing_pb2.PrepareDocumentRequest
            parts = sending(request(header=header), lambda piece: request(chunk=piece), source)
            return await receive(self._signing.PrepareDocument(parts), output)

        return await self._connection.repeat(call)

    async def sign(self, source: Path, output: Path, *, document_id: str = "") -> bytes:
        """Sign with the caller's own key (a leader's certificate); comes back timestamped. Its SHA-256."""
        header = signing_pb2.SignDocumentHeader(
            purpose=signing_pb2.SIGNING_PURPOSE_PERSONAL,
            organization=self._organization,
            document_id=document_id,
            media_type=media_type_of(source),
        )

        async def call() -> bytes:
            request = signing_pb2.SignDocumentRequest
            parts = sending(request(header=header), lambda piece: request(chunk=piece), source)
            return await receive(self._signing.SignDocument(parts), output)

        return await self._connection.repeat(call)

    async def validate(
        self, path: Path, *, media_type: str | None = None
    ) -> signing_pb2.ValidateDocumentResponse:
        """The judgement on a file; a bad file is a verdict, not an error."""
        header = signing_pb2.ValidateDocumentHeader(media_type=media_type or media_type_of(path))

        async def call() -> signing_pb2.ValidateDocumentResponse:
            request = signing_pb2.ValidateDocumentRequest
            return await self._validation.ValidateDocument(
                sending(request(header=header), lambda piece: request(chunk=piece), path)
            )

        return await self._connection.repeat(call)

    async def sign_digest(
        self, source: Path, *, document_id: str = "", media_type: str | None = None
    ) -> bytes:
        """A signature beside a file too large to be signed inside: DER of CMS, to be kept as `.p7s`.

        With the caller's own key (a leader's certificate), timestamped. The file is hashed here and stays
        here: it is this computer that says what is signed.
        """
        request = signing_pb2.SignDigestRequest(
            header=signing_pb2.SignDocumentHeader(
                purpose=signing_pb2.SIGNING_PURPOSE_PERSONAL,
                organization=self._organization,
                document_id=document_id,
                media_type=media_type or media_type_of(source),
            ),
            sha256=await asyncio.to_thread(sha256_of, source),
        )
        answer = await self._connection.repeat(lambda: self._signing.SignDigest(request))
        return answer.signature

    async def validate_digest(
        self, path: Path, signatures: Sequence[bytes]
    ) -> signing_pb2.ValidateDocumentResponse:
        """The judgement on signatures beside a file; the file is hashed here and stays here."""
        request = signing_pb2.ValidateDigestRequest(
            sha256=await asyncio.to_thread(sha256_of, path), signatures=signatures
        )
        answer = await self._connection.repeat(lambda: self._validation.ValidateDigest(request))
        return answer.report

    async def keys(self) -> list[signing_pb2.Key]:
        """The keys at the node that the caller may use or see."""
        answer = await self._signing.ListKeys(signing_pb2.ListKeysRequest())
        return list(answer.keys)


def sha256_of(path: Path) -> bytes:
    """The digest of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
