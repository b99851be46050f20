"""AsyncMessageBuffer: a bounded FIFO of outgoing messages that accounts for each of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterable
from threading import get_ident
from types import EllipsisType
from typing import Any, Self, TypeVar

from .abc import BufferStatistics, DeadLetter, Journal, MessageBuffer, Overflow
from .delivery import NO_TERMS, Delivery
from .durable_intake import DurableIntake
from .durable_ledger import DurableLedger
from .errors import FlushTimeout, check_seconds
from .intake import Intake, function, hashable, positive_int
from .journal_writer import JournalWriter
from .lease import BufferLease
from .ledger import Ledger
from .monitor import Monitor
from .owner import BufferOwner

T = TypeVar("T")


class AsyncMessageBuffer(MessageBuffer[T]):
    """A bounded FIFO of outgoing messages, in memory, and with a journal on the disk as well.

    ``accepted == queued + leased + ended`` holds at every moment, and each accepted message ends exactly once, as its
    :class:`~ridethrough.Delivery` tells.

    It can be made before an event loop runs, and belongs to the first one that uses it. :meth:`put_from_thread` is for
    other threads; ``put_nowait``, ``resume``, ``len``, ``is_empty``, ``statistics`` and ``Delivery.cancel`` do there as
    well. None of them is for a signal handler or a ``__del__``, which could interrupt it while it holds its lock.

    Args:
        max_size: how many messages it holds at most, queued and leased together; an int of at least 1.
        max_bytes: how many bytes these may have together; None: no limit.
        size_of: tells a message's size, an int of at least 0, in the units of ``max_bytes``. By default the bytes of
            a ``bytes``-like message, and of a ``str`` in UTF-8; other types need it when ``max_bytes`` is given.
        ttl: how old a message may become, in seconds from its acceptance; None: no limit.
        overflow: what to do when there is no room; see :class:`Overflow`.
        key: tells a message's key, which is hashable; a paused key holds up only its own messages.
        on_undelivered: called with the Delivery of each message that ended DROPPED, EXPIRED, REJECTED, ABANDONED or
            UNKNOWN, after the fact, by whichever call brought it about and in that call's thread. What it raises is
            logged and goes no further. What a journal's thread has brought about is told in the event loop.
        journal: makes puts durable: they return once the message has been written, and what had not ended when the
            program did is there again the next time. See :meth:`__aenter__`.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """

    def __init__(
        self,
        max_size: int = 100,
        *,
        max_bytes: int | None = None,
        size_of: Callable[[T], int] | None = None,
        ttl: float | None = None,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
        key: Callable[[T], Hashable] | None = None,
        on_undelivered: Callable[[Delivery[T]], object] | None = None,
        journal: Journal[T] | None = None,
    ) -> None:
        max_size = positive_int("max_size", max_size)
        max_bytes = None if max_bytes is None else positive_int("max_bytes", max_bytes)
        on_undelivered = function("on_undelivered", on_undelivered)
        terms: Any = {"size_of": size_of, "ttl": ttl, "overflow": overflow, "key": key}
        if not isinstance(journal, Journal | None):
            raise TypeError(f"journal must be a Journal or None, not {type(journal).__name__}")
        self._owner: BufferOwner[T] = BufferOwner(self)
        self._ledger: Ledger[T]
        self._intake: Intake[T]
        self._writer: JournalWriter[T] | None
        if journal is None:
            self._writer = None
            self._ledger = Ledger(self._owner, max_size, max_bytes, time.monotonic)
            self._monitor = Monitor(self._ledger, on_undelivered)
            self._intake = Intake(self._ledger, self._monitor, **terms)
        else:
            ledger: DurableLedger[T] = DurableLedger(self._owner, max_size, max_bytes, time.monotonic)
            self._ledger, self._monitor = ledger, Monitor(ledger, on_undelivered)
            self._writer = JournalWriter(journal, ledger, self._monitor)
            self._intake = DurableIntake(ledger, self._monitor, self._writer, **terms)
        self._owner.bind(self._ledger, self._monitor, self._writer)

    # ---------------------------------------------------------------- what there is

    @property
    def max_size(self) -> int:
        """How many messages it holds at most."""
        return self._ledger.max_size

    def __len__(self) -> int:
        """How many messages it holds: queued and leased."""
        with self._monitor:
            return self._ledger.open

    def __bool__(self) -> bool:
        """True: a buffer is there even when it is empty. Ask :meth:`is_empty`."""
        return True

    def is_empty(self) -> bool:
        """Whether it holds no message, neither queued nor leased."""
        return len(self) == 0

    def statistics(self) -> BufferStatistics:
        """Where every message is that it ever accepted."""
        with self._monitor:
            return self._ledger.statistics(len(self._intake))

    def __repr__(self) -> str:
        state = "closed" if self._monitor.closed else "closing" if self._intake.closed else "open"
        return f"<AsyncMessageBuffer {state}, {self._ledger.open} of {self.max_size} messages>"

    def __del__(self) -> None:
        ledger = getattr(self, "_ledger", None)  # missing if __init__ has raised
        if ledger is not None and ledger.open:
            text = f"{self!r} was forgotten with messages in it; use aclose()"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def waiting(self) -> list[Delivery[T]]:
        """The Deliveries of all messages that it holds, queued and leased, in order."""
        with self._monitor:
            return self._ledger.waiting()

    # ---------------------------------------------------------------- in

    async def put(
        self, message: T, *, ttl: float | EllipsisType | None = ..., overflow: Overflow | str | EllipsisType = ...
    ) -> Delivery[T]:
        """Hand a message over; from then on it is the buffer's to account for.

        It waits only with ``overflow="wait"`` while there is no room, and behind others who wait; with a journal, also
        until the message has been written. Otherwise it returns at once, without giving other tasks a turn.

        Args:
            message: what to send. It is kept as it is, not copied.
            ttl: how old this one may become, in seconds; None: no limit. By default the buffer's.
            overflow: what to do about this one if there is no room. By default the buffer's.

        Returns:
            The message's fate. With ``drop_newest`` it may have ended already.

        Raises:
            BufferFull: there is no room and none was made; the message is not accepted.
            MessageTooLarge: it would not fit even into the empty buffer.
            BufferClosed: the buffer is closed or closing, or was while this waited.
            TypeError, ValueError: a bad argument, a key that cannot be hashed, or a message that the journal cannot
                encode; nothing has changed.
            RuntimeError: the buffer belongs to another event loop, or has a journal and was not entered.
            StoreError: the journal could not write it; it is not accepted, and nothing was dropped for it.

        **Cancellation.** If it raises a cancellation, the message was not accepted; between acceptance and return there
        is no point at which it could be cancelled. One that comes while the message is being written comes to effect
        after the return.
        """
        monitor = self._monitor
        loop = monitor.loop
        if loop.thread != get_ident() or not loop.is_running():
            monitor.check_loop()
            loop = monitor.loop
        if ttl is ... and overflow is ...:  # most puts; the others cost twice as much
            ledger, lock = self._ledger, monitor.lock
            lock.acquire()
            try:
                if ledger.open < ledger.straight and monitor.alarm is None:
                    delivery = ledger.accept(message, NO_TERMS)
                    if monitor.takers and ledger.lease is None:
                        loop.wake_here(monitor.takers)
                        monitor.takers.clear()
                    return delivery
            finally:
                lock.release()
        return (await self._intake.put((message,), ttl, overflow))[0]

    async def put_many(
        self,
        messages: Iterable[T],
        *,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[Delivery[T]]:
        """Hand messages over like :meth:`put`, one after the other with nobody in between: all of them or none.

        With ``overflow="wait"`` it waits for room for all of them at once. With ``drop_newest`` it takes what there is
        room for, and the others have ended DROPPED when it returns.

        Args:
            messages: what to send, in this order. Without any, nothing happens.
            ttl, overflow: as for :meth:`put`, and the same for each of them.

        Returns:
            The fate of each, in the same order.

        Raises:
            BufferFull: there is no room for all of them and none was made, or there never could be; none is accepted.
            MessageTooLarge, BufferClosed, TypeError, ValueError, RuntimeError: as :meth:`put`; none is accepted.

        **Cancellation.** As for :meth:`put`: if it raises a cancellation, none was accepted.
        """
        self._monitor.check_loop()
        return await self._intake.put(messages, ttl, overflow)

    def put_nowait(
        self, message: T, *, ttl: float | EllipsisType | None = ..., overflow: Overflow | str | EllipsisType = ...
    ) -> Delivery[T]:
        """Hand a message over like :meth:`put`, and raise BufferFull where that would wait.

        It does not overtake: while others wait for room, it raises BufferFull, too. With a journal it raises
        RuntimeError, since a put waits for the disk then.
        """
        return self._intake.put_nowait(message, ttl, overflow)

    def put_from_thread(
        self, message: T, *, ttl: float | EllipsisType | None = ..., overflow: Overflow | str | EllipsisType = ...
    ) -> Delivery[T]:
        """Hand a message over like :meth:`put` from another thread than the event loop's, which blocks while it waits.

        With a journal, it blocks until the message has been written.

        Raises:
            RuntimeError: called in the event loop's own thread with ``overflow="wait"``, where it could wait for ever;
                or with a journal.
        """
        return self._intake.put_from_thread(message, ttl, overflow)

    # ---------------------------------------------------------------- out

    async def drain(self) -> list[T]:
        """Take everything out at once: the caller owns it then. (NATS and asyncio's StreamWriter mean a flush by that.)

        What is leased stays with its lease. The Deliveries end DRAINED.

        Returns:
            The messages, in order; empty if there are none. It waits for nothing, but for a journal to forget them.

        Raises:
            RuntimeError: the buffer belongs to another event loop.

        **Cancellation.** What it took, it returns: there is no point at which it could be cancelled, but, with a
        journal, before it takes anything.
        """
        monitor, ledger = self._monitor, self._ledger
        loop, lock = monitor.loop, monitor.lock
        if loop.thread != get_ident() or not loop.is_running():
            monitor.check_loop()
        if self._writer is not None:
            await monitor.loop.begin()
        lock.acquire()
        try:
            if monitor.alarm is not None:
                monitor.expire()
            messages = ledger.drain()
            if monitor.sleepers:
                monitor.wake()
        finally:
            lock.release()
        if ledger.ended_now:
            monitor.report()
        if self._writer is not None:
            await self._writer.sync()
        return messages

    async def wait_nonempty(self) -> None:
        """Wait until something can be leased; returns at once if something can.

        Raises:
            BufferClosed: the buffer is closed, or was closed meanwhile.
            RuntimeError: the buffer belongs to another event loop.

        **Cancellation** changes nothing.
        """
        await self._owner.wait_nonempty()

    def lease(self, limit: int = 1) -> BufferLease[T]:
        """Take messages from the head to send them, while the buffer still owns them.

        ::

            async with buffer.lease(10) as lease:
                for entry in lease:
                    entry.begin()
                    entry.ack(await link.send(entry.message))

        Entering waits until the lease before has ended and something can be leased. Leaving puts what was not
        acknowledged back in its own place.

        Args:
            limit: how many messages to take at most; an int of at least 1.

        Raises:
            TypeError, ValueError: what is no limit.
            BufferClosed: on entering: the buffer is closed, or was closed meanwhile.
            RuntimeError: on entering: the buffer belongs to another event loop, or the lease was entered before.

        **Cancellation.** A cancelled wait has taken nothing.
        """
        return BufferLease(self._owner, positive_int("limit", limit))

    def resume(self, *keys: Hashable) -> None:
        """End pauses now, rather than when their time comes. From any thread, like :meth:`put_nowait`.

        A lease under way still hands out nothing that would overtake what was deferred in it.

        Args:
            keys: whose pauses to end, where there are any; a pause of everything goes on. Without keys: every pause.

        Raises:
            TypeError: one cannot be hashed; nothing has changed.
        """
        for key in keys:
            hashable("keys must be", key)
        with self._monitor:
            self._ledger.resume(*keys)

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything put before has reached its outcome, whatever that is.

        Args:
            timeout: for how long, in seconds; 0: only look; None: as long as it takes.

        Raises:
            FlushTimeout: messages were left; it tells how many.
            TypeError, ValueError: what is no timeout.
            RuntimeError: the buffer belongs to another event loop.

        **Cancellation** changes nothing.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        self._monitor.check_loop()
        ledger = self._ledger
        last = ledger.last_id
        deadline = None if timeout is None else ledger.clock() + timeout
        await self._monitor.wait_for(lambda: not ledger.has_open(last), deadline)
        with self._monitor:
            left = ledger.count_open(last)
        if left:
            raise FlushTimeout(left)

    async def enforce_ttl(self) -> None:
        """End each message EXPIRED when its time comes, until the buffer is closed. The supervisor runs this.

        Without it, a message that is too old ends when the buffer is next used, or when somebody awaits its Delivery.

        **Cancellation** changes nothing.
        """
        self._monitor.check_loop()
        await self._monitor.wait_for(lambda: self._monitor.closed)

    async def aclose(self, timeout: float | None = 0) -> list[T]:
        """Take no more, flush for at most that long, and end the rest ABANDONED, what is leased included.

        Closing it twice is closing it once. Two calls at the same time: whichever is done first ends the rest.

        Args:
            timeout: for how long to flush, in seconds; None: as long as it takes.

        Returns:
            The messages that this call ended ABANDONED, in order. In a journal they wait for the next time.

        Raises:
            TypeError, ValueError: what is no timeout.
            RuntimeError: the buffer belongs to another event loop.

        **Cancellation.** If it raises a cancellation, the buffer is open again.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        self._monitor.check_loop()
        with self._monitor:
            self._intake.close()
        if self._writer is not None:
            await self._writer.sync()  # which lets those in whose messages are being written
        try:
            if timeout != 0:
                await self.flush(timeout)
        except FlushTimeout:
            pass
        except BaseException:
            with self._monitor:
                self._intake.reopen()
            raise
        with self._monitor:
            self._monitor.closed = True
            abandoned = self._ledger.abandon()
        if self._writer is not None:
            await self._writer.close()
        return [delivery.message for delivery in abandoned]

    async def __aenter__(self) -> Self:
        """Open the journal, if there is one, and take in what waits in it: :meth:`waiting` tells what that is.

        What waits is taken in even if it is more than there is room for. What it took of ``ttl`` went on while the
        program did not run.

        Raises:
            StoreError: the journal cannot be opened: its kinds say why, and what to do.
            RuntimeError: a buffer with a journal is entered once.

        **Cancellation** comes to effect afterwards.
        """
        if self._writer is not None:
            assert isinstance(self._intake, DurableIntake)
            self._monitor.check_loop()
            last_id, records = await self._writer.open()
            try:
                self._intake.recover(last_id, records)
            except BaseException:
                await self._writer.close()
                raise
        return self

    # ---------------------------------------------------------------- with a journal

    @property
    def journal(self) -> Journal[T] | None:
        """What makes puts durable; None: nothing does."""
        return None if self._writer is None else self._writer.journal

    async def dead_letters(self) -> list[DeadLetter]:
        """What ended DROPPED, EXPIRED, REJECTED or UNKNOWN and is still kept, in the order in which it ended.

        Raises:
            RuntimeError: there is no journal, or it is not open.
            StoreError: it cannot be read.

        **Cancellation** changes nothing, and comes to effect afterwards.
        """
        writer = self._with_journal()
        with self._monitor:
            pass  # what is too old by now is one of them
        return await writer.run(writer.journal.dead_letters)

    async def put_again(self, *ids: int) -> list[Delivery[T]]:
        """Put dead letters like new messages, all or none, in this order; then they are dead letters no more.

        Each has a new id, and keeps its ``attempts`` and ``maybe_sent``; its age begins anew.

        Args:
            ids: whose; each once.

        Returns:
            The fate of each, in the same order.

        Raises:
            LookupError: there is no dead letter of that id; nothing has changed.
            ValueError: an id is there twice.
            BufferFull, MessageTooLarge, BufferClosed, StoreError, RuntimeError: as :meth:`put_many`.

        **Cancellation.** As for :meth:`put`.
        """
        letters = await self.dead_letters()
        assert isinstance(self._intake, DurableIntake)
        return await self._intake.put_again(letters, ids)

    async def forget(self, *ids: int) -> int:
        """Erase dead letters.

        Args:
            ids: whose; one that is none's does no harm.

        Returns:
            How many there were.

        Raises:
            RuntimeError, StoreError: as :meth:`dead_letters`; or they cannot be erased.

        **Cancellation** comes to effect afterwards.
        """
        return await self._with_journal().forget(ids)

    def _with_journal(self) -> JournalWriter[T]:
        self._monitor.check_loop()
        if self._writer is None:
            raise RuntimeError("dead letters are kept by a journal: make the buffer with journal=")
        return self._writer
