"""Talks to a daemon, fake or real, line by line, with nothing in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import BrokenResourceError, EndOfStream, fail_after
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ridethrough.signal_cli.endpoints import HttpEndpoint, TcpEndpoint, UnixEndpoint, parse_endpoint
from ridethrough.testing import FakeSignalDaemon, Fault

PATIENCE = 30
"""Seconds after which a test that waits for nothing fails."""


class Talk:
    """A connection, with an answer or an end awaited for so long and no longer."""

    def __init__(self, stream: SocketStream, endpoint: TcpEndpoint | UnixEndpoint) -> None:
        self.stream = stream
        self._endpoint = endpoint
        self._heard = b""

    async def say(self, *lines: bytes | dict[str, Any] | list[Any]) -> None:
        """Send lines, at once."""
        encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        await self.stream.send(b"".join(line + b"\n" for line in encoded))

    async def hear(self) -> Any:
        """The next line, as JSON."""
        return json.loads(await self.hear_line())

    async def hear_line(self) -> bytes:
        """The next line."""
        with fail_after(PATIENCE):
            while b"\n" not in self._heard:
                self._heard += await self.stream.receive()
                self._endpoint.after_read(self.stream)
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    async def ask(self, request: bytes | dict[str, Any] | list[Any]) -> Any:
        """Send a line, and hear the next."""
        await self.say(request)
        return await self.hear()

    async def hear_end(self) -> bytes:
        """What comes before the connection ends, if that is no whole line."""
        with pytest.raises(EndOfStream):
            await self.hear_line()
        return self._heard

    async def hear_line_or_end(self) -> Any:
        """The next line, as JSON; None if the connection ends instead."""
        try:
            return await self.hear()
        except (EndOfStream, BrokenResourceError):
            return None


@asynccontextmanager
async def talk_to(endpoint: str) -> AsyncIterator[Talk]:
    """Connect; raises OSError if nobody listens there."""
    place = parse_endpoint(endpoint)
    assert not isinstance(place, HttpEndpoint)
    async with await place.connect() as stream:
        yield Talk(stream, place)


@asynccontextmanager
async def fake_and_talk(*faults: Fault) -> AsyncIterator[tuple[FakeSignalDaemon, Talk]]:
    """A fake daemon with faults due, and a connection to it."""
    async with FakeSignalDaemon() as daemon, talk_to(daemon.endpoint) as talk:
        daemon.fail_next(*faults)
        yield daemon, talk


async def arrived(daemon: FakeSignalDaemon, count: int) -> list[str]:
    """The texts that have reached Signal, once there are that many."""
    with fail_after(PATIENCE):
        while len(daemon.sends) < count:
            await checkpoint()
    return [arrival.text for arrival in daemon.sends]


def results_of(answer: dict[str, Any]) -> list[Any]:
    """What became of a message for each recipient."""
    response = answer["result"] if "result" in answer else answer["error"]["data"]["response"]
    return [result["type"] for result in response["results"]]


def request(method: str, request_id: Any = "1", **params: Any) -> dict[str, Any]:
    """A request; parameters that are None are left out."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": given}


def send(text: str = "hello", to: Any = None, request_id: Any = "1", **params: Any) -> dict[str, Any]:
    """A request to send that text to one recipient or several."""
    return request("send", request_id, message=text, recipient=to, **params)
