"""Reconnecting: what is tried again, what may cut the wait short, and how it is stopped. (How often: test_backoff.py.)

Index: what is tried again; the wait cut short; a link that goes; stopping.

The peers: websockets (``async for`` over connect: tests/asyncio/test_client.py, and its issues), aioesphomeapi
(tests/test_reconnect_logic.py) and nats.py (nats/tests/test_client.py, and its issues).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from anyio import ClosedResourceError, EndOfStream, create_task_group, current_time, fail_after, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    ConnectionEvent,
    ConnectionState,
    LinkLost,
    RetryLater,
)
from tests.links import (
    FakeLink,
    Network,
    NoJitter,
    hang,
    raising,
    run_to_its_end,
    running,
    seen_by,
    slow,
    supervise,
)

from .outbox import answer, offline

pytestmark = pytest.mark.anyio

CONNECTING, CONNECTED, BACKING_OFF = (
    ConnectionState.CONNECTING,
    ConnectionState.CONNECTED,
    ConnectionState.BACKING_OFF,
)


# ---------------------------------------------------------------- what is tried again


async def test_errors_that_pass_are_tried_again_and_a_fatal_one_ends_it() -> None:
    """websockets, test_reconnect: a time-out, a reset, a 503, two that open, and the sixth is fatal."""
    network = Network()
    network.on_connect.extend([hang, raising(ConnectionResetError()), raising(LinkLost("HTTP 503")), slow(0), slow(0)])
    network.on_connect.append(raising(AuthenticationFailed("HTTP 402")))

    @asynccontextmanager
    async def open_and_drop() -> AsyncIterator[FakeLink]:
        async with network.connect() as link:
            link.cut()
            yield link

    async with AsyncMessageBuffer[str]() as buffer:
        with pytest.raises(AuthenticationFailed, match="HTTP 402"), fail_after(3600):
            await run_to_its_end(supervise(network, buffer, connect=open_and_drop, connect_timeout=3))
    assert (len(network.tries), len(network.links)) == (6, 2)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (OSError("Name or service not known"), True),
        (EOFError(), True),
        (EndOfStream(), True),
        (ClosedResourceError(), True),
        (LinkLost("HTTP 500"), True),
        (RetryLater(1, reason="HTTP 429"), True),
        (ExceptionGroup("happy eyeballs", [OSError("v6"), OSError("v4")]), True),
        (AuthenticationFailed("HTTP 401"), False),
        (ValueError("is not a valid URI"), False),
        (KeyError("token"), False),
    ],
)
async def test_which_errors_are_tried_again(error: Exception, again: bool) -> None:
    """websockets #1480, process_exception: with a failed authentication it retried for ever; so did uiprotect #1091."""
    network = Network()
    network.on_connect.append(raising(error))
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        if again:
            async with running(supervise(network, buffer)):
                await buffer.flush(60)
        else:
            with pytest.raises(type(error)):
                await run_to_its_end(supervise(network, buffer))
            assert await buffer.drain() == ["a"]
    assert (len(network.tries), network.received) == ((2, ["a"]) if again else (1, []))


async def test_time_limit_is_for_the_whole_of_the_connect() -> None:
    """nats.py #109, #189: connect_timeout held for one part of it, and the rest could take for ever."""
    network = Network()

    @asynccontextmanager
    async def connect_in_steps() -> AsyncIterator[FakeLink]:
        async with network.connect() as link:
            if len(network.tries) == 1:
                for _ in ("resolve", "open", "greet"):
                    await sleep(25)
            yield link

    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        async with running(supervise(network, buffer, connect=connect_in_steps, connect_timeout=60)):
            await buffer.flush(100)
    assert [at - network.tries[0] for at in network.tries] == pytest.approx([0, 60.5])


# ---------------------------------------------------------------- the wait cut short


async def test_impatience_makes_one_connection_and_not_five() -> None:
    """aioesphomeapi, test_reconnect_zeroconf_only_cancels_connecting_once: each further hint started it all anew."""
    network = Network()
    network.on_connect.extend([*offline(1), slow(30)])
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(60, 60))
        async with running(supervisor):
            await sleep(1)
            hints = [supervisor.retry_now() for _ in range(5)]
            await sleep(10)
            hints += [supervisor.retry_now() for _ in range(5)]
            assert (supervisor.state, hints[0], hints[5:]) == (CONNECTING, True, [False] * 5)
            await sleep(30)
            assert (supervisor.state, len(network.tries), len(network.links)) == (CONNECTED, 2, 1)
            assert not supervisor.retry_now()


async def test_connection_in_the_making_is_not_given_up_for_a_hint() -> None:
    """aioesphomeapi #726, test_reconnect_zeroconf_not_while_handshaking: it cancelled a handshake that went well."""
    network = Network()
    network.on_connect.append(slow(5))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            for _ in range(4):
                await sleep(1)
                assert not supervisor.retry_now()
            await supervisor.wait_connected(2)
    assert len(network.tries) == 1


