"""http.py: opening a connection, and calls over it."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, create_task_group, create_tcp_listener
from anyio.abc import SocketAttribute

from ridethrough import AuthenticationFailed, LinkLost, Rejected
from ridethrough.jsonrpc import LocalProtocolError
from ridethrough.signal_cli import DaemonError
from ridethrough.signal_cli.connection import Connection
from ridethrough.signal_cli.endpoints import parse_endpoint
from tests.unit.signal_cli.over_http import (
    IN_DOUBT,
    SECRET,
    UNSENT,
    ask,
    check_lost,
    check_not_opened,
    check_over,
    connected,
    opened,
)
from tests.unit.signal_cli.scripted import answer_to
from tests.unit.signal_cli.scripted_http import (
    Heard,
    HttpPeer,
    answer_all,
    scripted_http,
)

pytestmark = pytest.mark.anyio

# Opening


async def test_opening_asks_whether_the_daemon_is_there() -> None:
    heard: list[Heard] = []

    async def serve(peer: HttpPeer) -> None:
        for _ in range(2):
            heard.append(await peer.hear_any())
            await peer.respond(200, b"" if len(heard) == 1 else answer_to(heard[-1].message, result="done"))

    async with scripted_http(serve) as server:
        async with opened(f"{server.endpoint()}/a/b", headers={"Authorization": "Basic abc"}) as connection:
            assert await ask(connection, message="hello") == "done"
        assert server.connections == 1
    check, call = heard
    assert (check.line, call.line) == ("GET /a/b/api/v1/check HTTP/1.1", "POST /a/b/api/v1/rpc HTTP/1.1")
    for request in heard:
        assert request.headers["authorization"] == "Basic abc"
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert request.headers["accept-encoding"] == "identity"
    assert call.headers["content-type"] == "application/json"
    assert call.message == {"jsonrpc": "2.0", "id": 1, "method": "send", "params": {"message": "hello"}}


@pytest.mark.parametrize("status", [204, 302, 400, 404, 413, 500, 503])
async def test_opening_where_no_daemon_is(status: int) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.hear_any()
        await peer.respond(status)

    async with scripted_http(refuse) as server:
        await check_not_opened(server.endpoint(), f"^the daemon answered with HTTP status {status}$")


@pytest.mark.parametrize("status", [401, 403])
async def test_opening_with_credentials_that_are_refused(status: int) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.hear_any()
        await peer.respond(status)

    async with scripted_http(refuse) as server:
        with pytest.raises(AuthenticationFailed, match=f"HTTP status {status}"):
            async with opened(server.endpoint()):
                pass
        await server.wait_open(0)


async def test_opening_where_nobody_listens() -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
    await check_not_opened(f"http://127.0.0.1:{port}", "onnect")  # in the words of the system, or of the event loop


async def test_opening_where_something_else_is_spoken() -> None:
    async def speak(peer: HttpPeer) -> None:
        await peer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        await peer.hear_end()

    async with scripted_http(speak) as server:
        await check_not_opened(server.endpoint(), "^the daemon has closed the connection, or does not speak HTTP$")


async def test_opening_cancelled_leaves_nothing() -> None:
    reached = Event()

    async def stall(peer: HttpPeer) -> None:
        await peer.hear_any()
        reached.set()
        await peer.hear_end()

    async with scripted_http(stall) as server:
        async with create_task_group() as tasks:
            tasks.start_soon(parse_endpoint(server.endpoint()).open, print)
            await reached.wait()
            tasks.cancel_scope.cancel()
        await server.wait_open(0)


# Calls


async def test_calls_keep_one_connection_alive() -> None:
    async with scripted_http(answer_all) as server, opened(server.endpoint()) as connection:
        for number in range(5):
            assert await ask(connection, n=number) == {"n": number}
        assert server.connections == 1


async def test_calls_at_the_same_time_get_each_its_answer() -> None:
    answers: dict[int, Any] = {}

    async def note(connection: Connection, number: int) -> None:
        answers[number] = await ask(connection, n=number)

    async with connected(answer_all) as connection:
        async with create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(note, connection, number)
        assert answers == {number: {"n": number} for number in range(10)}


async def test_call_over_a_server_that_closes_after_each_answer() -> None:
    async def serve(peer: HttpPeer) -> None:
        heard = await peer.hear()
        await peer.respond(200, answer_to(heard.message, result="done"), "Connection: close")

    async with connected(serve) as connection:
        for _ in range(3):
            assert await ask(connection) == "done"


async def test_error_is_raised() -> None:
    async def refuse(peer: HttpPeer) -> None:
        heard = await peer.hear()
        error = {"code": -1, "message": "it failed", "data": {"response": None}}
        await peer.respond(200, answer_to(heard.message, error=error))
        await answer_all(peer)

    async with connected(refuse) as connection:
        with pytest.raises(DaemonError) as caught:
            await ask(connection)
        assert (caught.value.code, caught.value.message, caught.value.data) == (-1, "it failed", {"response": None})
        assert await ask(connection) == {}


async def test_answer_in_chunks_of_a_byte() -> None:
    async def dribble(peer: HttpPeer) -> None:
        heard = await peer.hear()
        await peer.begin_events("application/json")
        for byte in b" \n" + answer_to(heard.message, result="ü") + b"\r\n":
            await peer.send_chunk(bytes([byte]))
        await peer.send_chunk(b"")
        await answer_all(peer)

    async with connected(dribble) as connection:
        assert await ask(connection) == "ü"
        assert await ask(connection) == {}


async def test_request_that_cannot_be_sent_leaves_the_connection_as_it_was() -> None:
    async with connected(answer_all) as connection:
        with pytest.raises(LocalProtocolError):
            await ask(connection, message="\ud83d")
        assert await ask(connection) == {}


async def test_connection_that_was_closed_while_idle_is_made_anew() -> None:
    async def once(peer: HttpPeer) -> None:
        await peer.answer(await peer.hear())

    async with scripted_http(once) as server, opened(server.endpoint()) as connection:
        for calls in range(1, 4):
            assert await ask(connection) == "done"
            await server.wait_open(0)
            assert server.connections == calls


async def test_daemon_that_has_gone_is_noticed_before_anything_is_sent() -> None:
    async def go(peer: HttpPeer) -> None:
        await peer.hear_any()
        await peer.respond(200)

    async with scripted_http(go) as server:
        connection = await parse_endpoint(server.endpoint()).open(print)
        await server.wait_open(0)
    with pytest.raises(LinkLost) as caught:
        await ask(connection)
    assert caught.value.unsent
    await connection.aclose()


# What a status means


@pytest.mark.parametrize(
    ("status", "unsent"),
    [
        *((status, IN_DOUBT) for status in (201, 204, 500, 502, 503, 504)),
        *((status, UNSENT) for status in (301, 307, 400, 404, 405, 408, 415, 429)),
    ],
)
async def test_status_that_ends_the_connection(status: int, unsent: bool) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.respond(status, b"", "Location: http://127.0.0.1:1/")
        await peer.hear_end()

    async with connected(refuse) as connection:
        await check_lost(connection, f"the daemon answered with HTTP status {status}", unsent)
        await check_over(connection, f"the daemon answered with HTTP status {status}")


@pytest.mark.parametrize("status", [401, 403])
async def test_status_that_refuses_the_credentials(status: int) -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.respond(status, SECRET.encode())
        await peer.hear_end()

    async with connected(refuse) as connection:
        with pytest.raises(AuthenticationFailed, match=f"^the daemon, or a proxy .* HTTP status {status}$"):
            await ask(connection)


async def test_status_that_refuses_a_message_of_that_size() -> None:
    """It is written to the end, or as far as the other side takes it; then the status is read all the same."""

    async def refuse(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.respond(413, SECRET.encode(), "Connection: close")

    async with connected(refuse, answer_all) as connection:
        with pytest.raises(Rejected, match=r"^too large for something before the daemon: HTTP status 413$"):
            await ask(connection, message="x" * 10**7)
        assert await ask(connection) == {}
