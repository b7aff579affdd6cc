"""Wake-ups by name: none is missed between looking and waiting, and memory does not grow with the names."""

from __future__ import annotations

import asyncio

from lienthong.queue import Wakeups


async def test_a_wake_up_between_looking_and_waiting_is_not_missed() -> None:
    wakeups = Wakeups()
    seen = wakeups.generation("submission/1")
    wakeups.wake("submission/1")
    assert await wakeups.wait("submission/1", seen, 0)


async def test_another_name_wakes_nobody() -> None:
    wakeups = Wakeups()
    seen = wakeups.generation("submission/1")
    wakeups.wake("submission/2")
    assert not await wakeups.wait("submission/1", seen, 0.01)


async def test_who_waits_is_woken() -> None:
    wakeups = Wakeups()
    waiting = asyncio.create_task(wakeups.wait("transfer", wakeups.generation("transfer"), 5))
    await asyncio.sleep(0)
    wakeups.wake("transfer")
    assert await waiting


async def test_a_forgotten_name_is_a_needless_look_and_never_a_missed_one() -> None:
    wakeups = Wakeups(max_names=3)
    seen = wakeups.generation("submission/1")
    wakeups.wake("submission/1")
    for number in range(2, 100):
        wakeups.wake(f"submission/{number}")
    assert await wakeups.wait("submission/1", seen, 0)


async def test_only_the_latest_names_are_remembered() -> None:
    wakeups = Wakeups(max_names=3)
    for number in range(100):
        name = f"submission/{number}"
        wakeups.wake(name)
        assert not await wakeups.wait(name, wakeups.generation(name), 0)
    held = vars(wakeups)
    assert len(held["_generations"]) == 3
    assert not held["_waiting"]


async def test_a_name_that_is_woken_again_stays_the_latest() -> None:
    wakeups = Wakeups(max_names=2)
    wakeups.wake("transfer")
    wakeups.wake("submission/1")
    wakeups.wake("transfer")
    seen = wakeups.generation("transfer")
    wakeups.wake("submission/2")
    assert not await wakeups.wait("transfer", seen, 0.01)
