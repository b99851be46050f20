"""MessageQueue: the order of what waits, and what a pause holds up. Pure: no lock, no clock, no event loop."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from .delivery import Delivery

T = TypeVar("T")

_NEVER = -math.inf

_SLACK = 64
"""Ended messages that may stay in a structure before it is worth going through it."""


class _Lane(Generic[T]):
    """The messages of one key that a pause has held up, oldest first."""

    __slots__ = ("messages", "paused_until")

    def __init__(self, paused_until: float) -> None:
        self.messages: deque[Delivery[T]] = deque()
        self.paused_until = paused_until


class MessageQueue(Generic[T]):
    """Messages in the order of their ids, taken from the head; a paused key is stepped over.

    Messages that end while they wait (cancelled, expired) stay where they are until the head reaches them or there are
    too many of them, so that ending one costs the same wherever it stands. A key costs nothing until it is paused:
    then its messages move, as the head comes to them, to a lane of its own, and are taken from there in their turn. A
    step costs the same at any length of the queue, and grows with the number of keys that are held up at that moment.

    Args:
        clock: tells the time, in seconds; may be exchanged.

    Attributes:
        main: the messages that no pause has held up so far. It stays the same deque.
        simple: whether these are all there are, open, and free to be taken: there is nothing to step over.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.main: deque[Delivery[T]] = deque()
        self._lanes: dict[Hashable, _Lane[T]] = {}
        self._paused_until = _NEVER
        self._dead = 0
        self.simple = True

    def append(self, delivery: Delivery[T]) -> None:
        """Add a message at the tail; its id must be the highest so far."""
        self.main.append(delivery)

    def __iter__(self) -> Iterator[Delivery[T]]:
        """All that wait, in order."""
        lanes = [delivery for lane in self._lanes.values() for delivery in lane.messages]
        everything = sorted([*lanes, *self.main], key=lambda delivery: delivery.id) if lanes else self.main
        return (delivery for delivery in everything if delivery.outcome is None)

    def take(self, limit: int) -> list[Delivery[T]]:
        """Take out up to ``limit`` messages from the head that no pause holds up."""
        main = self.main
        if self.simple:
            return [main.popleft() for _ in range(min(limit, len(main)))]
        now = self.clock()
        taken: list[Delivery[T]] = []
        while len(taken) < limit and (source := self._head(now)) is not None:
            taken.append(source.popleft())
        return taken

    def give_back(self, deliveries: list[Delivery[T]]) -> None:
        """Put messages, which came from the last :meth:`take` and are in its order, back in their old places."""
        for delivery in reversed(deliveries):
            # Whatever was taken is older than anything left in its lane, and than anything left in the main queue.
            lane = self._lanes.get(delivery._terms.key) if self._lanes else None
            (self.main if lane is None else lane.messages).appendleft(delivery)

    def take_oldest(self) -> Delivery[T] | None:
        """Take out the oldest message, held up or not."""
        source = self._oldest()
        return source.popleft() if source else None

    def oldest_id(self) -> int | None:
        """The id of the oldest message, held up or not."""
        source = self._oldest()
        return source[0].id if source else None

    def take_all(self) -> list[Delivery[T]]:
        """Take out everything that waits, in order. Pauses stay."""
        everything = list(self.main) if self.simple else list(self)
        self.main.clear()
        for lane in self._lanes.values():
            lane.messages.clear()
        self._dead = 0
        return everything

    def has_ready(self) -> bool:
        """Whether :meth:`take` would give something."""
        return bool(self.main) if self.simple else self._head(self.clock()) is not None

    def next_ready(self) -> float | None:
        """When the next pause that holds something up is over; None if none does. To be asked after ``has_ready``."""
        held = [lane.paused_until for lane in self._lanes.values() if lane.messages]
        if self.main:
            held.append(self._paused_until)
        return max(self._paused_until, min(held)) if held else None

    def pause(self, key: Hashable, until: float) -> None:
        """Hold up the messages of one key until that time; what paused it for longer still holds."""
        self.simple = False
        lane = self._lanes.setdefault(key, _Lane(until))
        lane.paused_until = max(lane.paused_until, until)

    def pause_all(self, until: float) -> None:
        """Hold up everything until that time."""
        self.simple = False
        self._paused_until = max(self._paused_until, until)

    def is_paused(self, key: Hashable) -> bool:
        """Whether a pause holds up messages of this key."""
        now, lane = self.clock(), self._lanes.get(key)
        return now < self._paused_until or (lane is not None and now < lane.paused_until)

    def ended_in_place(self) -> None:
        """Be told that one of the waiting messages has ended where it stands."""
        self.simple = False
        self._dead += 1
        if self._dead > _SLACK and self._dead * 2 > len(self.main):
            for messages in (self.main, *(lane.messages for lane in self._lanes.values())):
                alive = [delivery for delivery in messages if delivery.outcome is None]
                messages.clear()
                messages.extend(alive)
            self._dead = 0

    def _oldest(self) -> deque[Delivery[T]]:
        """Where the oldest message stands at the front."""
        self._bury(self.main)
        source = self.main
        for lane in self._lanes.values():
            self._bury(lane.messages)
            if lane.messages and (not source or lane.messages[0].id < source[0].id):
                source = lane.messages
        return source

    def _head(self, now: float) -> deque[Delivery[T]] | None:
        """Where the next message that may be taken stands at the front."""
        if now < self._paused_until:
            return None
        self._paused_until = _NEVER
        main = self.main
        if not self._lanes:
            self._bury(main)
            self.simple = not self._dead
            return main or None
        best: deque[Delivery[T]] | None = None
        for key, lane in list(self._lanes.items()):
            self._bury(lane.messages)
            if now < lane.paused_until:
                continue
            if not lane.messages:
                del self._lanes[key]
            elif best is None or lane.messages[0].id < best[0].id:
                best = lane.messages
        while main:
            self._bury(main)
            if not main or (best is not None and best[0].id < main[0].id):
                break
            held_up = self._lanes.get(main[0]._terms.key)
            if held_up is None:
                return main
            # Not paused any more, it would be the best, since its lane holds older messages than this one.
            held_up.messages.append(main.popleft())
        return best

    def _bury(self, messages: deque[Delivery[T]]) -> None:
        while messages and messages[0].outcome is not None:
            messages.popleft()
            self._dead -= 1


