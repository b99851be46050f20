"""client.py: calls at once, typing, and what ends a pause before its time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, current_time, fail_after, wait_all_tasks_blocked

from ridethrough import Backoff, ConnectionState, Delivery, LinkLost, Undelivered
from ridethrough.jsonrpc import LocalProtocolError
from ridethrough.signal_cli import DaemonError, HoldReason, SignalClient, make_target
from ridethrough.testing import Failure, FakeSignalDaemon
from tests.unit.signal_cli.clients import ANNA, AWAY, BERT, GROUP, HOME, NOWHERE, QUICK, at_work, texts, until
from tests.unit.signal_cli.scripted import PATIENCE, Peer, scripted
from tests.unit.signal_cli.scripted_http import Heard, HttpPeer, scripted_http

pytestmark = pytest.mark.anyio

TO_ANNA, TO_BERT, TO_GROUP = make_target(to=ANNA), make_target(to=BERT), make_target(group=GROUP)
SAFETY_NUMBER = "12345" * 12
LONG: dict[str, Any] = {"backoff": Backoff(3600, 3600)}
"""So that nothing is tried again by itself while a test runs."""


# call


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "http://127.0.0.1:0"])
@pytest.mark.parametrize("account", [None, HOME])
async def test_call(endpoint: str, account: str | None) -> None:
    async with at_work(endpoint=endpoint, account=account) as (_, client):
        assert (await client.call("listDevices"))[0]["id"] == 1
        (status,) = await client.call("getUserStatus", recipient=[AWAY])
        assert status["isRegistered"] is True
        assert client.buffer.statistics().accepted == 0


async def test_call_names_the_account_unless_another_is_named() -> None:
    heard: list[Any] = []

    async def daemon(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            if request["method"] == "listAccounts":
                await peer.answer(request, [{"number": HOME}])
            else:
                heard.append(request["params"])
                await peer.answer(request, "done")

    async with scripted(daemon) as endpoint, SignalClient(str(endpoint), **QUICK) as client:
        await client.supervisor.wait_connected(PATIENCE)
        assert await client.call("listGroups", detailed=True) == "done"
        assert await client.call("listGroups", account=AWAY, method="any") == "done"
    assert heard == [{"account": HOME, "detailed": True}, {"account": AWAY, "method": "any"}]


async def test_call_over_each_new_link_and_never_over_an_old_one() -> None:
    async with at_work() as (daemon, client):
        for _ in range(3):
            assert await client.call("listDevices")
            await daemon.stop()
            await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
            with pytest.raises(LinkLost, match="no link to the daemon") as caught:
                await client.call("listDevices")
            assert caught.value.unsent
            await daemon.start()
            await client.supervisor.wait_connected()


async def test_call_without_a_link() -> None:
    client = SignalClient(NOWHERE)
    with pytest.raises(LinkLost, match="no link to the daemon"):
        await client.call("version")
    async with client:
        with pytest.raises(LinkLost, match="no link to the daemon"):
            await client.call("version")
    with pytest.raises(LinkLost, match="no link to the daemon"):
        await client.call("version")


async def test_call_that_is_answered_with_an_error() -> None:
    async with at_work() as (_, client):
        with pytest.raises(DaemonError) as caught:
            await client.call("sing")
        assert (caught.value.code, caught.value.message) == (-32601, "Method not implemented")
        assert await client.call("listDevices"), "the link is as good as before"


async def test_call_under_which_the_link_is_lost() -> None:
    async with at_work() as (daemon, client), create_task_group() as tasks:
        daemon.freeze()
        errors: list[LinkLost] = []

        async def call() -> None:
            with pytest.raises(LinkLost) as caught:
                await client.call("listDevices")
            errors.append(caught.value)

        tasks.start_soon(call)
        await wait_all_tasks_blocked()
        await daemon.stop()
        await until(lambda: errors)
        assert not errors[0].unsent


@pytest.mark.parametrize("params", [{"x": object()}, {"x": "\ud800"}, {"x": float("nan")}])
async def test_call_that_cannot_be_sent(params: dict[str, Any]) -> None:
    async with at_work() as (_, client):
        with pytest.raises(LocalProtocolError):
            await client.call("version", **params)
        assert await client.call("listDevices"), "the link is as good as before"


async def test_call_cancelled_while_it_waits_for_its_answer() -> None:
    async with at_work() as (daemon, client):
        daemon.freeze()
        async with create_task_group() as tasks:
            tasks.start_soon(client.call, "listDevices")
            await wait_all_tasks_blocked()  # the request has been written
            tasks.cancel_scope.cancel()
        daemon.thaw()
        assert await client.call("listDevices"), "the link is as good as before"


# typing


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ({"to": ANNA}, {"recipient": [ANNA]}),
        ({"group": GROUP}, {"groupId": [GROUP]}),
        ({"to": ANNA, "stop": True}, {"recipient": [ANNA], "stop": True}),
    ],
)
async def test_typing(arguments: dict[str, Any], params: dict[str, Any]) -> None:
    heard: list[Any] = []

    async def daemon(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            if request["method"] == "listAccounts":
                await peer.answer(request, [{"number": HOME}])
            else:
                heard.append((request["method"], request["params"]))
                await peer.answer(request, {"timestamp": 1, "results": []})

    async with scripted(daemon) as endpoint, SignalClient(str(endpoint), **QUICK) as client:
        await client.supervisor.wait_connected(PATIENCE)
        assert await client.typing(**arguments) is True
    assert heard == [("sendTyping", {"account": HOME, **params})]


async def test_typing_that_cannot_be_told_is_never_kept() -> None:
    async with at_work() as (daemon, client):
        assert await client.typing(to=ANNA) is True
        daemon.per_recipient[ANNA] = Failure("INVALID_PRE_KEY_FAILURE")
        assert await client.typing(to=ANNA) is False
        assert await client.typing(to=BERT) is True
        await daemon.stop()
        await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
        assert await client.typing(to=BERT) is False
        assert client.buffer.statistics().accepted == 0


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({}, ValueError, "exactly one of "),
        ({"to": "anna"}, ValueError, "to must "),
        ({"group": 5}, TypeError, "group must "),
    ],
)
async def test_bad_arguments_of_typing(arguments: dict[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=f"^{problem}"):
        await SignalClient(NOWHERE).typing(**arguments)


# holds


@asynccontextmanager
async def held_up(
    failure: Failure, **options: Any
) -> AsyncIterator[tuple[FakeSignalDaemon, SignalClient, Delivery[Any, Any]]]:
    """A client that cannot send to Anna, and has tried once."""
    async with at_work(close_timeout=0, **options) as (daemon, client):
        daemon.per_recipient[ANNA] = failure
        delivery = await client.send("hello", to=ANNA)
        await until(client.holds)
        yield daemon, client, delivery


@pytest.mark.parametrize(
    ("failure", "reason", "seconds"),
    [
        (Failure("RATE_LIMIT_FAILURE"), HoldReason.RATE_LIMITED, 5),
        (Failure("RATE_LIMIT_FAILURE", retry_after=77), HoldReason.RATE_LIMITED, 77),
        (Failure("RATE_LIMIT_FAILURE", token="t-1", retry_after=77), HoldReason.CAPTCHA, 77),
        (Failure("IDENTITY_FAILURE"), HoldReason.UNTRUSTED, 30),
    ],
    ids=["rate limit", "rate limit for a time", "captcha", "untrusted"],
)
async def test_holds_tell_who_is_held_up_and_why(failure: Failure, reason: HoldReason, seconds: float) -> None:
    async with held_up(failure) as (daemon, client, delivery):
        (hold,) = client.holds()
        assert (hold.target, hold.reason, hold.attempt, hold.token) == (TO_ANNA, reason, 1, failure.token)
        assert 0 < hold.until - current_time() <= seconds
        await (await client.send("hello", to=BERT))
        assert delivery.outcome is None and (delivery.attempts, delivery.maybe_sent) == (1, False)
        del daemon.per_recipient[ANNA]
        client.retry_now()
        await delivery
        assert client.holds() == ()


async def test_nobody_is_held_up_at_first() -> None:
    async with at_work() as (_, client):
        assert client.holds() == ()


async def test_captcha_that_is_solved_ends_its_pause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with held_up(Failure("RATE_LIMIT_FAILURE", token="t-1", retry_after=3600)) as (daemon, client, delivery):
        assert "client.submit_challenge with the token t-1" in caplog.text
        daemon.per_recipient[BERT] = Failure("RATE_LIMIT_FAILURE", retry_after=3600)
        limited = await client.send("hello", to=BERT)
        await until(lambda: len(client.holds()) == 2)
        token = next(hold.token for hold in client.holds() if hold.reason is HoldReason.CAPTCHA)
        await client.submit_challenge(str(token), "signalcaptcha://solved")
        await delivery
        assert [hold.target for hold in client.holds()] == [TO_BERT]
        assert (limited.outcome, limited.attempts) == (None, 1), "no captcha helps against this one"


@pytest.mark.parametrize("what", ["trust", "challenge"])
async def test_pause_that_it_has_nothing_to_do_with_goes_on(what: str) -> None:
    async with held_up(Failure("RATE_LIMIT_FAILURE", retry_after=3600)) as (_, client, delivery):
        await (await client.send("hello", to=BERT))
        if what == "trust":
            await client.trust(BERT)
        else:
            await client.submit_challenge("t-1", "signalcaptcha://solved")
        await (await client.send("again", to=BERT))
        assert (delivery.outcome, delivery.attempts) == (None, 1)
        assert [hold.attempt for hold in client.holds()] == [1]


@pytest.mark.parametrize("safety_number", [None, SAFETY_NUMBER])
async def test_trust_ends_the_pause(safety_number: str | None, caplog: pytest.LogCaptureFixture) -> None:
    async with held_up(Failure("IDENTITY_FAILURE")) as (daemon, client, delivery):
        assert "client.trust" in caplog.text
        daemon.safety_numbers[ANNA] = SAFETY_NUMBER
        await client.trust(ANNA, safety_number=safety_number)
        await delivery
        assert texts(daemon) == ["hello"] and client.holds() == ()


async def test_trust_ends_the_pause_of_a_group_that_they_are_in() -> None:
    async with at_work(close_timeout=0) as (daemon, client):
        daemon.groups[GROUP] = (ANNA,)
        daemon.per_recipient[ANNA] = Failure("IDENTITY_FAILURE")
        delivery = await client.send("hello", group=GROUP)
        await until(client.holds)
        assert [hold.target for hold in client.holds()] == [TO_GROUP]
        await client.trust(ANNA)
        await delivery


async def test_trust_that_the_daemon_refuses_ends_no_pause() -> None:
    async with held_up(Failure("IDENTITY_FAILURE")) as (_, client, delivery):
        with pytest.raises(DaemonError):
            await client.trust(ANNA, safety_number=SAFETY_NUMBER)
        await (await client.send("hello", to=BERT))
        assert delivery.attempts == 1
        with pytest.raises(ValueError, match=r"^person must "):
            await client.trust("anna")


async def test_untrusted_is_rejected_if_so_wished() -> None:
    async with at_work(Failure("IDENTITY_FAILURE"), on_untrusted="reject") as (_, client):
        with pytest.raises(Undelivered, match="rejected: IDENTITY_FAILURE"):
            await (await client.send("hello", to=ANNA))
        assert client.holds() == ()
    with pytest.raises(ValueError, match=r"^on_untrusted must be 'park' or 'reject'"):
        SignalClient(NOWHERE, on_untrusted="hope")


# retry_now


async def test_retry_now_tries_the_link_at_once() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon:
        await daemon.stop()
        async with SignalClient(daemon.endpoint, close_timeout=0, **LONG) as client:
            delivery = await client.send("hello", to=ANNA)
            await until(lambda: client.supervisor.state is ConnectionState.BACKING_OFF)
            await daemon.start()
            client.retry_now()
            with fail_after(PATIENCE):
                await delivery


async def test_retry_now_tries_signal_at_once() -> None:
    async with at_work(close_timeout=0, **LONG) as (daemon, client):
        daemon.service_reachable = False
        deliveries = [await client.send("hello", to=to) for to in (ANNA, BERT)]
        await until(lambda: client.service.attempt)
        client.retry_now()
        await until(lambda: client.service.attempt > 1)
        daemon.service_reachable = True
        client.retry_now()
        for delivery in deliveries:
            await delivery


# HTTP


async def test_headers_go_with_each_request() -> None:
    heard: list[Heard] = []
    header = ("authorization", "Bearer secret")

    async def proxy(peer: HttpPeer) -> None:
        while True:
            heard.append(await peer.hear_any())
            if heard[-1].line.startswith("POST "):
                await peer.answer(heard[-1], [{"number": HOME}])
            else:
                await peer.respond(200)

    async with scripted_http(proxy) as server:
        client = SignalClient(server.endpoint(), headers=dict([header]), **QUICK)
        async with client:
            await client.supervisor.wait_connected(PATIENCE)
            await client.call("listAccounts")
    assert len(heard) > 2 and all(header in each.headers.items() for each in heard)
    assert "secret" not in repr(client)


@pytest.mark.parametrize("endpoint", [NOWHERE, "tcp://127.0.0.1:7583"])
def test_headers_without_http(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^headers are for an http"):
        SignalClient(endpoint, headers={"Authorization": "Bearer secret"})
