"""HttpConnection: calls as HTTP requests, and incoming messages as server-sent events.

What an HTTP status means for a message::

    200          an answer, which may well be an error
    401, 403     something before the daemon refuses who we say we are: AuthenticationFailed
    413          something before the daemon refuses a message of that size: Rejected
    3.., 4..     any other: turned away, and not performed: LinkLost, unsent
    2.., 5..     any other: nobody knows what became of it: LinkLost

Proxies that the environment names are not used: the messages are in the clear on the way to the daemon, which is
nearby as a rule.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import httpx2
from anyio import CancelScope, Event, move_on_after, to_thread

from ..errors import AuthenticationFailed, LinkLost, Rejected, RidethroughError, describe
from ..jsonrpc import MAX_LINE, ClientProtocol, Error, RemoteProtocolError, Result
from .answers import DaemonError
from .connection import Connection, OnReceive
from .endpoints import KEEPALIVE, HttpEndpoint
from .sse import EventStream

_IDLE = 15.0
"""For how long an idle connection is kept, in seconds. The daemon closes its own after 30 s, and a request that crosses
with that would be in doubt."""

_SILENCE = 45.0
"""For how long nothing may come of what is subscribed to, in seconds. The daemon gives a sign of life every 15 s, and
0.13.19 not even the response's header before."""

_MAX_EVENT = 4 * 2**20
"""The largest incoming message that is taken, in bytes. Attachments are not in it."""

_SOCKET_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, option, value) for option, value in KEEPALIVE),
]

_TROUBLE = (httpx2.TransportError, OSError, RemoteProtocolError)
"""What goes wrong with a request; of an OSError, httpx2 makes one of its own in most places."""


async def open_connection(endpoint: HttpEndpoint, on_receive: OnReceive) -> HttpConnection:
    """Connect, and see that the daemon answers; see :meth:`HttpEndpoint.open`."""
    if endpoint.scheme == "https":
        context = await to_thread.run_sync(httpx2.create_ssl_context)  # reads the system's trust, which takes its time
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not needed
    connection = HttpConnection(endpoint, context, on_receive)
    try:
        await connection.check()
    except BaseException:
        await connection.aclose()
        raise
    return connection


