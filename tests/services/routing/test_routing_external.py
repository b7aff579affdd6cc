"""A batch of documents issued elsewhere: what is true of all puts all off at once, what of one that one.

The rows and the queue are real; register and signer are hand-made neighbours that are away or lack a key.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from lienthong import queue
from lienthong.backoff import Backoff
from lienthong.clock import SystemClock
from lienthong.db import Database
from lienthong.errors import AlreadyExists, DeadlineExceeded, DomainError, NotFound, Unavailable
from lienthong.ids import new_id
from lienthong.queue import Claim, Wakeups
from lienthong.registry.v1 import register_pb2

from services.routing import submission_store as store
from services.routing.domain import State
from services.routing.external import ExternalWorkflow
from services.routing.issuing import EXTERNAL, submission_work
from services.routing.station import Station
from services.routing.submission import SubmissionWorkflow
from services.routing.submission_store import Submission
from tests.services.routing.papers import FIFTH, SENDER, SIXTH, document
from tests.support.postgres import Databases

ISSUED = State.SUBMISSION_STATE_ISSUED


class Registers:
    """Enters all, until it fails as told: with `failures` in turn, then with the last one for ever."""

    def __init__(self, *failures: DomainError) -> None:
        self.failures = list(failures)
        self.asked = 0

    async def IssueEntries(self, _request: register_pb2.IssueEntriesRequest) -> None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]


class Issuing:
    """Issues all, if it has the key of each."""

    def __init__(self, db: Database, keyless: str = "") -> None:
        self._db = db
        self._keyless = keyless

    async def issue(self, submissions: Sequence[Submission]) -> None:
        if any(submission.organization == self._keyless for submission in submissions):
            raise NotFound("KEY_UNKNOWN", "no such key")
        async with self._db.transaction() as tx:
            made = {submission.submission_id: uuid.uuid4() for submission in submissions}
            await store.mark_issued(tx, made, datetime.now(UTC))


class Attachments:
    """None of these documents' files is touched."""

    detached = None


@pytest_asyncio.fixture
async def db(databases: Databases) -> AsyncIterator[Database]:
    database = await databases.open("services.routing")
    yield database
    await database.close()


def workflow(db: Database, registers: Registers, issuing: Issuing) -> ExternalWorkflow:
    directory: Any = None
    station = Station(SENDER, db, directory, Wakeups(), SystemClock(), new_id)
    neighbours: Any = registers
    signer: Any = issuing
    files: Any = Attachments()
    alone = SubmissionWorkflow(station, neighbours, files, signer)
    return ExternalWorkflow(station, neighbours, signer, alone, Backoff(initial=0.5, cap=2.0))


async def waiting(db: Database, *organizations: str) -> list[Claim]:
    """One document of each organization, claimed from the queue."""
    made = [_submission(organization, place + 1) for place, organization in enumerate(organizations)]
    async with db.transaction() as tx:
        await store.insert(tx, made)
        await queue.put(tx, [submission_work(submission) for submission in made])
    return await queue.claim(db, EXTERNAL, limit=len(made), lease_seconds=30)


def _submission(organization: str, number: int) -> Submission:
    now = datetime.now(UTC)
    return Submission(
        submission_id=new_id(),
        organization=organization,
        caller="qlvb",
        document=document(organization=organization, document_id=str(new_id())),
        recipients=(SIXTH,),
        is_external=True,
        series="",
        notation="VM-BC",
        number=number,
        issued_date="2026-02-05",
        state=State.SUBMISSION_STATE_RECEIVED,
        reason="",
        envelope_id=None,
        expire_time=now + timedelta(days=1),
        traceparent="",
        create_time=now,
        issue_time=None,
    )


AWAY = [Unavailable("PEER_UNAVAILABLE", "away"), DeadlineExceeded("DEADLINE_EXCEEDED", "it hangs")]


@pytest.mark.parametrize("failure", AWAY, ids=lambda failure: failure.reason)
async def test_a_register_that_is_away_is_asked_once_for_all(db: Database, failure: DomainError) -> None:
    claims = await waiting(db, *[FIFTH] * 20)
    registers = Registers(failure)
    with pytest.raises(type(failure)):
        await workflow(db, registers, Issuing(db)).work(claims)
    assert registers.asked == 1


async def test_when_it_goes_away_while_each_is_tried_alone_the_rest_is_put_off(db: Database) -> None:
    claims = await waiting(db, *[FIFTH] * 20)
    registers = Registers(AlreadyExists("NUMBER_TAKEN", "taken"), AWAY[0])
    await workflow(db, registers, Issuing(db)).work(claims)
    assert registers.asked == 2, "the batch, then the first one alone"
    left = await db.fetch("SELECT lease_time, last_error FROM queue_item WHERE run_time > now()")
    assert [row["lease_time"] for row in left] == [None] * 20
    assert all("PEER_UNAVAILABLE" in row["last_error"] for row in left)


async def test_one_whose_key_is_missing_is_put_off_alone_and_for_longer(db: Database) -> None:
    claims = await waiting(db, FIFTH, SENDER, FIFTH, FIFTH)
    await workflow(db, Registers(), Issuing(db, keyless=SENDER)).work(claims)
    states = await db.fetch("SELECT organization, state FROM submission")
    assert {(row["organization"], row["state"] == ISSUED) for row in states} == {
        (FIFTH, True),
        (SENDER, False),
    }
    [left] = await db.fetch("SELECT last_error, run_time - now() AS delay FROM queue_item")
    assert "KEY_UNKNOWN" in left["last_error"]
    assert left["delay"] > timedelta(seconds=20)
