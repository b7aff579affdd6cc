"""Moves attachment bytes between storage and signing. Bytes only pass through: routing never looks inside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lienthong.batching import Batcher
from lienthong.clock import Clock
from lienthong.errors import DataLoss, NotFound
from lienthong.signing.v1 import signing_pb2
from lienthong.storage.v1 import storage_pb2
from lienthong.types.v1 import document_pb2

from services.routing.detached import DetachedFiles
from services.routing.domain import Attachment
from services.routing.feeds import Feed
from services.routing.passing import Passing
from services.routing.verdicts import Question, Verdicts

if TYPE_CHECKING:
    from lienthong.signing.v1.signing_pb2_grpc import SigningServiceAsyncStub, ValidationServiceAsyncStub
    from lienthong.storage.v1.storage_pb2_grpc import BlobServiceAsyncStub

_VALIDATE_SECONDS: Final = 120.0
_SEAL_SECONDS: Final = 120.0
# The timestamp authority of the state answers in 2 to 131 s (measured elsewhere: domain.md 8.2).
_STAMP_SECONDS: Final = 900.0
_MOVE_SECONDS: Final = 600.0
# What storage would send at a time.
_CHUNK: Final = 256 * 1024
# So that a call stays under storage's limits of 10,000 digests and 1,000 holds.
_STAT_DOCUMENTS: Final = 64
_HOLD_DOCUMENTS: Final = 256

SignedPiece = signing_pb2.SignDocumentResponse | signing_pb2.ExtendSignatureResponse


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes that storage holds durably."""

    sha256: bytes
    size_bytes: int


def purpose_of(attachment: Attachment) -> signing_pb2.SigningPurpose.ValueType:
    """Which signature of the agency a file gets: the seal goes onto MAIN alone."""
    if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN:
        return signing_pb2.SIGNING_PURPOSE_SEAL
    return signing_pb2.SIGNING_PURPOSE_ANNEX


