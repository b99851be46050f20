"""observing.py: everybody who looks on sees what changes, from when they asked to the end."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep, wait_all_tasks_blocked

from ridethrough.observing import Observer, Observers
from tests.cancelling import both_kinds, cancellable
from tests.links import PATIENCE

pytestmark = pytest.mark.anyio


async def all_of(observer: Observer[Any]) -> list[Any]:
    with fail_after(PATIENCE):
        return [change async for change in observer]
    raise AssertionError


async def test_observer_sees_what_changes_from_when_it_was_added_to_the_end() -> None:
    observers: Observers[int] = Observers()
    early = observers.add()
    observers.tell(1)
    late = observers.add()
    observers.tell(2)
    observers.end()
    assert (await all_of(early), await all_of(late)) == ([1, 2], [2])


async def test_observer_added_after_the_end_sees_nothing() -> None:
    observers: Observers[int] = Observers()
    observers.end()
    observers.end()
    assert await all_of(observers.add()) == []


async def test_observer_who_waits_sees_each_change_when_it_comes() -> None:
    async def look_on() -> None:
        async for change in observer:
            seen.append(change)  # noqa: PERF401, each when it comes

    seen: list[int] = []
    observers: Observers[int] = Observers()
    observer = observers.add()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(look_on)
            for change in range(3):
                await sleep(1)
                observers.tell(change)
                await wait_all_tasks_blocked()
                assert seen == list(range(change + 1))
            observers.end()


async def test_readers_of_one_observer_share_what_there_is_and_all_end() -> None:
    async def look_on() -> None:
        seen.extend([change async for change in observer])

    seen: list[int] = []
    observers: Observers[int] = Observers()
    observer = observers.add()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(look_on)
            tasks.start_soon(look_on)
            await wait_all_tasks_blocked()
            observers.tell(1)
            observers.tell(2)
            await wait_all_tasks_blocked()
            observers.end()
    assert sorted(seen) == [1, 2]


async def test_slow_observer_keeps_the_newest_hundred() -> None:
    observers: Observers[int] = Observers()
    observer = observers.add()
    for change in range(250):
        observers.tell(change)
    observers.end()
    assert await all_of(observer) == list(range(150, 250))


async def test_observer_whom_nobody_holds_is_forgotten() -> None:
    observers: Observers[int] = Observers()
    observers.add()
    kept = observers.add()
    gc.collect()
    assert list(observers._observers) == [kept]


@both_kinds
async def test_observer_whose_wait_is_cancelled_has_taken_nothing(kind: str) -> None:
    observers: Observers[int] = Observers()
    observer = observers.add()
    async with cancellable(observer.__anext__, kind) as cancel:
        await sleep(1)
        assert await cancel()
    observers.tell(1)
    observers.end()
    assert await all_of(observer) == [1]
