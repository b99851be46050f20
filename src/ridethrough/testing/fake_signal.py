"""What signal-cli 0.13.19 and the service behind it make of a request, without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ..signal_cli.targets import masked
from . import _params as read
from ._params import INTERNAL_ERROR, INVALID_PARAMS, IO_ERROR, METHOD_NOT_FOUND, RATE_LIMIT, UNTRUSTED_KEY, USER_ERROR
from ._params import RequestFailed as RequestFailed  # noqa: PLC0414
from .faults import Failure

VERSION = "0.13.19"

SENDING = frozenset({"send", "sendReaction", "remoteDelete", "sendReceipt", "updateContact", "updateGroup"})
"""The methods that a message is sent with, and that faults happen to."""

NOTE_TO_SELF = "note to self"
"""The target of an :class:`Arrival` that its sender sent to itself."""

_LONGEST_TEXT = 2000
"""In bytes of UTF-8; a longer one is uploaded first, like an attachment."""
_PUSH = "org.whispersystems.signalservice.api.push.exceptions"
_UNEXPECTED = " (UnexpectedErrorException)"

_DENIED, _LIMITED = ("Authorization failed!", "AuthorizationFailedException"), ("Rate Limited", "RateLimitException")
_REFUSALS = {401: _DENIED, 403: _DENIED, 413: _LIMITED, 429: _LIMITED}
"""By the service's HTTP status: signal-cli's words for it, and the exception that it is."""
_KINDS: dict[int | None, str] = {404: "UNREGISTERED_FAILURE", 413: "RATE_LIMIT_FAILURE", 429: "RATE_LIMIT_FAILURE"}
"""By the service's HTTP status: what becomes of a message; of others, it is a network failure."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that reached Signal, for one recipient or one group.

    Attributes:
        account: the telephone number of the account that sent it.
        target: the recipient as it was addressed, the group's id, or :data:`NOTE_TO_SELF`.
        text: what it says; empty if it is no text.
        timestamp: its identity on Signal, in milliseconds since 1970.
        method: what signal-cli was asked to do.
        params: the parameters that it was asked with.
    """

    account: str
    target: str
    text: str
    timestamp: int
    method: str = "send"
    params: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<Arrival at {self.timestamp} for {masked(self.target)}>"


@dataclass(frozen=True, slots=True)
class _Call:
    """A request of an account.

    Attributes:
        people, groups, to_self: where it goes, if it sends something.
        text: what it says.
    """

    account: str
    method: str
    params: Mapping[str, Any]
    failure: Failure | None
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    to_self: bool = False
    text: str = ""


class FakeSignal:
    """Accounts, and a service that they send through; the attributes are those of :class:`FakeSignalDaemon`."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self.accounts: list[str] = list(accounts)
        self.groups: dict[str, tuple[str, ...]] = {}
        self.per_recipient: dict[str, Failure] = {}
        self.safety_numbers: dict[str, str] = {}
        self.sticker_packs: set[str] = set()
        self.service_reachable = True
        self.service_status: int | None = None
        self.sends: list[Arrival] = []
        self._looked_up: set[str] = set()
        self._met: set[str] = set()
        self._last_timestamp = 0
        self._methods: dict[str, Callable[[_Call], Any]] = {
            "send": self._send,
            "sendReaction": self._react,
            "remoteDelete": self._delete,
            "sendReceipt": self._receipt,
            "sendTyping": self._typing,
            "updateContact": self._set_timer,
            "updateGroup": self._set_group_timer,
            "getUserStatus": self._user_status,
            "listDevices": self._devices,
            "trust": self._trust,
            "submitRateLimitChallenge": self._challenge,
        }

    def call(self, method: str, params: Mapping[str, Any], failure: Failure | None = None) -> Any:
        """Perform a request.

        Args:
            method: what to do, by signal-cli's name for it.
            params: its parameters by name.
            failure: what becomes of it, if it sends something.

        Returns:
            The result.

        Raises:
            RequestFailed: the answer is an error.
        """
        if method == "listAccounts":
            return [{"number": number} for number in self.accounts]
        if method == "version":
            if params.get("account") is not None:
                self._account(params)
            return {"version": VERSION}
        perform = self._methods.get(method)
        if perform is None:
            raise RequestFailed(METHOD_NOT_FOUND, "Method not implemented")
        return perform(_Call(self._account(params), method, params, failure))

    def _account(self, params: Mapping[str, Any]) -> str:
        account = params.get("account")
        if account is None:
            if len(self.accounts) != 1:
                raise RequestFailed(INVALID_PARAMS, "Method requires valid account parameter")
            return self.accounts[0]
        if account not in self.accounts:
            raise RequestFailed(INVALID_PARAMS, "Specified account does not exist")
        return str(account)

    # The methods

    def _send(self, call: _Call) -> dict[str, Any]:
        call, content = _addressed(call), read.content_of(call.params)
        if content.files or len(content.text.encode(errors="replace")) > _LONGEST_TEXT:
            self._upload(content.files)
        for person in content.people:
            self._look_up(person)
        if content.sticker_pack is not None and content.sticker_pack not in self.sticker_packs:
            raise read.user_error("Failed to send sticker: Sticker pack not found")
        if content.image is not None:
            self._upload([content.image])
        return _judged(self._post(replace(call, text=content.text)))

    def _react(self, call: _Call) -> dict[str, Any]:
        call, params = _addressed(call), call.params
        read.flag_of(params, "remove")
        read.needed_long_of(params, "targetTimestamp")
        if params.get("targetAuthor") is not None:
            self._look_up(read.one_person_of(params, "targetAuthor"))
        if params.get("emoji") is None:
            raise read.missing("parameter emoji")
        return _judged(self._post(call))

    def _delete(self, call: _Call) -> dict[str, Any]:
        call = _addressed(call)
        read.needed_long_of(call.params, "targetTimestamp")
        return _judged(self._post(call))

    def _receipt(self, call: _Call) -> dict[str, Any]:
        person = read.one_person_of(call.params, "recipient")
        kind = read.text_of(call.params, "type")
        if kind not in (None, "read", "viewed"):
            raise read.user_error(f"Unknown receipt type: {kind}")
        timestamps = read.numbers_of(call.params, "targetTimestamp")
        response = self._post(replace(call, people=(person,)))
        read.check_longs(timestamps)  # only now, when it is sent
        return _judged(response)

    def _typing(self, call: _Call) -> dict[str, Any]:
        people, groups = read.people_of(call.params), read.groups_of(call.params)
        read.flag_of(call.params, "stop")
        if not (people or groups):
            raise read.user_error("No recipients given")
        for group in groups:
            if group not in self.groups:
                raise read.user_error(f"Failed to send to group: Group not found: {group}")
        try:
            return _judged(self._post(replace(call, people=tuple(people), groups=tuple(groups))))
        except RequestFailed as error:
            if error.code != INTERNAL_ERROR:
                raise
            raise read.user_error(error.message.removesuffix(_UNEXPECTED)) from None

    def _set_timer(self, call: _Call) -> dict[str, Any]:
        person = read.one_person_of(call.params, "recipient")
        if read.integer_of(call.params, "expiration") is not None:
            self._look_up(person)
            self._post(replace(call, people=(person,)))  # signal-cli does not tell what becomes of it
        return {}

    def _set_group_timer(self, call: _Call) -> dict[str, Any]:
        group_id = read.text_of(call.params, "groupId")
        if group_id is None:
            raise read.user_error("This daemon to test against makes no groups: put them into its attribute groups")
        read.integer_of(call.params, "expiration")
        response = self._post(replace(call, groups=(read.group_id_of(group_id),)))
        for result in response["results"]:
            del result["groupId"]
        return response  # not judged: it is a result, even if all failed

    def _user_status(self, call: _Call) -> list[dict[str, Any]]:
        recipients, usernames = read.texts_of(call.params, "recipient"), read.texts_of(call.params, "username")
        numbers = [(each, "number", read.number_of(each)) for each in recipients]
        return [self._status_of(*each) for each in [*numbers, *((each, "username", each) for each in usernames)]]

    def _status_of(self, given: str, kind: str, person: str | None) -> dict[str, Any]:
        if person is None:
            return {"recipient": given, "uuid": None, "isRegistered": False}
        self._ask("Unable to check if users are registered", named=True)
        failure = self.per_recipient.get(person)
        registered = failure is None or failure.type != "UNREGISTERED_FAILURE"
        uuid = _uuid_of(person) if registered else None
        return {"recipient": given, kind: person, "uuid": uuid, "isRegistered": registered}

    def _devices(self, _: _Call) -> list[dict[str, Any]]:
        self._ask("Failed to get linked devices")
        return [{"id": 1, "name": None, "createdTimestamp": 0, "lastSeenTimestamp": 1_700_000_000_000}]

    def _trust(self, call: _Call) -> dict[str, Any]:
        person = read.one_person_of(call.params, "recipient")
        whatever = read.flag_of(call.params, "trustAllKnownKeys")
        number = None if whatever else read.safety_number_of(call.params)
        self._look_up(person)
        failure = self.per_recipient.get(person)
        untrusted = failure is not None and failure.type == "IDENTITY_FAILURE"
        if number is None:
            found, what = untrusted or person in self._met, "number is"
        else:
            found = number == "".join(self.safety_numbers.get(person, "").split())
            what = "number and the fingerprint/safety number are"
        if not found:
            raise read.user_error(f"Failed to set the trust for this number, make sure the {what} correct.")
        if untrusted:
            del self.per_recipient[person]
        return {}

    def _challenge(self, call: _Call) -> dict[str, Any]:
        token = read.text_of(call.params, "challenge")
        if token is None:
            raise read.missing("parameter challenge")
        self._ask("Submit challenge error")
        self.per_recipient = {who: failure for who, failure in self.per_recipient.items() if failure.token != token}
        return {}

    # The service behind it

    def _trouble(self) -> tuple[str, str] | None:
        """What is wrong with the service at the moment: in words, and the name of the exception."""
        if not self.service_reachable:
            return "Closed unexpectedly", "SocketException"
        if self.service_status is not None:
            words, name = _REFUSALS.get(self.service_status, ("", "NonSuccessfulResponseCodeException"))
            return f"[{self.service_status}] {words}", name
        return None

    def _ask(self, what: str, *, named: bool = False) -> None:
        """Ask the service; ``named``: an error tells the name of the exception."""
        if trouble := self._trouble():
            raise RequestFailed(IO_ERROR, f"{what}: {trouble[0]}" + (f" ({trouble[1]})" if named else ""))

    def _look_up(self, person: str) -> None:
        """Find out who that is."""
        if not self._is_known(person):
            if self._trouble():
                raise read.user_error(f"The user {person} is not registered.")
            self._looked_up.add(person)

    def _is_known(self, person: str) -> bool:
        return read.is_uuid(person) or person in self.accounts or person in self._looked_up

    def _upload(self, files: list[str]) -> None:
        """What is too large for a message goes to the service by itself, and first."""
        if trouble := self._trouble():
            why = f"{trouble[0]} ({trouble[1]})"
            raise RequestFailed(INTERNAL_ERROR, f"Failed to send message: {why}{_UNEXPECTED}")
        for file in files:
            read.check_file(file)

    def _post(self, call: _Call) -> dict[str, Any]:
        """Send a message to everybody whom it is for."""
        for group in call.groups:
            if group not in self.groups:
                raise read.user_error(f"Group not found: {group}")
        timestamp = self._last_timestamp = max(self._last_timestamp + 1, time.time_ns() // 1_000_000)
        results: list[dict[str, Any]] = []

        def arrive(target: str) -> None:
            self.sends.append(Arrival(call.account, target, call.text, timestamp, call.method, call.params))

        if call.to_self:  # with no other device of its own to tell, signal-cli needs no service for it
            arrive(NOTE_TO_SELF)
            results.append(_result(call.account, "SUCCESS", known=True))
        for person in call.people:
            result = self._deliver(person, call.failure)
            if result["type"] == "SUCCESS":
                arrive(person)
            results.append(result)
        for group in call.groups:
            members = [*self.groups[group], *([call.account] if _notifies_self(call) else [])]
            outcomes = [self._deliver(member, call.failure) | {"groupId": group} for member in members]
            types = {outcome["type"] for outcome in outcomes}
            if "SUCCESS" in types or not outcomes:
                arrive(group)
            if "NETWORK_FAILURE" in types and self.service_reachable:
                raise _group_failed(self.service_status or 503)
            results += outcomes
        return {"timestamp": timestamp, "results": results}

    def _deliver(self, person: str, failure: Failure | None) -> dict[str, Any]:
        """What becomes of a message for one recipient."""
        known = self._is_known(person)
        if self._trouble():
            kind = _KINDS.get(self.service_status if self.service_reachable else None, "NETWORK_FAILURE")
            # Whom it never looked up, it cannot look up now, and takes for somebody without Signal.
            return _result(person, kind if known else "UNREGISTERED_FAILURE", known)
        if failure is None or (failure.only and person not in failure.only):
            failure = self.per_recipient.get(person)
        if failure is None:
            self._looked_up.add(person)
            self._met.add(person)
            return _result(person, "SUCCESS", known=True)
        result = _result(person, failure.type, known or failure.type != "UNREGISTERED_FAILURE")
        if failure.token is not None:
            result["token"] = failure.token
        if failure.retry_after is not None:
            result["retryAfterSeconds"] = failure.retry_after
        return result


def _addressed(call: _Call) -> _Call:
    """The request, with where it goes."""
    people, groups = read.people_of(call.params), read.groups_of(call.params)
    to_self = read.flag_of(call.params, "noteToSelf")
    if not (people or groups or to_self):
        raise read.user_error("No recipients given")
    if call.account in people and not _notifies_self(call):
        people.remove(call.account)
        to_self = True
    return replace(call, people=tuple(people), groups=tuple(groups), to_self=to_self)


def _notifies_self(call: _Call) -> bool:
    return call.method == "send" and read.flag_of(call.params, "notifySelf")


def _group_failed(status: int) -> RequestFailed:
    """The whole fails, though some have got it, if the service answers so to a message for one member of a group."""
    words, name = _REFUSALS.get(status, (f"Bad response: {status} -: ", "NonSuccessfulResponseCodeException"))
    why = f"{_PUSH}.{name}: [{status}] {words} (IOException){_UNEXPECTED}"
    return RequestFailed(INTERNAL_ERROR, f"Failed to send message: {why}")


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
    if read.is_uuid(person):
        address["uuid"] = person
    else:
        address["number" if person.startswith("+") else "username"] = person
        if known:
            address["uuid"] = _uuid_of(person)
    return {"recipientAddress": address, "type": kind}


def _uuid_of(person: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"signal:{person}"))
