"""What differs over HTTP, on the real daemon and the one to test against. See also test_slow_facts.py."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from anyio import connect_tcp, fail_after, sleep
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from ridethrough.jsonrpc import MAX_DEPTH, MAX_STRING
from tests.answers import ANNA, IS_VERSION, error
from tests.answers_of_methods import THEN
from tests.talk import PATIENCE, request, send

from .both import Daemon, Real, daemon_of
from .rig import SignalRig, reset_when_closed

pytestmark = pytest.mark.anyio

VERSION = request("version")
JSON = "Content-Type: application/json"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the real daemon does not know which; the fake one's own tests run on both


@pytest.fixture(params=["real", "fake"])
async def daemon(request: pytest.FixtureRequest, rig: SignalRig) -> AsyncIterator[Daemon]:
    async with daemon_of(request.param, rig, "http://127.0.0.1:0") as daemon:
        yield daemon


def line_of(message: Any) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def post(message: Any, *headers: str) -> bytes:
    """A request to perform something."""
    body = line_of(message)
    return _head("POST /api/v1/rpc", f"Content-Length: {len(body)}", *headers) + body


def get(path: str, *headers: str) -> bytes:
    return _head(f"GET {path}", *headers)


def _head(what: str, *headers: str) -> bytes:
    return "\r\n".join([f"{what} HTTP/1.1", *headers, "", ""]).encode()


async def connect(daemon: Daemon) -> SocketStream:
    host, port = daemon.http.removeprefix("http://").split(":")
    return await connect_tcp(host, int(port))


async def ask(daemon: Daemon, request: bytes) -> tuple[int, bytes]:
    """Send a request on a connection of its own; returns the status and the body of the answer."""
    async with await connect(daemon) as stream:
        await stream.send(request)
        reader = BufferedByteReceiveStream(stream)
        with fail_after(PATIENCE):
            head = (await reader.receive_until(b"\r\n\r\n", 2**16)).lower()
            _, _, size = head.partition(b"content-length:")
            body = await reader.receive_exactly(int(size.split()[0]))
    return int(head.split()[1]), body


async def test_request_is_answered(daemon: Daemon) -> None:
    status, body = await ask(daemon, post(VERSION, JSON))
    assert (status, json.loads(body)) == (200, IS_VERSION)


async def test_batch_is_answered(daemon: Daemon) -> None:
    status, body = await ask(daemon, post([VERSION, VERSION], JSON))
    assert (status, json.loads(body)) == (200, [IS_VERSION, IS_VERSION])


@pytest.mark.parametrize("headers", [(), ("Content-Type: text/plain",)])
async def test_415_without_the_content_type(headers: tuple[str, ...], daemon: Daemon) -> None:
    assert await ask(daemon, post(VERSION, *headers)) == (415, b"")


async def test_content_type_may_name_a_charset(daemon: Daemon) -> None:
    status, _ = await ask(daemon, post(VERSION, f"{JSON}; charset=utf-8"))
    assert status == 200


async def test_errors_have_status_200(daemon: Daemon) -> None:
    status, body = await ask(daemon, post(request("nothing"), JSON))
    assert (status, json.loads(body)) == (200, error(-32601, "Method not implemented"))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{x", -32700),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), -32603),
        (request("version", x="x" * (MAX_STRING + 1)), -32603),
    ],
    ids=["no JSON", "too deep", "string too long"],
)
async def test_unreadable_request_has_status_200_and_no_id(message: Any, code: int, daemon: Daemon) -> None:
    status, body = await ask(daemon, post(message, JSON))
    answer = json.loads(body)
    assert (status, answer["error"]["code"], answer["id"]) == (200, code, None)


@pytest.mark.parametrize(("message", "code"), [(b'{"\xff":1}', -32700), (b"", -32600)], ids=["no UTF-8", "nothing"])
async def test_what_is_no_text_or_nothing_is_told_apart(message: bytes, code: int, rig: SignalRig) -> None:
    """A socket's connection ends at the first, and has an empty line for the second."""
    status, body = await ask(Real(rig), post(message, JSON))
    answer = json.loads(body)
    assert (status, answer["error"]["code"], answer["id"]) == (200, code, None)


async def test_201_without_an_id(daemon: Daemon) -> None:
    assert await ask(daemon, post({"jsonrpc": "2.0", "method": "version"}, JSON)) == (201, b"")


async def test_check(daemon: Daemon) -> None:
    assert await ask(daemon, get("/api/v1/check")) == (200, b"")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (get("/api/v1/rpc"), 405),
        (get("/nothing"), 404),
        (get("/api/v1/events?account=%2B15559999999"), 400),
    ],
    ids=["wrong method", "wrong path", "events of an unknown account"],
)
async def test_wrong_request(request_head: bytes, status: int, daemon: Daemon) -> None:
    assert (await ask(daemon, request_head))[0] == status


@pytest.mark.parametrize("headers", [(), ("Host: evil.example",), ("Origin: https://evil.example",)])
async def test_nobody_is_asked_who_he_is(headers: tuple[str, ...], daemon: Daemon) -> None:
    status, body = await ask(daemon, post(send("hello", ANNA), JSON, *headers))
    assert (status, "result" in json.loads(body)) == (200, True)
    assert await daemon.arrivals(1) == [ANNA]


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_aborted_request_is_performed(reset: bool, daemon: Daemon) -> None:
    daemon.freeze()
    async with await connect(daemon) as stream:
        await stream.send(post(send("hello", ANNA), JSON))
        if reset:
            reset_when_closed(stream)
    daemon.thaw()
    assert await daemon.arrivals(1) == [ANNA]


async def test_event_comes_at_once_and_with_the_header(daemon: Daemon) -> None:
    async with await connect(daemon) as stream:
        await stream.send(get("/api/v1/events"))
        await sleep(0.3)
        await daemon.push_receipt(ANNA, THEN)
        heard = b""
        with fail_after(5):
            while b"\n\n" not in heard:
                heard += await stream.receive()
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"text/event-stream" in head
    _, event, data, *_ = body.splitlines()
    assert event == b"event:receive"
    assert json.loads(data.removeprefix(b"data:")).keys() == {"envelope", "account"}
