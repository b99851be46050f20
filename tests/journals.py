"""A journal in memory which does what the test says, and clocks that wait for journals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from threading import Condition
from typing import Any

from anyio import fail_after

from ridethrough import AsyncMessageBuffer
from ridethrough.abc import DeadLetter, Journal, JournalChanges, JournalRecord, Recovered
from ridethrough.journal_writer import JournalWriter
from tests.clocks import held_while

PATIENCE = 20
"""For how long to wait before a gate, in real seconds."""


class Shelf:
    """What journals keep, one after the other.

    Attributes:
        last_id: the highest number that was ever kept.
        records: what waits, by number.
        letters: the dead letters, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.last_id = 0
        self.records: dict[int, JournalRecord] = {}
        self.letters: list[DeadLetter] = []

    def apply(self, changes: JournalChanges) -> None:
        """Make these changes."""
        for record in changes.appended:
            assert record.id > self.last_id, "a number is never used twice"
            self.records[record.id] = record
            self.last_id = record.id
        for number, attempts, maybe_sent in changes.updated:
            if number in self.records:
                self.records[number] = self.records[number]._replace(attempts=attempts, maybe_sent=maybe_sent)
        for number in changes.discarded:
            self.records.pop(number, None)
        for number, outcome, reason in changes.buried:
            assert type(reason) is str
            record = self.records.pop(number)
            letter = DeadLetter(number, record.body, outcome, reason, time.time(), record.attempts, record.maybe_sent)
            self.letters.append(letter)
        self.letters = [letter for letter in self.letters if letter.id not in changes.forgotten]

    def bodies(self) -> list[str]:
        """The messages that wait, in order."""
        return [record.body.decode() for record in self.records.values()]


class FakeJournal(Journal[str]):
    """Keeps strings on a shelf. With its gate shut, opening and each commit wait before it; they fail as they are told.

    Attributes:
        shelf: where it keeps things.
        commits: what was committed, in order, and what failed.
        error: what a commit raises; None: it does not.
        only_appends_fail: whether only those commits raise it that append, as on a full disk.
        waiting: whether the journal's thread stands before the gate.
        is_open: whether it is open.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self.commits: list[JournalChanges] = []
        self.error: Exception | None = None
        self.only_appends_fail = False
        self.waiting = False
        self.is_open = False
        self._shut = False
        self._verdicts: list[Exception | None] = []
        self._changed = Condition()

    # ---------------------------------------------------------------- what the test does

    def shut(self) -> None:
        """Have what comes wait before the gate."""
        self._shut = True

    def let_pass(self, error: Exception | None = None) -> None:
        """Let what waits before the gate pass, or fail; the next waits again."""
        with self._changed:
            assert self.waiting, "nothing waits there"
            self._verdicts.append(error)
            self.waiting = False
            self._changed.notify_all()

    def open_gate(self) -> None:
        """Let everything pass from now on."""
        with self._changed:
            self._shut = self.waiting = False
            self._changed.notify_all()

    # ---------------------------------------------------------------- what the buffer asks

    def encode(self, message: str) -> bytes:
        if type(message) is not str:
            raise TypeError("only strings can be kept")
        return message.encode()

    def decode(self, body: bytes) -> str:
        return body.decode()

    def open(self) -> Recovered:
        assert not self.is_open
        self._pass_gate()
        self.is_open = True
        return Recovered(self.shelf.last_id, list(self.shelf.records.values()))

    def commit(self, changes: JournalChanges) -> None:
        assert self.is_open
        self._pass_gate()
        self.commits.append(changes)
        if self.error is not None and (changes.appended or not self.only_appends_fail):
            raise self.error
        self.shelf.apply(changes)

    def dead_letters(self) -> list[DeadLetter]:
        assert self.is_open
        return list(self.shelf.letters)

    def close(self) -> None:
        self.is_open = False

    def _pass_gate(self) -> None:
        with self._changed:
            if not self._shut:
                return
            self.waiting = True
            if not self._changed.wait_for(lambda: not self.waiting, PATIENCE):
                self._shut = self.waiting = False
                raise AssertionError("nobody has opened the gate")
            error = self._verdicts.pop() if self._verdicts else None
        if error is not None:
            raise error


def clocks_held_by(buffer: AsyncMessageBuffer[Any]) -> AbstractContextManager[None]:
    """Within this, clocks that jump stand still while the buffer's journal is at work."""
    writer = buffer._writer
    assert writer is not None
    return held_while(lambda: at_work(writer))


def at_work(writer: JournalWriter[Any]) -> bool:
    """Whether its thread does something, or will without anybody's help: before a shut gate, it will not."""
    return not writer.idle and not (isinstance(writer.journal, FakeJournal) and writer.journal.waiting)


@asynccontextmanager
async def open_buffer(
    journal: Journal[str], *, threads: bool = False, **options: Any
) -> AsyncIterator[AsyncMessageBuffer[str]]:
    """A buffer with that journal, entered; clocks wait for it.

    Args:
        threads: whether other threads take part than the journal's. A clock that jumps does not wait for these;
            otherwise it sees to it that who waits for nothing fails.
    """
    buffer = AsyncMessageBuffer[str](journal=journal, **options)
    with clocks_held_by(buffer), fail_after(None if threads else 10_000):
        async with buffer:
            yield buffer
