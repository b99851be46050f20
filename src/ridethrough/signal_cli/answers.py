"""Reading the daemon's answers: what is in them, as values. What they lead to is judge.py's.

The codes and the forms are signal-cli's own and stand in no manual; measured on 0.13.19.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..errors import RidethroughError
from .targets import Target

USER_ERROR = -1
IO_ERROR = -3
METHOD_NOT_FOUND = -32601
ACCOUNT_MISSING = -32602
INTERNAL_ERROR = -32603

_LONGEST_PAUSE = 7 * 24 * 3600
"""In seconds; a service that asks for more is not believed."""

_THROWN = re.compile(
    r"(?:\[(?P<status>\d{3})\][^()\[\]]*)?"
    r"\((?P<name>[A-Z]\w*(?:Exception|Error))\)(?: \(UnexpectedErrorException\))?\Z",
    re.ASCII,
)
"""What a message of INTERNAL_ERROR ends with. Before that it may quote what was sent."""
_NETWORK = re.compile(r"Socket|Connect|Timeout|UnknownHost|NoRoute|Network|SSL|EOF|StreamReset|IOException")
_REFUSED = ("401", "403")
_FOR_A_MEMBER = re.compile(r"Failed to send message: org\.whispersystems\.[\w.]+: ", re.ASCII)
"""What a message of INTERNAL_ERROR begins with if Signal failed for one member of a group, whatever became of the
others. Before anything is sent, as when an attachment is uploaded, no class is named there."""
_NOT_REGISTERED = re.compile(r"The user (\S+) is not registered\.")
"""A message of USER_ERROR, about somebody whom a message names, such as the author of what it quotes."""
_STATUS = re.compile(r"Failed to get linked devices: \[(\d{3})\]", re.ASCII)
"""What a message of IO_ERROR to ``listDevices`` begins with if Signal has answered at all."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"[\w.~+/=:-]{1,500}", re.ASCII)


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


_BY_CODE = {
    IO_ERROR: ResultType.NETWORK_FAILURE,
    -4: ResultType.IDENTITY_FAILURE,
    -5: ResultType.RATE_LIMIT_FAILURE,
}
"""What each of these codes says of every recipient."""


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of a message for one recipient.

    Attributes:
        type: how it went.
        uuid, number: who it was, as far as the daemon says; None if it does not.
        retry_after: for a rate limit: in how many seconds to try again; None if Signal does not say.
        token: for a rate limit: the CAPTCHA that ends it; None if there is none.
    """

    type: ResultType
    uuid: str | None = None
    number: str | None = field(default=None, repr=False)
    retry_after: float | None = None
    token: str | None = None


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


# ---------------------------------------------------------------- results


def read_timestamp(result: Any) -> int | None:
    """The ``timestamp`` of a result; None if it has none."""
    timestamp = result.get("timestamp") if isinstance(result, Mapping) else None
    return timestamp if isinstance(timestamp, int) and not isinstance(timestamp, bool) else None


def read_results(response: Any) -> tuple[RecipientResult, ...]:
    """The ``results`` of a response to a message; what is not of that form is left out."""
    results = response.get("results") if isinstance(response, Mapping) else None
    if not isinstance(results, list):
        return ()
    return tuple(_read_result(result) for result in results if isinstance(result, Mapping))


def _read_result(result: Mapping[str, Any]) -> RecipientResult:
    kind, address, after = result.get("type"), result.get("recipientAddress"), result.get("retryAfterSeconds")
    address = address if isinstance(address, Mapping) else {}
    uuid, number, token = address.get("uuid"), address.get("number"), result.get("token")
    if isinstance(after, bool) or not isinstance(after, int | float) or not 0 <= after <= _LONGEST_PAUSE:
        after = None
    return RecipientResult(
        ResultType(kind) if isinstance(kind, str) and kind in tuple(ResultType) else ResultType.OTHER,
        uuid if isinstance(uuid, str) and _UUID.fullmatch(uuid) else None,
        number if isinstance(number, str) else None,
        after,
        token if isinstance(token, str) and _TOKEN.fullmatch(token) else None,
    )


def all_failed(result: Any) -> DaemonError | None:
    """A result that says of everybody that they did not get it, as the error that it is.

    The daemon answers so to a change of a group (measured on 0.13.19), and with an error to everything else.
    """
    results = read_results(result)
    if not results or any(each.type is ResultType.SUCCESS for each in results):
        return None
    return DaemonError(USER_ERROR, "", {"response": result})


# ---------------------------------------------------------------- errors


def read_failures(error: DaemonError) -> tuple[RecipientResult, ...]:
    """The ``results`` that an error in answer to a message comes with."""
    return read_results(error.data.get("response") if isinstance(error.data, Mapping) else None)


def read_types(error: DaemonError) -> set[ResultType]:
    """The types of these results; without any, the type that the error stands for by its code or words, if any."""
    if types := {result.type for result in read_failures(error)}:
        return types
    if error.code in _BY_CODE:
        return {_BY_CODE[error.code]}
    if error.code == USER_ERROR and _NOT_REGISTERED.fullmatch(error.message):
        return {ResultType.UNREGISTERED_FAILURE}
    thrown = _thrown(error)
    if thrown is None:
        return set()
    status = thrown["status"] or ""
    if _NETWORK.search(thrown["name"]) or status.startswith("5") or status in _REFUSED:
        return {ResultType.NETWORK_FAILURE}
    return {ResultType.RATE_LIMIT_FAILURE} if thrown["name"] == "RateLimitException" else set()


def is_for_a_member(error: DaemonError) -> bool:
    """Whether an error is about one member of a group; the others may have got the message."""
    return error.code == INTERNAL_ERROR and _FOR_A_MEMBER.match(error.message) is not None


def read_unknown(error: DaemonError, target: Target) -> dict[str, Any] | None:
    """Whom the daemon takes for somebody without Signal, though it may just have failed to look them up.

    Args:
        error: the answer to a message.
        target: whom the message goes to.

    Returns:
        Who it is, as parameters of ``getUserStatus``; None if there is no such doubt.
    """
    if any(each.type is ResultType.UNREGISTERED_FAILURE and each.uuid is None for each in read_failures(error)):
        return target.params()
    who = _NOT_REGISTERED.fullmatch(error.message) if error.code == USER_ERROR else None
    if who is None:
        return None
    return {"recipient" if who[1].startswith("+") else "username": [who[1]]}


def read_status(error: DaemonError) -> int | None:
    """The HTTP status with which Signal has answered to ``listDevices``; None if it did not answer."""
    status = _STATUS.match(error.message)
    return int(status[1]) if status else None


def _thrown(error: DaemonError) -> re.Match[str] | None:
    """The class of the exception that is behind an INTERNAL_ERROR."""
    return _THROWN.search(error.message) if error.code == INTERNAL_ERROR else None
