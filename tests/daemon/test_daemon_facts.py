"""What a client of signal-cli has to know, shown on the real one. See also test_fake_is_real.py."""

from __future__ import annotations

import socket
from statistics import median
from time import monotonic

import pytest
from anyio import fail_after, move_on_after, sleep
from anyio.to_thread import run_sync

from ridethrough.jsonrpc import MAX_DEPTH
from tests.answers import outcome
from tests.talk import Talk, request, send, talk_to

from .rig import DaemonExited, SignalRig, recipient
from .service import Delay, Status

pytestmark = pytest.mark.anyio

ANNA, BERT = recipient(1), recipient(2)
VERSION = request("version")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the daemon does not know which


async def time_of(talk: Talk, message: dict[str, object], count: int) -> float:
    """How long an answer takes, in seconds, in the middle of that many times."""
    times = []
    for _ in range(count):
        began = monotonic()
        await talk.ask(message)
        times.append(monotonic() - began)
    return median(times)


async def test_acknowledging_at_once_makes_tcp_fast(rig: SignalRig) -> None:
    if not hasattr(socket, "TCP_QUICKACK"):
        pytest.skip("only Linux has TCP_QUICKACK")
    host, port = rig.tcp.removeprefix("tcp://").split(":")
    async with talk_to(rig.tcp) as talk, talk_to(rig.unix) as unix:
        quick = await time_of(talk, VERSION, 100)
        over_unix = await time_of(unix, VERSION, 100)
    with socket.create_connection((host, int(port))) as plain, plain.makefile("rwb") as lines:
        times = []
        for _ in range(20):
            began = monotonic()
            lines.write(b'{"jsonrpc":"2.0","id":1,"method":"version"}\n')
            lines.flush()
            lines.readline()
            times.append(monotonic() - began)
    slow = median(times)
    assert slow / quick > 5, f"{slow * 1000:.2f} ms, and {quick * 1000:.2f} ms with it"
    assert slow / over_unix > 5


async def test_with_the_service_away_a_send_fails_at_once(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        await talk.ask(send("hello", ANNA))
        rig.service.reachable = False
        took = await time_of(talk, send("hello", ANNA), 5)
        assert took < 1, "usual are 0.05 s: who tries again at once, tries for ever"
        rig.service.reachable = True
        assert (await talk.ask(send("hello", ANNA)))["result"]
    assert len(rig.service.sends) == 2


async def test_what_keeps_a_daemon_from_starting(rig: SignalRig) -> None:
    await run_sync(rig.kill)
    assert rig.socket_file.is_socket()
    with pytest.raises(DaemonExited) as caught:
        await run_sync(lambda: rig.start(remove_socket=False))
    assert caught.value.status == 3, "the file that a killed one leaves is in its way"
    rig.service.reachable = False
    with pytest.raises(DaemonExited) as caught:
        await run_sync(rig.start)
    assert caught.value.status == 2, "it does not start with the service away"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, "NETWORK_FAILURE") for status in (400, 401, 403, 409, 410, 422, 500, 503, 508)],
        *[(status, "RATE_LIMIT_FAILURE") for status in (413, 429)],
        (404, "UNREGISTERED_FAILURE"),
    ],
)
async def test_status_of_the_service(status: int, kind: str, rig: SignalRig) -> None:
    rig.service.modes[ANNA] = Status(status, headers=("Retry-After: 77",))
    async with talk_to(rig.unix) as talk:
        answer = await talk.ask(send("hello", ANNA))
        assert answer["error"]["data"]["response"]["results"] == [outcome(ANNA, kind)]


async def test_rate_limit_with_captcha_and_without_a_time(rig: SignalRig) -> None:
    rig.service.modes[ANNA] = Status(428, b'{"token":"t","options":["captcha"]}')
    async with talk_to(rig.unix) as talk:
        (result,) = (await talk.ask(send("hello", ANNA)))["error"]["data"]["response"]["results"]
    assert result == outcome(ANNA, "RATE_LIMIT_FAILURE", token="t", retryAfterSeconds=-1)


async def test_batch_is_not_performed_in_order(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        await talk.ask(send("first", ANNA))
        answers = await talk.ask([send(str(number), ANNA, number) for number in range(30)])
    answers.sort(key=lambda answer: answer["id"])
    timestamps = [answer["result"]["timestamp"] for answer in answers]
    assert timestamps != sorted(timestamps)


async def test_deepest_line(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        (answer,) = await talk.ask(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
        assert answer["error"]["code"] == -32600


async def test_subscribing_gives_every_message_twice(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        for notifications in (1, 2):
            timestamp = (await talk.ask(send("hello", ANNA)))["result"]["timestamp"]
            await run_sync(rig.service.push_receipt, ANNA, timestamp)
            heard = [await talk.hear() for _ in range(notifications)]
            assert all("receipt" in str(each) for each in heard)
            assert (await talk.ask(request("subscribeReceive")))["id"] == "1"


async def test_what_comes_while_nobody_listens_is_gone(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        timestamp = (await talk.ask(send("hello", ANNA)))["result"]["timestamp"]
    await sleep(0.2)
    await run_sync(rig.service.push_receipt, ANNA, timestamp)
    await sleep(0.2)
    async with talk_to(rig.unix) as talk:
        with move_on_after(0.5) as patience:
            await talk.hear()
        assert patience.cancelled_caught


async def test_terminated_daemon_ends_connections_at_once_and_performs_the_send(rig: SignalRig) -> None:
    rig.service.modes[ANNA] = Delay(1)
    async with talk_to(rig.unix) as talk:
        await talk.say(send("hello", ANNA))
        await run_sync(rig.service.wait_for_sends, 1)
        rig.terminate()
        with fail_after(1):
            assert await talk.hear_line_or_end() is None
    await run_sync(rig.wait)
    assert [each.recipient for each in rig.service.sends] == [ANNA]
