"""A line to a daemon that can be cut while the daemon lives on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Self

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, aclose_forcefully, create_task_group
from anyio.abc import SocketStream

from ..signal_cli.endpoints import HttpEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint
from ._server import Server


class Relay:
    """Passes bytes on between clients and a daemon, of any kind, until told otherwise. Use it with ``async with``.

    Args:
        target: where the daemon listens: ``unix:/path``, ``tcp://host:port`` or ``http://host:port``. It need not yet.
        endpoint: where to listen: the same, with port 0 for any that is free. None: at a free port of this machine. If
            the daemon speaks HTTP, this must say so too, with the same prefix: bytes are passed on as they are.

    Raises:
        TypeError, ValueError: ``target`` or ``endpoint`` is none.
        OSError: from ``async with``: it cannot listen there.
    """

    def __init__(self, target: str, endpoint: str | None = None) -> None:
        place = parse_endpoint(target)
        self._target: UnixEndpoint | TcpEndpoint
        if isinstance(place, HttpEndpoint):
            self._target, nearby = place.below, f"{place.scheme}://127.0.0.1:0{place.prefix}"
        else:
            self._target, nearby = place, "tcp://127.0.0.1:0"
        self._server = Server(nearby if endpoint is None else endpoint, self._serve)
        self._lines: set[_Line] = set()
        self._cut_next_answer = False

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that it got."""
        return self._server.endpoint

    async def cut(self) -> None:
        """Cut all the connections that there are. Clients may connect again at once.

        **Cancellation**: they are cut all the same.
        """
        async with AsyncExitStack() as stack:  # does them all, whatever becomes of each
            for line in list(self._lines):
                stack.push_async_callback(line.cut)

    def cut_next_answer(self) -> None:
        """Pass the next request on, and cut its connection instead of passing its answer back."""
        self._cut_next_answer = True

    async def refuse(self) -> None:
        """Cut all connections, and listen no more until :meth:`accept`.

        **Cancellation**: it refuses all the same.
        """
        await self._server.stop()

    async def accept(self) -> None:
        """Listen again at the same place.

        Raises:
            OSError: it cannot listen there any more.

        **Cancellation** leaves it refusing.
        """
        await self._server.start()

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    def __repr__(self) -> str:
        return f"<Relay from {self.endpoint} to {self._target}, {len(self._lines)} connections>"

    async def _serve(self, client: SocketStream) -> None:
        try:
            daemon = await self._target.connect()
        except OSError:
            return
        line = _Line(client, daemon)
        self._lines.add(line)
        try:
            async with create_task_group() as ways:
                ways.start_soon(self._to_daemon, line)
                ways.start_soon(self._to_client, line)
        finally:
            self._lines.discard(line)
            await aclose_forcefully(daemon)

    async def _to_daemon(self, line: _Line) -> None:
        def look(data: bytes) -> bool:
            if self._cut_next_answer and b"\n" in data:
                self._cut_next_answer = False
                line.cut_at_answer = True
            return True

        await line.pass_on(line.client, line.daemon, look)

    async def _to_client(self, line: _Line) -> None:
        def look(_data: bytes) -> bool:
            self._target.after_read(line.daemon)
            return not line.cut_at_answer

        await line.pass_on(line.daemon, line.client, look)


@dataclass(slots=True, eq=False)
class _Line:
    """One client's connection, on to the daemon."""

    client: SocketStream
    daemon: SocketStream
    cut_at_answer: bool = False

    async def pass_on(self, source: SocketStream, sink: SocketStream, look: Callable[[bytes], bool]) -> None:
        """Pass on what comes, and its end, as long as ``look`` says so."""
        try:
            while look(data := await source.receive()):
                await sink.send(data)
            await self.cut()
        except EndOfStream:
            with suppress(BrokenResourceError, ClosedResourceError, OSError):  # trio passes on the socket's own error
                await sink.send_eof()
        except (BrokenResourceError, ClosedResourceError):
            await self.cut()

    async def cut(self) -> None:
        try:
            await aclose_forcefully(self.client)
        finally:
            await aclose_forcefully(self.daemon)
