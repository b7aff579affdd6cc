"""The servicers of signing: convert in, do, convert out."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from lienthong.clock import Clock
from lienthong.db import Database
from lienthong.errors import InvalidArgument
from lienthong.ids import IdFactory
from lienthong.pki.identity import Kind
from lienthong.rpc.identity import Caller, CallerKind, current_caller
from lienthong.rpc.streams import Gate, patient
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.signing.v1 import signing_pb2_grpc

from services.signing import convert, store
from services.signing.detached import MAX_SIGNATURES, DetachedSignatures, Statement
from services.signing.documents import Documents
from services.signing.envelopes import EnvelopeSigner
from services.signing.keys import HeldKey, KeyRing
from services.signing.orders import (
    Purpose,
    SignOrder,
    authorise,
    check_detached,
    check_order,
    check_sha256,
    declared_format,
)
from services.signing.spool import Spool, Workspace
from services.signing.tsa import Failure, TimestampAuthority, rejection
from services.signing.tsa_http import MAX_QUERY_BYTES

Context = grpc.aio.ServicerContext[Any, Any]


# Each is the header first, then chunks.
M = TypeVar(
    "M",
    pb.PrepareDocumentRequest,
    pb.SignDocumentRequest,
    pb.ExtendSignatureRequest,
    pb.ValidateDocumentRequest,
)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where documents are received: files of their own, so many at a time, nobody dawdles."""

    spool: Spool
    gate: Gate
    patience: float

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Workspace]:
        async with self.gate.passed(), self.spool.workspace() as files:
            yield files


class SigningService(signing_pb2_grpc.SigningServiceServicer):
    """Signatures with the keys of the ring."""

    def __init__(
        self,
        desk: Desk,
        documents: Documents,
        detached: DetachedSignatures,
        ring: KeyRing,
        envelopes: EnvelopeSigner,
        database: Database,
        clock: Clock,
        new_id: IdFactory,
    ) -> None:
        self._desk, self._documents, self._detached = desk, documents, detached
        self._ring, self._envelopes = ring, envelopes
        self._database, self._clock, self._new_id = database, clock, new_id

    async def PrepareDocument(
        self,
        request_iterator: AsyncIterator[pb.PrepareDocumentRequest],
        context: Context,
    ) -> AsyncIterator[pb.PrepareDocumentResponse]:
        messages = patient(request_iterator, self._desk.patience)
        placements = convert.placements_from_proto((await _first(messages)).header)
        async with self._desk.place() as files:
            await files.receive(_chunks(messages))
            await self._documents.prepare(files.source, files.target, placements)
            content = await files.result()
            async for piece in files.pieces():
                yield pb.PrepareDocumentResponse(chunk=piece)
            yield pb.PrepareDocumentResponse(result=convert.result_to_proto(content))

    async def SignDocument(
        self,
        request_iterator: AsyncIterator[pb.SignDocumentRequest],
        context: Context,
    ) -> AsyncIterator[pb.SignDocumentResponse]:
        messages = patient(request_iterator, self._desk.patience)
        order = convert.order_from_proto((await _first(messages)).header)
        caller = current_caller()
        # Who may not, or cannot, is told before a byte of the document is taken.
        authorise(order, caller)
        check_order(order)
        held = self._key(order, caller)
        async with self._desk.place() as files:
            received = await files.receive(_chunks(messages))
            await self._sign(order, files, held)
            content = await files.result()
            await self._record(order, caller, held, received.sha256, content.sha256)
            async for piece in files.pieces():
                yield pb.SignDocumentResponse(chunk=piece)
            yield pb.SignDocumentResponse(result=convert.result_to_proto(content))

    async def ExtendSignature(
        self,
        request_iterator: AsyncIterator[pb.ExtendSignatureRequest],
        context: Context,
    ) -> AsyncIterator[pb.ExtendSignatureResponse]:
        messages = patient(request_iterator, self._desk.patience)
        kind = convert.format_from_proto((await _first(messages)).header.media_type)
        async with self._desk.place() as files:
            await files.receive(_chunks(messages))
            await self._documents.extend(files.source, files.target, kind)
            content = await files.result()
            async for piece in files.pieces():
                yield pb.ExtendSignatureResponse(chunk=piece)
            yield pb.ExtendSignatureResponse(result=convert.result_to_proto(content))

    async def SignDigest(
        self,
        request: pb.SignDigestRequest,
        context: Context,
    ) -> pb.SignDigestResponse:
        order = convert.order_from_proto(request.header)
        caller = current_caller()
        authorise(order, caller)
        check_detached(order)
        check_sha256(request.sha256)
        held = self._key(order, caller)
        async with self._desk.gate.passed():
            signature = await self._detached.sign(
                request.sha256, Statement(order.media_type, order.mark), held
            )
            if order.purpose is Purpose.PERSONAL:
                signature = await self._detached.extend(signature)
            digest = hashlib.sha256(signature).digest()
            await self._record(order, caller, held, request.sha256, digest)
        return pb.SignDigestResponse(signature=signature)

    async def ExtendDetachedSignature(
        self,
        request: pb.ExtendDetachedSignatureRequest,
        context: Context,
    ) -> pb.ExtendDetachedSignatureResponse:
        async with self._desk.gate.passed():
            return pb.ExtendDetachedSignatureResponse(
                signature=await self._detached.extend(request.signature)
            )

    async def SignEnvelopes(
        self,
        request: pb.SignEnvelopesRequest,
        context: Context,
    ) -> pb.SignEnvelopesResponse:
        return pb.SignEnvelopesResponse(envelopes=await self._envelopes.sign(request.payloads))

    async def ListKeys(
        self,
        request: pb.ListKeysRequest,
        context: Context,
    ) -> pb.ListKeysResponse:
        caller = current_caller()
        return convert.keys_to_proto(held for held in self._ring.all() if _may_see(caller, held))

    def _key(self, order: SignOrder, caller: Caller) -> HeldKey:
        if order.purpose is Purpose.PERSONAL:
            return self._ring.leader(caller.organization, caller.name)
        return self._ring.seal(order.organization)

    async def _sign(self, order: SignOrder, files: Workspace, held: HeldKey) -> None:
        if order.mark is None:
            await self._documents.sign_personal(files.source, files.target, order.format, held)
        elif order.purpose is Purpose.SEAL:
            await self._documents.seal(files.source, files.target, order.mark, held)
        else:
            await self._documents.annex(files.source, files.target, order.format, order.mark, held)

    async def _record(
        self, order: SignOrder, caller: Caller, held: HeldKey, received: bytes, sent: bytes
    ) -> None:
        """Durable before the signature leaves: no signature is in the world and not in the log."""
        record = store.SignatureRecord(
            signature_id=self._new_id(),
            time=self._clock.now(),
            caller=str(caller),
            purpose=order.purpose,
            organization=order.organization,
            clerk=order.clerk,
            document_id=order.document_id,
            sha256_in=received,
            sha256_out=sent,
            key_fingerprint=held.fingerprint,
        )
        async with self._database.transaction() as tx:
            await store.append(tx, record)


