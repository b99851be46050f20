"""The event loop that a buffer lives in: its clock, sleeping in it, and waking from any thread.

anyio's Event does the same on every backend, at nearly twice the price of a hand-over between two tasks (measured:
16 µs against 9 µs with asyncio's own future), and cannot be set from a thread. So the little that the buffer needs
is made here from each loop's own parts.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from anyio import NoEventLoopError, current_effective_deadline
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled, current_token

if TYPE_CHECKING:
    import asyncio

    import trio

_put_off: WeakSet[Any] = WeakSet()
"""Tasks that have caught a cancellation, of any loop and whatever they used."""
_to_cancel: WeakSet[asyncio.Task[Any]] = WeakSet()
"""Those of asyncio which are about to be cancelled again."""


class EventLoop(ABC):
    """An event loop, asyncio's or trio's; it runs in this thread if ``thread == get_ident() and is_running()``.

    Whoever waits looks at what it waits for, sleeps on a waiter, and looks again with a new one.

    Attributes:
        identity: what tells this loop from every other.
        thread: the identifier of the thread that it runs in.
        time: its clock, in seconds; readable from any thread.
        is_running: whether it runs; to be asked in its own thread.
        waiter: makes a waiter, for one sleep.
        cancelled: what a cancellation raises.
        current_task: the task that runs; to be asked in its own thread.
    """

    identity: object
    thread: int
    time: Callable[[], float]
    is_running: Callable[[], bool]
    waiter: Callable[[], Any]
    cancelled: type[BaseException]
    current_task: Callable[[], Any]

    @abstractmethod
    def sleep(self, waiter: Any, until: float | None) -> Awaitable[object]:
        """Sleep until the waiter is woken, or until that time on the loop's clock.

        **Cancellation** ends the sleep; a wake-up that came at the same moment is for the caller to pass on.
        """

    @abstractmethod
    def wake_here(self, waiters: list[Any]) -> None:
        """End those sleeps, like :meth:`wake`, from a task of this loop."""

    @abstractmethod
    def wake(self, *waiters: Any) -> None:
        """End those sleeps, even before they have begun. From any thread; never blocks."""

    @abstractmethod
    def run_soon(self, function: Callable[[], object]) -> None:
        """Call a function in this loop, if that still runs, before whom :meth:`wake` wakes next. From any thread."""

    def cancel_again(self) -> None:
        """Have the cancellation that the current task has caught come to it once more, when it next sleeps."""
        _put_off.add(self.current_task())

    async def begin(self) -> None:
        """Let a cancellation in that was caught, before something begins that would catch it over and over."""
        if _put_off and (task := self.current_task()) in _put_off:
            _put_off.discard(task)
            await checkpoint_if_cancelled()
            while self._is_to_cancel(task):  # or else it has come meanwhile; nobody is to lose its turn for that
                await checkpoint()

    def _is_to_cancel(self, task: Any) -> bool:  # noqa: ARG002, other loops need it
        return False


class Unbound(EventLoop):
    """No event loop yet: there is a clock, and nobody sleeps."""

    def __init__(self) -> None:
        self.identity = None
        self.thread = 0
        self.time = time.monotonic

    def sleep(self, waiter: Any, until: float | None) -> Awaitable[object]:  # noqa: ARG002
        raise AssertionError("nobody can sleep in no loop")

    wake = wake_here = run_soon = sleep  # type: ignore[assignment]


class AsyncioLoop(EventLoop):
    """A loop of asyncio; a waiter is a future."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        from asyncio import CancelledError, current_task  # noqa: PLC0415, imported long since, if there is such a loop

        self.cancelled = CancelledError
        self.current_task = partial(current_task, loop)
        self.identity = self._loop = loop
        self.thread = get_ident()
        self.time = loop.time
        self.is_running = loop.is_running  # asking asyncio which loop runs costs a system call before Python 3.12
        self.waiter = loop.create_future

    def sleep(self, waiter: asyncio.Future[None], until: float | None) -> Awaitable[object]:
        return waiter if until is None else self._sleep_until(waiter, until)

    async def _sleep_until(self, waiter: asyncio.Future[None], until: float) -> None:
        timer = self._loop.call_at(until, _set, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    def wake_here(self, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def wake(self, *waiters: asyncio.Future[None]) -> None:
        try:
            if get_ident() == self.thread:
                _set(*waiters)
            else:
                self._loop.call_soon_threadsafe(_set, *waiters)
        except RuntimeError:
            return  # the loop is closed, so nobody sleeps in it

    def run_soon(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def cancel_again(self) -> None:
        super().cancel_again()
        if current_effective_deadline() == -math.inf:
            return  # it was a scope of anyio's, which cancels again by itself
        # Later, since a timeout that has asked for it may be left by then: before Python 3.13, taking such a request
        # back does not take back a cancellation that is about to be thrown.
        task = self.current_task()
        _to_cancel.add(task)
        self._loop.call_soon(self._cancel_if_asked, task)

    def _cancel_if_asked(self, task: asyncio.Task[Any]) -> None:
        _to_cancel.discard(task)
        if task.cancelling():
            task.uncancel()  # for cancel() counts one more
            task.cancel()

    def _is_to_cancel(self, task: asyncio.Task[Any]) -> bool:
        return task in _to_cancel and task.cancelling() > 0


def _set(*futures: asyncio.Future[None]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class TrioLoop(EventLoop):
    """A run of trio; a waiter is an Event."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        import trio  # noqa: PLC0415, it need not be installed

        self._trio = trio
        self.identity = self._token = token
        self.thread = get_ident()
        self.time = trio.lowlevel.current_clock().current_time
        self.is_running = lambda: trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is token
        self.waiter = trio.Event
        self.cancelled = trio.Cancelled
        self.current_task = trio.lowlevel.current_task

    async def sleep(self, waiter: trio.Event, until: float | None) -> None:
        with self._trio.CancelScope(deadline=math.inf if until is None else until):
            await waiter.wait()

    def wake_here(self, waiters: list[trio.Event]) -> None:
        for waiter in waiters:
            waiter.set()

    def wake(self, *waiters: trio.Event) -> None:
        for waiter in waiters:
            if get_ident() == self.thread:
                waiter.set()
            else:
                self.run_soon(waiter.set)

    def run_soon(self, function: Callable[[], object]) -> None:
        with suppress(self._trio.RunFinishedError):  # nobody sleeps in a run that is over
            self._token.run_sync_soon(function)


def find_event_loop() -> EventLoop:
    """The event loop that runs in this thread.

    Raises:
        RuntimeError: none does.
    """
    try:
        native: Any = current_token().native_token
    except NoEventLoopError:
        raise RuntimeError("no event loop runs in this thread; from other threads, use put_from_thread") from None
    return AsyncioLoop(native) if hasattr(native, "call_soon_threadsafe") else TrioLoop(native)
