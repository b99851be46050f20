"""What the daemon's answers to ``send`` mean: sent, wait, or never.

================================  ====================================================================
answer                            what it leads to
================================  ====================================================================
a result                          sent, even if it failed for some members of a group: the others have it
an error with NETWORK_FAILURE     everything pauses, longer each time, until a send has worked
an error with RATE_LIMIT_FAILURE  this target pauses, for as long as the service says
an error with other types         rejected; UNREGISTERED_FAILURE may first be looked into (see link.py)
-3, or -32603 about the network   like NETWORK_FAILURE
-32603 about a rate limit         like RATE_LIMIT_FAILURE
-32602                            the account is gone: wait for it as for a link (see link.py)
any other error                   rejected
================================  ====================================================================

The codes are signal-cli's own and stand in no manual; measured on 0.13.19. It answers -32603 to a text of more than
2000 bytes, which it uploads first, where a short one gets types: then the message ends with the class of the exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..backoff import Backoff
from ..errors import LinkLost, Rejected, RetryLater, RidethroughError
from .messages import Target

METHOD_NOT_FOUND = -32601
ACCOUNT_MISSING = -32602
INTERNAL_ERROR = -32603
IO_ERROR = -3

_RATE_LIMIT_PAUSES = Backoff(initial=1.0, maximum=60.0)
"""For a rate limit that comes without a time."""
_LONGEST_PAUSE = 7 * 24 * 3600
"""In seconds; a service that asks for more is not believed."""

_THROWN = re.compile(
    r"(?:\[(?P<status>\d{3})\][^()\[\]]*)?"
    r"\((?P<name>[A-Z]\w*(?:Exception|Error))\)(?: \(UnexpectedErrorException\))?\Z",
    re.ASCII,
)
"""What a message of INTERNAL_ERROR ends with. Before that it may quote what was sent."""
_NETWORK = re.compile(r"Socket|Connect|Timeout|UnknownHost|NoRoute|Network|SSL|EOF|StreamReset|IOException")


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DaemonError(RidethroughError):
    """The daemon answered a request with an error.

    Attributes:
        code: what kind of error it is.
        message: the daemon's own words. They may quote what was sent, so that ``str`` and ``repr`` do not show them.
        data: more about it; None if there is none. Neither do they show that.
    """

    def __init__(self, code: int, message: str = "", data: Any = None) -> None:
        super().__init__(code)  # its args are shown by repr
        self.code = code
        self.message = message
        self.data = data

    def __str__(self) -> str:
        thrown = _thrown(self)
        return f"the daemon answered with error {self.code}" + (f" ({thrown['name']})" if thrown else "")


class ResultType(StrEnum):
    """What became of a message for one recipient (signal-cli's ``results[].type``)."""

    SUCCESS = "SUCCESS"
    NETWORK_FAILURE = "NETWORK_FAILURE"
    UNREGISTERED_FAILURE = "UNREGISTERED_FAILURE"
    IDENTITY_FAILURE = "IDENTITY_FAILURE"
    RATE_LIMIT_FAILURE = "RATE_LIMIT_FAILURE"
    INVALID_PRE_KEY_FAILURE = "INVALID_PRE_KEY_FAILURE"
    OTHER = "OTHER"
    """One that this version does not know."""


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of a message for one recipient.

    Attributes:
        type: how it went.
        uuid, number: who it was, as far as the daemon says; None if it does not.
        retry_after: for a rate limit: in how many seconds to try again; None if the service does not say.
    """

    type: ResultType
    uuid: str | None = None
    number: str | None = field(default=None, repr=False)
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class SendResult:
    """What the daemon answered to a message that was sent: the result of its Delivery.

    Attributes:
        timestamp: the message's identity on Signal: when it was sent, in milliseconds since 1970.
        results: one a recipient, in no particular order. Empty for a note to a self without other devices.
    """

    timestamp: int
    results: tuple[RecipientResult, ...] = ()

    @property
    def failures(self) -> tuple[RecipientResult, ...]:
        """The members of a group that did not get the message. It is not sent again, since the others have it."""
        return tuple(result for result in self.results if result.type is not ResultType.SUCCESS)


def read_failures(error: DaemonError) -> tuple[RecipientResult, ...]:
    """The ``results`` that an error of ``send`` comes with."""
    return read_results(error.data.get("response") if isinstance(error.data, Mapping) else None)


def read_results(response: Any) -> tuple[RecipientResult, ...]:
    """The ``results`` of a response to ``send``; what is not of that form is left out."""
    results = response.get("results") if isinstance(response, Mapping) else None
    if not isinstance(results, list):
        return ()
    return tuple(_read_result(result) for result in results if isinstance(result, Mapping))


def _read_result(result: Mapping[str, Any]) -> RecipientResult:
    kind, address, after = result.get("type"), result.get("recipientAddress"), result.get("retryAfterSeconds")
    address = address if isinstance(address, Mapping) else {}
    uuid, number = address.get("uuid"), address.get("number")
    if isinstance(after, bool) or not isinstance(after, int | float) or not 0 <= after <= _LONGEST_PAUSE:
        after = None
    return RecipientResult(
        ResultType(kind) if isinstance(kind, str) and kind in tuple(ResultType) else ResultType.OTHER,
        uuid if isinstance(uuid, str) and _UUID.fullmatch(uuid) else None,
        number if isinstance(number, str) else None,
        after,
    )


def was_not_looked_up(error: DaemonError) -> bool:
    """Whether an error says of somebody that the daemon knows by no UUID that there is no such account on Signal."""
    return any(each.type is ResultType.UNREGISTERED_FAILURE and each.uuid is None for each in read_failures(error))


class Judge:
    """Tells what the answers to ``send`` lead to. One for a client: how long to pause grows from link to link.

    Args:
        backoff: how long to pause when the daemon cannot reach Signal.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failures: dict[Target | None, int] = {}  # None: of the service

    def sent(self, target: Target, result: Any) -> SendResult:
        """Read a result, which ends the pauses of the service and of that target.

        Raises:
            LinkLost: it is no result of a send, so that this is no daemon to go on with.
        """
        timestamp = result.get("timestamp") if isinstance(result, Mapping) else None
        if not isinstance(timestamp, int) or isinstance(timestamp, bool):
            raise LinkLost("the daemon answered a send without a timestamp")
        self._failures.pop(None, None)
        self._failures.pop(target, None)
        return SendResult(timestamp, read_results(result))

    def failed(self, target: Target, error: DaemonError) -> RetryLater | Rejected:
        """Tell what an error leads to."""
        results = read_failures(error)
        types = {result.type for result in results} or _types_of_internal(error)
        if ResultType.NETWORK_FAILURE in types:
            # Signal may have taken it: measured, 35 ms after it had and was then cut off. An upload comes before.
            pause = self._pause(None, self._backoff)
            return RetryLater(pause, "all", "the daemon cannot reach Signal", in_doubt=bool(results))
        if ResultType.RATE_LIMIT_FAILURE in types:
            said = max((result.retry_after or 0.0 for result in results), default=0.0)
            return RetryLater(said or self._pause(target, _RATE_LIMIT_PAUSES), "key", "rate limited")
        rejection = Rejected(", ".join(sorted(types)) or str(error))
        rejection.__cause__ = error.with_traceback(None)  # its frames hold the message
        return rejection

    def not_looked_up(self, target: Target) -> RetryLater:
        """Tell what it leads to that the daemon could not look up who a target is."""
        return RetryLater(self._pause(target, self._backoff), "key", "the daemon could not look up the recipient")

    def _pause(self, what: Target | None, backoff: Backoff) -> float:
        failures = self._failures.get(what, 0)
        self._failures[what] = failures + 1
        return backoff.delay(failures)


def _thrown(error: DaemonError) -> re.Match[str] | None:
    return _THROWN.search(error.message) if error.code == INTERNAL_ERROR else None


def _types_of_internal(error: DaemonError) -> set[ResultType]:
    """The types that an error without any stands for."""
    if error.code == IO_ERROR:
        return {ResultType.NETWORK_FAILURE}
    thrown = _thrown(error)
    if thrown is None:
        return set()
    if _NETWORK.search(thrown["name"]) or (thrown["status"] or "").startswith("5"):
        return {ResultType.NETWORK_FAILURE}
    return {ResultType.RATE_LIMIT_FAILURE} if thrown["name"] == "RateLimitException" else set()
