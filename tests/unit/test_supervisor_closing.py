"""supervisor.py: aclose in every state, and a buffer that closes."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    ConnectionState,
    Outcome,
    ReconnectSupervisor,
    RetryLater,
)
from tests.cancelling import both_kinds, cancellable
from tests.links import PATIENCE, Network, fate, hang, put_all, raising, running, slow, supervise

pytestmark = pytest.mark.anyio

STATES = [state for state in ConnectionState if state is not ConnectionState.CLOSED]


async def bring_to(state: ConnectionState, network: Network, supervisor: ReconnectSupervisor[str], tasks: Any) -> None:
    """Let it run, unless it is to be IDLE, until it is in that state; only CONNECTED can then send."""

    async def run() -> None:
        try:
            await supervisor.run()
        except AuthenticationFailed:
            assert state is ConnectionState.FAILED

    steps: dict[ConnectionState, Any] = {
        ConnectionState.CONNECTING: hang,
        ConnectionState.BACKING_OFF: raising(RetryLater(50)),
        ConnectionState.SUSPENDED: raising(RetryLater(500)),
        ConnectionState.FAILED: raising(AuthenticationFailed("logged out")),
    }
    if state in steps:
        network.on_connect.append(steps[state])
    if state is not ConnectionState.IDLE:
        tasks.start_soon(run)
    await sleep(101 if state is ConnectionState.SUSPENDED else 1)
    assert supervisor.state is state


# aclose


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("timeout", [0, 5, None])
async def test_aclose_in_every_state(state: ConnectionState, timeout: float | None) -> None:
    network = Network()
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer, max_outage=100)
            await bring_to(state, network, supervisor, tasks)
            began = current_time()
            await supervisor.aclose(timeout)
            await supervisor.aclose(timeout)
            assert (str(supervisor.state), current_time()) == ("closed", began)
            with pytest.raises(RuntimeError, match="closed"):
                await supervisor.run()
            await buffer.put("a")
            assert len(buffer) == 1


@pytest.mark.parametrize("state", STATES)
async def test_aclose_waits_for_messages_only_while_it_runs_and_keeps_the_rest(state: ConnectionState) -> None:
    network = Network()
    network.on_send.append(hang)
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer, max_outage=100)
            await bring_to(state, network, supervisor, tasks)
            await put_all(buffer, "ab")
            began = current_time()
            await supervisor.aclose(5)
            runs = state in ("connecting", "connected", "backing_off")
            assert (str(supervisor.state), current_time()) == ("closed", began + (5 if runs else 0))
            assert await buffer.drain() == ["a", "b"]


@pytest.mark.parametrize("timeout", [60, None])
@pytest.mark.parametrize("state", ["connecting", "connected", "backing_off"])
async def test_aclose_sends_what_is_there_first(state: str, timeout: float | None) -> None:
    network = Network()
    network.on_send.append(slow(3))
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer, connect_timeout=20)
            await bring_to(ConnectionState(state), network, supervisor, tasks)
            await put_all(buffer, "ab")
            await supervisor.aclose(timeout)
            assert (network.received, buffer.is_empty()) == (["a", "b"], True)


async def test_aclose_in_the_middle_of_a_send_leaves_the_message_in_doubt_in_its_place() -> None:
    network = Network()
    network.on_send.append(hang)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        await put_all(buffer, "b")
        async with running(supervise(network, buffer)):
            await sleep(1)
        assert fate(delivery) == (None, 1, True)
        assert await buffer.drain() == ["a", "b"]


async def end_by_suspension(_: ReconnectSupervisor[str], __: AsyncMessageBuffer[str]) -> None:
    await sleep(200)


async def end_by_another_aclose(supervisor: ReconnectSupervisor[str], _: AsyncMessageBuffer[str]) -> None:
    await sleep(5)
    await supervisor.aclose()


async def end_by_closing_the_buffer(_: ReconnectSupervisor[str], buffer: AsyncMessageBuffer[str]) -> None:
    await sleep(5)
    await buffer.aclose()


@pytest.mark.parametrize("end", [end_by_suspension, end_by_another_aclose, end_by_closing_the_buffer])
async def test_aclose_without_a_timeout_ends_when_nothing_sends_any_more(end: Any) -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            await put_all(buffer, "a")
            supervisor = supervise(network, buffer, max_outage=100)
            tasks.start_soon(supervisor.run)
            await sleep(1)
            tasks.start_soon(end, supervisor, buffer)
            await supervisor.aclose(None)
            assert supervisor.state is ConnectionState.CLOSED


async def test_aclose_without_a_timeout_ends_when_the_credentials_are_refused() -> None:
    async def close() -> None:
        await sleep(1)
        await supervisor.aclose(None)

    network = Network()
    network.on_connect.extend([raising(RetryLater(50)), raising(AuthenticationFailed("logged out"))])
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer:
            await put_all(buffer, "a")
            supervisor = supervise(network, buffer)
            async with create_task_group() as tasks:
                tasks.start_soon(close)
                with pytest.raises(AuthenticationFailed):
                    await supervisor.run()
            assert supervisor.state is ConnectionState.CLOSED


@both_kinds
async def test_cancelled_aclose_that_waits_for_messages_has_not_happened(kind: str) -> None:
    network = Network()
    network.on_send.append(slow(50))
    async with AsyncMessageBuffer[str]() as buffer, running(supervisor := supervise(network, buffer)):
        delivery = await buffer.put("a")
        async with cancellable(lambda: supervisor.aclose(None), kind) as cancel:
            await sleep(5)
            assert await cancel()
        assert supervisor.state is ConnectionState.CONNECTED
        assert (await delivery, delivery.attempts) == ("took a", 1)


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), OSError("broken pipe")])
async def test_aclose_of_a_link_whose_taking_down_fails(error: Exception) -> None:
    """A mistake in the program is raised by run; that the link is gone is no news."""
    network = Network()
    network.on_leave.append(raising(error))
    raised: list[Exception] = []

    async def run() -> None:
        try:
            await supervisor.run()
        except ZeroDivisionError as mistake:
            raised.append(mistake)

    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer)
        tasks.start_soon(run)
        await supervisor.wait_connected()
        await supervisor.aclose()
        assert supervisor.state is ConnectionState.CLOSED
    assert raised == ([] if isinstance(error, OSError) else [error])
    assert len(network.tries) == 1


@both_kinds
async def test_aclose_cancelled_while_the_link_is_taken_down_closes_all_the_same(kind: str) -> None:
    network = Network()

    async def stubborn() -> None:
        with move_on_after(20, shield=True):
            await sleep(10)

    network.on_leave.append(stubborn)
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer)
        tasks.start_soon(supervisor.run)
        await supervisor.wait_connected()
        began = current_time()
        async with cancellable(supervisor.aclose, kind) as cancel:
            await sleep(1)
            assert await cancel()
        await supervisor.aclose()
        assert (str(supervisor.state), current_time()) == ("closed", began + 10)


@pytest.mark.parametrize("timeouts", [(0, 0), (None, 5), (5, None), (5, 5)])
async def test_two_closes_at_the_same_time(timeouts: tuple[float | None, float | None]) -> None:
    network = Network()
    network.on_send.append(hang)
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            await put_all(buffer, "a")
            supervisor = supervise(network, buffer)
            tasks.start_soon(supervisor.run)
            await sleep(1)
            async with create_task_group() as closing:
                for timeout in timeouts:
                    closing.start_soon(supervisor.aclose, timeout)
            assert supervisor.state is ConnectionState.CLOSED
            assert len(buffer) == 1


async def test_aclose_from_within_a_send_does_not_block() -> None:
    async def close(*_: object) -> None:
        await supervisor.aclose()

    network = Network()
    network.on_send.append(close)
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer:
            await put_all(buffer, "a")
            supervisor = supervise(network, buffer)
            await supervisor.run()
            assert supervisor.state is ConnectionState.CLOSED


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
async def test_aclose_refuses_what_is_no_timeout(timeout: Any) -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        with pytest.raises((TypeError, ValueError), match="timeout must be a finite number of seconds"):
            await supervisor.aclose(timeout)
        assert supervisor.state is ConnectionState.IDLE


# The buffer closes


@pytest.mark.parametrize("state", ["connecting", "connected", "backing_off"])
async def test_run_returns_when_the_buffer_closes(state: str) -> None:
    network = Network()
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer)
            await bring_to(ConnectionState(state), network, supervisor, tasks)
            began = current_time()
            await buffer.aclose()
            while supervisor.state is not ConnectionState.IDLE:
                await anyio.lowlevel.checkpoint()
            assert current_time() == began


async def test_run_returns_at_once_if_the_buffer_is_closed() -> None:
    buffer = AsyncMessageBuffer[str]()
    await buffer.aclose()
    supervisor = supervise(Network(), buffer)
    await supervisor.run()
    assert supervisor.state is ConnectionState.IDLE


async def test_run_does_not_wait_for_a_buffer_that_takes_long_to_close() -> None:
    class Slow(AsyncMessageBuffer[str]):
        async def enforce_ttl(self) -> None:
            await super().enforce_ttl()
            await sleep(50)

    async with Slow() as buffer, create_task_group() as tasks:
        supervisor = supervise(Network(), buffer)
        tasks.start_soon(supervisor.run)
        await supervisor.wait_connected()
        await buffer.aclose()
        await sleep(1)
        assert supervisor.state is ConnectionState.IDLE


async def test_buffer_that_closes_with_a_timeout_is_sent_first() -> None:
    network = Network()
    network.on_send.append(slow(3))
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        tasks.start_soon(supervise(network, buffer).run)
        assert await buffer.aclose(60) == []
        assert network.received == ["a", "b"]


@pytest.mark.parametrize("leave", [[], [raising(OSError("broken pipe"))]])
async def test_buffer_that_closes_in_the_middle_of_a_send_abandons_the_message_in_doubt(leave: list[Any]) -> None:
    network = Network()
    network.on_send.append(hang)
    network.on_leave.extend(leave)
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        delivery = await buffer.put("a")
        tasks.start_soon(supervise(network, buffer).run)
        await sleep(1)
        assert await buffer.aclose() == ["a"]
        assert fate(delivery) == (Outcome.ABANDONED, 1, True)
    assert len(network.links) == 1
