"""Store: the streams of what waits, and the single steps that change them. It knows no policy."""

from __future__ import annotations

import json
from itertools import count
from typing import NamedTuple

from .headers import Tries, earlier, expiry
from .layout import Layout
from .stream import Stream
from .wire import Wire


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
    tries: Tries


class WaitingMessage(NamedTuple):
    """A message that has not ended, of any host."""

    id: int
    body: bytes
    """What ``encode`` has made of it."""
    attempts: int
    """One that is being sent counts as an attempt that may have arrived."""
    maybe_sent: bool
    expires_at: float | None
    """On the wall clock, in seconds; None: never."""

    def __repr__(self) -> str:
        return f"<WaitingMessage {self.id}: {len(self.body)} bytes, attempts: {self.attempts}>"


class Store:
    """The messages of one buffer that have not ended.

    All of its steps can be tried again after they were lost, but for :meth:`give_back`.

    Args:
        wire: leads to them.
        layout: where they are.
        host: this host's name among the others.

    Attributes:
        messages: their stream.
    """

    def __init__(self, wire: Wire, layout: Layout, host: str) -> None:
        self._wire = wire
        self._layout = layout
        self.host: str = host
        self._ids = count(1)
        self.messages: Stream = Stream(wire, layout.name, f"{layout.name}.in.>")
        self._states = Stream(wire, layout.state, f"{layout.name}.state.*")

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

    async def out(self, partition: int) -> tuple[int, bool]:
        """The number that was handed out last in a partition, and whether that message is still out."""
        subject = f"$JS.API.CONSUMER.INFO.{self._layout.name}.{self._layout.consumer(partition)}"
        answer = await self._wire.call(subject)
        return int(answer["delivered"]["stream_seq"]), answer["num_ack_pending"] > 0

    async def waiting(self) -> list[WaitingMessage]:
        """Everything that has not ended, in order."""
        out = [await self.out(partition) for partition in range(self._layout.partitions)]
        found = []
        for kept in await self.messages.all():
            last, is_out = out[self._layout.partition(kept.subject)]
            state = await self.state(kept.number) if kept.number <= last else None
            attempts, maybe_sent = earlier(kept.headers) if state is None else state.tries
            if state is None and is_out and kept.number == last:
                attempts, maybe_sent = attempts + 1, True
            found.append(WaitingMessage(kept.number, kept.body, attempts, maybe_sent, expiry(kept.headers)))
        return found

    # ---------------------------------------------------------------- what was given back

    async def note_state(self, number: int, state: State) -> None:
        """Keep what is known of a message, for whoever it is handed to next."""
        document = (state.times, *state.tries)
        await self._wire.call(self._layout.of_state(number), json.dumps(document).encode())

    async def state(self, number: int) -> State | None:
        """What was known of a message when it was last given back."""
        kept = await self._states.newest(self._layout.of_state(number))
        try:
            times, attempts, maybe_sent = json.loads(kept.body if kept is not None else b"")
            return State(int(times), Tries(int(attempts), bool(maybe_sent)))
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
