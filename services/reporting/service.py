"""JourneyService and IndicatorService: convert in, read, convert out."""

from __future__ import annotations

from typing import Any

import grpc
from lienthong.db import Database
from lienthong.errors import InvalidArgument, NotFound
from lienthong.reporting.v1 import reporting_pb2, reporting_pb2_grpc
from lienthong.rpc.identity import current_caller

from services.reporting import convert, store
from services.reporting.domain import Issue, Journey, Reader, branches

Context = grpc.aio.ServicerContext[Any, Any]


class JourneyServicer(reporting_pb2_grpc.JourneyServiceServicer):
    """Where a document went, and what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetJourney(
        self,
        request: reporting_pb2.GetJourneyRequest,
        context: Context,
    ) -> reporting_pb2.GetJourneyResponse:
        issue = await self._issue(request, convert.reader_from_caller(current_caller()))
        receipts = await store.receipts_of(self._database, issue.document_id)
        journey = Journey(issue, branches(issue.recipients, receipts))
        return reporting_pb2.GetJourneyResponse(journey=convert.journey_to_proto(journey))

    async def _issue(self, request: reporting_pb2.GetJourneyRequest, reader: Reader) -> Issue:
        match request.WhichOneof("key"):
            case "document_id" if request.document_id:
                issue = await store.find_by_id(self._database, request.document_id)
            case "code":
                code = convert.code_from_proto(request.code)
                reader.check(code.organization)  # before looking: what others number is their own
                issue = await store.find_by_code(self._database, code)
            case _:
                raise InvalidArgument("KEY_MISSING", "name the document, by id or by code", field="key")
        if issue is None:
            raise NotFound("JOURNEY_UNKNOWN", "no such document was issued through this node")
        reader.check(issue.code.organization)
        return issue


class IndicatorServicer(reporting_pb2_grpc.IndicatorServiceServicer):
    """How many."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListDailyCounts(
        self,
        request: reporting_pb2.ListDailyCountsRequest,
        context: Context,
    ) -> reporting_pb2.ListDailyCountsResponse:
        convert.reader_from_caller(current_caller()).check(request.organization)
        period = convert.period_from_proto(request)
        counts = await store.daily_counts(self._database, request.organization, period)
        if len(counts) > store.MAX_COUNTS:
            raise InvalidArgument(
                "PERIOD_TOO_LONG",
                f"more than {store.MAX_COUNTS} counts: ask for fewer days or one organization",
                field="to_date",
                limit=store.MAX_COUNTS,
            )
        return convert.counts_to_proto(counts)
