"""Asking until the answer is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lienthong.client import Agency
from lienthong.client.agency import Submission
from lienthong.routing.v1 import inbox_pb2

T = TypeVar("T")
WITHIN = 30.0
_POLL_SECONDS = 0.1


async def eventually(ask: Callable[[], Awaitable[T | None]], within: float = WITHIN) -> T:
    """The first answer that is not None; AssertionError when there is none in time."""
    deadline = time.monotonic() + within
    while (answer := await ask()) is None:
        assert time.monotonic() < deadline, f"not within {within} s: {ask}"
        await asyncio.sleep(_POLL_SECONDS)
    return answer


async def until(
    client: Agency, submission: Submission, holds: Callable[[Submission], bool], within: float = WITHIN
) -> Submission:
    """The submission as its sender's node knows it, once `holds` says so."""

    async def ask() -> Submission | None:
        found = await client.submission(submission.submission_id)
        return found if holds(found) else None

    return await eventually(ask, within)


async def reached(
    client: Agency, submission: Submission, *statuses: str, within: float = WITHIN
) -> Submission:
    """The submission once every recipient's status is one of these."""
    return await until(
        client, submission, lambda found: all(r.status in statuses for r in found.recipients), within
    )


async def delivered(client: Agency, submission: Submission) -> inbox_pb2.Delivery:
    """The one delivery of a submission in an inbox."""
    deliveries = [d for d in await client.inbox.all() if d.envelope_id == submission.envelope_id]
    [delivery] = deliveries
    return delivery
