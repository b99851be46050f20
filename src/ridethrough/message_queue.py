"""MessageQueue: the order of what waits, and what a pause holds up. Pure: no lock, no clock, no event loop."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from .delivery import Delivery

T = TypeVar("T")

_NEVER = -math.inf


class _Lane(Generic[T]):
    """The messages of one key that a pause has held up, oldest first."""

    __slots__ = ("key", "line", "messages", "paused_until", "place")

    def __init__(self, key: Hashable, line: _Line[T]) -> None:
        self.key = key
        self.messages: deque[Delivery[T]] = deque()
        self.paused_until = _NEVER
        self.line = line
        self.place: int | None = None
        """Where it stands in its line: the id of its first message, or of one that was its first; None: nowhere."""


class _Line(Generic[T]):
    """Lanes that have messages, in the order of their first ones."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._lanes: dict[int, _Lane[T]] = {}

    def __iter__(self) -> Iterator[_Lane[T]]:
        return iter(self._lanes.values())

    def first(self) -> _Lane[T] | None:
        return self._lanes[self._places[0]] if self._places else None

    def enter(self, lane: _Lane[T]) -> None:
        lane.place = lane.messages[0].id
        insort(self._places, lane.place)
        self._lanes[lane.place] = lane

    def leave(self, lane: _Lane[T]) -> None:
        assert lane.place is not None
        del self._places[bisect_left(self._places, lane.place)]
        del self._lanes[lane.place]
        lane.place = None


