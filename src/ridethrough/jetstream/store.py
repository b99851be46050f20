"""Store: what the streams hold, and the single steps that change it. It knows no policy."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from itertools import count
from typing import Any, NamedTuple

from ..abc import DeadLetter
from ..delivery import Outcome
from ..json_codec import to_json
from .books import Fate
from .failures import Refused
from .streams import Layout
from .wire import Wire

EXPIRES = "Ridethrough-Expires"
"""When it becomes too old, on the wall clock, in seconds."""
_FATE = "Ridethrough-Fate"
_ID = "Nats-Msg-Id"
"""The name of a message: that of the host that has put it, and a number. JetStream knows one again by it."""

_OURS = re.compile(r"([0-9a-f]{16})-[0-9]+")

_NO_MESSAGE = {10037, 10043, 10057}
_DETAILS = 10_000
"""Up to how many gaps in the stream to ask where they are."""
_LONGEST_REASON = 300  # in characters, of which each may take 12 bytes of a header
HEADROOM = 4096
"""What the headers of a message, and of its dead letter, take at most of the largest message of a server, in bytes."""


class Kept(NamedTuple):
    """A message in the stream."""

    number: int
    subject: str
    body: bytes
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<Kept {self.number}: {len(self.body)} bytes>"


class Handed(NamedTuple):
    """A message that JetStream has handed to this host."""

    number: int
    body: bytes
    headers: dict[str, str]
    times: int
    """How often it has been handed out, to whomever, this time included."""
    left: int
    """How many of its partition were behind it."""
    partition: int
    reply: str
    """Where to say what became of it."""
    until: float
    """Until when it is this host's, if nothing more is said, on the loop's clock."""

    def __repr__(self) -> str:
        return f"<Handed {self.number}: {len(self.body)} bytes, for the {self.times}. time>"


class State(NamedTuple):
    """What is known of a message that was given back."""

    times: int
    """How often it had been handed out by then."""
    attempts: int
    maybe_sent: bool


class Contents(NamedTuple):
    """What is in the stream."""

    messages: int
    first: int
    last: int
    deleted: frozenset[int]
    """Numbers between the first and the last that are not there any more; of very many, none."""

    def has(self, number: int) -> bool:
        """Whether that message is there, as far as this tells."""
        return bool(self.messages) and number >= self.first and number not in self.deleted

    def count(self, last: int) -> int:
        """How many are there up to that one; of a stream with very many gaps, at most."""
        before = max(0, last + 1 - self.first) - sum(number <= last for number in self.deleted)
        return min(self.messages, before)


class Store:
    """The streams of one buffer.

    All of its steps can be tried again after they were lost, but for :meth:`give_back`.

    Args:
        wire: leads to them.
        layout: which they are.
        host: this host's name among the others.
    """

    def __init__(self, wire: Wire, layout: Layout, host: str) -> None:
        self._wire = wire
        self._layout = layout
        self.host: str = host
        self._ids = count(1)

    def new_name(self) -> str:
        """A name for a message, by which JetStream knows it again that is put once more."""
        return f"{self.host}-{next(self._ids)}"

    async def put(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        """Put a message, and return its number.

        **Cancellation** comes to effect afterwards.
        """
        answer = await self._wire.call(subject, body, headers, finish=True)
        return int(answer["seq"])

    # ---------------------------------------------------------------- what was handed out

    async def confirm(self, handed: Handed) -> None:
        """Take a message out that was handed out: it has reached its outcome.

        **Cancellation** comes to effect afterwards.
        """
        await self._wire.ask(handed.reply, b"+ACK", finish=True)

    async def extend(self, handed: Handed, timeout: float) -> None:
        """Keep a message that was handed out for another lease time."""
        await self._wire.ask(handed.reply, b"+WPI", timeout=timeout)

    async def give_back(self, handed: Handed, delay: float = 0) -> None:
        """Let it be handed out again, after that time. Done twice, it would take it from who has it then."""
        await self._wire.ask(handed.reply, f'-NAK {{"delay":{int(delay * 1e9)}}}'.encode() if delay else b"-NAK")

    async def note_state(self, number: int, state: State) -> None:
        """Keep what is known of a message, for whoever it is handed to next."""
        await self._wire.call(self._layout.of_state(number), json.dumps(state).encode())

    async def state(self, number: int) -> State | None:
        """What was known of a message when it was last given back."""
        kept = await self._get(self._layout.state, last_by_subj=self._layout.of_state(number))
        try:
            times, attempts, maybe_sent = json.loads(kept.body if kept is not None else b"")
            return State(int(times), int(attempts), bool(maybe_sent))
        except (ValueError, TypeError):
            return None  # there is none, or nothing that a host has written

    async def forget_state(self, number: int) -> None:
        """A message has ended."""
        document = {"filter": self._layout.of_state(number)}
        await self._wire.send(
            f"$JS.API.STREAM.PURGE.{self._layout.state}",
            json.dumps(document).encode(),
            reply="answer.forgotten",  # which nobody waits for
        )

    # ---------------------------------------------------------------- what is in the stream

    async def look(self, number: int) -> Kept | None:
        """The message of that number; None: it has ended."""
        return await self._get(self._layout.name, seq=number)

    async def next(self, number: int) -> Kept | None:
        """The first message from that number on."""
        return await self._get(self._layout.name, seq=number, next_by_subj=f"{self._layout.name}.in.>")

    async def delete(self, stream: str, number: int) -> bool:
        """Take a message out of a stream; False: it was not there."""
        try:
            await self._wire.call(f"$JS.API.STREAM.MSG.DELETE.{stream}", json.dumps({"seq": number}).encode())
        except Refused as refused:
            if refused.code in _NO_MESSAGE:
                return False
            raise
        return True

    async def contents(self) -> Contents:
        """What is in the stream."""
        subject = f"$JS.API.STREAM.INFO.{self._layout.name}"
        state = (await self._wire.call(subject))["state"]
        if 0 < state.get("num_deleted", 0) <= _DETAILS:
            state = (await self._wire.call(subject, json.dumps({"deleted_details": True}).encode()))["state"]
        deleted = frozenset(state.get("deleted") or ())
        return Contents(int(state["messages"]), int(state["first_seq"]), int(state["last_seq"]), deleted)

    async def out(self, partition: int) -> tuple[int, bool]:
        """The number that was handed out last in a partition, and whether that message is still out."""
        subject = f"$JS.API.CONSUMER.INFO.{self._layout.name}.{self._layout.consumer(partition)}"
        answer = await self._wire.call(subject)
        return int(answer["delivered"]["stream_seq"]), answer["num_ack_pending"] > 0

    # ---------------------------------------------------------------- dead letters

    async def bury(self, number: int, body: bytes, fate: Fate, known_as: str = "") -> int:
        """Keep a message that has ended, and return the number of its dead letter.

        Args:
            number: the message's own; 0: it never had one.
            known_as: what it is known by when this is tried again; by default its number and outcome.
        """
        document = {
            "id": number,
            "outcome": fate.outcome,
            "reason": fate.reason[:_LONGEST_REASON],
            "ended_at": time.time(),
            "attempts": fate.attempts,
            "maybe_sent": fate.maybe_sent,
        }
        headers = {_ID: known_as or f"{number}-{fate.outcome}", _FATE: json.dumps(document)}
        answer = await self._wire.call(self._layout.of_dead(number), body, headers)
        return int(answer["seq"])

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """The dead letter of a message."""
        kept = await self._get(self._layout.dead, last_by_subj=self._layout.of_dead(number))
        return None if kept is None else _dead_letter(kept)

    async def dead_letters(self) -> list[tuple[int, DeadLetter]]:
        """All of them, with the numbers that they have among themselves, in the order in which they ended."""
        letters = []
        number = 1
        while (
            kept := await self._get(self._layout.dead, seq=number, next_by_subj=self._layout.of_dead("*"))
        ) is not None:
            if (letter := _dead_letter(kept)) is not None:
                letters.append((kept.number, letter))
            number = kept.number + 1
        return letters

    # ---------------------------------------------------------------- other hosts

    async def tell(self, name: str, fate: Fate) -> None:
        """Tell the host that has put a message what became of it, if that is another one."""
        host = putter(name)
        if host is None or host == self.host:
            return
        try:
            result = None if fate.outcome is not Outcome.SENT else json.loads(to_json(fate.result))
        except (TypeError, ValueError):
            result = None
        document = [name, fate.outcome, fate.reason or result, fate.attempts, fate.maybe_sent]
        await self._wire.send(self._layout.ended(host), json.dumps(document).encode())

    async def _get(self, stream: str, **which: Any) -> Kept | None:
        """From the leader: a follower that answers may be behind."""
        try:
            answer = await self._wire.call(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps(which).encode())
        except Refused as refused:
            if refused.code in _NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return Kept(
            int(message["seq"]),
            message["subject"],
            b64decode(message.get("data") or ""),
            _headers(b64decode(message.get("hdrs") or "")),
        )


def named(name: str) -> dict[str, str]:
    """The headers of a message of that name."""
    return {_ID: name}


def name_of(headers: dict[str, str]) -> str:
    """The name of a message; empty if it is none of ours."""
    name = headers.get(_ID, "")
    return "" if putter(name) is None else name


def putter(name: str) -> str | None:
    """The host that has put a message of that name; None: none of ours."""
    found = _OURS.fullmatch(name)
    return None if found is None else found[1]


def expiry(headers: dict[str, str]) -> float | None:
    """When a message becomes too old, on the wall clock, in seconds; None: never."""
    try:
        return float(headers[EXPIRES])
    except (KeyError, ValueError):
        return None


def told(body: bytes) -> tuple[str, Fate]:
    """What another host has told, of a message of that name.

    Raises:
        ValueError, TypeError: no host of ours tells that.
    """
    name, outcome, result, attempts, maybe_sent = json.loads(body)
    return str(name), Fate(Outcome(outcome), result, int(attempts), bool(maybe_sent))


def _dead_letter(kept: Kept) -> DeadLetter | None:
    """None: no host has written it."""
    try:
        fate = json.loads(kept.headers[_FATE])
        return DeadLetter(
            int(fate["id"]),
            kept.body,
            Outcome(fate["outcome"]),
            str(fate["reason"]),
            float(fate["ended_at"]),
            int(fate["attempts"]),
            bool(fate["maybe_sent"]),
        )
    except (KeyError, ValueError, TypeError):
        return None


def _headers(raw: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in raw.decode().split("\r\n")[1:] if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
