"""supervisor.py: connecting, backing off, giving up, and what ends it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, current_time, move_on_after, sleep

from ridethrough import (
    AsyncMessageBuffer,
    Backoff,
    ConnectionEvent,
    ConnectionState,
    Outcome,
    ReconnectSupervisor,
    RetryLater,
)
from ridethrough.state import TRANSITIONS
from tests.links import (
    Network,
    NoJitter,
    cut_after,
    cut_before,
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


# Order and transitions


async def test_order_through_outages_of_every_kind() -> None:
    faults = [cut_in, cut_after, cut_before, slow(3), raising(RetryLater(2)), raising(OSError("reset")), slow(40)]
    network, picked = Network(), random.Random(5)
    async with AsyncMessageBuffer[str](1000) as buffer:
        supervisor = supervise(network, buffer, poison_after=None, stable_after=0)
        async with running(supervisor):
            for number in range(200):
                network.on_send.append(picked.choice(faults))
                network.on_connect.append(picked.choice([raising(OSError("refused")), slow(5), hang]))
                await buffer.put(f"{number}")
                await sleep(picked.expovariate(1 / 20))
            await buffer.flush()
    first = list(dict.fromkeys(network.received))
    assert first == [f"{number}" for number in range(200)]
    assert all(int(a) <= int(b) for a, b in zip(network.received, network.received[1:], strict=False))
    assert buffer.statistics().sent == 200
    assert len(network.links) > 50


async def test_every_transition_is_from_the_table_and_begins_where_the_last_one_ended() -> None:
    network = Network()
    network.on_connect.extend([raising(OSError(111, "refused")), slow(1)])
    network.on_send.append(cut_in)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        async with running(supervisor):
            await (await buffer.put("a"))
        await supervisor.aclose()
        seen = await seen_by(observer)
    state = ConnectionState.IDLE
    for transition in seen:
        assert transition.previous is state
        assert TRANSITIONS[transition.previous, transition.event] is transition.state
        state = transition.state
    assert [(transition.event, transition.reason) for transition in seen] == [
        ("run", ""),
        ("link_lost", "refused"),
        ("retry", ""),
        ("link_ready", ""),
        ("link_lost", "the link was cut in the send"),
        ("retry", ""),
        ("link_ready", ""),
        ("close", ""),
    ]
    assert [transition.attempt for transition in seen] == [0, 1, 1, 1, 2, 2, 2, 2]
    assert [transition.delay for transition in seen] == [None, 0.5, None, None, 1.0, None, None, None]
    assert supervisor.state is ConnectionState.CLOSED


async def test_sending_starts_only_when_the_link_is_ready() -> None:
    network = Network()
    network.on_connect.append(slow(10))
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            await sleep(9)
            assert (supervisor.state, delivery.attempts) == (ConnectionState.CONNECTING, 0)
            await sleep(2)
            assert delivery.outcome is Outcome.SENT


async def test_runs_once_at_a_time() -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(Network(), buffer)
        async with running(supervisor):
            await supervisor.wait_connected()
            with pytest.raises(RuntimeError, match="run cannot happen to a supervisor that is connected"):
                await supervisor.run()
            assert supervisor.state is ConnectionState.CONNECTED
            assert await (await buffer.put("a")) == "took a"


async def test_ttl_is_enforced_at_its_time_without_a_link() -> None:
    ended: list[float] = []
    network = Network()
    network.on_connect.append(hang)
    async with AsyncMessageBuffer[str](on_undelivered=lambda _: ended.append(current_time())) as buffer:
        supervisor = supervise(network, buffer, connect_timeout=None)
        async with running(supervisor):
            put_at = current_time()
            await buffer.put("a", ttl=7)
            await sleep(100)
    assert ended == [put_at + 7]


async def test_repr_tells_state_and_attempt() -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        assert repr(supervise(Network(), buffer)) == "<ReconnectSupervisor idle, attempt 0>"


# Backing off


async def test_tries_grow_apart_and_the_longest_delay_is_never_exceeded() -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 6)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, backoff=NoJitter(1, 10))
        async with running(supervisor):
            await supervisor.wait_connected()
            assert supervisor.attempt == 6
    gaps = [round(b - a, 6) for a, b in zip(network.tries, network.tries[1:], strict=False)]
    assert gaps == [1, 2, 4, 8, 10, 10]


async def test_delay_is_a_random_part_of_the_longest_one() -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 5)
    async with AsyncMessageBuffer[str]() as buffer:
        random.seed(3)
        async with running(ReconnectSupervisor(network.connect, buffer, backoff=Backoff(1, 60))) as _:
            await sleep(200)
    random.seed(3)
    assert [b - a for a, b in zip(network.tries, network.tries[1:], strict=False)] == pytest.approx(
        [random.random() * 2**failures for failures in range(5)]
    )


@pytest.mark.parametrize(
    ("up", "carried", "attempt"), [(29, True, 4), (31, False, 4), (31, True, 1), (30, True, 1), (0, False, 4)]
)
async def test_backoff_starts_anew_only_after_a_link_that_was_stable_and_carried_a_send(
    up: float, carried: bool, attempt: int
) -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 3)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, stable_after=30)
        async with running(supervisor):
            await supervisor.wait_connected()
            if carried:
                buffer.put_nowait("a")
            await sleep(up)
            assert supervisor.attempt == 3
            network.link.cut()
            await sleep(0.1)
            assert (supervisor.state, supervisor.attempt) == (ConnectionState.BACKING_OFF, attempt)


async def test_link_that_comes_and_goes_makes_the_tries_grow_apart() -> None:
    network = Network()
    network.on_send.extend([cut_in] * 4)
    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        async with running(supervise(network, buffer)):
            await buffer.flush()
    gaps = [round(b - a, 6) for a, b in zip(network.tries, network.tries[1:], strict=False)]
    assert gaps == [0.5, 1, 2, 4]


async def test_retry_later_from_connect_is_waited_for() -> None:
    network = Network()
    network.on_connect.extend([raising(RetryLater(500)), raising(RetryLater(0.1))])
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        await sleep(1000)
    gaps = [round(b - a, 6) for a, b in zip(network.tries, network.tries[1:], strict=False)]
    assert gaps == [500, 1]


async def test_retry_now_cuts_the_wait_short() -> None:
    network = Network()
    network.on_connect.extend([raising(RetryLater(500))] * 2)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer)
        assert not supervisor.retry_now()
        async with running(supervisor):
            await sleep(20)
            assert supervisor.retry_now()
            await sleep(20)
            assert supervisor.retry_now()
            await supervisor.wait_connected()
            assert not supervisor.retry_now()
    assert [at - network.tries[0] for at in network.tries] == [0, 20, 40]


# Time limits


@pytest.mark.parametrize(("options", "limit"), [({}, 60), ({"connect_timeout": 7}, 7)])
async def test_connect_that_hangs_is_given_up(options: dict[str, float], limit: float) -> None:
    network = Network()
    network.on_connect.append(hang)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, **options)
        observer = supervisor.states()
        async with running(supervisor):
            await supervisor.wait_connected()
        assert network.tries[1] - network.tries[0] == limit + 0.5
        await supervisor.aclose()
        lost = (await seen_by(observer))[1]
        assert lost.reason == f"it was not made in {limit:.1f} s"


async def test_link_may_stay_for_longer_than_the_connect_timeout() -> None:
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer, connect_timeout=5)):
        await sleep(1000)
    assert len(network.tries) == 1


async def test_link_that_is_made_too_late_is_not_used() -> None:
    async def stubborn() -> None:
        with CancelScope(shield=True):
            await sleep(10)

    network = Network()
    network.on_connect.append(stubborn)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer, connect_timeout=5)
        observer = supervisor.states()
        async with running(supervisor):
            await buffer.flush()
        assert (delivery.attempts, delivery.maybe_sent) == (1, False)
        await supervisor.aclose()
        assert (await seen_by(observer))[1].event is ConnectionEvent.LINK_LOST


async def test_max_outage_suspends_it_with_the_buffer_kept_and_it_can_be_run_again() -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 8)
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "ab")
        supervisor = supervise(network, buffer, max_outage=100)
        observer = supervisor.states()
        started = current_time()
        await run_to_its_end(supervisor)
        assert (supervisor.state, current_time() - started) == (ConnectionState.SUSPENDED, 100)
        assert (len(network.tries), buffer.statistics().queued) == (8, 2)
        assert not supervisor.retry_now()
        async with running(supervisor):
            await buffer.flush()
        assert network.received == ["a", "b"]
        await supervisor.aclose()
        seen = await seen_by(observer)
        suspended = next(index for index, step in enumerate(seen) if step.state is ConnectionState.SUSPENDED)
        assert seen[suspended].reason == "no link for 100 s"
        assert (seen[suspended - 1].event, seen[suspended - 1].delay) == (ConnectionEvent.LINK_LOST, None)
        assert seen[suspended + 1].event is ConnectionEvent.RUN
        assert seen[suspended + 2].attempt == 0


async def test_run_after_it_was_suspended_may_end_in_another_way() -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer, max_outage=100)
        await run_to_its_end(supervisor)
        tasks.start_soon(supervisor.run)
        await sleep(1)
        await buffer.aclose()
        await sleep(1)
        assert supervisor.state is ConnectionState.IDLE


async def test_max_outage_counts_from_the_loss_of_the_link() -> None:
    network = Network()
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer, max_outage=100)
        tasks.start_soon(supervisor.run)
        await sleep(1000)
        network.on_connect.extend([raising(OSError("refused"))] * 50)
        network.link.cut()
        await sleep(99)
        assert supervisor.attempt > 1 and buffer.is_empty()
        await sleep(2)
        assert supervisor.state is ConnectionState.SUSPENDED


@pytest.mark.parametrize("connect_timeout", [None, 1000])
async def test_max_outage_ends_a_connect_that_hangs(connect_timeout: float | None) -> None:
    network = Network()
    network.on_connect.append(hang)
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, max_outage=100, connect_timeout=connect_timeout)
        started = current_time()
        await run_to_its_end(supervisor)
        assert (supervisor.state, current_time() - started) == (ConnectionState.SUSPENDED, 100)


async def test_retry_now_outdoes_a_delay_that_is_longer_than_the_outage_may_be() -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer:
        supervisor = supervise(network, buffer, max_outage=100)
        async with running(supervisor):
            await sleep(99)
            supervisor.retry_now()
            await sleep(99)
            assert supervisor.state is ConnectionState.CONNECTED


async def test_run_can_be_called_by_whoever_sees_that_it_is_suspended() -> None:
    async def run_again() -> None:
        async for transition in supervisor.states():
            if transition.state is ConnectionState.SUSPENDED:
                await run_to_its_end(supervisor)

    network = Network()
    network.on_connect.append(raising(RetryLater(500)))
    async with AsyncMessageBuffer[str]() as buffer, create_task_group() as tasks:
        supervisor = supervise(network, buffer, max_outage=100)
        tasks.start_soon(run_again)
        tasks.start_soon(supervisor.run)
        await sleep(150)
        assert supervisor.state is ConnectionState.CONNECTED
        assert await (await buffer.put("a")) == "took a"
        await supervisor.aclose()


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"connect": 3}, TypeError, "connect must be a function that returns an async context manager, not int"),
        ({"connect": hang}, TypeError, "connect must be .*, not a coroutine function"),
        ({"buffer": []}, TypeError, "buffer must be a MessageBuffer, not list"),
        ({"backoff": 3}, TypeError, "backoff must be a Backoff, not int"),
        ({"stable_after": -1}, ValueError, "stable_after must be a finite number of seconds, at least 0"),
        ({"stable_after": None}, TypeError, "stable_after must be"),
        ({"max_outage": 0}, ValueError, "max_outage must be .* more than 0, or None"),
        ({"max_outage": "1"}, TypeError, "max_outage must be"),
        ({"connect_timeout": float("inf")}, ValueError, "connect_timeout must be"),
        ({"on_doubt": "maybe"}, ValueError, "on_doubt must be 'retry' or 'report', not 'maybe'"),
        ({"on_doubt": None}, ValueError, "on_doubt must be"),
        ({"poison_after": 0}, ValueError, "poison_after must be an int of at least 1, or None, not 0"),
        ({"poison_after": True}, TypeError, "poison_after must be an int of at least 1, or None, not bool"),
        ({"poison_after": 2.0}, TypeError, "poison_after must be"),
    ],
)
async def test_bad_argument_is_refused_by_name(options: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments = {"connect": Network().connect, "buffer": AsyncMessageBuffer[str](), **options}
    with pytest.raises(error, match=text):
        ReconnectSupervisor(arguments.pop("connect"), arguments.pop("buffer"), **arguments)


@pytest.mark.parametrize("options", [{"on_doubt": "report"}, {"stable_after": 0}, {"poison_after": None}])
async def test_plain_strings_and_extremes_will_do(options: dict[str, Any]) -> None:
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(Network(), buffer, **options)):
        with move_on_after(1):
            assert await (await buffer.put("a")) == "took a"
