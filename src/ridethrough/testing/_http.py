"""One client's connection, as the daemon to test against sees it: over HTTP/1.1, as much of it as signal-cli serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    IncompleteRead,
    create_task_group,
    sleep,
)

from ._clients import Client, encoded

KEEPALIVE = 15.0
"""A sign of life is given to who waits for messages after so many seconds."""

_METHODS = {"/api/v1/rpc": "POST", "/api/v1/events": "GET", "/api/v1/check": "GET"}
_MAX_HEAD = 65536
_ENDLESS = 2**60
_FRUITLESS = (BrokenResourceError, ClosedResourceError, DelimiterNotFound, EndOfStream, IncompleteRead)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; the names of its headers are in lower case."""

    method: str
    path: str
    query: dict[str, list[str]] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def status(self, prefix: str) -> HTTPStatus:
        """OK, or why it is turned away."""
        method = _METHODS.get(self.path.removeprefix(prefix)) if self.path.startswith(prefix) else None
        if method is None:
            return HTTPStatus.NOT_FOUND
        if method != self.method:
            return HTTPStatus.METHOD_NOT_ALLOWED
        if method == "POST" and not self.headers.get("content-type", "").startswith("application/json"):
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return HTTPStatus.OK


class HttpClient(Client):
    """One client that speaks HTTP, a request at a time."""

    async def next_request(self) -> HttpRequest | None:
        """The next request; None when the connection has ended, or what came is none."""
        try:
            head = await self._reader.receive_until(b"\r\n\r\n", _MAX_HEAD)
            line, *fields = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
            length = int(headers.get("content-length", "0"))
            if length < 0:
                return None
            body = await self._reader.receive_exactly(length)
        except (*_FRUITLESS, ValueError):
            return None
        path, _, query = target.partition("?")
        return HttpRequest(method, path, parse_qs(query), headers, body)

    async def respond(self, status: HTTPStatus) -> None:
        """Answer with a status alone."""
        await self._write(_head(status, "Content-Length: 0"))

    async def begin_events(self) -> None:
        """Say that messages will come. signal-cli says so only with the first of them, or after 15 s."""
        await self._write(_head(HTTPStatus.OK, "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))

    async def wait_gone(self) -> None:
        """Give signs of life until the client has gone."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._keep_alive)
            try:
                while True:
                    await self._reader.receive()
            except _FRUITLESS:
                tasks.cancel_scope.cancel()

    async def tell(self, params: dict[str, Any]) -> None:
        await self._send_event(b"event:receive\ndata:" + encoded(params) + b"\n\n")

    async def _keep_alive(self) -> None:
        while True:
            await sleep(KEEPALIVE)
            await self._send_event(b":\n")

    async def _send_event(self, event: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(event), event))

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        return _head(HTTPStatus.OK, "Content-Type: application/json", f"Content-Length: {len(data)}"), data

    def _begun(self) -> bytes:
        return _head(HTTPStatus.OK, "Content-Type: application/json", f"Content-Length: {_ENDLESS}")


def _head(status: HTTPStatus, *fields: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status.value} {status.phrase}", *fields, "", "")).encode()
