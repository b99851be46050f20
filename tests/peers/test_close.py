"""Closes that hang, and what becomes of what is left.

Index: shutdown of a queue; closing that ends; closing under a supervisor.

The peers: asyncio.Queue and queue.Queue (shutdown), janus (close, #294), nats.py (close, drain), paho.mqtt.python
(disconnect) and websockets (close, send).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, current_time, move_on_after, sleep, wait_all_tasks_blocked

from ridethrough import (
    AsyncMessageBuffer,
    BufferClosed,
    ConnectionState,
    Outcome,
)
from tests.conformance.harness import Buffer, Call, ends, lease_all, put_all, start
from tests.links import Network, cut_in, hang, run_to_its_end, running, seen_by, slow, supervise

from .outbox import offline, open_buffer, states, take_all

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- shutdown of a queue


async def test_shutdown_of_an_empty_queue() -> None:
    """asyncio.Queue, test_shutdown_empty: who waits to get raises, join is done, and put and get raise from now on."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        getter = await start(tasks, partial(lease_all, buffer))
        await buffer.aclose(60)
        await wait_all_tasks_blocked()
        assert isinstance(getter.error, BufferClosed)
        await buffer.flush()
        await _refuses(buffer)


async def test_shutdown_of_a_queue_with_something_in_it() -> None:
    """asyncio.Queue, test_shutdown_nonempty: putters are refused at once; what is in can be got, and then no more."""
    async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("data")
        join = await start(tasks, buffer.flush)
        putter = await start(tasks, partial(buffer.put, "data2"))
        closing = await start(tasks, partial(buffer.aclose, None))
        assert states(join, putter, closing) == ["running", "raised", "running"]
        async with buffer.lease() as lease:
            await wait_all_tasks_blocked()
            assert states(join, closing) == ["running", "running"]
            next(iter(lease)).ack()
        await wait_all_tasks_blocked()
        assert (states(join, closing), closing.result) == (["returned"] * 2, [])
        await _refuses(buffer)


@pytest.mark.parametrize("unfinished", [False, True])
async def test_immediate_shutdown_gives_back_what_is_in(unfinished: bool) -> None:
    """asyncio.Queue, test_shutdown_immediate, and _with_unfinished: the items vanished. Here they are returned."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        deliveries = await put_all(buffer, "ab")
        join = await start(tasks, buffer.flush)
        lease = buffer.lease()
        entries = iter((await lease.__aenter__()) if unfinished else ())
        first = next(entries, None)
        assert await buffer.aclose() == ["a", "b"]
        await wait_all_tasks_blocked()
        assert join.state == "returned"
        assert {delivery.outcome for delivery in deliveries} == {Outcome.ABANDONED}
        if first is not None:
            assert not first.ack()
            await lease.__aexit__(None, None, None)
        await _refuses(buffer)


async def test_patient_shutdown_may_become_an_immediate_one() -> None:
    """queue.Queue, test_shutdown_allowed_transitions: alive, shut down, at once; and back again there is no way."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        patient = await start(tasks, partial(buffer.aclose, None))
        assert await buffer.aclose() == ["a", "b"]
        await wait_all_tasks_blocked()
        assert (patient.state, patient.result) == ("returned", [])
        assert await buffer.aclose(60) == []
        await _refuses(buffer)


async def _refuses(buffer: Buffer) -> None:
    """janus, test_modifying_forbidden_after_closing: each call raises, or has nothing to say; none waits."""
    for put in (buffer.put_nowait, partial(buffer.put_from_thread, overflow="reject")):
        with pytest.raises(BufferClosed):
            put("x")
    for wait in (partial(buffer.put, "x"), buffer.wait_nonempty, partial(lease_all, buffer)):
        with pytest.raises(BufferClosed):
            await wait()
    await buffer.flush()
    await buffer.enforce_ttl()
    assert (await buffer.drain(), len(buffer), await buffer.aclose()) == ([], 0, [])


# ---------------------------------------------------------------- closing that ends


@pytest.mark.parametrize("join_first", [False, True])
async def test_join_does_not_outlast_the_queue(join_first: bool) -> None:
    """janus #294: join on a closed queue, or one that is closed meanwhile, blocked for ever."""
    async with open_buffer() as buffer, create_task_group() as tasks:
        await buffer.put("boo")
        join = Call(buffer.flush)
        if join_first:
            tasks.start_soon(join.run)
            await wait_all_tasks_blocked()
            assert join.state == "running"
        await buffer.aclose()
        if not join_first:
            tasks.start_soon(join.run)
        await wait_all_tasks_blocked()
        assert join.state == "returned"


