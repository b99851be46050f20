"""Observers: whoever looks on while something changes, each with an iterator of their own."""

from __future__ import annotations

from collections import deque
from typing import Generic, Self, TypeVar
from weakref import WeakSet

from anyio import Event

C = TypeVar("C")


class Observer(Generic[C]):
    """What changes from now on, one thing after the other: an async iterator.

    It keeps up to 100 changes for a slow reader, and then forgets the oldest. Several readers share what there is.

    **Cancellation.** A cancelled wait for the next one has taken nothing.
    """

    def __init__(self) -> None:
        self._changes: deque[C] = deque(maxlen=100)
        self._arrived: Event | None = None  # set, and forgotten, when there is another one, or the end
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> C:
        while not self._changes:
            if self._over:
                raise StopAsyncIteration
            if self._arrived is None:
                self._arrived = Event()
            await self._arrived.wait()
        return self._changes.popleft()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None


class Observers(Generic[C]):
    """Who looks on, as what changes sees it. An observer whom nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._observers: WeakSet[Observer[C]] = WeakSet()
        self._over = False

    def add(self) -> Observer[C]:
        """One more, who sees what changes from now on."""
        observer: Observer[C] = Observer()
        observer._over = self._over
        self._observers.add(observer)
        return observer

    def tell(self, change: C) -> None:
        """Let everybody see a change."""
        for observer in self._observers:
            observer._changes.append(change)
            observer._wake()

    def end(self) -> None:
        """Nothing changes any more: once they have seen everything, their iterators end. Twice is once."""
        self._over = True
        for observer in self._observers:
            observer._over = True
            observer._wake()
