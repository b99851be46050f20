"""supervisor.py: states(), wait_connected and the log."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    ConnectionState,
    LinkLost,
    RetryLater,
    Transition,
)
from ridethrough.state import TRANSITIONS
from tests.cancelling import both_kinds, cancellable
from tests.links import PATIENCE, Network, cut_in, put_all, raising, run_to_its_end, running, seen_by, supervise

pytestmark = pytest.mark.anyio

SECRET = "meet me at noon"


# states


async def test_every_observer_sees_every_transition_from_when_it_asked() -> None:
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        early = supervisor.states()
        async with running(supervisor):
            await supervisor.wait_connected()
            late = supervisor.states()
            network.link.cut()
            await sleep(5)
        assert [step.event for step in await seen_by(early)] == [
            "run",
            "link_ready",
            "link_lost",
            "retry",
            "link_ready",
            "close",
        ]
        assert [step.event for step in await seen_by(late)] == ["link_lost", "retry", "link_ready", "close"]


async def test_reason_and_next_try_can_be_asked_for() -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(20, reason="come back later")))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        assert (supervisor.reason, supervisor.next_try) == ("", None)
        async with running(supervisor):
            await sleep(5)
            assert (supervisor.reason, supervisor.next_try) == ("come back later", 15)
            await supervisor.wait_connected()
            assert (supervisor.reason, supervisor.next_try) == ("", None)


async def test_waiting_observer_sees_each_transition_when_it_happens() -> None:
    async def observe() -> None:
        seen.extend([(current_time() - began, str(step.state)) async for step in supervisor.states()])

    seen: list[tuple[float, str]] = []
    network = Network()
    network.on_connect.append(raising(RetryLater(20)))
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer)
            began = current_time()
            tasks.start_soon(observe)
            await sleep(5)
            async with running(supervisor):
                await sleep(30)
    assert seen == [(5, "connecting"), (5, "backing_off"), (25, "connecting"), (25, "connected"), (35, "closed")]


async def test_slow_observer_keeps_the_newest_hundred_and_holds_nothing_up() -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 200)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        async with running(supervisor):
            await supervisor.wait_connected()
        seen = await seen_by(observer)
    assert len(seen) == 100
    assert seen[-1].state is ConnectionState.CLOSED and seen[0].attempt > 100
    for before, after in pairwise(seen):
        assert after.previous is before.state
        assert TRANSITIONS[after.previous, after.event] is after.state


async def test_observer_who_comes_after_the_end_sees_nothing() -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        await supervisor.aclose()
        assert await seen_by(supervisor.states()) == []


async def test_observer_goes_on_through_another_run() -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, max_outage=100)
        observer = supervisor.states()
        await run_to_its_end(supervisor)
        async with running(supervisor):
            await supervisor.wait_connected()
        states = [str(step.state) for step in await seen_by(observer)]
    assert states == ["connecting", "backing_off", "suspended", "connecting", "connected", "closed"]


async def test_two_readers_of_one_iterator_share_it_and_both_end() -> None:
    async def observe() -> None:
        seen.extend([step async for step in observer])

    seen: list[Transition] = []
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(Network(), buffer)
            observer = supervisor.states()
            tasks.start_soon(observe)
            tasks.start_soon(observe)
            await sleep(1)
            async with running(supervisor):
                await sleep(1)
    assert sorted(step.event for step in seen) == ["close", "link_ready", "run"]


@both_kinds
async def test_cancelled_observer_has_taken_nothing(kind: str) -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        observer = supervisor.states()
        async with cancellable(observer.__anext__, kind) as cancel:
            await sleep(1)
            assert await cancel()
        await supervisor.aclose()
        assert [step.event for step in await seen_by(observer)] == ["close"]


# wait_connected


async def test_wait_connected_returns_at_once_with_a_link() -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        async with running(supervisor):
            await sleep(1)
            await supervisor.wait_connected(0)


async def test_wait_connected_waits_through_an_outage_and_for_the_run_to_begin() -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(20)))
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer)
        waiters = 3
        arrived: list[float] = []

        async def wait() -> None:
            await supervisor.wait_connected()
            arrived.append(current_time())

        for _ in range(waiters):
            tasks.start_soon(wait)
        await sleep(5)
        async with running(supervisor):
            began = current_time()
            await sleep(30)
        assert arrived == [began + 20] * waiters


@pytest.mark.parametrize("timeout", [0, 7])
async def test_wait_connected_times_out(timeout: float) -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(20)))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            began = current_time()
            with pytest.raises(TimeoutError):
                await supervisor.wait_connected(timeout)
            assert current_time() == began + timeout
            await supervisor.wait_connected(60)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (raising(RetryLater(500)), LinkLost, "there will be no link: the supervisor is suspended"),
        (raising(AuthenticationFailed("logged out")), AuthenticationFailed, "logged out"),
    ],
)
async def test_wait_connected_raises_when_there_will_be_no_link(fault: Any, error: type[Exception], text: str) -> None:
    async def wait() -> None:
        with pytest.raises(error, match=text):
            await supervisor.wait_connected()

    network = Network()
    network.on_connect.append(fault)
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
            supervisor = supervise(network, buffer, max_outage=100)
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            try:
                await supervisor.run()
            except AuthenticationFailed:
                assert error is AuthenticationFailed
            await wait()
            await sleep(1)
            await supervisor.aclose()
            with pytest.raises(LinkLost, match="there will be no link: the supervisor is closed"):
                await supervisor.wait_connected()


async def test_wait_connected_ends_when_it_is_closed_meanwhile() -> None:
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(Network(), buffer)
        tasks.start_soon(close_after, 5, supervisor)
        with pytest.raises(LinkLost, match="closed"):
            await supervisor.wait_connected(100)


async def close_after(seconds: float, supervisor: Any) -> None:
    await sleep(seconds)
    await supervisor.aclose()


@both_kinds
async def test_cancelled_wait_connected_changes_nothing(kind: str) -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        async with cancellable(supervisor.wait_connected, kind) as cancel:
            await sleep(1)
            assert await cancel()
        async with running(supervisor):
            await supervisor.wait_connected(1)


@pytest.mark.parametrize("timeout", [-1, float("inf"), "1"])
async def test_wait_connected_refuses_what_is_no_timeout(timeout: Any) -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        with pytest.raises((TypeError, ValueError), match="timeout must be"):
            await supervise(Network(), buffer).wait_connected(timeout)


# The log


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


async def test_log_level_goes_by_attempt_and_recovery_tells_downtime_and_depth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ridethrough")
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, stable_after=10)
        async with running(supervisor):
            await supervisor.wait_connected()
            await buffer.put("a")
            await sleep(20)
            network.on_connect.extend([raising(OSError(111, "refused")), raising(OSError())])
            network.link.cut()
            await sleep(0.1)
            await put_all(buffer, "bc")
            await buffer.flush()
            await sleep(20)
            network.link.cut()
            await sleep(0.1)
    assert logged(caplog) == [
        ("INFO", "the link is ready after 0.0 s; 0 messages are waiting"),
        ("WARNING", "no link: the link was closed; next try in 0.5 s; 0 messages are waiting"),
        ("DEBUG", "no link: refused; next try in 1.0 s; 2 messages are waiting"),
        ("DEBUG", "no link: OSError; next try in 2.0 s; 2 messages are waiting"),
        ("INFO", "the link is ready after 3.5 s; 2 messages are waiting"),
        ("WARNING", "no link: the link was closed; next try in 0.5 s; 0 messages are waiting"),
    ]
    assert {record.name for record in caplog.records} == {"ridethrough.supervisor"}


async def test_giving_up_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer, max_outage=100)
        tasks.start_soon(supervisor.run)
        await sleep(50)
        await put_all(buffer, "ab")
        await sleep(100)
    assert logged(caplog) == [
        ("WARNING", "no link: again in 500 s (key); giving up in 100.0 s; 0 messages are waiting"),
        ("ERROR", "no link for 100 s; giving up with 2 messages in the buffer"),
    ]


async def test_refusal_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    network = Network()
    network.on_connect.append(raising(AuthenticationFailed("logged out")))
    async with AsyncMessageBuffer[str]() as buffer:
        with pytest.raises(AuthenticationFailed):
            await supervise(network, buffer).run()
    assert logged(caplog) == [("ERROR", "the link refuses the credentials: logged out")]


async def test_closing_with_messages_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ridethrough")
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            await put_all(buffer, "ab")
            await supervisor.aclose(5)
    assert logged(caplog)[-1] == ("INFO", "closing with 2 messages left in the buffer")


async def test_no_message_is_in_the_log_nor_in_a_transition_or_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    network = Network()
    network.on_send.extend([cut_in, raising(OSError("reset")), raising(RetryLater(1)), cut_in])
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, poison_after=3)
        observer = supervisor.states()
        async with running(supervisor):
            await buffer.put(SECRET)
            with move_on_after(100):
                await buffer.flush()
        seen = [repr(step) for step in await seen_by(observer)]
    assert len(caplog.records) > 5
    assert not any(SECRET in text for text in [caplog.text, repr(supervisor), *seen])
