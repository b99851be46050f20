"""Lost wake-ups, stolen wake-ups and turns: what the locks of asyncio, anyio and trio have had to learn.

Index: as a lock, which is a lease; as a semaphore, which is a place in a full buffer; as a condition; as an event;
several conditions at once.

The names after a peer are those of its tests (CPython: Lib/test/test_asyncio/test_locks.py; trio: test_sync.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import BufferClosed, Delivery
from tests.cancelling import both_kinds
from tests.conformance.harness import Buffer, Call, lease_all, put_all, start

from .outbox import open_buffer, states, take_all, together

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- as a lock: one lease at a time


@both_kinds
async def test_lease_ends_as_the_first_who_waits_is_cancelled(kind: str) -> None:
    """asyncio.Lock, test_cancel_race: A holds it, B is cancelled as A gives it back; C must get it."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await buffer.put("a")
        held = buffer.lease()
        await held.__aenter__()
        second, third = [await start(tasks, partial(lease_all, buffer)) for _ in range(2)]
        second.cancel(kind)
        await held.__aexit__(None, None, None)
        await wait_all_tasks_blocked()
        assert (second.state, third.result) == ("cancelled", "a")


@both_kinds
async def test_one_lease_that_ends_lets_one_in_and_not_two(kind: str) -> None:
    """asyncio.Lock, test_cancel_release_race (bpo-32734): a cancellation and a release let two in at once."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        held = buffer.lease()
        await held.__aenter__()
        calls = [await start(tasks, buffer.lease().__aenter__) for _ in range(3)]
        await together(calls[0], kind, partial(held.__aexit__, None, None, None))
        assert states(*calls[1:]).count("returned") == 1 - (calls[0].state == "returned")
        assert buffer.statistics().leased == 1
        await buffer.aclose()


@both_kinds
async def test_waiter_who_joined_as_the_one_before_was_woken_and_cancelled(kind: str) -> None:
    """asyncio.Lock, test_finished_waiter_cancelled (bpo-27585); anyio 4.13: the second one waited for ever."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await buffer.put("a")
        held = buffer.lease()
        await held.__aenter__()
        second, third = await start(tasks, partial(lease_all, buffer)), Call(partial(lease_all, buffer))
        tasks.start_soon(third.run)
        second.cancel(kind)
        await held.__aexit__(None, None, None)
        await wait_all_tasks_blocked()
        assert (second.state, third.result) == ("cancelled", "a")


async def test_lease_is_given_back_by_whatever_ends_it() -> None:
    """asyncio.Lock, test_context_manager, test_release_not_acquired: once, and a second release frees nothing else."""
    async with open_buffer() as buffer:
        await put_all(buffer, "ab")
        first = buffer.lease()
        with pytest.raises(ZeroDivisionError):
            async with first:
                raise ZeroDivisionError
        async with buffer.lease() as second:
            await first.__aexit__(None, None, None)
            assert (len(second), buffer.statistics().leased) == (1, 1)


# ---------------------------------------------------------------- as a semaphore: places in a full buffer


@both_kinds
async def test_place_goes_to_the_first_who_has_not_been_cancelled(kind: str) -> None:
    """asyncio.Semaphore, test_acquire_cancel_before_awoken: of four the first two are cancelled; the third gets in."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        calls = [await start(tasks, partial(buffer.put, message)) for message in "bcde"]
        calls[0].cancel(kind)
        calls[1].cancel(kind)
        await buffer.drain()
        await wait_all_tasks_blocked()
        assert states(*calls) == ["cancelled", "cancelled", "returned", "running"]
        assert await buffer.drain() == ["d"]


@both_kinds
async def test_place_is_passed_on_by_who_is_cancelled_as_it_comes(kind: str) -> None:
    """asyncio.Semaphore, test_acquire_hang, test_acquire_no_hang (gh-90155): nobody hung, and it was of use after."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        first, second = [await start(tasks, partial(buffer.put, message)) for message in "bc"]
        await together(first, kind, buffer.drain)
        if first.state == "returned":
            assert await buffer.drain() == ["b"]
            await wait_all_tasks_blocked()
        assert second.state == "returned"
        assert await buffer.drain() == ["c"]
        await buffer.put("d")
        assert await buffer.drain() == ["d"]