class Ages(Generic[T]):
    """Which message expires next. Adding one costs O(log n) at worst, and O(1) when all have the same ttl."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Delivery[T]]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    @property
    def next(self) -> float:
        """When the next message expires, in seconds on the caller's clock. There must be one."""
        return self._heap[0][0]

    def add(self, delivery: Delivery[T], open_messages: int) -> None:
        """Watch over a message with an ``expires_at``.

        Args:
            delivery: the message.
            open_messages: how many messages are open in all; whatever else is in here has ended and may be forgotten.
        """
        expires_at = delivery._terms.expires_at
        assert expires_at is not None
        heappush(self._heap, (expires_at, delivery.id, delivery))
        if len(self._heap) > 2 * open_messages + _SLACK:
            self._heap = [entry for entry in self._heap if entry[2].outcome is None]
            heapify(self._heap)

    def take_due(self, now: float) -> Iterator[Delivery[T]]:
        """Take out, one after the other, the open messages whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            delivery = heappop(self._heap)[2]
            if delivery.outcome is None:
                yield delivery

    def shift(self, seconds: float) -> None:
        """Move every point in time: the clock that they are read on has become another one."""
        for at, (expires_at, number, delivery) in enumerate(self._heap):
            delivery._terms = delivery._terms._replace(expires_at=expires_at + seconds)
            self._heap[at] = (expires_at + seconds, number, delivery)
