"""Watch: learns what became of messages of which nobody has told, and ends those that are too old."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Generic, TypeVar

from ..delivery import Delivery, Outcome
from ..errors import BufferClosed, FlushTimeout
from ..logs import get_logger
from .books import Books, Fate
from .failures import Lost, Refused
from .lease import TOO_OLD
from .letters import DeadLetters
from .removal import Removal
from .stream import Stream
from .wire import Wire

T = TypeVar("T")

_log: logging.Logger = get_logger("jetstream")

_EVERY = 5.0
"""How often to look after messages that were put here, in seconds."""
_GRACE = 1.0
"""For how long a message may be gone before whoever ended it is not waited for any more, in seconds."""
_AGAIN = 0.5
"""How long to leave a message alone that is too old and could not be ended, in seconds."""
_POLL = 0.05
"""How often a flush looks, in seconds."""


class Watch(Generic[T]):
    """Looks after the messages that were put here and are open.

    Args:
        wire, letters, books, removal: as their names say.
        messages: their stream.
    """

    def __init__(
        self, wire: Wire, messages: Stream, letters: DeadLetters, books: Books[T], removal: Removal[T]
    ) -> None:
        self._wire = wire
        self._messages = messages
        self._letters = letters
        self._books = books
        self._removal = removal
        self._gone_since: dict[Delivery[T], float] = {}  # on the loop's clock
        self._look = asyncio.Event()
        self._looked = 0.0
        self._not_before = 0.0

    def look(self) -> None:
        """Look at once after all of them: something may have been missed."""
        self._looked = 0.0
        self._look.set()

    def set_alarm(self) -> None:
        """Look at once when the next one becomes too old."""
        self._look.set()

    async def run(self) -> None:
        """Look from time to time, and when a message becomes too old."""
        loop = asyncio.get_running_loop()
        while True:
            self._look.clear()
            try:
                if self._wire.away_since is not None:
                    await self._messages.contents()  # to notice that it is there again
                if self._books.open and loop.time() - self._looked >= _EVERY:
                    self._looked = loop.time()
                    await self.look_after()
                with suppress(BufferClosed):  # as it was being handed what is too old
                    await self._expire()
            except (Lost, Refused) as error:
                _log.debug("JetStream could not be asked: %s", error)
                await asyncio.sleep(_GRACE)
            try:
                async with asyncio.timeout(self._pause()):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _pause(self) -> float:
        wall, not_before = time.time(), self._not_before - asyncio.get_running_loop().time()
        pauses = [max(at - wall, not_before) for at, _ in self._expiries()]
        if self._gone_since or self._wire.away_since is not None:
            pauses.append(_GRACE)
        return max(0.0, min([_EVERY, *pauses]))

    def _expiries(self) -> list[tuple[float, Delivery[T]]]:
        waiting = (delivery for delivery in self._books.open.values() if delivery is not self._books.leased)
        return [
            (delivery._terms.expires_at, delivery) for delivery in waiting if delivery._terms.expires_at is not None
        ]

    async def _expire(self) -> None:
        if asyncio.get_running_loop().time() < self._not_before:
            return
        now = time.time()
        for at, delivery in self._expiries():
            if at > now:
                continue
            kept = await self._messages.look(delivery.id)
            if kept is None:
                await self.look_after()
            elif await self._removal.remove(kept, Outcome.EXPIRED, TOO_OLD):
                continue
            self._not_before = asyncio.get_running_loop().time() + _AGAIN  # another host is sending it, or has just

    async def look_after(self) -> None:
        """See which of the messages that were put here have left the stream, and learn what became of them.

        Raises:
            Lost, Refused: it could not be seen.
        """
        if not self._books.open:
            return
        contents = await self._messages.contents()
        now = asyncio.get_running_loop().time()
        names = {delivery: name for name, delivery in self._books.open.items()}
        gone = [each for each in names if each.id <= contents.last and not contents.has(each.id)]
        self._gone_since = {delivery: self._gone_since.get(delivery, now) for delivery in gone}
        for delivery, since in list(self._gone_since.items()):
            if now - since >= _GRACE:
                letter = await self._letters.find(delivery.id)
                if names[delivery] in self._books.taken:
                    continue  # who takes it out here knows better
                if letter is None:
                    fate = Fate(Outcome.SENT, None, delivery.attempts, delivery.maybe_sent)
                else:
                    dead = letter.dead
                    # A host that was cut off before it took it out may have left the letter, and another has sent it.
                    doubt = dead.maybe_sent or dead.outcome in (Outcome.DROPPED, Outcome.EXPIRED)
                    fate = Fate(dead.outcome, dead.reason, dead.attempts, doubt)
                self._books.end(delivery, fate)
        if self._gone_since:
            self._looked = 0.0  # look again when the grace is over

    async def flush(self, timeout: float | None) -> None:
        """See :meth:`JetStreamMessageBuffer.flush`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        last: int | None = None
        left = len(self._books.open)
        while True:
            try:
                contents = await self._messages.contents()
                last = contents.last if last is None else last
                limit = last
                left = contents.count(limit)
                if not left:
                    await self.look_after()
                    left = sum(delivery.id <= limit for delivery in self._books.open.values())
            except Lost:
                if self._wire.closed:
                    raise BufferClosed("the buffer was closed while this waited") from None
                left = max(left, 1)
            if not left:
                return
            if deadline is not None and loop.time() >= deadline:
                raise FlushTimeout(left)
            await asyncio.sleep(_POLL if deadline is None else min(_POLL, max(0.0, deadline - loop.time())))
