"""A way to a server that can go dead, or break, for one host alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from .servers import free_port


class Proxy:
    """Passes bytes to a server and back, as long as it is whole.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listens_on = free_port()
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._listens_on}"

    def stall(self) -> None:
        """Keep what comes to itself, as a cable does that was pulled."""
        self._whole.clear()

    def cut(self) -> None:
        """Break all connections, and refuse others."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._whole.set()
        for writer in self._writers:
            writer.transport.abort()

    async def mend(self) -> None:
        """Be whole again. What was kept is passed on."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listens_on)
        self._whole.set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._whole.wait()
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._writers.add(far_writer)
                try:
                    await self._pass_both(reader, writer, far_reader, far_writer)
                finally:
                    self._writers.discard(far_writer)
                    far_writer.transport.abort()
        except asyncio.CancelledError:
            return  # the test is over
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pass_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        ways = {
            asyncio.create_task(self._pass(reader, far_writer)),
            asyncio.create_task(self._pass(far_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
