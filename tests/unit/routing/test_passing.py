"""Contents on their way: bounded, handed out once, and never other bytes than their digest says."""

from __future__ import annotations

import hashlib

from services.routing.domain import INLINE_BYTES
from services.routing.passing import Passing


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_what_was_put_is_taken_once() -> None:
    passing = Passing()
    passing.put(_digest(b"a"), b"a")
    assert passing.take(_digest(b"a")) == b"a"
    assert passing.take(_digest(b"a")) is None


def test_the_oldest_leave_when_there_is_no_room() -> None:
    passing = Passing(max_bytes=1000)
    contents = [bytes([number]) * 400 for number in range(4)]
    for content in contents:
        passing.put(_digest(content), content)
    assert [passing.take(_digest(content)) for content in contents] == [None, None, *contents[2:]]


def test_the_same_again_takes_no_more_room() -> None:
    passing = Passing(max_bytes=1000)
    for _ in range(10):
        passing.put(_digest(b"a" * 400), b"a" * 400)
    passing.put(_digest(b"b" * 400), b"b" * 400)
    assert passing.take(_digest(b"a" * 400)) is not None


def test_what_is_too_large_to_ride_in_a_batch_is_not_kept() -> None:
    passing, content = Passing(), bytes(INLINE_BYTES + 1)
    passing.put(_digest(content), content)
    assert passing.take(_digest(content)) is None
