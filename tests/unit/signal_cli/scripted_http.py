"""A daemon that speaks HTTP, and does, byte by byte, what a test tells it to."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Event, create_task_group, create_tcp_listener
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

from tests.unit.signal_cli.scripted import answer_to

ENDED = (EndOfStream, BrokenResourceError, ClosedResourceError)


@dataclass(frozen=True, slots=True)
class Heard:
    """A request."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC request in it."""
        message: dict[str, Any] = json.loads(self.body)
        return message


class HttpPeer:
    """The daemon's end of one connection; if it speaks TLS, it begins to when it wants to hear something."""

    def __init__(self, stream: ByteStream, tls: ssl.SSLContext | None) -> None:
        self.stream = stream
        self._tls = tls
        self._heard = b""

    async def hear(self) -> Heard:
        """The next request that is no check; checks are answered."""
        while (heard := await self.hear_any()).line.startswith("GET /api/v1/check "):
            await self.respond(200)
        return heard

    async def hear_any(self) -> Heard:
        """The next request."""
        if self._tls is not None:
            self.stream = await TLSStream.wrap(self.stream, ssl_context=self._tls, standard_compatible=False)
            self._tls = None
        while b"\r\n\r\n" not in self._heard:
            self._heard += await self.stream.receive()
        head, _, self._heard = self._heard.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in fields)}
        length = int(headers.get("content-length", "0"))
        while len(self._heard) < length:
            self._heard += await self.stream.receive()
        body, self._heard = self._heard[:length], self._heard[length:]
        return Heard(line, headers, body)

    async def hear_end(self) -> bytes:
        """What comes until the client has gone."""
        with suppress(*ENDED):
            while True:
                self._heard += await self.stream.receive()
        return self._heard

    async def write(self, data: bytes) -> None:
        """Send any bytes."""
        await self.stream.send(data)

    async def respond(self, status: int, body: bytes = b"", *fields: str) -> None:
        """Send a response."""
        fields = (f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields)
        await self.write("\r\n".join((*fields, "", "")).encode() + body)

    async def answer(self, heard: Heard, result: Any = "done") -> None:
        """Answer a request."""
        await self.respond(200, answer_to(heard.message, result=result))

    async def begin_events(self, kind: str = "text/event-stream") -> None:
        """Say that events will come."""
        await self.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: %b\r\n\r\n" % kind.encode())

    async def send_chunk(self, data: bytes) -> None:
        """Send a piece of the events."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))


HttpScript = Callable[[HttpPeer], Awaitable[object]]


@dataclass(slots=True)
class Scripted:
    """What serves the scripts."""

    port: int
    connections: int = 0
    open: int = 0
    changed: Event = field(default_factory=Event)

    def endpoint(self, scheme: str = "http") -> str:
        """Where it listens."""
        return f"{scheme}://{'localhost' if scheme == 'https' else '127.0.0.1'}:{self.port}"

    async def wait_open(self, count: int) -> None:
        """Wait until no more connections are open than that."""
        while self.open > count:
            await self.changed.wait()

    async def wait_made(self, count: int) -> None:
        """Wait until that many connections have been made."""
        while self.connections < count:
            await self.changed.wait()

    def count(self, change: int) -> None:
        """One connection more is open, or less."""
        self.open += change
        self.connections += change > 0
        self.changed.set()
        self.changed = Event()


@asynccontextmanager
async def scripted_http(*scripts: HttpScript, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Serve one connection by each script in turn, and any more by the last one; each ends with its script."""
    left = list(scripts)

    async def serve(stream: ByteStream) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        server.count(1)
        try:
            async with stream:
                with suppress(*ENDED, ssl.SSLError):
                    await script(HttpPeer(stream, tls))
        finally:
            server.count(-1)

    async with await create_tcp_listener(local_host="127.0.0.1") as tcp, create_task_group() as tasks:
        server = Scripted(tcp.extra(SocketAttribute.local_port))
        tasks.start_soon(tcp.serve, serve)
        yield server
        tasks.cancel_scope.cancel()


async def answer_all(peer: HttpPeer) -> None:
    """A script: a daemon that behaves; the result is what it was asked with."""
    while True:
        heard = await peer.hear()
        await peer.answer(heard, heard.message["params"])


async def wait_for_end(peer: HttpPeer) -> None:
    """A script: the check is answered, and nothing else."""
    await peer.hear()
    await peer.hear_end()
