"""DurableIntake: who gets into a buffer with a journal, which is for good once it has been written."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import get_ident
from types import EllipsisType
from typing import TypeVar

from .abc import DeadLetter, JournalRecord, Overflow
from .delivery import NO_TERMS, Delivery, Terms
from .durable_ledger import DurableLedger, Proposal
from .intake import Intake, Turn
from .journal_writer import JournalWriter
from .monitor import Monitor

T = TypeVar("T")


class DurableTurn(Turn[T]):
    """Messages on their way into a journal together."""

    __slots__ = ("bodies", "letters")

    bodies: list[bytes]
    letters: Sequence[DeadLetter]  # what they were, if they are put again


class DurableIntake(Intake[T]):
    """Proposes to the ledger what would be let in, and has its putter wait until it has been written.

    Args:
        ledger, monitor: as for :class:`Intake`.
        writer: writes it.
        size_of, ttl, overflow, key: as for :class:`~ridethrough.AsyncMessageBuffer`.
    """

    def __init__(
        self,
        ledger: DurableLedger[T],
        monitor: Monitor[T],
        writer: JournalWriter[T],
        *,
        size_of: Callable[[T], int] | None,
        ttl: float | None,
        overflow: Overflow | str,
        key: Callable[[T], Hashable] | None,
    ) -> None:
        super().__init__(ledger, monitor, size_of=size_of, ttl=ttl, overflow=overflow, key=key)
        self._books = ledger
        self._writer = writer
        self._again: set[int] = set()  # dead letters that are on their way
        self._new_turn = DurableTurn
        self._plain = False  # there always is something else to consider: the journal
        self._set_straight()

    def recover(self, last_id: int, records: list[tuple[JournalRecord, T]]) -> None:
        """Let in what has waited in the journal, whatever there is room for."""
        clock, wall = self._books.clock(), time.time()
        waiting = []
        for record, message in records:
            key, size = self._measure(message)
            expires_at = None if record.expires_at is None else clock + (record.expires_at - wall)
            waiting.append((record, message, Terms(key, size, expires_at)))
        with self._monitor:
            for record, message, terms in waiting:
                self._books.recover(message, terms, record)
            self._books.skip_ids(last_id)
            self._writer.ready = True

    async def put_again(self, letters: list[DeadLetter], ids: Sequence[int]) -> list[Delivery[T]]:
        """Put those of the dead letters; see :meth:`AsyncMessageBuffer.put_again`."""
        by_id = {letter.id: letter for letter in letters}
        for number in ids:
            if number not in by_id or number in self._again:
                raise LookupError(f"there is no dead letter {number}")
        if len(set(ids)) < len(ids):
            raise ValueError("ids must name each dead letter once")
        chosen = [by_id[number] for number in ids]
        turn = self._turn([self._writer.decode(letter.id, letter.body) for letter in chosen], ..., ...)
        turn.letters = chosen
        self._again |= set(ids)
        try:
            return await self._let_in(turn)
        finally:
            self._again -= set(ids)

    def put_nowait(self, *_: object) -> Delivery[T]:
        """Refuse: see :meth:`AsyncMessageBuffer.put_nowait`."""
        raise RuntimeError("with a journal, a put waits until it was written: use await put, or put_from_thread")

    def put_from_thread(
        self, message: T, ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> Delivery[T]:
        """See :meth:`AsyncMessageBuffer.put_from_thread`."""
        loop = self._monitor.loop
        if get_ident() == loop.thread and loop.is_running():
            raise RuntimeError("with a journal, put_from_thread would block the event loop: use await put")
        return self._let_in_from_thread(self._turn((message,), ttl, overflow))[0]

    async def _let_in(self, turn: Turn[T]) -> list[Delivery[T]]:
        await self._monitor.loop.begin()
        put = await super()._let_in(turn)
        if isinstance(put, Proposal):
            await self._writer.wait(put.ticket)
        return list(put)

    def _let_in_from_thread(self, turn: Turn[T]) -> list[Delivery[T]]:
        put = super()._let_in_from_thread(turn)
        assert isinstance(put, Proposal)
        self._writer.block(put.ticket)
        return list(put)

    def _turn(
        self, messages: Iterable[T], ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> DurableTurn[T]:
        self._writer.check()
        turn = super()._turn(messages, ttl, overflow)
        assert isinstance(turn, DurableTurn)
        encode = self._writer.journal.encode
        turn.bodies = [encode(message) for message, _, _ in turn.parts]
        turn.letters = ()
        return turn

    def _accept(self, turn: Turn[T], *, only_what_fits: bool = False) -> list[Delivery[T]]:
        """Propose messages now, from when on their age counts. The lock is held."""
        assert isinstance(turn, DurableTurn)
        ledger = self._books
        fit = ledger.has_room(turn.count, turn.size)
        proposal: Proposal[T] = Proposal(turn.letters, drops=not (fit or only_what_fits))
        expires_at = None if turn.ttl is None else ledger.clock() + turn.ttl
        on_the_wall = None if turn.ttl is None else time.time() + turn.ttl
        parts = [
            (
                message,
                NO_TERMS if expires_at is None and key is None and not size else Terms(key, size, expires_at),
                body,
            )
            for (message, key, size), body in zip(turn.parts, turn.bodies, strict=True)
        ]
        if only_what_fits and (self._line or not fit):
            for part in parts:
                count, size = proposal.fitting + 1, proposal.size + part[1].size
                ledger.propose(proposal, [part], on_the_wall, fit=not self._line and ledger.has_room(count, size))
        else:
            ledger.propose(proposal, parts, on_the_wall, fit=True)
        ledger.submit(proposal)
        return proposal
