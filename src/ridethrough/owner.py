"""BufferOwner: what leases and deliveries ask of the buffer that they came from."""

from __future__ import annotations

from threading import get_ident
from typing import Any, Generic, TypeVar

from .delivery import Delivery, Outcome
from .errors import BufferClosed
from .journal_writer import JournalWriter
from .lease import BufferLease
from .ledger import Ledger
from .monitor import Monitor

T = TypeVar("T")


class BufferOwner(Generic[T]):
    """The way from a lease or a delivery to the books. The hottest paths take the lock by hand, as in the buffer.

    Args:
        buffer: is there as long as one of its deliveries is, so that it can warn of what is forgotten with it.
    """

    _ledger: Ledger[T]
    _monitor: Monitor[T]
    _writer: JournalWriter[T] | None

    def __init__(self, buffer: object) -> None:
        self._buffer = buffer

    def bind(self, ledger: Ledger[T], monitor: Monitor[T], writer: JournalWriter[T] | None) -> None:
        """Lead to these books, which had to be told of this first; to their guard, and to their journal's writer."""
        self._ledger = ledger
        self._monitor = monitor
        self._writer = writer

    async def wait_nonempty(self) -> None:
        """See :meth:`AsyncMessageBuffer.wait_nonempty`."""
        monitor, ledger = self._monitor, self._ledger
        if monitor.loop.thread != get_ident() or not monitor.loop.is_running():
            monitor.check_loop()
        lock, loop = monitor.lock, monitor.loop
        while not ledger.open or monitor.alarm is not None or not ledger.is_simply_ready():
            lock.acquire()
            try:
                if monitor.alarm is not None:
                    monitor.expire()
                if monitor.closed:
                    raise BufferClosed("the buffer is closed")
                until = None
                if ledger.open:
                    if ledger.has_ready():
                        return
                    until = ledger.next_ready()
                monitor.pause_ends = until
                taker = loop.waiter()
                monitor.takers.append(taker)
            finally:
                lock.release()
                if ledger.ended_now:
                    monitor.report()
            try:
                await loop.sleep(taker, until)
            except BaseException:
                monitor.forget_taker(taker)
                raise
            if until is not None:
                monitor.forget_taker(taker)  # the end of the pause has come, rather than a wake-up

    async def start_lease(self, lease: BufferLease[T], /) -> None:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        ledger, monitor = self._ledger, self._monitor
        monitor.check_loop()
        if self._writer is not None:
            await monitor.loop.begin()
        while True:
            if monitor.alarm is not None or not ledger.is_simply_ready():
                await self.wait_nonempty()
            monitor.lock.acquire()
            try:  # a thread may have put, and dropped, something since
                if ledger.start_lease(lease):
                    break
            finally:
                monitor.lock.release()
        if self._writer is not None:
            try:
                await self._writer.sync()
            except BaseException:  # KeyboardInterrupt and the like: nobody will leave what was not entered
                self.end_lease(lease)
                raise

    def end_lease(self, lease: BufferLease[T], /) -> None:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        ledger, monitor = self._ledger, self._monitor
        monitor.lock.acquire()
        try:
            ledger.end_lease(lease)
            if monitor.takers or monitor.sleepers or monitor.alarm is not None:
                monitor.wake()
        finally:
            monitor.lock.release()
        if ledger.ended_now:
            monitor.report()

    def may_hand_out(self, lease: BufferLease[T], delivery: Delivery[T], /) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        with self._monitor:
            return self._ledger.may_hand_out(lease, delivery)

    def settle(
        self, lease: BufferLease[T], delivery: Delivery[T], outcome: Outcome, result: object, doubted: bool | None, /
    ) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        ledger, monitor = self._ledger, self._monitor
        monitor.lock.acquire()
        try:
            done = ledger.settle(lease, delivery, outcome, result, doubted)
            if monitor.sleepers:
                monitor.wake()
        finally:
            monitor.lock.release()
        if ledger.ended_now:
            monitor.report()
        return done

    def defer(self, lease: BufferLease[T], delivery: Delivery[T], after: float, scope: str, /) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        with self._monitor:
            return self._ledger.defer(lease, delivery, after, scope)

    def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:
        """See :class:`~ridethrough.delivery.DeliveryOwner`."""
        with self._monitor:
            return self._ledger.cancel(delivery)

    async def wait_ended(self, delivery: Delivery[Any, Any], /) -> None:
        """See :class:`~ridethrough.delivery.DeliveryOwner`."""
        self._monitor.check_loop()
        await self._monitor.wait_ended(delivery)
