"""What a client of signal-cli has to know, shown on the real one. See also test_fake_is_real.py."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from statistics import median
from time import monotonic, time
from uuid import uuid4

import pytest
from anyio import fail_after, move_on_after, sleep
from anyio.to_thread import run_sync

from ridethrough.jsonrpc import MAX_DEPTH
from tests.answers import ANNA as FRIEND
from tests.answers import BERT as OTHER_FRIEND
from tests.answers import outcome
from tests.talk import Talk, request, results_of, send, talk_to

from .rig import DaemonExited, SignalRig, recipient, reset_when_closed
from .service import Delay, Ok, Rekey, Status

pytestmark = pytest.mark.anyio

ANNA, BERT = recipient(1), recipient(2)
VERSION = request("version")
LINE = json.dumps(VERSION).encode()


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


# How fast it is


async def test_latency_of_each_transport(rig: SignalRig) -> None:
    """TCP alone is slow: the newline comes by itself, and only when what is before it has been acknowledged."""
    times = {}
    for endpoint in (rig.unix, rig.tcp):
        async with talk_to(endpoint) as talk:  # which acknowledges at once, where it can
            times[endpoint] = await time_of(talk, VERSION, 100)
    host, port = rig.http.removeprefix("http://").split(":")
    web = HTTPConnection(host, int(port))
    times[rig.http] = await run_sync(lambda: median(time_over_http(web) for _ in range(100)))
    web.close()
    plain, rest = await run_sync(time_over_plain_tcp, rig)
    if hasattr(socket, "TCP_QUICKACK"):
        assert plain / times[rig.tcp] > 5, f"{plain * 1000:.2f} ms, and {times[rig.tcp] * 1000:.2f} ms with it"
        assert rest == b"\n"
    assert plain / times[rig.unix] > 5
    assert plain / times[rig.http] > 5


def time_over_http(web: HTTPConnection) -> float:
    began = monotonic()
    web.request("POST", "/api/v1/rpc", LINE, {"Content-Type": "application/json"})
    assert web.getresponse().read()
    return monotonic() - began


def time_over_plain_tcp(rig: SignalRig) -> tuple[float, bytes]:
    """How long a line takes, and what of it comes last."""
    host, port = rig.tcp.removeprefix("tcp://").split(":")
    times = []
    with socket.create_connection((host, int(port))) as plain:
        for _ in range(20):
            began, piece = monotonic(), b""
            plain.sendall(LINE + b"\n")
            while not piece.endswith(b"\n"):
                piece = plain.recv(65536)
            times.append(monotonic() - began)
    return median(times), piece


async def test_first_message_to_a_stranger_takes_longer(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        first = await time_of(talk, send("hello", str(uuid4())), 1)
        assert first > 2 * await time_of(talk, send("hello", ANNA), 10)


# What an ending connection means


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_send_is_performed_after_the_connection_has_ended(reset: bool, rig: SignalRig) -> None:
    rig.freeze()
    async with talk_to(rig.tcp) as talk:
        await talk.say(send("hello", ANNA))
        if reset:
            reset_when_closed(talk.stream)
    rig.thaw()
    await run_sync(rig.service.wait_for_sends, 1)


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


async def test_nothing_makes_a_retry_the_same_message(rig: SignalRig) -> None:
    once = send("hello", ANNA, timestamp=1_700_000_000_000, idempotencyKey="once")
    async with talk_to(rig.unix) as talk:
        timestamps = [(await talk.ask(once))["result"]["timestamp"] for _ in range(2)]
    assert [each.timestamp for each in rig.service.sends] == timestamps
    assert 1_700_000_000_000 < timestamps[0] < timestamps[1]


async def test_receipt_cannot_settle_a_message_in_doubt(rig: SignalRig) -> None:
    """Its timestamp is given when it is performed, after the cut, when anything else can be sent too.

    And a receipt tells nothing but a timestamp: not which program or device of the account has sent the message.
    """
    rig.freeze()
    async with talk_to(rig.unix) as talk:
        await talk.say(send("in doubt", ANNA))
    cut = time() * 1000
    await sleep(0.05)
    rig.thaw()
    await run_sync(rig.service.wait_for_sends, 1)
    async with talk_to(rig.unix) as talk, talk_to(rig.tcp) as other:
        await other.ask(send("of another program", ANNA))
        timestamps = [each.timestamp for each in rig.service.sends]
        assert cut < timestamps[0] < timestamps[1] < time() * 1000, "both came after the cut"
        envelopes = []
        for timestamp in timestamps:
            await run_sync(rig.service.push_receipt, ANNA, timestamp)
            envelopes.append((await talk.hear())["params"]["envelope"])
            await other.hear()
    receipts = [envelope.pop("receiptMessage") for envelope in envelopes]
    for timestamp, receipt in zip(timestamps, receipts, strict=True):
        assert isinstance(receipt.pop("when"), int)
        assert receipt == {"isDelivery": True, "isRead": False, "isViewed": False, "timestamps": [timestamp]}
    for envelope in envelopes:
        for name in ("timestamp", "serverReceivedTimestamp", "serverDeliveredTimestamp"):
            assert isinstance(envelope.pop(name), int)
        assert envelope == {  # who has got it, and with which of their devices
            "source": ANNA,
            "sourceUuid": ANNA,
            "sourceNumber": None,
            "sourceName": "",
            "sourceDevice": 1,
        }


# The link from the daemon to Signal


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


async def test_note_to_self_needs_no_service(rig: SignalRig) -> None:
    rig.service.reachable = False
    async with talk_to(rig.unix) as talk:
        assert results_of(await talk.ask(send("hello", noteToSelf=True))) == ["SUCCESS"]
        assert "error" in await talk.ask(request("listDevices"))


async def test_devices_can_be_asked_for_as_soon_as_the_service_is_back(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        rig.service.reachable = False
        for _ in range(5):
            assert (await talk.ask(request("listDevices")))["error"]["code"] == -3
        rig.service.reachable = True
        assert (await talk.ask(request("listDevices")))["result"]


# What it answers


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


async def test_rate_limit_with_captcha_and_a_time(rig: SignalRig) -> None:
    rig.service.modes[ANNA] = Status(428, b'{"token":"t","options":["captcha"]}', ("Retry-After: 86400",))
    async with talk_to(rig.unix) as talk:
        (result,) = (await talk.ask(send("hello", ANNA)))["error"]["data"]["response"]["results"]
    assert result == outcome(ANNA, "RATE_LIMIT_FAILURE", token="t", retryAfterSeconds=86400)


async def test_empty_results_are_no_error(rig: SignalRig) -> None:
    lonely = await run_sync(rig.make_group)
    async with talk_to(rig.unix) as talk:
        answer = await talk.ask(send("hello", groupId=lonely))
    assert answer["result"]["results"] == []


async def test_update_of_a_group_that_reached_nobody_is_no_error(rig: SignalRig, friends: str) -> None:
    rig.service.reachable = False
    async with talk_to(rig.unix) as talk:
        answer = await talk.ask(request("updateGroup", groupId=friends, expiration=60))
    assert results_of(answer) == ["NETWORK_FAILURE"] * 2
    assert "error" not in answer


async def test_group_has_the_message_though_the_service_breaks_for_one(rig: SignalRig, friends: str) -> None:
    rig.service.modes[OTHER_FRIEND] = Status(503)
    async with talk_to(rig.unix) as talk:
        answer = await talk.ask(send("hello", groupId=friends))
    assert (answer["error"]["code"], answer["error"]["data"]) == (-32603, None)
    assert FRIEND in [each.recipient for each in rig.service.sends if each.mode == Ok()]


async def test_typing_fails_without_a_word_to_the_service(rig: SignalRig) -> None:
    """If the daemon does not know how to send to the recipient without saying who sends."""
    async with talk_to(rig.unix) as talk:
        assert results_of(await talk.ask(request("sendTyping", recipient=ANNA))) == ["NETWORK_FAILURE"]
        assert rig.service.sends == []
        assert "result" in await talk.ask(request("listDevices"))


async def test_attachments_are_uploaded_one_by_one_and_a_long_text_too(rig: SignalRig) -> None:
    data = "data:text/plain;base64," + "aGlo" * 50
    async with talk_to(rig.unix) as talk:
        await talk.ask(send("e" * 2000, ANNA, attachment=[data, data]))
        assert len(rig.service.uploads) == 2
        await talk.ask(send("e" * 2001, ANNA))
    *_, size = rig.service.uploads
    assert len(rig.service.uploads) == 3
    assert size > 2001, "it is encrypted and padded"


async def test_trust_in_a_new_identity(rig: SignalRig) -> None:
    stranger = str(uuid4())
    rig.meet(stranger)
    async with talk_to(rig.unix) as talk:
        rig.service.modes[stranger] = Rekey()
        assert results_of(await talk.ask(send("hello", stranger))) == ["IDENTITY_FAILURE"]
        identities = (await talk.ask(request("listIdentities", number=stranger)))["result"]
        (new,) = [each for each in identities if each["trustLevel"] == "UNTRUSTED"]
        trust = request("trust", recipient=stranger, verifiedSafetyNumber=new["safetyNumber"])
        assert (await talk.ask(trust))["result"] == {}
        assert "result" in await talk.ask(send("hello", stranger))


async def test_lone_surrogate_in_an_answer_breaks_off_its_line(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        await talk.say(request("version", "\ud800"))
        with move_on_after(0.5) as patience:
            await talk.hear_line()
        assert patience.cancelled_caught
        await talk.say(request("version", "next"))
        assert await talk.hear_line() == (
            b'{"jsonrpc":"2.0","result":{"version":"0.13.19"},"id":"'
            b'{"jsonrpc":"2.0","result":{"version":"0.13.19"},"id":"next"}'
        )


# Order


async def test_batch_is_not_performed_in_order(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        await talk.ask(send("first", ANNA))
        answers = await talk.ask([send(str(number), ANNA, number) for number in range(30)])
    answers.sort(key=lambda answer: answer["id"])
    timestamps = [answer["result"]["timestamp"] for answer in answers]
    assert timestamps != sorted(timestamps)


# Lines


async def test_deepest_line(rig: SignalRig) -> None:
    async with talk_to(rig.unix) as talk:
        (answer,) = await talk.ask(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
        assert answer["error"]["code"] == -32600


# What comes in


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
