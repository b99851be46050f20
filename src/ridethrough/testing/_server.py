"""A listener that goes away and comes back at the same place, with all its connections."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from anyio import CancelScope, Event, aclose_forcefully, create_task_group, wait_readable
from anyio.abc import SocketStream, TaskGroup

from ..signal_cli.endpoints import Endpoint, HttpEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint

_ANY_PORT = re.compile(r"((?:tcp|https?)://[^/]+):0(?=/|\Z)")


@dataclass(frozen=True, slots=True, eq=False)
class _Life:
    listener: socket.socket
    scope: CancelScope = field(default_factory=CancelScope)
    ended: Event = field(default_factory=Event)


class Server:
    """Serves connections, from ``async with`` on, until it is stopped or left.

    Args:
        endpoint: where to listen: ``unix:/path``, ``tcp://host:port`` or ``http://host:port``, with port 0 for any that
            is free. What is spoken there is for ``handle`` to see to.
        handle: serves one connection, which is closed when it returns.
    """

    def __init__(self, endpoint: str, handle: Callable[[SocketStream], Awaitable[None]]) -> None:
        self._place = _parse(endpoint)
        self._handle = handle
        self._life: _Life | None = None
        self._tasks: TaskGroup

    @property
    def place(self) -> Endpoint:
        """Where it listens, with the port that it got."""
        return self._place

    @property
    def endpoint(self) -> str:
        """The same as text."""
        return str(self._place)

    async def start(self) -> None:
        """Listen, at the same place as before. While it listens, this changes nothing."""
        if self._life is None:
            self._live(self._listen())

    async def stop(self) -> None:
        """Cut all connections, cancel what serves them, and listen no more. A second time changes nothing."""
        life, self._life = self._life, None
        if life is not None:
            life.scope.cancel()
            await life.ended.wait()

    async def __aenter__(self) -> Self:
        listener = self._listen()
        self._tasks = create_task_group()
        await self._tasks.__aenter__()
        self._live(listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            # Not told of an error in the body, which the task group would hand on in an exception group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._remove_file()

    def _listen(self) -> socket.socket:
        if isinstance(self._place, UnixEndpoint):
            self._remove_file()
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(self._place.path)
                Path(self._place.path).chmod(0o600)  # before listen(): nobody has got in yet
                listener.listen()
            except OSError:
                listener.close()
                raise
        else:
            family = socket.AF_INET6 if ":" in self._place.host else socket.AF_INET
            listener = socket.create_server((self._place.host, self._place.port), family=family)
            self._place = replace(self._place, port=listener.getsockname()[1])
        listener.setblocking(False)
        return listener

    def _remove_file(self) -> None:
        if isinstance(self._place, UnixEndpoint):
            path = Path(self._place.path)
            if path.is_socket():  # and not what somebody keeps there
                path.unlink()

    def _live(self, listener: socket.socket) -> None:
        self._life = _Life(listener)
        self._tasks.start_soon(self._serve, self._life)

    async def _serve(self, life: _Life) -> None:
        try:
            with life.scope, life.listener:
                async with create_task_group() as connections:
                    while True:
                        await wait_readable(life.listener)
                        with suppress(BlockingIOError):
                            connections.start_soon(self._connection, life.listener.accept()[0])
        finally:
            life.ended.set()

    async def _connection(self, connection: socket.socket) -> None:
        if not isinstance(self._place, UnixEndpoint):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Not as the UNIXSocketStream that anyio's own listener makes: on asyncio, a read of it that is cancelled in
        # the moment in which something comes ends in an InvalidStateError.
        try:
            stream = await SocketStream.from_socket(connection)
        except BaseException:
            connection.close()
            raise
        try:
            await self._handle(stream)
        finally:
            await aclose_forcefully(stream)


def _parse(text: str) -> Endpoint:
    if isinstance(text, str) and (any_port := _ANY_PORT.match(text)):
        some_port = parse_endpoint(f"{any_port[1]}:1{text[any_port.end() :]}")
        assert isinstance(some_port, TcpEndpoint | HttpEndpoint)
        return replace(some_port, port=0)
    return parse_endpoint(text)
