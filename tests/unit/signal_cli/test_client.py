"""client.py: SignalClient from start to end, and through everything that the daemon and Signal do to it."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio import CancelScope, create_task_group, fail_after, move_on_after, sleep_forever
from anyio.lowlevel import checkpoint

from ridethrough import (
    AsyncMessageBuffer,
    BufferClosed,
    BufferFull,
    ConnectionState,
    Delivery,
    LinkLost,
    MessageTooLarge,
    Outcome,
    Undelivered,
)
from ridethrough.signal_cli import SignalClient, TextMessage, make_target, target_of
from ridethrough.testing import FakeSignalDaemon, Stall
from tests.unit.signal_cli.clients import ANNA, BERT, GROUP, HOME, NOWHERE, QUICK, at_work, texts, until
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"endpoint": "localhost"}, ValueError, "endpoint must be "),
        ({"endpoint": None}, TypeError, "endpoint must be "),
        ({"account": "anna"}, ValueError, "account must be "),
        ({"account": True}, TypeError, "account must be "),
        ({"buffer": []}, TypeError, "buffer must be a MessageBuffer or None, not list"),
        ({"shares_files": 1}, TypeError, "shares_files must be a bool, not int"),
        ({"on_untrusted": "hope"}, ValueError, "on_untrusted must be "),
        ({"response_timeout": 0}, ValueError, "response_timeout must be "),
        ({"response_timeout": None}, TypeError, "response_timeout must be "),
        ({"close_timeout": -1}, ValueError, "close_timeout must be "),
        ({"close_timeout": True}, TypeError, "close_timeout must be "),
        ({"stable_after": -1}, ValueError, "stable_after must be "),
        ({"max_outage": 0}, ValueError, "max_outage must be "),
        ({"on_doubt": "hope"}, ValueError, "on_doubt must be "),
        ({"poison_after": True}, TypeError, "poison_after must be "),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=f"^{problem}"):
        SignalClient(**{"endpoint": NOWHERE, **options})


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"text": "", "to": ANNA}, ValueError, "text must "),
        ({"text": None, "to": ANNA}, TypeError, "text must "),
        ({"text": "hello"}, ValueError, "exactly one of "),
        ({"text": "hello", "to": "anna"}, ValueError, "to must "),
        ({"text": "hello", "to": ANNA, "ttl": 0}, ValueError, "ttl must "),
        ({"text": "hello", "to": ANNA, "overflow": "spill"}, ValueError, "overflow must "),
    ],
)
async def test_bad_message_is_not_put(arguments: dict[str, Any], error: type[Exception], problem: str) -> None:
    async with at_work() as (_, client):
        with pytest.raises(error, match=f"^{problem}"):
            await client.send(**arguments)
        assert client.buffer.statistics().accepted == 0


async def test_client_shows_where_it_stands_and_nothing_else() -> None:
    client = SignalClient(NOWHERE, account=HOME)
    await client.send("hello", to=HOME)
    assert repr(client) == f"<SignalClient {NOWHERE}, idle, 1 messages>"
    await client.aclose()


# Sending


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("account", [None, HOME])
async def test_messages_arrive_in_order(kind: str, account: str | None) -> None:
    with TemporaryDirectory() as folder, fail_after(PATIENCE):
        endpoint = f"unix:{folder}/socket" if kind == "unix" else "tcp://127.0.0.1:0"
        async with FakeSignalDaemon(endpoint, accounts=[HOME]) as daemon:
            async with SignalClient(daemon.endpoint, account=account, **QUICK) as client:
                deliveries = [await client.send(f"{n}", to=(ANNA, BERT)[n % 2]) for n in range(20)]
                results = [await delivery for delivery in deliveries]
            assert texts(daemon) == [f"{n}" for n in range(20)]
            assert [each.timestamp for each in daemon.sends] == [result.timestamp for result in results]
            assert {each.account for each in daemon.sends} == {HOME}


async def test_message_of_each_kind_of_target() -> None:
    async with at_work() as (daemon, client):
        daemon.groups[GROUP] = (ANNA, BERT)
        await client.send("hello", to=HOME[:-1] + "8")
        await client.send("hello", to=ANNA)
        await client.send("hello", username="anna.42")
        await client.send("hello", group=GROUP)
        await client.send("hello", note_to_self=True)
        await client.buffer.flush()
        assert [each.target for each in daemon.sends] == [HOME[:-1] + "8", ANNA, "anna.42", GROUP, "note to self"]


async def test_options_of_a_message_reach_the_buffer() -> None:
    client = SignalClient(NOWHERE, buffer=AsyncMessageBuffer(1))
    first = await client.send("first", to=ANNA, ttl=0.001)
    with pytest.raises(Undelivered, match="expired"):
        await first
    await client.send("second", to=ANNA)
    with pytest.raises(BufferFull):
        await client.send("third", to=ANNA, overflow="reject")
    assert await client.aclose() == [TextMessage(make_target(to=ANNA), "second")]


# The client's life


async def test_put_before_there_is_a_daemon() -> None:
    with TemporaryDirectory() as folder, fail_after(PATIENCE):
        endpoint = f"unix:{folder}/socket"
        client = SignalClient(endpoint, **QUICK)
        early = await client.send("before it was entered", to=ANNA)
        async with client:
            late = await client.send("before it was connected", to=ANNA)
            await until(lambda: client.supervisor.attempt > 1)
            async with FakeSignalDaemon(endpoint) as daemon:
                await early
                await late
                assert texts(daemon) == ["before it was entered", "before it was connected"]


async def test_leaving_at_once_still_sends() -> None:
    async with FakeSignalDaemon() as daemon:
        with fail_after(PATIENCE):
            async with SignalClient(daemon.endpoint, close_timeout=None, **QUICK) as client:
                delivery = await client.send("hello", to=ANNA)  # nobody else has had a turn so far
        assert (await delivery).timestamp == daemon.sends[0].timestamp
        assert client.supervisor.state is ConnectionState.CLOSED


async def test_leaving_with_nothing_put() -> None:
    async with SignalClient(NOWHERE):
        pass
    async with at_work():
        pass


async def test_leaving_goes_on_sending_for_close_timeout(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[Delivery[TextMessage]] = []
    buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer(key=target_of, on_undelivered=ended.append)
    async with at_work(buffer=buffer, close_timeout=0.05) as (daemon, client):
        daemon.fail_next(Stall())
        deliveries = [await client.send(text, to=ANNA) for text in ("one", "two")]
    assert ended == deliveries
    assert [each.outcome for each in ended] == [Outcome.ABANDONED] * 2
    assert [each.maybe_sent for each in ended] == [True, False]
    assert "closed with 2 messages that were not sent" in caplog.messages


async def test_leaving_by_an_exception_closes_at_once() -> None:
    async with FakeSignalDaemon() as daemon:
        daemon.fail_next(Stall())
        with fail_after(PATIENCE), pytest.raises(KeyError):
            async with SignalClient(daemon.endpoint, close_timeout=None, **QUICK) as client:
                delivery = await client.send("hello", to=ANNA)
                raise KeyError("of the body")
        assert delivery.outcome is Outcome.ABANDONED
        assert client.supervisor.state is ConnectionState.CLOSED


@pytest.mark.parametrize("when", ["in the body", "while leaving"])
async def test_cancellation_closes_at_once(when: str, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeSignalDaemon() as daemon:
        daemon.fail_next(Stall())
        client = SignalClient(daemon.endpoint, close_timeout=None, **QUICK)
        with CancelScope() as scope:
            async with create_task_group() as tasks, client:
                delivery = await client.send("hello", to=ANNA)

                async def cancel() -> None:
                    await until(lambda: delivery.maybe_sent)
                    scope.cancel()

                tasks.start_soon(cancel)
                if when == "in the body":
                    await sleep_forever()
        assert scope.cancelled_caught
        assert (delivery.outcome, delivery.maybe_sent) == (Outcome.ABANDONED, True)
        assert client.supervisor.state is ConnectionState.CLOSED
        assert "closed with 1 messages that were not sent" in caplog.messages
        with pytest.raises(BufferClosed):
            await client.send("hello", to=ANNA)


async def test_aclose_returns_what_was_not_sent_and_closing_twice_is_closing_once() -> None:
    client = SignalClient(NOWHERE, **QUICK)
    async with client:
        first = await client.send("first", to=ANNA)
        second = await client.send("second", to=BERT)
        await until(lambda: client.supervisor.attempt > 1)
        assert await client.aclose(0.01) == [first.message, second.message]
        assert await client.aclose() == []
        with pytest.raises(Undelivered, match="abandoned"):
            await first
        with pytest.raises(BufferClosed):
            await client.send("third", to=ANNA)
    assert await client.aclose(None) == []


async def test_aclose_without_ever_having_been_entered() -> None:
    client = SignalClient(NOWHERE)
    await client.send("hello", to=ANNA)
    assert len(await client.aclose(None)) == 1
    assert client.supervisor.state is ConnectionState.CLOSED


@pytest.mark.parametrize("timeout", [-1, True, "1"])
async def test_aclose_with_what_is_no_timeout_closes_nothing(timeout: Any) -> None:
    async with at_work() as (_, client):
        with pytest.raises((TypeError, ValueError), match=r"^timeout must be "):
            await client.aclose(timeout)
        await (await client.send("hello", to=ANNA))


async def test_aclose_cancelled_while_it_goes_on_sending_leaves_the_client_open() -> None:
    async with at_work(response_timeout=0.1) as (daemon, client):
        daemon.fail_next(Stall())
        first = await client.send("first", to=ANNA)
        with move_on_after(0.01) as scope:
            await client.aclose(None)
        assert scope.cancelled_caught
        second = await client.send("second", to=ANNA)
        await first
        await second
        assert first.maybe_sent and not second.maybe_sent


@pytest.mark.parametrize("closed", [False, True])
async def test_client_is_entered_once(closed: bool) -> None:
    async with at_work() as (_, client):
        if closed:
            await client.aclose()
        with pytest.raises(RuntimeError, match="entered once"):
            await client.__aenter__()
    new = SignalClient(NOWHERE)
    async with new:
        with pytest.raises(RuntimeError, match="entered once"):
            await new.__aenter__()


async def test_supervisor_that_gives_up_keeps_the_buffer_and_holds_up_no_closing() -> None:
    with fail_after(PATIENCE):
        async with SignalClient(NOWHERE, max_outage=0.02, close_timeout=None, **QUICK) as client:
            delivery = await client.send("hello", to=ANNA)
            await until(lambda: client.supervisor.state is ConnectionState.SUSPENDED)
            assert delivery.outcome is None
            with pytest.raises(LinkLost):
                await client.supervisor.wait_connected()
    assert delivery.outcome is Outcome.ABANDONED


async def test_supervisor_that_gives_up_while_leaving_ends_it() -> None:
    with fail_after(PATIENCE):
        async with SignalClient(NOWHERE, max_outage=0.02, close_timeout=None, **QUICK) as client:
            delivery = await client.send("hello", to=ANNA)
    assert delivery.outcome is Outcome.ABANDONED


# Mistakes


@pytest.mark.parametrize("when", ["in the body", "while leaving"])
async def test_several_accounts_and_none_named(when: str) -> None:
    async with FakeSignalDaemon(accounts=[HOME, HOME[:-1] + "8"]) as daemon:
        with fail_after(PATIENCE), pytest.raises(ValueError, match=r"^the daemon has 2 accounts: ") as caught:
            async with SignalClient(daemon.endpoint, close_timeout=None, **QUICK) as client:
                delivery = await client.send("hello", to=ANNA)
                if when == "in the body":
                    await sleep_forever()
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
        assert delivery.outcome is Outcome.ABANDONED
        await checkpoint()  # nothing of the cancellation is left


async def test_mistake_in_an_own_buffer_is_raised_as_it_is() -> None:
    buffer: AsyncMessageBuffer[Any] = AsyncMessageBuffer()
    await buffer.put("no TextMessage")
    with pytest.raises(AttributeError, match="target"):
        async with at_work(buffer=buffer):
            await sleep_forever()


# An own buffer


async def test_own_buffer() -> None:
    buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer(
        2, max_bytes=10, size_of=lambda message: len(message.text), key=target_of
    )
    async with at_work(buffer=buffer) as (daemon, client):
        assert client.buffer is buffer
        await client.send("one", to=ANNA)
        await buffer.put(TextMessage(make_target(to=BERT), "two"))
        await buffer.flush()
        assert texts(daemon) == ["one", "two"]
        with pytest.raises(MessageTooLarge):
            await client.send("x" * 11, to=ANNA)
    with pytest.raises(BufferClosed):
        await buffer.put(TextMessage(make_target(to=BERT), "three"))


async def test_own_buffer_that_is_closed_stops_the_client() -> None:
    buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer()
    async with at_work(buffer=buffer, close_timeout=None) as (_, client):
        await buffer.aclose()
        await until(lambda: client.supervisor.state is ConnectionState.IDLE)
        with pytest.raises(BufferClosed):
            await client.send("hello", to=ANNA)
