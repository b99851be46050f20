"""Headers: what a message in the shared buffer says of itself, and what its host tells of it."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from ..abc import DeadLetter
from ..delivery import Outcome
from .books import Fate
from .stream import Kept

ID = "Nats-Msg-Id"
"""The name of a message: that of the host that has put it, and a number. JetStream knows one again by it."""
_EXPIRES = "Ridethrough-Expires"
"""When it becomes too old, on the wall clock, in seconds."""
_EARLIER = "Ridethrough-Earlier"
"""What is known of a message that was a dead letter before: its attempts, and whether it may have been sent."""
_FATE = "Ridethrough-Fate"
"""Of a dead letter: what became of the message."""

AGAIN = "again"
"""Stands for the host in the name of a message that was a dead letter, and the number is that of the letter: so it is
put again once, whoever wants that, and however often he has to ask."""
_OURS = re.compile(rf"([0-9a-f]{{16}}|{AGAIN})-[0-9]+")

HEADROOM = 4096
"""What the headers of a message, and of its dead letter, take at most of the largest message of a server, in bytes."""
_LONGEST_REASON = 300  # in characters, of which each may take 12 bytes of a header


class Tries(NamedTuple):
    """How often it was tried to send a message, and whether it may have arrived."""

    attempts: int
    maybe_sent: bool


def name_of(headers: dict[str, str]) -> str:
    """The name of a message; empty if it is none of ours."""
    name = headers.get(ID, "")
    return "" if putter(name) is None else name


def putter(name: str) -> str | None:
    """The host that has put a message of that name; None: none of ours."""
    found = _OURS.fullmatch(name)
    return None if found is None else found[1]


def of_message(name: str, expires_at: float | None, earlier: Tries | None) -> dict[str, str]:
    """The headers of a message."""
    headers = {ID: name}
    if expires_at is not None:
        headers[_EXPIRES] = repr(expires_at)
    if earlier is not None:
        headers[_EARLIER] = json.dumps(earlier)
    return headers


def expiry(headers: dict[str, str]) -> float | None:
    """When a message becomes too old, on the wall clock, in seconds; None: never."""
    try:
        return float(headers[_EXPIRES])
    except (KeyError, ValueError):
        return None


def earlier(headers: dict[str, str]) -> Tries:
    """What is known of a message from before it was put."""
    try:
        attempts, maybe_sent = json.loads(headers[_EARLIER])
        return Tries(int(attempts), bool(maybe_sent))
    except (KeyError, ValueError, TypeError):
        return Tries(0, False)


def of_dead_letter(number: int, fate: Fate, ended_at: float, known_as: str) -> dict[str, str]:
    """The headers of the dead letter of a message.

    Args:
        number: the message's own; 0: it never had one.
        fate: what became of it.
        ended_at: when, on the wall clock, in seconds.
        known_as: what JetStream is to know the letter by.
    """
    document = {
        "id": number,
        "outcome": fate.outcome,
        "reason": fate.reason[:_LONGEST_REASON],
        "ended_at": ended_at,
        "attempts": fate.attempts,
        "maybe_sent": fate.maybe_sent,
    }
    return {ID: known_as, _FATE: json.dumps(document)}


def dead_letter(kept: Kept) -> DeadLetter | None:
    """What a dead letter says; None: no host has written it."""
    try:
        fate = json.loads(kept.headers[_FATE])
        return DeadLetter(
            int(fate["id"]) or -kept.number,
            kept.body,
            Outcome(fate["outcome"]),
            str(fate["reason"]),
            float(fate["ended_at"]),
            int(fate["attempts"]),
            bool(fate["maybe_sent"]),
        )
    except (KeyError, ValueError, TypeError):
        return None


def tale(name: str, fate: Fate, result: bytes | None) -> bytes:
    """What a host tells another of the message of that name.

    Args:
        result: of its acknowledgement; None: there is none, or it cannot be told.
    """
    document = {
        "name": name,
        "outcome": fate.outcome,
        "reason": fate.reason,
        "result": None if result is None else b64encode(result).decode(),
        "attempts": fate.attempts,
        "maybe_sent": fate.maybe_sent,
    }
    return json.dumps(document).encode()


def told(body: bytes) -> tuple[str, Fate]:
    """The name of a message, and its fate, as another host tells it. The result of that is bytes, or None, or words.

    Raises:
        ValueError, TypeError, KeyError: no host of ours tells that.
    """
    document: dict[str, Any] = json.loads(body)
    result = document["result"]
    outcome = Outcome(document["outcome"])
    said = None if result is None else b64decode(result)
    fate = Fate(
        outcome,
        said if outcome is Outcome.SENT else str(document["reason"]),
        int(document["attempts"]),
        bool(document["maybe_sent"]),
    )
    return str(document["name"]), fate
