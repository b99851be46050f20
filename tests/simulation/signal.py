"""SignalClient and a daemon in memory, whose faults come from the seed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any, cast

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, Event, sleep
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ridethrough import LinkLost, Rejected, RetryLater
from ridethrough.signal_cli import SendResult, TextMessage
from ridethrough.signal_cli.connection import Connection, LineConnection, OnReceive
from ridethrough.signal_cli.endpoints import Endpoint
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.signal_cli.judge import Judge
from ridethrough.signal_cli.link import SignalLink
from ridethrough.signal_cli.messages import SignalMessage
from ridethrough.testing import Failure
from ridethrough.testing.fake_signal import FakeSignal, RequestFailed

from .oracle import Oracle

ACCOUNT = "+15550001111"
SENDS = (
    "well", "well", "well", "well", "late", "stall", "cut before", "cut after", "cut in answer", "garbage", "wrong id",
    "NETWORK_FAILURE", "RATE_LIMIT_FAILURE", "IDENTITY_FAILURE",
)  # fmt: skip
PROBES = ("well", "well", "well", "late", "stall", "cut before", "cut in answer")
WEATHER = (503, 403, 429, "away", "away", "away")
"""How it goes between the daemon and Signal, when it does not go well: by its HTTP status, or it is away."""
CONNECTS = ("well", "well", "well", "refuse", "account missing", "frozen")


class Text(TextMessage):
    """What is sent here: the text is its number."""

    __slots__ = ()

    @property
    def key(self) -> str:
        return self.target.address

    @property
    def serial(self) -> int:
        return int(self.text)

    def __str__(self) -> str:
        return self.text


class MemoryDaemon:
    """A daemon without sockets; stands in for an endpoint, too.

    Args:
        random: where the faults come from.
        oracle: told of everything that arrives.
    """

    def __init__(self, random: Random, oracle: Oracle) -> None:
        self.random = random
        self.oracle = oracle
        self.faulty = random.random() < 0.9
        self.streams: list[MemoryStream] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.attempts: Counter[SignalMessage] = Counter()  # at sending each message, but for those taken back
        self._signal = FakeSignal([ACCOUNT])
        self._frozen = False

    def pick(self, kinds: tuple[str, ...]) -> str:
        """What happens next."""
        return self.random.choice(kinds) if self.faulty else "well"

    async def open(self, on_receive: OnReceive) -> Connection:
        """For :class:`SignalLink`."""
        kind = self.pick(CONNECTS)
        self.oracle.tell(f"connect goes: {kind}")
        await self.dawdle()
        if kind == "refuse":
            raise ConnectionRefusedError
        self._frozen = kind == "frozen"
        self._signal.accounts = [] if kind == "account missing" else [ACCOUNT]
        self.streams.append(MemoryStream(self))
        return LineConnection(cast("SocketStream", self.streams[-1]), lambda _: None, on_receive)

    async def change_weather(self) -> None:
        """Cut the daemon off from Signal for a while, now and then."""
        for _ in range(self.random.randint(1, 4)):
            await sleep(self.random.choice((0, 1, 20)))
            kind = self.random.choice(WEATHER)
            self.oracle.tell(f"Signal: {kind}")
            self._signal.service_reachable = kind != "away"
            self._signal.service_status = None if kind == "away" else int(kind)
            await sleep(self.random.choice((0.1, 2, 40)))
            self.oracle.tell("Signal: well")
            self._signal.service_reachable, self._signal.service_status = True, None

    def cut(self) -> None:
        """Cut the connection that there is, if there is one."""
        if self.streams and not self.streams[-1].ended:
            self.oracle.tell("the connection is cut")
            self.streams[-1].end()

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self.tasks:
            task.cancel()

    def take(self, stream: MemoryStream, line: bytes) -> None:
        """Take a request, which is performed and answered as time goes by."""
        if not self._frozen:
            task = asyncio.ensure_future(self._answer(stream, json.loads(line)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def dawdle(self) -> None:
        """Take a few turns."""
        for _ in range(self.random.randrange(3)):
            await checkpoint()

    async def _answer(self, stream: MemoryStream, request: dict[str, Any]) -> None:
        method, params = request["method"], request["params"]
        kind = self.pick({"send": SENDS, "listDevices": PROBES}.get(method, ("well",)))
        self.oracle.tell(f"daemon: {method} {params.get('message', '')} goes: {kind}")
        await self.dawdle()
        if kind == "cut before":
            stream.end()
            return
        answer = {"jsonrpc": "2.0", "id": request["id"], **self._perform(method, params, kind)}
        if kind == "late":
            await sleep(self.random.choice((1, 30, 70)))
        await self.dawdle()
        if kind == "stall":
            return
        if kind == "wrong id":
            answer["id"] += 1
        line = json.dumps(answer).encode() + b"\n"
        if kind == "garbage":
            line = line.replace(b"{", b"[")
        if kind == "cut in answer":
            line = line[: self.random.randrange(len(line))]
        if kind != "cut after":
            stream.arrive(line)
        if kind.startswith("cut"):
            stream.end()

    def _perform(self, method: str, params: dict[str, Any], kind: str) -> dict[str, Any]:
        failure = Failure(kind) if kind.endswith("FAILURE") else None
        before = len(self._signal.sends)
        try:
            result = self._signal.call(method, params, failure)
        except RequestFailed as error:
            return {"error": {"code": error.code, "message": error.message, "data": error.data}}
        if len(self._signal.sends) > before:
            self.oracle.arrived_text(params["message"])
        return {"result": result}


class MemoryStream:
    """The client's end of a connection to such a daemon; bytes come in pieces of any size."""

    def __init__(self, daemon: MemoryDaemon) -> None:
        self.ended = False
        self._daemon = daemon
        self._written = bytearray()
        self._arrived = bytearray()
        self._changed = Event()
        self._closed = False

    async def send(self, data: bytes) -> None:
        await self._daemon.dawdle()
        if self.ended:
            raise BrokenResourceError
        self._written += data
        while (end := self._written.find(b"\n")) >= 0:
            line = bytes(self._written[:end])
            del self._written[: end + 1]
            self._daemon.take(self, line)
        await self._daemon.dawdle()

    async def receive(self) -> bytes:
        await checkpoint()
        while not self._arrived:
            if self._closed:
                raise ClosedResourceError
            if self.ended:
                raise EndOfStream
            self._changed = Event()
            await self._changed.wait()
        size = self._daemon.random.randint(1, len(self._arrived))
        data = bytes(self._arrived[:size])
        del self._arrived[:size]
        return data

    def arrive(self, data: bytes) -> None:
        """Let the client have these bytes."""
        if not self.ended:
            self._arrived += data
            self._changed.set()

    def end(self) -> None:
        """Let the client see the end."""
        self.ended = True
        self._changed.set()

    async def aclose(self) -> None:
        self.ended = self._closed = True
        self._changed.set()
        await checkpoint()


class WatchedLink(SignalLink):
    """A link to such a daemon; tells the oracle what each send comes to."""

    def __init__(self, daemon: MemoryDaemon, judge: Judge, mailbox: Mailbox) -> None:
        super().__init__(cast("Endpoint", daemon), ACCOUNT, judge, mailbox, 60)
        self._oracle = daemon.oracle
        self._attempts = daemon.attempts

    async def send(self, message: SignalMessage) -> SendResult | None:
        oracle = self._oracle
        oracle.send_begins(message, "somehow")
        self._attempts[message] += 1
        begun = oracle.deliveries[message].attempts
        oracle.check(begun == self._attempts[message], 8, f"{begun} attempts, and {self._attempts[message]} sends")
        try:
            result = await super().send(message)
        except RetryLater as pause:
            self._attempts[message] -= pause.unsent
            oracle.paused(message, pause)
            raise
        except Rejected:
            oracle.settled(message)
            raise
        except LinkLost as lost:
            if lost.unsent:
                self._attempts[message] -= 1
                oracle.settled(message)
            raise
        oracle.settled(message)
        return result
