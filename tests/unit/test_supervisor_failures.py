"""supervisor.py: errors that end it, and links that fail in strange ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import EndOfStream, create_task_group, current_time, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    BufferClosed,
    ConnectionEvent,
    ConnectionState,
    LinkLost,
    Outcome,
    Rejected,
    Undelivered,
)
from tests.links import (
    FakeLink,
    Fault,
    Network,
    cut_in,
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


# Refusals and mistakes


async def refuse_in_connect(network: Network) -> None:
    network.on_connect.append(raising(AuthenticationFailed("logged out")))


async def refuse_in_send(network: Network) -> None:
    network.on_send.append(raising(AuthenticationFailed("logged out")))


async def refuse_on_leave(network: Network) -> None:
    network.on_send.append(cut_in)
    network.on_leave.append(raising(AuthenticationFailed("logged out")))


@pytest.mark.parametrize("refuse", [refuse_in_connect, refuse_in_send, refuse_on_leave])
async def test_refusal_of_the_credentials_is_final(refuse: Any) -> None:
    network = Network()
    await refuse(network)
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "ab")
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        with pytest.raises(AuthenticationFailed, match="logged out"):
            await run_to_its_end(supervisor)
        assert supervisor.state is ConnectionState.FAILED
        with pytest.raises(RuntimeError, match="failed"):
            await run_to_its_end(supervisor)
        assert (supervisor.state, len(network.tries), buffer.statistics().queued) == (ConnectionState.FAILED, 1, 2)
        await supervisor.aclose()
        seen = await seen_by(observer)
        assert (seen[-2].event, seen[-2].reason) == (ConnectionEvent.REFUSED, "logged out")


def mistake_in_connect(network: Network, mistake: Exception) -> None:
    network.on_connect.append(raising(mistake))


def mistake_in_send(network: Network, mistake: Exception) -> None:
    network.on_send.append(raising(mistake))


def mistake_on_leave(network: Network, mistake: Exception) -> None:
    network.on_send.append(cut_in)
    network.on_leave.append(raising(mistake))


def mistake_before_an_error_on_leave(network: Network, mistake: Exception) -> None:
    network.on_send.append(raising(mistake))
    network.on_leave.append(raising(OSError("broken pipe")))


def mistake_in_wait_closed(network: Network, mistake: Exception) -> None:
    async def stumble(link: FakeLink, _: str) -> None:
        link.cut(mistake)
        await sleep(1)
        raise LinkLost

    network.on_send.append(stumble)


@pytest.mark.parametrize("mistake", [ZeroDivisionError("oops"), Rejected("of nothing"), BufferClosed("another one")])
@pytest.mark.parametrize("make", [mistake_in_connect, mistake_on_leave, mistake_in_wait_closed])
async def test_mistake_is_raised_as_it_is_and_the_message_stays(make: Any, mistake: Exception) -> None:
    await check_mistake(make, mistake)


@pytest.mark.parametrize("mistake", [ZeroDivisionError("oops"), BufferClosed("another one")])
@pytest.mark.parametrize("make", [mistake_in_send, mistake_before_an_error_on_leave])
async def test_mistake_in_send_is_raised_as_it_is_and_the_message_stays(make: Any, mistake: Exception) -> None:
    await check_mistake(make, mistake)


async def check_mistake(make: Any, mistake: Exception) -> None:
    network = Network()
    make(network, mistake)
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "ab")
        supervisor = supervise(network, buffer)
        with pytest.raises(type(mistake)) as caught:
            await run_to_its_end(supervisor)
        assert caught.value is mistake
        assert (supervisor.state, buffer.statistics().queued) == (ConnectionState.IDLE, 2)
        async with running(supervisor):
            await buffer.flush()
        assert network.received == ["a", "b"]


async def test_mistake_of_the_buffer_is_raised_as_it_is() -> None:
    class Strange(AsyncMessageBuffer[str]):
        async def enforce_ttl(self) -> None:
            raise ZeroDivisionError

    async with Strange() as buffer:
        supervisor = supervise(Network(), buffer)
        with pytest.raises(ZeroDivisionError):
            await run_to_its_end(supervisor)
        assert supervisor.state is ConnectionState.IDLE


@pytest.mark.parametrize("leave", [[], [raising(OSError("broken pipe"))]])
async def test_error_on_taking_a_lost_link_down_is_no_obstacle(leave: list[Any]) -> None:
    network = Network()
    network.on_send.append(cut_in)
    network.on_leave.extend(leave)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        async with running(supervisor):
            assert await (await buffer.put("a")) == "took a"
        await supervisor.aclose()
        lost = (await seen_by(observer))[2]
        assert lost.reason == "the link was cut in the send"


@pytest.mark.parametrize("taken_down", [hang, slow(50)])
async def test_link_whose_taking_down_hangs_is_given_up_and_was_not_up_meanwhile(taken_down: Any) -> None:
    network = Network()
    network.on_connect.append(raising(OSError("refused")))
    network.on_leave.append(taken_down)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, stable_after=30)
        async with running(supervisor):
            await (await buffer.put("a"))
            network.link.cut()
            cut_at = current_time()
            await (await buffer.put("b"))
            assert supervisor.attempt == 2
            assert cut_at + 50 < current_time() < cut_at + 65


# Links with a task group of their own


def crashing(error: Exception) -> Fault:
    """The reader raises that while the send waits for its answer, which never comes: the task group cancels it."""

    async def fault(link: FakeLink, _: str) -> None:
        link.crash(error)
        await hang()

    return fault


async def test_link_whose_reader_crashes_is_made_anew() -> None:
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, connect=network.connect_with_reader)
        observer = supervisor.states()
        async with running(supervisor):
            assert await (await buffer.put("a")) == "took a"
            network.link.crash(ConnectionResetError(104, "reset"))
            await sleep(0.1)
            assert await (await buffer.put("b")) == "took b"
        await supervisor.aclose()
        lost = (await seen_by(observer))[2]
        assert (lost.event, lost.reason) == (ConnectionEvent.LINK_LOST, "reset")
    assert len(network.links) == 2


async def test_send_cancelled_by_the_link_counts_as_a_loss_under_the_message() -> None:
    network = Network()
    network.on_send.extend([crashing(EndOfStream())] * 3)
    async with (
        AsyncMessageBuffer[str]() as buffer,
        running(supervise(network, buffer, connect=network.connect_with_reader, poison_after=3)),
    ):
        poison, other = await buffer.put("a"), await buffer.put("b")
        with pytest.raises(Undelivered, match="poison"):
            await poison
        assert poison.attempts == 3 and poison.maybe_sent
        assert await other == "took b"


async def test_send_cancelled_by_the_link_ends_unknown_if_doubt_is_to_be_reported() -> None:
    network = Network()
    network.on_send.append(crashing(EndOfStream()))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, connect=network.connect_with_reader, on_doubt="report")
        async with running(supervisor):
            doubted, other = await buffer.put("a"), await buffer.put("b")
            with pytest.raises(Undelivered) as caught:
                await doubted
            assert caught.value.outcome is Outcome.UNKNOWN
            assert await other == "took b"
    assert network.received == ["b"]


async def test_reader_that_is_refused_is_final() -> None:
    network = Network()
    network.on_send.append(crashing(AuthenticationFailed("logged out")))
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        supervisor = supervise(network, buffer, connect=network.connect_with_reader)
        with pytest.raises(AuthenticationFailed, match="logged out"):
            await run_to_its_end(supervisor)
        assert supervisor.state is ConnectionState.FAILED


async def test_mistake_in_send_is_not_wrapped_by_the_task_group_of_the_link() -> None:
    network = Network()
    network.on_send.append(raising(ZeroDivisionError()))
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        with pytest.raises(ZeroDivisionError):
            await supervise(network, buffer, connect=network.connect_with_reader).run()


async def test_mistake_in_the_reader_is_raised_as_the_link_raises_it() -> None:
    network = Network()
    network.on_send.append(crashing(ZeroDivisionError()))
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        with pytest.raises(ExceptionGroup) as caught:
            await supervise(network, buffer, connect=network.connect_with_reader).run()
        assert caught.group_contains(ZeroDivisionError, depth=1)
        assert buffer.statistics().queued == 1


async def test_link_that_cancels_its_own_task_group_is_lost() -> None:
    network = Network()

    @asynccontextmanager
    async def connect() -> AsyncIterator[FakeLink]:
        async with network.connect() as link, create_task_group() as tasks:
            if len(network.links) == 1:
                tasks.cancel_scope.cancel()
            yield link

    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        async with running(supervise(network, buffer, connect=connect)):
            assert await delivery == "took a"
            assert delivery.attempts == 1
    assert len(network.links) == 2


async def test_interrupt_in_a_group_is_not_taken_for_an_error_of_the_link() -> None:
    network = Network()
    network.on_connect.append(raising(BaseExceptionGroup("both", [OSError("gone"), KeyboardInterrupt()])))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        with pytest.raises(BaseExceptionGroup) as caught:
            await run_to_its_end(supervisor)
        assert caught.group_contains(KeyboardInterrupt)
        assert supervisor.state is ConnectionState.IDLE
