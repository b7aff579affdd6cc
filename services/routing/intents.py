"""Makes intents durable and finds them again; documents of one moment share a transaction.

Each is answered by itself. What one of them is refused for (its document was submitted before, its request id
came with other content) leaves no row and does not touch the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from lienthong import queue
from lienthong.batching import Batcher
from lienthong.db import Queries, Record, Transaction
from lienthong.errors import AlreadyExists, DomainError, NotFound
from lienthong.idempotency import Request, forget_many, recall_many, record_many

from services.routing import submission_store as store
from services.routing.issuing import submission_work
from services.routing.station import Station
from services.routing.submission_store import Submission

# The window of a bulk stream.
_MAX_ITEMS: Final = 256
# How a submission is remembered as the answer to its request.
_ID_BYTES: Final = 16
# So that one batch is gathered while another is written.
_CONCURRENCY: Final = 2


@dataclass(frozen=True, slots=True)
class Intent:
    """A judged submission and the request that it answers."""

    submission: Submission
    request: Request


class Intents:
    """The durable side of submitting."""

    def __init__(self, station: Station) -> None:
        self._db = station.db
        self._wakeups = station.wakeups
        self._commits = Batcher(self._commit_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)
        self._recalls = Batcher(self._recall_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)
        self._knowledge = Batcher(self._recipients_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)
        self._reads = Batcher(self._read_all, max_items=_MAX_ITEMS, concurrency=_CONCURRENCY)

    async def get(self, submission_id: UUID) -> Submission:
        """One submission as it stands."""
        return await self._reads.submit(submission_id)

    async def recipients(self, submission: Submission) -> list[Record]:
        """What is known of its recipients: nothing before it is issued."""
        return await self._knowledge.submit(submission.envelope_id) if submission.envelope_id else []

    async def recall(self, request: Request) -> Submission | None:
        """What this request made before, without taking it for ours.

        Raises AlreadyExists("REQUEST_ID_REUSED") when its id came before with other content.
        """
        return await self._recalls.submit(request)

    async def commit(self, intent: Intent) -> Submission:
        """Make the intent durable, or return the one that this request made before.

        AlreadyExists is certain: nothing was written. After any other failure the commit may have happened.
        """
        return await self._commits.submit(intent)

    async def _read_all(self, ids: list[UUID]) -> list[Submission | Exception]:
        found = await store.get_many(self._db, ids)
        return [found.get(i) or NotFound("SUBMISSION_UNKNOWN", "no such submission") for i in ids]

    async def _recipients_all(self, envelope_ids: list[UUID]) -> list[list[Record]]:
        found = await store.recipients(self._db, envelope_ids)
        return [found.get(envelope_id, []) for envelope_id in envelope_ids]

    async def _recall_all(self, requests: list[Request]) -> list[Submission | Exception | None]:
        rows = await self._db.fetch(
            "SELECT caller, request_id, request_hash, response FROM request"
            " JOIN unnest($1::text[], $2::uuid[]) AS asked(caller, request_id) USING (caller, request_id)",
            [request.caller for request in requests],
            [request.request_id for request in requests],
        )
        known = {(row["caller"], row["request_id"]): row for row in rows}
        made = await self._made([row["response"] for row in rows])
        answers: list[Submission | Exception | None] = []
        for request in requests:
            row = known.get(request.key)
            if row is None:
                answers.append(None)
            elif row["request_hash"] != request.request_hash:
                answers.append(_reused(request))
            else:
                answers.append(made.get(row["response"]) or _reused(request))
        return answers

    async def _made(
        self, responses: Sequence[bytes | None], queries: Queries | None = None
    ) -> dict[bytes | None, Submission]:
        """The submissions that these answers name. Other methods' requests are remembered in the same table:
        what they answered names none."""
        ids = [UUID(bytes=response) for response in responses if response and len(response) == _ID_BYTES]
        found = await store.get_many(queries or self._db, ids) if ids else {}
        return {submission_id.bytes: submission for submission_id, submission in found.items()}

    async def _commit_all(self, intents: list[Intent]) -> Sequence[Submission | Exception]:
        try:
            async with self._db.transaction() as tx:
                return await self._write(tx, intents)
        except DomainError:
            raise  # the database is away, or was in conflict: true of each, and each may be repeated
        except Exception as error:
            if len(intents) == 1:
                return [error]
            # Something in one of them is what the database does not take; the others must not suffer for it.
            return [answer for intent in intents for answer in await self._commit_all([intent])]

    async def _write(self, tx: Transaction, intents: list[Intent]) -> list[Submission | Exception]:
        recalled = await recall_many(tx, [intent.request for intent in intents])
        new = [intent for intent, answer in zip(intents, recalled, strict=True) if answer is None]
        taken = await store.insert(tx, [intent.submission for intent in new]) if new else set()
        ours = [intent for intent in new if intent.submission.submission_id in taken]
        if len(ours) < len(new):  # refused, so it leaves no row and its repeat is judged anew
            await forget_many(tx, [i.request.key for i in new if i.submission.submission_id not in taken])
        if ours:
            answers = [(i.request.key, i.submission.submission_id.bytes) for i in ours]
            await record_many(tx, answers)
            await queue.put(tx, [submission_work(i.submission) for i in ours], self._wakeups)
        known = await self._made([answer for answer in recalled if isinstance(answer, bytes)], tx)
        results: list[Submission | Exception] = []
        for intent, answer in zip(intents, recalled, strict=True):
            if isinstance(answer, Exception):
                results.append(answer)
            elif answer is not None:
                results.append(known.get(answer) or _reused(intent.request))
            elif intent.submission.submission_id in taken:
                results.append(intent.submission)
            else:
                results.append(_submitted_before(intent.submission))
        return results


def _submitted_before(submission: Submission) -> AlreadyExists:
    return AlreadyExists(
        "DOCUMENT_SUBMITTED",
        "this document was submitted before",
        field="document.document_id",
        document_id=submission.document.document_id,
    )


def _reused(request: Request) -> AlreadyExists:
    return AlreadyExists(
        "REQUEST_ID_REUSED",
        "this request id came before with other content",
        field="request_id",
        request_id=request.request_id,
    )
