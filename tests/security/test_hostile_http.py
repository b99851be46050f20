"""A hostile daemon, or proxy, over HTTP costs reconnects and bounded memory, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import Event, create_task_group
from anyio.lowlevel import checkpoint

from ridethrough import Outcome
from ridethrough.jsonrpc import MAX_LINE
from ridethrough.signal_cli.endpoints import parse_endpoint
from tests.security.test_hostile_daemon import (
    ANNA,
    MEBIBYTE,
    MESSAGES,
    MISDEEDS,
    Honest,
    at_most,
    check_log,
    client_of,
    send_all,
)
from tests.unit.signal_cli.scripted import answer_to
from tests.unit.signal_cli.scripted_http import Heard, HttpPeer, HttpScript, scripted_http

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
Misdeed = Callable[[HttpPeer, Heard], Awaitable[None]]
"""What it does instead of answering a request."""


class Body:
    """Where what would be written to a stream of lines is kept, to be the body of a response."""

    def __init__(self) -> None:
        self.written = b""

    async def write(self, data: bytes) -> None:
        self.written += data


def as_body(name: str) -> Misdeed:
    """The same misdeed as over lines."""

    async def misdeed(peer: HttpPeer, heard: Heard) -> None:
        body = Body()
        await MISDEEDS[name](body, heard.message)  # type: ignore[arg-type]  # all they do is write
        await peer.respond(200, body.written)

    return misdeed


def write(data: bytes) -> Misdeed:
    """Write that, in which DUE stands for the due answer and LENGTH for its length."""

    async def misdeed(peer: HttpPeer, heard: Heard) -> None:
        due = answer_to(heard.message, result={"timestamp": 1, "results": []})
        await peer.write(data.replace(b"DUE", due).replace(b"LENGTH", str(len(due)).encode()))

    return misdeed


def repeat(first: bytes, then: bytes) -> Misdeed:
    """Write that, and the other for ever."""

    async def misdeed(peer: HttpPeer, _: Heard) -> None:
        await peer.write(first)
        while True:
            await peer.write(then)

    return misdeed


HTTP_MISDEEDS: dict[str, Misdeed] = {
    "no status": write(b"\r\n\r\nDUE"),
    "status as words": write(b"HTTP/1.1 fine\r\n\r\nDUE"),
    "status of no kind": write(b"HTTP/1.1 999 ?\r\nContent-Length: LENGTH\r\n\r\nDUE"),
    "version as words": write(b"HTTP/one 200 OK\r\nContent-Length: LENGTH\r\n\r\nDUE"),
    "switching protocols": write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nDUE"),
    "no content": write(b"HTTP/1.1 204 No Content\r\n\r\nDUE"),
    "no length, and the end": write(OK + b"\r\n" + b"DUE"[:2]),
    "length too short": write(OK + b"Content-Length: 5\r\n\r\nDUE"),
    "length too long, and the end": write(OK + b"Content-Length: 9999\r\n\r\nDUE"),
    "length negative": write(OK + b"Content-Length: -1\r\n\r\nDUE"),
    "length as words": write(OK + b"Content-Length: long\r\n\r\nDUE"),
    "length of two kinds": write(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nDUE"),
    "length huge": write(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nDUE"),
    "chunks of no size": write(OK + b"Transfer-Encoding: chunked\r\n\r\nDUE\r\n"),
    "chunks of negative size": write(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nDUE"),
    "chunks of huge size": write(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 1000 + b"\r\nDUE"),
    "coding unheard of": write(OK + b"Transfer-Encoding: secret\r\n\r\nDUE"),
    "compressed": write(OK + b"Content-Encoding: gzip\r\nContent-Length: LENGTH\r\n\r\nDUE"),
    "header without end": repeat(OK + b"X: ", b"x" * MEBIBYTE),
    "headers without end": repeat(OK, b"X: x\r\n" * 1000),
    "not Latin": write(OK + b"X: \xff\0\r\nContent-Length: LENGTH\r\n\r\nDUE"),
    "TLS": write(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
}

STALLS: dict[str, Misdeed] = {
    "half a header": write(OK),
    "half a body": write(OK + b"Content-Length: 9999\r\n\r\nDUE"),
    "half a chunk": write(OK + b"Transfer-Encoding: chunked\r\n\r\n100\r\n{"),
    "chunks that do not end": write(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    "continue for ever": repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


def hostile(honest: Honest, misdeed: Misdeed, at: str, *, stay: bool = True) -> HttpScript:
    """A script: honest until that method is called, and what it does then instead. Who stays does not hang up."""

    async def serve(peer: HttpPeer) -> None:
        while (heard := await peer.hear()).message["method"] != at:
            await peer.answer(heard, honest.result(heard.message))
        await misdeed(peer, heard)
        if stay:
            await peer.hear_end()

    return serve


def honestly(honest: Honest) -> HttpScript:
    """A script: every call is answered."""

    async def serve(peer: HttpPeer) -> None:
        while True:
            heard = await peer.hear()
            await peer.answer(heard, honest.result(heard.message))

    return serve


async def check_costs_a_reconnect(misdeed: Misdeed, *, stay: bool, **options: Any) -> None:
    honest = Honest()
    scripts = [hostile(honest, misdeed, at, stay=stay) for at in ("listAccounts", "send")]
    async with (
        scripted_http(*scripts, honestly(honest)) as server,
        client_of(server.endpoint(), **options) as client,
    ):
        deliveries = await send_all(client)
    assert client.supervisor.attempt == 2
    assert honest.texts == MESSAGES
    assert [each.attempts for each in deliveries] == [2, 1, 1, 1, 1]
    assert [each.maybe_sent for each in deliveries] == [True, False, False, False, False]
    assert all(each.outcome is Outcome.SENT for each in deliveries)


@pytest.mark.parametrize("name", MISDEEDS)
async def test_nonsense_for_an_answer_costs_a_reconnect(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ridethrough")
    await check_costs_a_reconnect(as_body(name), stay=not name.endswith("and the end"))
    check_log(caplog)


@pytest.mark.parametrize("name", HTTP_MISDEEDS)
async def test_nonsense_for_http_costs_a_reconnect(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ridethrough")
    await check_costs_a_reconnect(HTTP_MISDEEDS[name], stay=not name.endswith("and the end"))
    check_log(caplog)


@pytest.mark.parametrize("name", STALLS)
async def test_stall_costs_a_reconnect_and_the_response_timeout(name: str) -> None:
    await check_costs_a_reconnect(STALLS[name], stay=True, response_timeout=0.5)


async def test_answer_that_comes_twice_counts_once() -> None:
    honest = Honest()

    async def answer_twice(peer: HttpPeer, heard: Heard) -> None:
        body = answer_to(heard.message, result=honest.result(heard.message))
        await peer.write((OK + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 2)

    scripts = [hostile(honest, answer_twice, "send"), honestly(honest)]
    async with scripted_http(*scripts) as server, client_of(server.endpoint()) as client:
        deliveries = await send_all(client)
    assert honest.texts == MESSAGES
    assert all(each.outcome is Outcome.SENT for each in deliveries)


async def test_messages_do_not_follow_to_another_place() -> None:
    heard: list[Heard] = []
    honest = Honest()

    async def eavesdrop(peer: HttpPeer) -> None:
        heard.append(await peer.hear_any())

    async with scripted_http(eavesdrop) as elsewhere:

        async def send_on(peer: HttpPeer, _: Heard) -> None:
            await peer.respond(307, b"", f"Location: {elsewhere.endpoint()}/api/v1/rpc", "Set-Cookie: a=b")

        scripts = [hostile(honest, send_on, "send"), honestly(honest)]
        async with scripted_http(*scripts) as server, client_of(server.endpoint()) as client:
            await send_all(client)
    assert honest.texts == MESSAGES
    assert heard == []


async def test_cookies_are_not_kept() -> None:
    cookies: list[str | None] = []

    async def serve(peer: HttpPeer) -> None:
        while True:
            heard = await peer.hear()
            cookies.append(heard.headers.get("cookie"))
            await peer.respond(200, answer_to(heard.message, result="done"), "Set-Cookie: a=b; Path=/")

    async with scripted_http(serve) as server:
        connection = await parse_endpoint(server.endpoint()).open(print)
        for _ in range(3):
            await connection.call("version", {}, 5)
        await connection.aclose()
    assert cookies == [None] * 3


# What comes in


def receiving(honest: Honest, *events: HttpScript) -> HttpScript:
    """A script: calls are answered, and who waits for events gets them by these in turn, and then nothing."""
    left = list(events)

    async def serve(peer: HttpPeer) -> None:
        while True:
            heard = await peer.hear()
            if heard.line.startswith("GET"):
                await peer.begin_events()
                await (left.pop(0) if left else HttpPeer.hear_end)(peer)
                return
            await peer.answer(heard, honest.result(heard.message))

    return serve


def chunks(data: bytes, *, times: int) -> HttpScript:
    """A script: that many chunks of that, and then silence."""

    async def send(peer: HttpPeer) -> None:
        for _ in range(times):
            await peer.send_chunk(data)
        await peer.hear_end()

    return send


async def break_off(peer: HttpPeer) -> None:
    """A script: an event that has no end, and the end."""
    await peer.send_chunk(b"event:receive\ndata:{")


def receive(params: Any) -> bytes:
    return b"event:receive\ndata:" + json.dumps(params).encode() + b"\n\n"


@pytest.mark.parametrize(
    "events",
    [
        chunks(b"x" * MEBIBYTE, times=1000),
        chunks(b":" * MEBIBYTE, times=1000),
        chunks((b"data:" + b"x" * 100 + b"\n") * 10_000, times=1000),
        chunks(b"event:receive\ndata:" + b"[" * 100_000 + b"\n\n", times=1),
        chunks(b"event:receive\ndata:\xff\n\n", times=1),
        break_off,
    ],
    ids=["line", "comment", "data", "depth", "not UTF-8", "end"],
)
async def test_nonsense_for_events_costs_a_reconnect_and_little_memory(events: HttpScript) -> None:
    honest = Honest()
    async with at_most(30), scripted_http(receiving(honest, events)) as server:
        async with client_of(server.endpoint()) as client:
            inbox = client.messages()
            while not client.supervisor.attempt:
                await checkpoint()
            deliveries = await send_all(client)
            await client.buffer.flush()
        assert [envelope async for envelope in inbox] == []
    assert client.supervisor.attempt == 1
    assert honest.texts == MESSAGES
    assert all(each.outcome is Outcome.SENT for each in deliveries)


async def test_flood_of_messages_holds_up_nothing_and_takes_little_memory() -> None:
    honest = Honest()
    envelope = {"source": ANNA, "timestamp": 2**40, "dataMessage": {"message": "x" * 1000}}
    flooded = Event()

    async def flood(peer: HttpPeer) -> None:
        for number in range(2000):
            await peer.send_chunk(receive({"envelope": envelope | {"timestamp": 2**40 + number}}))
        flooded.set()
        await peer.hear_end()

    async with at_most(12), scripted_http(receiving(honest, flood)) as server:
        async with client_of(server.endpoint()) as client:
            inbox = client.messages(100)
            await send_all(client)
            await client.buffer.flush()
            await flooded.wait()
            while inbox.dropped < 1900:
                await checkpoint()
        assert len([envelope async for envelope in inbox]) == 100
    assert honest.texts == MESSAGES
    assert client.supervisor.attempt == 0


# Memory


@pytest.mark.parametrize("head", [b"Content-Length: 999999999999", b"Connection: close", b"Transfer-Encoding: chunked"])
async def test_flood_takes_little_more_memory_than_the_longest_line(head: bytes) -> None:
    honest = Honest()
    piece = b"100000\r\n%b\r\n" % (b"x" * MEBIBYTE) if head.endswith(b"chunked") else b"x" * MEBIBYTE
    scripts = [hostile(honest, repeat(OK + head + b"\r\n\r\n", piece), "send"), honestly(honest)]
    async with (
        at_most(1.5 * MAX_LINE / MEBIBYTE),
        scripted_http(*scripts) as server,
        client_of(server.endpoint()) as client,
    ):
        await send_all(client)
        await client.buffer.flush()
    assert honest.texts == MESSAGES


async def test_calls_that_are_given_up_leave_nothing_behind() -> None:
    heard = Event()

    async def half_answer(peer: HttpPeer) -> None:
        await STALLS["half a body"](peer, await peer.hear())
        heard.set()
        await peer.hear_end()

    async with at_most(4), scripted_http(half_answer) as server:
        connection = await parse_endpoint(server.endpoint()).open(print)
        for _ in range(50):
            async with create_task_group() as tasks:
                heard = Event()
                tasks.start_soon(connection.call, "version", {"x": "y" * 10_000}, 5)
                await heard.wait()
                tasks.cancel_scope.cancel()
            await server.wait_open(0)
        await connection.aclose()
