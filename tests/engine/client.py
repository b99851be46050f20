"""MemoryClient: what the wire uses of nats-py's client, connected to a server in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from nats.aio.client import ServerVersion
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError, UnexpectedEOF

from .message import Message
from .server import Connection, MemoryServer

Callback = Callable[[], Awaitable[None]]

_inboxes = count(1)


class _Subscription:
    """Hands what has arrived to its callback, one after the other, as the task of a real one does."""

    def __init__(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        self.subject = subject
        self._callback = callback
        self._arrived: deque[Msg] = deque()
        self._next: asyncio.Handle | None = None

    def arrive(self, message: Message) -> None:
        self._arrived.append(Msg(None, message.subject, message.reply, message.data, message.headers))  # type: ignore[arg-type]
        self._schedule()

    def close(self) -> None:
        self._arrived.clear()
        if self._next is not None:
            self._next.cancel()

    def _schedule(self) -> None:
        if self._next is None and self._arrived:
            self._next = asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        self._next = None
        message = self._arrived.popleft()
        self._schedule()
        _run_through(self._callback(message))


class Road:
    """A host's way to the servers, which can go dead, or break, for that host alone."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._is_open = True
        self._is_stalled = False

    def connect(self, server: MemoryServer, on_cut: Callable[[], None]) -> Connection:
        """A new connection.

        Raises:
            ConnectionRefusedError: there is no way.
        """
        if not self._is_open:
            raise ConnectionRefusedError
        connection = Connection(server, on_cut)
        self._connections = [each for each in self._connections if not each.there.closed]
        self._connections.append(connection)
        if self._is_stalled:
            self.stall()
        return connection

    def behind(self, *happen: Callable[[], object]) -> None:
        """Have things happen here right behind what is on its way back, one after the other."""
        for each in happen:
            self._connections[-1].back.send(lambda each=each: each())  # type: ignore[misc]

    def stall(self) -> None:
        """Keep what comes to itself, as a cable does that was pulled."""
        self._is_stalled = True
        for connection in self._connections:
            connection.there.stall()
            connection.back.stall()

    def cut(self) -> None:
        """Break all connections, and refuse others."""
        self._is_open = self._is_stalled = False
        for connection in self._connections:
            if not connection.there.closed:
                connection.cut()

    def mend(self) -> None:
        """Be whole again. What was kept is passed on."""
        self._is_open, self._is_stalled = True, False
        for connection in self._connections:
            connection.there.mend()
            connection.back.mend()


class MemoryClient:
    """Connects again by itself, like the real one, and meanwhile publishes nothing.

    Args:
        server: the one that there is, whatever the addresses say.
        road: leads there.
    """

    max_payload = 1_048_576
    connected_server_version = ServerVersion("2.15.1")

    def __init__(self, server: MemoryServer, road: Road) -> None:
        self._server = server
        self._road = road
        self._subscriptions: list[_Subscription] = []
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ping: asyncio.Future[None] | None = None
        self._pause = 0.0
        self._closed = False

    async def connect(
        self,
        _servers: list[str],
        *,
        error_cb: Callable[[Exception], Awaitable[None]],
        disconnected_cb: Callback,
        reconnected_cb: Callback,
        closed_cb: Callback,
        reconnect_time_wait: float,
        **_options: Any,
    ) -> None:
        """Connect, and try again for as long as it takes."""
        self._on_error, self._on_disconnected = error_cb, disconnected_cb
        self._on_reconnected, self._on_closed = reconnected_cb, closed_cb
        self._pause = reconnect_time_wait
        await self._reach()

    def new_inbox(self) -> str:
        return f"_INBOX.{next(_inboxes)}"

    async def subscribe(self, subject: str, *, cb: Callable[[Msg], Awaitable[None]]) -> None:
        if self._closed:
            raise ConnectionClosedError
        subscription = _Subscription(subject, cb)
        self._subscriptions.append(subscription)
        if self._connection is not None:
            self._listen(self._connection, subscription)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        if self._closed:
            raise ConnectionClosedError
        if self._connection is None:
            raise OutboundBufferLimitError
        if len(payload) > self.max_payload:
            raise MaxPayloadError
        if len(payload) + sum(len(name) + len(value) for name, value in (headers or {}).items()) > self.max_payload:
            self.expel()
            return
        message = Message(subject, reply, payload, headers)
        self._connection.there.send(lambda: self._server.publish(message))

    async def close(self) -> None:
        """Close it: what was published still leaves."""
        await self._end(None)

    # ---------------------------------------------------------------- what a test does to it

    def expel(self) -> None:
        """Have it give up, as after an error that the server has sent."""
        asyncio.get_running_loop().create_task(self._end(0))

    def complain(self, error: Exception) -> None:
        """Have it tell of an error that the server has sent, and go on."""
        _run_through(self._on_error(error))

    # ---------------------------------------------------------------- how it does it

    async def _end(self, arriving: int | None) -> None:
        if self._closed:
            return
        self._closed = True
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        await asyncio.sleep(0)
        if self._connection is not None:
            self._connection.close(arriving)
            self._connection = None
        for subscription in self._subscriptions:
            subscription.close()
        await self._on_disconnected()
        await self._on_closed()

    async def _reach(self) -> None:
        """Connect, and have everything that was subscribed to listened to."""
        while True:
            await asyncio.sleep(0)
            try:
                connection = self._road.connect(self._server, self._was_cut)
                for subscription in self._subscriptions:
                    self._listen(connection, subscription)
                await self._round_trip(connection)
            except OSError as error:
                await self._on_error(error)
                await asyncio.sleep(self._pause)
            else:
                self._connection = connection
                return

    async def _round_trip(self, connection: Connection) -> None:
        """Return when the server has answered to a ping.

        Raises:
            ConnectionResetError: the connection broke.
        """
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ping = answered

        def answer() -> None:
            if not answered.done():
                answered.set_result(None)

        connection.there.send(lambda: connection.back.send(answer))
        await answered
        if connection.there.closed:
            raise ConnectionResetError

    def _listen(self, connection: Connection, subscription: _Subscription) -> None:
        connection.there.send(lambda: self._server.subscribe(connection, subscription.subject, subscription.arrive))

    def _was_cut(self) -> None:
        if self._connection is None:
            if self._ping is not None and not self._ping.done():
                self._ping.set_exception(ConnectionResetError())
            return
        self._connection = None
        if not self._closed:
            self._connecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        await self._on_error(UnexpectedEOF())
        await self._on_disconnected()
        await self._reach()
        await self._on_reconnected()


def _run_through(coroutine: Any) -> None:
    """Run a callback that never sleeps, as those of the wire do not."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("a callback of the wire sleeps")