class MessageQueue(Generic[T]):
    """Messages in the order of their ids, taken from the head; a paused key is stepped over.

    Messages that end while they wait (cancelled, expired) stay where they are until the head reaches them, or until
    they outnumber the open ones, so that ending one costs the same wherever it stands. A key costs nothing until it is
    paused: then its messages move, as the head comes to them, to a lane of its own, and are taken from there in their
    turn. What a step costs grows neither with the messages nor, to speak of, with the keys that are held up.

    Args:
        clock: tells the time, in seconds; may be exchanged.

    Attributes:
        main: the messages that no pause has held up so far. It stays the same deque.
        simple: whether these are all there are, open, and free to be taken: there is nothing to step over.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self.main: deque[Delivery[T]] = deque()
        self._lanes: dict[Hashable, _Lane[T]] = {}
        self._paused: _Line[T] = _Line()
        self._free: _Line[T] = _Line()  # the pause is over, and older messages than any in main are left
        self._ends: list[tuple[float, int, _Lane[T]]] = []  # of pauses, those that have been lengthened as well
        self._paused_until = _NEVER
        self._dead = 0
        self.simple: bool = True

    def append(self, delivery: Delivery[T]) -> None:
        """Add a message at the tail; its id must be the highest so far."""
        self.main.append(delivery)

    def __iter__(self) -> Iterator[Delivery[T]]:
        """All that wait, in order."""
        held_up = [delivery for lane in self._listed() for delivery in lane.messages]
        everything = sorted([*held_up, *self.main], key=lambda delivery: delivery.id) if held_up else self.main
        return (delivery for delivery in everything if delivery.outcome is None)

    def take(self, limit: int) -> list[Delivery[T]]:
        """Take out up to ``limit`` messages from the head that no pause holds up."""
        main = self.main
        if self.simple:
            if limit == 1 and main:
                return [main.popleft()]
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
            if lane is None:
                self.main.appendleft(delivery)
            else:
                lane.messages.appendleft(delivery)
                self._place(lane)

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
        for lane in self._listed():
            lane.messages.clear()
            self._place(lane)
        self._dead = 0
        return everything

    def has_ready(self) -> bool:
        """Whether :meth:`take` would give something."""
        return bool(self.main) if self.simple else self._head(self.clock()) is not None

    def next_ready(self) -> float | None:
        """When to ask ``has_ready`` again, which has just said no, because a pause ends; None: nothing is held up."""
        if self._oldest() is None:
            return None
        return self._ends[0][0] if self._paused_until == _NEVER else self._paused_until

    def pause(self, key: Hashable, until: float) -> None:
        """Hold up the messages of one key until that time; what paused it for longer still holds."""
        self.simple = False
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(key, self._paused)
        if until > lane.paused_until:
            lane.paused_until = until
            heappush(self._ends, (until, id(lane), lane))
            self._place(lane, self._paused)

    def pause_all(self, until: float) -> None:
        """Hold up everything until that time."""
        self.simple = False
        self._paused_until = max(self._paused_until, until)

    def resume(self, *keys: Hashable) -> None:
        """End the pauses of these keys; without any, every pause."""
        if keys:
            lanes = [lane for key in keys if (lane := self._lanes.get(key)) is not None]
        else:
            lanes = list(self._lanes.values())
            self._paused_until = _NEVER
        for lane in lanes:
            if lane.line is self._paused:
                lane.paused_until = _NEVER
                self._place(lane, self._free)
        self._ends = [end for end in self._ends if end[0] == end[2].paused_until]
        heapify(self._ends)

    def ended_in_place(self, open_messages: int) -> None:
        """Be told that one of the waiting messages has ended where it stands.

        Args:
            open_messages: at least as many as there are open ones left in here.
        """
        self.simple = False
        self._dead += 1
        if self._dead > open_messages:
            _forget_ended(self.main)
            for lane in self._listed():
                _forget_ended(lane.messages)
                self._place(lane)
            self._dead = 0

    def _oldest(self) -> deque[Delivery[T]] | None:
        """Where the oldest message stands at the front."""
        if self.simple:
            return self.main or None
        self._bury(self.main)
        fronts = [front for front in (self.main, self._first(self._free), self._first(self._paused)) if front]
        return min(fronts, key=lambda front: front[0].id, default=None)

    def _head(self, now: float) -> deque[Delivery[T]] | None:
        """Where the next message that may be taken stands at the front."""
        if now < self._paused_until:
            return None
        self._paused_until = _NEVER
        while self._ends and self._ends[0][0] <= now:
            until, _, lane = heappop(self._ends)
            if until == lane.paused_until:  # or else the pause was lengthened
                self._place(lane, self._free)
        main, best = self.main, self._first(self._free)
        self._bury(main)
        if not self._lanes:
            self.simple = not self._dead
        while main and (best is None or main[0].id < best[0].id):
            lane_of_first = self._lanes.get(main[0]._terms.key)
            if lane_of_first is None:
                return main
            # That lane is paused: its messages are older than this one, so if it were free it would be the best.
            lane_of_first.messages.append(main.popleft())
            if lane_of_first.place is None:
                self._place(lane_of_first)
            self._bury(main)
        return best

    def _first(self, line: _Line[T]) -> deque[Delivery[T]] | None:
        """Where the oldest message of a line stands at the front."""
        while (lane := line.first()) is not None:
            self._bury(lane.messages)
            if lane.messages and lane.messages[0].id == lane.place:
                return lane.messages
            self._place(lane)  # what was its first message has been taken or has ended
        return None

    def _place(self, lane: _Lane[T], line: _Line[T] | None = None) -> None:
        """Let a lane stand where its first message belongs, in its line or another one; without messages, nowhere."""
        if lane.place is not None:
            lane.line.leave(lane)
        if line is not None:
            lane.line = line
        if lane.messages:
            lane.line.enter(lane)
        elif lane.line is self._free:
            del self._lanes[lane.key]

    def _listed(self) -> list[_Lane[T]]:
        """All lanes that have messages, and some that had."""
        return [*self._paused, *self._free]

    def _bury(self, messages: deque[Delivery[T]]) -> None:
        while messages and messages[0].outcome is not None:
            messages.popleft()
            self._dead -= 1


def _forget_ended(messages: deque[Delivery[T]]) -> None:
    still_open = [delivery for delivery in messages if delivery.outcome is None]
    messages.clear()
    messages.extend(still_open)
