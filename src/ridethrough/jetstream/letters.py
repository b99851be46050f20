"""DeadLetters: the stream of what ended undelivered, for a person to look at."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..abc import DeadLetter
from .books import Fate
from .headers import dead_letter, of_dead_letter
from .layout import Layout
from .stream import Kept, Stream
from .wire import Wire


class Letter(NamedTuple):
    """A dead letter, and its number in its stream."""

    number: int
    dead: DeadLetter


class DeadLetters:
    """What ended DROPPED, EXPIRED, REJECTED or UNKNOWN.

    A letter has the number of its message; that of a message which never had one, as it was dropped as the newest, has
    its own, with a minus.

    Args:
        wire, layout: as their names say.
    """

    def __init__(self, wire: Wire, layout: Layout) -> None:
        self._wire = wire
        self._layout = layout
        self._stream = Stream(wire, layout.dead, layout.of_dead("*"))

    async def bury(self, number: int, body: bytes, fate: Fate, known_as: str = "") -> int:
        """Keep a message that has ended, and return the number that its letter has in the stream.

        Args:
            number: the message's own; 0: it never had one.
            body, fate: it, and what became of it.
            known_as: what the letter is known by when this is tried again; by default its number and outcome.
        """
        headers = of_dead_letter(number, fate, time.time(), known_as or f"{number}-{fate.outcome}")
        return int((await self._wire.call(self._layout.of_dead(number), body, headers))["seq"])

    async def unbury(self, number: int) -> bool:
        """Take a letter back, by its number in the stream; False: it was not there."""
        return await self._stream.delete(number)

    async def find(self, number: int) -> Letter | None:
        """The letter with the number of that message; of several, the last."""
        if number < 0:
            kept = await self._stream.look(-number)
        else:
            kept = await self._stream.newest(self._layout.of_dead(number))
        letter = None if kept is None else _letter(kept)
        return letter if letter is not None and letter.dead.id == number else None

    async def all(self) -> list[DeadLetter]:
        """One of each message, in the order in which they ended."""
        letters = filter(None, map(_letter, await self._stream.all()))
        last = {letter.dead.id: letter for letter in letters}  # two hosts may have given a message up at the same time
        return [letter.dead for letter in sorted(last.values())]

    async def forget(self, number: int) -> bool:
        """Erase what :meth:`find` finds, and all others of that message; False: there is none."""
        if number <= 0:
            return await self.find(number) is not None and await self._stream.delete(-number)
        return await self._stream.purge(self._layout.of_dead(number)) > 0


def _letter(kept: Kept) -> Letter | None:
    letter = dead_letter(kept)
    return None if letter is None else Letter(kept.number, letter)
