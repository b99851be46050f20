"""Threads in a simulation: the loop gives each its turns, like its own callbacks, and waits while one has its turn.

So a thread runs the code that it always runs, and what happens between two of its turns comes from the seed. A turn
ends where a thread waits, or where it says so by :meth:`Threads.pause`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ridethrough import durable_intake, journal_writer

if TYPE_CHECKING:
    from .loop import SimulationLoop

WALL = 1e9
"""What the wall clock shows when the loop's is at 0."""


class SimulatedThread:
    """A thread; see :class:`threading.Thread`. What it raises comes out of the loop."""

    def __init__(self, threads: Threads, target: Callable[..., object], args: tuple[Any, ...] = (), **_: Any) -> None:
        self._threads = threads
        self._target, self._args = target, args
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._turn_is_due = False
        self.over = False

    def start(self) -> None:
        """Have its first turn come."""
        threading.Thread(target=self._run, daemon=True).start()
        self.schedule()

    def schedule(self, after: float | None = None) -> None:
        """Have its next turn come: soon, or then."""
        if self._turn_is_due and after is None:
            return
        loop = self._threads.loop
        if after is None:
            self._turn_is_due = True
            loop.call_soon(self._take_turn)
        else:
            loop.call_later(after, self.schedule)

    def end_turn(self) -> None:
        """From within it: let the loop go on, until the next turn."""
        self._back.release()
        self._go.acquire()

    def _take_turn(self) -> None:
        self._turn_is_due = False
        if self.over:
            return
        threads = self._threads
        threads.current = self
        self._go.release()
        self._back.acquire()
        threads.current = None
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._target(*self._args)
        except BaseException as error:
            self._error = error
        self.over = True
        self._back.release()


class SimulatedEvent:
    """For a thread to wait for; see :class:`threading.Event`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._waiters: list[SimulatedThread] = []
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        for waiter in self._waiters:
            waiter.schedule()

    def wait(self) -> None:
        self._waiters.append(self._threads.here())
        while not self._is_set:
            self._threads.here().end_turn()


class SimulatedCondition:
    """For one thread to wait for; see :class:`threading.Condition`."""

    def __init__(self, threads: Threads, lock: threading.Lock) -> None:
        self._threads = threads
        self._lock = lock
        self._waiter: SimulatedThread | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def notify(self) -> None:
        if self._waiter is not None:
            self._waiter.schedule()

    def wait_for(self, is_so: Callable[[], bool], timeout: float | None = None) -> bool:
        self._waiter = thread = self._threads.here()
        deadline = None if timeout is None else self._threads.loop.time() + timeout
        if timeout is not None:
            thread.schedule(timeout)
        while not (found := is_so()) and (deadline is None or self._threads.loop.time() < deadline):
            self._lock.release()
            thread.end_turn()
            self._lock.acquire()
        self._waiter = None
        return found


class Threads:
    """The threads of one simulation.

    Attributes:
        current: whose turn it is; None: the loop's.
    """

    def __init__(self, loop: SimulationLoop) -> None:
        self.loop = loop
        self.current: SimulatedThread | None = None

    def here(self) -> SimulatedThread:
        """The thread that asks."""
        assert self.current is not None
        return self.current

    def pause(self, seconds: float) -> None:
        """In a thread: let the others have their turns, for so long at least."""
        thread = self.here()
        thread.schedule(seconds)
        thread.end_turn()

    def thread(self, *, target: Callable[..., object], args: tuple[Any, ...] = (), **_: Any) -> SimulatedThread:
        """A new one."""
        return SimulatedThread(self, target, args)

    @contextmanager
    def instead_of_real_ones(self) -> Iterator[None]:
        """Within this, a journal's writer has such threads; and durable puts a wall clock that goes with the loop's."""
        clock = SimpleNamespace(time=lambda: WALL + self.loop.time())
        replacements: list[tuple[Any, str, Any]] = [
            (journal_writer, "Thread", self.thread),
            (journal_writer, "Event", lambda: SimulatedEvent(self)),
            (journal_writer, "Condition", lambda lock: SimulatedCondition(self, lock)),
            (durable_intake, "time", clock),
        ]
        ordinary = [getattr(module, name) for module, name, _ in replacements]
        for module, name, replacement in replacements:
            setattr(module, name, replacement)
        try:
            yield
        finally:
            for (module, name, _), before in zip(replacements, ordinary, strict=True):
                setattr(module, name, before)
