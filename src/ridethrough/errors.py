"""Everything that ridethrough raises on purpose.

::

    RidethroughError
    ├── BufferFull               put: there is no room, and the policy is not to make any
    ├── BufferClosed             the buffer takes, or gives, no more
    ├── MessageTooLarge          put: this one message is larger than ``max_bytes``
    ├── FlushTimeout             flush: time is up and messages are left
    ├── Undelivered              awaiting a Delivery: it ended, and not by being sent
    ├── LinkLost                 a link says: I am gone; all waits and the link is made anew
    ├── RetryLater               a link says: not now; this key, or everything, pauses
    ├── Rejected                 a link says: never; this message ends and the next goes on
    ├── AuthenticationFailed     a link says: these credentials are refused; trying again is no use
    └── StoreError               what is put cannot be kept: a journal, or servers, cannot do it
        ├── StoreLocked          another program, or another journal of this one, has the file open
        ├── StoreFull            the disk is full; nothing of the transaction was kept
        ├── StoreCorrupt         the file is damaged; what could be read was saved
        ├── StoreReadOnly        the file or its folder may not be written
        ├── StoreGone            the file was removed or replaced while it was open
        └── StoreAway            the servers did not answer in time

The first five are raised by the buffer, the next four by links, for the supervisor to act on, the rest by what keeps
messages beyond the program. Wrong arguments raise :class:`TypeError` or :class:`ValueError`, as everywhere in Python.
No text of an error holds a message. An error's ``args`` are what it was made from, so that it can be copied and
pickled.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .delivery import Outcome


class RidethroughError(Exception):
    """The base of all errors of this package."""


class BufferFull(RidethroughError):
    """The message was not accepted: there is no room for it, and none may be made or waited for."""


class BufferClosed(RidethroughError):
    """The buffer is closed, or closing: it accepts no message, and once closed it hands none out."""


class MessageTooLarge(RidethroughError):
    """The message was not accepted: alone it is larger than ``max_bytes``.

    Attributes:
        size: the size of the message, in the units of ``size_of`` (bytes by default).
        max_bytes: what the buffer allows.
    """

    def __init__(self, size: int, max_bytes: int) -> None:
        super().__init__(size, max_bytes)
        self.size = size
        self.max_bytes = max_bytes

    def __str__(self) -> str:
        return f"the message has {self.size} bytes, and this buffer takes at most max_bytes={self.max_bytes}"


class FlushTimeout(RidethroughError):
    """Time was up before all messages had reached their outcome.

    Attributes:
        left: how many of the messages that the flush waited for were still open.
    """

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left

    def __str__(self) -> str:
        return f"{self.left} message{'' if self.left == 1 else 's'} had no outcome yet"


class Undelivered(RidethroughError):
    """The awaited message ended without being sent.

    Attributes:
        outcome: how it ended.
        reason: why, in a few words. Where an error led to it, that error is the ``__cause__``.
    """

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(outcome, reason)
        self.outcome = outcome
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.outcome}: {self.reason}" if self.reason else str(self.outcome)


class LinkLost(RidethroughError):
    """The link is gone. Everything waits until there is a new one.

    Args:
        reason: what happened, for logs; no message contents.
        unsent: True if the message in hand certainly never left, so that nothing is in doubt and the attempt does
            not count. False, the default, if some of it may have left: then nobody knows.
    """

    def __init__(self, reason: str = "the link is gone", *, unsent: bool = False) -> None:
        super().__init__(reason)
        self.unsent = unsent


class RetryLater(RidethroughError):
    """The other side answered: not now. The message keeps its place, and what it stands for pauses.

    Args:
        after: how long to pause, in seconds.
        scope: ``"key"``: only messages with the same key pause (without keys: everything); ``"all"``: everything.
        reason: why, for logs; no message contents.
        in_doubt: True if the message may have arrived all the same: its ``maybe_sent`` stays True then.
        unsent: True if the message was not sent at all, so that the attempt does not count and its ``maybe_sent`` is
            what it was before.

    Raises:
        TypeError, ValueError: ``after`` is not a number of at least 0, ``scope`` is unknown, or what was not sent is
            said to be in doubt.
    """

    def __init__(
        self,
        after: float,
        scope: Literal["key", "all"] = "key",
        reason: str = "",
        *,
        in_doubt: bool = False,
        unsent: bool = False,
    ) -> None:
        check_pause(after, scope)
        if in_doubt and unsent:
            raise ValueError("in_doubt must be False of what was unsent: it cannot have arrived")
        super().__init__(after, scope, reason)
        self.after = after
        self.scope: Literal["key", "all"] = scope
        self.reason = reason
        self.in_doubt = in_doubt
        self.unsent = unsent

    def __str__(self) -> str:
        return self.reason or f"again in {self.after:g} s ({self.scope})"


class Rejected(RidethroughError):
    """The other side refused this message for good. It ends, and the next one goes on."""


class AuthenticationFailed(RidethroughError):
    """The other side refuses who we say we are. Trying again is no use: a person has to act."""


class StoreError(RidethroughError):
    """A journal cannot do what it was asked for. Nothing of it was done; the text says what a person can do."""


class StoreLocked(StoreError):
    """The file is in use: it has one owner at a time.

    Args:
        reason: which file, and what to do.
        owner: the process that has it open, by its number; None if that cannot be told.
    """

    def __init__(self, reason: str, *, owner: int | None = None) -> None:
        super().__init__(reason)
        self.owner = owner


class StoreFull(StoreError):
    """The disk is full. What waits goes on waiting, and what ends can still be taken off the disk."""


class StoreCorrupt(StoreError):
    """The file is damaged. What could be read of it is in a fresh file in its place, and the damaged one beside it.

    Args:
        reason: which file, and what to do.
        saved: how many messages are in the fresh file.
        lost: how many are not; None if that cannot be told.
        copy: where the damaged file is; None if it is where it was, and there is no fresh one.
    """

    def __init__(self, reason: str, *, saved: int = 0, lost: int | None = None, copy: str | None = None) -> None:
        super().__init__(reason)
        self.saved = saved
        self.lost = lost
        self.copy = copy


class StoreReadOnly(StoreError):
    """The file or its folder may not be written."""


class StoreGone(StoreError):
    """It is not there: the file was removed, moved or replaced while it was open, and what is put into it now, nobody
    would find again; or there are no such streams, and they were not to be made."""


class StoreAway(StoreError):
    """The servers did not answer in time. What was asked of them may have been done all the same: the text says so."""


def describe(error: BaseException) -> str:
    """What an error says, if the words are ours or the system's; else its kind, as others may quote a message."""
    if isinstance(error, RidethroughError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError):
        causes = getattr(error.__cause__, "exceptions", (error.__cause__,))  # anyio tried several addresses, perhaps
        for each in (error, *causes):
            if isinstance(each, OSError) and each.strerror:
                return each.strerror
    return type(error).__name__


def check_seconds(name: str, value: float | None, *, zero: bool = False, none: bool = False) -> None:
    """Refuse what is no length of time.

    Args:
        name: the argument's name, for the error.
        value: what the caller passed, in seconds.
        zero: whether 0 is allowed.
        none: whether None is allowed.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """
    allowed = f"a finite number of seconds, {'at least' if zero else 'more than'} 0" + (", or None" if none else "")
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {allowed}, not {type(value).__name__}")
    if not 0 <= value <= sys.float_info.max or (value == 0 and not zero):  # an int may be larger than any float
        raise ValueError(f"{name} must be {allowed}, not {value!r}")


def check_pause(after: float, scope: str) -> None:
    """Refuse what is no pause: see :class:`RetryLater`."""
    check_seconds("after", after, zero=True)
    if scope not in ("key", "all"):
        raise ValueError(f"scope must be 'key' or 'all', not {scope!r}")
