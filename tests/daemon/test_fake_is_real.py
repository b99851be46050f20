"""That the daemon to test against is like the real one: each test here is passed by both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from anyio import move_on_after
from anyio.to_thread import run_sync

from ridethrough.testing import NOTE_TO_SELF, Failure, FakeSignalDaemon, Late
from tests.answers import ANNA, BERT, CASES, LETTERS, NUMBER, check_answers
from tests.talk import arrived, request, send, talk_to

from .rig import SignalRig
from .service import BadKeys, Delay, Mode, Ok, Rekey, Status

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the real daemon does not know which; the fake one's own tests run on both


class Daemon(Protocol):
    """What both can do, and have done to them."""

    endpoint: str

    async def arrivals(self, count: int) -> list[str]:
        """To whom messages have reached Signal, once there are that many."""

    def delay_next(self, seconds: float) -> None:
        """Have the next send, which is for ANNA, answered only after that time."""

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        """Have it told that a message was delivered."""

    async def stop(self) -> None: ...
    async def start(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Real:
    def __init__(self, rig: SignalRig) -> None:
        self.endpoint = rig.unix
        self.freeze, self.thaw = rig.freeze, rig.thaw
        self._rig = rig

    async def arrivals(self, count: int) -> list[str]:
        service = self._rig.service
        await run_sync(service.wait_for_sends, count)
        taken = [send.recipient for send in service.sends if isinstance(send.mode, Ok | Delay)]
        return [NUMBER if recipient == service.account.uuid else recipient for recipient in taken]

    def delay_next(self, seconds: float) -> None:
        self._rig.service.modes[ANNA] = Delay(seconds)

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        await run_sync(self._rig.service.push_receipt, recipient, timestamp)

    async def stop(self) -> None:
        await run_sync(self._rig.kill)

    async def start(self) -> None:
        await run_sync(self._rig.start)


class Fake:
    def __init__(self, fake: FakeSignalDaemon) -> None:
        self.endpoint = fake.endpoint
        self.stop, self.start, self.freeze, self.thaw = fake.stop, fake.start, fake.freeze, fake.thaw
        self._fake = fake

    async def arrivals(self, count: int) -> list[str]:
        await arrived(self._fake, count)
        return [arrival.target for arrival in self._fake.sends if arrival.target != NOTE_TO_SELF]

    def delay_next(self, seconds: float) -> None:
        self._fake.fail_next(Late(seconds))

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        receipt = {"isDelivery": True, "timestamps": [timestamp]}
        await self._fake.push({"source": recipient, "receiptMessage": receipt})


@asynccontextmanager
async def daemon_of(kind: str, rig: SignalRig, folder: Path) -> AsyncIterator[Daemon]:
    if kind == "real":
        yield Real(rig)
    else:
        async with FakeSignalDaemon(f"unix:{folder / 'socket'}") as fake:
            yield Fake(fake)


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


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.account])
async def test_answers(name: str, rig: SignalRig) -> None:
    case = CASES[name]
    for recipient, failure in case.failing.items():
        fail(rig, recipient, failure)
    rig.service.reachable = case.reachable
    await check_answers(rig.unix, case)
    assert sorted(await Real(rig).arrivals(len(case.arrivals))) == sorted(case.arrivals)


# What it does

both = pytest.mark.parametrize("kind", ["real", "fake"])


@both
async def test_sends_that_do_not_wait_for_answers_overtake_each_other(
    kind: str, rig: SignalRig, tmp_path: Path
) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
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
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
        timestamps = [(await talk.ask(send("hello", each)))["result"]["timestamp"] for each in people]
        assert timestamps == sorted(set(timestamps))
        assert await daemon.arrivals(30) == people


@both
async def test_slow_send_does_not_hold_up_others(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.5)
        await talk.say(send("slow", ANNA, "slow"))
        await daemon.arrivals(1)
        assert (await talk.ask(request("version", "fast")))["id"] == "fast"
        assert (await talk.hear())["id"] == "slow"


@both
async def test_send_is_performed_though_the_client_has_gone(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon:
        daemon.freeze()
        async with talk_to(daemon.endpoint) as talk:
            await talk.say(send("hello", ANNA))
        daemon.thaw()
        assert await daemon.arrivals(1) == [ANNA]


@both
async def test_half_close_still_yields_the_answer(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.3)
        await talk.stream.send(json.dumps(send("hello", ANNA)).encode())  # the last line needs no newline
        await talk.stream.send_eof()
        assert (await talk.hear())["result"]
        assert await talk.hear_end() == b""


@both
async def test_line_that_ends_the_connection_lets_earlier_ones_be_answered(
    kind: str, rig: SignalRig, tmp_path: Path
) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
        daemon.delay_next(0.5)
        await talk.say(send("hello", ANNA))
        await daemon.arrivals(1)
        await talk.say(b"\xff")
        assert (await talk.hear())["result"]
        assert await talk.hear_line_or_end() is None


@both
async def test_frozen_daemon_takes_and_keeps_what_is_sent(kind: str, rig: SignalRig, tmp_path: Path) -> None:
    async with daemon_of(kind, rig, tmp_path) as daemon, talk_to(daemon.endpoint) as talk:
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
    async with daemon_of(kind, rig, tmp_path) as daemon:
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
    async with daemon_of(kind, rig, tmp_path) as daemon:
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
        daemon_of(kind, rig, tmp_path) as daemon,
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


async def test_answers_without_the_account(rig: SignalRig) -> None:
    await run_sync(rig.kill)
    await run_sync(lambda: rig.start(account=False))
    for case in CASES.values():
        if not case.account:
            await check_answers(rig.unix, case)
    assert rig.service.sends == []
