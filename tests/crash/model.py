"""What a journal should hold: a plain model of it, and random changes to make to both."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ridethrough import Outcome
from ridethrough.abc import DeadLetter, JournalChanges, JournalRecord
from ridethrough.sqlite import SQLiteJournal

if TYPE_CHECKING:
    from pathlib import Path

Level = Literal["power-safe", "process-safe"]

MAX_DEAD_LETTERS = 5
MANY = 40
"""With more messages than that waiting, none is appended."""
SIZES = (0, 20, 200, 200, 200, 3_000, 20_000)
"""Of bodies, in bytes: some take a part of a page, some several pages."""
REASONS = ("poison", "too old", "the other side refused it")
FATES = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.DROPPED, Outcome.UNKNOWN)


class Step(NamedTuple):
    """What is done to a journal at once; without changes, it is closed and opened again."""

    changes: JournalChanges | None = None

    @property
    def puts(self) -> bool:
        """Whether it is promised to outlive the power at ``power-safe``; what has ended may come back."""
        return self.changes is not None and bool(self.changes.appended or self.changes.updated)


class State(NamedTuple):
    """What a journal holds, but for the times at which messages ended."""

    last_id: int = 0
    records: tuple[JournalRecord, ...] = ()
    dead: tuple[DeadLetter, ...] = ()

    def after(self, step: Step) -> Self:
        """What it should hold after that step."""
        changes = step.changes or JournalChanges()
        last_id = max([self.last_id, *(record.id for record in changes.appended)])
        records = {record.id: record for record in (*self.records, *changes.appended)}
        for number, attempts, maybe_sent in changes.updated:
            records[number] = records[number]._replace(attempts=attempts, maybe_sent=maybe_sent)
        for number in changes.discarded:
            del records[number]
        dead = [letter for letter in self.dead if letter.id not in changes.forgotten]
        for number, outcome, reason in changes.buried:
            record = records.pop(number)
            dead.append(DeadLetter(number, record.body, outcome, reason, 0, record.attempts, record.maybe_sent))
        return type(self)(last_id, tuple(records.values()), tuple(dead[-MAX_DEAD_LETTERS:]))

    def __str__(self) -> str:
        waiting = ", ".join(f"{record.id}{'?' if record.maybe_sent else ''}" for record in self.records)
        return f"last {self.last_id}, waiting: {waiting or 'none'}; dead: {[letter.id for letter in self.dead]}"


class Store:
    """A journal, opened again as often as a step says.

    Args:
        path: the database.
        level: the journal's durability.

    Attributes:
        found: what it held when it was opened last.
    """

    def __init__(self, path: Path, level: Level) -> None:
        self._path = path
        self._level: Level = level
        self._open()

    def _open(self) -> None:
        self._journal: SQLiteJournal[Any] = SQLiteJournal(
            self._path, durability=self._level, max_dead_letters=MAX_DEAD_LETTERS
        )
        recovered = self._journal.open()
        dead = tuple(letter._replace(ended_at=0) for letter in self._journal.dead_letters())
        self.found = State(recovered.last_id, tuple(recovered.records), dead)

    def take(self, step: Step) -> None:
        """Do one step."""
        if step.changes is not None:
            self._journal.commit(step.changes)
        else:
            self._journal.close()
            self._open()

    def close(self) -> None:
        """Close it."""
        self._journal.close()


def next_step(rng: random.Random, state: State) -> Step:
    """Something that a buffer could do to a journal which holds that."""
    roll = rng.random()
    if roll < 0.03:
        return Step()
    if roll < 0.08 and state.dead:
        numbers = [letter.id for letter in state.dead if rng.random() < 0.5] or [state.dead[0].id]
        return Step(JournalChanges(forgotten=numbers))
    ends = rng.random() < 0.6
    appended = [] if len(state.records) > MANY or (ends and rng.random() < 0.7) else _messages(rng, state.last_id)
    waiting = [record.id for record in (*state.records, *appended)]
    updated = [(number, rng.randint(1, 9), rng.random() < 0.7) for number in waiting[:3] if rng.random() < 0.2]
    ended = waiting[: rng.choice((1, 1, 2, 12, MANY))] if ends else []
    buried = [(number, rng.choice(FATES), rng.choice(REASONS)) for number in ended if rng.random() < 0.2]
    dead = {number for number, *_ in buried}
    changes = JournalChanges(appended, updated, [number for number in ended if number not in dead], buried)
    return Step(changes) if changes else next_step(rng, state)


def _messages(rng: random.Random, last_id: int) -> list[JournalRecord]:
    first = last_id + rng.choice((1, 1, 1, 3))
    count = rng.choice((1, 1, 1, 2, 5, 12))
    return [
        JournalRecord(
            number,
            b"%d:" % number + rng.randbytes(rng.choice(SIZES)),
            attempts=rng.choice((0, 0, 2)),
            maybe_sent=rng.random() < 0.1,
            expires_at=rng.choice((None, rng.uniform(1e9, 3e9))),
        )
        for number in range(first, first + count)
    ]
