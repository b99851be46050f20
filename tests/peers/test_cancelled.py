"""Cancelled waits: items lost and ghosts delivered, as the peers have known them.

Index: takers; putters; time-outs; scopes that were cancelled before; what is left in memory; swallowed cancellations.

The peers: asyncio.Queue and asyncio.wait_for (CPython, test_queues.py, test_waitfor.py, bpo-23812, python/asyncio #201
and #343), anyio's memory object streams (test_memory.py, #146), trio's memory channels (test_channel.py), websockets
(test_connection.py, #486) and culsans (its changelog). Each test runs with ``task.cancel()`` and with a scope.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from anyio import CancelScope, create_task_group, move_on_after, sleep, sleep_forever, wait_all_tasks_blocked
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ridethrough import Delivery
from tests.cancelling import ASYNCIO, both_kinds
from tests.conformance.harness import Buffer, lease_all, put_all, start
from tests.links import put_all as put_each

from .outbox import open_buffer, states, together, waiters_in_memory

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- takers


@both_kinds
async def test_cancelled_taker_leaves_the_message_to_the_next(kind: str) -> None:
    """asyncio.Queue, test_get_cancelled_race: of two getters the first is cancelled; what is put goes to the second."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        first, second = [await start(tasks, partial(lease_all, buffer, 1)) for _ in range(2)]
        first.cancel(kind)
        await wait_all_tasks_blocked()
        await buffer.put("a")
        await wait_all_tasks_blocked()
        assert (first.state, second.result) == ("cancelled", "a")


@both_kinds
async def test_message_put_as_its_taker_is_cancelled_is_not_lost(kind: str) -> None:
    """asyncio.Queue, test_get_cancel_drop_one_pending_reader (bpo-23812): who tries again gets the first item."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        reader = await start(tasks, partial(lease_all, buffer, 1))
        await together(reader, kind, partial(put_each, buffer, "ab"))
        if reader.state == "cancelled":
            reader = await start(tasks, partial(lease_all, buffer, 1))
        assert (reader.result, await lease_all(buffer, 1)) == ("a", "b")


@both_kinds
@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_two_messages_for_three_takers_of_whom_one_is_cancelled(kind: str, cancelled: int) -> None:
    """asyncio.Queue, test_get_cancel_drop_many_pending_readers: the two that are left have both."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        readers = [await start(tasks, partial(lease_all, buffer, 1)) for _ in range(3)]
        await together(readers[cancelled], kind, partial(put_each, buffer, "ab"))
        if readers[cancelled].state == "cancelled":
            assert sorted(reader.result or "" for reader in readers) == ["", "a", "b"]
        await buffer.put("c")  # for one who is left, if any
        await wait_all_tasks_blocked()
        await buffer.aclose()


@both_kinds
async def test_message_is_put_to_a_taker_who_has_just_been_cancelled(kind: str) -> None:
    """anyio, test_cancel_during_receive_buffered, test_send_to_natively_cancelled_receiver: it is there to be taken."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        reader = await start(tasks, partial(lease_all, buffer))
        reader.cancel(kind)
        buffer.put_nowait("item")
        await wait_all_tasks_blocked()
        assert (reader.state, await lease_all(buffer)) == ("cancelled", "item")


@both_kinds
async def test_nobody_takes_after_a_cancelled_taker(kind: str) -> None:
    """anyio, test_cancel_receive: a cancelled receiver is no receiver any more."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        reader = await start(tasks, partial(lease_all, buffer))
        reader.cancel(kind)
        await wait_all_tasks_blocked()
        await buffer.put("hello")
        await wait_all_tasks_blocked()
        assert (reader.state, buffer.statistics().queued) == ("cancelled", 1)


@both_kinds
async def test_taker_cancelled_in_the_middle_of_a_message_gives_it_back_whole(kind: str) -> None:
    """websockets, test_recv_cancellation_while_receiving: the next recv gets that very message, first."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        delivery, _ = await put_all(buffer, "ab")

        async def send_half() -> None:
            async with buffer.lease() as lease:
                next(iter(lease)).begin()
                await sleep_forever()

        call = await start(tasks, send_half)
        call.cancel(kind)
        await wait_all_tasks_blocked()
        assert (call.state, delivery.maybe_sent) == ("cancelled", True)
        assert (await lease_all(buffer), delivery.attempts) == ("ab", 2)


# ---------------------------------------------------------------- putters


@both_kinds
async def test_putter_cancelled_as_room_is_made_has_put_or_has_not(kind: str) -> None:
    """asyncio.Queue, test_put_cancel_drop, test_cancelled_put_silence_value_error_exception: with a retry, once."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        writer = await start(tasks, partial(buffer.put, "b"))
        await together(writer, kind, partial(lease_all, buffer, 1))
        assert writer.state in ("cancelled", "returned")
        if writer.state == "cancelled":
            await buffer.put("b")
        assert await buffer.drain() == ["b"]


