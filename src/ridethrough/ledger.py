"""Ledger: where each message is, and that it ends once. Pure: no lock, no event loop; the monitor has these."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from .abc import BufferStatistics
from .ages import Ages
from .delivery import NO_TERMS, UNDELIVERED, Delivery, DeliveryOwner, Outcome, Terms
from .lease import BufferLease
from .message_queue import MessageQueue

T = TypeVar("T")

_DRAINED, _DROPPED, _EXPIRED, _SENT = Outcome.DRAINED, Outcome.DROPPED, Outcome.EXPIRED, Outcome.SENT


_TOO_OLD = "it was older than its ttl"


class Ledger(Generic[T]):
    """The books of a buffer: ``accepted == queued + leased + ended``, and ``queued + leased <= max_size``.

    Attributes:
        open: how many messages are queued or leased.
        size: what these take of ``max_bytes``.
        last_id: the highest id of a message that was accepted.
        unused_ids: how many up to that were nobody's.
        straight: with fewer messages open, one without terms may be accepted with nothing else to consider.
        lease: the lease under way; at most one.
        late: how many settlements came too late and changed nothing.
        ended_now: messages that have ended and that somebody has yet to be told of.
    """

    def __init__(self, owner: DeliveryOwner, max_size: int, max_bytes: int | None, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self._owner = owner
        self.max_size: int = max_size
        self.max_bytes: int | None = max_bytes
        self.open: int = 0
        self.straight: int = 0
        self.size: int = 0
        self.last_id: int = 0
        self.unused_ids: int = 0
        self.late: int = 0
        self.lease: BufferLease[T] | None = None
        self.ended_now: list[Delivery[T]] = []
        self._ended = dict.fromkeys(Outcome, 0)
        self._queue: MessageQueue[T] = MessageQueue(clock)
        self._ages: Ages[T] = Ages()
        self._waiting = self._queue.main

    # ---------------------------------------------------------------- in

    def can_hold(self, count: int, size: int) -> bool:
        """Whether so many messages, of that size in all, are within its bounds."""
        return count <= self.max_size and (self.max_bytes is None or size <= self.max_bytes)

    def has_room(self, count: int, size: int) -> bool:
        """Whether so many messages, of that size in all, fit in now."""
        return self.can_hold(self.open + count, self.size + size)

    def could_have_room(self, count: int, size: int) -> bool:
        """Whether they would fit in if everything that is not leased were dropped."""
        lease = self.lease
        return self.can_hold(count, size) if lease is None else self.can_hold(len(lease) + count, lease.size + size)

    def in_words(self, count: int, size: int) -> str:
        """So many messages, of that size in all, beside its bounds."""
        in_bytes = "" if self.max_bytes is None else f", {size} of {self.max_bytes} bytes"
        return f"{count} of {self.max_size} messages{in_bytes}"

    def fullness(self) -> str:
        """How full it is, in words."""
        return self.in_words(self.open, self.size)

    def drop_oldest_for(self, count: int, size: int) -> None:
        """Drop the oldest messages that are not leased, until these fit in, which must be possible."""
        while not self.has_room(count, size):
            oldest = self._queue.take_oldest()
            assert oldest is not None
            self.end(oldest, _DROPPED, "the buffer was full")

    def accept(self, message: T, terms: Terms) -> Delivery[T]:
        """Take a message in at the tail. There must be room."""
        delivery: Delivery[T] = Delivery()  # make_delivery(), written out
        delivery.id = self.last_id = self.last_id + 1
        delivery.message = message
        delivery.outcome = None
        delivery.attempts = 0
        delivery.maybe_sent = False
        delivery._owner = self._owner
        delivery._terms = terms
        delivery._result = None
        delivery._waiters = None
        self.open += 1
        self._waiting.append(delivery)
        if terms is not NO_TERMS:
            self.size += terms.size
            if terms.expires_at is not None:
                self._ages.add(delivery)
        return delivery

    def drop_newest(self, message: T, terms: Terms) -> Delivery[T]:
        """Accept a message that there is no room for, and drop it."""
        delivery = self.accept(message, terms)
        self._waiting.pop()
        self.end(delivery, _DROPPED, "the buffer was full")
        return delivery

    # ---------------------------------------------------------------- out

    def end(self, delivery: Delivery[T], outcome: Outcome, result: object) -> None:
        """Let an open message, which is in no place any more, reach its outcome."""
        delivery._result = result  # first, for those who look from another thread
        delivery.outcome = outcome
        self._ended[outcome] += 1
        self.open -= 1
        self.size -= delivery._terms.size
        if delivery._waiters is not None or outcome in UNDELIVERED:
            self.ended_now.append(delivery)
        self._ages.forget_ended(self.open)

    def end_in_place(self, delivery: Delivery[T], outcome: Outcome, result: object) -> None:
        """Let a queued message reach its outcome where it stands."""
        self.end(delivery, outcome, result)
        self._queue.ended_in_place(self.open)

    def is_leased(self, delivery: Delivery[T]) -> bool:
        """Whether an open message is leased, and not queued."""
        lease = self.lease
        return lease is not None and lease.holds(delivery)

    def settle(
        self, lease: BufferLease[T], delivery: Delivery[T], outcome: Outcome, result: object, doubted: bool | None
    ) -> bool:
        """Let a leased message reach its outcome; count it as late if it has one, or that lease is over.

        Args:
            doubted: what ``maybe_sent`` becomes, as an answer has settled the last attempt; None: it stays.
        """
        if lease.over or delivery.outcome is not None:
            self.late += 1
            return False
        lease.unsettled -= 1
        lease.size -= delivery._terms.size
        if doubted is not None:
            delivery.maybe_sent = doubted
        # The rest is end(), written out: a call less for each message that is sent.
        delivery._result = result  # first, for those who look from another thread
        delivery.outcome = outcome
        self._ended[outcome] += 1
        self.open -= 1
        self.size -= delivery._terms.size
        if delivery._waiters is not None or outcome is not _SENT:
            self.ended_now.append(delivery)
        return True

    def cancel(self, delivery: Delivery[T]) -> bool:
        """End a message CANCELLED if it is queued."""
        if delivery.outcome is not None or self.is_leased(delivery):
            return False
        self.end_in_place(delivery, Outcome.CANCELLED, "its sender took it back")
        return True

    def expire(self) -> None:
        """End what is too old and queued. What is leased is looked at when it comes back."""
        for delivery in self._ages.take_due(self.clock()):
            if not self.is_leased(delivery):
                self.end_in_place(delivery, _EXPIRED, _TOO_OLD)

    def drain(self) -> list[T]:
        """End all that is queued DRAINED; returns the messages in order."""
        messages: list[T] = []
        waiting = self._waiting
        for delivery in waiting if self._queue.simple else self._queue.take_all():
            delivery.outcome = _DRAINED
            messages.append(delivery.message)
            if delivery._waiters is not None:
                self.ended_now.append(delivery)
            if delivery._terms is not NO_TERMS:
                self.size -= delivery._terms.size
        waiting.clear()
        self.open -= len(messages)
        self._ended[_DRAINED] += len(messages)
        self._ages.forget_ended(self.open)
        return messages

    def abandon(self) -> list[Delivery[T]]:
        """End all that is open ABANDONED, and the lease with it; returns it in order."""
        leased = self.lease.end() if self.lease is not None else []
        self.lease = None
        left = sorted([*leased, *self._queue.take_all()], key=lambda delivery: delivery.id)
        for delivery in left:
            self.end(delivery, Outcome.ABANDONED, "the buffer was closed")
        return left

    # ---------------------------------------------------------------- leases

    def start_lease(self, lease: BufferLease[T]) -> bool:
        """Fill the lease, if it is its turn and there is something to lease."""
        if self.lease is not None or not (deliveries := self._queue.take(lease.limit)):
            return False
        size = sum(delivery._terms.size for delivery in deliveries) if self.size else 0
        lease.fill(deliveries, size, restricted=bool(self._ages))
        self.lease = lease
        return True

    def end_lease(self, lease: BufferLease[T]) -> None:
        """Put what is left of the lease back in its old place; end what has become too old meanwhile."""
        left = lease.end()
        if self.lease is lease:
            self.lease = None
        if left:
            too_old = [delivery for delivery in left if self._is_too_old(delivery)]
            for delivery in too_old:
                self.end(delivery, _EXPIRED, _TOO_OLD)
            self._queue.give_back([delivery for delivery in left if delivery.outcome is None])
        self._ages.forget_ended(self.open)

    def may_hand_out(self, lease: BufferLease[T], delivery: Delivery[T]) -> bool:
        """Whether an open message of a lease may be sent now; ends it if it has become too old."""
        if self._is_too_old(delivery):
            self.settle(lease, delivery, _EXPIRED, _TOO_OLD, None)
            return False
        return not lease.steps_over(delivery)

    def _is_too_old(self, delivery: Delivery[T]) -> bool:
        expires_at = delivery._terms.expires_at
        return expires_at is not None and expires_at <= self.clock()

    def defer(self, lease: BufferLease[T], delivery: Delivery[T], after: float, scope: str) -> bool:
        """Hold up a leased message's key, or everything, for so long; count it as late if that lease is over."""
        if lease.over or delivery.outcome is not None:
            self.late += 1
            return False
        until = self.clock() + after
        if scope == "all":
            self._queue.pause_all(until)
            lease.step_over_all()
        else:
            self._queue.pause(delivery._terms.key, until)
            lease.step_over(delivery._terms.key)
        return True

    def resume(self, *keys: Hashable) -> None:
        """End the pauses of these keys; without any, every pause. What a lease steps over, it still does."""
        self._queue.resume(*keys)

    # ---------------------------------------------------------------- questions

    def has_ready(self) -> bool:
        """Whether something can be leased now."""
        if self.lease is not None:
            return False
        return bool(self._waiting) if self._queue.simple else self._queue.has_ready()

    def is_simply_ready(self) -> bool:
        """Whether something can be leased now as far as a glance tells, for which the lock need not be held."""
        return self.lease is None and self._queue.simple and bool(self._waiting)

    def next_ready(self) -> float | None:
        """When to ask ``has_ready`` again, which has just said no, because a pause ends; None: no pause is to blame."""
        return None if self.lease is not None else self._queue.next_ready()

    def next_expiry(self) -> float | None:
        """When a message next becomes too old, at the earliest; None: none will."""
        return self._ages.next if self._ages else None

    def waiting(self) -> list[Delivery[T]]:
        """All that is open, in order."""
        leased = self.lease.left() if self.lease is not None else ()
        return sorted([*leased, *self._queue], key=lambda delivery: delivery.id)

    def count_open(self, last: int) -> int:
        """How many of the messages up to that id are open."""
        return sum(delivery.id <= last for delivery in self.waiting())

    def has_open(self, last: int) -> bool:
        """Whether any of the messages up to that id is open."""
        queued = self._queue.oldest_id()
        leased = None if self.lease is None else self.lease.oldest_id()
        return any(oldest is not None and oldest <= last for oldest in (queued, leased))

    def set_clock(self, clock: Callable[[], float]) -> None:
        """Read the time from another clock, and move expiries to it. Before the first lease, so there is no pause."""
        self._ages.shift(clock() - self.clock())
        self.clock = self._queue.clock = clock

    def statistics(self, waiting_to_put: int) -> BufferStatistics:
        """Where every message is."""
        leased = len(self.lease or ())
        return BufferStatistics(
            accepted=self.last_id - self.unused_ids,
            queued=self.open - leased,
            leased=leased,
            **{outcome.value: count for outcome, count in self._ended.items()},
            size=self.size,
            waiting_to_put=waiting_to_put,
            late=self.late,
        )
