"""Outgoing messages that ride through a disconnect."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .abc import BufferStatistics, DeadLetter, Journal, Link, MessageBuffer, Overflow
    from .backoff import Backoff
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
        StoreAway,
        StoreCorrupt,
        StoreError,
        StoreFull,
        StoreGone,
        StoreLocked,
        StoreReadOnly,
        Undelivered,
    )
    from .sender import OnDoubt
    from .state import ConnectionEvent, ConnectionState, Transition
    from .supervisor import ReconnectSupervisor

__all__ = [
    "AsyncMessageBuffer",
    "AuthenticationFailed",
    "Backoff",
    "BufferClosed",
    "BufferFull",
    "BufferStatistics",
    "ConnectionEvent",
    "ConnectionState",
    "DeadLetter",
    "Delivery",
    "FlushTimeout",
    "Journal",
    "Link",
    "LinkLost",
    "MessageBuffer",
    "MessageTooLarge",
    "OnDoubt",
    "Outcome",
    "Overflow",
    "ReconnectSupervisor",
    "Rejected",
    "RetryLater",
    "RidethroughError",
    "StoreAway",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreGone",
    "StoreLocked",
    "StoreReadOnly",
    "Transition",
    "Undelivered",
]

# Imported when first asked for, so that a program which only may need this package starts as fast as without it.
_HOMES = {
    "abc": ("BufferStatistics", "DeadLetter", "Journal", "Link", "MessageBuffer", "Overflow"),
    "backoff": ("Backoff",),
    "buffer": ("AsyncMessageBuffer",),
    "delivery": ("Delivery", "Outcome"),
    "sender": ("OnDoubt",),
    "state": ("ConnectionEvent", "ConnectionState", "Transition"),
    "supervisor": ("ReconnectSupervisor",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "errors")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
