"""link.py: it finds out whether Signal can be reached before it sends; no message is tried or in doubt for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, current_time, fail_after, sleep, wait_all_tasks_blocked

from ridethrough import LinkLost, Outcome, Rejected, RetryLater
from ridethrough.signal_cli import (
    Attachment,
    DaemonError,
    ExpirationTimer,
    HoldReason,
    MessageId,
    Reaction,
    ServiceState,
    SignalMessage,
    TextMessage,
    make_target,
)
from ridethrough.signal_cli.link import SignalLink
from ridethrough.testing import Failure
from tests.clocks import jumping_backends
from tests.links import PATIENCE, NoJitter, running

from .in_memory import HOME, InMemory, Seeded, buffer_of

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


ANNA, BERT = "11111111-1111-4111-8111-000000000001", "11111111-1111-4111-8111-000000000002"
STRANGER = "+493012345678"
GROUP = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
OFFLINE = DaemonError(-3, "Failed to get linked devices: Closed unexpectedly")


def text(to: str = ANNA, says: str = "hello") -> TextMessage:
    return TextMessage(make_target(to=to), says)


async def failing(link: SignalLink, message: SignalMessage) -> RetryLater:
    """Send what is to be tried again later."""
    with pytest.raises(RetryLater) as caught:
        await link.send(message)
    return caught.value


@asynccontextmanager
async def after_a_failure(daemon: InMemory) -> AsyncIterator[SignalLink]:
    """A link over which a send has just failed, since Signal is away."""
    async with daemon.link() as link:
        with daemon.away():
            later = await failing(link, text())
        assert (later.scope, later.in_doubt, later.unsent) == ("all", True, False)
        daemon.asked.clear()
        yield link


# When it probes


async def test_nothing_is_probed_as_long_as_all_goes_well() -> None:
    daemon = InMemory()
    async with daemon.link() as link:
        await link.send(text())
        await link.send(text(BERT))
    assert daemon.methods == ["send", "send"]


async def test_message_is_not_sent_while_the_probe_does_not_get_through() -> None:
    daemon = InMemory()
    async with after_a_failure(daemon) as link:
        with daemon.away():
            for _ in range(3):
                later = await failing(link, text(BERT))
                assert (later.scope, later.in_doubt, later.unsent) == ("all", False, True)
        assert daemon.methods == ["listDevices"] * 3
        assert daemon.service.attempt == 4


async def test_message_is_sent_when_the_probe_gets_through() -> None:
    daemon = InMemory()
    async with after_a_failure(daemon) as link:
        await link.send(text())
        await link.send(text())
    assert daemon.methods == ["listDevices", "send", "send"]
    assert (daemon.service.state, daemon.service.attempt) == (ServiceState.REACHABLE, 0)


async def test_account_that_signal_refuses_is_waited_for_and_said() -> None:
    daemon = InMemory()
    daemon.signal.service_status = 403
    async with after_a_failure(daemon) as link:
        later = await failing(link, text())
        assert later.unsent and daemon.methods == ["listDevices"]
        assert daemon.service.reason == "Signal refuses the account: it may have been unlinked"
        daemon.signal.service_status = None
        await link.send(text())


async def test_failure_just_after_a_probe_that_got_through_holds_up_one_target() -> None:
    daemon = InMemory()
    daemon.signal.per_recipient[ANNA] = Failure("NETWORK_FAILURE")
    async with after_a_failure(daemon) as link:
        assert (await failing(link, text())).scope == "key"
        await link.send(text(BERT))
        assert (await failing(link, text())).scope == "key"
    assert daemon.methods == ["listDevices", "send", "send", "listDevices", "send"]
    assert [hold.reason for hold in daemon.judge.holds()] == [HoldReason.UNREACHABLE]


async def test_daemon_that_cannot_probe_sends_and_goes_by_the_answer() -> None:
    daemon = InMemory()
    async with after_a_failure(daemon) as link:
        with daemon.away():
            daemon.script.append(DaemonError(-32601))
            later = await failing(link, text())
            assert (later.scope, later.in_doubt, later.unsent) == ("all", True, False)
        daemon.script.append(DaemonError(-1))
        await link.send(text())
    assert daemon.methods == ["listDevices", "send"] * 2


async def test_link_lost_in_the_probe_leaves_no_doubt() -> None:
    daemon = InMemory()
    async with after_a_failure(daemon) as link:
        daemon.script.append(LinkLost("no answer within 60 s"))
        with pytest.raises(LinkLost, match=r"^no answer within 60 s$") as caught:
            await link.send(text())
    assert caught.value.unsent and daemon.methods == ["listDevices"]


@pytest.mark.parametrize("gone", [False, True])
async def test_account_that_is_not_there_for_the_probe_is_looked_for(gone: bool) -> None:
    daemon = InMemory()
    async with after_a_failure(daemon) as link:
        daemon.script.append(DaemonError(-32602))
        if gone:
            daemon.signal.accounts.clear()
            with pytest.raises(LinkLost, match="the account is not there") as caught:
                await link.send(text())
            assert caught.value.unsent
        else:
            await link.send(text())
    assert daemon.methods == ["listDevices"] if gone else ["listDevices", "listDevices", "send"]


# Messages whose answer says nothing


async def test_expiration_timer_is_sent_when_the_probe_gets_through() -> None:
    daemon = InMemory()
    timer = ExpirationTimer(make_target(to=ANNA), 60)
    async with daemon.link() as link:
        with daemon.away():
            later = await failing(link, timer)
            assert (later.scope, later.unsent) == ("all", True)
        assert await link.send(timer) is None
    assert daemon.methods == ["listDevices"] * 2 + ["updateContact"]


async def test_result_that_all_of_a_group_have_failed_is_no_success() -> None:
    daemon = InMemory()
    daemon.signal.groups[GROUP] = (ANNA, BERT)
    daemon.signal.per_recipient = dict.fromkeys((ANNA, BERT), Failure("RATE_LIMIT_FAILURE", retry_after=7))
    timer = ExpirationTimer(make_target(group=GROUP), 60)
    async with daemon.link() as link:
        later = await failing(link, timer)
        assert (later.scope, later.after) == ("key", 7)
        del daemon.signal.per_recipient[BERT]
        assert await link.send(timer) is None


# Whom the daemon could not look up


async def test_stranger_pauses_everything_while_signal_is_away_and_not_alone() -> None:
    daemon = InMemory()
    async with daemon.link() as link:
        with daemon.away():
            later = await failing(link, text(STRANGER))
            assert (later.scope, later.in_doubt, later.unsent) == ("all", False, False)
            assert (await failing(link, text(BERT))).unsent
        await link.send(text(STRANGER))
    assert daemon.methods == ["send", "listDevices", "listDevices", "listDevices", "send"]


async def test_stranger_is_not_probed_for_twice() -> None:
    daemon = InMemory()
    daemon.signal.per_recipient[STRANGER] = Failure("UNREGISTERED_FAILURE")
    async with after_a_failure(daemon) as link:
        with pytest.raises(Rejected, match=r"^UNREGISTERED_FAILURE$"):
            await link.send(text(STRANGER))
    assert daemon.methods == ["listDevices", "send", "getUserStatus"]


async def test_stranger_whom_a_message_names_is_asked_about_by_name() -> None:
    daemon = InMemory()
    reaction = Reaction(make_target(to=ANNA), "👍", MessageId(make_target(to=ANNA), STRANGER, 1_700_000_000_000))
    async with daemon.link() as link:
        with daemon.away():
            assert (await failing(link, reaction)).scope == "all"
        daemon.script.extend([[], DaemonError(-1, f"The user {STRANGER} is not registered.")])
        later = await failing(link, reaction)
        assert (later.scope, str(later)) == ("key", "the daemon could not look somebody up")
        assert daemon.asked[-1][1:3] == ("getUserStatus", {"account": HOME, "recipient": [STRANGER]})
        await link.send(reaction)


# What the request is made of


async def test_answer_is_waited_for_longer_if_there_is_something_to_upload() -> None:
    daemon = InMemory()
    picture = TextMessage(make_target(to=ANNA), "", attachments=(Attachment(bytes(500_000)),))
    async with daemon.link(response_timeout=40) as link:
        await link.send(text())
        await link.send(picture)
    assert [timeout for *_, timeout in daemon.asked] == [40, 40, 50]


async def test_probe_is_not_waited_for_longer() -> None:
    daemon = InMemory()
    picture = TextMessage(make_target(to=ANNA), "", attachments=(Attachment(bytes(500_000)),))
    async with after_a_failure(daemon) as link:
        await link.send(picture)
    assert [timeout for *_, timeout in daemon.asked] == [60, 70]


async def test_message_is_told_the_accounts_own_number() -> None:
    daemon = InMemory()
    reaction = Reaction(make_target(to=ANNA), "👍", MessageId(make_target(to=ANNA), None, 1_700_000_000_000))
    async with daemon.link() as link:
        assert link.number == HOME
        await link.send(reaction)
    assert daemon.asked[-1][2]["targetAuthor"] == HOME


async def test_message_that_cannot_be_made_into_a_request_is_rejected() -> None:
    daemon = InMemory()
    daemon.script.append(DaemonError(-32601))  # it has one account, and does not tell which
    reaction = Reaction(make_target(to=ANNA), "👍", MessageId(make_target(to=ANNA), None, 1_700_000_000_000))
    link = daemon.link()
    link.number = None
    with pytest.raises(Rejected, match="it needs the account's number"):
        await link.send(reaction)
    assert daemon.asked == []


# Receiving, and any other call


async def test_what_comes_in_is_asked_for_once_somebody_wants_it_and_with_each_link() -> None:
    daemon = InMemory()
    async with daemon.link():
        await wait_all_tasks_blocked()
        assert daemon.subscribed == []
        daemon.mailbox.open_inbox()
        await wait_all_tasks_blocked()
        assert daemon.subscribed == [{"account": HOME}]
    async with daemon.link():
        await wait_all_tasks_blocked()
    assert daemon.subscribed == [{"account": HOME}] * 2


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (DaemonError(-32601), "the daemon does not let us receive: the daemon answered with error -32601"),
        (LinkLost("it was cut"), ""),
    ],
)
async def test_link_that_does_not_receive_sends_all_the_same(
    error: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = InMemory()
    daemon.mailbox.open_inbox()
    daemon.script.append(error)
    async with daemon.link() as link:
        await wait_all_tasks_blocked()
        await link.send(text())
    assert caplog.messages == ([logged] if logged else [])


async def test_call_is_for_the_account_unless_it_names_another_one() -> None:
    daemon = InMemory()
    async with daemon.link() as link:
        daemon.script.extend([["one"], ["two"], DaemonError(-5)])
        assert await link.call("listGroups", {"detailed": True}) == ["one"]
        assert await link.call("listGroups", {"account": "+4930"}) == ["two"]
        with pytest.raises(DaemonError):
            await link.call("listGroups", {})
    assert [asked[1:] for asked in daemon.asked[1:]] == [
        ("listGroups", {"account": HOME, "detailed": True}, 60),
        ("listGroups", {"account": "+4930"}, 60),
        ("listGroups", {"account": HOME}, 60),
    ]


# Whole outages


@pytest.mark.parametrize("on_doubt", ["retry", "report"])
async def test_outage_of_ten_seconds_takes_at_most_twelve_tries_and_costs_one_message_an_attempt(on_doubt: str) -> None:
    most = 0
    for _ in range(20):  # at another time each, and so with another jitter
        daemon, buffer = InMemory(Seeded()), buffer_of(101)
        with fail_after(PATIENCE):
            async with running(daemon.supervise(buffer, on_doubt)):
                first = await buffer.put(text(says="before"))
                await first
                with daemon.away():
                    daemon.asked.clear()
                    deliveries = [await buffer.put(text((ANNA, BERT, STRANGER)[n % 3], f"{n}")) for n in range(100)]
                    await sleep(10)
                    most = max(most, len(daemon.tries()))
                await buffer.flush()
        resent = on_doubt == "retry"
        assert daemon.texts == ["before", *(f"{n}" for n in range(0 if resent else 1, 100))], "in order, none twice"
        assert [delivery.attempts for delivery in deliveries] == [2 if resent else 1] + [1] * 99
        assert [delivery.maybe_sent for delivery in deliveries] == [True] + [False] * 99
        assert deliveries[0].outcome is (Outcome.SENT if resent else Outcome.UNKNOWN)
    assert 4 <= most <= 12, most


async def test_outage_with_nothing_but_strangers_takes_as_few_tries() -> None:
    daemon, buffer = InMemory(NoJitter()), buffer_of(100)
    with fail_after(PATIENCE):
        async with running(daemon.supervise(buffer)):
            with daemon.away():
                deliveries = [await buffer.put(text(f"+4930123456{n:02}", f"{n}")) for n in range(100)]
                await sleep(10)
                assert daemon.methods == ["send"] + ["listDevices"] * 5
            await buffer.flush()
    assert daemon.texts == [f"{n}" for n in range(100)]
    assert [delivery.attempts for delivery in deliveries] == [2] + [1] * 99
    assert not any(delivery.maybe_sent for delivery in deliveries)


async def test_target_that_alone_is_not_reached_holds_up_no_other() -> None:
    daemon, buffer = InMemory(NoJitter(1.0, 60.0)), buffer_of(100)
    daemon.signal.per_recipient[ANNA] = Failure("NETWORK_FAILURE")
    with fail_after(PATIENCE):
        async with running(daemon.supervise(buffer)):
            to_anna = [await buffer.put(text(ANNA, f"a{n}")) for n in range(2)]
            waits: list[float] = []
            for n in range(300):
                delivery = await buffer.put(text(BERT, f"{n}"))
                async with create_task_group() as tasks:
                    tasks.start_soon(wait_and_tell, delivery, waits)
                await sleep(1)
            tries = to_anna[0].attempts
            del daemon.signal.per_recipient[ANNA]
            await buffer.flush()
    assert sum(waits) == 1, "but for the first failure, of which nobody knows yet what it means"
    assert tries < 14 and to_anna[1].attempts == 1
    assert daemon.texts == [*(f"{n}" for n in range(300)), "a0", "a1"]


async def wait_and_tell(delivery: Any, waits: list[float]) -> None:
    began = current_time()
    await delivery
    waits.append(current_time() - began)


@pytest.mark.parametrize("bad", ["RATE_LIMIT_FAILURE", "IDENTITY_FAILURE", "NETWORK_FAILURE"])
async def test_message_to_a_paused_target_is_tried_at_once_when_that_is_resumed(bad: str) -> None:
    daemon, buffer = InMemory(NoJitter(100.0, 100.0)), buffer_of(10)
    daemon.signal.per_recipient[ANNA] = Failure(bad, retry_after=10**6)
    with fail_after(PATIENCE):
        async with running(daemon.supervise(buffer)):
            delivery = await buffer.put(text())
            await sleep(1)
            assert delivery.attempts == 1
            buffer.resume()
            await sleep(1)
            assert delivery.attempts == 2 and len(daemon.judge.holds()) == 1
            del daemon.signal.per_recipient[ANNA]
            buffer.resume(make_target(to=ANNA))
            await delivery
    assert daemon.judge.holds() == ()
