"""The supervisor: whatever its run was at when it was cancelled, nothing is lost, and it can be run again."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from ridethrough import (
    AsyncMessageBuffer,
    ConnectionState,
    Delivery,
    Outcome,
    ReconnectSupervisor,
    Rejected,
    RetryLater,
    Transition,
)
from ridethrough.observing import Observer
from ridethrough.state import RUNNING
from tests.conformance.harness import check, put_all, start
from tests.links import (
    Network,
    cut_after,
    cut_and_answer,
    cut_before,
    cut_in,
    raising,
    running,
    seen_by,
    slow,
    supervise,
)
from tests.sweep.sweep import Call, every_kind, sweep

pytestmark = pytest.mark.anyio

Buffer = AsyncMessageBuffer[str]
Supervisor = ReconnectSupervisor[str]

LETTERS = "abcdefgh"


def rough_network() -> Network:
    """One where each letter meets something else."""
    network = Network()
    network.on_connect.extend([raising(OSError("refused")), slow(1)])
    network.on_send.extend([cut_before, cut_in, cut_after, slow(1), raising(RetryLater(1)), raising(Rejected("no"))])
    network.on_send.append(cut_and_answer)
    network.on_leave.append(slow(1))
    return network


def check_honest(network: Network, deliveries: list[Delivery[str]]) -> None:
    """What the other side has, and what it may have, is known of each; nothing has overtaken."""
    for delivery in deliveries:
        times = network.received.count(delivery.message)
        assert times == 0 or delivery.outcome is Outcome.SENT or delivery.maybe_sent
        assert times < 2 or delivery.maybe_sent
        assert times > 0 or delivery.outcome is not Outcome.SENT
    first = list(dict.fromkeys(network.received))
    assert first == sorted(first)


@every_kind()
@pytest.mark.parametrize(("on_doubt", "reader"), [("report", False), ("retry", True)], ids=["plain", "link with tasks"])
async def test_run(kind: str, on_doubt: str, reader: bool) -> None:
    async def play(network: Network, buffer: Buffer, supervisor: Supervisor) -> None:
        await buffer.flush()
        network.link.cut()  # while there is nothing to send
        await sleep(100)
        await buffer.put("x")
        await buffer.flush()
        await supervisor.aclose()

    async def story(call: Call[None]) -> None:
        network = rough_network()
        connect = network.connect_with_reader if reader else network.connect
        async with AsyncMessageBuffer[str]() as buffer:
            deliveries = await put_all(buffer, LETTERS)
            supervisor = supervise(network, buffer, connect=connect, on_doubt=on_doubt)
            async with create_task_group() as tasks:
                await call.start(tasks, supervisor.run)
                tasks.start_soon(play, network, buffer, supervisor)
                await call.end()
                tasks.cancel_scope.cancel()
            check(buffer)
            check_honest(network, deliveries)
            assert buffer.statistics().leased == 0
            assert all(link.closed.is_set() for link in network.links)
            if supervisor.state is not ConnectionState.CLOSED:
                assert call.cancelled and supervisor.state is ConnectionState.IDLE
                network.on_connect.clear()
                network.on_send.clear()
                async with running(supervisor):
                    await buffer.flush()
                check_honest(network, deliveries)
            ended = [delivery.outcome for delivery in deliveries]
            assert None not in ended and Outcome.ABANDONED not in ended
            assert on_doubt == "report" or ended.count(Outcome.SENT) >= len(LETTERS) - 1
            assert on_doubt == "retry" or len(set(network.received)) == len(network.received)

    assert await sweep(story, kind) >= 40


@every_kind()
async def test_wait_connected(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        network = Network()
        network.on_connect.extend([raising(OSError("refused")), slow(1)])
        async with Buffer() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer)
            await call.start(tasks, partial(supervisor.wait_connected, 60))
            other = await start(tasks, supervisor.wait_connected)
            async with running(supervisor):
                await call.end()
                await sleep(10)
                assert other.state == "returned", "the wake-up was not passed on"
                assert supervisor.state is ConnectionState.CONNECTED

    assert await sweep(story, kind) >= 3


@every_kind()
async def test_states(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        seen: list[Transition] = []

        async def watch(transitions: Observer[Transition]) -> None:
            nonlocal seen
            async for transition in transitions:
                seen += [transition]  # one by one: the next wait may be the cancelled one

        network = rough_network()
        async with Buffer() as buffer, create_task_group() as tasks:
            await put_all(buffer, LETTERS)
            supervisor = supervise(network, buffer)
            transitions, all_transitions = supervisor.states(), supervisor.states()
            await call.start(tasks, partial(watch, transitions))
            async with running(supervisor):
                await buffer.flush()
            await call.end()
            await watch(transitions)
            assert seen == await seen_by(all_transitions)

    assert await sweep(story, kind) >= 10


@every_kind()
async def test_aclose_that_goes_on_sending(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        network = rough_network()
        network.on_leave.extend([slow(1)] * 3)  # so that it takes time to close
        async with Buffer() as buffer, create_task_group() as tasks:
            await put_all(buffer, LETTERS)
            supervisor = supervise(network, buffer)
            run = await start(tasks, supervisor.run)
            await call.start(tasks, partial(supervisor.aclose, 1000))
            await call.end()
            if call.cancelled and supervisor.state in RUNNING:
                last = await buffer.put("z")
                await wait_all_tasks_blocked()
                await sleep(100)
                if supervisor.state in RUNNING:
                    await buffer.flush()
                    assert network.received[-1] == "z", "it goes on as before"
                    await supervisor.aclose()
                else:
                    assert last.outcome is None, "it closes all the same, and the buffer keeps what comes"
            await wait_all_tasks_blocked()
            assert (supervisor.state, run.state) == (ConnectionState.CLOSED, "returned")
            check(buffer)
            assert buffer.statistics().leased == 0

    assert await sweep(story, kind) >= 6


@every_kind()
async def test_aclose_with_nothing_to_wait_for_has_no_point(kind: str) -> None:
    async def story(call: Call[Any]) -> None:
        async with Buffer() as buffer, create_task_group() as tasks:
            supervisor = supervise(Network(), buffer)
            await call.start(tasks, partial(supervisor.aclose, 60))
            assert supervisor.state is ConnectionState.CLOSED

    assert await sweep(story, kind) == 0
