"""JournalWriter: writes to a journal what happens in a buffer, in groups, in a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from logging import Logger
from threading import Condition, Event, Thread
from typing import Generic, TypeVar, cast

from anyio import CancelScope

from .abc import Journal, JournalChanges, JournalRecord
from .durable_ledger import DurableLedger, Proposal, Ticket
from .errors import BufferFull, RidethroughError, StoreError, describe
from .logs import get_logger
from .monitor import Monitor

T = TypeVar("T")
R = TypeVar("R")

logger: Logger = get_logger("journal")

_RETRY = 1.0
"""When to try again to write what could not be written, if nothing else comes, in seconds."""
_TIDY_AFTER = 0.5
"""When to have the journal tidied, after it was written and if nothing else comes, in seconds."""


class JournalWriter(Generic[T]):
    """Opens a journal, writes to it, and closes it, all in one thread.

    What comes while it writes is the next transaction, so that a put waits for two at most, however many there are.

    Args:
        journal: where to write.
        ledger: what is to be written.
        monitor: the guard of that.

    Attributes:
        ready: whether what waited in the journal was taken in, so that more can be put.
    """

    def __init__(self, journal: Journal[T], ledger: DurableLedger[T], monitor: Monitor[T]) -> None:
        self.journal: Journal[T] = journal
        self._ledger = ledger
        self._monitor = monitor
        self._changed = Condition(monitor.lock)
        ledger.on_change = self._changed.notify
        self._tickets: list[Ticket] = []
        self._closers: list[Ticket] = []
        self._refused: list[Ticket] = []  # of what was written, and is to be erased before its putter learns of it
        self.ready: bool = False
        self._process = 0  # in which it was opened
        self._runs = False
        self._waits = False  # its thread does, for something to do
        self._failed = False  # the last transaction, and what it was for waits for the next

    @property
    def idle(self) -> bool:
        """Whether nothing is being written, nor to be."""
        with self._monitor.lock:
            return not self._runs or (self._waits and not self._has_work())

    # ---------------------------------------------------------------- in the event loop, or in any thread

    async def open(self) -> tuple[int, list[tuple[JournalRecord, T]]]:
        """Open the journal.

        Returns:
            The highest number that it ever kept, and what waits in it, in order.

        Raises:
            StoreError: it cannot be opened, or holds a message that cannot be decoded.
            RuntimeError: it is open, or was.
        """
        if self._process:
            raise RuntimeError("a buffer with a journal is entered once")
        self._process = os.getpid()
        self._runs = True
        opening = Ticket(self._open)
        Thread(target=self._run, args=(opening,), name="ridethrough journal", daemon=True).start()
        try:
            return cast("tuple[int, list[tuple[JournalRecord, T]]]", await self.wait(opening))
        except BaseException:
            self._process = 0
            raise

    def check(self) -> None:
        """Raise RuntimeError unless it was opened in this process, and what waited in it was taken in."""
        if not self.ready:
            raise RuntimeError("a buffer with a journal is entered with async with before it is used")
        if self._process != os.getpid():
            raise RuntimeError(f"the journal is open in process {self._process}, of which this one is a fork")

    def decode(self, number: int, body: bytes) -> T:
        """The message of that number again.

        Raises:
            StoreError: it cannot be decoded.
        """
        try:
            return self.journal.decode(body)
        except Exception as error:
            kind = type(error).__name__
            raise StoreError(
                f"message {number} cannot be decoded ({kind}): use the journal with the encode and decode that its "
                f"messages were put with; nothing of it was changed"
            ) from None

    async def run(self, work: Callable[[], R]) -> R:
        """Have something done with the journal, after all that is to be written by now.

        Raises:
            RuntimeError: the journal is not open.
            Exception: what ``work`` raises.

        **Cancellation** comes to effect afterwards.
        """
        self.check()
        await self._monitor.loop.begin()
        ticket = Ticket(work)
        if not self._hand_in(ticket):
            raise RuntimeError("the journal is closed")
        return cast("R", await self.wait(ticket))

    async def forget(self, ids: Sequence[int]) -> int:
        """Erase dead letters, and return how many there were; see :meth:`run`."""

        def erase() -> int:
            found = {letter.id for letter in self.journal.dead_letters()} & set(ids)
            self.journal.commit(JournalChanges(forgotten=sorted(found)))
            return len(found)

        return await self.run(erase)

    async def sync(self) -> None:
        """Return once all that is to be written by now has been written, or could not be: that was logged.

        **Cancellation** comes to effect afterwards.
        """
        ticket = Ticket()
        if self._hand_in(ticket):
            with suppress(Exception):
                await self.wait(ticket)

    async def close(self) -> None:
        """Write the rest, and close the journal. Twice is once.

        **Cancellation** comes to effect afterwards.
        """
        ticket = Ticket()
        with self._monitor.lock:
            if not self._runs or self._process != os.getpid():
                return
            self._closers.append(ticket)
            self._changed.notify()
        await self.wait(ticket)

    async def wait(self, ticket: Ticket) -> object:
        """Return what came of it, or raise it, once it is done.

        **Cancellation** comes to effect afterwards: nobody could say by then that nothing has happened.
        """
        loop = self._monitor.loop
        try:
            await self._sleep(ticket)
        except loop.cancelled:
            with CancelScope(shield=True):
                while not ticket.done:
                    with suppress(loop.cancelled):
                        await self._sleep(ticket)
            loop.cancel_again()
        if self._ledger.ended_now:  # it was done before this could sleep, and so before the loop had its turn
            self._monitor.report()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def block(self, ticket: Ticket) -> None:
        """Like :meth:`wait`, in a thread that is not the event loop's."""
        event = Event()
        with self._monitor.lock:
            ticket.event = event
            if ticket.done:
                event.set()
        event.wait()
        if ticket.error is not None:
            raise ticket.error

    async def _sleep(self, ticket: Ticket) -> None:
        loop = self._monitor.loop
        with self._monitor.lock:
            if ticket.done:
                return
            ticket.waiter = waiter = loop.waiter()
        await loop.sleep(waiter, None)

    def _hand_in(self, ticket: Ticket) -> bool:
        with self._monitor.lock:
            if self._runs and self._process == os.getpid():
                self._tickets.append(ticket)
                self._changed.notify()
                return True
        return False

    # ---------------------------------------------------------------- in the journal's thread

    def _run(self, opening: Ticket) -> None:
        self._do(opening)
        if opening.error is None:
            with self._monitor.lock:
                self._finish([opening])
            while self.write_next():
                pass
            try:
                self.journal.close()
            except Exception as error:
                logger.error("the journal was not closed as it should be: %s", describe(error))
        with self._monitor.lock:
            self._runs = False
            self._finish([opening, *self._tickets, *self._refused, *self._closers])

    def _open(self) -> object:
        recovered = self.journal.open()
        try:
            return recovered.last_id, [(record, self.decode(record.id, record.body)) for record in recovered.records]
        except BaseException:
            self.journal.close()
            raise

    def write_next(self) -> bool:
        """Wait until there is something to write, and write it; False: it was the last."""
        ledger = self._ledger
        if not self._wait_for_work(_RETRY if self._failed else _TIDY_AFTER) and not self._failed:
            self._tidy()
            self._wait_for_work(None)
        with self._monitor.lock:
            changes, proposals = ledger.take_changes()
            tickets, self._tickets = self._tickets, []
            refused, self._refused = self._refused, []
            last = bool(self._closers)
        refusal, failure = self._write(changes, proposals)
        for ticket in tickets:
            self._do(ticket)
        self._log(failure)
        with self._monitor.lock:
            if failure is not None:
                ledger.give_back_changes(changes)
            answered = [proposal.ticket for proposal in proposals if self._answer(proposal, refusal)]
            self._monitor.wake()
            self._finish([*refused, *answered, *tickets])
            return not last or bool(self._refused)

    def _wait_for_work(self, timeout: float | None) -> bool:
        with self._changed:
            self._waits = True
            found = self._changed.wait_for(self._has_work, timeout)
            self._waits = False
            return found

    def _tidy(self) -> None:
        try:
            self.journal.tidy()
        except Exception as error:
            logger.error("the journal was not tidied: %s", describe(error))

    def _has_work(self) -> bool:
        ledger = self._ledger
        return bool(self._tickets or self._closers or ledger.proposals or (ledger.changes and not self._failed))

    def _write(
        self, changes: JournalChanges, proposals: list[Proposal[T]]
    ) -> tuple[Exception | None, Exception | None]:
        """Write all of it; if that cannot be, what ends messages without what puts them, as it makes room.

        Returns:
            Why the proposals were not written, and why the rest was not; None: it was.
        """
        if proposals:
            together = JournalChanges(
                appended=[record for proposal in proposals for record in proposal.records],
                updated=changes.updated,
                discarded=changes.discarded,
                buried=changes.buried,
                forgotten=[*changes.forgotten, *(letter.id for proposal in proposals for letter in proposal.letters)],
            )
            refusal = self._commit(together)
            if refusal is None:
                return None, None
            return refusal, self._commit(changes)
        return None, self._commit(changes)

    def _commit(self, changes: JournalChanges) -> Exception | None:
        try:
            if changes:
                self.journal.commit(changes)
        except Exception as error:
            return error
        return None

    def _answer(self, proposal: Proposal[T], refusal: Exception | None) -> bool:
        """Accept a proposal that was written, or not; False: its putter waits until it was tried to erase it again."""
        ticket = proposal.ticket
        if refusal is not None:
            ticket.error = _one_more(refusal)
            self._ledger.withdraw(proposal)
            return True
        try:
            self._ledger.admit(proposal)
        except BufferFull as full:
            ticket.error = full
            self._refused.append(ticket)
            return False
        return True

    def _do(self, ticket: Ticket) -> None:
        if ticket.work is not None:
            try:
                ticket.result = ticket.work()
            except Exception as error:
                ticket.error = error

    def _finish(self, tickets: list[Ticket]) -> None:
        """Tell who waits that it is done; before that, in the event loop, of what has ended by it. The lock is held."""
        loop = self._monitor.loop
        if self._ledger.ended_now:
            loop.run_soon(self._monitor.report)
        waiters = []
        for ticket in tickets:
            ticket.done = True
            if ticket.waiter is not None:
                waiters.append(ticket.waiter)
            if ticket.event is not None:
                ticket.event.set()
        if waiters:
            loop.wake(*waiters)

    def _log(self, failure: Exception | None) -> None:
        if failure is not None and not self._failed:
            logger.error("the journal cannot be written: %s; it is tried again every %g s", describe(failure), _RETRY)
        elif failure is None and self._failed:
            logger.info("the journal can be written again")
        self._failed = failure is not None


def _one_more(error: Exception) -> Exception:
    """A copy for one more who is to raise it, since each adds to the traceback; ours can be copied."""
    if not isinstance(error, RidethroughError):
        return error
    other = copy(error)
    other.__cause__ = error.__cause__
    return other
