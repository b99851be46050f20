"""Memory channels, and what their suites ask: anyio's object streams and trio's channels.

Index: messages of every kind; hand-over; many producers and consumers; fairness; closing; statistics.

The names after a peer are those of its tests (anyio: tests/streams/test_memory.py; trio: _tests/test_channel.py).
"""

from __future__ import annotations

import gc
import warnings
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Outcome
from tests.cancelling import both_kinds
from tests.conformance.harness import Buffer, Call, lease_all, put_all, start

from .outbox import open_buffer, states, take_all

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- messages of every kind


@pytest.mark.parametrize("message", [None, False, 0, "", b"", (), [], NotImplemented, Ellipsis])
async def test_message_that_is_false_is_a_message(message: object) -> None:
    """anyio #731, test_close_receive_while_sending: None was taken for "there is nothing"."""
    async with AsyncMessageBuffer[Any](1, overflow="wait") as buffer, create_task_group() as tasks:
        delivery = await buffer.put(message)
        waiting = await start(tasks, partial(buffer.put, message))
        assert (len(buffer), buffer.is_empty(), delivery.message is message) == (1, False, True)
        async with buffer.lease() as lease:
            for entry in lease:
                assert entry.message is message
                entry.ack(message)
        assert await delivery is message
        await wait_all_tasks_blocked()
        assert (waiting.state, await buffer.drain()) == ("returned", [message])


async def test_equal_messages_are_not_the_same_message() -> None:
    """trio and anyio compare no items. Here each put has a fate of its own, even of one and the same object."""
    async with open_buffer() as buffer:
        deliveries = await put_all(buffer, "aaa")
        assert deliveries[1].cancel()
        assert await lease_all(buffer, 1) == "a"
        assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT, Outcome.CANCELLED, None]
        assert await buffer.drain() == ["a"]


# ---------------------------------------------------------------- hand-over


async def test_receiver_first_then_two_sends() -> None:
    """anyio, test_receive_then_send: who waited gets the first, and comes back for the second."""
    seen: list[str] = []
    async with open_buffer() as buffer, create_task_group() as tasks:
        tasks.start_soon(take_all, buffer, seen)
        await wait_all_tasks_blocked()
        for message in ("hello", "anyio"):
            await buffer.put(message)
        await buffer.flush()
        assert seen == ["hello", "anyio"]
        await buffer.aclose()


async def test_two_receivers_and_two_sends_in_one_tick() -> None:
    """anyio, test_receive_then_send_nowait: each gets one, although both sends came before either ran."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        calls = [await start(tasks, partial(lease_all, buffer, 1)) for _ in range(2)]
        buffer.put_nowait("hello")
        buffer.put_nowait("anyio")
        await wait_all_tasks_blocked()
        assert sorted(call.result or "" for call in calls) == ["anyio", "hello"]


async def test_send_is_unblocked_by_a_receive_that_does_not_wait() -> None:
    """anyio #143, test_send_is_unblocked_after_receive_nowait: the sender slept on although there was room."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("hello")
        sender = await start(tasks, partial(buffer.put, "anyio"))
        assert await buffer.drain() == ["hello"]
        await wait_all_tasks_blocked()
        assert (sender.state, await buffer.drain()) == ("returned", ["anyio"])


async def test_iterating_until_the_end() -> None:
    """anyio, test_iterate; trio, the idiom of async for over a channel: all that was sent, and then the loop ends."""
    seen: list[str] = []
    async with open_buffer() as buffer, create_task_group() as tasks:
        receiver = await start(tasks, partial(take_all, buffer, seen, 2))
        await put_all(buffer, "abc")
        assert await buffer.aclose(60) == []
        await wait_all_tasks_blocked()
        assert (seen, receiver.state) == (["a", "b", "c"], "returned")


# ---------------------------------------------------------------- many producers and consumers


