"""asyncio.Queue, and the queues of the standard library's threads: what their own tests ask, asked of an outbox.

Index: places and order; producers and consumers; time-outs; task_done and join; failures in the middle; what is let
go of.

The names after a peer are those of its tests (CPython: Lib/test/test_asyncio/test_queues.py and Lib/test/test_queue.py;
culsans runs the latter on its own queues as well).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import ref

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery
from tests.conformance.harness import lease_all, put_all, start

from .outbox import open_buffer, states, take_all

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- places and order


async def test_empty_only_when_the_last_has_ended() -> None:
    """asyncio.Queue, test_empty: empty, not empty, empty again; a message that is being sent is still there."""
    async with open_buffer() as buffer:
        seen = [buffer.is_empty()]
        await buffer.put("a")
        seen.append(buffer.is_empty())
        async with buffer.lease() as lease:
            seen.append(buffer.is_empty())
            next(iter(lease)).ack()
            seen.append(buffer.is_empty())
        assert seen == [True, False, False, True]


async def test_full_buffer_refuses_and_keeps_what_it_has() -> None:
    """asyncio.Queue, test_full, test_nonblocking_put_exception: the refused message is nowhere, and changed nothing."""
    async with open_buffer(max_size=1, overflow="reject") as buffer:
        await buffer.put("a")
        with pytest.raises(BufferFull):
            buffer.put_nowait("b")
        with pytest.raises(BufferFull):
            await buffer.put("c")
        assert (buffer.statistics().accepted, await buffer.drain()) == (1, ["a"])
        await buffer.put("d")
        assert await buffer.drain() == ["d"]


async def test_order_is_that_of_the_puts_and_not_of_the_values() -> None:
    """asyncio.Queue, test_order: 1, 3, 2 come out as 1, 3, 2."""
    async with open_buffer() as buffer:
        await put_all(buffer, "132")
        assert await lease_all(buffer) == "132"


async def test_putter_of_three_into_two_places_waits_with_the_third() -> None:
    """asyncio.Queue, test_maxsize: it goes on when one is out, and not before."""
    have_been_put: list[str] = []

    async def put_three() -> None:
        for message in "abc":
            await buffer.put(message)
            have_been_put.append(message)

    async with open_buffer(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        call = await start(tasks, put_three)
        assert have_been_put == ["a", "b"]
        async with buffer.lease() as lease:
            await wait_all_tasks_blocked()
            assert have_been_put == ["a", "b"]  # a message that is being sent has not made room
            next(iter(lease)).ack()
        await wait_all_tasks_blocked()
        assert (have_been_put, call.state) == (["a", "b", "c"], "returned")


@pytest.mark.parametrize("again", [False, True])
async def test_fill_overfill_and_empty_twice_over(again: bool) -> None:
    """queue.Queue, test_basic: the same instance goes through all of it, and then once more."""
    async with open_buffer(max_size=5) as buffer, create_task_group() as tasks:
        for _ in range(1 + again):
            await put_all(buffer, "13245")
            with pytest.raises(BufferFull):
                buffer.put_nowait("x", overflow="reject")
            waiting = await start(tasks, partial(buffer.put, "6", overflow="wait"))
            assert await lease_all(buffer, 1) == "1"
            await wait_all_tasks_blocked()
            assert (waiting.state, await lease_all(buffer)) == ("returned", "32456")
            taker = await start(tasks, partial(lease_all, buffer))
            assert taker.state == "running"
            await buffer.put("7")
            await wait_all_tasks_blocked()
            assert taker.result == "7"


# ---------------------------------------------------------------- producers and consumers


async def test_taker_waits_for_a_message_that_comes_later() -> None:
    """asyncio.Queue, test_blocking_get_wait, test_put_with_waiting_getters: it gets it in that moment."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        call = await start(tasks, partial(lease_all, buffer))
        await sleep(10)
        assert call.state == "running"
        buffer.put_nowait("a")
        await wait_all_tasks_blocked()
        assert (call.state, call.result) == ("returned", "a")


