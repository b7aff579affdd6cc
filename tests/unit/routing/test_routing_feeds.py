"""A call that is fed by another tells why the other failed, and is not mistaken for one that was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from lienthong.errors import FailedPrecondition, Unavailable

from services.routing.feeds import Feed


async def numbers(*, fail: bool) -> AsyncIterator[int]:
    yield 1
    if fail:
        raise FailedPrecondition("DOCUMENT_NOT_PREPARED")
    yield 2


async def as_grpc_does(requests: AsyncIterator[int]) -> int:
    """The sum; where a request cannot be made, gRPC cancels the call."""
    try:
        return sum([number async for number in requests])
    except Exception:
        raise asyncio.CancelledError from None


async def test_what_feeds_well_is_answered() -> None:
    feed = Feed(numbers(fail=False))
    assert await feed.answer(as_grpc_does(feed.requests())) == 3


async def test_the_reason_of_the_first_failure_is_told() -> None:
    feed = Feed(numbers(fail=True))
    with pytest.raises(FailedPrecondition) as told:
        await feed.answer(as_grpc_does(feed.requests()))
    assert told.value.reason == "DOCUMENT_NOT_PREPARED"


async def test_the_reason_goes_through_a_stream_of_answers() -> None:
    feed = Feed(numbers(fail=True))

    async def answers() -> AsyncIterator[int]:
        yield await as_grpc_does(feed.requests())

    with pytest.raises(FailedPrecondition):
        assert not [answer async for answer in feed.answers(answers())]


async def test_a_failure_of_the_call_itself_stays_what_it_is() -> None:
    async def broken() -> int:
        raise Unavailable("PEER_UNAVAILABLE")

    with pytest.raises(Unavailable):
        await Feed(numbers(fail=False)).answer(broken())


async def test_being_stopped_stays_being_stopped() -> None:
    feed = Feed(numbers(fail=True))
    failed = asyncio.Event()

    async def late() -> int:
        try:
            await as_grpc_does(feed.requests())
        except asyncio.CancelledError:
            failed.set()
        await asyncio.Event().wait()
        return 0

    task = asyncio.create_task(feed.answer(late()))
    await failed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
