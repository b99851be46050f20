"""_loop.py: sleeping in both event loops, and waking from any thread."""

from __future__ import annotations

import asyncio
import math
import time
from threading import Thread, get_ident
from typing import Any

import anyio
import pytest
from anyio import create_task_group, current_time, move_on_after, sleep, to_thread, wait_all_tasks_blocked

from ridethrough._loop import AsyncioLoop, EventLoop, TrioLoop, Unbound, find_event_loop
from tests.conformance.harness import is_asyncio, start, tasks_and_timers, ways_to_cancel

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.mark.anyio
async def test_finds_the_loop_that_runs_here() -> None:
    loop = find_event_loop()
    assert isinstance(loop, AsyncioLoop if is_asyncio() else TrioLoop)
    assert loop.identity is find_event_loop().identity
    assert loop.time() == current_time()
    assert loop.is_running()
    await sleep(60)
    assert loop.time() == current_time()


@BACKENDS
def test_another_run_has_another_identity(backend: str) -> None:
    async def find() -> EventLoop:
        return find_event_loop()

    first, second = anyio.run(find, backend=backend), anyio.run(find, backend=backend)
    assert first.identity is not second.identity
    assert not first.is_running()


def test_no_loop_runs_here() -> None:
    with pytest.raises(
        RuntimeError, match="no event loop runs in this thread; from other threads, use put_from_thread"
    ):
        find_event_loop()


@pytest.mark.anyio
async def test_no_loop_runs_in_a_worker_thread() -> None:
    def find() -> bool:
        try:
            find_event_loop()
        except RuntimeError:
            return True
        return False

    assert await to_thread.run_sync(find)


def test_before_any_loop_there_is_a_clock() -> None:
    unbound = Unbound()
    assert unbound.identity is None
    assert time.monotonic() - 1 < unbound.time() <= time.monotonic()


@pytest.mark.anyio
@pytest.mark.parametrize("until", [None, math.inf])
async def test_sleeps_until_woken(until: float | None) -> None:
    loop = find_event_loop()
    waiter = loop.waiter()
    deadline = None if until is None else loop.time() + 1000

    async def sleep_on_it() -> None:
        await loop.sleep(waiter, deadline)

    async with create_task_group() as tasks:
        began = loop.time()
        call = await start(tasks, sleep_on_it)
        assert call.state == "running"
        loop.wake(waiter)
    assert call.state == "returned"
    assert loop.time() - began < 1


@pytest.mark.anyio
async def test_sleeps_until_its_time() -> None:
    loop = find_event_loop()
    began = loop.time()
    await loop.sleep(loop.waiter(), began + 10)
    assert 10 <= loop.time() - began < 10.1
    await loop.sleep(loop.waiter(), began)
    assert loop.time() - began < 10.1


@pytest.mark.anyio
async def test_woken_before_it_sleeps_it_does_not() -> None:
    loop = find_event_loop()
    for until in (None, loop.time() + 60):
        waiter = loop.waiter()
        loop.wake(waiter)
        began = loop.time()
        await loop.sleep(waiter, until)
        assert loop.time() == began


@pytest.mark.anyio
async def test_wakes_several_at_once_and_those_that_are_awake_already() -> None:
    loop = find_event_loop()
    waiters = [loop.waiter() for _ in range(3)]
    loop.wake(waiters[1])
    loop.wake(*waiters)
    loop.wake(*waiters)
    loop.wake()
    with move_on_after(60) as scope:
        for waiter in waiters:
            await loop.sleep(waiter, None)
    assert not scope.cancelled_caught


@pytest.mark.anyio
async def test_thread_wakes_who_sleeps() -> None:
    loop = find_event_loop()
    waiters = [loop.waiter() for _ in range(3)]
    loop.wake(waiters[1])
    await to_thread.run_sync(loop.wake, *waiters)
    for waiter in waiters:
        await loop.sleep(waiter, None)


@pytest.mark.anyio
@pytest.mark.parametrize("until", [None, 60.0])
async def test_cancelled_sleep_ends_and_leaves_no_timer(until: float | None) -> None:
    loop = find_event_loop()

    async def sleep_on_it() -> None:
        await loop.sleep(loop.waiter(), None if until is None else loop.time() + until)

    before = tasks_and_timers()
    async with create_task_group() as tasks:
        call = await start(tasks, sleep_on_it)
        call.cancel("scope")
        await wait_all_tasks_blocked()
        assert call.state == "cancelled"
    assert tasks_and_timers() == before


@pytest.mark.anyio
async def test_function_runs_in_the_loop_before_whom_a_thread_wakes_next() -> None:
    loop = find_event_loop()
    told: list[Any] = []

    def work() -> None:
        loop.run_soon(lambda: told.append(get_ident()))
        loop.wake(waiter)

    waiter = loop.waiter()
    thread = Thread(target=work)
    thread.start()
    await loop.sleep(waiter, None)
    assert told == [get_ident()]
    thread.join()
    loop.run_soon(lambda: told.append("from the loop itself"))
    await wait_all_tasks_blocked()
    assert told[1:] == ["from the loop itself"]


@BACKENDS
def test_function_does_not_run_once_the_loop_is_over(backend: str) -> None:
    async def find() -> EventLoop:
        return find_event_loop()

    anyio.run(find, backend=backend).run_soon(lambda: pytest.fail("it ran"))


@pytest.mark.anyio
async def test_cancellation_that_was_caught_comes_again() -> None:
    loop = find_event_loop()
    caught: list[str] = []

    async def catch() -> None:
        try:
            await loop.sleep(loop.waiter(), None)
        except loop.cancelled:
            caught.append("once")
            loop.cancel_again()
        try:
            await sleep(60)
        except loop.cancelled:
            caught.append("twice")
            raise

    for way in ways_to_cancel():
        caught.clear()
        async with create_task_group() as tasks:
            call = await start(tasks, catch)
            call.cancel(way)
        assert (call.state, caught) == ("cancelled", ["once", "twice"])


@pytest.mark.anyio
async def test_cancellation_that_was_caught_does_not_come_to_a_task_that_has_ended() -> None:
    loop = find_event_loop()

    async def catch() -> str:
        try:
            await loop.sleep(loop.waiter(), None)
        except loop.cancelled:
            loop.cancel_again()
        return "ended"

    for way in ways_to_cancel():
        async with create_task_group() as tasks:
            call = await start(tasks, catch)
            call.cancel(way)
            await wait_all_tasks_blocked()
            assert (call.state, call.result) == ("returned", "ended")


@BACKENDS
def test_waking_once_the_loop_is_over_does_nothing(backend: str) -> None:
    async def main() -> tuple[EventLoop, Any]:
        loop = find_event_loop()
        return loop, loop.waiter()

    loop, waiter = anyio.run(main, backend=backend)
    loop.wake(waiter)

    async def wake_from_another_thread() -> None:
        await to_thread.run_sync(loop.wake, waiter)

    anyio.run(wake_from_another_thread)


def test_waking_in_a_closed_loop_does_nothing() -> None:
    async def find() -> EventLoop:
        return find_event_loop()

    native = asyncio.new_event_loop()
    loop = native.run_until_complete(find())
    waiter = loop.waiter()
    waiter.add_done_callback(lambda _: None)  # as a task that sleeps on it has done; a closed loop refuses to call it
    native.close()
    loop.wake(waiter)
    assert waiter.done()