async def test_ten_producers() -> None:
    """trio, test_channel_multiple_producers: thirty values from ten; each producer's come in its order."""
    seen: list[str] = []

    async def produce(name: str) -> None:
        for number in range(3):
            await buffer.put(f"{name}{number}")
            await checkpoint()

    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        tasks.start_soon(take_all, buffer, seen)
        async with create_task_group() as producers:
            for name in "abcdefghij":
                producers.start_soon(produce, name)
        assert await buffer.aclose(60) == []
    assert sorted(seen) == [f"{name}{number}" for name in "abcdefghij" for number in range(3)]
    assert all(seen.index(f"{name}0") < seen.index(f"{name}1") < seen.index(f"{name}2") for name in "abcdefghij")


async def test_five_consumers() -> None:
    """trio, test_channel_multiple_consumers: each value goes to one of them, and none is left over."""
    shares: list[list[str]] = [[] for _ in range(5)]
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        for share in shares:
            tasks.start_soon(take_all, buffer, share)
        await put_all(buffer, "0123456789")
        assert await buffer.aclose(60) == []
    assert sorted(message for share in shares for message in share) == list("0123456789")


# ---------------------------------------------------------------- fairness


async def test_sender_who_never_waits_does_not_starve_the_one_who_does() -> None:
    """trio, test_channel_fairness: room belongs to who waited for it, even if others run first."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("1")
        waiting = await start(tasks, partial(buffer.put, "2"))
        assert await buffer.drain() == ["1"]
        with pytest.raises(BufferFull):
            buffer.put_nowait("3", overflow="reject")
        greedy = Call(partial(buffer.put, "4"))
        tasks.start_soon(greedy.run)
        assert await lease_all(buffer, 1) == "2"
        await wait_all_tasks_blocked()
        assert (states(waiting, greedy), await buffer.drain()) == (["returned"] * 2, ["4"])


# ---------------------------------------------------------------- closing


async def test_what_was_sent_before_closing_is_still_received() -> None:
    """anyio, test_receive_after_send_closed; trio, test_channel: "last" comes, and after it the end."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await buffer.put("last")
        closing = await start(tasks, partial(buffer.aclose, 60))
        with pytest.raises(BufferClosed):
            buffer.put_nowait("too late")
        assert await lease_all(buffer) == "last"
        await wait_all_tasks_blocked()
        assert (closing.state, closing.result) == ("returned", [])
        with pytest.raises(BufferClosed):
            await lease_all(buffer)


async def test_closing_wakes_receivers_and_senders_and_stays() -> None:
    """anyio, test_close_send_while_receiving; trio, test_close_basics: woken with an error, which persists."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        receivers = [await start(tasks, wait) for wait in (partial(lease_all, buffer), _wait(buffer))]
        await buffer.aclose()
        await wait_all_tasks_blocked()
        assert [type(call.error) for call in receivers] == [BufferClosed] * 2
        for _ in range(2):
            with pytest.raises(BufferClosed):
                await buffer.put("a")
            with pytest.raises(BufferClosed):
                await buffer.wait_nonempty()
            assert await buffer.aclose() == []


def _wait(buffer: Buffer) -> Any:
    return buffer.wait_nonempty


async def test_forgotten_buffer_warns_only_if_something_is_lost_with_it() -> None:
    """anyio, test_not_closed_warning: warns of every stream that was not closed. An empty outbox loses nothing."""

    def forget(empty: bool) -> None:
        delivery = AsyncMessageBuffer[str]().put_nowait("a")
        if empty:
            delivery.cancel()
        del delivery
        gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forget(empty=True)
    with pytest.warns(ResourceWarning, match="1 of 100 messages> was forgotten"):
        forget(empty=False)


# ---------------------------------------------------------------- statistics


@both_kinds
async def test_statistics_follow_those_who_wait_one_by_one(kind: str) -> None:
    """anyio and trio, test_statistics: three senders wait, then two, one, none; cancelled ones do not count."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("x")
        calls = [await start(tasks, partial(buffer.put, message)) for message in "abc"]
        waiting = [buffer.statistics().waiting_to_put]
        calls[1].cancel(kind)
        await wait_all_tasks_blocked()
        waiting.append(buffer.statistics().waiting_to_put)
        for _ in "xa":
            await buffer.drain()
            await wait_all_tasks_blocked()
            waiting.append(buffer.statistics().waiting_to_put)
        assert waiting == [3, 2, 1, 0]
        assert (buffer.statistics().accepted, buffer.statistics().queued, await buffer.drain()) == (3, 1, ["c"])
