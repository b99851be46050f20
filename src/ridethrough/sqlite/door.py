"""The owner's door: a socket beside an outbox, where its owner takes requests from other processes.

Both sides send lines of JSON. A client asks ``{"id": 1, "method": "put", "params": {…}}``, and is answered
``{"id": 1, "result": …}``, or ``{"id": 1, "error": {"kind": "BufferFull", "text": …, "args": […], "fields": {…}}}``, in
the order in which the requests are done; they begin in the order in which they came. The owner's last line is
``{"closing": true}``: what it has not answered by then was not put. Of a client that it does not deal with, it is an
error with the id null.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    Lock,
    Semaphore,
    create_task_group,
    move_on_after,
    sleep,
    wait_readable,
    wait_writable,
)
from anyio.abc import TaskGroup, TaskStatus

from .. import errors
from ..abc import JournalChanges
from ..buffer import AsyncMessageBuffer
from ..errors import RidethroughError, StoreError
from ..logs import get_logger
from .files import beside, identity
from .handler import RequestHandler
from .journal import SQLiteJournal

T = TypeVar("T")

MAX_LINE = 32 * 2**20
"""The longest line, in bytes."""
CONNECTIONS = 100
"""How many clients are dealt with at a time."""
REQUESTS = 100
"""How many requests of one client are under way at a time. The next is read when one of them is done."""
PATIENCE = 5.0
"""How long a client may take to read a line, in seconds."""
_PAUSE = 0.05
_PIECE = 65536
_LONGEST_ADDRESS = 103  # 107 bytes on Linux; 103 everywhere
_PEERCRED = getattr(socket, "SO_PEERCRED", None)  # where there is none, the socket's mode has to do
_KINDS: dict[str, type[Exception]] = {
    **{kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type)},
    **{kind.__name__: kind for kind in (TypeError, ValueError, LookupError, RuntimeError)},
}
_PLAIN = (str, int, type(None))
_log = get_logger("sqlite")


async def serve(
    buffer: AsyncMessageBuffer[T],
    *,
    summarize: Callable[[T], dict[str, Any]] | None = None,
    about: Callable[[], dict[str, Any]] | None = None,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Let other processes of the same user put messages into this outbox, and look at what is in it, until cancelled.

    ::

        async with AsyncMessageBuffer(journal=SQLiteJournal("outbox.db")) as buffer, anyio.create_task_group() as tasks:
            await tasks.start(serve, buffer)
            …
            tasks.cancel_scope.cancel()

    They come with :func:`put` and :func:`connect`, through a socket beside the file, called ``…-door``. Only
    processes of this user get in. End it before the buffer is closed, as above: then whoever is about to put something
    waits for the next owner, and is not refused.

    Args:
        buffer: the outbox: entered, and with a :class:`SQLiteJournal`.
        summarize: makes of a message what a list shows of it: values of JSON, and never a whole attachment. By
            default ``{"message": message}``.
        about: what a status tells besides: values of JSON.
        task_status: told when others can get in.

    Raises:
        TypeError: the buffer has no such journal.
        RuntimeError: the journal is not open.
        StoreError: no socket can be made there.

    **Cancellation** ends it: nobody gets in any more, puts that are being written come to their answer, and all
    others are told that they were not put.
    """
    journal = buffer.journal
    if not isinstance(journal, SQLiteJournal):
        raise TypeError("buffer must have a SQLiteJournal as its journal: the door is beside its file")
    journal.commit(JournalChanges())  # changes nothing, and raises if it is not open

    connections: dict[_Connection, None] = {}

    async def deal_with(connection: _Connection) -> None:
        try:
            await connection.serve()
        finally:
            del connections[connection]

    with ExitStack() as opened:
        listener = opened.enter_context(_listen(beside(journal.path, "-door")))
        async with create_task_group() as tasks:
            try:
                task_status.started()
                while True:
                    await wait_readable(listener)
                    while len(connections) >= CONNECTIONS:
                        _let_go(connections)
                        await sleep(_PAUSE)
                    try:
                        client = listener.accept()[0]
                    except OSError:  # it has gone again, or this process has too many files open for now
                        await sleep(_PAUSE)
                        continue
                    connection = _Connection(client, RequestHandler(buffer, journal, summarize=summarize, about=about))
                    connections[connection] = None
                    tasks.start_soon(deal_with, connection)
            finally:
                opened.close()  # before the last goodbye: whoever has heard it does not come back here


