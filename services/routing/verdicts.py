"""Judgements on attachments that are good for some seconds: many documents, or many nodes' deliveries, carry
the same bytes, and validating a PDF costs a core some 40 ms.

Why this changes no promise. A judgement depends on the bytes (the key of the cache is their SHA-256), on the
time, and on the revocation lists. The lists are themselves taken over only every 30 s (pki/revocation.py), so
that a certificate revoked now is believed for up to that long anyway; a judgement of that age adds at most
the same again, to lists that an authority publishes every few hours. Only what is VALID without reserve is
kept: whoever is refused, and mends what was wrong (a list, a key, a certificate), is judged anew at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from lienthong.clock import Clock
from lienthong.rpc.deadline import detached
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2

FRESH_SECONDS: Final = 30.0
# A report is about 2 KB.
_MAX_KEPT: Final = 2_000

Report = signing_pb2.ValidateDocumentResponse


@dataclass(frozen=True, slots=True)
class Question:
    """What a judgement was asked about. `organization` matters only together with an intended signature."""

    sha256: bytes
    media_type: str
    intended: int
    organization: str


class Verdicts:
    """A bounded memory of good judgements; equal questions at one time are asked once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[Question, tuple[float, Report]] = {}
        self._asking: dict[Question, asyncio.Task[Report]] = {}

    async def of(self, question: Question, judge: Callable[[], Awaitable[Report]]) -> Report:
        """The judgement made at most FRESH_SECONDS ago, else that of `judge`. Callers do not change it."""
        kept = self._kept.get(question)
        if kept is not None and self._clock.monotonic() - kept[0] < FRESH_SECONDS:
            return kept[1]
        task = self._asking.get(question)
        if task is None:
            with detached():  # the answer is everybody's who asks: not bound to the first one's deadline
                task = asyncio.create_task(self._ask(question, judge))
            self._asking[question] = task
            task.add_done_callback(lambda _: self._asking.pop(question, None))
        return await asyncio.shield(task)

    async def _ask(self, question: Question, judge: Callable[[], Awaitable[Report]]) -> Report:
        started = self._clock.monotonic()  # its age counts from before the lists were looked at
        report = await judge()
        self._kept.pop(question, None)
        if report.verdict == document_pb2.VERDICT_VALID and not report.obstacles:
            if len(self._kept) >= _MAX_KEPT:
                del self._kept[next(iter(self._kept))]  # the oldest: insertion is in the order of time
            self._kept[question] = (started, report)
        return report
