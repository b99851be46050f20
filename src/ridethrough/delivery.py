"""Delivery and Outcome: the fate of one message."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Hashable
from enum import StrEnum
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, cast

from .errors import Undelivered, describe

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T")
    R = TypeVarWithDefault("R", default=Any)
else:
    T, R = TypeVar("T"), TypeVar("R")


class Outcome(StrEnum):
    """How a message ended. Each accepted message ends exactly once."""

    SENT = "sent"
    """The other side has confirmed it."""
    DRAINED = "drained"
    """Taken out by ``drain``: the caller of that owns it since."""
    DROPPED = "dropped"
    """Given up by an overflow policy."""
    EXPIRED = "expired"
    """Older than its ``ttl``."""
    REJECTED = "rejected"
    """Refused by the other side for good, or poisonous: the link was lost under it too often."""
    CANCELLED = "cancelled"
    """Taken back by its sender before it was leased."""
    ABANDONED = "abandoned"
    """The buffer was closed while it waited."""
    UNKNOWN = "unknown"
    """Perhaps sent, perhaps not: the link was lost under it, and ``on_doubt="report"`` forbids another try."""


UNDELIVERED = frozenset(
    {Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.ABANDONED, Outcome.UNKNOWN},
)
"""The outcomes that nobody asked for: these are reported to ``on_undelivered``."""


class Terms(NamedTuple):
    """What was agreed for one message when it was put."""

    key: Hashable = None
    size: int = 0
    """In bytes, or the units of ``size_of``."""
    expires_at: float | None = None
    """On the buffer's clock, in seconds; None: never."""

    def __repr__(self) -> str:
        return f"<Terms: size {self.size}, expires at {self.expires_at}>"  # a key may be a telephone number


NO_TERMS = Terms()


class DeliveryOwner(Protocol):
    """What a Delivery asks of the buffer that made it."""

    def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:
        """End the message CANCELLED, if it is still queued."""

    def wait_ended(self, delivery: Delivery[Any, Any], /) -> Awaitable[None]:
        """Return once the message has ended."""


class Delivery(Generic[T, R]):
    """One message's fate: what ``put`` returns.

    Await it to learn the outcome. It gives the result of the acknowledgement if the message was SENT, and None if it
    was DRAINED (whoever drained it knows more). Otherwise it raises :class:`~ridethrough.Undelivered` with the outcome
    and the reason. It can be awaited any number of times, by any number of tasks of the buffer's event loop.

    **Cancellation.** Cancelling who awaits a Delivery changes nothing about the message. Use :meth:`cancel` for that.

    Attributes:
        id: the message's number in its buffer; grows in the order in which messages were accepted.
        message: the message itself, whatever became of it.
        outcome: how it ended; None while it is open.
        attempts: how often a send of it began.
        maybe_sent: True from the moment a send begins, until an answer settles that send; stays True if the link
            was lost in between. So on an open message, or one that ended otherwise than SENT: the other side may
            have it. On one that ended SENT: the other side may have it more than once.
    """

    __slots__ = ("_owner", "_result", "_terms", "_waiters", "attempts", "id", "maybe_sent", "message", "outcome")

    if not TYPE_CHECKING:  # pragma: no branch
        # Delivery[str] is short for Delivery[str, Any], which Generic knows only from Python 3.13 on.
        __class_getitem__ = classmethod(GenericAlias)

    # Filled in by make_delivery: an __init__ would cost as much again as everything else that a put does.
    id: int
    message: T
    outcome: Outcome | None
    attempts: int
    maybe_sent: bool
    _owner: DeliveryOwner
    _terms: Terms
    _result: object
    _waiters: list[Any] | None

    @property
    def reason(self) -> str:
        """Why it ended undelivered; empty while it is open, or if it was sent or drained."""
        if self.outcome is None or self.outcome in (Outcome.SENT, Outcome.DRAINED):
            return ""
        if isinstance(self._result, str):
            return self._result
        return describe(self._result) if isinstance(self._result, BaseException) else str(self._result)

    def cancel(self) -> bool:
        """Take the message back, if it is still in time.

        Returns:
            True if the message was waiting and has now ended CANCELLED: it is not and was not handed out since it
            last came back. False if it is leased, or has ended: nothing changed then. Of a message with
            ``maybe_sent``, an earlier attempt may have arrived all the same.
        """
        return self._owner.cancel_delivery(self)

    def __await__(self) -> Generator[Any, Any, R]:
        if self.outcome is None:
            yield from self._owner.wait_ended(self).__await__()
        if self.outcome is Outcome.SENT or self.outcome is Outcome.DRAINED:
            return cast("R", self._result)
        assert self.outcome is not None
        error = Undelivered(self.outcome, self.reason)
        if isinstance(self._result, BaseException):
            raise error from self._result
        raise error

    def __repr__(self) -> str:
        state = self.outcome or "open"
        doubt = ", maybe sent" if self.maybe_sent else ""
        return f"<Delivery {self.id}: {state}, attempts: {self.attempts}{doubt}>"


def make_delivery(owner: DeliveryOwner, number: int, message: T, terms: Terms) -> Delivery[T]:
    """The Delivery of a message that is about to be accepted. ``Ledger.accept`` writes this out: a call less a put."""
    delivery: Delivery[T] = Delivery()
    delivery.id = number
    delivery.message = message
    delivery.outcome = None
    delivery.attempts = 0
    delivery.maybe_sent = False
    delivery._owner = owner
    delivery._terms = terms
    delivery._result = None
    delivery._waiters = None
    return delivery