class ValidationService(signing_pb2_grpc.ValidationServiceServicer):
    """Verdicts. Its own desk: a crowd of validations keeps nobody from signing."""

    def __init__(self, desk: Desk, documents: Documents, detached: DetachedSignatures) -> None:
        self._desk, self._documents, self._detached = desk, documents, detached

    async def ValidateDocument(
        self,
        request_iterator: AsyncIterator[pb.ValidateDocumentRequest],
        context: Context,
    ) -> pb.ValidateDocumentResponse:
        messages = patient(request_iterator, self._desk.patience)
        header = (await _first(messages)).header
        declared, intended = declared_format(header.media_type), convert.intended_purpose(header)
        async with self._desk.place() as files:
            received = await files.receive(_chunks(messages))
            report = await self._documents.validate(files.source, declared)
            obstacles: tuple[str, ...] = ()
            if declared is not None and intended is not None:
                obstacles = await self._documents.obstacles(
                    files.source, declared, intended, header.organization, report
                )
        return convert.report_to_proto(report, received.sha256, obstacles)

    async def ValidateDigest(
        self,
        request: pb.ValidateDigestRequest,
        context: Context,
    ) -> pb.ValidateDigestResponse:
        check_sha256(request.sha256)
        if len(request.signatures) > MAX_SIGNATURES:
            raise InvalidArgument(
                "TOO_MANY_ITEMS", "too many signatures", field="signatures", limit=MAX_SIGNATURES
            )
        async with self._desk.gate.passed():
            report = await self._detached.validate(request.sha256, list(request.signatures))
        return pb.ValidateDigestResponse(report=convert.report_to_proto(report, request.sha256))


class TimestampService(signing_pb2_grpc.TimestampServiceServicer):
    """The node's own timestamp authority; what it refuses it refuses in the words of RFC 3161."""

    def __init__(self, authority: TimestampAuthority | None) -> None:
        self._authority = authority

    async def CreateTimestamp(
        self,
        request: pb.CreateTimestampRequest,
        context: Context,
    ) -> pb.CreateTimestampResponse:
        if self._authority is None:
            reply = rejection(Failure.SYSTEM_FAILURE, "this node runs no timestamp authority")
        elif len(request.query) > MAX_QUERY_BYTES:
            reply = rejection(Failure.BAD_DATA_FORMAT, "the request is too large")
        else:
            reply = self._authority.respond(request.query)
        return pb.CreateTimestampResponse(reply=reply)


async def _first(messages: AsyncGenerator[M, None]) -> M:
    first = await anext(messages, None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidArgument("UPLOAD_HEADER_MISSING", "the first message is the header", field="header")
    return first


async def _chunks(messages: AsyncGenerator[M, None]) -> AsyncGenerator[bytes, None]:
    async for message in messages:
        if message.WhichOneof("part") != "chunk":
            raise InvalidArgument("STREAM_MALFORMED", "after the header come chunks only")
        yield message.chunk


def _may_see(caller: Caller, held: HeldKey) -> bool:
    """One's own key and one's organization's; operators and auditors see all."""
    if caller.kind in (CallerKind.OPERATOR, CallerKind.AUDITOR):
        return True
    owner = held.identity
    if owner.organization != caller.organization or not caller.organization:
        return False
    return owner.kind is Kind.ORGANIZATION or (owner.kind.value, owner.name) == (caller.role, caller.name)
