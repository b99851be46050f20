"""Flushes that lie, and waiting for what never comes.

Index: flush; the word drain; waiting for one message.

The peers: queue.Queue (join), nats.py and its siblings (flush, drain), asyncio.StreamWriter (drain) and
paho.mqtt.python (wait_for_publish).
"""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, move_on_after, sleep, wait_all_tasks_blocked

from ridethrough import (
    AsyncMessageBuffer,
    FlushTimeout,
    Outcome,
    Undelivered,
)
from tests.conformance.harness import ends, put_all, start
from tests.links import Network, cut_after, hang, running, slow, supervise

from .outbox import offline, open_buffer

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- flush


async def test_flush_does_not_take_written_for_confirmed() -> None:
    """nats.rs #182: after the reconnect flush said yes to a message that had been written to a dead connection."""
    network = Network()
    network.on_send.extend([cut_after, slow(5)])
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)), create_task_group() as tasks:
        delivery = await buffer.put("a")
        flush = await start(tasks, buffer.flush)
        await sleep(3)
        assert (flush.state, delivery.outcome, network.received) == ("running", None, ["a"])
        await sleep(10)
        assert (flush.state, network.received) == ("returned", ["a", "a"])


async def test_flush_that_timed_out_does_not_spoil_the_next() -> None:
    """nats.py2 #36, test_flush_timeout_lost_message: after one lost answer all later flushes timed out."""
    network = Network()
    network.on_send.extend([hang, slow(1)])
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        async with running(supervise(network, buffer)):
            with pytest.raises(FlushTimeout) as caught:
                await buffer.flush(5)
        assert caught.value.left == 1
        async with running(supervise(network, buffer)):
            await buffer.flush(5)
            await buffer.flush(0)
        assert buffer.is_empty()


async def test_flush_while_offline_tells_how_many_are_left_and_changes_nothing() -> None:
    """nats.py, FlushTimeoutError (#289): a flush in an outage neither hangs nor says that all is well."""
    network = Network()
    network.on_connect.extend(offline(5))
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        await put_all(buffer, "abc")
        began = current_time()
        with pytest.raises(FlushTimeout) as caught:
            await buffer.flush(10)
        assert caught.value.left == 3
        assert current_time() - began == pytest.approx(10)
        await buffer.flush(60)
    assert network.received == ["a", "b", "c"]


async def test_flush_comes_to_an_end_while_others_go_on_putting() -> None:
    """queue.Queue: join returns when nothing is unfinished, which never comes while a producer goes on."""

    async def produce() -> None:
        while True:
            await buffer.put("x")
            await sleep(0.3)

    network = Network()
    network.on_send.extend([slow(1)] * 1000)
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer(overflow="wait")
    async with buffer, running(supervise(network, buffer)), create_task_group() as tasks:
        tasks.start_soon(produce)
        await sleep(10)
        waiting = len(buffer)
        began = current_time()
        await buffer.flush()
        assert waiting - 1 <= current_time() - began <= waiting + 1  # a second for each, and not for those behind
        assert len(buffer) > waiting
        tasks.cancel_scope.cancel()


async def test_flush_is_no_receipt() -> None:
    """paho #210 and the rest: that nothing is pending does not mean that all was sent; each Delivery says which."""
    async with open_buffer(max_size=1) as buffer, create_task_group() as tasks:
        lost = await buffer.put("a")
        flush = await start(tasks, buffer.flush)
        await buffer.put("b")
        await wait_all_tasks_blocked()
        assert (flush.state, await ends(lost)) == ("returned", "dropped: the buffer was full")
        await buffer.drain()


# ---------------------------------------------------------------- the word drain, and waiting for one message


async def test_drain_takes_out_and_does_not_send() -> None:
    """nats.py and asyncio.StreamWriter mean by it "until it is sent", or nearly so. Here the caller has them then."""
    network = Network()
    network.on_send.append(slow(10))
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        first, second, third = [await buffer.put(message) for message in "abc"]
        await sleep(5)
        assert await buffer.drain() == ["b", "c"]
        assert await first == "took a"
        assert (await second, third.outcome) == (None, Outcome.DRAINED)
        await sleep(60)
    assert network.received == ["a"]


async def test_waiting_for_one_message_may_be_given_up_and_taken_up_again() -> None:
    """paho #439: wait_for_publish(timeout): the message goes on its way, and one may wait for it once more."""
    network = Network()
    network.on_send.append(slow(10))
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        delivery = await buffer.put("a")
        for _ in range(3):
            with move_on_after(3) as scope:
                await delivery
            assert scope.cancelled_caught
        assert (await delivery, await delivery) == ("took a", "took a")


@pytest.mark.parametrize("end", ["refused", "dropped", "closed", "stale"])
async def test_waiting_for_a_message_that_comes_to_nothing_ends_with_an_error(end: str) -> None:
    """paho #549, #796: wait_for_publish hung for a message that had been discarded meanwhile."""
    async with open_buffer(max_size=1, ttl=60) as buffer, create_task_group() as tasks:
        delivery = await buffer.put("a")

        async def wait() -> str:
            return await ends(delivery)

        call = await start(tasks, wait)
        if end == "refused":
            async with buffer.lease() as lease:
                next(iter(lease)).reject("not you")
        elif end == "dropped":
            await buffer.put("b")
        elif end == "closed":
            await buffer.aclose()
        else:
            await sleep(61)
        await wait_all_tasks_blocked()
        assert call.state == "returned"
        with pytest.raises(Undelivered):
            await delivery
