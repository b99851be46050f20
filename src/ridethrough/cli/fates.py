"""Fates: what became of messages that were put just now, with whoever owns their outbox meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from anyio import sleep

from ..sqlite.door import knock
from .address import Servers
from .exits import remark
from .outbox import Client, entries, reach
from .settings import Settings

_PAUSE = 0.05
"""Between two looks for somebody who runs an outbox, in seconds."""


class Fates:
    """What became of messages.

    Args:
        settings: which outbox they are in.
        ids: their numbers.

    Attributes:
        known: what became of them, by their numbers: what the method ``wait`` of an outbox answers; None: not known.
    """

    def __init__(self, settings: Settings, ids: Iterable[int]) -> None:
        self._settings = settings
        self.known: dict[int, dict[str, Any] | None] = dict.fromkeys(ids)

    @property
    def unknown(self) -> list[int]:
        """The numbers of those that are waited for."""
        return [number for number, fate in self.known.items() if fate is None]

    async def learn(self, client: Client) -> None:
        """Wait until all have ended, or nobody is there any more who could send them.

        Args:
            client: the one that put them, at best: its owner remembers those that have ended since.
        """
        with suppress(RuntimeError):  # nobody is there
            for number in self.unknown:
                self.known[number] = await client.request("wait", id=number)

    async def wait(self) -> None:
        """Wait until all have ended, whoever comes to send them."""
        outbox = self._settings.outbox
        if isinstance(outbox, Servers) or not self.unknown:  # servers tell of each, whoever sends
            return
        remark(f"nobody runs {outbox}: waiting for somebody who does")
        while self.unknown:
            await sleep(_PAUSE)
            if (door := knock(outbox)) is not None:
                door.close()
                async with reach(self._settings) as client:
                    await self.learn(client)

    async def look(self) -> None:
        """Find out which have ended, without waiting; of those that have not, ``waiting`` is the ``outcome``."""
        if isinstance(self._settings.outbox, Servers):
            fate = {"outcome": "waiting", "reason": "", "attempts": 0, "maybe_sent": False}
            self.known |= dict.fromkeys(self.unknown, fate)  # or else they had told
            return
        async with reach(self._settings) as client:
            waiting = await entries(client, "waiting")
            dead = await entries(client, "dead_letters")
        found = {entry["id"]: entry for entry in [*({**each, "outcome": "waiting"} for each in waiting), *dead]}
        for number in self.unknown:
            fate = {"outcome": None, "reason": "", "attempts": 0, "maybe_sent": False, **found.get(number, {})}
            self.known[number] = {name: fate[name] for name in ("outcome", "reason", "attempts", "maybe_sent")}