async def test_wait_that_was_cut_short_does_not_go_off_later() -> None:
    """aioesphomeapi, test_reconnect_zeroconf_cancels_pending_timer: two timers, and a connect out of the blue."""
    network = Network()
    network.on_connect.extend(offline(1))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(60, 60))
        async with running(supervisor):
            await sleep(10)
            assert supervisor.retry_now()
            await sleep(1000)
            assert (len(network.tries), supervisor.state) == (2, CONNECTED)


async def test_wait_can_be_cut_short_in_the_second_run_as_well() -> None:
    """aioesphomeapi, test_start_clears_stale_zeroconf_gate: what a stopped run had left behind held in the next one."""
    network = Network()
    network.on_connect.extend(offline(4))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(60, 60))
        for tries in (2, 4):
            async with create_task_group() as tasks:
                tasks.start_soon(supervisor.run)
                await sleep(1)
                assert supervisor.retry_now()
                await sleep(1)
                tasks.cancel_scope.cancel()
            assert (supervisor.state, len(network.tries)) == (ConnectionState.IDLE, tries)
            assert not supervisor.retry_now()


# ---------------------------------------------------------------- a link that goes


async def test_link_that_goes_while_there_is_nothing_to_send_is_noticed() -> None:
    """websockets #899, aioesphomeapi, test_handling_unexpected_disconnect: who only sends never learnt of the end."""
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        transitions = supervisor.states()
        async with running(supervisor):
            await supervisor.wait_connected()
            network.link.cut(LinkLost("the device restarts"))
            await sleep(10)
            assert (supervisor.state, len(network.links)) == (CONNECTED, 2)
        seen = await seen_by(transitions)
    lost = next(step for step in seen if step.event is ConnectionEvent.LINK_LOST)
    assert (lost.state, lost.reason, lost.delay) == (BACKING_OFF, "the device restarts", 0.5)


async def test_link_that_was_closed_in_good_order_is_not_made_anew_that_very_moment() -> None:
    """aioesphomeapi #397, #540: a device that says goodbye to restart was called again before it had gone."""
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(5, 60))
        async with running(supervisor):
            await supervisor.wait_connected()
            network.link.cut()
            await sleep(4)
            assert (supervisor.state, len(network.tries)) == (BACKING_OFF, 1)
            await sleep(2)
            assert (supervisor.state, len(network.tries)) == (CONNECTED, 2)


async def test_link_that_cannot_be_taken_down_does_not_hold_up_the_next() -> None:
    """nats.py #671: the reconnect waited a quarter of an hour for the old transport to close."""
    network = Network()
    network.on_leave.append(hang)
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer, connect_timeout=10)):
        await sleep(1)
        network.link.cut()
        delivery = await buffer.put("a")
        began = current_time()
        assert await delivery == "took a"
        assert current_time() - began == pytest.approx(10.5)


async def test_each_change_is_told_once_and_in_order(caplog: pytest.LogCaptureFixture) -> None:
    """nats.py, its callbacks: disconnected, reconnected and closed, each once; aioesphomeapi, test_reconnect_retry."""
    caplog.set_level(logging.DEBUG, "ridethrough")
    network = Network()
    network.on_connect.extend([slow(0), *offline(2)])
    network.on_send.extend([answer])
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        transitions = supervisor.states()
        async with running(supervisor):
            await (await buffer.put("a"))
            network.link.cut()
            await (await buffer.put("b"))
        states = [step.state for step in await seen_by(transitions)]
    assert states == [CONNECTING, CONNECTED, *[BACKING_OFF, CONNECTING] * 3, CONNECTED, ConnectionState.CLOSED]
    levels = [record.levelname for record in caplog.records if record.message.startswith("no link")]
    assert levels == ["WARNING", "DEBUG", "DEBUG"]


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("state", [CONNECTING, CONNECTED, BACKING_OFF])
async def test_nothing_is_tried_once_it_has_been_stopped(state: ConnectionState) -> None:
    """aioesphomeapi, test_reconnect_logic_stop_callback; nats.go #531, Drain() while reconnecting: it came back."""
    network = Network()
    network.on_connect.append({CONNECTING: hang, CONNECTED: slow(0), BACKING_OFF: offline(1)[0]}[state])
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(60, 60))
        async with running(supervisor):
            await sleep(10)
            assert supervisor.state is state
            await supervisor.aclose()
            await sleep(3600)
        assert (len(network.tries), supervisor.state) == (1, ConnectionState.CLOSED)
        assert all(link.closed.is_set() for link in network.links)


async def test_giving_up_keeps_the_messages_and_can_be_taken_back() -> None:
    """nats.py, max_reconnect_attempts: pending goes with the connection; test_connect_after_close: it works anew."""
    network = Network()
    network.on_connect.extend(offline(6))
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer, max_outage=20)
        await run_to_its_end(supervisor)
        assert (supervisor.state, len(network.tries), delivery.outcome) == (ConnectionState.SUSPENDED, 6, None)
        async with running(supervisor):
            assert await delivery == "took a"
