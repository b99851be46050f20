"""What is set and made by hand, for tests of what is beneath a buffer: clocks, deliveries, queues and ledgers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from ridethrough.delivery import NO_TERMS, Delivery, DeliveryOwner, Outcome, Terms
from ridethrough.lease import BufferLease
from ridethrough.ledger import Ledger
from ridethrough.message_queue import MessageQueue


class Clock:
    """Tells the time that it was set to, in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class NobodyAsks:
    """The owner of deliveries that are neither awaited nor cancelled."""

    def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:
        raise AssertionError(f"{delivery!r} was cancelled")

    def wait_ended(self, delivery: Delivery[Any, Any], /) -> Any:
        raise AssertionError(f"{delivery!r} was awaited")


def make_delivery(
    number: int,
    *,
    message: Any = "a message",
    key: Hashable = None,
    size: int = 0,
    expires_at: float | None = None,
    owner: DeliveryOwner | None = None,
) -> Delivery[Any]:
    """An open delivery with that id."""
    delivery: Delivery[Any] = Delivery()
    delivery.id = number
    delivery.message = message
    delivery.outcome = None
    delivery.attempts = 0
    delivery.maybe_sent = False
    delivery._owner = owner or NobodyAsks()
    delivery._terms = Terms(key, size, expires_at)
    delivery._result = None
    delivery._waiters = None
    return delivery


def ids(deliveries: Iterable[Delivery[Any]]) -> list[int]:
    return [delivery.id for delivery in deliveries]


class QueueCase:
    """A queue, its clock, and the deliveries in it by id."""

    def __init__(self, *keys: Hashable) -> None:
        self.clock = Clock()
        self.queue: MessageQueue[Any] = MessageQueue(self.clock)
        self.deliveries: dict[int, Delivery[Any]] = {}
        for key in keys:
            self.put(key)

    def put(self, key: Hashable = None) -> Delivery[Any]:
        """Add a message; the first has the id 1."""
        number = len(self.deliveries) + 1
        delivery = self.deliveries[number] = make_delivery(number, key=key)
        self.queue.append(delivery)
        return delivery

    def end(self, *numbers: int) -> None:
        """Let messages end where they stand."""
        for number in numbers:
            self.deliveries[number].outcome = Outcome.CANCELLED
            still_open = sum(delivery.outcome is None for delivery in self.deliveries.values())
            self.queue.ended_in_place(still_open)

    def take(self, limit: int = 1) -> list[int]:
        return ids(self.queue.take(limit))

    def take_and_give_back(self, limit: int = 1) -> list[int]:
        taken = self.queue.take(limit)
        self.queue.give_back(taken)
        return ids(taken)


class LedgerCase:
    """A ledger, its clock, and the accepted deliveries by the message."""

    def __init__(self, *messages: str, max_size: int = 10, max_bytes: int | None = None) -> None:
        self.clock = Clock()
        self.ledger: Ledger[Any] = Ledger(NobodyAsks(), max_size, max_bytes, self.clock)
        self.deliveries: dict[str, Delivery[Any]] = {}
        for message in messages:
            self.put(message)

    def put(self, message: str, *, key: Hashable = None, size: int = 0, ttl: float | None = None) -> Delivery[Any]:
        plain = key is None and size == 0 and ttl is None
        terms = NO_TERMS if plain else Terms(key, size, None if ttl is None else self.clock.now + ttl)
        self.deliveries[message] = self.ledger.accept(message, terms)
        return self.deliveries[message]

    def put_keyed(self, *messages: str) -> None:
        """Put messages whose key is their first letter."""
        for message in messages:
            self.put(message, key=message[0])

    def lease(self, limit: int = 1) -> BufferLease[Any]:
        """A lease that has begun."""
        lease: BufferLease[Any] = BufferLease(self, limit)
        assert self.ledger.start_lease(lease)
        return lease

    # The owner of leases, as far as iterating goes

    async def start_lease(self, lease: BufferLease[Any], /) -> None:
        raise AssertionError(f"{lease!r} was entered")

    def end_lease(self, lease: BufferLease[Any], /) -> None:
        self.ledger.end_lease(lease)

    def may_hand_out(self, lease: BufferLease[Any], delivery: Delivery[Any], /) -> bool:
        return self.ledger.may_hand_out(lease, delivery)

    def settle(
        self, lease: BufferLease[Any], delivery: Delivery[Any], outcome: Outcome, result: object, doubt: bool | None, /
    ) -> bool:
        return self.ledger.settle(lease, delivery, outcome, result, doubt)

    def defer(self, lease: BufferLease[Any], delivery: Delivery[Any], after: float, scope: str, /) -> bool:
        return self.ledger.defer(lease, delivery, after, scope)

    # What there is

    def accounts(self) -> dict[str, int]:
        """The counters that are not 0, once it is sure that they add up."""
        counts = self.ledger.statistics(0)
        assert counts.accepted == counts.queued + counts.leased + counts.ended == len(self.deliveries)
        for outcome in Outcome:
            of_outcome = [delivery for delivery in self.deliveries.values() if delivery.outcome is outcome]
            assert getattr(counts, outcome.value) == len(of_outcome)
        still_open = [delivery for delivery in self.deliveries.values() if delivery.outcome is None]
        assert counts.size == sum(delivery._terms.size for delivery in still_open)
        return {name: count for name, count in counts._asdict().items() if count}

    def ended_now(self) -> list[str]:
        """Who has ended since this was last asked, as far as somebody has to be told of it."""
        ended, self.ledger.ended_now = self.ledger.ended_now, []
        return [delivery.message for delivery in ended]

    def drain(self) -> list[str]:
        drained: list[str] = self.ledger.drain()
        return drained


def messages(lease: BufferLease[Any]) -> list[str]:
    return [entry.message for entry in lease]


def watch(delivery: Delivery[Any]) -> None:
    """Let somebody await it."""
    delivery._waiters = [object()]
