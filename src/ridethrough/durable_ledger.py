"""DurableLedger: the books of a buffer with a journal, and what is yet to be written of them. Pure, like Ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .abc import DeadLetter, JournalChanges, JournalRecord
from .delivery import NO_TERMS, Delivery, DeliveryOwner, Outcome, Terms, make_delivery
from .errors import BufferFull
from .lease import BufferLease
from .ledger import Ledger

T = TypeVar("T")

_KEPT = frozenset({Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.UNKNOWN})
"""How what becomes a dead letter has ended."""


class Ticket:
    """What is to be done by the journal's thread, for somebody who waits for it.

    Attributes:
        work: what to do, beside writing; None: nothing.
        done: whether it has been done.
        result: what ``work`` has returned.
        error: what has been raised.
        waiter, event: what is to be woken then: a task of the event loop, a thread.
    """

    __slots__ = ("done", "error", "event", "result", "waiter", "work")

    def __init__(self, work: Callable[[], object] | None = None) -> None:
        self.work: Callable[[], object] | None = work
        self.done: bool = False
        self.result: Any = None
        self.error: Exception | None = None
        self.waiter: Any = None
        self.event: Any = None


class Proposal(list[Delivery[T]]):
    """Messages that are put together, and accepted once they are durable, all or none.

    Attributes:
        ticket: their putter's.
        records: what is to be written of them.
        unfit: those for which there was no room, and whose policy it is to be dropped then.
        drops: whether to drop old messages to make room.
        size: what those that are not unfit take of ``max_bytes``.
        letters: the dead letters that they were, in the same order, if they are put again.
    """

    def __init__(self, letters: Sequence[DeadLetter] = (), *, drops: bool = False) -> None:
        super().__init__()
        self.ticket: Ticket = Ticket()
        self.records: list[JournalRecord] = []
        self.unfit: set[int] = set()
        self.drops: bool = drops
        self.size: int = 0
        self.letters: Sequence[DeadLetter] = letters

    @property
    def fitting(self) -> int:
        """How many of them there is room for."""
        return len(self) - len(self.unfit)


class DurableLedger(Ledger[T]):
    """Notes what a journal has to be told. What is put is accepted by :meth:`admit`, when it has been written.

    Until then it has its number and takes room, but is in nobody's way: what drops old messages to make room drops
    them when it is accepted, so that nothing is lost if it cannot be written.

    Attributes:
        on_change: called when there is something to write; the lock is held then.
        changes: what is to be written of messages that were accepted.
        proposals: what is to be written first.
    """

    last_id: int
    unused_ids: int
    open: int
    size: int

    def __init__(self, owner: DeliveryOwner, max_size: int, max_bytes: int | None, clock: Callable[[], float]) -> None:
        super().__init__(owner, max_size, max_bytes, clock)
        self.on_change: Callable[[], object] = lambda: None
        self.changes: JournalChanges = JournalChanges()
        self.proposals: list[Proposal[T]] = []
        self._proposed_id = 0
        self._proposed = 0
        self._proposed_size = 0

    # ---------------------------------------------------------------- in

    def recover(self, message: T, terms: Terms, record: JournalRecord) -> None:
        """Take in a message that has waited since before; the first things that happen, in their order."""
        delivery = make_delivery(self._owner, record.id, message, terms)
        delivery.attempts, delivery.maybe_sent = record.attempts, record.maybe_sent
        self.last_id += 1
        self._enter(delivery)

    def skip_ids(self, last: int) -> None:
        """Have the next message get a number higher than that, once all that has waited is in."""
        self.unused_ids = last - self.last_id
        self.last_id = self._proposed_id = last

    def has_room(self, count: int, size: int) -> bool:
        """Whether so many messages fit in, beside those that are being written."""
        return super().has_room(self._proposed + count, self._proposed_size + size)

    def fullness(self) -> str:
        """How full it is, in words, with what is being written."""
        return self.in_words(self.open + self._proposed, self.size + self._proposed_size)

    def drop_oldest_for(self, count: int, size: int) -> None:
        """Leave it for :meth:`admit`."""

    def propose(
        self, proposal: Proposal[T], parts: Iterable[tuple[T, Terms, bytes]], expires_at: float | None, *, fit: bool
    ) -> None:
        """Add messages to a proposal.

        Args:
            parts: each message with its terms, and as it is to be written.
            expires_at: when they become too old, on the wall clock, in seconds.
            fit: whether there is room for them, or will be made; or else they will be dropped.
        """
        number, records, owner = self._proposed_id, proposal.records, self._owner
        for message, terms, body in parts:
            number += 1
            delivery = make_delivery(owner, number, message, terms)
            if proposal.letters:
                letter = proposal.letters[len(proposal)]
                delivery.attempts, delivery.maybe_sent = letter.attempts, letter.maybe_sent
            records.append(JournalRecord(number, body, delivery.attempts, delivery.maybe_sent, expires_at))
            proposal.append(delivery)
            if not fit:
                proposal.unfit.add(number)
            elif terms is not NO_TERMS:
                proposal.size += terms.size
        self._proposed_id = number

    def submit(self, proposal: Proposal[T]) -> None:
        """Have a proposal written."""
        self._proposed += proposal.fitting
        self._proposed_size += proposal.size
        self.proposals.append(proposal)
        self.on_change()

    def admit(self, proposal: Proposal[T]) -> None:
        """Accept what has been written.

        Raises:
            BufferFull: there is no room for it, and may be none by now; it is to be erased again.
        """
        self.withdraw(proposal)
        count, size = proposal.fitting, proposal.size
        if proposal.drops:
            if not self.could_have_room(count, size):
                self._take_back(proposal)
                raise BufferFull(f"the buffer is full of what is leased and never dropped: {self.fullness()}")
            while not self.can_hold(self.open + count, self.size + size):
                oldest = self._queue.take_oldest()
                assert oldest is not None
                self.end(oldest, Outcome.DROPPED, "the buffer was full")
        self.unused_ids += proposal[0].id - self.last_id - 1
        self.last_id = proposal[-1].id
        for delivery in proposal:
            self._enter(delivery)
            if proposal.unfit and delivery.id in proposal.unfit:
                self._waiting.pop()
                self.end(delivery, Outcome.DROPPED, "the buffer was full")

    def _take_back(self, proposal: Proposal[T]) -> None:
        """Have what was written for nothing erased, or be again the dead letters that it was."""
        for delivery in proposal:
            self._update(delivery)  # which makes the transaction as durable as a put is
        if proposal.letters:
            pairs = zip(proposal, proposal.letters, strict=True)
            self.changes.buried += [(delivery.id, letter.outcome, letter.reason) for delivery, letter in pairs]
        else:
            self.changes.discarded += [delivery.id for delivery in proposal]

    def withdraw(self, proposal: Proposal[T]) -> None:
        """Give back the room that a proposal has taken: it is accepted now, or never."""
        self._proposed -= proposal.fitting
        self._proposed_size -= proposal.size

    def _enter(self, delivery: Delivery[T]) -> None:
        """Put an accepted message at the tail."""
        self.open += 1
        self._waiting.append(delivery)
        if delivery._terms is not NO_TERMS:
            self.size += delivery._terms.size
            if delivery._terms.expires_at is not None:
                self._ages.add(delivery)

    # ---------------------------------------------------------------- what is to be written

    def take_changes(self) -> tuple[JournalChanges, list[Proposal[T]]]:
        """Take over what is to be written: of accepted messages, and of those that are to be."""
        taken = self.changes, self.proposals
        self.changes, self.proposals = JournalChanges(), []
        return taken

    def give_back_changes(self, changes: JournalChanges) -> None:
        """Have what could not be written written later, before what has come since."""
        newer = self.changes
        self.changes = JournalChanges(
            updated=changes.updated + newer.updated,
            discarded=changes.discarded + newer.discarded,
            buried=changes.buried + newer.buried,
            forgotten=changes.forgotten + newer.forgotten,
        )

    def _update(self, delivery: Delivery[T]) -> None:
        self.changes.updated.append((delivery.id, delivery.attempts, delivery.maybe_sent))

    def _note_end(self, delivery: Delivery[T]) -> None:
        outcome = delivery.outcome
        if outcome is Outcome.ABANDONED:  # in this buffer, but not by the journal
            return
        if outcome in _KEPT:
            self._update(delivery)
            self.changes.buried.append((delivery.id, outcome, delivery.reason))
        else:
            self.changes.discarded.append(delivery.id)
        self.on_change()

    # ---------------------------------------------------------------- what is noted

    def end(self, delivery: Delivery[T], outcome: Outcome, result: object) -> None:
        """Let an open message reach its outcome; see :meth:`Ledger.end`."""
        super().end(delivery, outcome, result)
        self._note_end(delivery)

    def settle(
        self, lease: BufferLease[T], delivery: Delivery[T], outcome: Outcome, result: object, doubted: bool | None
    ) -> bool:
        """Let a leased message reach its outcome; see :meth:`Ledger.settle`."""
        done = super().settle(lease, delivery, outcome, result, doubted)
        if done:
            self._note_end(delivery)
        return done

    def drain(self) -> list[T]:
        """End all that is queued DRAINED; returns the messages in order."""
        taken = self._queue.take_all()
        for delivery in taken:
            self.end(delivery, Outcome.DRAINED, None)
        return [delivery.message for delivery in taken]

    def abandon(self) -> list[Delivery[T]]:
        """End all that is open ABANDONED; it stays in the journal."""
        if self.lease is not None:
            self._note_given_back(list(self.lease.left()))
        return super().abandon()

    def start_lease(self, lease: BufferLease[T]) -> bool:
        """Fill the lease, and note that its messages are perhaps sent from now on."""
        done = super().start_lease(lease)
        if done:
            self.changes.updated += [(delivery.id, delivery.attempts + 1, True) for delivery in lease.left()]
            self.on_change()
        return done

    def end_lease(self, lease: BufferLease[T]) -> None:
        """Put what is left of the lease back in its old place, and note how far it came."""
        left = list(lease.left())
        super().end_lease(lease)
        self._note_given_back([delivery for delivery in left if delivery.outcome is None])

    def _note_given_back(self, deliveries: list[Delivery[T]]) -> None:
        for delivery in deliveries:
            self._update(delivery)
        if deliveries:
            self.on_change()
