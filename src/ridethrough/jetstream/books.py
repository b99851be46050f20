"""Books: what this host knows of messages in the shared buffer, and who waits to know."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any, Generic, NamedTuple, TypeVar

from ..abc import BufferStatistics
from ..delivery import UNDELIVERED, Delivery, Outcome
from ..errors import describe
from ..logs import get_logger

T = TypeVar("T")

_log = get_logger("jetstream")


class Fate(NamedTuple):
    """What became of a message."""

    outcome: Outcome
    result: object = None
    """Of an acknowledgement; or why it ended otherwise: an error, or words."""
    attempts: int = 0
    maybe_sent: bool = False

    @property
    def reason(self) -> str:
        """Why it ended undelivered, in words; empty if it was sent or drained."""
        if self.outcome in (Outcome.SENT, Outcome.DRAINED):
            return ""
        return describe(self.result) if isinstance(self.result, BaseException) else str(self.result)

    def __repr__(self) -> str:
        return f"<Fate: {self.outcome}, attempts: {self.attempts}>"  # a result may be anything


class Books(Generic[T]):
    """The messages that this host has put, or has handed out, and what it has heard of them.

    Args:
        on_undelivered: told of each that has ended and was not meant to.

    Attributes:
        open: those put here that have not ended, as far as is known here, by their names in the stream.
        coming: those on their way in, by their names: one of these may be handed out here before its number is known.
        leased: the one that is being sent from here.
        taken: the names of those that are being taken out here, whoever has put them.
        at_closing: what becomes of a message of which nothing is heard any more; None while the buffer is open.
        late: settlements that came too late, or twice.
        waiting_to_put: putters who wait for room.
    """

    def __init__(self, on_undelivered: Callable[[Delivery[T]], object] | None) -> None:
        self.open: dict[str, Delivery[T]] = {}
        self.coming: dict[str, Delivery[T]] = {}
        self._names: dict[Delivery[T], str] = {}
        self.leased: Delivery[T] | None = None
        self.taken: Counter[str] = Counter()
        self.at_closing: Fate | None = None
        self.late: int = 0
        self.waiting_to_put: int = 0
        self._heard: dict[str, Fate] = {}  # of those that are coming
        self._ended: Counter[Outcome] = Counter()
        self._on_undelivered = on_undelivered

    @contextmanager
    def coming_in(self, name: str, delivery: Delivery[T]) -> Iterator[None]:
        """Within this, a message is on its way in, and what becomes of it may be heard before its number is known."""
        self.coming[name] = delivery
        try:
            yield
        finally:
            self.coming.pop(name, None)  # two may be putting the same dead letter again
            self._heard.pop(name, None)

    def accept(self, name: str, delivery: Delivery[T]) -> Delivery[T]:
        """Know a message that was put here; if it is known already, as two have put it again, return that Delivery."""
        if (known := self.open.get(name)) is not None:
            return known
        if delivery.outcome is not None:
            return delivery  # it was sent from here meanwhile
        self.open[name] = delivery
        self._names[delivery] = name
        fate = self._heard.get(name, self.at_closing)
        if fate is not None:
            self.end(delivery, fate)
        return delivery

    def hear(self, name: str, fate: Fate) -> None:
        """Be told what became of a message of that name, which may be another host's."""
        delivery = self.open.get(name)
        if delivery is not None:
            self.end(delivery, fate)
        elif name in self.coming:
            self._heard[name] = fate

    def end(self, delivery: Delivery[T], fate: Fate) -> bool:
        """Let a message reach its outcome, if it has none, and tell who waits for it and ``on_undelivered``."""
        if delivery.outcome is not None:
            return False
        delivery.attempts, delivery.maybe_sent = fate.attempts, fate.maybe_sent
        delivery._result = None if fate.outcome is Outcome.DRAINED else fate.result
        delivery.outcome = fate.outcome
        if (name := self._names.pop(delivery, None)) is not None:
            del self.open[name]
        self._ended[fate.outcome] += 1
        for waiter in delivery._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if fate.outcome in UNDELIVERED and self._on_undelivered is not None:
            try:
                self._on_undelivered(delivery)
            except Exception as error:
                *_, (frame, line) = walk_tb(error.__traceback__)
                place = f"{frame.f_code.co_filename}:{line}"
                _log.error("on_undelivered raised %s at %s, of message %d", type(error).__name__, place, delivery.id)
        return True

    @contextmanager
    def taking(self, name: str) -> Iterator[None]:
        """Within this, a message is taken out here: that it is not there any more does not mean that it was sent."""
        self.taken[name] += 1  # it may be taken out by two at once: taken back, say, as it becomes too old
        try:
            yield
        finally:
            self.taken[name] -= 1
            if not self.taken[name]:
                del self.taken[name]

    async def wait_ended(self, delivery: Delivery[Any, Any]) -> None:
        """Return once that message has ended.

        **Cancellation** changes nothing.
        """
        while delivery.outcome is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            delivery._waiters = [*(delivery._waiters or ()), waiter]
            try:
                await waiter
            finally:
                delivery._waiters.remove(waiter)

    def statistics(self) -> BufferStatistics:
        """Where every message is that was put, or handed out, here."""
        leased = self.leased is not None and self.leased.outcome is None
        queued = len(self.open) - (leased and self.leased in self._names)
        return BufferStatistics(
            accepted=queued + leased + self._ended.total(),
            queued=queued,
            leased=int(leased),
            **{outcome.value: self._ended[outcome] for outcome in Outcome},
            size=sum(delivery._terms.size for delivery in self.open.values()),
            waiting_to_put=self.waiting_to_put,
            late=self.late,
        )
