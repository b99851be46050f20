"""http.py: what becomes of a call, and of a connection, that comes to an end."""

from __future__ import annotations

import socket
import struct

import pytest
from anyio import CancelScope, Event, create_task_group, move_on_after
from anyio.abc import SocketAttribute

from ridethrough import LinkLost
from ridethrough.jsonrpc import MAX_LINE
from ridethrough.signal_cli.connection import Connection
from ridethrough.signal_cli.endpoints import parse_endpoint
from tests.unit.signal_cli.over_http import (
    IN_DOUBT,
    SECRET,
    ask,
    check_lost,
    check_over,
    connected,
    opened,
)
from tests.unit.signal_cli.scripted_http import (
    HttpPeer,
    answer_all,
    scripted_http,
    wait_for_end,
)

pytestmark = pytest.mark.anyio

# The end


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b'{"jsonrpc":"2.0","id":1,"result":"do',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b'50\r\n{"jsonrpc":"2.0",',
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["nothing", "status", "body", "chunk", "no HTTP", "two lengths", "long header", "compressed"],
)
async def test_end_and_nonsense_after_the_request_are_in_doubt(rest: bytes) -> None:
    async def cut(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.write(rest)

    reason = "the daemon has closed the connection, or does not speak HTTP"
    async with connected(cut) as connection:
        await check_lost(connection, reason, IN_DOUBT)
        await check_over(connection, reason)


async def test_reset_after_the_request_is_in_doubt() -> None:
    async def reset(peer: HttpPeer) -> None:
        await peer.hear()
        raw = peer.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.stream.aclose()

    async with connected(reset) as connection:
        with pytest.raises(LinkLost) as caught:  # in whose words depends on the event loop
            await ask(connection)
        assert not caught.value.unsent
        await check_over(connection, str(caught.value))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (SECRET.encode(), "a line of 15 bytes is not JSON at character 0"),
        (b"", "a line of 0 bytes is not JSON at character 0"),
        (b"[" * 100_000, "a line of 100000 bytes is nested too deep"),
        (b'{"jsonrpc":"2.0","id":999,"result":"done"}', "a response has no id that waits for one"),
        (b'{"jsonrpc":"2.0","id":1,"result":"done"}\n' * 2, "a response has no id that waits for one"),
        (b'{"jsonrpc":"2.0","method":"receive","params":{}}', "its answer is to something else"),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"no"}}', "it could not read a request"),
    ],
    ids=["text", "empty", "depth", "unknown id", "twice", "notification", "id null"],
)
async def test_nonsense_for_an_answer_is_in_doubt(body: bytes, problem: str) -> None:
    async def talk_nonsense(peer: HttpPeer) -> None:
        await peer.hear()
        await peer.respond(200, body)
        await peer.hear_end()

    async with connected(talk_nonsense) as connection:
        await check_lost(connection, f"the daemon does not speak JSON-RPC: {problem}", IN_DOUBT)
        await check_over(connection, f"the daemon does not speak JSON-RPC: {problem}")


async def test_answer_to_another_call_is_none() -> None:
    first = Event()

    async def cross(peer: HttpPeer) -> None:
        await peer.hear()
        if first.is_set():
            await peer.respond(200, b'{"jsonrpc":"2.0","id":1,"result":"done"}')
        first.set()
        await peer.hear_end()

    async with connected(cross) as connection, create_task_group() as tasks:
        tasks.start_soon(ask, connection)
        await first.wait()
        await check_lost(connection, "the daemon does not speak JSON-RPC: its answer is to something else", IN_DOUBT)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("length", [10**15, None], ids=["told", "chunked"])
async def test_flood_ends_the_connection(length: int | None) -> None:
    async def flood(peer: HttpPeer) -> None:
        await peer.hear()
        head = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        await peer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            await (peer.send_chunk(b"x" * 2**20) if length is None else peer.write(b"x" * 2**20))

    async with scripted_http(flood) as server, opened(server.endpoint()) as connection:
        reason = f"the daemon does not speak JSON-RPC: an answer is longer than {MAX_LINE} bytes"
        await check_lost(connection, reason, IN_DOUBT)
        await check_over(connection, reason)
        await server.wait_open(0)


# Time, and giving up


async def test_time_out_is_in_doubt_and_ends_the_connection() -> None:
    async with scripted_http(wait_for_end) as server, opened(server.endpoint()) as connection:
        await check_lost(connection, "no answer within 0.05 s", IN_DOUBT, timeout=0.05)
        await check_over(connection, "no answer within 0.05 s")
        await server.wait_open(0)


async def test_cancelled_call_leaves_nothing_and_the_next_one_works() -> None:
    heard = Event()

    async def stall(peer: HttpPeer) -> None:
        await peer.hear()
        heard.set()
        await peer.hear_end()

    async with scripted_http(stall, answer_all) as server, opened(server.endpoint()) as connection:
        async with create_task_group() as tasks:
            tasks.start_soon(ask, connection)
            await heard.wait()
            tasks.cancel_scope.cancel()
        await server.wait_open(0)
        assert await ask(connection) == {}


async def test_aclose_ends_what_is_under_way() -> None:
    heard = Event()

    async def stall(peer: HttpPeer) -> None:
        await peer.hear()
        heard.set()
        await peer.hear_end()

    async def check_under_way(connection: Connection) -> None:
        with pytest.raises(LinkLost) as caught:
            await ask(connection)
        assert not caught.value.unsent

    async with scripted_http(stall) as server, opened(server.endpoint()) as connection:
        async with create_task_group() as tasks:
            tasks.start_soon(check_under_way, connection)
            await heard.wait()
            await connection.aclose()
            await connection.aclose()
        await server.wait_open(0)
        await check_over(connection, "the connection was closed")


async def test_aclose_cancelled_closes_all_the_same() -> None:
    async with scripted_http(wait_for_end) as server:
        connection = await parse_endpoint(server.endpoint()).open(print)
        with move_on_after(0):
            await connection.aclose()
        await server.wait_open(0)


async def test_reader_that_is_cancelled_ends_the_connection() -> None:
    async with scripted_http(wait_for_end) as server:
        connection = await parse_endpoint(server.endpoint()).open(print)
        with CancelScope() as scope:
            scope.cancel()
            await connection.read()
        await check_over(connection, "the connection is not read any more")
        await connection.aclose()
