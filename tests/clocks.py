"""Clocks that jump: a test that waits for a minute takes no time, and comes out the same each time.

Time passes only when everybody sleeps. A thread of a journal is somebody, too: while one is at work, as
:func:`held_while` has been told, the clocks stand still.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from anyio import sleep, wait_all_tasks_blocked
from trio.testing import MockClock

_POLL = 0.0005
"""How often to look whether a thread is still at work, in real seconds; most wake the loop when they are done."""

_MOMENT = 1e-6
"""In seconds, by a clock that jumps: when it comes, everybody sleeps."""

_at_work: list[Callable[[], bool]] = []
_moments: list[float] = []


@contextmanager
def held_while(at_work: Callable[[], bool]) -> Iterator[None]:
    """Within this, clocks do not jump while that is so.

    Args:
        at_work: whether a thread is about to do something for somebody in the event loop. Once it says no, all that it
            has done has been handed to the loop.
    """
    _at_work.append(at_work)
    try:
        yield
    finally:
        _at_work.remove(at_work)


@contextmanager
def in_real_time(moment: float) -> Iterator[None]:
    """Within this, on a clock that does not jump, everybody is taken to sleep after that many seconds.

    Args:
        moment: long enough for whatever is at work elsewhere, and nobody can tell of.
    """
    _moments.append(moment)
    try:
        yield
    finally:
        _moments.remove(moment)


async def all_blocked() -> None:
    """Like anyio's ``wait_all_tasks_blocked``; and what a thread that clocks wait for is at work for goes on first."""
    if _moments:
        await sleep(max(_moments))
    elif _at_work:
        await sleep(_MOMENT)
    else:
        await wait_all_tasks_blocked()


def _threads_at_work() -> bool:
    return any(at_work() for at_work in _at_work)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer while no file is ready, moves the clock to it."""

    now = 1000.0
    next_timer: Callable[[], float]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # only a thread can wake this loop
        while timeout > 0 and _at_work and _threads_at_work():
            if ready := super().select(_POLL):
                return ready
        ready = super().select(0)  # after that look: what a thread did before it came to rest is seen here
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


def _jumping_clock() -> MockClock:
    """The same for trio, whose clock that jumps does not wait for threads either."""
    clock = MockClock(autojump_threshold=0)
    jump = clock._autojump

    def jump_at_rest() -> None:
        if _at_work:
            if _threads_at_work():
                time.sleep(_POLL)
                return
            if trio.lowlevel.current_statistics().run_sync_soon_queue_size:
                return  # a thread has come to rest after trio looked for what it did
        jump()

    clock._autojump = jump_at_rest  # type: ignore[method-assign]
    return clock


def jumping_backends() -> list[Any]:
    """Both event loops with such a clock, as parameters of anyio's fixture ``anyio_backend``."""
    return [("asyncio", {"loop_factory": JumpingClockLoop}), ("trio", {"clock": _jumping_clock()})]
