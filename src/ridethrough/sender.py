"""Sender: sends what is in a buffer over a link, in order, and decides what an error means for the message."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any, Generic, TypeVar

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
)

from .abc import Entry, Link, MessageBuffer
from .delivery import Delivery
from .errors import AuthenticationFailed, LinkLost, Rejected, RetryLater

T = TypeVar("T")

logger = logging.getLogger("ridethrough.supervisor")

_LOST = (
    LinkLost, RetryLater, AuthenticationFailed,
    OSError, EOFError, BrokenResourceError, ClosedResourceError, EndOfStream,
)  # fmt: skip


def link_error(error: BaseException) -> Exception | None:
    """What an exception says about the link; None if it is about something else: a mistake in the program."""
    if isinstance(error, BaseExceptionGroup):  # from a link that has a task group of its own
        found = [link_error(inner) for inner in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, _LOST) else None


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
        self._link_closed = False
        self._sending = False
        self.carried = False

    async def serve(self, link: Link[T, Any]) -> Exception:
        """Send over a link until it is gone.

        Returns:
            What became of the link.

        Raises:
            Exception: whatever a link raises that is no matter of the link.

        **Cancellation** leaves a message that is being sent in the buffer, in doubt.
        """
        self._link_closed = self._sending = self.carried = False
        lost: Exception | None = None
        mistake: Exception | None = None  # raised at the end, so that the task group does not wrap it

        async def watch() -> None:
            """Notice that the link is gone while there is nothing to send."""
            nonlocal lost, mistake
            try:
                await link.wait_closed()
            except Exception as error:
                lost = link_error(error)
                mistake = None if lost else error
            self._link_closed = True
            if not self._sending:  # a send settles by itself: its answer may just have come
                tasks.cancel_scope.cancel()

        async with create_task_group() as tasks:
            tasks.start_soon(watch)
            try:
                while lost is None and not self._link_closed:
                    lost = await self._send_next(link)
            except Exception as error:
                mistake = error
            tasks.cancel_scope.cancel()
        if mistake is not None:
            raise mistake
        return lost or LinkLost("the link was closed")

    async def _send_next(self, link: Link[T, Any]) -> Exception | None:
        """Lease the next message and send it; returns what became of the link, None if it still is."""
        async with self._buffer.lease() as lease:
            for entry in lease:
                if self._link_closed:
                    break  # while this waited; the message has not been touched
                self._sending = True
                try:
                    return await self._send(link, entry)
                finally:
                    self._sending = False
        return None

    async def _send(self, link: Link[T, Any], entry: Entry[T]) -> Exception | None:
        delivery = entry.delivery
        if self._on_doubt is OnDoubt.REPORT and delivery.maybe_sent:
            entry.unknown("an earlier send of it was never answered")
            return None
        entry.begin()
        try:
            result = await link.send(entry.message)
        except Rejected as refusal:
            entry.reject(refusal)
            self.carried = True
        except RetryLater as pause:
            entry.defer(pause.after, pause.scope)
        except Exception as error:
            lost = link_error(error)
            if lost is None:
                raise
            self._judge_loss(entry, lost)
            return lost
        else:
            entry.ack(result)
            self.carried = True
        self._losses.pop(delivery, None)
        return None

    def _judge_loss(self, entry: Entry[T], lost: Exception) -> None:
        """Decide about the message under which the link was lost."""
        delivery = entry.delivery
        if isinstance(lost, LinkLost) and lost.unsent:
            entry.unbegin()
            return
        if self._on_doubt is OnDoubt.REPORT:
            entry.unknown(lost)
            return
        self._losses = {other: count for other, count in self._losses.items() if other.outcome is None}
        self._losses[delivery] = losses = self._losses.get(delivery, 0) + 1
        if losses == self._poison_after:
            logger.warning("message %d is poison: the link was lost under it %d times running", delivery.id, losses)
            entry.reject(f"poison: the link was lost under it {losses} times running")
