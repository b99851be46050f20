"""What stands in for the Signal service: an unmodified signal-cli takes it for its HTTPS proxy and for chat.signal.org.

It runs in a thread with an event loop of its own, for tests on any event loop to look at and to tell what to do::

    service.reachable = False                       # nobody gets through
    service.modes[recipient] = Status(503)          # what becomes of messages for one recipient
    service.statuses["/v1/devices"] = Status(403)   # what becomes of other requests
    service.sends                                   # what reached "Signal"
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast
from uuid import uuid4

from . import wire
from .account import Account

PREKEYS = json.loads(Path(__file__).with_name("prekeys.json").read_text())
"""Public keys of eight recipients that nobody is."""

_STORE = "https://cdn2.signal.org/store"

_HEADERS = ("Content-Type: application/json",)


@dataclass(frozen=True)
class Ok:
    """Take the message."""


@dataclass(frozen=True)
class Hang:
    """Take the message and never answer; signal-cli gives up after about 40 s."""


@dataclass(frozen=True)
class Delay:
    """Take the message and answer after that many seconds."""

    seconds: float


@dataclass(frozen=True)
class Status:
    """Refuse it with an HTTP status: 413 and 429 are rate limits, 428 asks for a CAPTCHA, 404 knows no recipient."""

    code: int
    body: bytes = b""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rekey:
    """The recipient has a new identity key, which nobody has trusted yet."""


@dataclass(frozen=True)
class BadKeys:
    """The recipient's public keys are not signed by its identity: nobody can write to it."""


Mode = Ok | Hang | Delay | Status | Rekey | BadKeys


@dataclass(frozen=True)
class Send:
    """A message that reached the service, whatever it then made of it."""

    recipient: str
    timestamp: int
    mode: Mode


