"""Messages for Signal as bytes and back, for a journal or servers to keep, and their results; and what a list shows.

The bytes are JSON, whose names are those of the fields: what is as it is by default is left out. A field that a later
release adds, with a default, is no new version; a field that means something else is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from inspect import signature
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from ..delivery import Delivery
from ..errors import Rejected
from .answers import RecipientResult, ResultType, SendResult
from .messages import (
    ExpirationTimer,
    MessageId,
    Reaction,
    Receipt,
    Reference,
    RemoteDelete,
    SignalMessage,
    TextMessage,
)
from .references import timestamp_of
from .targets import Target, TargetKind, make_target

__all__ = ["decode_message", "decode_result", "encode_message", "encode_result", "summarize"]

R = TypeVar("R")

_VERSION = 1
_KINDS: dict[str, type[SignalMessage]] = {
    "text": TextMessage,
    "reaction": Reaction,
    "delete": RemoteDelete,
    "receipt": Receipt,
    "expiration": ExpirationTimer,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_ARGUMENTS = {
    TargetKind.NUMBER: "to",
    TargetKind.ACI: "to",
    TargetKind.USERNAME: "username",
    TargetKind.GROUP: "group",
}
"""Of :func:`make_target`, which reads an address again."""


def encode_message(message: SignalMessage) -> bytes:
    """A message as bytes, for ``SQLiteJournal(path, encode=encode_message, decode=decode_message)``.

    An attachment that goes by its path is kept as that: the file has to stay until the message was sent.

    Args:
        message: a message of any kind. If it is about another one by a Delivery, it is kept with the identity on
            Signal that this has once it was sent.

    Raises:
        TypeError: it is no message of this package.
        ValueError: it is about a message that still waits, or was not sent; or its target is not one of
            :func:`make_target`. No error holds any of it.
    """
    kept = {"version": _VERSION, "kind": _name_of(message), "fields": _fields(message)}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def decode_message(body: bytes) -> SignalMessage:
    """The message again, checked as when it was made first.

    Args:
        body: what :func:`encode_message` made of it, in this version or an older one.

    Raises:
        ValueError: it is none of that: damaged, or of a newer version. The error holds none of it.
    """
    return _decoded("message", _message, body)


def encode_result(result: SendResult) -> bytes:
    """The result of a Delivery as bytes, for ``JetStreamMessageBuffer(..., encode_result=encode_result)``.

    Raises:
        TypeError: it is none of a message of this package.
    """
    if type(result) is not SendResult:
        raise TypeError(f"result must be a SendResult, not {type(result).__name__}")
    kept = {"version": _VERSION, "fields": _fields(result)}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()


def decode_result(body: bytes) -> SendResult:
    """The result again.

    Args:
        body: what :func:`encode_result` made of it, in this version or an older one.

    Raises:
        ValueError: it is none of that. The error holds none of it.
    """
    return _decoded("result", _result, body)


def summarize(message: SignalMessage) -> dict[str, Any]:
    """What a list shows of a message, in values that JSON can say.

    Returns:
        ``kind`` (``text``, ``reaction``, ``delete``, ``receipt`` or ``expiration``), ``to`` (the address, or ``note to
        self``), ``text`` (all of it; a reaction's emoji; else empty) and ``attachments`` (how many). Then, as far as
        there is such, what it is about: ``quote``, ``edits``, ``story`` or ``about``, each the time in milliseconds
        since 1970 at which that message was sent, which is its identity on Signal, or None if it was not sent yet; of
        a receipt, ``about`` is a list of these. Of an expiration timer, its ``seconds``.

    Raises:
        TypeError: it is no message of this package.
    """
    summary: dict[str, Any] = {
        "kind": _name_of(message),
        "to": message.target.address or "note to self",
        "text": "",
        "attachments": 0,
    }
    match message:
        case TextMessage():
            summary |= {"text": message.text, "attachments": len(message.attachments)}
            quoted = message.quote.of if message.quote is not None else None
            about: dict[str, Reference | None] = {"quote": quoted, "edits": message.edits, "story": message.story}
            summary |= {name: _when(each) for name, each in about.items() if each is not None}
        case Reaction():
            summary |= {"text": message.emoji, "about": _when(message.about)}
        case RemoteDelete():
            summary["about"] = _when(message.about)
        case Receipt():
            summary["about"] = list(message.timestamps)
        case _:
            assert isinstance(message, ExpirationTimer)
            summary["seconds"] = message.seconds
    return summary


def _name_of(message: SignalMessage) -> str:
    if (name := _NAMES.get(type(message))) is None:
        allowed = ", ".join(kind.__name__ for kind in _NAMES)
        raise TypeError(f"message must be one of {allowed}, not {type(message).__name__}")
    return name


def _when(reference: Reference) -> int | None:
    with suppress(Rejected):
        return timestamp_of(reference)
    return None


# Encoding


def _plain(value: Any) -> Any:
    """What JSON has no word for, in its words."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case Target():
            return _arguments(value)
        case Delivery():
            return _fields(_identity(value))
    return _fields(value)


def _fields(value: Any) -> dict[str, Any]:
    named = {each.name: (getattr(value, each.name), each.default) for each in fields(value)}
    return {name: given for name, (given, default) in named.items() if given != default}


def _arguments(target: Target) -> dict[str, Any]:
    """What :func:`make_target` makes the target of."""
    if target.kind is TargetKind.SELF:
        return {"note_to_self": True}
    arguments: dict[str, Any] = {_ARGUMENTS[target.kind]: target.address}
    if make_target(**arguments) != target:
        raise ValueError("target must be one of make_target")
    return arguments


def _identity(delivery: Delivery[Any, Any]) -> MessageId:
    if delivery.outcome is None:
        raise ValueError(
            "message is about one that still waits: a journal can only keep what is about a message that was sent; "
            "await it first"
        )
    if (timestamp := _when(delivery)) is None:
        raise ValueError(f"message is about one that has no timestamp on Signal: it was {delivery.outcome}")
    return MessageId(delivery.message.target, None, timestamp)


# Decoding


def _decoded(what: str, read: Callable[[Any], R], body: bytes) -> R:
    try:
        return read(json.loads(body))
    except (json.JSONDecodeError, UnicodeDecodeError):  # these hold the whole body
        problem = "it is no JSON"
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    raise ValueError(f"the {what} cannot be read: {problem}")


def _result(kept: Any) -> SendResult:
    match kept:
        case {"version": int(version), "fields": given} if version == _VERSION:
            result: SendResult = _make(SendResult, given)
            return replace(result, results=tuple(map(_of_known_type, result.results)))
    raise ValueError("it is none of this version of ridethrough")


def _of_known_type(result: RecipientResult) -> RecipientResult:
    """A newer version may have written a type that this one does not know."""
    return result if isinstance(result.type, ResultType) else replace(result, type=ResultType.OTHER)


def _message(kept: Any) -> SignalMessage:
    match kept:
        case {"version": int(version)} if version > _VERSION:
            raise ValueError(f"a newer version of ridethrough has written it, and this one knows version {_VERSION}")
        case {"version": int(version), "kind": str(name), "fields": given} if version == _VERSION:
            if name not in _KINDS:
                raise ValueError("it is of a kind that is not known to this version of ridethrough")
            message: SignalMessage = _make(_KINDS[name], given)
            return message
    raise ValueError("it is no message")


@cache
def _hints(make: Any) -> dict[str, Any]:
    """The types of what something is made of."""
    hints = get_type_hints(make)
    return {name: hints[name] for name in signature(make).parameters}


def _make(kind: Any, given: Any) -> Any:
    make = make_target if kind is Target else kind
    if not isinstance(given, dict):
        raise TypeError(f"{kind.__name__} must be an object of JSON, not {type(given).__name__}")
    hints = _hints(make)
    if not given.keys() <= hints.keys():
        raise ValueError(f"{kind.__name__} has a field that is not known to this version of ridethrough")
    return make(**{name: _read(hints[name], value) for name, value in given.items()})


def _read(hint: Any, value: Any) -> Any:
    """A value of that type; what it is made for checks it, too, and says what is wrong."""
    if isinstance(hint, UnionType):  # None, or else what is named first: a MessageId, of a Reference
        return None if value is None else _read(get_args(hint)[0], value)
    if not isinstance(hint, type):
        return _read_several(get_args(hint)[0], value)
    if is_dataclass(hint):
        return _make(hint, value)
    if issubclass(hint, StrEnum):
        return next((each for each in hint if each == value), value)
    return base64.b64decode(value, validate=True) if hint is bytes else value


def _read_several(hint: Any, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise TypeError(f"several of {hint.__name__} must be a list, not {type(values).__name__}")
    return tuple(_read(hint, each) for each in values)
