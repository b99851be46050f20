"""Removal: takes messages out of the stream that are not being sent."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from ..delivery import UNDELIVERED, Outcome
from ..errors import BufferClosed
from ..logs import get_logger
from .books import Books, Fate
from .failures import Lost, Refused
from .headers import earlier, name_of
from .hosts import Hosts
from .layout import Layout
from .lease import UNREADABLE, SharedOwner
from .letters import DeadLetters
from .pulls import Pulls
from .store import Handed, Store
from .stream import Kept
from .wire import Wire

T = TypeVar("T")
R = TypeVar("R")

_log: logging.Logger = get_logger("jetstream")

_SHORTLY = 0.1
"""How long to wait to be handed the oldest message before one is taken that is not handed out, in seconds."""


class Removal(Generic[T]):
    """Takes messages out that are not being sent.

    JetStream has no such step. So a message is handed to this host first, if no other is sending at the moment: nobody
    else can have it then. Otherwise it is looked at whether the message is being sent, and then it is deleted; if it
    was handed out within that moment, it has ended all the same, and ``maybe_sent`` says so.

    Args:
        wire, layout, store, letters, pulls, books, hosts, owner: as their names say.
    """

    def __init__(
        self,
        wire: Wire,
        layout: Layout,
        store: Store,
        letters: DeadLetters,
        pulls: Pulls,
        books: Books[T],
        hosts: Hosts[T],
        owner: SharedOwner[T],
    ) -> None:
        self._wire = wire
        self._layout = layout
        self._store = store
        self._letters = letters
        self._pulls = pulls
        self._books = books
        self._hosts = hosts
        self._owner = owner

    async def drop_oldest(self, reason: str) -> bool:
        """Drop the oldest message that is not being sent; False: there is none.

        Raises:
            Lost, Refused: as the steps raise them.
        """
        if self._owner.leased_number() is None and self._layout.partitions == 1:  # or else it is not the oldest of all
            handed = await self._pulls.take(_SHORTLY, paused=True)
            if handed is not None:
                await self._end(handed, Outcome.DROPPED, reason)
                return True
        number = 0
        while (kept := await self._next(number)) is not None:
            if await self.remove(kept, Outcome.DROPPED, reason):
                return True
            number = kept.number
        return False

    async def cancel(self, number: int) -> bool:
        """End a message CANCELLED, if it is not being sent; False: it is, or it has ended."""
        kept = await self._insist(lambda: self._store.messages.look(number))
        if kept is None:
            return False
        delivery = self._books.open.get(name_of(kept.headers))
        if not await self.remove(kept, Outcome.CANCELLED, "its sender took it back"):
            return False
        return delivery is None or delivery.outcome is not Outcome.SENT  # or else it has been sent meanwhile

    async def drain(self, patience: float) -> list[T]:
        """Take out everything that is not being sent, and return it in order.

        Args:
            patience: how long to wait for what another host is sending, in seconds: what is behind that can be had
                only then.

        Raises:
            Lost, Refused: as the steps raise them, if nothing was taken out by then.
        """
        drained: dict[int, T] = {}
        try:
            await self._drain(drained, patience)
        except (Lost, Refused, BufferClosed) as error:
            if not drained:
                raise
            _log.warning("not everything could be drained: %s", error)
        return [drained[number] for number in sorted(drained)]

    async def _drain(self, drained: dict[int, T], patience: float) -> None:
        contents = await self._insist(self._store.messages.contents)
        last = contents.last  # what is put from now on is not taken: there might be no end to it
        if self._owner.leased_number() is not None:  # nobody else can be handed anything of that partition now
            number = 0
            while (kept := await self._next(number)) is not None and kept.number <= last:
                number = kept.number
                message = self._owner.decoded(number, kept.body)
                if message is None:
                    await self.remove(kept, Outcome.REJECTED, UNREADABLE)
                    continue
                drained[number] = message[0]  # even if an answer is lost: it may have been taken out
                if not await self.remove(kept, Outcome.DRAINED, ""):
                    del drained[number]
            return
        loop = asyncio.get_running_loop()
        give_up = loop.time() + patience
        later: list[Handed] = []
        try:
            while contents.count(last) and loop.time() < give_up:
                self._owner.resume_deferred()
                while (handed := await self._pulls.take(_SHORTLY, paused=True)) is not None:
                    if handed.number > last:
                        later.append(handed)
                        continue
                    message = self._owner.decoded(handed.number, handed.body)
                    if message is None:
                        await self._end(handed, Outcome.REJECTED, UNREADABLE)
                    else:
                        drained[handed.number] = message[0]
                        await self._end(handed, Outcome.DRAINED, "")
                    if self._layout.partitions == 1 and (handed.number == last or not handed.left):
                        break
                contents = await self._insist(self._store.messages.contents)
        finally:
            for each in later:
                self._pulls.keep(each)

    async def remove(self, kept: Kept, outcome: Outcome, reason: str) -> bool:
        """End a message in the stream that way; False: it is being sent, or has ended.

        Raises:
            Lost, Refused: as the steps raise them.
        """
        name = name_of(kept.headers)
        with self._books.taking(name):
            return await self._remove(kept, name, outcome, reason)

    async def _remove(self, kept: Kept, name: str, outcome: Outcome, reason: str) -> bool:
        partition = self._layout.partition(kept.subject)
        delivery = self._books.open.get(name)
        last, is_out = await self._insist(lambda: self._store.out(partition))
        if is_out and last == kept.number:  # it is being sent, or was given back, which looks the same
            if self._owner.leased_number() == kept.number:
                return False
            handed = await self._pulls.take_this(kept.number, _SHORTLY)
            if handed is not None:
                await self._end(handed, outcome, reason)
            return handed is not None
        state = await self._insist(lambda: self._store.state(kept.number)) if kept.number <= last else None
        fate = Fate(outcome, reason, *(earlier(kept.headers) if state is None else state.tries))
        letter: int | None = None
        if outcome in UNDELIVERED:
            known_as = self._store.new_name()  # of its own: a dead letter that is taken back may come again
            letter = await self._insist(lambda: self._letters.bury(kept.number, kept.body, fate, known_as))
            last, is_out = await self._insist(lambda: self._store.out(partition))
        gone = is_out and last == kept.number
        if gone or not await self._delete(kept.number):
            if letter is not None:
                await self._unbury(letter)
            return False
        if last < kept.number <= await self._handed_out_last(partition):
            fate = fate._replace(maybe_sent=True)  # perhaps it was handed out in that moment
        if letter is not None and delivery is not None and delivery.outcome is Outcome.SENT:
            await self._unbury(letter)  # in that moment it was sent from here
        self._books.hear(name, fate)
        with suppress(Lost):
            await self._hosts.tell(name, fate)
            if state is not None:
                await self._store.forget_state(kept.number)
        return True

    async def _handed_out_last(self, partition: int) -> float:
        """The number of what was handed out last; more than any, if that cannot be known."""
        try:
            return (await self._insist(lambda: self._store.out(partition)))[0]
        except (Lost, Refused):
            return math.inf

    async def _end(self, handed: Handed, outcome: Outcome, reason: str) -> None:
        """End a message that was handed to this host."""
        known = await self._pulls.known(handed)
        fate = Fate(outcome, reason, known.attempts, known.maybe_sent)
        name = name_of(handed.headers)
        with self._books.taking(name):
            told = await self._owner.end_handed(handed, fate, handed.until)
        # If it could not be told, the stream has the message still, and another host may send it.
        self._books.hear(name, fate._replace(maybe_sent=fate.maybe_sent or not told))

    async def _next(self, number: int) -> Kept | None:
        """The first message after that number."""
        return await self._insist(lambda: self._store.messages.next(number + 1))

    async def _delete(self, number: int) -> bool:
        perhaps = False  # an earlier try may have done it

        async def delete() -> bool:
            nonlocal perhaps
            try:
                return await self._store.messages.delete(number) or perhaps
            except Lost as lost:
                perhaps = perhaps or lost.sent
                raise

        return await self._insist(delete)

    async def _unbury(self, letter: int) -> None:
        await self._insist(lambda: self._letters.unbury(letter))

    async def _insist(self, work: Callable[[], Awaitable[R]]) -> R:
        return await self._wire.insist(work, asyncio.get_running_loop().time() + self._layout.put_timeout)
