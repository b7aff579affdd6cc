"""The servicers of routing but for the link: convert in, do, convert out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from lienthong import backoff, events, queue
from lienthong.clock import Clock
from lienthong.db import Database, Record
from lienthong.errors import InvalidArgument, NotFound
from lienthong.events import Cursor
from lienthong.grant import sign_grant
from lienthong.idempotency import recall, record
from lienthong.ids import parse_id
from lienthong.paging import page_size
from lienthong.pki.keys import SigningKey
from lienthong.queue import Wakeups
from lienthong.routing.v1 import (
    inbox_pb2,
    inbox_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    submission_pb2,
    submission_pb2_grpc,
)
from lienthong.rpc.identity import current_caller
from lienthong.times import to_timestamp
from lienthong.types.v1 import envelope_pb2, grant_pb2

from services.routing import delivery_store, submission_store, transfer_store
from services.routing.arrival import INBOX
from services.routing.bulk import BulkDesk
from services.routing.convert import (
    delivery_to_proto,
    event_to_proto,
    listed_delivery,
    listed_submission,
    received_receipt,
)
from services.routing.domain import Document
from services.routing.handling import HandlingDesk
from services.routing.intake import Intake
from services.routing.ping import Pings
from services.routing.receipts import EVENT, RECEIPT
from services.routing.submission_store import Submission
from services.routing.transfer_store import TRANSFER

DOWNLOAD_LIFE: Final = timedelta(hours=1)
_MAX_CONFIRMED: Final = 500
_POLL_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.02

_Context = Any


class SubmissionServicer(submission_pb2_grpc.SubmissionServiceServicer):
    """Documents on their way in, and what became of them."""

    def __init__(self, db: Database, intake: Intake, bulk: BulkDesk, wakeups: Wakeups) -> None:
        self._db = db
        self._intake = intake
        self._bulk = bulk
        self._wakeups = wakeups

    async def SubmitDocument(
        self, request: submission_pb2.SubmitDocumentRequest, context: _Context
    ) -> submission_pb2.SubmitDocumentResponse:
        submission = await self._intake.submit(request, current_caller())
        return submission_pb2.SubmitDocumentResponse(submission=await self._intake.show(submission))

    async def SubmitDocuments(
        self, request_iterator: AsyncIterator[submission_pb2.SubmitDocumentsRequest], context: _Context
    ) -> AsyncIterator[submission_pb2.SubmitDocumentsResponse]:
        async with aclosing(self._bulk.take(request_iterator, current_caller())) as answers:
            async for answer in answers:
                yield answer

    async def GetSubmission(
        self, request: submission_pb2.GetSubmissionRequest, context: _Context
    ) -> submission_pb2.GetSubmissionResponse:
        key = request.WhichOneof("key")
        if key is None:
            raise InvalidArgument("KEY_MISSING", "neither submission_id nor document_id", field="key")
        value = parse_id(getattr(request, key), key)
        submission = await submission_store.find(self._db, current_caller().organization, key, value)
        return submission_pb2.GetSubmissionResponse(submission=await self._intake.show(submission))

    async def ListSubmissions(
        self, request: submission_pb2.ListSubmissionsRequest, context: _Context
    ) -> submission_pb2.ListSubmissionsResponse:
        size = page_size(request.page_size, default=50, most=500)
        found = await submission_store.newest(
            self._db, current_caller().organization, _page(request.page_token), size
        )
        token = str(found[-1].submission_id) if len(found) == size else ""
        return submission_pb2.ListSubmissionsResponse(
            submissions=await self._shown(found), next_page_token=token
        )

    async def ListReceipts(
        self, request: submission_pb2.ListReceiptsRequest, context: _Context
    ) -> submission_pb2.ListReceiptsResponse:
        size = page_size(request.page_size, default=100, most=1000)
        rows, cursor = await delivery_store.list_after(
            self._db, "receipt", current_caller().organization, Cursor.decode(request.cursor), size
        )
        return submission_pb2.ListReceiptsResponse(
            receipts=[received_receipt(row) for row in rows], next_cursor=cursor.encode()
        )

    async def WatchReceipts(
        self, request: submission_pb2.WatchReceiptsRequest, context: _Context
    ) -> AsyncIterator[submission_pb2.WatchReceiptsResponse]:
        rows = watch(
            self._db, self._wakeups, RECEIPT, "receipt", current_caller().organization, request.cursor
        )
        async for row in rows:
            yield submission_pb2.WatchReceiptsResponse(receipt=received_receipt(row))

    async def _shown(self, submissions: list[Submission]) -> list[submission_pb2.Submission]:
        ids = [s.envelope_id for s in submissions if s.envelope_id]
        known = await submission_store.recipients(self._db, ids) if ids else {}
        return [
            listed_submission(s, known.get(s.envelope_id, []) if s.envelope_id else []) for s in submissions
        ]


class InboxServicer(inbox_pb2_grpc.InboxServiceServicer):
    """Deliveries, for the organizations that this node serves."""

    def __init__(
        self, db: Database, desk: HandlingDesk, wakeups: Wakeups, grant_key: SigningKey, clock: Clock
    ) -> None:
        self._db = db
        self._desk = desk
        self._wakeups = wakeups
        self._grant_key = grant_key
        self._clock = clock

    async def ListInbox(
        self, request: inbox_pb2.ListInboxRequest, context: _Context
    ) -> inbox_pb2.ListInboxResponse:
        size = page_size(request.page_size, default=50, most=500)
        rows, cursor = await delivery_store.list_after(
            self._db, "delivery", current_caller().organization, Cursor.decode(request.cursor), size
        )
        return inbox_pb2.ListInboxResponse(
            deliveries=[listed_delivery(row) for row in rows], next_cursor=cursor.encode()
        )

    async def WatchInbox(
        self, request: inbox_pb2.WatchInboxRequest, context: _Context
    ) -> AsyncIterator[inbox_pb2.WatchInboxResponse]:
        rows = watch(
            self._db, self._wakeups, INBOX, "delivery", current_caller().organization, request.cursor
        )
        async for row in rows:
            yield inbox_pb2.WatchInboxResponse(delivery=listed_delivery(row))

    async def FetchDelivery(
        self, request: inbox_pb2.FetchDeliveryRequest, context: _Context
    ) -> inbox_pb2.FetchDeliveryResponse:
        organization = current_caller().organization
        row = await delivery_store.get(self._db, parse_id(request.delivery_id, "delivery_id"))
        if row["recipient"] != organization:
            # Another's delivery looks the same as one that does not exist.
            raise NotFound("DELIVERY_UNKNOWN", "no such delivery", field="delivery_id")
        signed = await self._db.fetchval(
            "SELECT signed FROM envelope WHERE envelope_id = $1", row["envelope_id"]
        )
        document = Document.FromString(row["document"])
        grant = grant_pb2.GrantPayload(
            purpose=grant_pb2.GRANT_PURPOSE_DOWNLOAD,
            digests=sorted({attachment.sha256 for attachment in document.attachments}),
            organization=organization,
            expire_time=to_timestamp(self._clock.now() + DOWNLOAD_LIFE),
        )
        return inbox_pb2.FetchDeliveryResponse(
            delivery=delivery_to_proto(row),
            envelope=envelope_pb2.SignedEnvelope.FromString(signed),
            grant=sign_grant(grant, self._grant_key),
        )

    async def ConfirmFetched(
        self, request: inbox_pb2.ConfirmFetchedRequest, context: _Context
    ) -> inbox_pb2.ConfirmFetchedResponse:
        organization = current_caller().organization
        request_id = parse_id(request.request_id, "request_id")
        if len(request.delivery_ids) > _MAX_CONFIRMED:
            raise InvalidArgument(
                "TOO_MANY_ITEMS", f"at most {_MAX_CONFIRMED} deliveries", field="delivery_ids"
            )
        ids = sorted({parse_id(text, "delivery_ids") for text in request.delivery_ids})
        digest = b"".join(delivery_id.bytes for delivery_id in ids)
        async with self._db.transaction() as tx:
            if await recall(tx, organization, request_id, digest) is None:
                done = await delivery_store.mark_fetched(tx, organization, ids)
                if len(done) < len(ids):
                    raise NotFound("DELIVERY_UNKNOWN", "no such delivery", field="delivery_ids")
                await record(tx, organization, request_id, b"")
        return inbox_pb2.ConfirmFetchedResponse()

    async def ReportStatus(
        self, request: inbox_pb2.ReportStatusRequest, context: _Context
    ) -> inbox_pb2.ReportStatusResponse:
        receipt = await self._desk.report(request, current_caller())
        return inbox_pb2.ReportStatusResponse(receipt=receipt)


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """What is on its way, for operators."""

    def __init__(self, db: Database, connected: set[str], pings: Pings) -> None:
        self._db = db
        self._connected = connected
        self._pings = pings

    async def ListTransfers(
        self, request: queue_pb2.ListTransfersRequest, context: _Context
    ) -> queue_pb2.ListTransfersResponse:
        size = page_size(request.page_size, default=100, most=1000)
        document_id = parse_id(request.document_id, "document_id") if request.document_id else None
        found = await transfer_store.list_transfers(
            self._db, request.next_hop, document_id, _page(request.page_token), size
        )
        token = found[-1].transfer_id if len(found) == size else ""
        return queue_pb2.ListTransfersResponse(transfers=found, next_page_token=token)

    async def ListDestinations(
        self, request: queue_pb2.ListDestinationsRequest, context: _Context
    ) -> queue_pb2.ListDestinationsResponse:
        states = await backoff.state(self._db)
        waiting = await queue.depth(self._db, TRANSFER)
        oldest = await transfer_store.oldest_waiting(self._db)
        names = sorted({*states, *waiting, *self._connected})
        return queue_pb2.ListDestinationsResponse(
            destinations=[self._destination(name, states.get(name), waiting, oldest) for name in names]
        )

    async def PingNode(
        self, request: queue_pb2.PingNodeRequest, context: _Context
    ) -> queue_pb2.PingNodeResponse:
        return queue_pb2.PingNodeResponse(hops=await self._pings.ask(request.node))

    def _destination(
        self,
        name: str,
        state: backoff.DestinationState | None,
        waiting: dict[str, int],
        oldest: dict[str, Any],
    ) -> queue_pb2.Destination:
        return queue_pb2.Destination(
            node=name,
            connected=name in self._connected,
            waiting=waiting.get(name, 0),
            oldest_time=to_timestamp(oldest.get(name)),
            failures=state.failures if state else 0,
            retry_time=to_timestamp(state.retry_time) if state else None,
            reason=state.last_error if state else "",
        )


class EventServicer(queue_pb2_grpc.EventServiceServicer):
    """What routing committed, for other services (R7)."""

    def __init__(self, db: Database, wakeups: Wakeups) -> None:
        self._db = db
        self._wakeups = wakeups

    async def ListEvents(
        self, request: queue_pb2.ListEventsRequest, context: _Context
    ) -> queue_pb2.ListEventsResponse:
        size = page_size(request.page_size, default=100, most=1000)
        page = await events.read(self._db, Cursor.decode(request.cursor), size)
        return queue_pb2.ListEventsResponse(
            events=[event_to_proto(event) for event in page.events], next_cursor=page.cursor.encode()
        )

    async def WatchEvents(
        self, request: queue_pb2.WatchEventsRequest, context: _Context
    ) -> AsyncIterator[queue_pb2.WatchEventsResponse]:
        async for page in events.watch(self._db, Cursor.decode(request.cursor), self._wakeups, name=EVENT):
            for event in page.events:
                yield queue_pb2.WatchEventsResponse(event=event_to_proto(event))


async def watch(
    db: Database, wakeups: Wakeups, name: str, table: str, owner: str, cursor_text: str
) -> AsyncIterator[Record]:
    """Rows of one organization as they come, for ever; a lost wake-up costs a second, never a row."""
    cursor = Cursor.decode(cursor_text)
    while True:
        seen = wakeups.generation(name)
        rows, cursor = await delivery_store.list_after(db, table, owner, cursor, 100)
        for row in rows:
            yield row
        if rows:
            continue
        if await delivery_store.unsettled(db, table, owner, cursor):
            await asyncio.sleep(_SETTLE_SECONDS)  # committed, but something older still runs (R7)
        else:
            await wakeups.wait(name, seen, _POLL_SECONDS)


def _page(token: str) -> UUID | None:
    """A page token is the id of the last row of the page before."""
    try:
        return UUID(token) if token else None
    except ValueError:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "not a page token that was given out here", field="page_token"
        ) from None
