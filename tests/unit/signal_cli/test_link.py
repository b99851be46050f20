"""link.py: ready once the account is there, and what an answer means for the link and the message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import Event, create_task_group, fail_after

from ridethrough import Backoff, LinkLost, Rejected, RetryLater
from ridethrough.signal_cli import SendResult, Target, TargetKind, TextMessage, make_target
from ridethrough.signal_cli.endpoints import TcpEndpoint, parse_endpoint
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.signal_cli.judge import Judge
from ridethrough.signal_cli.link import SignalLink
from ridethrough.signal_cli.service import ServiceStatus
from ridethrough.testing import FakeSignalDaemon, Refuse
from tests.unit.signal_cli.scripted import PATIENCE, Peer, Script, scripted

pytestmark = pytest.mark.anyio

HOME, AWAY = "+491701234567", "+491707654321"
ANNA, ACI = "+493012345678", "11111111-1111-4111-8111-000000000001"
HELLO = TextMessage(make_target(to=ACI), "hello")
SENT = {"timestamp": 1795501188360, "results": []}


def link_to(endpoint: str | TcpEndpoint, account: str | None = None, timeout: float = PATIENCE) -> SignalLink:
    judge = Judge(ServiceStatus(), Backoff(0.001, 0.01))
    return SignalLink(parse_endpoint(str(endpoint)), account, judge, Mailbox(account), timeout)


def unregistered(uuid: str | None = None) -> dict[str, Any]:
    result = {"recipientAddress": {"uuid": uuid, "number": ANNA}, "type": "UNREGISTERED_FAILURE"}
    return {"response": {"timestamp": 1, "results": [result]}}


async def give_account(peer: Peer, *numbers: str) -> None:
    request = await peer.hear()
    assert request["method"] == "listAccounts"
    await peer.answer(request, [{"number": number} for number in numbers or (HOME,)])


@asynccontextmanager
async def ready(script: Script, account: str | None = None, timeout: float = PATIENCE) -> AsyncIterator[SignalLink]:
    """A link whose daemon has given its account and does as the script says from then on."""

    async def whole(peer: Peer) -> None:
        await give_account(peer)
        await script(peer)

    with fail_after(PATIENCE):
        async with scripted(whole) as endpoint, link_to(endpoint, account, timeout) as link:
            yield link


# Being ready


@pytest.mark.parametrize(
    ("accounts", "wanted", "sender"),
    [([HOME], None, HOME), ([HOME], HOME, HOME), ([HOME, AWAY], AWAY, AWAY)],
)
async def test_account_is_there(accounts: list[str], wanted: str | None, sender: str) -> None:
    async with FakeSignalDaemon(accounts=accounts) as daemon, link_to(daemon.endpoint, wanted) as link:
        result = await link.send(HELLO)
        assert isinstance(result, SendResult)
        (arrival,) = daemon.sends
        assert (arrival.account, arrival.target, arrival.timestamp) == (sender, ACI, result.timestamp)


async def test_link_is_ready_once_the_account_is_there() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon:
        with pytest.raises(LinkLost) as caught:
            await link_to(daemon.endpoint, AWAY).__aenter__()
        assert str(caught.value) == "the account is not there (the daemon has 1 accounts)"
        daemon.accounts.append(AWAY)
        async with link_to(daemon.endpoint, AWAY):
            pass


async def test_daemon_without_an_account_is_not_ready() -> None:
    async with FakeSignalDaemon(accounts=[]) as daemon:
        with pytest.raises(LinkLost, match="not there"):
            await link_to(daemon.endpoint).__aenter__()


async def test_several_accounts_need_a_name() -> None:
    async with FakeSignalDaemon(accounts=[HOME, AWAY]) as daemon:
        with pytest.raises(ValueError, match=r"^the daemon has 2 accounts: account= must say which one to send from$"):
            await link_to(daemon.endpoint).__aenter__()


@pytest.mark.parametrize("account", [None, HOME])
async def test_daemon_started_for_one_account_is_told_none(account: str | None) -> None:
    asked: list[dict[str, Any]] = []

    async def one_account(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -32601)
        asked.append(await peer.hear())
        await peer.answer(asked[0], SENT)

    async with scripted(one_account) as endpoint, link_to(endpoint, account) as link:
        await link.send(HELLO)
    assert asked[0]["params"] == {"recipient": [ACI], "message": "hello"}


@pytest.mark.parametrize("answer", [None, {}, "accounts", [], [None, HOME, {}, {"number": None}, {"number": 1}]])
async def test_accounts_in_no_form_that_is_known(answer: Any) -> None:
    async def tell(peer: Peer) -> None:
        await peer.answer(await peer.hear(), answer)

    async with scripted(tell) as endpoint:
        for account in (None, HOME):
            with pytest.raises(LinkLost, match=r"^the account is not there \(the daemon has 0 accounts\)$"):
                await link_to(endpoint, account).__aenter__()


async def test_daemon_that_does_not_tell_its_accounts() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -32603)

    async with scripted(refuse) as endpoint:
        reason = "^the daemon does not tell its accounts: the daemon answered with error -32603$"
        with pytest.raises(LinkLost, match=reason):
            await link_to(endpoint).__aenter__()


async def test_daemon_that_never_answers_is_not_ready() -> None:
    async with scripted(Peer.hear_end) as endpoint:
        with pytest.raises(LinkLost, match=r"^no answer within 0.05 s$"):
            await link_to(endpoint, timeout=0.05).__aenter__()


async def test_nobody_listens() -> None:
    async with scripted(Peer.hear_end) as endpoint:
        pass
    with pytest.raises(OSError):
        await link_to(endpoint).__aenter__()


# Taking it down


async def test_link_that_is_not_made_leaves_no_connection() -> None:
    gone = Event()

    async def without(peer: Peer) -> None:
        await peer.answer(await peer.hear(), [])
        await peer.hear_end()
        gone.set()

    async with scripted(without) as endpoint:
        with pytest.raises(LinkLost):
            await link_to(endpoint).__aenter__()
        with fail_after(PATIENCE):
            await gone.wait()


async def test_link_that_is_cancelled_while_it_is_made_leaves_no_connection() -> None:
    asked, gone = Event(), Event()

    async def silent(peer: Peer) -> None:
        await peer.hear()
        asked.set()
        await peer.hear_end()
        gone.set()

    async with scripted(silent) as endpoint:
        with fail_after(PATIENCE):
            async with create_task_group() as tasks:
                tasks.start_soon(link_to(endpoint).__aenter__)
                await asked.wait()
                tasks.cancel_scope.cancel()
            await gone.wait()


async def test_link_is_taken_down() -> None:
    gone = Event()

    async def serve(peer: Peer) -> None:
        await give_account(peer)
        await peer.hear_end()
        gone.set()

    async with scripted(serve) as endpoint:
        async with link_to(endpoint) as link:
            pass
        with fail_after(PATIENCE):
            await gone.wait()
            with pytest.raises(LinkLost):
                await link.wait_closed()
    with pytest.raises(LinkLost) as caught:
        await link.send(HELLO)
    assert caught.value.unsent


async def test_link_wraps_no_error() -> None:
    async with FakeSignalDaemon() as daemon:
        with pytest.raises(KeyError):
            async with link_to(daemon.endpoint):
                raise KeyError("of the body")


async def test_link_whose_daemon_goes_is_closed() -> None:
    async def go(peer: Peer) -> None:
        pass

    async with ready(go) as link:
        with pytest.raises(LinkLost, match="the daemon has closed the connection"):
            await link.wait_closed()


# Sending


async def test_answer_that_never_comes_is_in_doubt() -> None:
    async with ready(Peer.hear_end, timeout=0.05) as link:
        with pytest.raises(LinkLost, match=r"^no answer within 0.05 s$") as caught:
            await link.send(HELLO)
        assert not caught.value.unsent
        with pytest.raises(LinkLost, match="no answer within"):
            await link.wait_closed()


async def test_message_that_no_connection_takes_is_rejected() -> None:
    async def serve(peer: Peer) -> None:
        await peer.answer(await peer.hear(), SENT)

    async with ready(serve) as link:
        with pytest.raises(Rejected, match=r"^a string is not valid Unicode: it has a lone surrogate$"):
            await link.send(TextMessage(Target(TargetKind.GROUP, "\ud83d"), "hello"))
        await link.send(HELLO)


async def test_what_an_error_leads_to() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon, link_to(daemon.endpoint) as link:
        daemon.fail_next(Refuse(-3), Refuse(-6))
        with pytest.raises(RetryLater) as later:
            await link.send(HELLO)
        assert later.value.scope == "all"
        with pytest.raises(Rejected, match=r"^the daemon answered with error -6$"):
            await link.send(HELLO)


async def test_account_that_is_gone_is_a_link_that_is_lost_before_the_send() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon, link_to(daemon.endpoint, HOME) as link:
        daemon.accounts.clear()
        with pytest.raises(LinkLost, match=r"^the account is not there") as caught:
            await link.send(HELLO)
        assert caught.value.unsent


@pytest.mark.parametrize("end", ["cut", "silence"])
async def test_link_lost_while_asking_for_the_account_leaves_no_doubt(end: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -32602)
        await peer.hear()
        if end == "silence":
            await peer.hear_end()

    async with ready(serve, timeout=0.1) as link:
        with pytest.raises(LinkLost) as caught:
            await link.send(HELLO)
        assert caught.value.unsent


async def test_account_that_is_back_already_sends() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon, link_to(daemon.endpoint) as link:
        daemon.accounts[:] = [AWAY]  # the only one that there is, again
        await link.send(HELLO)
        daemon.fail_next(Refuse(-32602))
        await link.send(HELLO)
        assert [each.account for each in daemon.sends] == [AWAY, AWAY]


async def test_message_refused_with_the_account_there_is_rejected() -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon, link_to(daemon.endpoint) as link:
        daemon.fail_next(Refuse(-32602), Refuse(-32602))
        with pytest.raises(Rejected, match=r"^the daemon answered with error -32602$"):
            await link.send(HELLO)


# Whom the daemon takes for somebody without Signal when it cannot look them up


def status(registered: bool) -> list[dict[str, Any]]:
    return [{"recipient": ANNA, "number": ANNA, "username": None, "uuid": None, "isRegistered": registered}]


async def send_to_unregistered(answer: Any, *, code: int | None = None, **to: Any) -> Any:
    """Send to somebody who is not registered, and give that answer to the question after it; returns that question."""
    question: list[Any] = []

    async def serve(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -1, unregistered())
        await peer.answer(await peer.hear(), [])
        question.append(await peer.hear())
        if code is None:
            await peer.answer(question[0], answer)
        else:
            await peer.fail(question[0], code)

    async with ready(serve) as link:
        try:
            await link.send(TextMessage(make_target(**to or {"to": ANNA}), "hello"))
        except (Rejected, RetryLater) as error:
            return question[0]["method"], question[0]["params"], error
    raise AssertionError("it was sent")


@pytest.mark.parametrize(
    ("to", "asked"),
    [({"to": ANNA}, {"recipient": [ANNA]}), ({"username": "anna.42"}, {"username": ["anna.42"]})],
    ids=["number", "username"],
)
async def test_daemon_is_asked_about_somebody_whom_it_never_looked_up(to: dict[str, Any], asked: Any) -> None:
    method, params, error = await send_to_unregistered(status(registered=False), **to)
    assert (method, params) == ("getUserStatus", {"account": HOME, **asked})
    assert isinstance(error, Rejected) and str(error) == "UNREGISTERED_FAILURE"


@pytest.mark.parametrize(("answer", "code"), [(None, -3), (status(registered=True), None)], ids=["away", "back"])
async def test_somebody_who_cannot_be_looked_up_now_is_tried_again_later(answer: Any, code: int | None) -> None:
    *_, error = await send_to_unregistered(answer, code=code)
    assert isinstance(error, RetryLater)
    assert (error.scope, str(error)) == ("key", "the daemon could not look somebody up")


@pytest.mark.parametrize(("answer", "code"), [(None, -32601), (None, None), ([], None), ([None, {}], None)])
async def test_daemon_that_cannot_say_more_is_believed(answer: Any, code: int | None) -> None:
    *_, error = await send_to_unregistered(answer, code=code)
    assert isinstance(error, Rejected)


@pytest.mark.parametrize("answers", [0, 1], ids=["in the probe", "in the question"])
async def test_link_lost_while_asking_about_somebody_leaves_no_doubt(answers: int) -> None:
    async def serve(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -1, unregistered())
        for _ in range(answers):
            await peer.answer(await peer.hear(), [])
        await peer.hear()

    async with ready(serve) as link:
        with pytest.raises(LinkLost) as caught:
            await link.send(TextMessage(make_target(to=ANNA), "hello"))
        assert caught.value.unsent


async def test_service_that_says_so_itself_is_not_asked_again() -> None:
    async def serve(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -1, unregistered(ACI))

    async with ready(serve) as link:
        with pytest.raises(Rejected, match=r"^UNREGISTERED_FAILURE$"):
            await link.send(HELLO)