@both_kinds
async def test_cancelled_putter_leaves_no_ghost_behind(kind: str) -> None:
    """asyncio.Queue and janus, test_put_cancelled_race: of a, b and X, X is cancelled; a and b come, and never X."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        _, second, third = [await start(tasks, partial(buffer.put, message)) for message in "abX"]
        third.cancel(kind)
        await wait_all_tasks_blocked()
        assert [await lease_all(buffer, 1) for _ in "ab"] == ["a", "b"]
        await wait_all_tasks_blocked()
        assert (second.state, third.state, len(buffer)) == ("returned", "cancelled", 0)


@both_kinds
async def test_cancelled_putter_of_all_hands_nothing_over(kind: str) -> None:
    """anyio, test_cancel_send: what a cancelled sender wanted to send cannot be received."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        sender = await start(tasks, partial(buffer.put, "hello"))
        sender.cancel(kind)
        await wait_all_tasks_blocked()
        assert (await buffer.drain(), await buffer.drain(), buffer.statistics().accepted) == (["a"], [], 1)


@both_kinds
async def test_putter_knows_what_it_has_put_whenever_it_is_cancelled(kind: str) -> None:
    """culsans 0.9.0: after a cancellation it was impossible to tell whether the put had happened."""
    for turns in range(12):
        returned: list[Delivery[str]] = []
        async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            call = await start(tasks, partial(_put_many, buffer, returned))
            for _ in range(turns):
                if not buffer.is_empty():
                    await lease_all(buffer, 1)
                await checkpoint()
            call.cancel(kind)
            await wait_all_tasks_blocked()
            assert buffer.statistics().accepted == len(returned)
            await buffer.drain()


async def _put_many(buffer: Buffer, returned: list[Delivery[str]]) -> None:
    for message in "abcdefgh":
        returned.append(await buffer.put(message))
        await checkpoint()


async def test_message_that_is_being_sent_cannot_be_taken_back() -> None:
    """concurrent.futures, test_cancel: what runs cannot be cancelled, and what was cancelled does not run."""
    async with open_buffer() as buffer:
        first, second = await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            assert (first.cancel(), second.cancel(), second.cancel()) == (False, True, False)
            assert next(iter(lease)).ack()
        assert ([first.outcome, second.outcome], buffer.is_empty()) == (["sent", "cancelled"], True)


# ---------------------------------------------------------------- time-outs


async def _take_within(seconds: float, buffer: Buffer, seen: list[str], kind: str) -> None:
    async def take() -> None:
        async with buffer.lease() as lease:
            for entry in lease:
                entry.ack()
                seen.append(entry.message)

    if kind == "native":
        try:
            await asyncio.wait_for(take(), seconds)
        except TimeoutError:
            return
    else:
        with move_on_after(seconds):
            await take()


@both_kinds
@pytest.mark.parametrize(
    ("case", "pauses", "timeout"),
    [
        ("asyncio.Queue, test_get_cancelled: the item comes just before the time-out", [0.01], 0.051),
        ("python/asyncio #343: the pauses are 0 to 5 s, the time-out 3 s, and one item was lost", range(6), 3.0),
        ("python/asyncio #201: the time-out falls into the moment of the put, each time", [1.0] * 8, 1.0),
        ("anyio #146: an item every 0.2 s, a time-out of 0.1 s, and items dropped at random", [0.2] * 10, 0.1),
        ("websockets #486: wait_for(recv(), timeout) in a loop drops messages", [0.3, 0.7, 1.0, 0.1, 2.9], 0.5),
    ],
)
async def test_no_message_is_lost_to_a_time_out(case: str, pauses: list[float], timeout: float, kind: str) -> None:
    """What comes as the time is up is either taken or still there."""
    messages = [str(number) for number, _ in enumerate(pauses)]
    seen: list[str] = []

    async def put_all_slowly() -> None:
        for message, pause in zip(messages, pauses, strict=True):
            await sleep(pause)
            await buffer.put(message)

    async with open_buffer() as buffer, create_task_group() as tasks:
        tasks.start_soon(put_all_slowly)
        while len(seen) < len(messages):
            await _take_within(timeout, buffer, seen, kind)
    assert seen == messages, case


async def test_buffer_works_after_a_taker_has_timed_out() -> None:
    """trio, test_553: after a receive that timed out, a send raised."""
    async with open_buffer() as buffer:
        with move_on_after(10) as scope:
            await buffer.wait_nonempty()
        assert scope.cancelled_caught
        await buffer.put("hello")
        assert await lease_all(buffer) == "hello"