async def test_full_buffer_and_crowded_line_do_not_hinder_closing() -> None:
    """websockets #1555: with a full queue that nobody reads, closing and cancelling got stuck."""
    async with open_buffer(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        calls: list[Call[Any]] = [await start(tasks, partial(buffer.put, str(number))) for number in range(20)]
        async with buffer.lease():
            calls.append(await start(tasks, partial(lease_all, buffer)))
            with move_on_after(0):
                assert await buffer.aclose() == ["a", "b"]
        await wait_all_tasks_blocked()
        assert set(states(*calls)) == {"raised"}


@pytest.mark.parametrize("timeout", [0, 5])
async def test_send_that_hangs_is_not_waited_for_for_ever(timeout: float) -> None:
    """websockets #112, #1563: with the network gone neither send() nor close() ever came back."""
    network = Network()
    network.on_send.append(hang)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            await sleep(60)
            began = current_time()
            await supervisor.aclose(timeout)
            assert current_time() - began == pytest.approx(timeout, abs=0.1)
        assert (delivery.outcome, delivery.maybe_sent, await buffer.aclose()) == (None, True, ["a"])
        assert await ends(delivery) == "abandoned: the buffer was closed"


# ---------------------------------------------------------------- closing under a supervisor


@pytest.mark.parametrize(
    ("case", "timeout", "sent"),
    [
        ("paho #210: disconnect() does not wait for what is queued, and says so nowhere", 0, ""),
        ("nats.py, test_pending_data_size_flush_on_close: close() sends what is pending", 60, "abc"),
        ("nats.py, DrainTimeoutError: what has not gone by then does not go any more", 2.5, "ab"),
    ],
)
async def test_what_closing_does_with_the_rest_is_asked_for_and_told(case: str, timeout: float, sent: str) -> None:
    """The rest is returned, in order, and each Delivery has ended."""
    network = Network()
    network.on_send.extend([slow(1)] * 3)
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer()
    deliveries = [await buffer.put(message) for message in "abc"]
    async with running(supervise(network, buffer)):
        assert await buffer.aclose(timeout) == [*"abc"[len(sent) :]], case
    assert network.received == [*sent]
    assert [delivery.outcome is Outcome.SENT for delivery in deliveries] == [letter in sent for letter in "abc"]


async def test_draining_takes_nothing_new_and_sends_the_old() -> None:
    """nats.py, test_drain_connection: publishing while it drains is an error, and then the connection is closed."""
    network = Network()
    network.on_send.extend([slow(5), cut_in, slow(5)])
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer()
    supervisor = supervise(network, buffer)
    async with create_task_group() as tasks:
        await buffer.put("a")
        await buffer.put("b")
        tasks.start_soon(run_to_its_end, supervisor)
        closing = await start(tasks, partial(buffer.aclose, 100))
        with pytest.raises(BufferClosed):
            await buffer.put("c")
        await sleep(20)
        assert (closing.state, closing.result, network.received) == ("returned", [], ["a", "b"])
        await wait_all_tasks_blocked()
        assert supervisor.state is ConnectionState.IDLE


async def test_closing_while_reconnecting_ends_everything_that_waits() -> None:
    """nats.go #531: Drain() while reconnecting left the closed callback, and whoever waited for it, hanging."""
    network = Network()
    network.on_connect.extend(offline(100))
    async with open_buffer() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer)
        transitions = supervisor.states()
        run = await start(tasks, supervisor.run)
        connected = await start(tasks, supervisor.wait_connected)
        await put_all(buffer, "a")
        flush = await start(tasks, buffer.flush)
        await sleep(30)
        await supervisor.aclose(10)
        assert await buffer.aclose() == ["a"]
        await wait_all_tasks_blocked()
        assert states(run, connected, flush) == ["returned", "raised", "returned"]
        assert (await seen_by(transitions))[-1].state is ConnectionState.CLOSED


@pytest.mark.parametrize("close", [AsyncMessageBuffer.aclose, lambda buffer: buffer.aclose(60)])
async def test_closing_twice_and_together_is_closing_once(close: Callable[[Buffer], Any]) -> None:
    """janus, test_double_closing, test_wait_without_closing: whichever comes first has the rest, and no other has."""
    seen: list[str] = []
    async with open_buffer() as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        calls = [Call(partial(close, buffer)) for _ in range(3)]
        for call in calls:
            tasks.start_soon(call.run)
        tasks.start_soon(take_all, buffer, seen)
        await wait_all_tasks_blocked()
        assert await close(buffer) == []
        given_back = [message for call in calls for message in call.result or ()]
        assert sorted([*seen, *given_back]) == ["a", "b"]
