"""Way: one direction of a connection, in which nothing overtakes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

Frame = Callable[[], None]
"""What happens on arrival."""


class Way:
    """Lets what is sent arrive in order, each thing in a turn of its own.

    Args:
        delay: how long each thing is under way, in seconds.
    """

    def __init__(self, delay: Callable[[], float]) -> None:
        self._delay = delay
        self._frames: deque[tuple[float, Frame]] = deque()
        self._next: asyncio.Handle | None = None
        self._last = 0.0
        self._stalled = False
        self.closed = False

    def __len__(self) -> int:
        return len(self._frames)

    def send(self, frame: Frame) -> None:
        """Have that happen at the other end, if the way is open until then."""
        if self.closed:
            return
        self._last = max(self._last, asyncio.get_running_loop().time() + self._delay())
        self._frames.append((self._last, frame))
        self._schedule()

    def stall(self) -> None:
        """Keep everything to itself, as a cable does that was pulled."""
        self._stalled = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def mend(self) -> None:
        """Pass on what was kept."""
        self._stalled = False
        self._schedule()

    def close(self, arriving: int = 0) -> None:
        """Carry nothing any more.

        Args:
            arriving: how many of those that are under way still arrive, now.
        """
        if self.closed:
            return
        self.closed = True
        if self._next is not None:
            self._next.cancel()
        for _, frame in [*self._frames][:arriving]:
            frame()
        self._frames.clear()

    def _schedule(self) -> None:
        if self._next is not None or self._stalled or self.closed or not self._frames:
            return
        loop = asyncio.get_running_loop()
        due, _ = self._frames[0]
        self._next = loop.call_soon(self._arrive) if due <= loop.time() else loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        self._next = None
        _, frame = self._frames.popleft()
        self._schedule()
        frame()
