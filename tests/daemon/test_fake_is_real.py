"""That the daemon to test against is like the real one: each test here is passed by both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import move_on_after
from anyio.to_thread import run_sync

from ridethrough.testing import Failure
from tests import answers_of_methods
from tests.answers import ANNA, BERT, CASES, FRIENDS, LETTERS, NO_ACCOUNT, NUMBER, Case, check_answers, error
from tests.answers_of_methods import THEN
from tests.talk import request, send, talk_to

from .both import Real, both, daemon_of
from .rig import SignalRig
from .service import BadKeys, Mode, Rekey, Status

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the real daemon does not know which; the fake one's own tests run on both


# What it answers: the fake one's side of this is in tests/unit/test_fake_answers.py

MODES: dict[str, Mode] = {
    "NETWORK_FAILURE": Status(503),
    "UNREGISTERED_FAILURE": Status(404),
    "IDENTITY_FAILURE": Rekey(),
    "INVALID_PRE_KEY_FAILURE": BadKeys(),
    "RATE_LIMIT_FAILURE": Status(429),
}


def fail(rig: SignalRig, recipient: str, failure: Failure) -> None:
    """Have the service do what has signal-cli report that failure."""
    mode = MODES[failure.type]
    if failure.token is not None:
        body = json.dumps({"token": failure.token, "options": ["captcha"]}).encode()
        mode = Status(428, body, (f"Retry-After: {failure.retry_after}",))
    rig.service.modes[recipient] = mode


ALL = CASES | answers_of_methods.CASES


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.account])
async def test_answers(name: str, rig: SignalRig, friends: str) -> None:
    case = ALL[name]
    for recipient, failure in case.failing.items():
        fail(rig, recipient, failure)
    rig.service.reachable = case.reachable
    if case.status is not None:
        rig.service.statuses["/"] = Status(case.status)
    await check_answers(rig.unix, case, friends)
    expected = [one for arrival in case.arrivals for one in (members(case) if arrival == FRIENDS else [arrival])]
    reached = await Real(rig).arrivals(len(expected))
    if "updateGroup" in str(case.lines):  # of which the members of an old group are told twice
        reached = list(set(reached))
    assert sorted(reached) == sorted(expected)


def members(case: Case) -> list[str]:
    """Whom a message to FRIENDS reaches."""
    return [person for person in (ANNA, BERT) if person not in case.failing]


# What it does


@both
async def test_sends_that_do_not_wait_for_answers_overtake_each_other(
    kind: str, rig: SignalRig, tmp_path: Path
) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        await talk.ask(send("first", ANNA))
        await talk.say(*(send(str(number), ANNA, number) for number in range(50)))
        answers = [await talk.hear() for _ in range(50)]
        assert sorted(answer["id"] for answer in answers) == list(range(50))
        answers.sort(key=lambda answer: answer["id"])
        timestamps = [answer["result"]["timestamp"] for answer in answers]
        assert len(set(timestamps)) == 50
        assert timestamps != sorted(timestamps)


@both
async def test_sends_that_wait_for_answers_keep_their_order(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    people = [ANNA, BERT, LETTERS] * 10
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        timestamps = [(await talk.ask(send("hello", each)))["result"]["timestamp"] for each in people]
        assert timestamps == sorted(set(timestamps))
        assert await daemon.arrivals(30) == people


@both
async def test_slow_send_does_not_hold_up_others(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.5)
        await talk.say(send("slow", ANNA, "slow"))
        await daemon.arrivals(1)
        assert (await talk.ask(request("version", "fast")))["id"] == "fast"
        assert (await talk.hear())["id"] == "slow"


@both
async def test_send_is_performed_though_the_client_has_gone(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon:
        daemon.freeze()
        async with talk_to(daemon.endpoint) as talk:
            await talk.say(send("hello", ANNA))
        daemon.thaw()
        assert await daemon.arrivals(1) == [ANNA]


@both
async def test_half_close_still_yields_the_answer(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.3)
        await talk.stream.send(json.dumps(send("hello", ANNA)).encode())  # the last line needs no newline
        await talk.stream.send_eof()
        assert (await talk.hear())["result"]
        assert await talk.hear_end() == b""


@both
async def test_line_that_ends_the_connection_lets_earlier_ones_be_answered(
    kind: str, rig: SignalRig, tmp_path: Path
) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.5)
        await talk.say(send("hello", ANNA))
        await daemon.arrivals(1)
        await talk.say(b"\xff")
        assert (await talk.hear())["result"]
        assert await talk.hear_line_or_end() is None


@both
async def test_frozen_daemon_takes_and_keeps_what_is_sent(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        daemon.freeze()
        await talk.say(send("hello", ANNA, "1"))
        async with talk_to(daemon.endpoint) as other:
            await other.say(send("hello", ANNA, "2"))
            with move_on_after(0.3) as patience:
                await talk.hear()
            assert patience.cancelled_caught
            daemon.thaw()
            assert ((await talk.hear())["id"], (await other.hear())["id"]) == ("1", "2")
        assert await daemon.arrivals(2) == [ANNA, ANNA]


@both
async def test_killed_after_the_send_reached_signal(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon:
        daemon.delay_next(5)
        async with talk_to(daemon.endpoint) as talk:
            await talk.say(send("hello", ANNA))
            await daemon.arrivals(1)
            await daemon.stop()
            assert await talk.hear_line_or_end() is None
        with pytest.raises(ConnectionRefusedError):  # and not FileNotFoundError: kill -9 leaves the file
            async with talk_to(daemon.endpoint):
                pass
        await daemon.start()
        async with talk_to(daemon.endpoint) as talk:
            assert (await talk.ask(request("version")))["result"]
        assert await daemon.arrivals(1) == [ANNA]


@both
async def test_killed_before_it_read_the_send(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon:
        async with talk_to(daemon.endpoint) as talk:
            daemon.freeze()
            await talk.say(send("hello", ANNA))
            await daemon.stop()
            assert await talk.hear_line_or_end() is None
        await daemon.start()
        daemon.thaw()
        async with talk_to(daemon.endpoint) as talk:
            assert (await talk.ask(send("again", BERT)))["result"]
        assert await daemon.arrivals(1) == [BERT]


@both
async def test_news_go_to_every_client(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with (
        daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon,
        talk_to(daemon.endpoint) as talk,
        talk_to(daemon.endpoint) as other,
    ):
        timestamp = (await talk.ask(send("hello", ANNA)))["result"]["timestamp"]
        await other.ask(request("version"))
        await daemon.push_receipt(ANNA, timestamp)
        for each in (talk, other):
            news = await each.hear()
            assert (news["jsonrpc"], news["method"], "id" in news) == ("2.0", "receive", False)
            assert news["params"].keys() == {"account", "envelope"}
            assert news["params"]["account"] == NUMBER
            assert news["params"]["envelope"]["receiptMessage"]["timestamps"] == [timestamp]


@both
async def test_subscription_on_top_gives_news_twice(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        number = (await talk.ask(request("subscribeReceive")))["result"]
        await daemon.push_receipt(ANNA, THEN)
        news = [(await talk.hear())["params"] for _ in range(2)]
        plain, asked_for = sorted(news, key=len, reverse=True) if "envelope" in news[0] else reversed(news)
        assert plain.keys() == {"account", "envelope"}
        assert asked_for == {"subscription": number, "result": plain}


@both
async def test_news_only_for_who_asks(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with (
        daemon_of(kind, rig, f"unix:{tmp_path}/socket", "manual") as daemon,
        talk_to(daemon.endpoint) as talk,
        talk_to(daemon.endpoint) as other,
    ):
        number = (await talk.ask(request("subscribeReceive", account=NUMBER)))["result"]
        await other.ask(request("version"))
        await daemon.push_receipt(ANNA, THEN)
        news = (await talk.hear())["params"]
        assert news.keys() == {"subscription", "result"}
        assert news["subscription"] == number
        assert news["result"]["envelope"]["receiptMessage"]["timestamps"] == [THEN]
        assert (await talk.ask(request("unsubscribeReceive", subscription=number)))["result"] == {}
        with move_on_after(0.3) as patience:
            await other.hear()
        assert patience.cancelled_caught


@both
@pytest.mark.parametrize(
    ("asking", "answer"),
    [
        (
            {"jsonrpc": "2.0", "id": "1", "method": "unsubscribeReceive"},
            error(-1, "Missing subscription parameter with subscription id"),
        ),
        (request("unsubscribeReceive", subscription=12345), error(-1, "Unknown subscription id")),
        (request("unsubscribeReceive", subscription="x"), error(-1, "Unknown subscription id")),
        (request("subscribeReceive", account="+15559999999"), NO_ACCOUNT),
    ],
    ids=["nothing", "unknown", "no number", "unknown account"],
)
async def test_wrong_subscription(
    asking: dict[str, Any], answer: dict[str, Any], kind: str, rig: SignalRig, tmp_path: Path
) -> None:
    async with daemon_of(kind, rig, f"unix:{tmp_path}/socket") as daemon, talk_to(daemon.endpoint) as talk:
        assert await talk.ask(asking) == answer


async def test_answers_without_the_account(rig: SignalRig) -> None:
    await run_sync(rig.kill)
    await run_sync(lambda: rig.start(account=False))
    for case in CASES.values():
        if not case.account:
            await check_answers(rig.unix, case)
    assert rig.service.sends == []
