"""endpoints.py: where the daemon listens, and connecting there."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio import aclose_forcefully, create_tcp_listener, create_unix_listener
from anyio.abc import SocketAttribute

from ridethrough.signal_cli.connection import LineConnection
from ridethrough.signal_cli.endpoints import ALLOWED, HttpEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("unix:/run/signal-cli.sock", UnixEndpoint("/run/signal-cli.sock")),
        ("unix:///run/signal-cli.sock", UnixEndpoint("/run/signal-cli.sock")),
        ("unix:/a b/ü?x#y@z:1", UnixEndpoint("/a b/ü?x#y@z:1")),
        ("tcp://127.0.0.1:7583", TcpEndpoint("127.0.0.1", 7583)),
        ("tcp://signal_cli.example-1.org:1", TcpEndpoint("signal_cli.example-1.org", 1)),
        ("tcp://[::1]:65535", TcpEndpoint("::1", 65535)),
        ("tcp://[fe80::1%eth0]:7583", TcpEndpoint("fe80::1%eth0", 7583)),
        ("http://127.0.0.1:8080", HttpEndpoint("http", "127.0.0.1", 8080)),
        ("http://signal_cli.example-1.org", HttpEndpoint("http", "signal_cli.example-1.org", 80)),
        ("https://localhost/", HttpEndpoint("https", "localhost", 443)),
        ("https://[::1]:65535/signal", HttpEndpoint("https", "::1", 65535, "/signal")),
        ("http://[::1]/~a.b/c_d-..e/%2Fx/", HttpEndpoint("http", "::1", 80, "/~a.b/c_d-..e/%2Fx")),
    ],
)
def test_endpoint_is_read(text: str, endpoint: object) -> None:
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/signal-cli.sock",
        "127.0.0.1:7583",
        "unix:",
        "unix:run/signal-cli.sock",
        "unix://run/signal-cli.sock",
        "unix:/run/signal\0cli.sock",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:0",
        "tcp://localhost:65536",
        "tcp://localhost:-1",
        "tcp://localhost:+1",
        "tcp://localhost:port",
        "tcp://localhost:١٢",
        "tcp://:7583",
        "tcp://::1:7583",
        "tcp://[::1:7583",
        "tcp://[localhost]:7583",
        "tcp://local host:7583",
        "tcp://local\nhost:7583",
        "tcp://localhost\0:7583",
        "tcp://localhost:7583\n",
        "tcp://localhost:7583/",
        "tcp://localhost:7583?",
        "tcp://localhost:7583#",
        "tcp://@localhost:7583",
        "tcp://anna:secret@localhost:7583",
        "tcp:localhost:7583",
        "http://",
        "http:///",
        "http://localhost:",
        "http://localhost:0",
        "http://localhost:65536",
        "http://localhost:8080?",
        "http://localhost:8080/?account=1",
        "http://localhost:8080/#",
        "http://@localhost",
        "http://anna:secret@localhost",
        "http://local host",
        "http://localhost\r\nX: y",
        "http://localhost/\n",
        "http://localhost/a\n",
        "http://localhost/a//b",
        "http://localhost/a/../b",
        "http://localhost/./b",
        "http://localhost/..",
        "http://localhost/a b",
        "http://localhost/%",
        "http://localhost/%zz",
        "http://localhost/ü",
        "http://lücal",
        "http://[localhost]",
        "http://::1",
        "HTTP://localhost",
        "ws://localhost",
    ],
)
def test_endpoint_that_is_none(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_endpoint(text)
    assert str(caught.value) == f"endpoint must be {ALLOWED}"  # and a password in it is not repeated


@pytest.mark.parametrize("thing", [None, True, 7583, b"unix:/run/x", Path("/run/x")], ids=repr)
def test_endpoint_that_is_no_string(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"endpoint must be a string, .*, not {type(thing).__name__}"):
        parse_endpoint(thing)


def test_headers_are_kept_and_not_shown() -> None:
    endpoint = parse_endpoint("http://localhost", {"Authorization": "Basic secret", "x-empty": ""})
    assert isinstance(endpoint, HttpEndpoint)
    assert endpoint.headers == (("Authorization", "Basic secret"), ("x-empty", ""))
    assert "secret" not in f"{endpoint} {endpoint!r}"
    assert parse_endpoint("http://localhost", {}) == parse_endpoint("http://localhost")
    assert parse_endpoint("unix:/run/x", {}) == UnixEndpoint("/run/x")


@pytest.mark.parametrize(
    "headers", [{"": "x"}, {"a b": "x"}, {"a:": "x"}, {"ü": "x"}, {"Content-length": "x"}], ids=repr
)
def test_header_with_a_bad_name(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^headers has a name that is none, or is not to be set"):
        parse_endpoint("http://localhost", headers)


@pytest.mark.parametrize(
    "value", [" secret", "secret ", "sec\r\nret: x", "secret\n", "sec\0ret", "secrét", "\t"], ids=repr
)
def test_header_with_a_bad_value(value: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_endpoint("http://localhost", {"x": value})
    assert str(caught.value) == "headers has a value that is not printable ASCII, or that begins or ends with a space"


@pytest.mark.parametrize("headers", ["x: y", [("x", "y")], {"x": b"y"}, {b"x": "y"}, {"x": None}], ids=repr)
def test_headers_that_are_none(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"^headers must "):
        parse_endpoint("http://localhost", headers)


@pytest.mark.parametrize("text", ["unix:/run/x", "tcp://localhost:7583"])
def test_headers_without_http(text: str) -> None:
    with pytest.raises(ValueError, match="headers are for an http:// or https:// endpoint alone"):
        parse_endpoint(text, {"x": "y"})


def test_http_is_below_tcp() -> None:
    assert HttpEndpoint("https", "::1", 443, "/x").below == TcpEndpoint("::1", 443)


def test_http_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ridethrough.signal_cli.http", raising=False)
    monkeypatch.delattr("ridethrough.signal_cli.http", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"^an http endpoint needs httpx2: pip install 'ridethrough\[http\]'$"):
        parse_endpoint("http://localhost")


def test_others_do_not_import_httpx2() -> None:
    program = "import sys; from ridethrough.signal_cli import SignalClient; SignalClient('tcp://localhost:1'); "
    subprocess.run([sys.executable, "-c", program + "assert 'httpx2' not in sys.modules"], check=True)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_open_gives_a_connection(kind: str) -> None:
    with TemporaryDirectory() as folder:
        listen = create_unix_listener(f"{folder}/socket") if kind == "unix" else create_tcp_listener()
        async with await listen as listener:
            port = listener.extra(SocketAttribute.local_port, None)
            text = f"unix:{folder}/socket" if kind == "unix" else f"tcp://127.0.0.1:{port}"
            connection = await parse_endpoint(text).open(lambda _: None)
            assert isinstance(connection, LineConnection)
            await connection.aclose()


async def test_unix_endpoint_connects() -> None:
    with TemporaryDirectory() as folder:  # pytest's own may have too long a name for a socket
        endpoint = UnixEndpoint(f"{folder}/socket")
        async with await create_unix_listener(endpoint.path):
            stream = await endpoint.connect()
            endpoint.after_read(stream)
            await stream.aclose()


async def test_tcp_endpoint_connects_with_keepalive_and_without_delay() -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        endpoint = TcpEndpoint("127.0.0.1", listener.extra(SocketAttribute.local_port))
        async with await endpoint.connect() as stream:
            raw = stream.extra(SocketAttribute.raw_socket)
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has TCP_QUICKACK")
async def test_tcp_acknowledges_at_once_after_each_read() -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        endpoint = TcpEndpoint("127.0.0.1", listener.extra(SocketAttribute.local_port))
        async with await endpoint.connect() as stream:
            raw = stream.extra(SocketAttribute.raw_socket)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            endpoint.after_read(stream)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)


async def test_tcp_options_of_a_connection_that_is_gone_are_no_matter() -> None:
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        endpoint = TcpEndpoint("127.0.0.1", listener.extra(SocketAttribute.local_port))
        stream = await endpoint.connect()
        raw = stream.extra(SocketAttribute.raw_socket)
        await aclose_forcefully(stream)
        with pytest.raises(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        endpoint.after_read(stream)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_nobody_listens(kind: str) -> None:
    with TemporaryDirectory() as folder:
        async with await create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)
        with pytest.raises(OSError):
            await parse_endpoint(f"unix:{folder}/socket" if kind == "unix" else f"tcp://127.0.0.1:{port}").open(print)