class HttpConnection(Connection):
    """A connection over HTTP: one that is kept alive for calls, if they come one at a time, and one for what comes in.

    It is gone when a call fails that should not, or when nothing comes in any more. While nothing is called and
    nothing was subscribed to, nobody would notice; the next call does, before any of it has left.

    Args:
        endpoint: where to.
        context: whom to trust.
        on_receive: told of incoming messages.
        silence: for how long, in seconds, neither a message nor a sign of life may come once they are subscribed to.
    """

    def __init__(
        self, endpoint: HttpEndpoint, context: ssl.SSLContext, on_receive: OnReceive, silence: float = _SILENCE
    ) -> None:
        self._url = f"{endpoint}/api/v1/"
        self._headers = [*endpoint.headers, ("Accept-Encoding", "identity")]
        self._on_receive = on_receive
        self._silence = silence
        # Not through a client of httpx2, which would log each request, keep cookies and follow the environment.
        self._transport = httpx2.AsyncHTTPTransport(
            verify=context,
            limits=httpx2.Limits(max_keepalive_connections=1, keepalive_expiry=_IDLE),
            socket_options=_SOCKET_OPTIONS,
        )
        self._protocol = ClientProtocol()
        self._closed = Event()
        self._reason = ""
        self._wanted = Event()  # incoming messages are
        self._subscribed = Event()  # or refused, or the connection is gone
        self._refused = ""
        self._reading = CancelScope()
        self._calling: set[CancelScope] = set()

    async def check(self) -> None:
        """See that the daemon answers. Raises LinkLost or AuthenticationFailed if not. **Cancellation** is harmless."""
        problem = ""
        try:
            async with self._exchange("GET", "check", way=_Way(self)) as response:
                status = response.status_code
                await _read_body(response)  # or the connection would be of no more use
        except _TROUBLE as error:
            problem = _words(error)
        if not problem and status != httpx2.codes.OK:
            raise self._refusal(status, unsent=True)
        if problem:
            raise self._lost(problem, unsent=True)

    async def call(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        self.check_open()
        request_id, line = self._protocol.request(method, params)
        try:
            answer = await self._ask(request_id, line, timeout)
        finally:
            self._protocol.forget(request_id)
        if isinstance(answer, Error):
            raise DaemonError(answer.code, answer.message, answer.data)
        return answer.value

    async def subscribe(self, params: dict[str, Any], timeout: float) -> None:  # noqa: ARG002
        # Of all accounts: a number in a URL would end up in the log of every proxy on the way.
        self._wanted.set()
        await self._subscribed.wait()
        if self._refused:
            raise Rejected(self._refused)
        self.check_open()

    async def read(self) -> None:
        try:
            with self._reading:
                await self._wanted.wait()
                await self._listen()
                await self._closed.wait()
        finally:
            self._end("the connection is not read any more")

    async def wait_closed(self) -> NoReturn:
        await self._closed.wait()
        raise LinkLost(self._reason)

    async def aclose(self) -> None:
        self._end("the connection was closed")
        for call in self._calling:
            call.cancel()
        with CancelScope() as scope:
            scope.cancel()
            await self._transport.aclose()

    # ---------------------------------------------------------------- calls

    async def _ask(self, request_id: int, line: bytes, timeout: float) -> Result | Error:
        problem = f"no answer within {timeout:g} s"
        refused, body, way = 0, None, _Way(self)
        with move_on_after(timeout) as scope:
            self._calling.add(scope)
            try:
                async with self._exchange(
                    "POST", "rpc", ("Content-Type", "application/json"), content=line, way=way
                ) as response:
                    if response.status_code == httpx2.codes.OK:
                        body = await _read_body(response)
                    else:
                        refused = response.status_code
            except _TROUBLE as error:
                problem = _words(error)
            finally:
                self._calling.discard(scope)
                if self._closed.is_set():
                    problem = self._reason
        # Outside of the except clause: the error holds the request, and would hang on to ours.
        if refused == httpx2.codes.CONTENT_TOO_LARGE:
            raise Rejected("too large for something before the daemon: HTTP status 413")
        if refused:
            # A status below 500 says that it was turned away, and one above that nobody knows, as does a success.
            turned_away = httpx2.codes.is_redirect(refused) or httpx2.codes.is_client_error(refused)
            raise self._refusal(refused, unsent=turned_away)
        if body is None:
            raise self._lost(problem, unsent=not way.begun)
        return self._read_answer(request_id, body)

    def _read_answer(self, request_id: int, body: bytearray) -> Result | Error:
        problem = "its answer is to something else"
        try:
            events = list(self._protocol.receive_data(b"%b\n" % bytes(body).strip()))
        except RemoteProtocolError as error:
            problem = str(error)
        else:
            match events:
                case [Result() | Error() as answer] if answer.id == request_id:
                    return answer
                case [Error(id=None)]:
                    problem = "it could not read a request"
        raise self._lost(f"the daemon does not speak JSON-RPC: {problem}")

    # ---------------------------------------------------------------- what comes in

    async def _listen(self) -> None:
        """Hand on what comes in, until the connection is gone, or if there is nothing to be had."""
        problem = "the daemon has closed the connection"
        try:
            async with self._exchange(
                "GET", "events", ("Accept", "text/event-stream"), way=_Way(self), silence=self._silence
            ) as response:
                status = response.status_code
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if status >= httpx2.codes.INTERNAL_SERVER_ERROR:  # which may pass
                    problem = f"the daemon answered with HTTP status {status}"
                elif status != httpx2.codes.OK or kind != "text/event-stream":
                    self._refused = f"no incoming messages are to be had: HTTP status {status}"
                else:
                    self._subscribed.set()
                    await self._take_events(response)
        except _TROUBLE as error:
            problem = _words(error)
        if self._refused:
            self._subscribed.set()
        else:
            self._end(problem)

    async def _take_events(self, response: httpx2.Response) -> None:
        events = EventStream(_MAX_EVENT)
        async for piece in response.aiter_raw():
            try:
                for kind, data in events.receive_data(piece):
                    if kind == "receive":
                        self._on_receive(_read_message(data))
            except RemoteProtocolError as error:
                self._end(_words(error))  # which cancels this; raising it would leave a generator of httpx2's open

    # ---------------------------------------------------------------- both

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        *headers: tuple[str, str],
        way: _Way,
        content: bytes | None = None,
        silence: float | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        extensions = {"trace": way.trace, "timeout": {"read": silence}}
        request = httpx2.Request(
            method, self._url + path, headers=[*self._headers, *headers], content=content, extensions=extensions
        )
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            await way.give_up()
            raise
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx2.RemoteProtocolError("compressed, which nobody asked for")  # and so might be anything large
            yield response
        finally:
            await response.aclose()

    def _refusal(self, status: int, *, unsent: bool) -> RidethroughError:
        """What to raise for a status other than 200."""
        if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            return AuthenticationFailed(f"the daemon, or a proxy before it, answered with HTTP status {status}")
        return self._lost(f"the daemon answered with HTTP status {status}", unsent=unsent)

    def _lost(self, reason: str, *, unsent: bool = False) -> LinkLost:
        """End the connection; returns what to raise."""
        self._end(reason)
        return LinkLost(reason, unsent=unsent)

    def check_open(self) -> None:
        """Raise LinkLost if it is gone."""
        if self._closed.is_set():
            raise LinkLost(self._reason, unsent=True)

    def _end(self, reason: str) -> None:
        if not self._closed.is_set():
            self._reason = reason
            self._closed.set()
            self._subscribed.set()
            self._reading.cancel()


class _Way:
    """Follows a request on its way.

    Attributes:
        begun: whether some of it may have left.
    """

    def __init__(self, connection: HttpConnection) -> None:
        self.begun = False
        self._connection = connection
        self._stream: Any = None  # what has just been connected, and belongs to nobody yet

    async def trace(self, name: str, info: dict[str, Any]) -> None:
        """For httpx2, which calls this at each step, and then logs what it was called with."""
        if "exception" in info:
            info["exception"] = type(info["exception"])  # its words may hold what came
        if name == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif name == "http11.send_request_headers.started":
            self._stream = None
            self._connection.check_open()  # it was closed while this one was connecting, perhaps
            self.begun = True

    async def give_up(self) -> None:
        """Close what httpx2 leaves open when it is cancelled between connecting and sending, as in TLS's handshake."""
        if self._stream is not None:
            with CancelScope() as scope:
                scope.cancel()
                await self._stream.aclose()


async def _read_body(response: httpx2.Response) -> bytearray:
    body = bytearray()
    with CancelScope() as reading:  # leaving the loop otherwise would leave a part of it to the garbage collector
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MAX_LINE:
                reading.cancel()
    if len(body) > MAX_LINE:
        body.clear()  # a flood's memory goes back at once
        raise RemoteProtocolError(f"an answer is longer than {MAX_LINE} bytes")
    return body


def _read_message(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data.decode())
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise RemoteProtocolError("an incoming message is no object")
    return message


def _words(error: Exception) -> str:
    """What to say of an error of the transport: its own words may hold what was sent or received."""
    if isinstance(error, RemoteProtocolError):
        return f"the daemon does not speak JSON-RPC: {error}"
    if isinstance(error, httpx2.TimeoutException):
        return "nothing came for too long"
    if isinstance(error, httpx2.RemoteProtocolError):
        return "the daemon has closed the connection, or does not speak HTTP"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return "the connection broke" if cause is None else describe(cause)
