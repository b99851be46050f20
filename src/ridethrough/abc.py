"""What can be plugged in: MessageBuffer and Link, and the values that they hand over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from .delivery import Delivery

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
    async def put(self, message: T, /) -> Delivery[T]:
        """Hand a message over, and return its fate."""

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
