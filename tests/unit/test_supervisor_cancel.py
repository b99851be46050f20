"""supervisor.py: cancelled, natively and by scope, at every point."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyio import create_task_group, sleep
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, ConnectionState, Outcome, RetryLater
from ridethrough.state import TRANSITIONS
from tests.cancelling import ASYNCIO, both_kinds, cancellable
from tests.links import (
    Network,
    cut_after,
    cut_in,
    fate,
    hang,
    put_all,
    raising,
    run_to_its_end,
    running,
    seen_by,
    slow,
    supervise,
)

pytestmark = pytest.mark.anyio


async def stop_by_scope_or_natively(network: Network, moment: float, turns: int, kind: str) -> None:
    """Cancel a run with outages of many kinds at that moment and so many turns later, and run it again."""
    network.on_connect.extend([raising(OSError("refused")), slow(1)])
    network.on_send.extend([cut_after, slow(1), raising(RetryLater(1)), cut_in])
    async with AsyncMessageBuffer[str]() as buffer:
        deliveries = [await buffer.put(message) for message in "abcd"]
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        async with cancellable(supervisor.run, kind) as cancel:
            await sleep(moment)
            for _ in range(turns):
                await checkpoint()
            assert await cancel()
        assert supervisor.state is ConnectionState.IDLE
        books = buffer.statistics()
        assert (books.leased, books.queued + books.sent) == (0, 4)
        for delivery in deliveries:
            assert delivery.maybe_sent or delivery.message not in network.received or delivery.outcome is Outcome.SENT
        network.on_connect.clear()
        async with running(supervisor):
            await buffer.flush()
        assert list(dict.fromkeys(network.received)) == ["a", "b", "c", "d"]
        for delivery in deliveries:
            times = network.received.count(delivery.message)
            assert times == 1 or (times > 1 and delivery.maybe_sent)
            assert delivery.outcome is Outcome.SENT
        state = ConnectionState.IDLE
        await supervisor.aclose()
        for transition in await seen_by(observer):
            assert TRANSITIONS[state, transition.event] is transition.state
            state = transition.state


@both_kinds
@pytest.mark.parametrize("moment", [0, 0.5, 1.5, 2, 2.5, 3, 3.5, 4.5, 5.5])
async def test_run_cancelled_at_any_point_loses_nothing_and_can_be_run_again(moment: float, kind: str) -> None:
    for turns in range(12):
        await stop_by_scope_or_natively(Network(), moment, turns, kind)


@both_kinds
@pytest.mark.parametrize("error", [OSError("broken pipe"), None])
async def test_link_cannot_swallow_the_cancellation(error: Exception | None, kind: str) -> None:
    """Neither by raising an error of its own on being taken down, nor by keeping quiet."""
    network = Network()
    network.on_send.append(hang)
    if error is not None:
        network.on_leave.append(raising(error))

    class Swallowing:
        async def __aenter__(self) -> Any:
            self._link = network.connect()
            return await self._link.__aenter__()

        async def __aexit__(self, *exc_info: object) -> bool:
            await self._link.__aexit__(None, None, None)
            return True

    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer, connect=Swallowing)
        observer = supervisor.states()
        async with cancellable(supervisor.run, kind) as cancel:
            await sleep(1)
            assert await cancel()
        assert fate(delivery) == (None, 1, True)
        assert (supervisor.state, len(network.tries)) == (ConnectionState.IDLE, 1)
        await supervisor.aclose()
        seen = await seen_by(observer)
        assert [transition.event for transition in seen] == ["run", "link_ready", "stop", "close"]


@both_kinds
async def test_group_from_a_cancelled_link_is_a_cancellation(kind: str) -> None:
    """A reader that fails when it is cancelled: on trio its error comes in one group with the cancellation."""
    network = Network()

    async def read() -> None:
        try:
            await hang()
        finally:
            raise OSError("broken pipe")

    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, connect=lambda: network.connect_with_reader(read))
        async with cancellable(supervisor.run, kind) as cancel:
            await sleep(1)
            assert await cancel()
        assert (supervisor.state, len(network.tries)) == (ConnectionState.IDLE, 1)


@both_kinds
async def test_run_cancelled_while_backing_off(kind: str) -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        async with cancellable(supervisor.run, kind) as cancel:
            await sleep(1)
            assert await cancel()
        assert supervisor.state is ConnectionState.IDLE
        assert not supervisor.retry_now()


@both_kinds
async def test_run_cancelled_as_the_outage_ends_is_idle(kind: str) -> None:
    states = set()
    for turns in range(6):
        network = Network()
        network.on_connect.append(raising(RetryLater(500)))
        async with AsyncMessageBuffer[str]() as buffer:
            supervisor = supervise(network, buffer, max_outage=100)
            async with cancellable(supervisor.run, kind) as cancel:
                await sleep(100)
                for _ in range(turns):
                    await checkpoint()
                cancelled = await cancel()
            assert supervisor.state is (ConnectionState.IDLE if cancelled else ConnectionState.SUSPENDED)
            states.add(supervisor.state)
    assert states == {ConnectionState.IDLE, ConnectionState.SUSPENDED}


async def test_aclose_and_a_cancellation_at_the_same_time() -> None:
    network = Network()
    network.on_send.append(hang)
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "a")
        supervisor = supervise(network, buffer)
        async with create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            await sleep(1)
            tasks.start_soon(supervisor.aclose)
            await checkpoint()
            tasks.cancel_scope.cancel()
        assert supervisor.state is ConnectionState.CLOSED
        assert len(buffer) == 1


@pytest.mark.parametrize("anyio_backend", [ASYNCIO], ids=["asyncio"])
async def test_run_ends_when_asyncio_cancels_one_of_its_tasks() -> None:
    """As it does with every task when its loop is shut down."""

    async def cancel_the_task(*_: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await sleep(1)

    network = Network()
    network.on_send.append(cancel_the_task)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer)
        await run_to_its_end(supervisor)
        assert supervisor.state is ConnectionState.IDLE
        assert fate(delivery) == (None, 1, True)
