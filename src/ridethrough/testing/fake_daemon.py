"""A daemon to test against: it answers as signal-cli's does, and breaks on demand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Self

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    Event,
    IncompleteRead,
    Lock,
    aclose_forcefully,
    create_task_group,
    sleep,
)
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream

from ._requests import Request, UnreadableLine, error_of, read_line, result_of
from ._server import Server
from .fake_signal import FakeSignal, RequestFailed
from .faults import CutAfter, CutBefore, CutInAnswer, Failure, Fault, Flood, Garbage, Late, Refuse, Stall, WrongId

_PIECE = 65536
_MAX_LINE = 2**30


class FakeSignalDaemon(FakeSignal):
    """Stands in for signal-cli's daemon with several accounts, over a UNIX or a TCP socket. Use it with ``async with``.

    It answers ``version``, ``listAccounts`` and ``send``, and refuses everything else, in the very words of signal-cli
    0.13.19. Like that one it performs requests at the same time, so that those which are sent without waiting for the
    answer overtake each other, and performs what it has read even if its client has gone.

    Args:
        endpoint: where to listen: ``unix:/path``, or ``tcp://host:port`` with port 0 for any that is free.
        accounts: the telephone numbers of its accounts.

    Attributes:
        sends: what reached Signal, in order.
        faults: what happens to the next sends, one each, in order; a send in a batch meets none.
        accounts: the telephone numbers of the accounts that it has. Take one out, and it is missing.
        groups: the groups that the accounts are in: by the group's id, its other members as they would be addressed.
        per_recipient: whom Signal fails, and how, for as long as it stands there: by recipient as it is addressed.
        service_reachable: whether it reaches Signal. If not, sends fail at once.

    Raises:
        TypeError, ValueError: ``endpoint`` is none.
        OSError: from ``async with``: it cannot listen there.
    """

    def __init__(self, endpoint: str = "tcp://127.0.0.1:0", *, accounts: Sequence[str] = ("+15550001111",)) -> None:
        super().__init__(accounts)
        self.faults: list[Fault] = []
        self._server = Server(endpoint, self._serve)
        self._connections: set[_Connection] = set()
        self._thawed: Event | None = None  # None: it is not frozen
        self._order = random.Random(0)  # noqa: S311

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that it got."""
        return self._server.endpoint

    def fail_next(self, *faults: Fault) -> None:
        """Have these faults happen to the next sends, one each, in order, after those that are due already."""
        self.faults.extend(faults)

    async def stop(self) -> None:
        """Die as by ``kill -9``: connections are cut, nobody listens; what was not performed yet never is.

        A UNIX socket's file stays behind. A second time changes nothing.
        **Cancellation**: it dies all the same.
        """
        await self._server.stop()

    async def start(self) -> None:
        """Listen again at the same place. While it listens, this changes nothing.

        Raises:
            OSError: it cannot listen there any more.

        **Cancellation** leaves it stopped.
        """
        await self._server.start()

    def freeze(self) -> None:
        """Stand still as by ``SIGSTOP``: connections and what is sent on them are taken, and nothing happens."""
        if self._thawed is None:
            self._thawed = Event()

    def thaw(self) -> None:
        """Go on as by ``SIGCONT``, with what has come in the meantime too."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    async def push(self, envelope: dict[str, Any], account: str | None = None) -> None:
        """Tell every client of an incoming message.

        Args:
            envelope: what signal-cli would say of it.
            account: whom it is for; the first of the accounts if None.

        **Cancellation**: some clients have been told.
        """
        params = {"envelope": envelope, "account": account or self.accounts[0]}
        for connection in list(self._connections):
            await connection.write({"jsonrpc": "2.0", "method": "receive", "params": params})

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    def __repr__(self) -> str:
        return f"<FakeSignalDaemon at {self.endpoint}, {len(self.sends)} sends>"

    async def _serve(self, stream: SocketStream) -> None:
        connection = _Connection(stream)
        self._connections.add(connection)
        try:
            async with create_task_group() as requests:  # outlives the client: what was read is performed
                while (line := await connection.next_line()) is not None:
                    await self._while_frozen()
                    try:
                        requests.start_soon(self._answer, connection, read_line(line))
                    except UnreadableLine:
                        break  # it reads no further, and ends the connection once it has answered what it read before
        finally:
            self._connections.discard(connection)

    async def _while_frozen(self) -> None:
        while self._thawed is not None:
            await self._thawed.wait()

    async def _answer(self, connection: _Connection, request: Request | list[Request]) -> None:
        for _ in range(self._order.randrange(4)):  # whoever does not wait for answers gets no order
            await checkpoint()
        await self._while_frozen()
        if isinstance(request, list):
            return await self._answer_batch(connection, request)
        fault = self.faults.pop(0) if request.method == "send" and self.faults else None
        if isinstance(fault, CutBefore):
            await connection.cut()
        else:
            answer = self._perform(request, fault)
            if request.wants_answer:
                await self._write(connection, answer, fault)

    async def _answer_batch(self, connection: _Connection, batch: list[Request]) -> None:
        answers = [self._perform(request, None) for request in batch]
        wanted = [answer for answer, request in zip(answers, batch, strict=True) if request.wants_answer]
        if wanted:
            await connection.write(wanted)

    def _perform(self, request: Request, fault: Fault | None) -> dict[str, Any]:
        try:
            if request.error is not None:
                raise request.error
            if isinstance(fault, Refuse):
                raise RequestFailed(fault.code, fault.message, fault.data)
            failure = fault if isinstance(fault, Failure) else None
            return result_of(request, self.call(request.method, request.params, failure))
        except RequestFailed as error:
            return error_of(request, error)

    async def _write(self, connection: _Connection, answer: dict[str, Any], fault: Fault | None) -> None:
        match fault:
            case CutAfter():
                await connection.cut()
            case CutInAnswer():
                line = json.dumps(answer).encode()
                await connection.write_bytes(line[: len(line) // 2])
                await connection.cut()
            case Stall():
                pass
            case Garbage(line):
                await connection.write_bytes(line + b"\n")
            case Flood():
                while await connection.write_bytes(b"x" * _PIECE):
                    pass
            case Late(seconds):
                await sleep(seconds)
                await self._while_frozen()
                await connection.write(answer)
            case WrongId():
                await connection.write(answer | {"id": -1})
            case _:
                await connection.write(answer)


class _Connection:
    """One client."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._reader = BufferedByteReceiveStream(stream)
        self._writing = Lock()

    async def next_line(self) -> bytes | None:
        """The next line that the client sends; None when the connection has ended, by the client or by us."""
        try:
            return await self._reader.receive_until(b"\n", _MAX_LINE)
        except IncompleteRead:  # the last one needs no newline
            rest = len(self._reader.buffer)
            return await self._reader.receive(rest) if rest else None
        except (BrokenResourceError, ClosedResourceError):
            return None

    async def write(self, message: Any) -> None:
        """Send a line, in two pieces as signal-cli does."""
        await self.write_bytes(json.dumps(message, ensure_ascii=False).encode(errors="replace"), b"\n")

    async def write_bytes(self, *pieces: bytes) -> bool:
        """Send these; False if the client has gone."""
        whole = False
        async with self._writing:
            try:
                for piece in pieces:
                    await self._stream.send(piece)
                whole = True
            except (BrokenResourceError, ClosedResourceError):
                pass
            finally:
                if not whole:  # nobody would know where the next line begins
                    await self.cut()
        return whole

    async def cut(self) -> None:
        await aclose_forcefully(self._stream)
