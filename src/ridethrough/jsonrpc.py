"""JSON-RPC 2.0 over newline-separated lines, the client's side, without I/O: bytes in, events out.

::

    protocol = ClientProtocol()
    request_id, line = protocol.request("version")      # write the line to the connection
    for event in protocol.receive_data(data):           # what was read from it
        match event:
            case Result(id=request_id): ...
            case Error(): ...
            case Notification(method="receive"): ...
    protocol.receive_eof()                              # when it ended

Errors::

    RidethroughError
    ├── LocalProtocolError    what we were about to send is not allowed; nothing has changed
    └── RemoteProtocolError   what the other side sent is not JSON-RPC; the connection is of no more use

A connection that is confused about its lines or its ids cannot be trusted to match the next answer to its request, so a
:class:`RemoteProtocolError` is final. No event shows what it holds in its ``repr``, and no error quotes what was sent
or received: both hold messages, and signal-cli quotes what it does not like in the texts of its own errors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .errors import RidethroughError

MAX_LINE = 32 * 2**20
"""The longest line that is taken, in bytes, unless told otherwise. It has room for the longest string that the daemon
can write; without a limit a flooding daemon took 301 MB of a client in seconds."""

# What signal-cli's JSON parser takes (Jackson's StreamReadConstraints; measured on 0.13.19). Over any of them it
# reads no further, answers what it had read before, and closes the connection. Java counts in UTF-16 units.
MAX_STRING = 20_000_000
"""The longest string in a request, in UTF-16 units."""
MAX_NAME = 50_000
"""The longest name of a member in a request, in UTF-16 units."""
MAX_DIGITS = 1000
"""The longest number in a request, in digits."""
MAX_DEPTH = 1000
"""How deep arrays and objects may nest in a request, the request itself being the first level."""

_LARGEST_CODE = 99_999
"""JSON-RPC's own codes have five digits, signal-cli's one."""

_TOO_LARGE = 10**MAX_DIGITS


class LocalProtocolError(RidethroughError):
    """What we were about to send is not allowed. Nothing has changed, and the connection is as good as before."""


class RemoteProtocolError(RidethroughError):
    """What the other side sent is not allowed. The connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a request that succeeded."""

    id: int
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Error:
    """The answer to a request that failed.

    Attributes:
        id: the request's; None if the other side could not read which one it was.
        code: what kind of error it is.
        message: the other side's words for a person. They may quote the request.
        data: more about it; None if there is none.
    """

    id: int | None
    code: int
    message: str = field(repr=False)
    data: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that the other side says without having been asked."""

    method: str
    params: dict[str, Any] = field(default_factory=dict, repr=False)


Event = Result | Error | Notification


