"""What can be plugged in: MessageBuffer, Link and Journal, and the values that they hand over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import EllipsisType, TracebackType
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from .delivery import Delivery, Outcome

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class BufferStatistics(NamedTuple):
    """Where every message is that a buffer ever accepted: ``accepted == queued + leased + ended``."""

    accepted: int
    queued: int
    """Waiting to be leased."""
    leased: int
    """Handed out, and neither acknowledged nor given back yet."""
    sent: int
    drained: int
    dropped: int
    expired: int
    rejected: int
    cancelled: int
    abandoned: int
    unknown: int
    size: int
    """What the queued and the leased take of ``max_bytes``."""
    waiting_to_put: int
    """Putters who wait for room; their messages are not accepted yet."""
    late: int
    """Acknowledgements, refusals and deferrals that came after their lease was over, or twice; they changed nothing."""

    @property
    def ended(self) -> int:
        """Messages that have reached their outcome."""
        return sum((self.sent, self.drained, self.dropped, self.expired)) + sum(
            (self.rejected, self.cancelled, self.abandoned, self.unknown)
        )


class Overflow(StrEnum):
    """What ``put`` does when there is no room."""

    DROP_OLDEST = "drop_oldest"
    """Drop the oldest messages that are not leased. If all are leased, raise BufferFull."""
    DROP_NEWEST = "drop_newest"
    """Drop the message that is being put: its Delivery has ended DROPPED when put returns."""
    REJECT = "reject"
    """Raise BufferFull; the message is not accepted."""
    WAIT = "wait"
    """Wait for room, in turn."""


class Entry(Protocol[T_co]):
    """One leased message, in the hands of whoever sends it."""

    @property
    def message(self) -> T_co:
        """The message."""

    @property
    def delivery(self) -> Delivery[Any]:
        """The message's fate, as its sender sees it."""

    def begin(self) -> None:
        """Say that the send begins: an attempt, and from now on in doubt until an answer settles it."""

    def unbegin(self) -> bool:
        """Take :meth:`begin` back: nothing of the message has left. False if it is too late for that."""

    def ack(self, result: Any = None) -> bool:
        """Say that the other side has confirmed. Ends the message SENT with that result."""

    def reject(self, error: BaseException | str) -> bool:
        """Say that the other side has refused for good. Ends the message REJECTED for that reason."""

    def unknown(self, error: BaseException | str) -> bool:
        """Say that nobody knows, and that the message must not be sent again. Ends it UNKNOWN."""

    def defer(self, after: float, scope: Literal["key", "all"] = "key", *, in_doubt: bool = False) -> bool:
        """Say that the other side wants it later: the message goes back, and its key, or all, pauses."""


