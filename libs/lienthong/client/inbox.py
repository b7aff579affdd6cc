"""Deliveries of one organization: list, watch, fetch with every check, confirm, report statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from lienthong.client.connection import Connection
from lienthong.client.files import arriving, safe_name
from lienthong.client.transfers import Download, Progress
from lienthong.envelope import Signer, require_sender, verify
from lienthong.errors import DataLoss, PermissionDenied
from lienthong.routing.v1 import inbox_pb2, inbox_pb2_grpc
from lienthong.types.v1 import document_pb2, envelope_pb2

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

    async def fetch(self, delivery_id: str, folder: Path, *, progress: Progress | None = None) -> Fetched:
        """Download everything into `folder` and check it: the envelope's signature, then every digest.

        What a broken run left (`<name>.part`) is gone on from, so one run at a time in a folder. `progress`
        counts the bytes of all attachments together.

        Raises DataLoss("DIGEST_MISMATCH" or "ENVELOPE_MISMATCH") and the reasons of a bad signature.
        """
        answer = await self._fetched(delivery_id)
        payload, signer = self._checked(answer)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        passed = _counted(progress, sum(attachment.size_bytes for attachment in payload.document.attachments))
        files: dict[bytes, Path] = {}
        taken: set[str] = {ENVELOPE_FILE}
        for attachment in payload.document.attachments:
            target = folder / safe_name(attachment.name, taken)
            await self._download(Download(self._connection, attachment, target, passed), answer)
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

    async def _fetched(self, delivery_id: str) -> inbox_pb2.FetchDeliveryResponse:
        request = inbox_pb2.FetchDeliveryRequest(delivery_id=delivery_id)
        return await self._connection.repeat(lambda: self._service.FetchDelivery(request))

    async def _download(self, download: Download, answer: inbox_pb2.FetchDeliveryResponse) -> None:
        """One attachment; a grant that ends before a long download is asked for again."""
        grant = answer.grant
        while True:
            before = download.over
            try:
                return await download.run(grant)
            except PermissionDenied as error:
                if error.reason != "GRANT_EXPIRED" or download.over <= before:
                    raise
            grant = (await self._fetched(answer.delivery.delivery_id)).grant


def _counted(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Hears of each piece and tells the sum."""
    over = 0

    def passed(count: int) -> None:
        nonlocal over
        over += count
        if progress is not None:
            progress(over, total)

    return passed
