"""client.py: messages ride through whatever the daemon and Signal do, in order."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import fail_after

from ridethrough import ConnectionEvent, ConnectionState, Delivery, Outcome, Undelivered
from ridethrough.signal_cli import ResultType, SendResult, SignalClient, TextMessage
from ridethrough.testing import (
    CutAfter,
    CutBefore,
    CutInAnswer,
    Failure,
    FakeSignalDaemon,
    Fault,
    Flood,
    Garbage,
    Refuse,
    Stall,
    WrongId,
)
from tests.unit.signal_cli.clients import ANNA, AWAY, BERT, GROUP, HOME, QUICK, at_work, texts, until
from tests.unit.signal_cli.scripted import PATIENCE, Peer, scripted

pytestmark = pytest.mark.anyio


def rate_limit(seconds: float) -> Fault:
    result = {"recipientAddress": {"uuid": ANNA}, "type": "RATE_LIMIT_FAILURE", "retryAfterSeconds": seconds}
    return Refuse(-5, data={"response": {"timestamp": 1, "results": [result]}})


# The link


@pytest.mark.parametrize(
    ("fault", "copies"),
    [
        (CutBefore(), 1),
        (CutAfter(), 2),
        (CutInAnswer(), 2),
        (Garbage(), 2),
        (Garbage(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"it"}}'), 2),
        (Flood(), 2),
        (WrongId(), 2),
        (Stall(), 2),
    ],
    ids=["cut before", "cut after", "cut in answer", "garbage", "id null", "flood", "wrong id", "stall"],
)
async def test_message_whose_answer_is_lost_is_sent_again_and_nothing_else_happens(fault: Fault, copies: int) -> None:
    async with at_work(fault, response_timeout=0.5 if isinstance(fault, Stall) else 60) as (daemon, client):
        transitions = client.supervisor.states()
        deliveries = [await client.send(text, to=ANNA) for text in ("one", "two", "three")]
        await client.buffer.flush()
        assert texts(daemon) == ["one"] * copies + ["two", "three"]
        assert [each.attempts for each in deliveries] == [2, 1, 1]
        assert [each.maybe_sent for each in deliveries] == [True, False, False]
        await client.aclose()
        events = [transition.event async for transition in transitions]
        assert events == [
            ConnectionEvent.LINK_LOST, ConnectionEvent.RETRY, ConnectionEvent.LINK_READY, ConnectionEvent.CLOSE,
        ]  # fmt: skip


async def test_doubt_is_reported_instead_if_so_wished() -> None:
    async with at_work(CutAfter(), on_doubt="report") as (daemon, client):
        first, second = await client.send("one", to=ANNA), await client.send("two", to=ANNA)
        with pytest.raises(Undelivered, match="unknown: the daemon has closed the connection"):
            await first
        await second
        assert texts(daemon) == ["one", "two"]


async def test_daemon_that_goes_and_comes_back() -> None:
    async with at_work() as (daemon, client):
        for number in range(3):
            await (await client.send(f"{number} before", to=ANNA))
            await daemon.stop()
            delivery = await client.send(f"{number} meanwhile", to=ANNA)
            await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
            assert delivery.outcome is None
            await daemon.start()
            await delivery
        assert texts(daemon) == [f"{number} {when}" for number in range(3) for when in ("before", "meanwhile")]


async def test_link_lost_with_nothing_to_send_costs_no_attempt() -> None:
    async with at_work() as (daemon, client):
        await daemon.stop()
        await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
        delivery = await client.send("hello", to=ANNA)
        await daemon.start()
        await delivery
        assert delivery.attempts == 1 and not delivery.maybe_sent


# The account


async def test_account_that_is_gone_is_waited_for_and_costs_no_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async with at_work(account=HOME) as (daemon, client):
        daemon.accounts[:] = [AWAY]
        deliveries = [await client.send(text, to=ANNA) for text in ("one", "two")]
        await until(lambda: client.supervisor.attempt > 3)
        assert [(each.attempts, each.maybe_sent) for each in deliveries] == [(0, False)] * 2
        assert "no link: the account is not there (the daemon has 1 accounts)" in caplog.text
        daemon.accounts.append(HOME)
        await client.buffer.flush()
        assert [(each.account, each.text) for each in daemon.sends] == [(HOME, "one"), (HOME, "two")]
        assert [each.attempts for each in deliveries] == [1, 1]


async def test_client_is_not_connected_before_its_account_is_there() -> None:
    async with (
        FakeSignalDaemon(accounts=[AWAY]) as daemon,
        SignalClient(daemon.endpoint, account=HOME, **QUICK) as client,
    ):
        await until(lambda: client.supervisor.attempt > 1)
        assert client.supervisor.state is not ConnectionState.CONNECTED
        daemon.accounts.append(HOME)
        await client.supervisor.wait_connected(PATIENCE)


async def test_daemon_started_for_one_account() -> None:
    params: list[Any] = []

    async def one_account(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            if request["method"] == "send":
                params.append(request["params"])
                await peer.answer(request, {"timestamp": len(params), "results": []})
            else:
                await peer.fail(request, -32601)

    async with scripted(one_account) as endpoint, SignalClient(str(endpoint), account=HOME, **QUICK) as client:
        assert await (await client.send("hello", to=ANNA)) == SendResult(1)
    assert params == [{"recipient": [ANNA], "message": "hello"}]


# Signal behind the daemon


async def test_messages_wait_while_the_daemon_cannot_reach_signal() -> None:
    async with at_work() as (daemon, client):
        daemon.service_reachable = False
        deliveries = [await client.send(f"{n}", to=(ANNA, BERT)[n % 2]) for n in range(10)]
        await until(lambda: client.service.attempt > 3)
        assert [each.attempts for each in deliveries] == [1] + [0] * 9, "it is looked whether Signal is there, first"
        daemon.service_reachable = True
        await client.buffer.flush()
        assert texts(daemon) == [f"{n}" for n in range(10)]
        assert client.supervisor.state is ConnectionState.CONNECTED


async def test_pauses_grow_until_a_send_has_worked_and_not_until_a_reconnect() -> None:
    async with at_work() as (daemon, client):
        daemon.service_reachable = False
        delivery = await client.send("hello", to=ANNA)
        await until(lambda: client.service.attempt > 2)
        await daemon.stop()
        await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
        before = client.service.attempt
        await daemon.start()
        await until(lambda: client.service.attempt > before)
        daemon.service_reachable = True
        await delivery
        assert client.service.attempt == 0


async def test_nothing_gets_into_doubt_while_signal_is_away() -> None:
    async with at_work(on_doubt="report") as (daemon, client):
        daemon.service_reachable = False
        first, second = await client.send("one", to=ANNA), await client.send("two", to=ANNA)
        with pytest.raises(Undelivered, match="unknown"):
            await first  # it had begun when Signal was found to be away, and Signal may have taken it
        await until(lambda: client.service.attempt > 5)
        assert (second.outcome, second.attempts, second.maybe_sent) == (None, 0, False)
        daemon.service_reachable = True
        await second
        assert texts(daemon) == ["two"]


async def test_rate_limit_holds_up_its_target_and_no_other() -> None:
    async with at_work(rate_limit(0.1)) as (daemon, client):
        sends = [("a1", ANNA), ("b1", BERT), ("a2", ANNA), ("b2", BERT)]
        deliveries = [await client.send(text, to=to) for text, to in sends]
        await client.buffer.flush()
        assert texts(daemon) == ["b1", "b2", "a1", "a2"]
        assert [each.attempts for each in deliveries] == [2, 1, 1, 1]
        assert not any(each.maybe_sent for each in deliveries)


@pytest.mark.parametrize("kind", ["IDENTITY_FAILURE", "UNREGISTERED_FAILURE", "INVALID_PRE_KEY_FAILURE"])
async def test_message_that_is_refused_holds_up_nothing(kind: str) -> None:
    async with at_work(Failure(kind), on_untrusted="reject") as (daemon, client):
        first, second = await client.send("one", to=ANNA), await client.send("two", to=ANNA)
        with pytest.raises(Undelivered) as caught:
            await first
        assert (caught.value.outcome, caught.value.reason) == (Outcome.REJECTED, kind)
        await second
        assert texts(daemon) == ["two"]


async def test_message_that_some_of_a_group_did_not_get_is_sent() -> None:
    async with at_work() as (daemon, client):
        daemon.groups[GROUP] = (ANNA, BERT)
        daemon.per_recipient[BERT] = Failure("IDENTITY_FAILURE")
        delivery: Delivery[TextMessage, SendResult] = await client.send("hello", group=GROUP)
        result = await delivery
        assert delivery.outcome is Outcome.SENT and texts(daemon) == ["hello"]
        assert [(each.uuid, each.type) for each in result.failures] == [(BERT, ResultType.IDENTITY_FAILURE)]
        assert len(result.results) == 2


async def test_somebody_who_cannot_be_looked_up_is_tried_again_and_holds_up_nobody() -> None:
    sent: list[Any] = []
    away = True

    async def daemon(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            to = request["params"].get("recipient")
            if request["method"] == "listAccounts":
                await peer.answer(request, [{"number": HOME}])
            elif request["method"] == "listDevices":
                await peer.answer(request, [])
            elif request["method"] == "getUserStatus":
                await peer.fail(request, -3)
            elif to == [AWAY] and away:
                result = {"recipientAddress": {"uuid": None, "number": AWAY}, "type": "UNREGISTERED_FAILURE"}
                await peer.fail(request, -1, {"response": {"timestamp": 1, "results": [result]}})
            else:
                sent.append(to)
                await peer.answer(request, {"timestamp": len(sent), "results": []})

    async with scripted(daemon) as endpoint, SignalClient(str(endpoint), **QUICK) as client:
        held_up = await client.send("hello", to=AWAY)
        with fail_after(PATIENCE):
            await (await client.send("hello", to=ANNA))
            await until(lambda: held_up.attempts > 2)
            away = False
            await held_up
    assert sent == [[ANNA], [AWAY]]