async def test_putters_who_come_back_join_the_end_of_the_line() -> None:
    """asyncio.Semaphore, test_acquire_fifo_order; trio, test_generic_lock_fifo_fairness: strictly in rotation."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("x")

        async def put_three(name: str) -> None:
            for number in range(3):
                await buffer.put(f"{name}{number}")

        for name in "abc":
            await start(tasks, partial(put_three, name))
        seen = await buffer.drain()
        while not buffer.is_empty() or buffer.statistics().waiting_to_put:
            await wait_all_tasks_blocked()
            seen += await buffer.drain()
        assert seen == ["x", "a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


async def test_putter_who_gets_in_and_comes_back_waits_behind_the_others() -> None:
    """asyncio.Semaphore, test_acquire_fifo_order_2: two places, three who wait, and the first of them wants again."""
    async with open_buffer(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await put_all(buffer, "xy")

        async def put_twice() -> None:
            await buffer.put("1")
            await buffer.put("4")

        await start(tasks, put_twice)
        await start(tasks, partial(buffer.put, "2"))
        await start(tasks, partial(buffer.put, "3"))
        seen: list[str] = []
        for _ in range(3):
            seen += await buffer.drain()
            await wait_all_tasks_blocked()
        assert seen == ["x", "y", "1", "2", "3", "4"]


@both_kinds
@pytest.mark.parametrize("tick", [0, 1])
async def test_two_places_for_the_two_who_are_left(kind: str, tick: int) -> None:
    """asyncio.Semaphore, test_acquire_fifo_order_3: the first of three was cancelled; the others get in, in turn."""
    async with open_buffer(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await put_all(buffer, "xy")
        first, *_ = [await start(tasks, partial(buffer.put, message)) for message in "123"]
        first.cancel(kind)
        for _ in range(tick):
            await checkpoint()
        await buffer.drain()
        await wait_all_tasks_blocked()
        assert (first.state, await buffer.drain()) == ("cancelled", ["2", "3"])


async def test_three_places_at_once_for_three_and_the_fourth_comes_after() -> None:
    """asyncio.Semaphore, test_acquire_fifo_order_4: no later one slips in between those who are woken."""
    async with open_buffer(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
        await put_all(buffer, "xyz")
        for message in "123":
            await start(tasks, partial(buffer.put, message))
        await buffer.drain()
        fourth = Call(partial(buffer.put, "4"))  # comes as they have been woken, and have not run
        tasks.start_soon(fourth.run)
        await wait_all_tasks_blocked()
        assert (await buffer.drain(), fourth.state) == (["1", "2", "3"], "running")
        await wait_all_tasks_blocked()
        assert await buffer.drain() == ["4"]


@both_kinds
async def test_small_message_gets_in_when_the_large_one_before_it_gives_up(kind: str) -> None:
    """Fair semaphores (embassy-sync #6964): the head that wanted much goes, and nobody wakes those behind it."""
    async with open_buffer(max_bytes=10, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("12345")
        large, small = [await start(tasks, partial(buffer.put, message)) for message in ("abcdefg", "xyz")]
        assert (large.state, small.state) == ("running", "running")
        large.cancel(kind)
        await wait_all_tasks_blocked()
        assert (small.state, await buffer.drain()) == ("returned", ["12345", "xyz"])


async def test_room_that_is_made_while_nobody_waits_is_there_later() -> None:
    """asyncio.Semaphore, test_release_no_waiters."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        await buffer.drain()
        call = await start(tasks, partial(buffer.put, "b"))
        assert (call.state, await buffer.drain()) == ("returned", ["b"])


# ---------------------------------------------------------------- as a condition


@both_kinds
@pytest.mark.parametrize("tick", [0, 1, 2])
async def test_message_is_consumed_though_the_one_it_woke_is_cancelled(kind: str, tick: int) -> None:
    """asyncio.Condition, test_cancelled_wakeup, test_cancelled_wakeup_relock (gh-112202); anyio #1075."""
    for cancelled in range(2):
        seen: list[str] = []
        async with open_buffer() as buffer, create_task_group() as tasks:
            consumers = [await start(tasks, partial(take_all, buffer, seen)) for _ in range(2)]
            await buffer.put("a")
            for _ in range(tick):
                await checkpoint()
            consumers[cancelled].cancel(kind)
            await wait_all_tasks_blocked()  # and not a look at the buffer, which could wake who was forgotten
            assert seen == ["a"]
            await buffer.aclose()


async def test_one_message_is_for_one_and_closing_is_for_all() -> None:
    """asyncio.Condition, test_notify, test_notify_all: the others go on waiting, and none is left in the end."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        calls = [await start(tasks, partial(lease_all, buffer, 1)) for _ in range(4)]
        for done in range(3):
            assert states(*calls).count("running") == 4 - done
            await buffer.put("a")
            await wait_all_tasks_blocked()
        await buffer.aclose()
        await wait_all_tasks_blocked()
        assert sorted(states(*calls)) == ["raised", "returned", "returned", "returned"]
        assert all(isinstance(call.error, BufferClosed) for call in calls if call.state == "raised")


@pytest.mark.parametrize("wait", ["wait_nonempty", "lease"])
async def test_who_is_woken_for_nothing_goes_on_waiting(wait: str) -> None:
    """asyncio.Condition, test_wait_for: a notification is no promise; what counts is what there is."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        call = await start(tasks, buffer.wait_nonempty if wait == "wait_nonempty" else partial(_take, buffer))
        for gone in (lambda delivery: delivery.cancel(), lambda _: None):
            gone(buffer.put_nowait("a"))
            await buffer.drain()
            await wait_all_tasks_blocked()
            assert call.state == "running"
        await buffer.put("b")
        await wait_all_tasks_blocked()
        assert call.state == "returned"
        await buffer.drain()


async def _take(buffer: Buffer) -> None:
    assert await lease_all(buffer) == "b"


# ---------------------------------------------------------------- as an event


@pytest.mark.parametrize("put", ["put", "put_nowait", "put with a ttl"])
async def test_event_wakes_all_who_wait_and_those_who_come_later_do_not_wait(put: str) -> None:
    """asyncio.Event, test_wait, test_wait_on_set; trio, test_Event."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        calls = [await start(tasks, buffer.wait_nonempty) for _ in range(3)]
        if put == "put":
            await buffer.put("a")
        else:
            buffer.put_nowait("a", ttl=60 if put == "put with a ttl" else None)
        late = Call(buffer.wait_nonempty)
        tasks.start_soon(late.run)
        await wait_all_tasks_blocked()
        assert states(*calls, late) == ["returned"] * 4
        await buffer.drain()


async def test_event_that_is_over_in_the_same_tick_wakes_nobody_for_good() -> None:
    """asyncio.Event, test_clear_with_waiters: set, cleared, set, set. Who waits must see what holds, not what held."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        call = await start(tasks, buffer.wait_nonempty)
        buffer.put_nowait("a")
        await buffer.drain()
        await wait_all_tasks_blocked()
        assert call.state == "running"
        buffer.put_nowait("b")
        buffer.put_nowait("c")
        await wait_all_tasks_blocked()
        assert (call.state, await buffer.drain()) == ("returned", ["b", "c"])


@both_kinds
async def test_all_who_await_a_delivery_learn_of_it_though_one_is_cancelled(kind: str) -> None:
    """anyio.Event, #536: of all who waited some were not told, as one was cancelled at that moment."""

    async def learn(delivery: Delivery[str]) -> object:
        return await delivery

    for cancelled in range(5):
        async with open_buffer() as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a")
            calls = [await start(tasks, partial(learn, delivery)) for _ in range(5)]
            await together(calls[cancelled], kind, partial(lease_all, buffer))
            del calls[cancelled]
            assert states(*calls) == ["returned"] * 4


# ---------------------------------------------------------------- several conditions at once


async def test_wake_up_for_one_condition_is_not_stolen_by_another() -> None:
    """queue.Queue keeps not_empty, not_full and all_tasks_done apart; with one for all, the wrong one may be woken."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        delivery = await buffer.put("a", ttl=1000)
        held = buffer.lease()
        await held.__aenter__()
        flushes = [await start(tasks, partial(buffer.flush, timeout)) for timeout in (None, 100)]
        put = await start(tasks, partial(buffer.put, "b"))
        taker = await start(tasks, partial(lease_all, buffer))
        assert states(*flushes, put, taker) == ["running"] * 4
        assert next(iter(held)).ack()
        await wait_all_tasks_blocked()
        assert states(*flushes, put, taker) == ["returned"] * 3 + ["running"]
        await held.__aexit__(None, None, None)
        await wait_all_tasks_blocked()
        assert (taker.result, delivery.outcome) == ("b", "sent")


@pytest.mark.parametrize("come", ["before", "after"])
async def test_closing_reaches_those_who_wait_and_those_who_have_not_begun_to(come: str) -> None:
    """POCO NotificationQueue #5213: the wake-up of the shutdown was for those only who were asleep already."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")

        async def come_to_wait() -> list[Call[Any]]:
            put = await start(tasks, partial(buffer.put, "b"))
            return [put, await start(tasks, buffer.flush), await start(tasks, partial(lease_all, buffer))]

        calls: list[Call[Any]] = []
        async with buffer.lease():
            if come == "before":
                calls = await come_to_wait()
            await buffer.aclose()
        if come == "after":
            calls = await come_to_wait()
        await wait_all_tasks_blocked()
        assert states(*calls) == ["raised", "returned", "raised"]
