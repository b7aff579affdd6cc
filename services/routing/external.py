"""Documents that the organization issued itself, many at a time: RECEIVED -> STAMPED -> ISSUED.

The same steps as in submission.py, with the same ids: whichever of the two takes a submission over finds what
the other committed. A batch in which one is refused falls apart, and each goes on alone.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from lienthong import queue
from lienthong.backoff import Backoff
from lienthong.errors import DomainError, NotFound
from lienthong.queue import Claim
from lienthong.registry.v1 import register_pb2

from services.routing import submission_store as store
from services.routing.domain import AWAY, State
from services.routing.issuing import Issuing
from services.routing.station import Station
from services.routing.submission import SubmissionWorkflow, external_entry
from services.routing.submission_store import Submission

if TYPE_CHECKING:
    from lienthong.registry.v1.register_pb2_grpc import RegisterServiceAsyncStub

_log: Final = logging.getLogger("lienthong.routing.external")

_RECEIVED: Final = State.SUBMISSION_STATE_RECEIVED
_STAMPED: Final = State.SUBMISSION_STATE_STAMPED
_MAX_RECIPIENTS: Final = 10_000
# What is not there (the organization's envelope key, a file) is brought by people: in hours, not in seconds.
_LACKING: Final = Backoff(initial=30.0, cap=1800.0)


class ExternalWorkflow:
    """The worker of the queue of documents issued elsewhere; completes its claims itself."""

    def __init__(
        self,
        station: Station,
        registers: RegisterServiceAsyncStub,
        issuing: Issuing,
        alone: SubmissionWorkflow,
        backoff: Backoff,
        rng: random.Random | None = None,
    ) -> None:
        self._db = station.db
        self._registers = registers
        self._issuing = issuing
        self._alone = alone
        self._backoff = backoff
        self._rng = rng or random.SystemRandom()
        self._wakeups = station.wakeups
        self._checkpoint = station.checkpoint

    async def work(self, claims: list[Claim]) -> None:
        """Every step that is left, for all; where that fails, for each by itself."""
        try:
            await self._together([UUID(bytes=claim.payload) for claim in claims])
        except AWAY:
            raise  # true of each: the worker puts all off, and nobody asks the same neighbour again for each
        except Exception as error:
            # Whatever it is: only the one that it is about may suffer for it.
            reason = error.reason if isinstance(error, DomainError) else type(error).__name__
            _log.warning("a batch falls apart", extra={"reason": reason, "size": len(claims)})
            await self._one_by_one(claims)
        else:
            await queue.complete(self._db, claims)

    async def _together(self, ids: Sequence[UUID]) -> None:
        received = await self._in_state(ids, _RECEIVED)
        if received:
            await self._checkpoint("submission.received.before")
            await self._enter(received)
            await self._checkpoint("submission.received.after")
        stamped = await self._in_state(ids, _STAMPED)
        if stamped:
            await self._checkpoint("submission.stamped.before")
            for batch in _batches(stamped):
                await self._issuing.issue(batch)
            await self._checkpoint("submission.stamped.after")
        for submission_id in ids:
            self._wakeups.notify(f"submission/{submission_id}")

    async def _in_state(self, ids: Sequence[UUID], state: int) -> list[Submission]:
        found = await store.get_many(self._db, ids)
        return [found[i] for i in ids if i in found and found[i].state == state and found[i].is_external]

    async def _enter(self, received: Sequence[Submission]) -> None:
        """Into the register of outgoing documents, marked EXTERNAL; all in one commit there."""
        issues = [external_entry(submission) for submission in received]
        await self._registers.IssueEntries(register_pb2.IssueEntriesRequest(issues=issues))
        await self._checkpoint("submission.number.taken")
        async with self._db.transaction() as tx:
            await store.mark_entered(tx, [submission.submission_id for submission in received])

    async def _one_by_one(self, claims: Sequence[Claim]) -> None:
        away: DomainError | None = None
        for claim in claims:
            try:
                if away is not None:
                    raise away
                await self._alone.advance(claim)
            except AWAY as error:
                away = error
                await self._put_off(claim, error)
            except Exception as error:
                if not isinstance(error, DomainError):
                    _log.exception("a submission failed")
                await self._put_off(claim, error)
            else:
                await queue.complete(self._db, [claim])

    async def _put_off(self, claim: Claim, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, DomainError) else None
        backoff = _LACKING if isinstance(error, NotFound) else self._backoff
        delay = max(asked or 0.0, backoff.next_delay(claim.attempts, self._rng))
        await queue.retry(self._db, claim, delay, str(error))


def _batches(submissions: Sequence[Submission]) -> Iterator[list[Submission]]:
    """So that one commit writes a bounded number of rows."""
    batch: list[Submission] = []
    room = _MAX_RECIPIENTS
    for submission in submissions:
        if batch and len(submission.recipients) > room:
            yield batch
            batch, room = [], _MAX_RECIPIENTS
        batch.append(submission)
        room -= len(submission.recipients)
    if batch:
        yield batch
