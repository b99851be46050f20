"""Outgoing messages that ride through a disconnect."""

from .abc import BufferStatistics, Link, MessageBuffer
from .buffer import AsyncMessageBuffer
from .delivery import Delivery, Outcome
from .errors import (
    AuthenticationFailed,
    BufferClosed,
    BufferFull,
    FlushTimeout,
    LinkLost,
    MessageTooLarge,
    Rejected,
    RetryLater,
    RidethroughError,
    Undelivered,
)
from .intake import Overflow

__all__ = [
    "AsyncMessageBuffer",
    "AuthenticationFailed",
    "BufferClosed",
    "BufferFull",
    "BufferStatistics",
    "Delivery",
    "FlushTimeout",
    "Link",
    "LinkLost",
    "MessageBuffer",
    "MessageTooLarge",
    "Outcome",
    "Overflow",
    "Rejected",
    "RetryLater",
    "RidethroughError",
    "Undelivered",
]
