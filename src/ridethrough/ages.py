"""Ages: which messages have become too old. Pure: no lock, no clock, no event loop."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from .delivery import Delivery

T = TypeVar("T")


class Ages(Generic[T]):
    """Which message expires next. Adding one costs O(log n) at worst, and O(1) when all have the same ttl."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Delivery[T]]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    @property
    def next(self) -> float:
        """When the next message expires, in seconds on the caller's clock; at the earliest, for it may have ended.

        There must be one.
        """
        return self._heap[0][0]

    def add(self, delivery: Delivery[T]) -> None:
        """Watch over a message with an ``expires_at``."""
        expires_at = delivery._terms.expires_at
        assert expires_at is not None
        heappush(self._heap, (expires_at, delivery.id, delivery))

    def forget_ended(self, open_messages: int) -> None:
        """Let go of messages that have ended, if they outnumber the open ones.

        Args:
            open_messages: at least as many as there are open ones in here.
        """
        if len(self._heap) > 2 * open_messages:
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
