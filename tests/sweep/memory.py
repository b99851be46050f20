"""A daemon in memory, whose streams write and read in pieces: a request can be given up in the middle of its line."""

from __future__ import annotations

import json
import math
from collections import deque
from typing import Any, Literal, cast

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Event, sleep
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, ReconnectSupervisor
from ridethrough.signal_cli import ServiceStatus, SignalClient, SignalMessage, TextMessage, make_target, target_of
from ridethrough.signal_cli.connection import Connection, LineConnection, OnReceive
from ridethrough.signal_cli.endpoints import Endpoint
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.signal_cli.judge import Judge
from ridethrough.signal_cli.link import SignalLink
from ridethrough.testing.fake_signal import FakeSignal, RequestFailed
from tests.links import NoJitter

HOME = "+491701234567"
ANNA, BERT = "11111111-1111-4111-8111-000000000001", "11111111-1111-4111-8111-000000000002"

Fault = Literal["well", "cut before", "cut after"]


def text_message(text: str) -> TextMessage:
    """A message to Anna."""
    return TextMessage(make_target(to=ANNA), text)


class MemoryDaemon:
    """Performs each request when its line is complete, and answers it a second later. It stands in for an endpoint.

    Attributes:
        faults: what happens to the next sends; when there is none left, all goes well.
        refusals: how many of the next connects fail.
        streams: the clients' ends of all connections so far.
    """

    def __init__(self) -> None:
        self.signal = FakeSignal([HOME])
        self.faults: deque[Fault] = deque()
        self.refusals = 0
        self.streams: list[MemoryStream] = []

    @property
    def texts(self) -> list[str]:
        """What has reached Signal."""
        return [arrival.text for arrival in self.signal.sends]

    @property
    def is_left(self) -> bool:
        """Whether no client has a connection open."""
        return all(stream.closed for stream in self.streams)

    async def open(self, on_receive: OnReceive) -> Connection:
        """For :class:`SignalLink`."""
        await checkpoint()
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError
        self.streams.append(MemoryStream(self))
        return LineConnection(cast("SocketStream", self.streams[-1]), lambda _: None, on_receive)

    def link(self, mailbox: Mailbox | None = None) -> SignalLink:
        """A link to it, and what comes in goes into that mailbox."""
        judge = Judge(ServiceStatus(), NoJitter())
        return SignalLink(cast("Endpoint", self), HOME, judge, mailbox or Mailbox(HOME), 60)

    def client(self, max_size: int = 100, **options: Any) -> SignalClient:
        """A client of it."""
        buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(max_size, key=target_of, overflow="wait")
        client = SignalClient("unix:/nowhere", buffer=buffer, **options)

        def connect() -> SignalLink:
            client._link = self.link(client._mailbox)
            return client._link

        client.supervisor = ReconnectSupervisor(connect, buffer, backoff=NoJitter())
        return client

    def push(self, envelope: dict[str, Any]) -> None:
        """Let the client of the latest connection have an incoming message."""
        params = {"envelope": envelope, "account": HOME}
        self.streams[-1].arrive(_line(method="receive", params=params))

    def take(self, stream: MemoryStream, line: bytes) -> None:
        """Perform a request, and answer it."""
        request = json.loads(line)  # half a line with another one behind it is no JSON
        fault = self.faults.popleft() if request["method"] == "send" and self.faults else "well"
        if fault != "cut before":
            try:
                subscribes = request["method"] == "subscribeReceive"
                answer = {"result": 0 if subscribes else self.signal.call(request["method"], request["params"])}
            except RequestFailed as error:
                answer = {"error": {"code": error.code, "message": error.message, "data": error.data}}
            if fault == "well":
                stream.arrive(_line(id=request["id"], **answer))
        if fault != "well":
            stream.end()


class MemoryStream:
    """The client's end of a connection."""

    def __init__(self, daemon: MemoryDaemon) -> None:
        self.closed = False
        self._daemon = daemon
        self._written = b""
        self._arrived: deque[bytes] = deque()
        self._changed = Event()
        self._ended = False

    async def send(self, data: bytes) -> None:
        half = math.ceil(len(data) / 2)
        for piece in (data[:half], data[half:]):
            await sleep(1)
            if self.closed or self._ended:
                raise ClosedResourceError if self.closed else BrokenResourceError
            *lines, self._written = (self._written + piece).split(b"\n")
            for line in lines:
                self._daemon.take(self, line)
        await checkpoint()

    async def receive(self) -> bytes:
        await checkpoint()
        while not self._arrived:
            if self.closed or self._ended:
                raise ClosedResourceError if self.closed else EndOfStream
            self._changed = Event()
            await self._changed.wait()
            await sleep(1)
        return self._arrived.popleft()

    async def aclose(self) -> None:
        self.closed = True
        self._changed.set()
        await checkpoint()

    def arrive(self, line: bytes) -> None:
        """Let the client have that line, in two pieces."""
        self._arrived += [line[:-1], line[-1:]]
        self._changed.set()

    def end(self) -> None:
        """Let the client see the end."""
        self._ended = True
        self._changed.set()


def _line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"
