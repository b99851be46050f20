"""Where the signal-cli daemon listens, and how to connect there."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType

from anyio import connect_tcp
from anyio.abc import SocketAttribute, SocketStream

from .connection import Connection, LineConnection, OnReceive

ALLOWED = "'unix:/path/to/socket', with an absolute path, 'tcp://host:port', or 'http[s]://host[:port][/prefix]'"

_HTTP = re.compile(
    r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?"
    r"((?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9_.~-]|%[0-9A-Fa-f]{2})+)*)/?"
)
_PORTS = {"http": 80, "https": 443}

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_OUR_HEADERS = {
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip

_TCP = re.compile(r"tcp://(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):([0-9]{1,5})")


def _known(options: dict[str, int]) -> list[tuple[int, int]]:
    """Those of TCP's options that this platform has, and their values."""
    return [(getattr(socket, name), value) for name, value in options.items() if hasattr(socket, name)]


KEEPALIVE = _known({"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000})
"""In seconds, tries and milliseconds. A host that vanished is noticed after some 25 s; by the kernel's own figures it
takes two hours while nothing is sent, and a quarter of an hour otherwise."""

_QUICK_ACK = _known({"TCP_QUICKACK": 1})  # only Linux has it


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A UNIX socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    async def open(self, on_receive: OnReceive) -> Connection:
        """Connect, and be ready for calls; incoming messages, if there are any, go to ``on_receive``.

        Raises:
            OSError: nobody listens there.

        **Cancellation** leaves no connection.
        """
        return LineConnection(await self.connect(), self.after_read, on_receive)

    async def connect(self) -> SocketStream:
        """Connect; raises OSError if nobody listens there. **Cancellation** leaves no connection."""
        # Not by anyio's connect_unix: on asyncio, a read of its UNIXSocketStream that is cancelled just when something
        # comes ends in an InvalidStateError (seen with 4.16). A SocketStream over a UNIX socket knows no such thing.
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setblocking(False)
            connection.connect(self.path)  # connects, or not, at once
            return await SocketStream.from_socket(connection)
        except BaseException:
            connection.close()
            raise

    def after_read(self, stream: SocketStream) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    async def open(self, on_receive: OnReceive) -> Connection:
        """Connect, and be ready for calls; incoming messages, if there are any, go to ``on_receive``.

        Raises:
            OSError: nobody listens there.

        **Cancellation** leaves no connection.
        """
        return LineConnection(await self.connect(), self.after_read, on_receive)

    async def connect(self) -> SocketStream:
        """Connect; raises OSError if nobody listens there. **Cancellation** leaves no connection."""
        stream = await connect_tcp(self.host, self.port)
        with suppress(OSError):  # it may be gone already; the first read tells
            stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _set_options(stream, KEEPALIVE)
        self.after_read(stream)
        return stream

    def after_read(self, stream: SocketStream) -> None:
        """Have the next segment acknowledged at once; the kernel forgets that with each read, so after each.

        The daemon writes the newline of an answer as a packet of its own, which Nagle's algorithm holds back until the
        answer before it is acknowledged: by default 40 ms later, in which the client waits (measured on signal-cli
        0.13.19: 44 ms a call, and 0.3 ms with this).
        """
        with suppress(OSError):  # it may be gone already; the next read tells
            _set_options(stream, _QUICK_ACK)


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """An HTTP server: the daemon's own, or a proxy before it.

    Attributes:
        scheme: ``http`` or ``https``.
        prefix: what stands before the daemon's own paths: empty, or ``/like/this``.
        headers: sent with each request.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    async def open(self, on_receive: OnReceive) -> Connection:
        """Connect, see that the daemon answers, and be ready for calls; see :meth:`UnixEndpoint.open`.

        Raises:
            LinkLost, OSError: it does not answer.
            AuthenticationFailed: it refuses who we say we are.

        **Cancellation** leaves no connection.
        """
        connection: Connection = await _http().open_connection(self, on_receive)
        return connection

    @property
    def below(self) -> TcpEndpoint:
        """The TCP port that it runs over."""
        return TcpEndpoint(self.host, self.port)


Endpoint = UnixEndpoint | TcpEndpoint | HttpEndpoint


def _http() -> ModuleType:
    """The module that speaks HTTP, which needs more installed than the others; so it is imported only when needed."""
    try:
        from . import http  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError("an http endpoint needs httpx2: pip install 'ridethrough[http]'") from error
    return http


def _set_options(stream: SocketStream, options: list[tuple[int, int]]) -> None:
    for option, value in options:
        stream.extra(SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, option, value)


def parse_endpoint(text: str, headers: Mapping[str, str] | None = None) -> Endpoint:
    """Read an endpoint: ``unix:/run/signal-cli.sock``, ``tcp://127.0.0.1:7583`` or ``http://127.0.0.1:8080``.

    Args:
        text: the endpoint.
        headers: sent with each HTTP request, such as ``{"Authorization": "Bearer …"}`` for a proxy before the daemon.

    Raises:
        TypeError, ValueError: it is none of these. What was passed is not repeated: there may be a password in it.
        ImportError: it is an http endpoint, and httpx2 is not installed.
    """
    if not isinstance(text, str):
        raise TypeError(f"endpoint must be a string, {ALLOWED}, not {type(text).__name__}")
    pairs = _check_headers(headers)
    if match := _HTTP.fullmatch(text):
        port = _PORTS[match[1]] if match[4] is None else int(match[4])
        if 0 < port < 2**16:
            _http()
            return HttpEndpoint(match[1], match[2] or match[3], port, match[5], pairs)
    elif pairs:
        raise ValueError("headers are for an http:// or https:// endpoint alone")
    elif text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")  # unix:///run/x is the same place as unix:/run/x
        if path.startswith("/") and "\0" not in path:
            return UnixEndpoint(path)
    elif (match := _TCP.fullmatch(text)) and 0 < int(match[3]) < 2**16:
        return TcpEndpoint(match[1] or match[2], int(match[3]))
    raise ValueError(f"endpoint must be {ALLOWED}")


def _check_headers(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if headers is None:
        return ()
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping of names to values, or None, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("headers must have strings as names and values")
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OUR_HEADERS:
            raise ValueError("headers has a name that is none, or is not to be set, such as Content-Length")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError("headers has a value that is not printable ASCII, or that begins or ends with a space")
    return tuple(headers.items())