class ClientProtocol:
    """One connection's state, as a client sees it.

    Args:
        max_line: the longest line that is taken, in bytes without its newline. What is kept of a line that is still
            arriving never grows beyond it by more than one piece.

    Raises:
        TypeError, ValueError: ``max_line`` is not an int of at least 1.
    """

    def __init__(self, *, max_line: int = MAX_LINE) -> None:
        if isinstance(max_line, bool) or not isinstance(max_line, int):
            raise TypeError(f"max_line must be an int of at least 1, not {type(max_line).__name__}")
        if max_line < 1:
            raise ValueError(f"max_line must be an int of at least 1, not {max_line}")
        self._max_line = max_line
        self._buffer = bytearray()
        self._searched = 0  # so far there is no newline in the buffer: a long line is searched once, not once a piece
        self._last_id = 0
        self._unanswered: dict[int, bool] = {}  # request ids; False: forgotten
        self._ended = False
        self._broken = ""  # what the other side did wrong

    def request(self, method: str, params: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Make a request.

        Args:
            method: what to call.
            params: its parameters by name.

        Returns:
            The request's id, which is used once in a connection, and the line to send, with its newline.

        Raises:
            LocalProtocolError: it cannot be sent: it is not JSON, not valid Unicode, over a limit of the daemon, which
                would close the connection over it, or the connection has ended.
        """
        if self._broken or self._ended:
            raise LocalProtocolError("the connection has ended")
        if not isinstance(method, str) or not method:
            raise LocalProtocolError("method must be a string that is not empty")
        if params is not None and not isinstance(params, dict):
            raise LocalProtocolError(f"params must be a dict or None, not {type(params).__name__}")
        request_id = self._last_id + 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
        if params is not None:
            message["params"] = params
        line = _encode(message)
        self._last_id = request_id
        self._unanswered[request_id] = True
        return request_id, line

    def forget(self, request_id: int) -> None:
        """Say that nobody waits for this answer any more: if it comes late, it is dropped without a word.

        Forgetting what was answered or forgotten already changes nothing.

        Args:
            request_id: what :meth:`request` returned.

        Raises:
            ValueError: there was no such request.
        """
        if not 0 < request_id <= self._last_id:
            raise ValueError(f"request_id must be one that request() returned, not {request_id!r}")
        if request_id in self._unanswered:
            self._unanswered[request_id] = False

    def receive_data(self, data: bytes) -> Iterator[Event]:
        """Take what was read from the connection.

        Args:
            data: any piece of the stream, cut anywhere.

        Returns:
            The events that are complete by now, to be iterated to the end. If something that is not allowed stands
            behind them, the iterator raises RemoteProtocolError in its place, so that no answer before it is lost.

        Raises:
            RemoteProtocolError: at once, if one was raised before.
            LocalProtocolError: the connection has ended.
        """
        self._raise_if_broken()
        if self._ended:
            raise LocalProtocolError("data after the end of the connection")
        self._buffer += data
        return self._events()

    def receive_eof(self) -> None:
        """Take note that the other side has ended the connection. Requests without an answer will get none.

        Raises:
            RemoteProtocolError: it ended in the middle of a line, or one was raised before.
        """
        self._raise_if_broken()
        if self._buffer:
            self._break(f"the connection ended in the middle of a line, after {len(self._buffer)} bytes of it")
        self._ended = True

    def _events(self) -> Iterator[Event]:
        while True:
            self._raise_if_broken()
            end = self._buffer.find(b"\n", self._searched)
            length = len(self._buffer) if end < 0 else end
            if length > self._max_line:
                self._break(f"a line is longer than max_line={self._max_line} bytes")
            if end < 0:
                self._searched = length
                return
            line = self._buffer[:end]
            del self._buffer[: end + 1]
            self._searched = 0
            event = self._parse(line)
            if event is not None:
                yield event

    def _parse(self, line: bytearray) -> Event | None:
        try:
            message = json.loads(line.decode(), parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            problem = f"not UTF-8 at byte {error.start}"
        except json.JSONDecodeError as error:
            problem = f"not JSON at character {error.pos}"
        except ValueError:
            problem = "no number that JSON or Python knows"
        except RecursionError:
            problem = "nested too deep"
        else:
            return self._read(message)
        # Outside of the except clauses: their errors hold the whole line, and would hang on to ours.
        self._break(f"a line of {len(line)} bytes is {problem}")

    def _read(self, message: Any) -> Event | None:
        if not isinstance(message, dict):
            self._break(f"a message is a {type(message).__name__}, not an object")
        if message.get("jsonrpc") != "2.0":
            self._break('a message is not of "jsonrpc": "2.0"')
        kinds = [kind for kind in ("method", "result", "error") if kind in message]
        if len(kinds) != 1:
            self._break(f"a message has {' and '.join(kinds) or 'neither method, result nor error'}")
        if kinds == ["method"]:
            return self._read_notification(message)
        return self._read_response(message)

    def _read_notification(self, message: dict[str, Any]) -> Notification:
        method, params = message["method"], message.get("params")
        if "id" in message:
            self._break("a request came, and a client answers none")
        if not isinstance(method, str):
            self._break("a notification's method is not a string")
        if params is not None and not isinstance(params, dict):
            self._break("a notification's params are not an object")
        return Notification(method, params or {})

    def _read_response(self, message: dict[str, Any]) -> Result | Error | None:
        request_id = message.get("id", "")
        if request_id is None and "error" in message:
            return self._read_error(None, message["error"])
        # For Python, and so for the dict, true is 1 and so is 1.0.
        if type(request_id) is not int or request_id not in self._unanswered:
            self._break("a response has no id that waits for one")
        if "error" in message:
            event: Result | Error = self._read_error(request_id, message["error"])
        else:
            event = Result(request_id, message["result"])
        return event if self._unanswered.pop(request_id) else None

    def _read_error(self, request_id: int | None, error: Any) -> Error:
        if not isinstance(error, dict):
            self._break("an error is not an object")
        code, text = error.get("code"), error.get("message")
        if type(code) is not int or not isinstance(text, str):
            self._break("an error has no integer as its code, or no string as its message")
        if abs(code) > _LARGEST_CODE:  # codes are shown, and this might be anything, such as a telephone number
            self._break("an error's code is none")
        return Error(request_id, code, text, error.get("data"))

    def _break(self, problem: str) -> NoReturn:
        self._broken = problem
        self._buffer = bytearray()  # a flood's memory goes back at once
        self._searched = 0
        raise RemoteProtocolError(problem)

    def _raise_if_broken(self) -> None:
        # A new one each time: one that is raised again and again collects the tracebacks of all the times.
        if self._broken:
            raise RemoteProtocolError(self._broken)

    def __repr__(self) -> str:
        state = "broken" if self._broken else "ended" if self._ended else "open"
        return f"<ClientProtocol {state}, {len(self._unanswered)} unanswered, {len(self._buffer)} bytes of a line>"


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser would take and JSON does not know."""
    raise ValueError(name)


def _encode(message: dict[str, Any]) -> bytes:
    _check(message)
    try:
        # As UTF-8 rather than escaped: an emoji takes 4 bytes instead of 12. Newlines are always escaped.
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (UnicodeEncodeError, RecursionError) as error:
        lone = isinstance(error, UnicodeEncodeError)
    # Outside of the except clause: the error holds the whole text, and would hang on to ours.
    raise LocalProtocolError("a string is not valid Unicode: it has a lone surrogate" if lone else "nested too deep")


def _check(message: dict[str, Any]) -> None:
    """Refuse what the daemon would close the connection over, and what the encoder would turn into something else."""
    stack: list[tuple[Any, int]] = [(message, 1)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, str):
            _check_length("a string", value, MAX_STRING)
        elif value is None or isinstance(value, bool):
            pass
        elif isinstance(value, int):
            if abs(value) >= _TOO_LARGE:
                raise LocalProtocolError(f"a number has more than {MAX_DIGITS} digits")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise LocalProtocolError("a number is not finite, and JSON knows no such numbers")
        elif not isinstance(value, dict | list | tuple):
            raise LocalProtocolError(f"JSON has no {type(value).__name__}")
        elif depth > MAX_DEPTH:
            raise LocalProtocolError(f"nested deeper than {MAX_DEPTH} levels")
        else:
            if isinstance(value, dict):
                for name in value:
                    if not isinstance(name, str):
                        raise LocalProtocolError(f"a member's name must be a string, not {type(name).__name__}")
                    _check_length("a member's name", name, MAX_NAME)
            members = value.values() if isinstance(value, dict) else value
            stack.extend((member, depth + 1) for member in members)


def _check_length(what: str, text: str, limit: int) -> None:
    # No character has more than two units: a text that short need not be counted.
    if len(text) * 2 > limit and len(text.encode("utf-16-le", "surrogatepass")) > limit * 2:
        raise LocalProtocolError(f"{what} is longer than {limit} UTF-16 units")
