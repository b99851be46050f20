"""The faults that the daemon to test against has on demand."""

from __future__ import annotations

import pytest
from anyio import current_time

from ridethrough.testing import (
    CutAfter,
    CutBefore,
    CutInAnswer,
    Failure,
    Flood,
    Garbage,
    Late,
    Refuse,
    Stall,
    WrongId,
)
from tests.talk import arrived, fake_and_talk, request, results_of, send

pytestmark = pytest.mark.anyio

ANNA, BERT = "+15550100200", "+15550100300"
VERSION = request("version")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_cut_before() -> None:
    async with fake_and_talk(CutBefore()) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        assert await talk.hear_end() == b""
        assert daemon.sends == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("sendReaction", {"recipient": ANNA, "emoji": "+", "targetTimestamp": 2**40}),
        ("remoteDelete", {"recipient": ANNA, "targetTimestamp": 2**40}),
        ("sendReceipt", {"recipient": ANNA, "targetTimestamp": [2**40]}),
        ("updateContact", {"recipient": ANNA, "expiration": 60}),
    ],
)
async def test_whatever_sends_meets_faults(method: str, params: dict[str, object]) -> None:
    async with fake_and_talk(Refuse(-3, "no"), CutBefore()) as (daemon, talk):
        assert (await talk.ask(request("listDevices")))["result"]
        assert (await talk.ask(request(method, **params)))["error"]["message"] == "no"
        await talk.say(request(method, **params))
        assert await talk.hear_end() == b""
        assert daemon.sends == []


async def test_cut_after() -> None:
    async with fake_and_talk(CutAfter()) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        assert await talk.hear_end() == b""
        assert len(daemon.sends) == 1


async def test_cut_in_answer() -> None:
    async with fake_and_talk(CutInAnswer()) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        assert (await talk.hear_end()).startswith(b'{"jsonrpc"')
        assert len(daemon.sends) == 1


async def test_stall() -> None:
    async with fake_and_talk(Stall()) as (daemon, talk):
        await talk.say(send("hello", ANNA, "stalled"))
        assert await arrived(daemon, 1) == ["hello"]
        assert (await talk.ask(request("version", "next")))["id"] == "next"
        assert (await talk.ask(send("again", ANNA, "then")))["id"] == "then"


async def test_late() -> None:
    async with fake_and_talk(Late(0.3)) as (daemon, talk):
        began = current_time()
        await talk.say(send("hello", ANNA, "late"))
        assert await arrived(daemon, 1) == ["hello"]
        assert (await talk.ask(request("version", "next")))["id"] == "next", "it held others up"
        assert (await talk.hear())["id"] == "late"
        assert current_time() - began >= 0.29


async def test_refuse() -> None:
    async with fake_and_talk(Refuse(-3, "no", {"why": 1})) as (daemon, talk):
        answer = await talk.ask(send("hello", ANNA))
        assert answer == {"jsonrpc": "2.0", "error": {"code": -3, "message": "no", "data": {"why": 1}}, "id": "1"}
        assert daemon.sends == []


async def test_failure() -> None:
    async with fake_and_talk(Failure("RATE_LIMIT_FAILURE", token="t", retry_after=60)) as (daemon, talk):
        answer = await talk.ask(send("hello", [ANNA, BERT]))
        assert answer["error"]["code"] == -5
        for result in answer["error"]["data"]["response"]["results"]:
            assert (result["type"], result["token"], result["retryAfterSeconds"]) == ("RATE_LIMIT_FAILURE", "t", 60)
        assert daemon.sends == []


async def test_failure_of_some_recipients_alone() -> None:
    async with fake_and_talk(Failure("IDENTITY_FAILURE", only=(BERT,))) as (daemon, talk):
        assert results_of(await talk.ask(send("hello", [ANNA, BERT]))) == ["SUCCESS", "IDENTITY_FAILURE"]
        assert [arrival.target for arrival in daemon.sends] == [ANNA]


async def test_garbage() -> None:
    async with fake_and_talk(Garbage(b"\xff garbage")) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        assert await talk.hear_line() == b"\xff garbage"
        assert len(daemon.sends) == 1


async def test_flood() -> None:
    async with fake_and_talk(Flood()) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        received = 0
        while received < 10**7:
            data = await talk.stream.receive()
            assert b"\n" not in data
            received += len(data)
        assert len(daemon.sends) == 1


async def test_wrong_id() -> None:
    async with fake_and_talk(WrongId()) as (daemon, talk):
        answer = await talk.ask(send("hello", ANNA))
        assert answer["result"]
        assert answer["id"] not in ("1", 1)
        assert len(daemon.sends) == 1


async def test_each_fault_happens_once_in_turn_and_to_sends_alone() -> None:
    async with fake_and_talk(Refuse(-3), Failure("UNREGISTERED_FAILURE")) as (daemon, talk):
        daemon.fail_next(Refuse(-6))
        assert (await talk.ask(VERSION))["result"]
        assert len(daemon.faults) == 3
        assert (await talk.ask([send("hello", ANNA)]))[0]["result"], "a batch met a fault"
        codes = [(await talk.ask(send("hello", ANNA)))["error"]["code"] for _ in range(3)]
        assert codes == [-3, -1, -6]
        assert (await talk.ask(send("hello", ANNA)))["result"]
        assert daemon.faults == []


async def test_fault_happens_to_a_send_that_wants_no_answer() -> None:
    async with fake_and_talk(Refuse(-3), Garbage()) as (daemon, talk):
        for _ in range(3):
            wants_none = send("hello", ANNA)
            del wants_none["id"]
            await talk.say(wants_none)
            assert (await talk.ask(VERSION))["result"]
        await arrived(daemon, 2)
        assert daemon.faults == []
