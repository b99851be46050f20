"""``python -m tests.crash.program PATH LEVEL SEED [early]``: put, lease, end and cancel messages in a buffer with a
journal, open it anew now and then, and tell of each thing, until killed.

A line that says what is about to happen comes before it, with nothing in between: so what the parent has not read did
not happen, or at that very moment.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
from anyio import CancelScope, create_task_group, get_cancelled_exc_class, move_on_after, sleep
from anyio.lowlevel import checkpoint_if_cancelled

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, Outcome, Overflow
from ridethrough.sqlite import SQLiteJournal

from .account import Line
from .model import Level

Message = list[str]
"""Its name, and something to make it long."""

SIZES = (0, 100, 100, 300, 5_000)
MANY_LETTERS = 100_000


def say(line: Line) -> None:
    """Tell the parent; it can be read once this has returned."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def look_into(buffer: AsyncMessageBuffer[Message]) -> tuple[list[Line], list[Line]]:
    """What waits in it, and its dead letters; as an account wants it."""
    waiting = [[each.message[0], each.id, each.attempts, each.maybe_sent] for each in buffer.waiting()]
    letters = await buffer.dead_letters()
    return waiting, [
        [json.loads(each.body)[0], each.id, str(each.outcome), each.attempts, each.maybe_sent] for each in letters
    ]


async def look_at(path: Path, level: Level) -> tuple[list[Line], list[Line]]:
    """What is in the journal at that path, for its next owner."""
    journal: SQLiteJournal[Message] = SQLiteJournal(path, durability=level, max_dead_letters=MANY_LETTERS)
    async with AsyncMessageBuffer(journal=journal) as buffer:
        return await look_into(buffer)


