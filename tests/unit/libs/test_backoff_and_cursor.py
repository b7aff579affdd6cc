"""The pure rules: delays grow, are capped and spread; cursors are read back or refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.backoff import Backoff
from lienthong.errors import InvalidArgument
from lienthong.events import BEGINNING, Cursor


def test_delays_grow_up_to_the_cap() -> None:
    policy = Backoff(initial=1, factor=2, cap=30, jitter=0)
    rng = random.Random(1)
    assert [policy.next_delay(attempt, rng) for attempt in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert policy.next_delay(100_000, rng) == 30


@given(st.integers(1, 10_000), st.integers())
def test_jitter_stays_within_its_bounds(attempt: int, seed: int) -> None:
    delay = Backoff(initial=1, factor=2, cap=600, jitter=0.25).next_delay(attempt, random.Random(seed))
    plain = Backoff(initial=1, factor=2, cap=600, jitter=0).next_delay(attempt, random.Random(seed))
    assert plain * 0.75 <= delay <= min(600, plain * 1.25)


def test_jitter_spreads() -> None:
    rng = random.Random(7)
    assert len({Backoff().next_delay(3, rng) for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("initial", "factor", "cap", "jitter"), [(0, 2, 9, 0), (9, 2, 1, 0), (1, 0.5, 9, 0), (1, 2, 9, 1)]
)
def test_nonsense_policies_are_refused(initial: float, factor: float, cap: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="not a back-off"):
        Backoff(initial, factor, cap, jitter)


def test_attempts_start_at_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        Backoff().next_delay(0, random.Random(1))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1))
def test_cursor_is_read_back(xid: int, seq: int) -> None:
    assert Cursor.decode(Cursor(xid, seq).encode()) == Cursor(xid, seq)


def test_no_cursor_is_the_beginning() -> None:
    assert Cursor.decode("") == BEGINNING


NONSENSE = [
    "x",
    "0",
    "AAAA",
    "A" * 21,
    "A" * 21 + "B",
    "A" * 23,
    "_" * 22,
    "A" * 21 + "=",
    "ầ" * 22,
    " " + "A" * 21,
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_cursors_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="CURSOR_INVALID"):
        Cursor.decode(text)
