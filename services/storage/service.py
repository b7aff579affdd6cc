"""BlobService: what organizations and the other services of the node ask of storage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.errors import InvalidArgument, NotFound, PermissionDenied
from lienthong.pki.identity import is_code
from lienthong.rpc.identity import Caller, CallerKind, current_caller
from lienthong.rpc.streams import Gate, patient
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc

from services.storage import convert, store
from services.storage.blobs import Blobs
from services.storage.domain import Announced, Content, Purpose, check_digest, check_range
from services.storage.grants import GrantDesk
from services.storage.intake import Intake
from services.storage.partial import Partial
from services.storage.verify import Verifier

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gates:
    """How many move bytes at a time: a crowd of downloads keeps no upload and no link waiting."""

    uploads: Gate
    downloads: Gate
    links: Gate


class BlobService(storage_pb2_grpc.BlobServiceServicer):
    """Uploads, downloads and holds."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        intake: Intake,
        grants: GrantDesk,
        gates: Gates,
        verifier: Verifier,
        clock: Clock,
        patience: float,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._intake = intake
        self._grants = grants
        self._gates = gates
        self._verifier = verifier
        self._clock = clock
        self._patience = patience

    async def Upload(
        self,
        request_iterator: AsyncIterator[storage_pb2.UploadRequest],
        context: Context,
    ) -> storage_pb2.UploadResponse:
        messages = patient(request_iterator, self._patience)
        header = await _header(messages)
        organization = _uploader(current_caller(), header.organization, "header.organization")
        announced = convert.announced_from_proto(header)
        partial = None
        if announced.content is not None:
            # GetUpload said that all of it is here, and the caller takes it at its word: a grant to prolong.
            if header.offset == announced.size:
                renewed = await self._intake.renew(announced.content, organization)
                if renewed is not None:
                    return convert.upload_to_proto(announced.content, renewed)
            partial = Partial.of_organization(organization, announced.content)
        async with (
            self._gates.uploads.passed(),
            self._intake.incoming(announced, partial, header.offset) as incoming,
        ):
            async for message in messages:
                if message.WhichOneof("part") != "chunk":
                    raise InvalidArgument("STREAM_MALFORMED", "after the header come chunks only")
                await incoming.write(message.chunk)
            content, expire_time = await incoming.keep(organization)
        return convert.upload_to_proto(content, expire_time)

    async def GetUpload(
        self,
        request: storage_pb2.GetUploadRequest,
        context: Context,
    ) -> storage_pb2.GetUploadResponse:
        organization = _uploader(current_caller(), request.organization, "organization")
        content = convert.upload_from_proto(request)
        # The length first: an upload that ends in between is then told as complete, never as begun anew.
        offset = await self._intake.kept(Partial.of_organization(organization, content))
        now = self._clock.now()
        (known,) = await store.stat(self._database, (content.sha256,), organization, now)
        if known.granted:
            Announced(content.sha256, content.size).check(Content(known.sha256, known.size))
            return storage_pb2.GetUploadResponse(offset=known.size, complete=True)
        return storage_pb2.GetUploadResponse(offset=offset)

    async def Download(
        self,
        request: storage_pb2.DownloadRequest,
        context: Context,
    ) -> AsyncIterator[storage_pb2.DownloadResponse]:
        sha256 = check_digest(request.sha256, "sha256")
        # Before looking whether it is here: who may not have it learns nothing about it.
        await self._authorise(current_caller(), sha256, request)
        async with self._gates.downloads.passed():
            content = await self._content(sha256)
            length = check_range(request.offset, request.length, content.size)
            if not length:
                return
            # Closed here and now, also when the caller goes away: the file must not wait for the collector.
            async with aclosing(self._blobs.read(content, request.offset, length)) as chunks:
                async for chunk in chunks:
                    yield storage_pb2.DownloadResponse(chunk=chunk)

    async def StatBlobs(
        self,
        request: storage_pb2.StatBlobsRequest,
        context: Context,
    ) -> storage_pb2.StatBlobsResponse:
        digests = convert.stat_digests(request)
        found = await store.stat(self._database, digests, request.organization, self._clock.now())
        return convert.stats_to_proto(found)

    async def PlaceHolds(
        self,
        request: storage_pb2.PlaceHoldsRequest,
        context: Context,
    ) -> storage_pb2.PlaceHoldsResponse:
        holds = convert.holds_from_proto(request)
        async with self._database.transaction() as tx:
            missing = await store.place_holds(tx, holds)
        return storage_pb2.PlaceHoldsResponse(missing=missing)

    async def ReleaseHolds(
        self,
        request: storage_pb2.ReleaseHoldsRequest,
        context: Context,
    ) -> storage_pb2.ReleaseHoldsResponse:
        holders = convert.holders_from_proto(request)
        async with self._database.transaction() as tx:
            await store.release_holds(tx, holders)
        return storage_pb2.ReleaseHoldsResponse()

    async def VerifyBlobs(
        self,
        request: storage_pb2.VerifyBlobsRequest,
        context: Context,
    ) -> AsyncIterator[storage_pb2.VerifyBlobsResponse]:
        async with aclosing(self._verifier.verify(request.deep)) as parts:
            async for part in parts:
                yield convert.verified_to_proto(part)

    async def _authorise(self, caller: Caller, sha256: bytes, request: storage_pb2.DownloadRequest) -> None:
        if caller.kind is CallerKind.NODE:
            return
        if request.HasField("grant"):
            self._grants.check(request.grant, Purpose.DOWNLOAD, caller.organization, frozenset({sha256}))
            return
        if not await store.is_granted(self._database, sha256, caller.organization, self._clock.now()):
            raise PermissionDenied(
                "GRANT_MISSING",
                "the organization neither uploaded these bytes nor shows a grant for them",
                organization=caller.organization,
            )

    async def _content(self, sha256: bytes) -> Content:
        content = await store.find(self._database, sha256)
        if content is None:
            raise NotFound("BLOB_UNKNOWN", "no such blob", sha256=sha256.hex())
        return content


async def _header(messages: AsyncIterator[storage_pb2.UploadRequest]) -> storage_pb2.UploadHeader:
    first = await anext(messages, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidArgument("UPLOAD_HEADER_MISSING", "the first message is the header", field="header")
    return first.header


def _uploader(caller: Caller, organization: str, field: str) -> str:
    """Whom the upload grant is for: an organization speaks for itself, routing for any."""
    if not is_code(organization):
        raise InvalidArgument("ORGANIZATION_MALFORMED", "not an organization's code", field=field)
    if caller.kind is not CallerKind.NODE and caller.organization != organization:
        raise PermissionDenied(
            "SENDER_FOREIGN",
            "an organization uploads for itself only",
            organization=organization,
            caller=caller.organization,
        )
    return organization