class Lease(Protocol[T_co]):
    """Messages from the head, to be sent while the buffer still owns them."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def __iter__(self) -> Iterator[Entry[T_co]]: ...

    def __len__(self) -> int: ...


class MessageBuffer(ABC, Generic[T]):
    """A bounded FIFO of outgoing messages which accounts for each of them."""

    @abstractmethod
    async def put(
        self, message: T, *, ttl: float | EllipsisType | None = ..., overflow: Overflow | str | EllipsisType = ...
    ) -> Delivery[T]:
        """Hand a message over, and return its fate."""

    @abstractmethod
    async def put_many(
        self,
        messages: Iterable[T],
        *,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[Delivery[T]]:
        """Hand messages over like :meth:`put`, one after the other."""

    @abstractmethod
    async def drain(self) -> list[T]:
        """Take out everything that is not leased; the caller owns it then."""

    @abstractmethod
    async def wait_nonempty(self) -> None:
        """Wait until something can be leased."""

    @abstractmethod
    def lease(self, limit: int = 1) -> Lease[T]:
        """Take up to ``limit`` messages from the head, to send them; one lease at a time."""

    @abstractmethod
    def resume(self, *keys: Hashable) -> None:
        """End the pauses of these keys now; without any, every pause."""

    @abstractmethod
    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything put before has reached its outcome."""

    @abstractmethod
    def statistics(self) -> BufferStatistics:
        """Where every message is."""

    @abstractmethod
    async def enforce_ttl(self) -> None:
        """Until the buffer is closed, end each message EXPIRED when its time comes. The supervisor runs this."""

    @abstractmethod
    async def aclose(self, timeout: float | None = 0) -> list[T]:
        """Take no more, flush for at most that long, end the rest ABANDONED, and return it in order."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class Link(Protocol[T_contra, R_co]):
    """A connection that is ready to send, as ``connect`` of a supervisor yields it."""

    async def send(self, message: T_contra, /) -> R_co:
        """Send one message, and return once the other side has confirmed it.

        Returns:
            What the other side answered: it becomes the result of the message's Delivery.

        Raises:
            LinkLost, OSError, EOFError: the link is gone; the message stays, in doubt unless ``LinkLost.unsent``.
            RetryLater: not now; the message stays, and its key or everything pauses.
            Rejected: never; the message ends.
            AuthenticationFailed: these credentials are refused; the message stays, in doubt, and the supervisor ends.

        It must not outlive the link: once ``wait_closed`` has returned, it settles or raises.

        **Cancellation**, by the supervisor or by a task group of the link's own, leaves the message in doubt.
        """

    async def wait_closed(self) -> None:
        """Return, or raise what became of it, once the link is gone: so it is made anew before a message comes.

        **Cancellation** changes nothing.
        """


class JournalRecord(NamedTuple):
    """What a journal keeps of one message that has not ended."""

    id: int
    """Given by the buffer; grows, and is never used twice, not even after the journal was emptied."""
    body: bytes
    attempts: int = 0
    maybe_sent: bool = False
    expires_at: float | None = None
    """On the wall clock (``time.time()``), in seconds; None: never."""

    def __repr__(self) -> str:
        return f"<JournalRecord {self.id}: {len(self.body)} bytes, attempts: {self.attempts}>"


class DeadLetter(NamedTuple):
    """A message that ended otherwise than sent, drained or cancelled, kept for a person to look at."""

    id: int
    body: bytes
    outcome: Outcome
    reason: str
    ended_at: float
    """On the wall clock, in seconds."""
    attempts: int
    maybe_sent: bool

    def __repr__(self) -> str:
        return f"<DeadLetter {self.id}: {self.outcome}, {len(self.body)} bytes, attempts: {self.attempts}>"


@dataclass(slots=True, repr=False)
class JournalChanges:
    """What one transaction of a journal changes, in this order. False if there is nothing."""

    appended: list[JournalRecord] = field(default_factory=list)
    updated: list[tuple[int, int, bool]] = field(default_factory=list)
    """Of messages that have not ended: id, attempts, maybe_sent."""
    discarded: list[int] = field(default_factory=list)
    """Ended, and nothing is kept of them."""
    buried: list[tuple[int, Outcome, str]] = field(default_factory=list)
    """Ended, and kept as dead letters: id, outcome, reason."""
    forgotten: list[int] = field(default_factory=list)
    """Dead letters of which nothing is kept any more; a number that is none's does no harm."""

    def __bool__(self) -> bool:
        return bool(self.appended or self.updated or self.discarded or self.buried or self.forgotten)

    def __repr__(self) -> str:
        lists: tuple[list[Any], ...] = (self.appended, self.updated, self.discarded, self.buried, self.forgotten)
        counts = [len(each) for each in lists]
        return "<JournalChanges: {} appended, {} updated, {} discarded, {} buried, {} forgotten>".format(*counts)


class Recovered(NamedTuple):
    """What a journal held when it was opened."""

    last_id: int
    """The highest number that it ever kept; 0 if it is new."""
    records: list[JournalRecord]
    """What has not ended, in order."""

    def __repr__(self) -> str:
        return f"<Recovered: {len(self.records)} messages, last id {self.last_id}>"


class Journal(ABC, Generic[T]):
    """Makes a buffer's puts durable: keeps what was put until it has ended, and knows none of the buffer's policies.

    Its methods block. They are called one at a time, from any thread, ``encode`` and ``decode`` at any time.
    """

    @abstractmethod
    def encode(self, message: T) -> bytes:
        """The message as bytes.

        Raises:
            TypeError, ValueError: it cannot be kept; nothing has changed then.
        """

    @abstractmethod
    def decode(self, body: bytes) -> T:
        """The message again, from what :meth:`encode` made of it."""

    @abstractmethod
    def open(self) -> Recovered:
        """Become the owner of what is kept, and return it.

        Raises:
            StoreError: it cannot be had; the kinds of it say why, and what to do.
        """

    @abstractmethod
    def commit(self, changes: JournalChanges) -> None:
        """Make all of the changes, or none of them. Durable when it returns.

        Raises:
            StoreError: none of them was made.
        """

    @abstractmethod
    def dead_letters(self) -> list[DeadLetter]:
        """The dead letters, in the order in which they ended."""

    def tidy(self) -> None:
        """Do what can wait until nothing else is going on. By default there is nothing."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is kept, for the next to open. Twice is once."""
