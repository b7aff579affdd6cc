"""Clock and identifiers."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta

import pytest
from lienthong.clock import FakeClock, SystemClock
from lienthong.errors import InvalidArgument
from lienthong.ids import new_id, parse_id, sub_id


def test_new_ids_are_version_seven_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert {i.version for i in ids} == {7}
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert type(ids[0]) is uuid.UUID


def test_a_step_has_one_id_for_ever() -> None:
    parent = uuid.UUID("018f5c3e-0000-7000-8000-000000000001")
    assert sub_id(parent, "number") == sub_id(parent, "number") == uuid.uuid5(parent, "number")
    assert sub_id(parent, "number") != sub_id(parent, "seal")
    assert sub_id(parent, "number") != sub_id(new_id(), "number")


def test_an_id_has_one_spelling() -> None:
    text = "018f5c3e-0000-7000-8000-00000000000a"
    assert str(parse_id(text, "document_id")) == text
    for wrong in (
        "",
        "x",
        text.upper(),
        text.replace("-", ""),
        f"{{{text}}}",
        f"urn:uuid:{text}",
        f"{text}\n",
    ):
        with pytest.raises(InvalidArgument) as refused:
            parse_id(wrong, "document_id")
        assert refused.value.violations[0].field == "document_id"


def test_the_system_clock_is_aware() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


async def test_sleepers_wake_in_the_order_of_their_time() -> None:
    clock = FakeClock()
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("c", 30), ("a", 10), ("b", 20), ("now", 0))]
    for _ in range(3):
        await asyncio.sleep(0)
    assert woken == ["now"]
    clock.advance(20)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert woken == ["now", "a", "b"]
    assert clock.now() == FakeClock.START + timedelta(seconds=20)
    clock.advance(timedelta(seconds=10))
    await asyncio.gather(*tasks)
    assert woken[-1] == "c"


def test_time_neither_runs_backwards_nor_is_naive() -> None:
    with pytest.raises(ValueError, match="backwards"):
        FakeClock().advance(-1)
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
