"""Lease and LeasedEntry: messages being sent, while the buffer still owns them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

from .delivery import Delivery, Outcome
from .errors import check_pause

T = TypeVar("T")

_SENT, _REJECTED, _UNKNOWN = Outcome.SENT, Outcome.REJECTED, Outcome.UNKNOWN


class LeaseOwner(Protocol[T]):
    """What a lease asks of its buffer."""

    async def start_lease(self, lease: BufferLease[T], /) -> None:
        """Wait until no other lease is under way and there are messages, and put them into it."""

    def end_lease(self, lease: BufferLease[T], /) -> None:
        """Put what is left of the lease back in its place."""

    def may_hand_out(self, lease: BufferLease[T], delivery: Delivery[T], /) -> bool:
        """Whether an open message of the lease is neither too old nor held up by a pause."""

    def settle(
        self, lease: BufferLease[T], delivery: Delivery[T], outcome: Outcome, result: object, doubt: bool | None, /
    ) -> bool:
        """End a leased message."""

    def defer(self, lease: BufferLease[T], delivery: Delivery[T], after: float, scope: str, /) -> bool:
        """Pause a leased message's key, or everything."""


class BufferLease(Generic[T]):
    """Messages from the head of a buffer, in order: enter it with ``async with``, and iterate over it.

    Entering waits until the lease before has ended and something can be leased, and takes what is there, up to the
    limit. Leaving, however it comes about, puts whatever was not acknowledged back in its own place. Iterating steps
    over messages that have become too old since the lease began, and over those that would overtake a deferred one.

    **Cancellation.** A cancelled wait on entering has taken nothing. Leaving does not wait.
    """

    __slots__ = (
        "_deliveries", "_entered", "_first_open", "_members", "_owner", "_steps_over_all", "_steps_over_keys",
        "limit", "over", "restricted", "size", "unsettled",
    )  # fmt: skip

    def __init__(self, owner: LeaseOwner[T], limit: int) -> None:
        self.limit: int = limit
        self.unsettled: int = 0
        """How many of its messages have not ended."""
        self.size: int = 0
        """What these take of ``max_bytes``."""
        self.restricted: bool = False
        """Whether some of these may have to be stepped over: for their age, or for one that was deferred."""
        self.over: bool = False
        """Whether it has ended, so that nothing can be settled by it any more."""
        self._owner = owner
        self._entered = False
        self._deliveries: list[Delivery[T]] | None = None
        self._first_open = 0  # before this index, all have ended
        self._members: set[Delivery[T]] | None = None
        self._steps_over_keys: set[Hashable] = set()
        self._steps_over_all = False

    def fill(self, deliveries: list[Delivery[T]], size: int, restricted: bool) -> None:
        """Begin: from now on these messages, which are open, are leased."""
        self._deliveries = deliveries
        self.unsettled = len(deliveries)
        self.size = size
        self.restricted = restricted

    def holds(self, delivery: Delivery[T]) -> bool:
        """Whether an open message is leased by this."""
        if self._members is None:  # made when first asked for, which most leases are not
            self._members = set(self._deliveries or ())
        return not self.over and delivery in self._members

    def step_over(self, key: Hashable) -> None:
        """Hand out nothing more of that key, even if the pause is over by then: it would overtake what was deferred."""
        self.restricted = True
        self._steps_over_keys.add(key)

    def step_over_all(self) -> None:
        """Hand out nothing more."""
        self.restricted = self._steps_over_all = True

    def steps_over(self, delivery: Delivery[T]) -> bool:
        """Whether a message of this lease is not handed out, since another one was deferred."""
        return self._steps_over_all or delivery._terms.key in self._steps_over_keys

    def oldest_id(self) -> int | None:
        """The id of the oldest message that is still open; None: none is."""
        deliveries = self._deliveries or ()
        while self._first_open < len(deliveries) and deliveries[self._first_open].outcome is not None:
            self._first_open += 1
        return None if self.over or self._first_open == len(deliveries) else deliveries[self._first_open].id

    def left(self) -> Iterator[Delivery[T]]:
        """What is still open, in order."""
        if not self.over:
            yield from (delivery for delivery in self._deliveries or () if delivery.outcome is None)

    def end(self) -> list[Delivery[T]]:
        """End; returns what is still open, which is in no place now. Once more gives nothing."""
        left = list(self.left()) if self.unsettled else []
        self.over = True
        self.unsettled = self.size = 0
        return left

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a lease is entered once; ask the buffer for another one")
        self._entered = True
        try:
            await self._owner.start_lease(self)
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner.end_lease(self)

    def __iter__(self) -> Iterator[LeasedEntry[T]]:
        if self._deliveries is None:
            raise RuntimeError("a lease is entered with async with before it is iterated over")
        for delivery in self._deliveries:
            if self.over:
                return
            if delivery.outcome is None and (not self.restricted or self._owner.may_hand_out(self, delivery)):
                entry: LeasedEntry[T] = LeasedEntry()
                entry.delivery = delivery
                entry._lease = self
                entry._doubted = None
                yield entry

    def __len__(self) -> int:
        return self.unsettled

    def __repr__(self) -> str:
        return f"<BufferLease of {self.unsettled} open messages, limit {self.limit}>"


