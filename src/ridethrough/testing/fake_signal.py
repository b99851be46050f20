"""What signal-cli 0.13.19 and the service behind it make of a request, without I/O."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from ..signal_cli.messages import masked
from .faults import Failure

VERSION = "0.13.19"

USER_ERROR, UNTRUSTED_KEY, RATE_LIMIT = -1, -4, -5
METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32601, -32602, -32603

_GROUP_ID_SIZES = (16, 32)
_LONGEST_TEXT = 2000
"""In bytes of UTF-8; a longer one is uploaded first, like an attachment."""

NOTE_TO_SELF = "note to self"
"""The target of an :class:`Arrival` that its sender sent to itself."""


class RequestFailed(Exception):
    """The answer to a request is an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code)
        self.code: int = code
        self.message: str = message
        self.data: Any = data


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that reached Signal, for one recipient or one group.

    Attributes:
        account: the telephone number of the account that sent it.
        target: the recipient as it was addressed, the group's id, or :data:`NOTE_TO_SELF`.
        text: what it says.
        timestamp: its identity on Signal, in milliseconds since 1970.
    """

    account: str
    target: str
    text: str
    timestamp: int

    def __repr__(self) -> str:
        return f"<Arrival at {self.timestamp} for {masked(self.target)}>"


class FakeSignal:
    """Accounts, and a service that they send through; the attributes are those of :class:`FakeSignalDaemon`."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.accounts: list[str] = list(accounts)
        self.groups: dict[str, tuple[str, ...]] = {}
        self.per_recipient: dict[str, Failure] = {}
        self.service_reachable = True
        self.sends: list[Arrival] = []
        self._looked_up: set[str] = set()
        self._last_timestamp = 0

    def call(self, method: str, params: Mapping[str, Any], failure: Failure | None = None) -> Any:
        """Perform a request.

        Args:
            method: what to do: ``version``, ``listAccounts`` or ``send``.
            params: its parameters by name.
            failure: what becomes of it, if it is a send.

        Returns:
            The result.

        Raises:
            RequestFailed: the answer is an error.
        """
        match method:
            case "version":
                if params.get("account") is not None:
                    self._account(params)
                return {"version": VERSION}
            case "listAccounts":
                return [{"number": number} for number in self.accounts]
            case "send":
                return self._send(self._account(params), params, failure)
        raise RequestFailed(METHOD_NOT_FOUND, "Method not implemented")

    def _account(self, params: Mapping[str, Any]) -> str:
        account = params.get("account")
        if account is None:
            if len(self.accounts) != 1:
                raise RequestFailed(INVALID_PARAMS, "Method requires valid account parameter")
            return self.accounts[0]
        if account not in self.accounts:
            raise RequestFailed(INVALID_PARAMS, "Specified account does not exist")
        return str(account)

    def _send(self, account: str, params: Mapping[str, Any], failure: Failure | None) -> dict[str, Any]:
        people, groups = _recipients(params), _group_ids(params)
        note_to_self = _flag(params, "noteToSelf")
        if not (people or groups or note_to_self):
            raise RequestFailed(USER_ERROR, "No recipients given")
        text = self._text(params)
        self._upload(params, text)
        for group in groups:
            if group not in self.groups:
                raise RequestFailed(USER_ERROR, f"Group not found: {group}")
        if account in people and not _flag(params, "notifySelf"):
            people.remove(account)
            note_to_self = True
        timestamp = self._last_timestamp = max(self._last_timestamp + 1, time.time_ns() // 1_000_000)
        results: list[dict[str, Any]] = []
        if note_to_self:  # with no other device of its own to tell, signal-cli needs no service for it
            self.sends.append(Arrival(account, NOTE_TO_SELF, text, timestamp))
            results.append(_result(account, "SUCCESS", known=True))
        for person in people:
            result = self._deliver(person, failure)
            if result["type"] == "SUCCESS":
                self.sends.append(Arrival(account, person, text, timestamp))
            results.append(result)
        for group in groups:
            members = [self._deliver(member, failure) | {"groupId": group} for member in self.groups[group]]
            if any(result["type"] == "SUCCESS" for result in members):
                self.sends.append(Arrival(account, group, text, timestamp))
            results += members
        return _judged({"timestamp": timestamp, "results": results})

    def _text(self, params: Mapping[str, Any]) -> str:
        value = params.get("message")
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        if not (text or params.get("attachment") or params.get("sticker")):
            what = "either a message, attachment or sticker must be given."
            raise RequestFailed(USER_ERROR, f"Sending empty message is not allowed, {what}")
        return text

    def _upload(self, params: Mapping[str, Any], text: str) -> None:
        """What is too large for a message goes to the service by itself, and first."""
        large = params.get("attachment") or len(text.encode(errors="replace")) > _LONGEST_TEXT
        if large and not self.service_reachable:
            why = "Closed unexpectedly (SocketException) (UnexpectedErrorException)"
            raise RequestFailed(INTERNAL_ERROR, f"Failed to send message: {why}")

    def _deliver(self, person: str, failure: Failure | None) -> dict[str, Any]:
        """What becomes of a message for one recipient."""
        known = _is_uuid(person) or person in self._looked_up
        if not self.service_reachable:
            # Whom it never looked up, it cannot look up now, and takes for somebody without Signal.
            return _result(person, "NETWORK_FAILURE" if known else "UNREGISTERED_FAILURE", known)
        if failure is None or (failure.only and person not in failure.only):
            failure = self.per_recipient.get(person)
        if failure is None:
            self._looked_up.add(person)
            return _result(person, "SUCCESS", known=True)
        result = _result(person, failure.type, known or failure.type != "UNREGISTERED_FAILURE")
        if failure.token is not None:
            result["token"] = failure.token
        if failure.retry_after is not None:
            result["retryAfterSeconds"] = failure.retry_after
        return result


def _judged(response: dict[str, Any]) -> dict[str, Any]:
    """The response, if it has a success or is empty."""
    types = {result["type"] for result in response["results"]}
    if not types or "SUCCESS" in types:
        return response
    if types == {"IDENTITY_FAILURE"}:
        code, message = UNTRUSTED_KEY, "Failed to send message due to untrusted identities"
    elif types == {"RATE_LIMIT_FAILURE"}:
        code, message = RATE_LIMIT, "Failed to send message due to rate limiting"
    else:
        code, message = USER_ERROR, "Failed to send message"
    raise RequestFailed(code, message, {"response": response})


def _result(person: str, kind: str, known: bool) -> dict[str, Any]:
    address: dict[str, str | None] = {"uuid": None, "number": None, "username": None}
    if _is_uuid(person):
        address["uuid"] = person
    else:
        address["number" if person.startswith("+") else "username"] = person
        if known:
            address["uuid"] = str(uuid5(NAMESPACE_URL, f"signal:{person}"))
    return {"recipientAddress": address, "type": kind}


def _values(params: Mapping[str, Any], name: str) -> list[str]:
    """A parameter that may be a scalar, a list, or a list under the plural name."""
    value = params.get(name)
    if value is None:
        value = params.get(f"{name}s")
    values = value if isinstance(value, list) else [] if value is None else [value]
    for each in values:
        if not isinstance(each, str):
            raise RequestFailed(INTERNAL_ERROR, "a value cannot be cast to class java.lang.String (ClassCastException)")
    return values


def _flag(params: Mapping[str, Any], name: str) -> bool:
    value = params.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestFailed(INTERNAL_ERROR, "a value cannot be cast to class java.lang.Boolean (ClassCastException)")
    return value is True


def _recipients(params: Mapping[str, Any]) -> list[str]:
    """The people addressed, each once."""
    people = [_person(value) for value in _values(params, "recipient")]
    return list(dict.fromkeys([*people, *_values(params, "username")]))


def _person(value: str) -> str:
    if _is_uuid(value):
        return value.lower()
    if value.startswith("u:"):
        return value.removeprefix("u:")
    digits = re.sub(r"\D", "", value)
    if not digits:
        raise RequestFailed(USER_ERROR, f"Invalid phone number '{value}': No valid characters found.")
    return f"+{digits}"


def _group_ids(params: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(_group_id(value) for value in _values(params, "groupId")))


def _group_id(value: str) -> str:
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        problem = "Illegal base64 character"
    else:
        if len(decoded) in _GROUP_ID_SIZES:
            return base64.b64encode(decoded).decode()
        problem = f"Invalid group id of size {len(decoded)}"
    why = f'Failed to decode groupId (must be base64) "{value}": {problem}'
    raise RequestFailed(USER_ERROR, f"Invalid group id: {why}")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