class Attachments:
    """The pipes between storage and signing."""

    def __init__(
        self,
        blobs: BlobServiceAsyncStub,
        signing: SigningServiceAsyncStub,
        validation: ValidationServiceAsyncStub,
        clock: Clock,
        max_parse_bytes: int,
    ) -> None:
        self.detached = DetachedFiles(signing, validation, max_parse_bytes)
        self._blobs = blobs
        self._signing = signing
        self._validation = validation
        self._verdicts = Verdicts(clock)
        self.passing = Passing()
        # Documents of one moment share their calls; a document has at most 100 attachments.
        self._stats = Batcher(self._stat_all, max_items=_STAT_DOCUMENTS)
        self._holds = Batcher(self._hold_all, max_items=_HOLD_DOCUMENTS)

    async def stat(self, digests: Sequence[bytes], organization: str) -> dict[bytes, storage_pb2.BlobStat]:
        """What storage knows of each digest, and whether the organization uploaded it."""
        return await self._stats.submit((organization, tuple(digests)))

    async def _stat_all(
        self, asked: list[tuple[str, tuple[bytes, ...]]]
    ) -> list[dict[bytes, storage_pb2.BlobStat]]:
        by_organization: defaultdict[str, dict[bytes, storage_pb2.BlobStat]] = defaultdict(dict)
        for organization in sorted({organization for organization, _ in asked}):
            digests = sorted({d for owner, wanted in asked if owner == organization for d in wanted})
            request = storage_pb2.StatBlobsRequest(digests=digests, organization=organization)
            response = await self._blobs.StatBlobs(request)
            by_organization[organization] = {blob.sha256: blob for blob in response.blobs}
        return [{d: by_organization[owner][d] for d in wanted} for owner, wanted in asked]

    async def hold(self, holder: str, digests: Sequence[bytes]) -> list[bytes]:
        """Make the blobs durable for the holder; returns those that are not there."""
        return await self._holds.submit((holder, tuple(digests)))

    async def _hold_all(self, asked: list[tuple[str, tuple[bytes, ...]]]) -> list[list[bytes]]:
        holds: defaultdict[str, list[bytes]] = defaultdict(list)
        for holder, digests in asked:
            holds[holder].extend(digests)
        missing = set(await self.hold_many({holder: sorted(set(wanted)) for holder, wanted in holds.items()}))
        return [[digest for digest in digests if digest in missing] for _, digests in asked]

    async def hold_many(self, holds: Mapping[str, Sequence[bytes]]) -> list[bytes]:
        """`hold` for several holders in one call."""
        request = storage_pb2.PlaceHoldsRequest(
            holds=[storage_pb2.Hold(holder=holder, digests=digests) for holder, digests in holds.items()]
        )
        return list((await self._blobs.PlaceHolds(request)).missing)

    async def release(self, holders: Sequence[str]) -> None:
        """End the holds of these holders."""
        await self._blobs.ReleaseHolds(storage_pb2.ReleaseHoldsRequest(holders=holders))

    async def require(self, holder: str, digests: Sequence[bytes]) -> None:
        """Hold all, or raise NotFound("ATTACHMENT_MISSING")."""
        missing = await self.hold(holder, digests)
        if missing:
            raise NotFound(
                "ATTACHMENT_MISSING",
                "an attachment is not in storage",
                sha256=missing[0].hex(),
                count=len(missing),
            )

    async def validate(
        self,
        sha256: bytes,
        media_type: str,
        *,
        intended: signing_pb2.SigningPurpose.ValueType = signing_pb2.SIGNING_PURPOSE_UNSPECIFIED,
        organization: str = "",
        content: bytes | None = None,
    ) -> signing_pb2.ValidateDocumentResponse:
        """The judgement on the signatures of one stored file, and on the agency's that is to follow.

        `content` are its bytes where they are in hand, of which the digest was proved. The judgement may be
        some seconds old (verdicts.py), and is shared: it is not to be changed.
        """
        is_intended = intended != signing_pb2.SIGNING_PURPOSE_UNSPECIFIED
        question = Question(sha256, media_type, intended, organization if is_intended else "")
        return await self._verdicts.of(
            question,
            lambda: self._judge(
                sha256, media_type, intended=intended, organization=organization, content=content
            ),
        )

    async def _judge(
        self,
        sha256: bytes,
        media_type: str,
        *,
        intended: signing_pb2.SigningPurpose.ValueType,
        organization: str,
        content: bytes | None,
    ) -> signing_pb2.ValidateDocumentResponse:
        header = signing_pb2.ValidateDocumentHeader(
            media_type=media_type, intended_purpose=intended, organization=organization
        )

        async def requests() -> AsyncIterator[signing_pb2.ValidateDocumentRequest]:
            yield signing_pb2.ValidateDocumentRequest(header=header)
            chunks = self._download(sha256) if content is None else _pieces(content)
            async for chunk in chunks:
                yield signing_pb2.ValidateDocumentRequest(chunk=chunk)

        feed = Feed(requests())
        call = self._validation.ValidateDocument(feed.requests(), timeout=_VALIDATE_SECONDS)
        response = await feed.answer(call)
        if response.sha256 != sha256:
            raise DataLoss("DIGEST_MISMATCH", "validation read other bytes than storage keeps")
        return response

    async def sign(
        self, sha256: bytes, header: signing_pb2.SignDocumentHeader, organization: str
    ) -> StoredFile:
        """Sign a stored file with the agency's key; the output is durable in storage."""

        async def requests() -> AsyncIterator[signing_pb2.SignDocumentRequest]:
            yield signing_pb2.SignDocumentRequest(header=header)
            async for chunk in self._download(sha256):
                yield signing_pb2.SignDocumentRequest(chunk=chunk)

        feed = Feed(requests())
        call = self._signing.SignDocument(feed.requests(), timeout=_SEAL_SECONDS)
        return await self._store(organization, feed.answers(call))

    async def stamp(self, sha256: bytes, media_type: str, organization: str) -> StoredFile:
        """Put the timestamp into a sealed file; the output is durable in storage."""
        header = signing_pb2.ExtendSignatureHeader(media_type=media_type)

        async def requests() -> AsyncIterator[signing_pb2.ExtendSignatureRequest]:
            yield signing_pb2.ExtendSignatureRequest(header=header)
            async for chunk in self._download(sha256):
                yield signing_pb2.ExtendSignatureRequest(chunk=chunk)

        feed = Feed(requests())
        call = self._signing.ExtendSignature(feed.requests(), timeout=_STAMP_SECONDS)
        return await self._store(organization, feed.answers(call))

    async def read(self, sha256: bytes) -> bytes:
        """The whole of a small attachment."""
        content = self.passing.take(sha256)
        if content is not None:
            return content
        return b"".join([chunk async for chunk in self._download(sha256)])

    async def write(self, organization: str, sha256: bytes, content: bytes) -> None:
        """Store an attachment that came in a batch or in a request."""
        header = storage_pb2.UploadHeader(organization=organization, sha256=sha256, size_bytes=len(content))

        async def requests() -> AsyncIterator[storage_pb2.UploadRequest]:
            yield storage_pb2.UploadRequest(header=header)
            async for chunk in _pieces(content):
                yield storage_pb2.UploadRequest(chunk=chunk)

        await self._blobs.Upload(requests(), timeout=_MOVE_SECONDS)

    async def _download(self, sha256: bytes) -> AsyncIterator[bytes]:
        request = storage_pb2.DownloadRequest(sha256=sha256)
        async for response in self._blobs.Download(request, timeout=_MOVE_SECONDS):
            yield response.chunk

    async def _store(self, organization: str, answers: AsyncIterator[SignedPiece]) -> StoredFile:
        """Upload what a signing stream returns while it comes; checked against its closing result."""
        result: list[signing_pb2.FileResult] = []

        async def requests() -> AsyncIterator[storage_pb2.UploadRequest]:
            yield storage_pb2.UploadRequest(header=storage_pb2.UploadHeader(organization=organization))
            async for response in answers:
                if response.WhichOneof("part") == "result":
                    result.append(response.result)
                else:
                    yield storage_pb2.UploadRequest(chunk=response.chunk)

        feed = Feed(requests())
        stored = await feed.answer(self._blobs.Upload(feed.requests(), timeout=_MOVE_SECONDS))
        if not result or result[0].sha256 != stored.sha256:
            raise DataLoss("DIGEST_MISMATCH", "storage keeps other bytes than signing sent")
        return StoredFile(stored.sha256, stored.size_bytes)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
