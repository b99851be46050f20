"""A journal whose disk is a dictionary that outlives the program."""

from __future__ import annotations

import json
from random import Random

from ridethrough.abc import DeadLetter, Journal, JournalChanges, JournalRecord, Recovered
from ridethrough.errors import StoreError, StoreFull

from .network import Message
from .threads import WALL, Threads


class MemoryJournal(Journal[Message]):
    """Takes its time; can be full, or broken; and be killed in the middle of a commit, or have its power cut.

    What ends messages is not synced, and may be gone with the power; all the rest is, and what came before it.

    Args:
        random: where its delays come from.
        threads: whose thread it is called in.

    Attributes:
        records: what waits, by number.
        dead: the dead letters, by number.
        last_id: the highest number that it ever kept.
        trouble: what is wrong with it: ``"full"`` or ``"broken"``; None: nothing.
        was_broken: whether something may not have been written that had to be, since the program began.
        behind: whether the last that had to be written was not.
    """

    def __init__(self, random: Random, threads: Threads) -> None:
        self.records: dict[int, JournalRecord] = {}
        self.dead: dict[int, DeadLetter] = {}
        self.last_id = 0
        self.trouble: str | None = None
        self.was_broken = self.behind = False
        self._random = random
        self._threads = threads
        self._lives = 0
        self._here = 0
        self._sync()

    def begin(self) -> None:
        """A program begins, which may open it."""
        self._here = self._lives
        self.was_broken = self.behind = False

    def kill(self, power: float = 1) -> None:
        """From now on, nothing that the program does reaches the disk; of what was not synced, only that part has."""
        self._lives += 1
        if power < 1:
            unsynced = self._unsynced
            self.records, self.dead = self._synced
            for changes in unsynced[: int(power * len(unsynced))]:
                self._apply(changes)
        self._sync()

    def _sync(self) -> None:
        self._synced = self.records.copy(), self.dead.copy()
        self._unsynced: list[JournalChanges] = []

    def encode(self, message: Message) -> bytes:
        return json.dumps(message).encode()

    def decode(self, body: bytes) -> Message:
        return Message(*json.loads(body))

    def open(self) -> Recovered:
        self._pause()
        return Recovered(self.last_id, [self.records[number] for number in sorted(self.records)])

    def commit(self, changes: JournalChanges) -> None:
        life = self._here
        self._pause()
        if self.trouble == "broken":
            self.was_broken = self.behind = True
            raise StoreError("broken")
        if self.trouble == "full" and changes.appended:
            raise StoreFull("full")
        if life == self._lives:
            self._apply(changes)
            self._unsynced.append(changes)
            if changes.appended or changes.updated or changes.forgotten:
                self._sync()
            self.behind = False
        self._pause()

    def dead_letters(self) -> list[DeadLetter]:
        self._pause()
        return list(self.dead.values())

    def close(self) -> None:
        self._pause()

    def _pause(self) -> None:
        self._threads.pause(self._random.choice((0, 0, 0.001, 0.3)))

    def _apply(self, changes: JournalChanges) -> None:
        for record in changes.appended:
            assert record.id > self.last_id, f"{record} after {self.last_id}"
            self.records[record.id] = record
            self.last_id = record.id
        for number, attempts, maybe_sent in changes.updated:
            if number in self.records:
                self.records[number] = self.records[number]._replace(attempts=attempts, maybe_sent=maybe_sent)
        for number in changes.discarded:
            self.records.pop(number, None)
        for number, outcome, reason in changes.buried:
            if number in self.records:
                record = self.records.pop(number)
                now = WALL + self._threads.loop.time()
                self.dead[number] = DeadLetter(
                    number, record.body, outcome, reason, now, record.attempts, record.maybe_sent
                )
        for number in changes.forgotten:
            self.dead.pop(number, None)
