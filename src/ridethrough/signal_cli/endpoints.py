"""Where the signal-cli daemon listens, and how to connect there."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from anyio import connect_tcp, connect_unix
from anyio.abc import SocketAttribute, SocketStream

ALLOWED = "'unix:/path/to/socket' or 'tcp://host:port'"

_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
"""In seconds, tries and milliseconds. A host that vanished is noticed after some 25 s; by the kernel's own figures it
takes two hours while nothing is sent, and a quarter of an hour otherwise."""

_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # only Linux has it


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A UNIX socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    async def connect(self) -> SocketStream:
        """Connect; raises OSError if nobody listens there. **Cancellation** leaves no connection."""
        return await connect_unix(self.path)

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
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                raw.setsockopt(socket.IPPROTO_TCP, option, value)
        self.after_read(stream)
        return stream

    def after_read(self, stream: SocketStream) -> None:
        """Have the next segment acknowledged at once; the kernel forgets that with each read, so after each.

        The daemon writes the newline of an answer as a packet of its own, which Nagle's algorithm holds back until the
        answer before it is acknowledged: by default 40 ms later, in which the client waits (measured on signal-cli
        0.13.19: 44 ms a call, and 0.3 ms with this).
        """
        if _QUICK_ACK is not None:
            stream.extra(SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


Endpoint = UnixEndpoint | TcpEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint: ``unix:/run/signal-cli.sock`` or ``tcp://127.0.0.1:7583``.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    if not isinstance(text, str):
        raise TypeError(f"endpoint must be a string, {ALLOWED}, not {type(text).__name__}")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")  # unix:///run/x is the same place as unix:/run/x
        if not Path(path).is_absolute() or "\0" in path:
            raise ValueError(f"endpoint must be {ALLOWED}, with an absolute path, not {text!r}")
        return UnixEndpoint(path)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"endpoint must be {ALLOWED}, not {text!r}: {error}") from None
    extra = parts.path or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme != "tcp" or not host or not port or extra:
        raise ValueError(f"endpoint must be {ALLOWED}, not {text!r}")
    return TcpEndpoint(host, port)
