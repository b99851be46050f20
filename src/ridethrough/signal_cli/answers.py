"""What the daemon's answers to ``send`` mean: sent, wait, or never.

===============================  =====================================================================
answer                           what it leads to
===============================  =====================================================================
a result                         sent, even if it failed for some members of a group: the others have it
an error with NETWORK_FAILURE    everything pauses, longer each time, until a send has worked
an error with RATE_LIMIT_FAILURE this target pauses, for as long as the service says
an error with other types        rejected
-3, -32603 with an I/O class     like NETWORK_FAILURE
-32602                           the account is gone: wait for it as for a link (see link.py)
any other error                  rejected
===============================  =====================================================================

The codes are signal-cli's own and stand in no manual; measured on 0.13.19.
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
_INTERNAL = -32603
_IO_ERROR = -3

_PAUSES = Backoff(initial=1.0, maximum=60.0)
"""For the service, and for a recipient whose rate limit comes without a time."""

_IO_CLASS = re.compile(r"\((?:\w*(?:Socket|Connect|Timeout|UnknownHost|IO)\w*)Exception\)")
_ANY_CLASS = re.compile(r"\((\w+)\)")


class DaemonError(RidethroughError):
    """The daemon answered a request with an error.

    Attributes:
        code: what kind of error it is.
        message: the daemon's own words. They may quote what was sent, so that ``str`` does not show them.
        data: more about it; None if there is none.
    """

    def __init__(self, code: int, message: str = "", data: Any = None) -> None:
        super().__init__(f"the daemon answered with error {code}")
        self.code = code
        self.message = message
        self.data = data


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
    return RecipientResult(
        ResultType(kind) if isinstance(kind, str) and kind in tuple(ResultType) else ResultType.OTHER,
        uuid if isinstance(uuid, str) else None,
        number if isinstance(number, str) else None,
        float(after) if isinstance(after, int | float) and not isinstance(after, bool) and after >= 0 else None,
    )


class Judge:
    """Tells what the answers to ``send`` lead to. One for a client: how long to pause grows from link to link."""

    def __init__(self) -> None:
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
        response = error.data.get("response") if isinstance(error.data, Mapping) else None
        results = read_results(response)
        types = {result.type for result in results}
        if ResultType.NETWORK_FAILURE in types or self._is_network(error, types):
            return RetryLater(self._pause(None), "all", "the daemon cannot reach Signal")
        if ResultType.RATE_LIMIT_FAILURE in types:
            known = [result.retry_after for result in results if result.retry_after is not None]
            return RetryLater(max(known) if known else self._pause(target), "key", "rate limited")
        rejection = Rejected(", ".join(sorted(types)) or _describe(error))
        rejection.__cause__ = error
        return rejection

    def _is_network(self, error: DaemonError, types: set[ResultType]) -> bool:
        if types:
            return False
        return error.code == _IO_ERROR or (error.code == _INTERNAL and bool(_IO_CLASS.search(error.message)))

    def _pause(self, what: Target | None) -> float:
        failures = self._failures.get(what, 0)
        self._failures[what] = failures + 1
        return _PAUSES.delay(failures)


def _describe(error: DaemonError) -> str:
    """An error in our own words: the daemon's may quote the message."""
    found = _ANY_CLASS.search(error.message) if error.code == _INTERNAL else None
    return f"{error}{f' ({found[1]})' if found else ''}"
