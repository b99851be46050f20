"""Clocks that jump: a test that waits for a minute takes no time, and comes out the same each time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from trio.testing import MockClock


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer while no file is ready, moves the clock to it."""

    now = 1000.0
    next_timer: Callable[[], float]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # only a thread can wake this loop
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now = max(self.now, self.next_timer())  # now + timeout could be short of it by a rounding error
        return ready


class JumpingClockLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, in which time passes only when everybody sleeps, and then at once."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        self._clock.next_timer = self._next_timer
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def _next_timer(self) -> float:
        when: float = self._scheduled[0].when()  # type: ignore[attr-defined]
        return when


def jumping_backends() -> list[Any]:
    """Both event loops with such a clock, as parameters of anyio's fixture ``anyio_backend``."""
    return [("asyncio", {"loop_factory": JumpingClockLoop}), ("trio", {"clock": MockClock(autojump_threshold=0)})]
