"""What must hold of a buffer with a journal, also when the program is killed, and when it is started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, Outcome
from ridethrough.abc import JournalRecord

from .memory_journal import MemoryJournal
from .oracle import Message, Oracle

KEPT = (Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.UNKNOWN)
"""How what becomes a dead letter has ended."""


class DurableOracle(Oracle):
    """Checks what the other one does for one life of a program after the other; and the journal in between.

    Attributes:
        journal: what outlives the program.
        killed: whether the program is: nothing counts any more until the next one begins.
    """

    journal: MemoryJournal

    def __init__(self, clock: Callable[[], float], story: list[str] | None) -> None:
        super().__init__(clock, story)
        self.killed = True
        self._before: Counter[Message] = Counter()  # what arrived in earlier lives
        self._never: set[Message] = set()  # of these nothing may be in the journal: not put, or ended for good
        self._expiries: dict[Message, Any] = {}  # on the loop's clock, which goes on while no program runs
        self._excused: set[Message] = set()
        self._last_id = 0
        self._seen_id = 0
        self._lease: Any = None
        self._returned: set[Message] = set()
        self._pending: dict[int, frozenset[Message]] = {}  # calls of put, and what had ended before them
        self._durably_ended: set[Message] = set()

    # ---------------------------------------------------------------- lives

    def begin(self, buffer: AsyncMessageBuffer[Any]) -> None:
        """A program begins; from now on it is watched."""
        super().__init__(self.clock, self._story)
        self.supervisor = self.network = None
        self.at_most_once = False
        self.buffer = buffer
        self._seen_id, self._lease = 0, None
        self._returned, self._durably_ended, self._pending = set(), set(), {}

    def opened(self, records: list[JournalRecord]) -> None:
        """The buffer was entered; the journal held these."""
        self.killed = False
        self._last_id = self.journal.last_id
        ledger = self.buffer._ledger
        waiting = ledger.waiting()
        self.recovered = len(waiting)
        held = [(record.id, self.journal.decode(record.body), record.attempts, record.maybe_sent) for record in records]
        found = [(each.id, each.message, each.attempts, each.maybe_sent) for each in waiting]
        self.check(found == held, 14, f"the journal holds {held}, and there is {found}")
        for delivery in waiting:
            at, before = delivery._terms.expires_at, self._expiries.get(delivery.message, ...)
            same = before in (..., at) or (before is not None and at is not None and abs(at - before) < 1e-3)
            self.check(same, 10, f"{delivery.message} expires at {at} instead of {before}")
            if delivery.maybe_sent:
                self._under_way.add(delivery.message)  # by an earlier program, and never settled
                self._doubtful.add(delivery.message)
        self._see()
        self._returned.update(self.deliveries)

    def kill(self) -> None:
        """The program is killed, in this moment."""
        if self.killed:
            return
        self.tell(f"killed; waiting: {list(self.journal.records)}")
        self._check_journal()
        self._end_life()

    def closed(self) -> None:
        """The program has closed its buffer, and ended."""
        if self.killed:
            return
        self.in_the_end()
        self._check_journal()
        if not self.journal.behind:
            held = [(each.id, each.attempts, each.maybe_sent) for each in self._records().values()]
            ended = [each for each in self.deliveries.values() if each.outcome is Outcome.ABANDONED]
            left = sorted((each.id, each.attempts, each.maybe_sent) for each in ended)
            self.check(held == left, 14, f"abandoned: {left}, and the journal holds {held}")
        self._end_life()

    def _end_life(self) -> None:
        self.killed = True
        if not self.journal.was_broken:
            self._before.update(self.arrivals)
        self._expiries.update((message, each._terms.expires_at) for message, each in self.deliveries.items())
        self._never |= (self.refused - self._excused) | self._durably_ended

    def _records(self) -> dict[Message, JournalRecord]:
        return {self.journal.decode(record.body): record for record in self.journal.records.values()}

    def _check_journal(self) -> None:
        """What was promised is in the journal, and nothing else."""
        records = self._records()
        dead = {self.journal.decode(letter.body): letter for letter in self.journal.dead.values()}
        held = records.keys() | dead.keys()
        self.check(not records.keys() & dead.keys(), 1, "waiting, and dead as well")
        refused = self.refused - self._excused
        self.check(not held & refused, 5, f"in the journal, though not put: {held & refused}")
        for message, delivery in self.deliveries.items():
            record = records.get(message)
            if delivery.outcome in (None, Outcome.ABANDONED):
                if record is None:
                    self.check(message not in self._returned, 14, f"{message} is lost: {delivery!r}")
                    continue
                self.check(record.id == delivery.id, 14, f"{delivery!r} is kept as {record!r}")
                marked = record.maybe_sent and record.attempts >= delivery.attempts
                fine = marked or not delivery.maybe_sent or self.journal.was_broken
                self.check(fine, 7, f"{delivery!r} is kept as {record!r}, maybe sent: {record.maybe_sent}")
                self.check(record.attempts <= delivery.attempts + 1, 7, f"{delivery!r} is kept as {record!r}")
            elif message in self._durably_ended:
                self.check(record is None, 14, f"{delivery!r} comes back")
                kept = message in dead and dead[message].outcome is delivery.outcome
                self.check(kept == (delivery.outcome in KEPT), 2, f"{delivery!r} is a dead letter: {kept}")
        for message, record in records.items():
            arrived = self._before[message] + self.arrivals[message]
            fine = record.maybe_sent or not arrived or self.journal.was_broken
            self.check(fine, 14, f"{message} has arrived, and will come again, though not in doubt")
            self.check(message not in self._never, 14, f"{message} comes back, which had ended or was not put")

    # ---------------------------------------------------------------- what happens in one

    def put_refused(self, messages: list[Message], error: BaseException) -> None:
        super().put_refused(messages, error)
        if isinstance(error, BufferFull) and self.journal.was_broken:
            self._excused.update(messages)  # it may have been written, and could not be erased again

    def check(self, truth: bool, promise: int, text: str) -> None:
        if not self.killed:
            super().check(truth, promise, text)

    def put_called(self) -> int:
        call = super().put_called()
        self._pending[call] = frozenset(self._ended)
        return call

    def put_returned(self, call: int, messages: list[Message], deliveries: list[Delivery[Any]]) -> None:
        super().put_returned(call, messages, deliveries)
        self._returned.update(messages)
        if deliveries:  # what was to be written before these has been
            self._durably_ended |= self._pending[call]
            oldest = deliveries[0].id
            self.check(oldest > self._last_id, 14, f"the number {oldest} was given before")

    def lease_began(self) -> None:
        """A lease takes its messages earlier, and hands them out once that is written: see :meth:`after_step`."""

    def lease_ends(self) -> None:
        """The same."""

    def after_step(self) -> None:
        if self.killed:
            return
        self._see()
        if self.buffer._ledger.lease is not self._lease:
            self._lease = self.buffer._ledger.lease
            super().lease_ends()
            if self._lease is not None:
                super().lease_began()
        super().after_step()

    def at_rest(self) -> None:
        if not self.killed:
            super().at_rest()

    def _see(self) -> None:
        """Get to know what was accepted, the return of whose put may come only after it was sent."""
        ledger = self.buffer._ledger
        if ledger.last_id != self._seen_id:
            self._seen_id = ledger.last_id
            for delivery in ledger.waiting():
                if delivery.message not in self.deliveries:
                    self.deliveries[delivery.message] = delivery
                    self._open.add(delivery)

    def in_the_end(self) -> None:
        if not self.killed:
            super().in_the_end()
