"""A daemon that does, byte by byte, what a test tells it to."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    create_tcp_listener,
)
from anyio.abc import SocketAttribute, SocketStream

from ridethrough.signal_cli.endpoints import TcpEndpoint

PATIENCE = 30
"""Seconds after which a test that waits for nothing fails."""


class Peer:
    """The daemon's end of one connection."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._heard = b""

    async def hear(self) -> dict[str, Any]:
        """The next request."""
        while b"\n" not in self._heard:
            self._heard += await self._stream.receive()
        line, self._heard = self._heard.split(b"\n", 1)
        request: dict[str, Any] = json.loads(line)
        return request

    async def hear_end(self) -> bytes:
        """What comes until the client has gone."""
        with suppress(EndOfStream, BrokenResourceError):
            while True:
                self._heard += await self._stream.receive()
        return self._heard

    async def stall(self, until: Event | None = None) -> None:
        """Take a piece of a request, and then nothing, for as long as told."""
        self._heard += await self._stream.receive()  # only after the first does asyncio cease to read ahead
        await (until or Event()).wait()

    async def write(self, data: bytes) -> None:
        """Send any bytes."""
        await self._stream.send(data)

    async def answer(self, request: dict[str, Any], result: Any = "done") -> None:
        """Answer a request."""
        await self.write(answer_to(request, result=result))

    async def fail(self, request: dict[str, Any], code: int, data: Any = None) -> None:
        """Answer a request with an error."""
        await self.write(answer_to(request, error={"code": code, "message": "it failed", "data": data}))

    async def reset(self) -> None:
        """End the connection the hard way."""
        raw = self._stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._stream.aclose()


Script = Callable[[Peer], Awaitable[object]]


def answer_to(request: dict[str, Any], **members: Any) -> bytes:
    """The line that answers a request, with a ``result`` or an ``error``."""
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], **members}).encode() + b"\n"


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[TcpEndpoint]:
    """Serve one connection by each script in turn, and any more by the last one; each ends with its script."""
    left = list(scripts)

    async def serve(stream: SocketStream) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        async with stream:
            with suppress(EndOfStream, BrokenResourceError, ClosedResourceError):
                await script(Peer(stream))

    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield TcpEndpoint("127.0.0.1", listener.extra(SocketAttribute.local_port))
        tasks.cancel_scope.cancel()
