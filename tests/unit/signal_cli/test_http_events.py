"""http.py: incoming messages, which are events of a response that goes on."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from anyio import Event, create_task_group, fail_after, move_on_after

from ridethrough import LinkLost, Rejected
from ridethrough.signal_cli.endpoints import HttpEndpoint, parse_endpoint
from ridethrough.signal_cli.http import HttpConnection
from tests.unit.signal_cli.over_http import (
    SECRET,
    ask,
    check_over,
    connected,
    opened,
)
from tests.unit.signal_cli.scripted import PATIENCE
from tests.unit.signal_cli.scripted_http import (
    HttpPeer,
    HttpScript,
    scripted_http,
    wait_for_end,
)

pytestmark = pytest.mark.anyio


def events(*scripts: HttpScript) -> HttpScript:
    """A script for each connection: who asks for events gets them by these in turn, and anything else an answer."""
    left = list(scripts)

    async def serve(peer: HttpPeer) -> None:
        while True:
            heard = await peer.hear()
            if heard.line == "GET /api/v1/events HTTP/1.1":
                assert heard.headers["accept"] == "text/event-stream"
                await left.pop(0)(peer)
                return
            await peer.answer(heard)

    return serve


async def test_events_are_handed_on() -> None:
    received: list[dict[str, Any]] = []
    done = Event()

    def note(params: dict[str, Any]) -> None:
        received.append(params)
        if params == {"last": "ü"}:
            done.set()

    async def send(peer: HttpPeer) -> None:
        await peer.begin_events("text/event-stream; charset=utf-16")
        text = 'event:receive\ndata:{"n":1}\n\n:\n:\n\nevent: other\ndata: {"n":2}\n\ndata:{"n":3}\n\n'
        text += 'id: 7\nevent: receive\r\ndata: {"n":\r\ndata:4}\r\n\r\nretry: 9\nevent:receive\ndata:{"last":"ü"}\n\n'
        for byte in text.encode():
            await peer.send_chunk(bytes([byte]))
        await peer.hear_end()

    async with connected(events(send), on_receive=note) as connection:
        await connection.subscribe({"account": "+15550100200"}, PATIENCE)
        await connection.subscribe({}, PATIENCE)
        await done.wait()
        assert received == [{"n": 1}, {"n": 4}, {"last": "ü"}]
        assert await ask(connection) == "done"


async def test_nothing_is_asked_for_before_it_is_wanted() -> None:
    async with connected(events()) as connection:  # which would fail
        for _ in range(3):
            assert await ask(connection) == "done"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "text/html"), (204, ""), (302, "text/event-stream"), (401, ""), (404, "text/event-stream")],
)
async def test_events_that_are_not_to_be_had_leave_the_connection_as_it_was(status: int, kind: str) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.respond(status, b"", f"Content-Type: {kind}")

    async with connected(events(refuse)) as connection:
        for _ in range(2):
            with pytest.raises(Rejected, match=f"^no incoming messages are to be had: HTTP status {status}$"):
                await connection.subscribe({}, PATIENCE)
        assert await ask(connection) == "done"
        with move_on_after(0.05) as waiting:
            await connection.wait_closed()
        assert waiting.cancelled_caught


async def check_events_end(script: HttpScript, reason: str, received: list[dict[str, Any]] | None = None) -> None:
    """The connection is gone for that reason, and so are the sockets."""
    taken: list[dict[str, Any]] = []
    async with scripted_http(events(script)) as server, opened(server.endpoint(), taken.append) as connection:
        try:
            await connection.subscribe({}, PATIENCE)
        except LinkLost as lost:
            assert str(lost) == reason  # it may be over before or after
        await check_over(connection, reason)
        await server.wait_open(1)  # that of the check
    assert taken == (received or [])


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_status_that_may_pass_for_events(status: int) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.respond(status, b"", "Content-Type: text/event-stream")

    await check_events_end(refuse, f"the daemon answered with HTTP status {status}")


async def test_end_of_events() -> None:
    async def end(peer: HttpPeer) -> None:
        await peer.begin_events()
        await peer.send_chunk(b'event:receive\ndata:{"n":1}\n\n')
        await peer.send_chunk(b"")

    await check_events_end(end, "the daemon has closed the connection", [{"n": 1}])


async def test_end_in_the_middle_of_an_event() -> None:
    async def end(peer: HttpPeer) -> None:
        await peer.begin_events()
        await peer.send_chunk(b'event:receive\ndata:{"n":1}\n')

    await check_events_end(end, "the daemon has closed the connection, or does not speak HTTP")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b"null", b"\xff", b"[" * 100_000, b"9" * 5000, SECRET.encode()], ids=range(9)
)
async def test_event_that_is_no_object(data: bytes) -> None:
    async def send(peer: HttpPeer) -> None:
        await peer.begin_events()
        event = b'event:receive\ndata:{"n":%d}\n\n'
        await peer.send_chunk(event % 1 + b"event:receive\ndata:" + data + b"\n\n" + event % 2)
        await peer.hear_end()

    await check_events_end(send, "the daemon does not speak JSON-RPC: an incoming message is no object", [{"n": 1}])


async def test_compressed_events() -> None:
    async def send(peer: HttpPeer) -> None:
        await peer.respond(200, b"x", "Content-Type: text/event-stream", "Content-Encoding: br")

    await check_events_end(send, "the daemon has closed the connection, or does not speak HTTP")


@pytest.mark.parametrize("piece", [b"x", b":x", b"data:x\n"])
async def test_event_without_an_end(piece: bytes) -> None:
    async def flood(peer: HttpPeer) -> None:
        await peer.begin_events()
        while True:
            await peer.send_chunk(piece * 2**16)

    await check_events_end(flood, "the daemon does not speak JSON-RPC: an event is larger than 4194304 bytes")


async def test_silence_ends_the_connection_and_a_sign_of_life_is_none() -> None:
    async def go_silent(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.begin_events()
        for _ in range(5):
            await peer.send_chunk(b":\n")
        await peer.hear_end()

    async with scripted_http(go_silent) as server:
        endpoint = parse_endpoint(server.endpoint())
        assert isinstance(endpoint, HttpEndpoint)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        connection = HttpConnection(endpoint, context, lambda _: None, silence=0.1)
        with fail_after(PATIENCE):
            async with create_task_group() as tasks:
                tasks.start_soon(connection.read)
                await connection.subscribe({}, PATIENCE)
                await check_over(connection, "nothing came for too long")
        await connection.aclose()


async def test_call_under_way_gets_its_answer_though_the_events_have_ended() -> None:
    called, over = Event(), Event()

    async def serve(peer: HttpPeer) -> None:
        heard = await peer.hear()
        if heard.line.startswith("GET"):
            await peer.begin_events()
            await called.wait()
            return
        called.set()
        await over.wait()
        await peer.answer(heard)
        await peer.hear_end()

    async with connected(serve) as connection, create_task_group() as tasks:

        async def wait_closed() -> None:
            with pytest.raises(LinkLost):
                await connection.wait_closed()
            over.set()

        await connection.subscribe({}, PATIENCE)
        tasks.start_soon(wait_closed)
        assert await ask(connection) == "done"
        await check_over(connection, "the daemon has closed the connection, or does not speak HTTP")


async def test_subscribing_to_what_is_gone() -> None:
    async with connected(wait_for_end) as connection:
        await connection.aclose()
        with pytest.raises(LinkLost, match=r"^the connection was closed$") as caught:
            await connection.subscribe({}, PATIENCE)
        assert caught.value.unsent