# ---------------------------------------------------------------- in a scope that was cancelled before


async def test_lease_in_a_cancelled_scope_has_taken_nothing_in_the_end() -> None:
    """anyio, test_receive_when_cancelled: hello, then world, and neither went to the one that was cancelled."""
    async with open_buffer() as buffer:
        await put_all(buffer, ["hello", "world"])
        with CancelScope() as scope:
            scope.cancel()
            async with buffer.lease() as lease:
                assert len(lease) == 1
                await checkpoint()
        assert scope.cancelled_caught
        assert [await lease_all(buffer, 1), await lease_all(buffer, 1)] == ["hello", "world"]


@pytest.mark.parametrize("full", [False, True])
async def test_put_in_a_cancelled_scope_returns_or_has_not_happened(full: bool) -> None:
    """anyio, test_send_when_cancelled: nothing may be sent and the sender be told that it was not."""
    async with open_buffer(max_size=1, overflow="wait") as buffer:
        if full:
            await buffer.put("a")
        returned: list[Delivery[str]] = []
        with CancelScope() as scope:
            scope.cancel()
            returned.append(await buffer.put("hello"))
        assert (len(returned), scope.cancelled_caught) == ((0, True) if full else (1, False))
        assert await buffer.drain() == (["a"] if full else ["hello"])


# ---------------------------------------------------------------- what is left, and what is swallowed


async def _await(delivery: Delivery[str]) -> None:
    await delivery


@both_kinds
async def test_cancelled_waits_leave_nothing_in_memory(kind: str) -> None:
    """asyncio.Queue, test_cancelled_getters_not_being_held_in_self_getters, and putters; trio, memleak_548."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        delivery = await buffer.put("a", ttl=1000)
        waits: list[Callable[[], Awaitable[object]]] = [partial(buffer.put, "b"), partial(lease_all, buffer)]
        waits += [buffer.flush, partial(buffer.flush, 60), partial(_await, delivery)]
        before = waiters_in_memory()
        async with buffer.lease():
            for wait in waits * 10:
                await _wait_and_cancel(tasks, wait, kind)
        delivery.cancel()
        for wait in (partial(lease_all, buffer), buffer.wait_nonempty, buffer.enforce_ttl) * 10:
            await _wait_and_cancel(tasks, wait, kind)
        assert waiters_in_memory() - before < 5
        assert buffer.statistics().waiting_to_put == 0


async def _wait_and_cancel(tasks: TaskGroup, wait: Callable[[], Awaitable[object]], kind: str) -> None:
    call = await start(tasks, wait)
    call.cancel(kind)
    await wait_all_tasks_blocked()
    assert call.state == "cancelled"


@both_kinds
@pytest.mark.parametrize("wait", ["flush", "flush(60)", "aclose(60)", "delivery", "put", "wait_nonempty"])
async def test_cancellation_is_not_swallowed_by_what_ends_at_the_same_time(wait: str, kind: str) -> None:
    """asyncio.wait_for, test_wait_for_cancel_suppressed and gh-86296: the task ran on as if nobody had cancelled it."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        delivery = await buffer.put("a", ttl=1000)
        before_it = buffer.lease()
        await before_it.__aenter__()
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "flush": buffer.flush,
            "flush(60)": partial(buffer.flush, 60),
            "aclose(60)": partial(buffer.aclose, 60),
            "delivery": partial(_await, delivery),
            "put": partial(buffer.put, "b"),
            "wait_nonempty": buffer.wait_nonempty,
        }

        async def wait_and_go_on() -> None:
            await calls[wait]()
            await sleep_forever()

        async def end_the_message() -> None:
            if wait != "wait_nonempty":
                next(iter(before_it)).ack()
            await before_it.__aexit__(None, None, None)

        call = await start(tasks, wait_and_go_on)
        await together(call, kind, end_the_message)
        assert call.state == "cancelled"
        await buffer.aclose()


@pytest.mark.parametrize("anyio_backend", [ASYNCIO], ids=["asyncio"])
async def test_task_that_is_cancelled_twice_is_cancelled() -> None:
    """asyncio, test_wait_for_cancellation_race_condition: the second cancellation comes as the first is at work."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        calls = [await start(tasks, partial(buffer.put, message)) for message in "bc"]
        calls[0].cancel("native")
        calls[0].cancel("native")
        await buffer.drain()
        await wait_all_tasks_blocked()
        assert states(*calls) == ["cancelled", "returned"]
        assert await buffer.drain() == ["c"]
