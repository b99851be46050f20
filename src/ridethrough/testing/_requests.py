"""Lines as signal-cli reads them, and the answers that it writes; without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..jsonrpc import MAX_DEPTH, MAX_DIGITS, MAX_NAME, MAX_STRING
from ._params import RequestFailed

PARSE_ERROR, INVALID_REQUEST = -32700, -32600

_MEMBERS = {"jsonrpc", "id", "method", "params"}


class UnreadableLine(Exception):
    """signal-cli reads no further after this line."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, or what is wrong with it.

    Attributes:
        id: what its answer is to carry.
        wants_answer: False if it is a notification.
        method, params: what to do.
        error: why it cannot be performed.
    """

    id: Any = None
    wants_answer: bool = True
    method: str = ""
    params: dict[str, Any] = field(default_factory=dict, repr=False)
    error: RequestFailed | None = None


def read_line(line: bytes) -> Request | list[Request]:
    """Read a line: one request or a batch.

    Raises:
        UnreadableLine: signal-cli would read no further.
    """
    try:
        text = line.decode().strip()
        if not text:
            return _wrong(PARSE_ERROR, "Empty input line")
        message, _ = _DECODER.raw_decode(text)  # what stands behind it is of no interest to signal-cli
    except UnicodeDecodeError as error:
        raise UnreadableLine("not UTF-8") from error
    except RecursionError as error:
        raise UnreadableLine("nested too deep") from error
    except ValueError:
        return _wrong(PARSE_ERROR, "not JSON")
    _check_limits(message)
    if isinstance(message, dict):
        return _read(message)
    if not isinstance(message, list):
        kind = {str: "STRING", bool: "BOOLEAN", type(None): "NULL"}.get(type(message), "NUMBER")
        return _wrong(INVALID_REQUEST, f"unexpected type: {kind}")
    if not message:
        return _wrong(INVALID_REQUEST, "invalid request")
    return [_read(each) if isinstance(each, dict) else _wrong(INVALID_REQUEST, "not a request") for each in message]


def result_of(request: Request, result: Any) -> dict[str, Any]:
    """The answer to a request that succeeded."""
    return {"jsonrpc": "2.0", "result": result, "id": request.id}


def error_of(request: Request, error: RequestFailed) -> dict[str, Any]:
    """The answer to a request that failed."""
    described = {"code": error.code, "message": error.message, "data": error.data}
    return {"jsonrpc": "2.0", "error": described, "id": request.id}


def _read(message: dict[str, Any]) -> Request:
    request_id = message.get("id")
    if isinstance(request_id, dict | list):
        return _wrong(INVALID_REQUEST, "the id is an object or an array")
    problem, params = "", message.get("params")
    if unknown := message.keys() - _MEMBERS:
        problem = f'Unrecognized field "{min(unknown)}"'
    elif message.get("jsonrpc") != "2.0":
        problem = "only jsonrpc version 2.0 is supported"
    elif message.get("method") is None:
        problem = "method field must be set"
    elif not isinstance(params, dict | None):
        problem = "the params are not an object"
    if problem:
        return _wrong(INVALID_REQUEST, problem, request_id)
    return Request(request_id, "id" in message, str(message["method"]), params or {})


def _wrong(code: int, message: str, request_id: Any = None) -> Request:
    return Request(request_id, error=RequestFailed(code, message))


def _check_limits(message: Any) -> None:
    stack = [(message, 1)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, str):
            _check_length(value, MAX_STRING)
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise UnreadableLine("nested too deep")
            if isinstance(value, dict):
                for name in value:
                    _check_length(name, MAX_NAME)
                value = value.values()
            stack.extend((each, depth + 1) for each in value)


def _check_length(text: str, limit: int) -> None:
    if len(text) * 2 > limit and len(text.encode("utf-16-le", "surrogatepass")) > limit * 2:
        raise UnreadableLine("a string is too long")


def _integer(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _decimal(digits: str) -> float:
    _check_digits(digits)
    return float(digits)


def _check_digits(digits: str) -> None:
    if sum(map(str.isdigit, digits)) > MAX_DIGITS:
        raise UnreadableLine("a number is too long")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_decimal, parse_constant=_refuse_constant)
