"""The daemon to test against: whom it tells of incoming messages."""

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from ridethrough.testing import FakeSignalDaemon
from tests.talk import Talk, fake_and_talk, request, talk_to

pytestmark = pytest.mark.anyio

HOME, WORK = "+15550001111", "+15550001112"
ANNA = {"source": "+15550100200"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def heard(talk: Talk, count: int) -> list[dict[str, Any]]:
    """The params of the next notifications, and that no more have come before an answer."""
    params = []
    for _ in range(count):
        message = await talk.hear()
        assert message["method"] == "receive"
        params.append(message["params"])
    assert (await talk.ask(request("version")))["result"]
    return params


async def test_on_start_who_asks_is_told_twice() -> None:
    async with fake_and_talk() as (daemon, talk):
        number = (await talk.ask(request("subscribeReceive")))["result"]
        await daemon.push(ANNA)
        params = {"envelope": ANNA, "account": HOME}
        assert await heard(talk, 2) == [params, {"subscription": number, "result": params}]
        assert (await talk.ask(request("unsubscribeReceive", subscription=number)))["result"] == {}
        await daemon.push(ANNA)
        assert await heard(talk, 1) == [params]


async def test_on_start_what_comes_while_nobody_is_there_is_lost() -> None:
    async with FakeSignalDaemon() as daemon:
        await daemon.push(ANNA)
        async with talk_to(daemon.endpoint) as talk:
            assert await heard(talk, 0) == []


async def test_on_connection_it_waits_for_the_first() -> None:
    async with FakeSignalDaemon(receive_mode="on-connection") as daemon:
        for number in range(2):
            await daemon.push({"n": number})
        async with talk_to(daemon.endpoint) as talk, talk_to(daemon.endpoint) as other:
            assert [params["envelope"] for params in await heard(talk, 2)] == [{"n": 0}, {"n": 1}]
            assert await heard(other, 0) == []
            await daemon.push(ANNA)
            assert len(await heard(talk, 1)) == len(await heard(other, 1)) == 1


async def test_manual_it_waits_for_who_asks() -> None:
    async with FakeSignalDaemon(receive_mode="manual") as daemon, talk_to(daemon.endpoint) as talk:
        assert await heard(talk, 0) == []
        await daemon.push(ANNA)
        number = (await talk.ask(request("subscribeReceive")))["result"]
        params = {"envelope": ANNA, "account": HOME}
        assert await heard(talk, 1) == [{"subscription": number, "result": params}]


async def test_subscription_to_one_account() -> None:
    daemon = FakeSignalDaemon(accounts=[HOME, WORK], receive_mode="manual")
    async with daemon, talk_to(daemon.endpoint) as talk:
        assert (await talk.ask(request("subscribeReceive", account=WORK)))["result"] == 0
        await daemon.push(ANNA)
        await daemon.push(ANNA, WORK)
        assert [params["result"]["account"] for params in await heard(talk, 1)] == [WORK]
        assert (await talk.ask(request("subscribeReceive")))["result"] == 1
        assert [params["result"]["account"] for params in await heard(talk, 1)] == [HOME], "it has waited"


async def test_subscription_to_an_account_that_is_not_there() -> None:
    async with fake_and_talk() as (_, talk):
        assert (await talk.ask(request("subscribeReceive", account=WORK)))["error"]["code"] == -32602


@pytest.mark.parametrize("number", [7, "0", None])
async def test_unsubscribing_from_what_is_not_there(number: Any) -> None:
    async with fake_and_talk() as (daemon, talk), talk_to(daemon.endpoint) as other:
        theirs = (await other.ask(request("subscribeReceive")))["result"]
        for each in (number, theirs):
            assert (await talk.ask(request("unsubscribeReceive", subscription=each)))["error"]["code"] == -1


async def test_who_has_gone_is_told_nothing() -> None:
    async with FakeSignalDaemon(receive_mode="on-connection") as daemon:
        async with talk_to(daemon.endpoint) as talk:
            await talk.ask(request("subscribeReceive"))
        while daemon.listeners:
            await checkpoint()
        await daemon.push(ANNA)
        async with talk_to(daemon.endpoint) as talk:
            assert len(await heard(talk, 1)) == 1


@pytest.mark.parametrize("mode", ["", "on_start", None, ["manual"]])
def test_mode_that_is_none(mode: Any) -> None:
    with pytest.raises(ValueError, match="receive_mode must be one of on-start, on-connection, manual, not "):
        FakeSignalDaemon(receive_mode=mode)
