"""Where the signal-cli daemon listens, and how to connect there."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass

from anyio import connect_tcp
from anyio.abc import SocketAttribute, SocketStream

ALLOWED = "'unix:/path/to/socket', with an absolute path, or 'tcp://host:port'"

_TCP = re.compile(r"tcp://(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([\w.-]+)):([0-9]{1,5})")


def _known(options: dict[str, int]) -> list[tuple[int, int]]:
    """Those of TCP's options that this platform has, and their values."""
    return [(getattr(socket, name), value) for name, value in options.items() if hasattr(socket, name)]


_KEEPALIVE = _known({"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000})
"""In seconds, tries and milliseconds. A host that vanished is noticed after some 25 s; by the kernel's own figures it
takes two hours while nothing is sent, and a quarter of an hour otherwise."""

_QUICK_ACK = _known({"TCP_QUICKACK": 1})  # only Linux has it


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A UNIX socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

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

    async def connect(self) -> SocketStream:
        """Connect; raises OSError if nobody listens there. **Cancellation** leaves no connection."""
        stream = await connect_tcp(self.host, self.port)
        with suppress(OSError):  # it may be gone already; the first read tells
            stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _set_options(stream, _KEEPALIVE)
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


Endpoint = UnixEndpoint | TcpEndpoint


def _set_options(stream: SocketStream, options: list[tuple[int, int]]) -> None:
    for option, value in options:
        stream.extra(SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, option, value)


def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint: ``unix:/run/signal-cli.sock`` or ``tcp://127.0.0.1:7583``.

    Raises:
        TypeError, ValueError: it is none of these. What was passed is not repeated: there may be a password in it.
    """
    if not isinstance(text, str):
        raise TypeError(f"endpoint must be a string, {ALLOWED}, not {type(text).__name__}")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")  # unix:///run/x is the same place as unix:/run/x
        if path.startswith("/") and "\0" not in path:
            return UnixEndpoint(path)
    elif (match := _TCP.fullmatch(text)) and 0 < int(match[3]) < 2**16:
        return TcpEndpoint(match[1] or match[2], int(match[3]))
    raise ValueError(f"endpoint must be {ALLOWED}")