async def test_taking_one_lets_the_putter_in_who_waits() -> None:
    """asyncio.Queue, test_get_with_putters, test_get_with_waiting_putters: and what it puts is the next to take."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        for message in "abc":
            await start(tasks, partial(buffer.put, message))
        assert [await lease_all(buffer, 1) for _ in range(3)] == ["a", "b", "c"]


async def test_producer_and_consumer_hand_over_one_by_one() -> None:
    """asyncio.Queue, test_why_are_getters_waiting: five messages through one place, and nobody is left waiting."""
    seen: list[str] = []
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        tasks.start_soon(take_all, buffer, seen)
        await put_all(buffer, "abcde")
        await buffer.flush()
        assert seen == list("abcde")
        await buffer.aclose()


async def test_putters_get_in_who_had_not_begun_to_wait_when_room_was_made() -> None:
    """asyncio.Queue, test_why_are_putters_waiting: four putters, two places, and one look that takes what is there."""
    seen: list[str] = []

    async def take_what_is_there() -> None:
        await checkpoint()
        seen.extend(await buffer.drain())

    async with open_buffer(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        tasks.start_soon(take_what_is_there)
        for message in "abcd":
            tasks.start_soon(partial(buffer.put, message))
        await wait_all_tasks_blocked()
        seen += await buffer.drain()
        await wait_all_tasks_blocked()
        seen += await buffer.drain()
        assert sorted(seen) == list("abcd")


# ---------------------------------------------------------------- time-outs


@pytest.mark.parametrize(
    ("case", "timeout", "error"),
    [
        ("queue.Queue, test_negative_timeout_raises_exception", -1, ValueError),
        ("culsans 0.10: not a number is no timeout", math.nan, ValueError),
        ("anyio and trio: infinity, of which None is the name here", math.inf, ValueError),
    ],
)
async def test_timeout_that_is_none_is_refused_and_nothing_has_changed(
    case: str, timeout: float, error: type[Exception]
) -> None:
    """A call with a timeout that makes no sense did not happen."""
    async with open_buffer() as buffer:
        await buffer.put("a")
        for call in (buffer.flush, buffer.aclose):
            with pytest.raises(error, match="timeout must be"):
                await call(timeout)
        assert await lease_all(buffer) == "a", case


async def test_timeout_beyond_all_measure_is_a_timeout() -> None:
    """culsans 0.10: support for very large numbers of seconds, which timers of the system would not take."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await buffer.put("a")
        calls = [await start(tasks, partial(buffer.flush, timeout)) for timeout in (1e9, 10**12)]
        await lease_all(buffer)
        await wait_all_tasks_blocked()
        assert states(*calls) == ["returned", "returned"]


# ---------------------------------------------------------------- task_done and join


