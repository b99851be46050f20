"""MessageQueue and Ages against plain lists: whatever is done to them, in whatever order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any
from weakref import ref

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ridethrough.ages import Ages
from ridethrough.delivery import Delivery, Outcome
from ridethrough.message_queue import MessageQueue
from tests.by_hand import Clock, make_delivery

KEYS = st.sampled_from([None, "a", "b", "c"])
SECONDS = st.integers(0, 5)
PLACES = st.integers(0, 9)


class Message:
    """Something whose memory can be watched."""


def ids(deliveries: Iterable[Delivery[Any]]) -> list[int]:
    return [delivery.id for delivery in deliveries]


class QueueMachine(RuleBasedStateMachine):
    """A queue is a list: the head is the first message in it whose key is not paused."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: MessageQueue[Message] = MessageQueue(self.clock)
        self.accepted = 0
        self.waiting: list[Delivery[Message]] = []
        self.leased: list[Delivery[Message]] | None = None
        self.ended: list[ref[Message]] = []
        self.most_kept = 0
        self.key_pauses: dict[object, float] = {}
        self.full_pause = 0.0

    # What the list says

    def paused_until(self, delivery: Delivery[Message]) -> float:
        return max(self.full_pause, self.key_pauses.get(delivery._terms.key, 0.0))

    def ready(self) -> list[Delivery[Message]]:
        return [delivery for delivery in self.waiting if self.paused_until(delivery) <= self.clock.now]

    def open(self) -> int:
        return len(self.waiting) + len(self.leased or ())

    def end(self, delivery: Delivery[Message]) -> None:
        delivery.outcome = Outcome.CANCELLED
        self.ended.append(ref(delivery.message))

    def kept(self) -> int:
        """How many messages that have ended are still in memory."""
        self.ended = [message for message in self.ended if message() is not None]
        return len(self.ended)

    # Putting and taking

    @rule(key=KEYS)
    def append(self, key: str | None) -> None:
        self.accepted += 1
        delivery = make_delivery(self.accepted, message=Message(), key=key)
        self.queue.append(delivery)
        self.waiting.append(delivery)

    @precondition(lambda self: self.leased is None)
    @rule(limit=st.integers(1, 6))
    def take(self, limit: int) -> None:
        expected = self.ready()[:limit]
        self.leased = self.queue.take(limit)
        assert ids(self.leased) == ids(expected)
        self.waiting = [delivery for delivery in self.waiting if delivery not in self.leased]

    @precondition(lambda self: self.leased)
    @rule(place=PLACES)
    def settle(self, place: int) -> None:
        assert self.leased
        self.end(self.leased.pop(place % len(self.leased)))

    @precondition(lambda self: self.leased is not None)
    @rule()
    def give_back(self) -> None:
        assert self.leased is not None
        self.queue.give_back(self.leased)
        self.waiting = sorted([*self.leased, *self.waiting], key=lambda delivery: delivery.id)
        self.leased = None

    @rule()
    def take_oldest(self) -> None:
        expected = self.waiting.pop(0) if self.waiting else None
        taken = self.queue.take_oldest()
        assert taken is expected
        if taken is not None:
            self.end(taken)

    @rule()
    def take_all(self) -> None:
        taken = self.queue.take_all()
        assert ids(taken) == ids(self.waiting)
        for delivery in taken:
            self.end(delivery)
        self.waiting.clear()

    @precondition(lambda self: self.waiting)
    @rule(place=PLACES)
    def ended_in_place(self, place: int) -> None:
        self.end(self.waiting.pop(place % len(self.waiting)))
        self.queue.ended_in_place(self.open())
        self.most_kept = self.kept()
        assert self.most_kept <= self.open()

    # Pauses and time

    @precondition(lambda self: self.leased)
    @rule(place=PLACES, after=SECONDS)
    def defer(self, place: int, after: int) -> None:
        assert self.leased
        self.pause(self.leased[place % len(self.leased)]._terms.key, after)

    @rule(key=KEYS, after=SECONDS)
    def pause(self, key: object, after: int) -> None:
        until = self.clock.now + after
        self.queue.pause(key, until)
        self.key_pauses[key] = max(until, self.key_pauses.get(key, 0.0))

    @rule(after=SECONDS)
    def pause_all(self, after: int) -> None:
        self.queue.pause_all(self.clock.now + after)
        self.full_pause = max(self.full_pause, self.clock.now + after)

    @rule(keys=st.lists(KEYS, max_size=3))
    def resume(self, keys: list[str | None]) -> None:
        self.queue.resume(*keys)
        if not keys:
            self.full_pause = 0.0
            self.key_pauses.clear()
        for key in keys:
            self.key_pauses.pop(key, None)

    @rule(seconds=st.integers(1, 4))
    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule()
    def sleep_until_something_is_ready(self) -> None:
        """A waiter that sleeps as it is told wakes at the right time, and not too often before."""
        due = min((self.paused_until(delivery) for delivery in self.waiting), default=math.inf)
        for _ in range(20):
            if self.queue.has_ready():
                assert self.clock.now >= due
                return
            wake_at = self.queue.next_ready()
            if wake_at is None:
                assert due == math.inf
                return
            assert self.clock.now < wake_at <= due
            self.clock.now = wake_at
        raise AssertionError("it was woken again and again")

    # Questions

    @rule()
    def has_ready(self) -> None:
        assert self.queue.has_ready() == bool(self.ready())

    @rule()
    def oldest_id(self) -> None:
        assert self.queue.oldest_id() == (self.waiting[0].id if self.waiting else None)
        assert self.waiting or not self.kept()

    @invariant()
    def has_all_that_wait_in_order(self) -> None:
        assert ids(self.queue) == ids(self.waiting)

    @invariant()
    def simple_never_lies(self) -> None:
        if self.queue.simple:
            assert ids(self.queue.main) == ids(self.waiting)
            assert max(self.full_pause, *self.key_pauses.values(), 0.0) <= self.clock.now

    @invariant()
    def only_what_ended_in_place_is_kept_in_memory(self) -> None:
        assert self.kept() <= self.most_kept


