"""Monitor: the lock around a ledger, and sleeping until the ledger has something for who sleeps."""

from __future__ import annotations

from collections.abc import Callable
from logging import Logger
from threading import Lock, get_ident
from traceback import walk_tb
from typing import Any, Generic, Protocol, TypeVar

from ._loop import EventLoop, Unbound, find_event_loop
from .delivery import UNDELIVERED, Delivery
from .ledger import Ledger
from .logs import get_logger

T = TypeVar("T")

logger: Logger = get_logger("buffer")


class Sleeper(Protocol):
    """Somebody asleep until the ledger says something."""

    def is_due(self) -> bool:
        """Whether there is something to wake up for. The lock is held."""

    def wake(self) -> None:
        """Wake it; it looks again. The lock is held."""


class Monitor(Generic[T]):
    """Guards a ledger: ``with monitor:`` is the critical section.

    Entering it takes the lock and ends what is too old. Leaving it wakes whoever has something to wake up for, gives
    the lock back, and then tells of what has ended. There is no await in it and no call of user code, so that no task
    can see, or be cancelled in, the middle of a change. Whoever wakes up looks again, so that a wake-up that comes for
    nothing, or for somebody else, does no harm.

    The hottest paths take the lock by hand: ``with`` and the two methods cost more than what is done inside.

    Args:
        ledger: what to guard.
        on_undelivered: told of each message that ended and was not meant to, outside the critical section.

    Attributes:
        lock: guards the ledger and everything here.
        loop: the event loop that this belongs to, once somebody has used it there.
        alarm: when a message next becomes too old, on the loop's clock; None: none will. All sleep until then at most.
        takers: waiters of those who sleep until something can be leased.
        pause_ends: when these wake up by themselves, as a pause is over then; None: they do not.
        sleepers: those who sleep for something else.
        closed: whether nothing can be leased ever again.
    """

    def __init__(self, ledger: Ledger[T], on_undelivered: Callable[[Delivery[T]], object] | None) -> None:
        self.lock: Lock = Lock()
        self.loop: EventLoop = Unbound()
        self.alarm: float | None = None
        self.takers: list[Any] = []
        self.pause_ends: float | None = None
        self.sleepers: list[Sleeper] = []
        self.closed: bool = False
        self._ledger = ledger
        self._on_undelivered = on_undelivered

    def __enter__(self) -> None:
        self.lock.acquire()
        self.expire()

    def __exit__(self, *exc: object) -> None:
        try:
            self.wake()
        finally:
            self.lock.release()
        if self._ledger.ended_now:
            self.report()

    def check_loop(self) -> None:
        """Belong to the event loop that runs here, if to none yet.

        Raises:
            RuntimeError: no event loop runs here, or this belongs to another one.
        """
        if self.loop.thread == get_ident() and self.loop.is_running():
            return
        loop = find_event_loop()
        with self.lock:
            if self.loop.identity is None:
                self._ledger.set_clock(loop.time)
                self.alarm = self._ledger.next_expiry()
            elif self.loop.identity is not loop.identity:
                raise RuntimeError(
                    "this buffer belongs to another event loop: make one buffer for each, or use put_from_thread"
                )
            self.loop = loop  # asyncio's may have run in another thread before

    def expire(self) -> None:
        """End what is too old. The lock is held."""
        if self.alarm is not None and self.alarm <= self._ledger.clock():
            self._ledger.expire()
            self.alarm = self._ledger.next_expiry()

    def wake(self) -> None:
        """Wake who is due, and who would sleep for longer than it should by now. The lock is held."""
        ledger = self._ledger
        alarm = ledger.next_expiry()
        sooner = _is_sooner(alarm, self.alarm)
        self.alarm = alarm
        if self.takers and (self.closed or ledger.has_ready() or _is_sooner(ledger.next_ready(), self.pause_ends)):
            self.loop.wake(*self.takers)
            self.takers.clear()
        for sleeper in self.sleepers:
            if sooner or sleeper.is_due():
                sleeper.wake()

    def forget_taker(self, taker: Any) -> None:
        """Let a taker go that nobody may have woken. The lock is not held."""
        with self.lock:
            if taker in self.takers:
                self.takers.remove(taker)

    def report(self) -> None:
        """Tell whoever awaits a Delivery, and ``on_undelivered``, what has ended. The lock is not held."""
        with self.lock:
            ended, self._ledger.ended_now = self._ledger.ended_now, []
            for delivery in ended:
                for waiter in delivery._waiters or ():
                    self.loop.wake(waiter)
        for delivery in ended:
            if self._on_undelivered is not None and delivery.outcome in UNDELIVERED:
                try:
                    self._on_undelivered(delivery)
                except Exception as error:
                    _log_failure(delivery, error)

    async def wait_for(self, is_due: Callable[[], bool], until: float | None = None) -> None:
        """Return once something is so.

        Args:
            is_due: whether it is; called with the lock held.
            until: return then at the latest, on the loop's clock.

        **Cancellation** changes nothing.
        """
        while True:
            with self:
                if is_due() or (until is not None and until <= self.loop.time()):
                    return
                sleeper = _TaskSleeper(self.loop, is_due)
                self.sleepers.append(sleeper)
            try:
                await self.loop.sleep(sleeper.waiter, _earliest(self.alarm, until))
            finally:
                with self.lock:
                    self.sleepers.remove(sleeper)

    async def wait_ended(self, delivery: Delivery[T, Any]) -> None:
        """Return once that message has ended; if it becomes too old in the queue, see to it that it ends.

        **Cancellation** changes nothing.
        """
        while True:
            with self:  # ends what is too old, this one perhaps among it
                if delivery.outcome is not None:
                    return
                waiter = self.loop.waiter()
                delivery._waiters = [*(delivery._waiters or ()), waiter]
                expires_at = delivery._terms.expires_at
                if expires_at is not None and expires_at <= self.loop.time() and self._ledger.is_leased(delivery):
                    expires_at = None  # it ends when the lease does
            try:
                await self.loop.sleep(waiter, expires_at)
            finally:
                with self.lock:
                    delivery._waiters.remove(waiter)


class _TaskSleeper:
    """A task asleep in :meth:`Monitor.wait_for`."""

    __slots__ = ("_loop", "is_due", "waiter")

    def __init__(self, loop: EventLoop, is_due: Callable[[], bool]) -> None:
        self.is_due = is_due
        self.waiter = loop.waiter()
        self._loop = loop

    def wake(self) -> None:
        self._loop.wake(self.waiter)


def _is_sooner(time: float | None, known: float | None) -> bool:
    return time is not None and (known is None or time < known)


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _log_failure(delivery: Delivery[Any, Any], error: Exception) -> None:
    """Log what on_undelivered has raised, and where; not its text nor its frames, which could show the message."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    place = f"{frame.f_code.co_filename}:{line}"
    logger.error("on_undelivered raised %s at %s, of message %d", type(error).__name__, place, delivery.id)
