"""The relay: what it passes on, and how it cuts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, fail_after
from anyio.lowlevel import checkpoint

from ridethrough import LinkLost
from ridethrough.signal_cli.endpoints import parse_endpoint
from ridethrough.testing import FakeSignalDaemon, Relay, Stall
from tests.talk import PATIENCE, Talk, arrived, request, send, talk_to

pytestmark = pytest.mark.anyio

ANNA = "+15550100200"
VERSION = request("version")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def line() -> AsyncIterator[tuple[FakeSignalDaemon, Relay, Talk]]:
    """A daemon, a relay to it, and a client of the relay that has got an answer."""
    async with FakeSignalDaemon() as daemon, Relay(daemon.endpoint) as relay, talk_to(relay.endpoint) as talk:
        await talk.ask(VERSION)
        yield daemon, relay, talk


async def check_cut(talk: Talk) -> None:
    with fail_after(PATIENCE), pytest.raises((EndOfStream, BrokenResourceError)):
        await talk.stream.receive()


@pytest.mark.parametrize("near", ["tcp", "unix"])
@pytest.mark.parametrize("far", ["tcp", "unix"])
async def test_passes_on_between_all_kinds(near: str, far: str, tmp_path: Path) -> None:
    places = {"tcp": "tcp://127.0.0.1:0", "unix": "unix:{}"}
    target, endpoint = places[far].format(tmp_path / "far"), places[near].format(tmp_path / "near")
    async with FakeSignalDaemon(target) as daemon, Relay(daemon.endpoint, endpoint) as relay:
        assert relay.endpoint.startswith(near)
        async with talk_to(relay.endpoint) as talk, talk_to(relay.endpoint) as other:
            for number in range(3):
                assert (await talk.ask(send(str(number), ANNA)))["result"]
                assert (await other.ask(VERSION))["result"]
        assert [arrival.text for arrival in daemon.sends] == ["0", "1", "2"]
    assert not (tmp_path / "near").exists()


async def test_passes_on_http() -> None:
    async with FakeSignalDaemon("http://127.0.0.1:0/signal") as daemon, Relay(daemon.endpoint) as relay:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/signal", relay.endpoint)
        assert relay.endpoint != daemon.endpoint
        connection = await parse_endpoint(relay.endpoint).open(print)
        assert await connection.call("version", {}, PATIENCE) == {"version": "0.13.19"}
        relay.cut_next_answer()
        with pytest.raises(LinkLost) as caught:
            await connection.call("send", {"message": "hello", "recipient": ANNA}, PATIENCE)
        assert not caught.value.unsent
        assert [arrival.text for arrival in daemon.sends] == ["hello"], "the request was not passed on"
        await connection.aclose()
        await relay.refuse()
        with pytest.raises(LinkLost) as caught:
            await parse_endpoint(relay.endpoint).open(print)
        assert caught.value.unsent


async def test_passes_on_more_than_fits_anywhere() -> None:
    async with line() as (daemon, _, talk):
        assert (await talk.ask(send("x" * 10**7, ANNA)))["result"]
        assert len(daemon.sends[0].text) == 10**7


async def test_passes_on_the_clients_end_and_the_answers_after_it() -> None:
    async with line() as (_, _, talk):
        await talk.say(send("hello", ANNA))
        await talk.stream.send_eof()
        assert (await talk.hear())["result"]
        assert await talk.hear_end() == b""


async def test_passes_on_the_daemons_end() -> None:
    async with line() as (daemon, relay, talk):
        await daemon.stop()
        await check_cut(talk)
        async with talk_to(relay.endpoint) as again:
            await check_cut(again)  # it takes clients while the daemon is away, and can do nothing for them
        await daemon.start()
        async with talk_to(relay.endpoint) as again:
            assert (await again.ask(VERSION))["result"]


async def test_client_that_goes_ends_the_daemons_connection() -> None:
    async with FakeSignalDaemon() as daemon, Relay(daemon.endpoint) as relay:
        async with talk_to(relay.endpoint) as talk:
            await talk.ask(VERSION)
            assert "1 connections" in repr(relay)
        with fail_after(PATIENCE):
            while "0 connections" not in repr(relay):
                await checkpoint()


async def test_cut() -> None:
    async with line() as (daemon, relay, talk), talk_to(relay.endpoint) as other:
        await other.ask(VERSION)
        await relay.cut()
        await check_cut(talk)
        await check_cut(other)
        await relay.cut()
        async with talk_to(relay.endpoint) as again, talk_to(daemon.endpoint) as direct:
            assert (await again.ask(VERSION))["result"]
            assert (await direct.ask(VERSION))["result"]


async def test_cut_while_the_daemon_answers_nothing() -> None:
    async with line() as (daemon, relay, talk):
        daemon.fail_next(Stall())
        await talk.say(send("hello", ANNA))
        await arrived(daemon, 1)
        await relay.cut()
        await check_cut(talk)


async def test_refuse_and_accept() -> None:
    async with line() as (_, relay, talk):
        endpoint = relay.endpoint
        await relay.refuse()
        await relay.refuse()
        await check_cut(talk)
        with pytest.raises(OSError):
            async with talk_to(endpoint):
                pass
        await relay.accept()
        await relay.accept()
        assert relay.endpoint == endpoint
        async with talk_to(endpoint) as again:
            assert (await again.ask(VERSION))["result"]


async def test_cut_next_answer() -> None:
    async with line() as (daemon, relay, talk), talk_to(relay.endpoint) as other:
        await other.ask(VERSION)
        relay.cut_next_answer()
        await talk.say(send("hello", ANNA))
        await check_cut(talk)
        assert [arrival.text for arrival in daemon.sends] == ["hello"], "the request was not passed on"
        assert (await other.ask(VERSION))["result"], "it cut more than one"


async def test_cut_next_answer_waits_for_a_request() -> None:
    async with line() as (daemon, relay, talk):
        relay.cut_next_answer()
        await daemon.push({"source": ANNA})
        assert (await talk.hear())["method"] == "receive"
        await talk.stream.send(b'{"jsonrpc":"2.0","id":"1",')
        await daemon.push({"source": ANNA})
        assert (await talk.hear())["method"] == "receive"
        await talk.stream.send(b'"method":"version"}\n')
        await check_cut(talk)


async def test_client_is_told_of_the_cut_when_it_writes() -> None:
    async with line() as (_, relay, talk):
        await relay.cut()
        with fail_after(PATIENCE), pytest.raises((BrokenResourceError, ClosedResourceError)):
            while True:
                await talk.say(VERSION)


async def test_error_in_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with line():
            raise ZeroDivisionError


@pytest.mark.parametrize("bad", ["tcp://127.0.0.1", "unix:relative", "http://127.0.0.1:80?"])
def test_endpoint_that_is_none(bad: str) -> None:
    with pytest.raises(ValueError, match="endpoint must be"):
        Relay(bad)
    with pytest.raises(ValueError, match="endpoint must be"):
        Relay("tcp://127.0.0.1:1", bad)
