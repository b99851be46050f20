"""Threads on one side and an event loop on the other: janus, culsans and the callbacks of paho.

Index: threads put and the loop takes; threads that wait for room; waking across the two; callbacks; loops that come and
go.

The peers: aio-libs/janus (tests/test_mixed.py, #237, #710), culsans (tests/culsans, its changelog; janus #645),
queue.Queue (CPython, Lib/test/test_queue.py) and paho.mqtt.python (#439, #527). The clocks are real, and so are the
threads; nothing here waits for a time to pass.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import create_task_group, fail_after, from_thread, move_on_after, to_thread, wait_all_tasks_blocked
from anyio.abc import TaskGroup

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Delivery, Outcome
from tests.conformance.harness import Buffer, check, lease_all, put_all, start, until, ways_to_cancel

from .outbox import open_buffer, take_all

pytestmark = pytest.mark.anyio

PATIENCE = 60
"""Seconds."""

in_thread = partial(to_thread.run_sync, abandon_on_cancel=True)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def wait_for_threads(buffer: Buffer) -> None:
    """Let threads go on, until one has put something or for a moment: who spins leaves them hardly any time."""
    with move_on_after(0.01):
        await buffer.wait_nonempty()


@asynccontextmanager
async def open_among_threads(**options: Any) -> AsyncIterator[tuple[Buffer, TaskGroup]]:
    """A buffer, and a task group that outlives it, so that closing lets no thread wait; a test that hangs fails."""
    with fail_after(PATIENCE):
        async with create_task_group() as tasks, open_buffer(threads=True, **options) as buffer:
            yield buffer, tasks


# ---------------------------------------------------------------- threads put, the loop takes


async def test_thread_puts_and_the_loop_takes_thrice() -> None:
    """janus and culsans, test_sync_put_async_get: five from a thread come in their order, and nothing is left."""
    async with open_among_threads() as (buffer, tasks):
        for _ in range(3):
            tasks.start_soon(in_thread, _put_each, buffer, "01234")
            assert "".join([await lease_all(buffer, 1) for _ in range(5)]) == "01234"
            assert buffer.is_empty()


def _put_each(buffer: AsyncMessageBuffer[str], messages: str) -> list[Delivery[str]]:
    return [buffer.put_from_thread(message) for message in messages]


async def test_join_knows_of_what_threads_have_put() -> None:
    """janus 0.3.1 (#75), test_sync_put_async_join: join did not wait for what came from the other side."""
    seen: list[str] = []
    async with open_among_threads() as (buffer, tasks):
        await in_thread(_put_each, buffer, "01234")
        flush = await start(tasks, buffer.flush)
        assert flush.state == "running"
        tasks.start_soon(take_all, buffer, seen)
        await until(lambda: flush.state == "returned")
        assert seen == list("01234")
        await buffer.aclose()


async def test_thread_joins_what_the_loop_has_yet_to_do() -> None:
    """janus and culsans, test_sync_join_async_done: a thread puts five and waits until all of them are done."""
    seen: list[str] = []

    def put_and_join() -> None:
        _put_each(buffer, "01234")
        from_thread.run(buffer.flush)
        seen.append("joined")

    async with open_among_threads() as (buffer, tasks):
        tasks.start_soon(take_all, buffer, seen)
        await in_thread(put_and_join)
        assert seen == [*"01234", "joined"]
        await buffer.aclose()


async def test_many_threads_through_a_narrow_buffer() -> None:
    """queue.SimpleQueue, test_many_threads: everything arrives, once, and what one thread has put in its order."""
    seen: list[str] = []

    def put_many(name: str) -> None:
        for number in range(40):
            buffer.put_from_thread(f"{name}{number:02}")

    async with open_among_threads(max_size=3, overflow="wait") as (buffer, tasks):
        tasks.start_soon(take_all, buffer, seen, 2)
        async with create_task_group() as putters:
            for name in "abcd":
                putters.start_soon(in_thread, put_many, name)
        await buffer.flush()
        for name in "abcd":
            assert [message for message in seen if message[0] == name] == [f"{name}{n:02}" for n in range(40)]
        await buffer.aclose()


async def test_numbers_are_given_once_whoever_puts() -> None:
    """paho, _mid_generate: two threads that publish at once must not be given the same message id."""

    def put_many() -> None:
        taken.extend(buffer.put_from_thread("a").id for _ in range(100))

    taken: deque[int] = deque()
    async with open_among_threads(max_size=1000) as (buffer, _):
        async with create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(in_thread, put_many)
        assert sorted(taken) == list(range(1, 401))
        await buffer.drain()


async def test_clearing_is_one_step_for_threads_that_put_meanwhile() -> None:
    """culsans 0.3.0 (janus #645): a queue that is emptied item by item is filled again by threads in between."""
    taken: list[str] = []
    done = threading.Event()

    def put_many() -> None:
        try:
            for number in range(300):
                buffer.put_from_thread(str(number), overflow="wait")
        finally:
            done.set()

    async with open_among_threads(max_size=5) as (buffer, tasks):
        tasks.start_soon(in_thread, put_many)
        while not done.is_set() or not buffer.is_empty():
            at_once = await buffer.drain()
            assert len(at_once) <= 5
            taken += at_once
            check(buffer)
            await wait_for_threads(buffer)
        assert taken == [str(number) for number in range(300)]


# ---------------------------------------------------------------- threads that wait for room


async def test_closing_ends_the_waiting_of_a_thread_that_puts_for_ever() -> None:
    """janus #237: a thread that was blocked in put when the queue was closed stayed there, and the program with it."""
    raised: list[Exception] = []

    def long_job() -> None:
        try:
            for number in range(1_000_000):
                buffer.put_from_thread(f"item {number}")
        except BufferClosed as error:
            raised.append(error)

    async with open_among_threads(max_size=1, overflow="wait") as (buffer, tasks):
        tasks.start_soon(in_thread, long_job)
        await until(lambda: buffer.statistics().waiting_to_put == 1)
    assert len(raised) == 1
    with pytest.raises(BufferClosed):
        await in_thread(buffer.put_from_thread, "one more")


@pytest.mark.parametrize("immediate", [False, True])
async def test_closing_ends_putters_and_joiners_of_all_kinds(immediate: bool) -> None:
    """queue.Queue, test_shutdown_put_join, test_shutdown_immediate_put_join: all threads come back."""
    results: list[str] = []

    def put() -> None:
        with pytest.raises(BufferClosed):
            buffer.put_from_thread("e")
        results.append("put")

    def join() -> None:
        from_thread.run(buffer.flush)
        results.append("join")

    async with open_among_threads(max_size=1, overflow="wait") as (buffer, tasks):
        await buffer.put("y")
        for work in (put, join):
            tasks.start_soon(in_thread, work)
        await until(lambda: buffer.statistics().waiting_to_put == 1)
        closing = await start(tasks, partial(buffer.aclose, 0 if immediate else PATIENCE))
        if not immediate:
            await until(lambda: results == ["put"])
            assert await lease_all(buffer) == "y"
        await until(lambda: sorted(results) == ["join", "put"] and closing.state == "returned")
        assert closing.result == (["y"] if immediate else [])


async def test_place_is_passed_on_from_a_cancelled_task_to_a_thread() -> None:
    """culsans 0.2.1: tasks and threads in one line of waiters, and the wrong kind was woken, or none."""
    for way in ways_to_cancel():
        async with open_among_threads(max_size=1, overflow="wait") as (buffer, tasks):
            await buffer.put("a")
            first = await start(tasks, partial(buffer.put, "b"))
            tasks.start_soon(partial(in_thread, buffer.put_from_thread, "c"))
            await until(lambda: buffer.statistics().waiting_to_put == 2)
            last = await start(tasks, partial(buffer.put, "d"))
            assert await buffer.drain() == ["a"]
            first.cancel(way)
            seen: list[str] = []
            while last.state == "running" or not buffer.is_empty():
                seen += await buffer.drain()
                await wait_for_threads(buffer)
            assert seen == (["c", "d"] if first.state == "cancelled" else ["b", "c", "d"])


async def test_thread_that_may_not_wait_does_not() -> None:
    """queue.Queue, test_nowait; janus, put_nowait from a thread: Full at once, also while others wait."""
    async with open_among_threads(max_size=1) as (buffer, tasks):
        await buffer.put("a")
        waiting = await start(tasks, partial(buffer.put, "b", overflow="wait"))
        for put in (buffer.put_nowait, buffer.put_from_thread):
            with pytest.raises(BufferFull):
                await in_thread(partial(put, "c", overflow="reject"))
        assert await buffer.drain() == ["a"]
        await until(lambda: waiting.state == "returned")
        assert await buffer.drain() == ["b"]


# ---------------------------------------------------------------- waking across the two


async def test_loop_that_sleeps_is_woken_for_each_thing_that_a_thread_does() -> None:
    """janus: a notification from a thread has to be handed to the loop, or the loop sleeps on."""
    async with open_among_threads() as (buffer, tasks):
        for _ in range(5):
            nonempty = await start(tasks, buffer.wait_nonempty)
            delivery = await in_thread(buffer.put_from_thread, "a")
            await until(lambda: nonempty.state == "returned")  # noqa: B023
            flush = await start(tasks, buffer.flush)
            assert await in_thread(delivery.cancel)
            await until(lambda: flush.state == "returned")  # noqa: B023


async def test_thread_sees_that_its_message_has_been_sent() -> None:
    """paho #439: is_published() said False, for ever, of a message that had been delivered."""
    seen: list[Outcome | None] = []

    def put_and_poll() -> None:
        delivery = buffer.put_from_thread("a")
        seen.append(delivery.outcome)
        give_up = time.monotonic() + PATIENCE
        while delivery.outcome is None and time.monotonic() < give_up:
            time.sleep(0)  # gives the loop its turn, and waits for no time
        seen.append(delivery.outcome)

    async with open_among_threads() as (buffer, tasks):
        tasks.start_soon(in_thread, put_and_poll)
        await until(lambda: len(seen) == 1)
        await lease_all(buffer)
    assert seen == [None, Outcome.SENT]


# ---------------------------------------------------------------- callbacks


async def test_callback_may_put_and_look_whichever_thread_it_runs_in() -> None:
    """paho #527: publish and wait from within a callback, which held the lock that they needed."""
    looked: list[tuple[int, int]] = []

    def on_undelivered(delivery: Delivery[str]) -> None:
        if delivery.message == "old":
            buffer.put_nowait("from the callback", overflow="drop_newest")
        looked.append((len(buffer), threading.get_ident()))

    async with open_among_threads(max_size=1, on_undelivered=on_undelivered) as (buffer, _):
        await buffer.put("old")
        await in_thread(buffer.put_from_thread, "new")
        assert [length for length, _ in looked] == [1, 1]
        assert threading.get_ident() not in [thread for _, thread in looked]
        assert await buffer.drain() == ["new"]


async def test_waiting_in_the_loops_own_thread_is_refused_rather_than_endless() -> None:
    """paho #527, #875: wait_for_publish in the thread that would have to do the publishing hung for ever."""
    async with open_among_threads(max_size=1) as (buffer, _):
        await buffer.put("a")
        with pytest.raises(RuntimeError, match="would block the event loop"):
            buffer.put_from_thread("b", overflow="wait")
        assert buffer.put_from_thread("c").outcome is None
        assert await buffer.drain() == ["c"]


# ---------------------------------------------------------------- loops that come and go


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_made_and_filled_in_a_thread_where_no_loop_runs(backend: str) -> None:
    """janus #448, #710: a queue could not be made outside of a running loop."""
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer()
    thread = threading.Thread(target=_put_each, args=(buffer, "ab"))
    thread.start()
    thread.join(PATIENCE)

    async def take() -> str:
        async with buffer:
            return await lease_all(buffer)

    assert anyio.run(take, backend=backend) == "ab"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_putting_when_the_loop_is_over_neither_blocks_nor_fails(backend: str) -> None:
    """janus 0.1.1, checks for the closing of the loop: a thread that came late got an error of the loop's."""
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer(2, overflow="wait")
    deliveries: list[Delivery[str]] = []

    async def wait_in_vain() -> None:
        async with create_task_group() as tasks:
            for wait in (buffer.wait_nonempty, buffer.lease().__aenter__):
                tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        deliveries.extend(await put_all(buffer, "a"))

    anyio.run(wait_in_vain, backend=backend)
    thread = threading.Thread(target=lambda: deliveries.append(buffer.put_from_thread("b")))
    thread.start()
    thread.join(PATIENCE)
    with pytest.raises(BufferFull):
        buffer.put_nowait("c")
    assert [delivery.cancel() for delivery in deliveries] == [True, True]
    assert (len(buffer), buffer.put_nowait("d").cancel()) == (0, True)