class SignalService:
    """The service. Use it with ``with``.

    Attributes:
        account: whose service it is; to be set before the daemon starts.
        modes: what it makes of messages, by recipient; those who are not named get theirs.
        statuses: what else it answers, by how the path that it is asked for begins.
        sends: what reached it, in order.
        uploads: the sizes of the files that were put into its store, in bytes and in order.
        port: where it listens.
    """

    account: Account
    port: int

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.modes: dict[str, Mode] = {}
        self.statuses: dict[str, Status | Hang] = {}
        self.uploads: list[int] = []
        self.sends: list[Send] = []
        self._tls = tls
        self._reachable = True
        self._rekeyed: set[str] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._receivers: list[Callable[[bytes], None]] = []
        self._pushed = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._listening = threading.Event()
        self._arrival = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="signal service", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def reachable(self) -> bool:
        """Whether the daemon gets through; to say that it does not cuts its connections too."""
        return self._reachable

    @reachable.setter
    def reachable(self, reachable: bool) -> None:
        self._reachable = reachable
        if not reachable:
            self.drop_connections()

    def reset(self) -> None:
        """Be as new, for the next test."""
        self.reachable = True
        self.modes.clear()
        self.statuses.clear()
        self.sends.clear()
        self.uploads.clear()
        self._rekeyed.clear()

    def wait_for_sends(self, count: int, seconds: float = 30) -> None:
        """Wait until that many have reached it; raises TimeoutError if they do not."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.sends) >= count, seconds):
                raise TimeoutError(f"{len(self.sends)} of {count} messages have reached the service")

    def drop_connections(self) -> None:
        """Cut every connection that the daemon has to it; returns when that is done."""
        self._call(self._abort)

    def push_receipt(self, recipient: str, timestamp: int) -> None:
        """Tell the account that a message was delivered."""
        now = time.time_ns() // 1_000_000
        envelope = wire.message(
            (1, 5), (11, recipient), (7, 1), (5, timestamp), (13, self.account.uuid), (9, str(uuid4())), (10, now)
        )
        self._pushed += 1
        timed = f"X-Signal-Timestamp: {now}"
        request = wire.message((1, "PUT"), (2, "/api/v1/message"), (3, envelope), (4, self._pushed), (5, timed))
        frame = wire.frame(wire.message((1, wire.REQUEST), (2, request)))
        self._call(lambda: [receive(frame) for receive in self._receivers])

    def _call(self, action: Callable[[], object]) -> None:
        """Do it in the service's thread, and wait until it is done."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(action)
        self._loop.call_soon_threadsafe(done.set)
        done.wait()

    def _abort(self) -> None:
        for transport in self._transports:
            transport.abort()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stopping.wait()
        server.close()
        self._abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport  # the one below TLS
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            request, _ = await _read_head(reader)
            if self._reachable and request.startswith("CONNECT "):
                self._transports.add(transport)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                plain, secured = writer.transport, cast("Any", writer)
                with contextlib.suppress(AttributeError):  # it trips over a daemon that hangs up during the handshake
                    await writer.start_tls(self._tls)
                if secured.transport is None:  # and so would its __del__
                    secured._transport = plain
                else:
                    await self._requests(reader, writer)
        self._transports.discard(transport)
        transport.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request, headers = await _read_head(reader)
            if not request:
                return
            if headers.get("upgrade", "").lower() == "websocket":
                return await self._websocket(reader, writer, headers)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            verb, path, _ = request.split()
            answer = await self._answer(verb, path, body)
            head = [f"HTTP/1.1 {answer.code} -", f"Content-Length: {len(answer.body)}", *_HEADERS, *answer.headers]
            writer.write("\r\n".join([*head, "", ""]).encode() + answer.body)

    async def _websocket(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]
    ) -> None:
        key = wire.accept_key(headers["sec-websocket-key"])
        upgrade = ["HTTP/1.1 101 -", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {key}"]
        writer.write("\r\n".join([*upgrade, "", ""]).encode())
        empty = wire.message((1, "PUT"), (2, "/api/v1/queue/empty"), (4, 1))
        writer.write(wire.frame(wire.message((1, wire.REQUEST), (2, empty))))
        if "authorization" in headers:
            self._receivers.append(writer.write)
        answering: set[asyncio.Task[None]] = set()
        try:
            whole = b""
            while True:
                opcode, last, payload = await wire.read_frame(reader)
                if opcode == wire.CLOSE:
                    return
                if opcode == wire.PING:
                    writer.write(wire.frame(payload, wire.PONG))
                elif opcode in wire.TEXT_OR_BINARY:
                    whole += payload
                    if last:
                        fields, whole = wire.fields_of(whole), b""
                        if fields[1] == [wire.REQUEST]:
                            answering.add(asyncio.create_task(self._respond(cast("bytes", fields[2][0]), writer)))
        finally:
            if writer.write in self._receivers:
                self._receivers.remove(writer.write)
            for task in answering:
                task.cancel()

    async def _respond(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        fields = wire.fields_of(request)
        verb, path, *body = (cast("bytes", value) for tag in (1, 2, 3) for value in fields[tag])
        answer = await self._answer(verb.decode(), path.decode(), b"".join(body))
        headers = [(5, header) for header in (*_HEADERS, *answer.headers)]
        response = wire.message((1, fields[4][0]), (2, answer.code), (3, "-"), (4, answer.body), *headers)
        writer.write(wire.frame(wire.message((1, wire.RESPONSE), (3, response))))

    async def _answer(self, verb: str, path: str, body: bytes) -> Status:
        for beginning, status in self.statuses.items():
            if path.startswith(beginning):
                return await _hang() if isinstance(status, Hang) else status
        match verb, path.partition("?")[0].split("/")[1:]:
            case _, ["v1", "accounts", "attributes", *_]:
                return Status(204)
            case _, ["v1", "accounts", "whoami", *_]:
                return _json(self.account.whoami())
            case "GET", ["v2", "keys"]:
                return _json({"count": 100, "pqCount": 100})
            case _, ["v2", "keys"]:
                return _json({})
            case "GET", ["v2", "keys", recipient, *_]:
                return _json(self._keys(recipient))
            case "GET", ["v1", "devices"]:
                return _json({"devices": [{"id": 1, "name": None, "lastSeen": 1_700_000_000_000}]})
            case "PUT", ["v1", "challenge"]:
                return Status(204)
            case "PUT", ["v1", "messages", recipient, *_]:
                return await self._take(recipient, json.loads(body)["timestamp"])
        return self._answer_store(verb, path, body)

    def _answer_store(self, verb: str, path: str, body: bytes) -> Status:
        """Where attachments go, and how they get there."""
        match verb, path:
            case "GET", "/v4/attachments/form/upload":
                return _json({"cdn": 2, "key": "file", "headers": {}, "signedUploadLocation": _STORE})
            case "POST", "/store":
                return Status(201, headers=(f"Location: {_STORE}/file",))
            case "PUT", "/store/file" if not body:
                return Status(308)  # asked how much of it is there: nothing
            case "PUT", "/store/file":
                self.uploads.append(len(body))
                return Status(200)
        return Status(404)

    def _keys(self, recipient: str) -> Any:
        mode, which = self.modes.get(recipient), zlib.crc32(recipient.encode())
        keys = PREKEYS[(which + isinstance(mode, Rekey)) % len(PREKEYS)]
        if isinstance(mode, BadKeys):
            keys = keys | {"identityKey": PREKEYS[(which + 1) % len(PREKEYS)]["identityKey"]}
        return keys

    async def _take(self, recipient: str, timestamp: int) -> Status:
        mode = self.modes.get(recipient, Ok())
        with self._arrival:
            self.sends.append(Send(recipient, timestamp, mode))
            self._arrival.notify_all()
        match mode:
            case Status():
                return mode
            case Hang():
                await _hang()
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Rekey() if recipient not in self._rekeyed:
                self._rekeyed.add(recipient)
                return Status(410, b'{"staleDevices":[1]}')  # has signal-cli ask for the keys again
            case _:
                pass
        return _json({"needsSync": False})


async def _hang() -> Status:
    status: Status = await asyncio.get_running_loop().create_future()
    return status


def _json(value: Any) -> Status:
    return Status(200, json.dumps(value).encode())


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """An HTTP request's first line, and its headers with their names in lower case."""
    request = (await reader.readline()).decode().strip()
    headers = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return request, headers
