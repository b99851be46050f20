"""Sender: sends what is in a buffer over a link, in order, and decides what an error means for the message."""

from __future__ import annotations

from enum import StrEnum
from logging import Logger
from typing import Any, Generic, TypeVar

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, IncompleteRead, create_task_group
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from .abc import Entry, Link, MessageBuffer
from .delivery import Delivery
from .errors import AuthenticationFailed, BufferClosed, LinkLost, Rejected, RetryLater
from .logs import get_logger

T = TypeVar("T")

logger: Logger = get_logger("supervisor")

LINK_ERRORS = (
    LinkLost, RetryLater, AuthenticationFailed,
    OSError, EOFError, BrokenResourceError, ClosedResourceError, EndOfStream, IncompleteRead,
)  # fmt: skip
"""What tells of the link. Anything else but Rejected is a mistake in the program."""


def essence(*errors: Exception) -> Exception:
    """What matters most in what a link has raised, perhaps in a group from a task group of its own.

    That is a mistake in the program, as it was raised; or else that the credentials are refused, an answer about the
    message, that the link is gone, that it was gone before the send began: in this order.
    """
    found: list[Exception] = []
    for error in errors:
        inner = essence(*error.exceptions) if isinstance(error, ExceptionGroup) else error
        if not isinstance(inner, (*LINK_ERRORS, Rejected)):
            return error
        found.append(inner)
    return min(found, key=_order)


def _order(error: Exception) -> tuple[bool, ...]:
    return (
        not isinstance(error, AuthenticationFailed),
        not isinstance(error, Rejected | RetryLater),
        isinstance(error, LinkLost) and error.unsent,
    )


class OnDoubt(StrEnum):
    """What to do about a message whose send began and was never answered, because the link was lost."""

    RETRY = "retry"
    """Send it again: it arrives at least once, and such messages perhaps twice."""
    REPORT = "report"
    """End it UNKNOWN: it arrives at most once."""


class Sender(Generic[T]):
    """Sends the messages of one buffer over one link after the other.

    Args:
        buffer: what to send.
        on_doubt, poison_after: as for :class:`~ridethrough.ReconnectSupervisor`.

    Attributes:
        carried: whether the last link has carried a send: got an answer that it is settled.
    """

    def __init__(self, buffer: MessageBuffer[T], on_doubt: OnDoubt, poison_after: int | None) -> None:
        self._buffer = buffer
        self._on_doubt = on_doubt
        self._poison_after = poison_after
        self._losses: dict[Delivery[T], int] = {}  # how often running a link was lost under an open message
        self._under_way: Delivery[T] | None = None  # its send has begun and has not come to an end
        self._link_closed = False
        self._leasing = False
        self.carried: bool = False

    async def serve(self, link: Link[T, Any]) -> Exception | None:
        """Send over a link until it is gone.

        Returns:
            What became of the link, or what was raised that is no matter of it; None if the buffer was closed.

        **Cancellation** leaves a message that is being sent in the buffer, in doubt.
        """
        self._link_closed = self._leasing = self.carried = False
        self._under_way = None
        buffer_closed = False
        errors: list[Exception] = []

        async def watch() -> None:
            """Notice that the link is gone while there is nothing to send."""
            try:
                await link.wait_closed()
            except Exception as error:
                errors.append(error)
            self._link_closed = True
            if not self._leasing:  # a send settles by itself: its answer may just have come
                tasks.cancel_scope.cancel()

        async with create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                while not self._link_closed and not errors:
                    errors += await self._send_next(link)
            except BufferClosed:
                buffer_closed = True
            except Exception as error:  # kept, so that the task group does not wrap it
                errors.append(error)
            tasks.cancel_scope.cancel()
        if errors:
            return essence(*errors)
        return None if buffer_closed else LinkLost("the link was closed")

    def link_lost(self) -> None:
        """Be told that the link is gone: this counts against the message whose send the link has cancelled, if any."""
        if self._under_way is not None:
            self._count_loss(self._under_way)

    async def _send_next(self, link: Link[T, Any]) -> list[Exception]:
        """Lease the next message and send it; returns what has put an end to the link, if anything."""
        errors: list[Exception] = []
        async with self._buffer.lease() as lease:
            self._leasing = True
            try:
                for entry in lease:
                    await checkpoint_if_cancelled()  # before the send begins, so that it is not in doubt for nothing
                    errors = await self._send(link, entry)
                if errors:
                    for (
                        entry
                    ) in lease:  # a new one, whose send has not begun: rejecting that one would settle the doubt
                        self._reject_poison(entry)
            finally:
                self._leasing = False
        return errors

    async def _send(self, link: Link[T, Any], entry: Entry[T]) -> list[Exception]:
        delivery = entry.delivery
        if self._on_doubt is OnDoubt.REPORT and delivery.maybe_sent:
            entry.unknown("an earlier send of it was never settled")
            return []
        if self._reject_poison(entry):
            return []
        entry.begin()
        self._under_way = delivery
        result: Any = None
        error: Exception | None = None
        try:
            result = await link.send(entry.message)
        except Exception as raised:
            error = essence(raised)
        self._under_way = None
        if error is None:
            entry.ack(result)
            self.carried = True
        elif isinstance(error, Rejected):
            entry.reject(error)
            self.carried = True
        elif isinstance(error, RetryLater):
            if error.unsent:
                entry.unbegin()
            entry.defer(error.after, error.scope, in_doubt=error.in_doubt)
        else:
            if isinstance(error, LINK_ERRORS):
                self._judge_loss(entry, error)
            return [error]
        if not (isinstance(error, RetryLater) and error.unsent):  # or else nothing has been tried since the last loss
            self._losses.pop(delivery, None)
        if error is not None:
            await checkpoint()  # with a pause of 0, and a link that never waits, nobody else would have a turn
        return []

    def _judge_loss(self, entry: Entry[T], lost: Exception) -> None:
        """Decide about the message under which the link was lost."""
        if isinstance(lost, LinkLost) and lost.unsent:
            entry.unbegin()
        elif self._on_doubt is OnDoubt.REPORT:
            entry.unknown(lost)
        else:
            self._count_loss(entry.delivery)

    def _count_loss(self, delivery: Delivery[T]) -> None:
        self._losses[delivery] = self._losses.get(delivery, 0) + 1
        self._losses = {other: count for other, count in self._losses.items() if other.outcome is None}

    def _reject_poison(self, entry: Entry[T]) -> bool:
        """End the message if the link was lost under it too often."""
        losses = self._losses.get(entry.delivery, 0)
        if self._poison_after is None or losses < self._poison_after:
            return False
        logger.warning("message %d is poison: the link was lost under it %d times running", entry.delivery.id, losses)
        return entry.reject(f"poison: the link was lost under it {losses} times running")
