"""MemoryStream: messages with numbers, and the limits of a stream of JetStream."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

_NANO = 1_000_000_000
_RECORD = 30
"""What a message takes in a file beside its subject, headers and body, in bytes; with headers, 4 more."""


class ApiError(Exception):
    """An answer of JetStream that is an error."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.answer = {"code": status, "err_code": code, "description": text}


class Stored(NamedTuple):
    """A message in a stream."""

    number: int
    subject: str
    data: bytes
    headers: dict[str, str] | None

    @property
    def raw_headers(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (self.headers or {}).items())
        return f"NATS/1.0\r\n{lines}\r\n".encode() if lines else b""

    @property
    def size(self) -> int:
        raw = self.raw_headers
        return _RECORD + len(self.subject) + len(self.data) + (len(raw) + 4 if raw else 0)


class MemoryStream:
    """One stream.

    Args:
        config: as it was asked for.
        clock: tells the time.
        on_change: told the number of each message that came or went.
    """

    def __init__(self, config: dict[str, Any], clock: Callable[[], float]) -> None:
        self.config = {"max_msgs": -1, "max_bytes": -1, "max_msgs_per_subject": -1, "max_age": 0} | config
        self.config.setdefault("duplicate_window", 120 * _NANO)
        self.messages: dict[int, Stored] = {}
        self.last = 0
        self.on_removed: list[Callable[[int], None]] = []
        self._clock = clock
        self._size = 0
        self._known: dict[str, tuple[int, float]] = {}

    def takes(self, subject: str) -> bool:
        """Whether what is published there is stored here."""
        return any(matches(pattern, subject) for pattern in self.config["subjects"])

    def store(self, subject: str, data: bytes, headers: dict[str, str] | None) -> tuple[int, bool]:
        """Store a message; returns its number, and whether it was there before.

        Raises:
            ApiError: there is no room.
        """
        now = self._clock()
        name = (headers or {}).get("Nats-Msg-Id", "")
        for known, (_, at) in list(self._known.items()):
            if now - at < self.config["duplicate_window"] / _NANO:
                break
            del self._known[known]
        if name in self._known:
            return self._known[name][0], True
        message = Stored(self.last + 1, subject, data, headers)
        if self.config["max_msgs_per_subject"] == 1 and (before := self.newest(subject)) is not None:
            self.remove(before.number)
        self._make_room(message.size)
        self.last += 1
        self.messages[self.last] = message
        self._size += message.size
        if name:
            self._known[name] = (self.last, now)
        return self.last, False

    def _make_room(self, size: int) -> None:
        most, most_bytes = self.config["max_msgs"], self.config["max_bytes"]
        while (full := 0 < most <= len(self.messages)) or 0 < most_bytes < self._size + size:
            if self.config["discard"] == "new" or not self.messages:
                raise ApiError(503, 10077, f"maximum {'messages' if full else 'bytes'} exceeded")
            self.remove(next(iter(self.messages)))

    def remove(self, number: int) -> bool:
        """Take a message out; False: it is not there."""
        message = self.messages.pop(number, None)
        if message is None:
            return False
        self._size -= message.size
        for told in self.on_removed:
            told(number)
        return True

    def purge(self, subject: str) -> int:
        """Take all messages of a subject out; returns how many there were."""
        numbers = [message.number for message in self.messages.values() if matches(subject, message.subject)]
        return sum(self.remove(number) for number in numbers)

    def next(self, number: int, pattern: str = ">") -> Stored | None:
        """The first message of such a subject from that number on."""
        found = (each for each in self.messages.values() if each.number >= number and matches(pattern, each.subject))
        return next(found, None)

    def newest(self, subject: str) -> Stored | None:
        """The last message of a subject."""
        return next((each for each in reversed(self.messages.values()) if matches(subject, each.subject)), None)

    def count(self, number: int, pattern: str) -> int:
        """How many messages of such a subject there are from that number on."""
        return sum(each.number >= number and matches(pattern, each.subject) for each in self.messages.values())

    def state(self, *, details: bool) -> dict[str, Any]:
        """As JetStream describes it."""
        first = next(iter(self.messages), self.last + 1 if self.last else 0)
        deleted = [number for number in range(first, self.last + 1) if number not in self.messages]
        state = {"messages": len(self.messages), "bytes": self._size, "first_seq": first, "last_seq": self.last}
        if deleted:
            state["num_deleted"] = len(deleted)
            return {**state, "deleted": deleted} if details else state
        return state


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a pattern names."""
    if pattern in (subject, ">"):
        return True
    parent, _, last = pattern.rpartition(".")
    if last == "*":
        return subject.rpartition(".")[0] == parent
    return last == ">" and subject.startswith(f"{parent}.")


def shown(message: Stored) -> dict[str, Any]:
    """A message as JetStream answers with it."""
    answer: dict[str, Any] = {"subject": message.subject, "seq": message.number}
    if message.headers:
        answer["hdrs"] = b64encode(message.raw_headers).decode()
    if message.data:
        answer["data"] = b64encode(message.data).decode()
    return answer
