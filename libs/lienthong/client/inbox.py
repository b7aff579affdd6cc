"""Deliveries of one organization: list, watch, fetch with every check, confirm, report statuses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from lienthong.client.connection import Connection
from lienthong.client.files import arriving, check_digest, safe_name
from lienthong.envelope import Signer, require_sender, verify
from lienthong.errors import DataLoss, Unavailable
from lienthong.routing.v1 import inbox_pb2, inbox_pb2_grpc
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc
from lienthong.types.v1 import document_pb2, envelope_pb2, grant_pb2

ENVELOPE_FILE: Final = "goi-tin.bin"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delivery whose envelope and files were checked; `files` by SHA-256. `envelope` is proof: keep it."""

    delivery: inbox_pb2.Delivery
    envelope: envelope_pb2.SignedEnvelope
    payload: document_pb2.EnvelopePayload
    signer: Signer
    files: Mapping[bytes, Path]

    @property
    def document(self) -> document_pb2.Document:
        """As the sender signed it."""
        return self.payload.document


class Inbox:
    """What came for an organization."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._service = connection.stub(inbox_pb2_grpc.InboxServiceStub, "routing")
        self._blobs = connection.stub(storage_pb2_grpc.BlobServiceStub, "storage")

    async def list(self, cursor: str = "", page_size: int = 0) -> tuple[Sequence[inbox_pb2.Delivery], str]:
        """Deliveries behind a cursor, and the cursor to go on from."""
        request = inbox_pb2.ListInboxRequest(cursor=cursor, page_size=page_size)
        page = await self._connection.repeat(lambda: self._service.ListInbox(request))
        return list(page.deliveries), page.next_cursor

    async def all(self) -> Sequence[inbox_pb2.Delivery]:
        """Every delivery, page by page."""
        found: list[inbox_pb2.Delivery] = []
        page, cursor = await self.list()
        while page:
            found += page
            page, cursor = await self.list(cursor)
        return found

    def watch(self, cursor: str = "") -> AsyncGenerator[inbox_pb2.Delivery, None]:
        """Deliveries behind a cursor as they come, for ever."""

        async def opened(behind: str) -> AsyncGenerator[inbox_pb2.Delivery, None]:
            async for item in self._service.WatchInbox(inbox_pb2.WatchInboxRequest(cursor=behind)):
                yield item.delivery

        return self._connection.watch(opened, lambda delivery: delivery.cursor, cursor)

    async def fetch(self, delivery_id: str, folder: Path) -> Fetched:
        """Download everything into `folder` and check it: the envelope's signature, then every digest.

        Raises DataLoss("DIGEST_MISMATCH" or "ENVELOPE_MISMATCH") and the reasons of a bad signature.
        """
        request = inbox_pb2.FetchDeliveryRequest(delivery_id=delivery_id)
        answer = await self._connection.repeat(lambda: self._service.FetchDelivery(request))
        payload, signer = self._checked(answer)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        files: dict[bytes, Path] = {}
        taken: set[str] = {ENVELOPE_FILE}
        for attachment in payload.document.attachments:
            target = folder / safe_name(attachment.name, taken)
            await self._download(attachment, answer.grant, target)
            files[attachment.sha256] = target
        with arriving(folder / ENVELOPE_FILE) as file:
            file.write(answer.envelope.SerializeToString())
        return Fetched(answer.delivery, answer.envelope, payload, signer, files)

    async def confirm(self, *delivery_ids: str, request_id: UUID | None = None) -> None:
        """Say that these deliveries are kept safely here."""
        request = inbox_pb2.ConfirmFetchedRequest(
            request_id=str(request_id or self._connection.new_id()), delivery_ids=delivery_ids
        )
        await self._connection.repeat(lambda: self._service.ConfirmFetched(request))

    async def report(
        self,
        delivery_id: str,
        status: str,
        *,
        reason: str = "",
        actor: str = "",
        own_number: int = 0,
        request_id: UUID | None = None,
    ) -> document_pb2.Receipt:
        """Report a status; the receipt that goes to the sender."""
        request = inbox_pb2.ReportStatusRequest(
            request_id=str(request_id or self._connection.new_id()),
            delivery_id=delivery_id,
            status=status,
            reason=reason,
            actor=actor,
            own_arrival_number=own_number,
        )
        answer = await self._connection.repeat(lambda: self._service.ReportStatus(request))
        return answer.receipt

    async def refuse(self, delivery_id: str, reason: str, *, actor: str = "") -> document_pb2.Receipt:
        """02: send back, with the reason; takes no arrival number."""
        return await self.report(delivery_id, "02", reason=reason, actor=actor)

    async def accept(self, delivery_id: str, *, own_number: int = 0, actor: str = "") -> document_pb2.Receipt:
        """03: enter into the incoming register; `own_number` where the own system numbers arrivals."""
        return await self.report(delivery_id, "03", own_number=own_number, actor=actor)

    async def assign(self, delivery_id: str, *, actor: str = "") -> document_pb2.Receipt:
        """04: assigned to somebody."""
        return await self.report(delivery_id, "04", actor=actor)

    async def process(self, delivery_id: str, *, actor: str = "") -> document_pb2.Receipt:
        """05: being worked on."""
        return await self.report(delivery_id, "05", actor=actor)

    async def complete(self, delivery_id: str, *, actor: str = "") -> document_pb2.Receipt:
        """06: done."""
        return await self.report(delivery_id, "06", actor=actor)

    def _checked(
        self, answer: inbox_pb2.FetchDeliveryResponse
    ) -> tuple[document_pb2.EnvelopePayload, Signer]:
        """The payload, which alone is believed: what the node says beside it must agree with it."""
        signer = verify(answer.envelope, self._connection.trust, self._connection.clock.now())
        payload = document_pb2.EnvelopePayload.FromString(answer.envelope.payload)
        require_sender(signer, organization=payload.organization)
        recipients = {recipient.organization for recipient in payload.recipients}
        delivery = answer.delivery
        if payload.envelope_id != delivery.envelope_id or delivery.recipient not in recipients:
            raise DataLoss("ENVELOPE_MISMATCH", "the envelope is not that of the delivery")
        return payload, signer

    async def _download(
        self, attachment: document_pb2.Attachment, grant: grant_pb2.SignedGrant, target: Path
    ) -> None:
        """Stream one attachment; a broken stream goes on from the byte where it broke."""
        digest, size = hashlib.sha256(), 0
        with arriving(target) as file:

            async def rest() -> None:
                nonlocal size
                request = storage_pb2.DownloadRequest(sha256=attachment.sha256, offset=size, grant=grant)
                async for piece in self._blobs.Download(request):
                    digest.update(piece.chunk)
                    await asyncio.to_thread(file.write, piece.chunk)
                    size += len(piece.chunk)
                if size < attachment.size_bytes:
                    raise Unavailable("STREAM_CLOSED", "the download ended early", name=attachment.name)

            if attachment.size_bytes:
                await self._connection.repeat(rest)
            check_digest(attachment.sha256, digest.digest(), attachment.name)