def knock(path: Path) -> socket.socket | None:
    """A connection to the owner of the outbox at this path; None if nobody opens, or somebody else's process does."""
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    with suppress(OSError), _address(beside(Path(os.path.realpath(path)), "-door")) as address:
        client.connect(address)
        if _is_ours(client):
            return client
    client.close()
    return None


class Lines:
    """Lines of JSON over a connected socket, which is closed by whoever uses this."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket: socket.socket = connection
        self._received = bytearray()
        self._searched = 0

    async def read(self) -> Any:
        """The next line's value.

        Raises:
            EOFError: the other side has gone.
            ValueError: this is no JSON, or a line of more than ``MAX_LINE`` bytes. The text tells nothing of it.
        """
        while (end := self._received.find(b"\n", self._searched)) < 0:
            self._searched = len(self._received)
            if self._searched > MAX_LINE:
                raise ValueError(f"a line has more than {MAX_LINE} bytes")
            await wait_readable(self.socket)
            with suppress(BlockingIOError):
                try:
                    piece = self.socket.recv(_PIECE)
                except ConnectionError:
                    piece = b""
                if not piece:
                    raise EOFError
                self._received += piece
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        with suppress(ValueError, RecursionError):
            return json.loads(line, parse_constant=_refuse)
        raise ValueError(f"a line of {len(line)} bytes is no JSON")

    async def write(self, line: bytes) -> None:
        """Send a line, or as much of it as there is a socket for.

        Raises:
            ConnectionError: the other side has gone.
        """
        left = memoryview(line)
        while left:
            try:
                left = left[self.socket.send(left) :]
            except BlockingIOError:
                await wait_writable(self.socket)


def encode_line(message: dict[str, Any]) -> bytes:
    """The message as a line.

    Raises:
        TypeError, ValueError: it is no JSON, or longer than ``MAX_LINE`` bytes.
    """
    line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError(
            f"together this has {len(line)} bytes, and at most {MAX_LINE} go through the door: ask for less"
        )
    return line


def error_to_json(error: Exception) -> dict[str, Any]:
    """An error, to be raised on the other side. Of one that is not known there, only what kind it is."""
    for kind in type(error).__mro__:
        if _KINDS.get(kind.__name__) is kind:
            exact = kind is type(error) and all(isinstance(each, _PLAIN) for each in error.args)
            arguments = list(error.args) if exact else [str(error)]
            attributes = {name: value for name, value in vars(error).items() if isinstance(value, _PLAIN)}
            return {"kind": kind.__name__, "text": str(error), "args": arguments, "fields": attributes}
    _log.error("a request failed in the owner of the outbox: %s", type(error).__name__)
    return error_to_json(RuntimeError(f"the owner of the outbox failed: {type(error).__name__}"))


def error_from_json(value: dict[str, Any]) -> Exception:
    """The error again."""
    try:
        error = _KINDS[value["kind"]](*value["args"])
    except (KeyError, TypeError):  # of a later version
        return RidethroughError(f"{value['kind']}: {value['text']}")
    vars(error).update(value["fields"])
    return error


class _Connection:
    """One client, as the owner deals with it.

    Args:
        client: the socket, which this closes in the end.
        handler: answers this client's requests.

    Attributes:
        scope: cancel it to let go of the client.
        busy: how many requests are under way that the client must not be let go in, to make room for another: any but
            ``wait``, which is as well asked for again.
    """

    def __init__(self, client: socket.socket, handler: RequestHandler[Any]) -> None:
        self.scope = CancelScope()
        self.busy = 0
        self._lines = Lines(client)
        self._handler = handler
        self._slots = Semaphore(REQUESTS)
        self._writing = Lock()
        self._whole = True  # no line to the client is cut off, and none is missing

    async def serve(self) -> None:
        """Answer requests until the client has gone. **Cancellation** says goodbye to it."""
        goodbye = _CLOSING
        with closing(self._lines.socket):
            if not _is_ours(self._lines.socket):
                _log.warning("somebody else's process was not let in")
                await self._write(_error_line(None, StoreError("the outbox belongs to another user")))
                return
            try:
                with self.scope:
                    async with create_task_group() as requests:
                        goodbye = await self._take(requests)
                        requests.cancel_scope.cancel()
            finally:
                await self._write(goodbye)

    async def _take(self, requests: TaskGroup) -> bytes:
        """Take requests until there is something wrong with one, or the client has gone; returns what to say then."""
        try:
            while True:
                request = _checked(await self._lines.read())
                await self._slots.acquire()  # which gives the request before a turn, so that they begin in order
                self.busy += request["method"] != "wait"
                requests.start_soon(self._answer, request)
        except EOFError:
            return _CLOSING
        except ValueError as error:
            _log.warning("a client of the outbox was let go: %s", error)
            return _error_line(None, error)

    async def _answer(self, request: dict[str, Any]) -> None:
        try:
            result = await self._handler.answer(request["method"], request["params"])
            line = encode_line({"id": request["id"], "result": result})
        except Exception as error:
            line = _error_line(request["id"], error)
        await self._write(line)
        self.busy -= request["method"] != "wait"
        self._slots.release()

    async def _write(self, line: bytes) -> None:
        """Send a line, cancelled or not: what was done is told. A client that does not read is let go."""
        with move_on_after(PATIENCE, shield=True) as patience, suppress(ConnectionError):
            async with self._writing:
                await self._write_after_whole_lines(line)
        self._whole = self._whole and not patience.cancelled_caught
        if patience.cancelled_caught and not self.scope.cancel_called:
            _log.warning("a client of the outbox was let go: it does not read what it asked for")
            self.scope.cancel()

    async def _write_after_whole_lines(self, line: bytes) -> None:
        if self._whole:
            self._whole = False
            await self._lines.write(line)
            self._whole = True


_CLOSING = encode_line({"closing": True})


def _error_line(request_id: int | None, error: Exception) -> bytes:
    return encode_line({"id": request_id, "error": error_to_json(error)})


def _checked(request: Any) -> dict[str, Any]:
    match request:
        case {"id": int(), "method": str(), "params": dict()}:
            return dict(request)
    raise ValueError('a request must have an "id" that is an int, a "method", and "params" that are an object')


def _let_go(connections: Iterable[_Connection]) -> None:
    """Let the first client go that has nothing under way but waiting; it comes again when there is something."""
    for connection in connections:
        if not connection.busy:
            connection.scope.cancel()
            return


def _is_ours(connection: socket.socket) -> bool:
    """Whether this user's process is at the other end."""
    if _PEERCRED is None:
        return True
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, _PEERCRED, struct.calcsize("3i")))
    return bool(user == os.geteuid())


@contextmanager
def _listen(door: Path) -> Iterator[socket.socket]:
    """Listen at the door, as long as this is not left."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.setblocking(False)
        try:
            if door.is_socket():
                door.unlink()  # of an owner that was killed: the outbox is ours now
            with suppress(OSError):
                os.fchmod(listener.fileno(), 0o600)  # on Linux it is born so; elsewhere nobody gets in before listen()
            with _address(door) as address:
                listener.bind(address)
            door.chmod(0o600)
            listener.listen(CONNECTIONS)
        except OSError as error:
            raise StoreError(f"no socket can be made at {door}: {error.strerror or error}") from error
        ours = identity(door)
        try:
            yield listener
        finally:
            if identity(door) == ours:
                with suppress(OSError):
                    door.unlink()


@contextmanager
def _address(door: Path) -> Iterator[str]:
    """What a socket may call the door, whose path may be longer than an address can be."""
    if len(os.fsencode(door)) <= _LONGEST_ADDRESS:
        yield str(door)
        return
    folder = os.open(door.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{door.name}"
    finally:
        os.close(folder)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