class Program:
    """Uses one buffer after the other, on the same journal.

    Args:
        tell: called with each line.
        early: tell that a message was put before it was, to show that a loss is found.
    """

    buffer: AsyncMessageBuffer[Message]

    def __init__(
        self, path: Path, level: Level, seed: int, tell: Callable[[Line], None], *, early: bool = False
    ) -> None:
        self._tell = tell
        self._random = random.Random(seed)
        self._path, self._level, self._seed, self._early = path, level, seed, early
        self._serial = 0
        self._putting: set[str] = set()
        """Of puts that have not returned; a message may be dropped, and a dead letter, by then."""

    async def run(self, buffers: float = math.inf) -> None:
        """Use so many."""
        self._say("opening")
        while buffers > 0:
            await self._use_a_buffer()
            buffers -= 1

    def _say(self, *line: Any) -> None:
        self._tell(list(line))

    def _say_end(self, delivery: Delivery[Message], outcome: str, maybe_sent: bool | None = None) -> None:
        doubt = delivery.maybe_sent if maybe_sent is None else maybe_sent
        self._say("ends", delivery.message[0], outcome, delivery.attempts, doubt)

    async def _use_a_buffer(self) -> None:
        choice = self._random.choice
        self.buffer = AsyncMessageBuffer(
            10**6 if self._early else choice((3, 20, 1000)),
            overflow=choice(tuple(Overflow)),
            journal=SQLiteJournal(self._path, durability=self._level, max_dead_letters=MANY_LETTERS),
            on_undelivered=self._undelivered,
        )
        async with self.buffer:
            self._say("opened", *await look_into(self.buffer))
            with move_on_after(self._random.uniform(0.01, 0.2)):
                async with create_task_group() as tasks:
                    for _ in range(self._random.randint(1, 4)):
                        tasks.start_soon(self._keep_putting)
                    tasks.start_soon(self._keep_sending)
                    tasks.start_soon(self._keep_cancelling)
                    if not self._early:
                        tasks.start_soon(self._keep_house)

    def _undelivered(self, delivery: Delivery[Message]) -> None:
        if delivery.outcome is Outcome.DROPPED:
            self._say_end(delivery, "dropped")

    async def _keep_putting(self) -> None:
        while True:
            messages = [self._message() for _ in range(self._random.choice((1, 1, 1, 3)))]
            with CancelScope() as scope:
                if self._random.random() < 0.2 and not self._early:
                    scope.deadline = anyio.current_time() + self._random.uniform(0, 0.003)
                await self._put(messages)
            await sleep(self._random.choice((0, 0, 0.002)))

    async def _put(self, messages: list[Message]) -> None:
        names = [name for name, _ in messages]
        self._say("putting", *names)
        self._putting.update(names)
        if self._early:
            for name in names:
                self._say("put", name, None)
        try:
            if len(messages) == 1:
                deliveries = [await self.buffer.put(messages[0])]
            else:
                deliveries = await self.buffer.put_many(messages)
        except (BufferFull, get_cancelled_exc_class()) as error:
            if not self._early:
                self._say("refused", *names)
            if not isinstance(error, BufferFull):
                raise
            return
        finally:
            self._putting.difference_update(names)
        for delivery in () if self._early else deliveries:
            self._say("put", delivery.message[0], delivery.id)

    async def _keep_sending(self) -> None:
        while True:
            self._say("leasing")
            async with self.buffer.lease(self._random.randint(1, 5)) as lease:
                self._say("leased", *(delivery.message[0] for delivery in lease.left()))
                try:
                    for entry in lease:
                        if not await self._send(entry):
                            break
                finally:
                    self._say("left", *((each.message[0], each.attempts, each.maybe_sent) for each in lease.left()))
            await sleep(self._random.choice((0, 0.001)))

    async def _send(self, entry: Any) -> bool:
        """Do something with a leased message; False: leave the rest."""
        kind = self._random.choice(("ack", "ack", "ack", "slowly", "reject", "unknown", "later", "leave", "in doubt"))
        if kind in ("later", "leave"):
            if kind == "later":
                entry.defer(0.001)
            return False
        doubt = entry.delivery.maybe_sent
        entry.begin()
        if kind == "in doubt":
            return False
        if kind == "slowly":
            await sleep(0.001)
        if kind in ("reject", "unknown"):
            outcome = "rejected" if kind == "reject" else kind
            self._say_end(entry.delivery, outcome, doubt if kind == "reject" else True)
            return bool(getattr(entry, kind)("no"))
        self._say_end(entry.delivery, "sent")
        return bool(entry.ack())

    async def _keep_cancelling(self) -> None:
        while True:
            await sleep(self._random.uniform(0, 0.02))
            queued = [each for each in self.buffer.waiting() if not self.buffer._ledger.is_leased(each)]
            if queued:
                delivery = self._random.choice(queued)
                self._say_end(delivery, "cancelled")
                if not delivery.cancel() and delivery.outcome is not Outcome.DROPPED:
                    raise RuntimeError(f"{delivery!r} could not be cancelled")

    async def _keep_house(self) -> None:
        """Put dead letters again, and forget some."""
        while True:
            await sleep(self._random.uniform(0, 0.03))
            letters = [
                letter for letter in await self.buffer.dead_letters() if json.loads(letter.body)[0] not in self._putting
            ]
            chosen = self._random.sample(letters, min(len(letters), self._random.choice((1, 1, 2))))
            names = [json.loads(letter.body)[0] for letter in chosen]
            ids = [letter.id for letter in chosen]
            await checkpoint_if_cancelled()
            if self._random.random() < 0.3:
                self._say("forgetting", *names)
                await self.buffer.forget(*ids)
                self._say("forgot", *names)
            elif names:
                self._say("again", *names)
                try:
                    deliveries = await self.buffer.put_again(*ids)
                except (BufferFull, get_cancelled_exc_class()) as error:
                    self._say("kept", *names)
                    if not isinstance(error, BufferFull):
                        raise
                else:
                    for delivery in deliveries:
                        self._say("put", delivery.message[0], delivery.id)

    def _message(self) -> Message:
        self._serial += 1
        return [f"{self._seed}-{self._serial}", "x" * self._random.choice(SIZES)]


def main(path: Path, level: Level, seed: int, *, early: bool) -> None:
    """Use the journal until killed, or until nobody listens."""
    program = Program(path, level, seed, say, early=early)
    anyio.run(program.run, backend="trio" if seed % 2 else "asyncio")


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast("Level", sys.argv[2]), int(sys.argv[3]), early="early" in sys.argv[4:])