async def test_one_message_acknowledged_twice_does_not_count_for_another() -> None:
    """asyncio.Queue, test_task_done_underflow: join must not return for one task_done too many."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        flush = await start(tasks, buffer.flush)
        async with buffer.lease() as lease:
            entry = next(iter(lease))
            assert [entry.ack(), entry.ack(), entry.ack()] == [True, False, False]
        await wait_all_tasks_blocked()
        assert (flush.state, buffer.statistics().late) == ("running", 2)
        assert await lease_all(buffer) == "b"


async def test_join_returns_when_two_workers_have_done_all() -> None:
    """asyncio.Queue, test_task_done: a hundred messages, two workers; join means that every one was worked on."""
    seen: list[str] = []
    async with open_buffer() as buffer, create_task_group() as tasks:
        messages = [str(number) for number in range(100)]
        await put_all(buffer, messages)
        for limit in (1, 3):
            tasks.start_soon(take_all, buffer, seen, limit)
        await buffer.flush()
        assert seen == messages  # in order: there is one lease at a time
        await buffer.aclose()


async def test_join_of_nothing_and_join_again() -> None:
    """asyncio.Queue, test_join_empty_queue; queue.Queue, test_queue_join: done twice, for insurance."""
    async with open_buffer() as buffer:
        for message in ("a", "b"):
            await buffer.flush()
            await buffer.flush()
            await buffer.put(message)
            await lease_all(buffer)


# ---------------------------------------------------------------- failures in the middle, and what is let go of


class _Key:
    """The first letter of a message, while it does not fail."""

    fails = False

    def __call__(self, message: str) -> str:
        if self.fails:
            raise RuntimeError("no key today")
        return message[0]


async def test_put_that_fails_half_way_leaves_no_trace() -> None:
    """queue.Queue, test_failing_queue: its own _put raises, with and without waiting; twice on the same instance."""
    key = _Key()
    async with open_buffer(max_size=2, overflow="wait", key=key) as buffer:
        for _ in range(2):
            await buffer.put("a")
            for full in (False, True):
                key.fails = True
                for put in (buffer.put_nowait, partial(buffer.put_from_thread, overflow="reject")):
                    with pytest.raises(RuntimeError, match="no key today"):
                        put("x")
                with pytest.raises(RuntimeError, match="no key today"):
                    await buffer.put("x")
                key.fails = False
                assert buffer.statistics().waiting_to_put == 0
                if not full:
                    await buffer.put("b")
            assert await lease_all(buffer) == "ab"


async def test_put_from_within_a_put_neither_blocks_nor_loses() -> None:
    """queue.SimpleQueue, test_reentrancy (bpo-14976): a put that comes in the middle of another one."""

    def put_again(delivery: Delivery[str]) -> None:
        if len(delivery.message) == 1:
            buffer.put_nowait(delivery.message * 2)

    async with open_buffer(max_size=2, on_undelivered=put_again) as buffer:
        await put_all(buffer, "abc")
        assert await buffer.drain() == ["bb", "cc"]
        assert (buffer.statistics().accepted, buffer.statistics().dropped) == (6, 4)


class _Message:
    """Something that can be watched going."""


_Buffer = AsyncMessageBuffer[_Message]
_End = Callable[[_Buffer, list[Delivery[_Message]]], Awaitable[object]]


async def _send(buffer: _Buffer, _: object) -> None:
    async with buffer.lease(20) as lease:
        for entry in lease:
            entry.begin()
            entry.ack()


async def _refuse(buffer: _Buffer, _: object) -> None:
    async with buffer.lease(20) as lease:
        for entry in lease:
            entry.reject(ValueError("no"))


async def _drain(buffer: _Buffer, _: object) -> None:
    await buffer.drain()


async def _push_out(buffer: _Buffer, _: object) -> None:
    for _ in range(20):
        await buffer.put(_Message())


async def _grow_old(buffer: _Buffer, _: object) -> None:
    await sleep(61)
    assert buffer.is_empty()


async def _cancel(_: object, deliveries: list[Delivery[_Message]]) -> None:
    assert {delivery.cancel() for delivery in deliveries} == {True}


@pytest.mark.parametrize("end_all", [_send, _refuse, _drain, _push_out, _grow_old, _cancel])
async def test_messages_are_let_go_of_once_they_have_ended(end_all: _End) -> None:
    """queue.SimpleQueue, test_references: nothing refers to an item that has left the queue, however it left."""
    async with AsyncMessageBuffer[_Message](20, ttl=60) as buffer:

        async def put_and_end() -> list[ref[_Message]]:
            deliveries = [await buffer.put(_Message()) for _ in range(20)]
            await end_all(buffer, deliveries)
            return [ref(delivery.message) for delivery in deliveries]

        messages = await put_and_end()
        await checkpoint()
        gc.collect()
        assert [message() for message in messages] == [None] * 20


async def test_repr_counts_and_does_not_list() -> None:
    """asyncio.Queue, test_repr: shows its items and who waits. A message may be private, so here are only counts."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("secret")
        await start(tasks, partial(buffer.put, "secret as well"))
        texts = [repr(buffer), str(buffer), repr(buffer.statistics()), repr(buffer.lease())]
        assert "1 of 1" in texts[0]
        assert not any("secret" in text for text in texts)
        await buffer.drain()
