"""What the people who run a node see: transfers, destinations, directory, counts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from lienthong.client.connection import Connection
from lienthong.registry.v1 import directory_pb2, directory_pb2_grpc
from lienthong.reporting.v1 import reporting_pb2, reporting_pb2_grpc
from lienthong.routing.v1 import queue_pb2, queue_pb2_grpc
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc


class Operator:
    """A node with an operator's certificate."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queue = connection.stub(queue_pb2_grpc.QueueServiceStub, "routing")
        self._directory = connection.stub(directory_pb2_grpc.DirectoryServiceStub, "registry")
        self._indicators = connection.stub(reporting_pb2_grpc.IndicatorServiceStub, "reporting")
        self._blobs = connection.stub(storage_pb2_grpc.BlobServiceStub, "storage")

    async def transfers(
        self, *, next_hop: str = "", document_id: str = "", page_token: str = ""
    ) -> tuple[Sequence[queue_pb2.TransferSummary], str]:
        """A page of transfers, newest first, and the token of the next."""
        request = queue_pb2.ListTransfersRequest(
            next_hop=next_hop, document_id=document_id, page_token=page_token
        )
        page = await self._connection.repeat(lambda: self._queue.ListTransfers(request))
        return list(page.transfers), page.next_page_token

    async def destinations(self) -> Sequence[queue_pb2.Destination]:
        """The neighbours and what waits for them."""
        request = queue_pb2.ListDestinationsRequest()
        answer = await self._connection.repeat(lambda: self._queue.ListDestinations(request))
        return list(answer.destinations)

    async def ping(self, node: str) -> Sequence[queue_pb2.PingHop]:
        """The way to a node over the open links, this one first, with each hop's time; asked once."""
        return list((await self._queue.PingNode(queue_pb2.PingNodeRequest(node=node))).hops)

    async def verify_blobs(self, deep: bool) -> AsyncGenerator[storage_pb2.VerifyBlobsResponse, None]:
        """What is recorded against what is there: findings as they come, progress about every second, and the
        summary last. `deep` reads every byte. A broken stream is not taken up again: ask anew."""
        call = self._blobs.VerifyBlobs(storage_pb2.VerifyBlobsRequest(deep=deep))
        try:
            async for answer in call:
                yield answer
        finally:
            call.cancel()  # whoever stops listening stops the node's work too

    async def organization(self, code: str) -> directory_pb2.Organization:
        """One organization by its code, old or new."""
        request = directory_pb2.GetOrganizationRequest(code=code)
        answer = await self._connection.repeat(lambda: self._directory.GetOrganization(request))
        return answer.organization

    async def daily_counts(
        self, from_date: str, to_date: str, organization: str = ""
    ) -> Sequence[reporting_pb2.DailyCount]:
        """Counts by organization and day, for one organization or all of the node."""
        request = reporting_pb2.ListDailyCountsRequest(
            organization=organization, from_date=from_date, to_date=to_date
        )
        answer = await self._connection.repeat(lambda: self._indicators.ListDailyCounts(request))
        return list(answer.counts)