class LeasedEntry(Generic[T]):
    """One leased message, in the hands of whoever sends it.

    ``ack``, ``reject``, ``unknown`` and ``defer`` return True if they took effect, and False if the lease was over, or
    the message had ended: that changes nothing and is counted as ``late`` in the statistics.

    Attributes:
        delivery: the message's fate, as its sender sees it.
    """

    __slots__ = ("_doubted", "_lease", "delivery")

    # Filled in by BufferLease.__iter__, which saves half the cost of making one.
    delivery: Delivery[T]
    _lease: BufferLease[T]
    _doubted: bool | None  # maybe_sent as it was before this attempt; None: no send is under way

    @property
    def message(self) -> T:
        """The message."""
        return self.delivery.message

    def begin(self) -> None:
        """Say that the send begins.

        This counts an attempt, and ``delivery.maybe_sent`` is True from now on until an answer settles the attempt.

        Raises:
            RuntimeError: the lease is over or the message has ended, so it must not be sent from here; or the send has
                begun already.
        """
        delivery = self.delivery
        if self._lease.over or delivery.outcome is not None:
            raise RuntimeError(f"message {delivery.id} is not leased any more and must not be sent")
        if self._doubted is not None:
            raise RuntimeError(f"the send of message {delivery.id} has begun already")
        self._doubted = delivery.maybe_sent
        delivery.attempts += 1
        delivery.maybe_sent = True

    def unbegin(self) -> bool:
        """Take :meth:`begin` back: nothing of the message has left, so it costs no attempt and nothing is in doubt.

        Returns:
            False, and nothing has changed, if the lease was over or the message had ended.

        Raises:
            RuntimeError: no send is under way here.
        """
        if self._doubted is None:
            raise RuntimeError(f"no send of message {self.delivery.id} is under way here")
        if self._lease.over or self.delivery.outcome is not None:
            return False
        self.delivery.attempts -= 1
        self.delivery.maybe_sent = self._doubted
        self._doubted = None
        return True

    def ack(self, result: Any = None) -> bool:
        """Say that the other side has confirmed.

        Args:
            result: what awaiting the Delivery gives.
        """
        return self._lease._owner.settle(self._lease, self.delivery, _SENT, result, self._doubted)

    def reject(self, error: BaseException | str) -> bool:
        """Say that the other side has refused for good: the message ends REJECTED.

        Args:
            error: why: the reason of the Undelivered that awaiting the Delivery raises. An exception becomes its cause;
                of one that is neither ours nor the system's, only the kind is told, as its text may quote the message.
        """
        return self._lease._owner.settle(self._lease, self.delivery, _REJECTED, _reason(error), self._doubted)

    def unknown(self, error: BaseException | str) -> bool:
        """Say that nobody knows whether it arrived, and that it must not be sent again: the message ends UNKNOWN.

        Args:
            error: why, as in :meth:`reject`.
        """
        return self._lease._owner.settle(self._lease, self.delivery, _UNKNOWN, _reason(error), None)

    def defer(self, after: float, scope: Literal["key", "all"] = "key", *, in_doubt: bool = False) -> bool:
        """Say that the other side wants it later.

        The message goes back to its own place when the lease ends, and the pause begins at once. Until then the lease
        hands out nothing more of what pauses, however short the pause is.

        Args:
            after: the pause, in seconds; 0: none.
            scope: what pauses: ``"key"``, the messages of the same key (without keys: all), or ``"all"``.
            in_doubt: whether it may have arrived all the same; then ``delivery.maybe_sent`` stays True.

        Raises:
            TypeError, ValueError: what is no pause.
        """
        check_pause(after, scope)
        done = self._lease._owner.defer(self._lease, self.delivery, after, scope)
        if done and self._doubted is not None:
            self.delivery.maybe_sent, self._doubted = in_doubt or self._doubted, None
        return done

    def __repr__(self) -> str:
        return f"<LeasedEntry of {self.delivery!r}>"


def _reason(error: BaseException | str) -> BaseException | str:
    if isinstance(error, BaseException):
        return error.with_traceback(None)  # its frames would keep the message, and whatever stands beside it, alive
    if not isinstance(error, str):
        raise TypeError(f"error must be an exception or a str, not {type(error).__name__}")
    return error