class AgesMachine(RuleBasedStateMachine):
    """Ages are a list of open messages: the due ones are those whose time has come."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ages: Ages[Message] = Ages()
        self.accepted = 0
        self.open: list[Delivery[Message]] = []
        self.ended: list[ref[Message]] = []

    @rule(ttl=SECONDS)
    def add(self, ttl: int) -> None:
        self.accepted += 1
        delivery = make_delivery(self.accepted, message=Message(), expires_at=self.clock.now + ttl)
        self.ages.add(delivery)
        self.open.append(delivery)

    @precondition(lambda self: self.open)
    @rule(place=PLACES)
    def end(self, place: int) -> None:
        delivery = self.open.pop(place % len(self.open))
        delivery.outcome = Outcome.SENT
        self.ended.append(ref(delivery.message))
        self.ages.forget_ended(len(self.open))

    @rule(seconds=st.integers(1, 4))
    def pass_time_and_take_due(self, seconds: int) -> None:
        self.clock.now += seconds
        due = [delivery for delivery in self.open if self.expires_at(delivery) <= self.clock.now]
        self.open = [delivery for delivery in self.open if delivery not in due]
        taken = list(self.ages.take_due(self.clock.now))
        assert ids(taken) == ids(sorted(due, key=lambda delivery: (self.expires_at(delivery), delivery.id)))
        assert not self.ages or self.ages.next > self.clock.now
        for delivery in taken:
            delivery.outcome = Outcome.EXPIRED
        self.ages.forget_ended(len(self.open))

    @rule(seconds=st.integers(-100, 100))
    def shift(self, seconds: int) -> None:
        self.ages.shift(seconds)
        self.clock.now += seconds

    @staticmethod
    def expires_at(delivery: Delivery[Message]) -> float:
        assert delivery._terms.expires_at is not None
        return delivery._terms.expires_at

    @invariant()
    def next_is_never_too_late(self) -> None:
        assert bool(self.ages) or not self.open
        if self.open:
            assert self.ages.next <= min(map(self.expires_at, self.open))

    @invariant()
    def ended_messages_never_outnumber_the_open_ones_in_memory(self) -> None:
        self.ended = [message for message in self.ended if message() is not None]
        assert len(self.ended) <= len(self.open)


TestMessageQueue = QueueMachine.TestCase
TestAges = AgesMachine.TestCase
