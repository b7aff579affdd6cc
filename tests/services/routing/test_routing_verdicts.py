"""Which judgements are kept, for how long, and that equal questions are asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from lienthong.clock import FakeClock
from lienthong.errors import Unavailable
from lienthong.types.v1 import document_pb2

from services.routing.verdicts import FRESH_SECONDS, Question, Report, Verdicts

GOOD = Report(verdict=document_pb2.VERDICT_VALID)
PDF = Question(b"\1" * 32, "application/pdf", 0, "")


class Judge:
    """Answers what it is given, and counts."""

    def __init__(self, report: Report | Exception = GOOD) -> None:
        self.report = report
        self.asked = 0

    async def __call__(self) -> Report:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.report, Exception):
            raise self.report
        return self.report


async def test_a_good_judgement_is_kept_until_its_time_is_over() -> None:
    clock = FakeClock()
    verdicts, judge = Verdicts(clock), Judge()
    assert await verdicts.of(PDF, judge) == await verdicts.of(PDF, judge) == GOOD
    clock.advance(FRESH_SECONDS - 0.1)
    await verdicts.of(PDF, judge)
    assert judge.asked == 1
    clock.advance(0.2)
    await verdicts.of(PDF, judge)
    assert judge.asked == 2, "asking again does not make it younger"


async def test_its_age_counts_from_before_it_was_made() -> None:
    clock = FakeClock()
    verdicts, judge = Verdicts(clock), Judge()

    async def slow() -> Report:
        clock.advance(FRESH_SECONDS)
        return await judge()

    await verdicts.of(PDF, slow)
    await verdicts.of(PDF, judge)
    assert judge.asked == 2


@pytest.mark.parametrize(
    "report",
    [
        Report(verdict=document_pb2.VERDICT_INVALID),
        Report(verdict=document_pb2.VERDICT_PARTIAL),
        Report(verdict=document_pb2.VERDICT_UNSIGNED),
        Report(verdict=document_pb2.VERDICT_VALID, obstacles=["SIGNER_CERTIFICATE_EXPIRED"]),
    ],
)
async def test_what_somebody_may_mend_is_judged_anew(report: Report) -> None:
    verdicts, judge = Verdicts(FakeClock()), Judge(report)
    assert await verdicts.of(PDF, judge) == report
    judge.report = GOOD
    assert await verdicts.of(PDF, judge) == GOOD


async def test_a_failure_is_everybodys_who_waits_and_nobodys_after() -> None:
    verdicts, judge = Verdicts(FakeClock()), Judge(Unavailable("PEER_UNAVAILABLE", "away"))
    told = await asyncio.gather(*(verdicts.of(PDF, judge) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in told] == [Unavailable] * 5
    assert judge.asked == 1
    judge.report = GOOD
    assert await verdicts.of(PDF, judge) == GOOD


async def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    verdicts, gate = Verdicts(FakeClock()), asyncio.Event()

    async def waiting() -> Report:
        await gate.wait()
        return GOOD

    first, second = (asyncio.create_task(verdicts.of(PDF, waiting)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second == GOOD


@pytest.mark.parametrize(
    "other",
    [
        Question(b"\2" * 32, "application/pdf", 0, ""),
        Question(b"\1" * 32, "application/zip", 0, ""),
        Question(b"\1" * 32, "application/pdf", 3, "G22"),
    ],
)
async def test_another_question_has_its_own_answer(other: Question) -> None:
    verdicts, judge = Verdicts(FakeClock()), Judge()
    asks: Callable[[Question], Awaitable[Report]] = lambda question: verdicts.of(question, judge)  # noqa: E731
    await asks(PDF)
    await asks(other)
    assert judge.asked == 2
