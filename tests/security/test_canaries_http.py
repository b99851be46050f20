"""No body, no number and no password in what is shown of a proxy before the daemon, whatever it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from ridethrough import AuthenticationFailed, LinkLost, RidethroughError
from ridethrough.testing.fake_signal import FakeSignal
from tests.security.canary import HOME, NUMBER, QUOTE, SECRET, Canary, make_talkative, running
from tests.unit.signal_cli.scripted_http import Heard, HttpPeer, Scripted, scripted_http

pytestmark = pytest.mark.anyio

Misdeed = Callable[[HttpPeer], Awaitable[object]]
"""What the proxy does instead of passing a request on, or instead of an answer to it."""

STATUSES = [201, 204, 301, 302, 307, 400, 401, 403, 404, 405, 407, 413, 415, 422, 429, 500, 502, 503, 504]


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


class Proxy:
    """Does something else with requests of a kind, the first two times; then it behaves.

    Args:
        kind: which requests: ``check``, ``rpc`` or ``events``; of the second kind, only those that send.
        misdeed: what it does.
    """

    def __init__(self, kind: str, misdeed: Misdeed) -> None:
        self._kind = kind
        self._misdeed = misdeed
        self._signal = FakeSignal([HOME])
        self.left = 2

    async def serve(self, peer: HttpPeer) -> None:
        """Serve a connection."""
        while True:
            heard = await peer.hear_any()
            kind = heard.line.split(" ")[1].rpartition("/")[2]
            if kind == self._kind and self.left and (kind != "rpc" or heard.message["method"] == "send"):
                self.left -= 1
                await self._misdeed(peer)
            elif kind == "rpc":
                await self._answer(peer, heard)
            elif kind == "check":
                await peer.respond(200)
            else:
                await peer.begin_events()
                await peer.hear_end()

    async def _answer(self, peer: HttpPeer, heard: Heard) -> None:
        await peer.answer(heard, self._signal.call(heard.message["method"], heard.message["params"]))


async def check(kind: str, misdeed: Misdeed, canary: Canary) -> None:
    """Have a client send and receive through it; nothing of that must be shown."""
    make_talkative()
    proxy = Proxy(kind, misdeed)
    deliveries: list[Any] = []

    async def use(server: Scripted) -> None:
        async with running(canary, Daemon(server)) as (client, _):
            canary.show(client.messages())
            deliveries.extend([await client.send(SECRET, to=NUMBER) for _ in range(3)])
            with suppress(RidethroughError):
                await deliveries[-1]
            while proxy.left == 2:  # it does not depend on messages
                await client.supervisor.wait_connected()
                await client.call("version")
            canary.show(*deliveries)

    async with scripted_http(proxy.serve) as server:
        try:
            await use(server)
        except* (AuthenticationFailed, LinkLost) as errors:
            canary.show(errors)
    for delivery in deliveries:
        try:
            canary.show(await delivery)
        except RidethroughError as error:
            canary.show(error)
    assert proxy.left < 2
    canary.check()


class Daemon:
    """What serves scripts, seen as a daemon."""

    def __init__(self, server: Scripted) -> None:
        self.endpoint = server.endpoint()


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind", ["check", "rpc", "events"])
async def test_status(kind: str, status: int, canary: Canary) -> None:
    """Its page quotes all it can."""
    body = b"" if status == 204 else f"<html>{QUOTE}</html>".encode()
    await check(kind, lambda peer: peer.respond(status, body, "Content-Type: text/html"), canary)


ANSWERS: dict[str, Misdeed] = {
    "nothing": lambda peer: peer.respond(200),
    "a page": lambda peer: peer.respond(200, QUOTE.encode()),
    "an answer to something else": lambda peer: peer.respond(
        200, f'{{"jsonrpc":"2.0","id":"{QUOTE}","result":"{QUOTE}"}}'.encode()
    ),
    "an error about no request": lambda peer: peer.respond(
        200, f'{{"jsonrpc":"2.0","id":null,"error":{{"code":-32603,"message":"{QUOTE}"}}}}'.encode()
    ),
    "something compressed": lambda peer: peer.respond(200, QUOTE.encode(), "Content-Encoding: gzip"),
    "too little": lambda peer: peer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{QUOTE}".encode()),
    "no HTTP": lambda peer: peer.write(f"{QUOTE}\r\n\r\n".encode()),
    "no chunk": lambda peer: peer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{QUOTE}\r\n".encode()),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("kind", ["check", "rpc", "events"])
async def test_answer(kind: str, name: str, canary: Canary) -> None:
    async def misdeed(peer: HttpPeer) -> None:
        await ANSWERS[name](peer)
        await peer.stream.aclose()

    if (kind, name) not in [("check", "nothing"), ("check", "a page")]:  # which are answers to a check
        await check(kind, misdeed, canary)


EVENTS: dict[str, str] = {
    "no JSON": f"event:receive\ndata:{QUOTE}\n\n",
    "no object": f'event:receive\ndata:["{QUOTE}"]\n\n',
    "no envelope": f'event:receive\ndata:{{"envelope":"{QUOTE}","account":"{HOME}"}}\n\n',
    "of another kind": f"event:{QUOTE}\ndata:{QUOTE}\n\n",
    "no fields": f"{QUOTE}\n:{QUOTE}\n\n",
    "too large": f"event:receive\ndata:{QUOTE * 100_000}\n\n",
}


@pytest.mark.parametrize("name", EVENTS)
async def test_event(name: str, canary: Canary) -> None:
    async def misdeed(peer: HttpPeer) -> None:
        await peer.begin_events()
        await peer.send_chunk(EVENTS[name].encode())
        await peer.stream.aclose()

    await check("events", misdeed, canary)
