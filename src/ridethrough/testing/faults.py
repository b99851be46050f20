"""What can go wrong with a send, to be had on demand from a :class:`FakeSignalDaemon`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CutBefore:
    """The connection ends before the send is performed: the message never reaches Signal."""


@dataclass(frozen=True, slots=True)
class CutAfter:
    """The send is performed, and the connection ends without an answer."""


@dataclass(frozen=True, slots=True)
class CutInAnswer:
    """The send is performed, and the connection ends in the middle of the answer's line."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The send is performed, and no answer ever comes; the connection stays."""


@dataclass(frozen=True, slots=True)
class Late:
    """The send is performed, and its answer comes after that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """The send is not performed, and this error is the answer.

    Attributes:
        code: what kind of error: see signal-cli's codes, such as -1, -3 and -32603.
        message: the words for a person.
        data: more about it.
    """

    code: int
    message: str = "refused on demand"
    data: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """Signal does not take the message for some recipients or for any; the answer tells, as signal-cli's does.

    Attributes:
        type: what becomes of it: ``NETWORK_FAILURE``, ``RATE_LIMIT_FAILURE``, ``IDENTITY_FAILURE``,
            ``UNREGISTERED_FAILURE`` or ``INVALID_PRE_KEY_FAILURE``.
        only: the recipients that it happens to, as they are addressed; empty for all of them.
        token: with a rate limit: it takes a CAPTCHA to go on.
        retry_after: with a rate limit: seconds until the next try.
    """

    type: str = "NETWORK_FAILURE"
    only: tuple[str, ...] = field(default=(), repr=False)
    token: str | None = field(default=None, repr=False)
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """The send is performed, and a line comes that is no answer to anything.

    Attributes:
        line: the line, without its newline.
    """

    line: bytes = field(default=b"\xc3\x28 is not JSON", repr=False)


@dataclass(frozen=True, slots=True)
class Flood:
    """The send is performed, and its answer is a line without an end."""


@dataclass(frozen=True, slots=True)
class WrongId:
    """The send is performed, and its answer has an id that nobody used."""


Fault = CutBefore | CutAfter | CutInAnswer | Stall | Late | Refuse | Failure | Garbage | Flood | WrongId
