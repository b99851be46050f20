"""What signal-cli 0.13.19 answers to what: one table, which the real daemon and the fake one are both held against."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ridethrough.jsonrpc import MAX_DEPTH, MAX_DIGITS, MAX_NAME, MAX_STRING
from ridethrough.testing import Failure
from tests.talk import request, send, talk_to

NUMBER = "+15550001111"
"""The account."""
OTHER_NUMBER = "+15550009999"
GROUP = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""A group that nobody is in."""
FRIENDS = "b3VyIHRlc3QgZnJpZW5kcw=="
"""A group that the account is in with ANNA and BERT. The real daemon gives it an id of its own."""


def person(number: int) -> str:
    """The address of somebody on Signal."""
    return f"22222222-2222-4222-8222-{number:012}"


ANNA, BERT, LETTERS = person(1), person(2), "abcdabcd-abcd-4bcd-8bcd-abcdabcdabcd"
CARL, CLARA = person(3), person(4)  # who take new identities, once each
DAN = person(5)  # whom nobody ever reaches
ACQUAINTANCES = (ANNA, BERT, CARL, CLARA, LETTERS)


class Like:
    """Equals every text, or every integer, of that form."""

    def __init__(self, pattern: str, kind: type = str) -> None:
        self.pattern, self.kind = pattern, kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.kind) and re.fullmatch(self.pattern, str(other), re.DOTALL) is not None

    def __hash__(self) -> int:
        raise TypeError("it equals too much")

    def __repr__(self) -> str:
        return f"Like({self.pattern!r})"


TIMESTAMP = Like(r"1\d{12}", int)
OWN_UUID = Like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ITS_OWN_WORDS = Like(".*")
"""The words of the Java parser, which nobody reads and the fake does not repeat."""


@dataclass(frozen=True)
class Case:
    """Lines that are sent at once, and what comes back.

    Attributes:
        lines: what is sent.
        answers: the lines that come back, in any order.
        ends: whether the connection ends then.
        arrivals: to which person or group something has reached Signal by then; notes to self have no need to.
        failing: whom Signal fails, and how.
        reachable: whether Signal is reachable.
        status: the HTTP status with which Signal refuses everything, if it does.
        account: whether the daemon has its account.
    """

    lines: tuple[bytes | dict[str, Any] | list[Any], ...]
    answers: tuple[Any, ...] = ()
    ends: bool = False
    arrivals: tuple[str, ...] = ()
    failing: Mapping[str, Failure] = field(default_factory=dict)
    reachable: bool = True
    status: int | None = None
    account: bool = True


def result(value: Any, request_id: Any = "1") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": request_id}


def error(code: int, message: str | Like = ITS_OWN_WORDS, request_id: Any = "1", data: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message, "data": data}, "id": request_id}


def outcome(who: str, kind: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    """What became of a message for one recipient."""
    address: dict[str, Any] = {"uuid": None, "number": None, "username": None}
    if who.startswith("+"):
        address["number"] = who
        if who == NUMBER:
            address["uuid"] = OWN_UUID
    else:
        address["uuid" if "-" in who else "username"] = who
    return {"recipientAddress": address, "type": kind, **more}


def sent(*outcomes: dict[str, Any], request_id: Any = "1") -> dict[str, Any]:
    return result({"timestamp": TIMESTAMP, "results": list(outcomes)}, request_id)


def failed(*outcomes: dict[str, Any], code: int = -1, why: str = "") -> dict[str, Any]:
    response = {"response": {"timestamp": TIMESTAMP, "results": list(outcomes)}}
    return error(code, f"Failed to send message{why}", data=response)


def rate_limited(*outcomes: dict[str, Any]) -> dict[str, Any]:
    return failed(*outcomes, code=-5, why=" due to rate limiting")


def line_of(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": "1", "method": "version"} | members).encode()


VERSION = request("version")
IS_VERSION = result({"version": "0.13.19"})
NO_ACCOUNT = error(-32602, "Specified account does not exist")
NO_TARGET = error(-1, "No recipients given")
EMPTY = error(-1, "Sending empty message is not allowed, either a message, attachment or sticker must be given.")
CAST = error(-32603, Like(r".*cannot be cast to class java\.lang\.\w+.*\(ClassCastException\)"))
NO_GROUP = error(-1, f"Group not found: {GROUP}")
BAD_GROUP = error(-1, Like(r"Invalid group id: Failed to decode groupId \(must be base64\) .*"))
UPLOAD_FAILED = error(-32603, Like(r"Failed to send message: .*\((Socket|IO)Exception\) \(UnexpectedErrorException\)"))

CASES = {
    # What is no send
    "version": Case((VERSION,), (IS_VERSION,)),
    "version of an account": Case((request("version", account=NUMBER),), (IS_VERSION,)),
    "version of an unknown account": Case((request("version", account=OTHER_NUMBER),), (NO_ACCOUNT,)),
    "accounts": Case((request("listAccounts"),), (result([{"number": NUMBER}]),)),
    "accounts of an unknown account": Case(
        (request("listAccounts", account=OTHER_NUMBER),), (result([{"number": NUMBER}]),)
    ),
    "accounts when there are none": Case((request("listAccounts"),), (result([]),), account=False),
    "unknown method": Case((request("nothing", account=OTHER_NUMBER),), (error(-32601, "Method not implemented"),)),
    # Who sends
    "account named": Case((send("hi", ANNA, account=NUMBER),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "account not named": Case((send("hi", ANNA),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "account null": Case((line_of(method="send", params={"account": None}),), (NO_TARGET,)),
    "account unknown": Case((send("hi", ANNA, account=OTHER_NUMBER),), (NO_ACCOUNT,)),
    "account no text": Case((send("hi", ANNA, account=5),), (NO_ACCOUNT,)),
    "account missing": Case((send("hi", ANNA, account=NUMBER),), (NO_ACCOUNT,), account=False),
    "account missing and not named": Case(
        (send("hi", ANNA),), (error(-32602, "Method requires valid account parameter"),), account=False
    ),
    # To whom
    "two": Case((send("hi", [ANNA, BERT]),), (sent(outcome(ANNA), outcome(BERT)),), arrivals=(ANNA, BERT)),
    "one twice": Case((send("hi", [ANNA, ANNA]),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "plural name": Case((send("hi", recipients=[ANNA]),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "both names": Case((send("hi", BERT, recipients=[ANNA]),), (sent(outcome(BERT)),), arrivals=(BERT,)),
    "capitals": Case((send("hi", LETTERS.upper()),), (sent(outcome(LETTERS)),), arrivals=(LETTERS,)),
    "nobody": Case((send("hi"),), (NO_TARGET,)),
    "nobody in the list": Case((send("hi", []),), (NO_TARGET,)),
    "nobody and no params": Case((line_of(method="send"),), (NO_TARGET,)),
    "nobody and no text": Case((request("send"),), (NO_TARGET,)),
    "no number": Case((send("hi", "anna"),), (error(-1, "Invalid phone number 'anna': No valid characters found."),)),
    "recipient no text": Case((send("hi", [5]),), (CAST,)),
    "note to self": Case((send("hi", noteToSelf=True),), (sent(outcome(NUMBER)),)),
    "note to self and another": Case(
        (send("hi", ANNA, noteToSelf=True),), (sent(outcome(NUMBER), outcome(ANNA)),), arrivals=(ANNA,)
    ),
    "note to self false": Case((send("hi", noteToSelf=False),), (NO_TARGET,)),
    "note to self no boolean": Case((send("hi", noteToSelf="true"),), (CAST,)),
    "own number": Case((send("hi", NUMBER),), (sent(outcome(NUMBER)),)),
    "own number to be notified": Case(
        (send("hi", NUMBER, notifySelf=True),), (sent(outcome(NUMBER)),), arrivals=(NUMBER,)
    ),
    "unknown group": Case((send("hi", groupId=GROUP),), (NO_GROUP,)),
    "unknown group without padding": Case((send("hi", groupId=GROUP[:-1]),), (NO_GROUP,)),
    "unknown old group": Case(
        (send("hi", groupId=["AAAAAAAAAAAAAAAAAAAAAA=="]),), (error(-1, "Group not found: AAAAAAAAAAAAAAAAAAAAAA=="),)
    ),
    "group of a wrong size": Case((send("hi", groupId="zzz"),), (BAD_GROUP,)),
    "group not base64": Case((send("hi", groupId="!!!"),), (BAD_GROUP,)),
    "group for URLs": Case((send("hi", groupId=f"-_{GROUP[2:]}"),), (BAD_GROUP,)),
    # What
    "no text": Case((request("send", recipient=ANNA),), (EMPTY,)),
    "empty text": Case((send("", ANNA),), (EMPTY,)),
    "empty text to an unknown group": Case((send("", groupId=GROUP),), (EMPTY,)),
    "empty text to no number": Case(
        (send("", "anna"),), (error(-1, "Invalid phone number 'anna': No valid characters found."),)
    ),
    "spaces": Case((send("  ", ANNA),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "text no text": Case((request("send", recipient=ANNA, message=5),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "lone surrogate": Case((send("\ud800", ANNA),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    "unknown param": Case((send("hi", ANNA, mesage="x", timestamp=1),), (sent(outcome(ANNA)),), arrivals=(ANNA,)),
    # What becomes of it
    "network failure": Case(
        (send("hi", BERT),), (failed(outcome(BERT, "NETWORK_FAILURE")),), failing={BERT: Failure("NETWORK_FAILURE")}
    ),
    "unregistered": Case(
        (send("hi", BERT),),
        (failed(outcome(BERT, "UNREGISTERED_FAILURE")),),
        failing={BERT: Failure("UNREGISTERED_FAILURE")},
    ),
    "new identity": Case(
        (send("hi", CARL),),
        (failed(outcome(CARL, "IDENTITY_FAILURE"), code=-4, why=" due to untrusted identities"),),
        failing={CARL: Failure("IDENTITY_FAILURE")},
    ),
    "bad keys": Case(
        (send("hi", DAN),),
        (failed(outcome(DAN, "INVALID_PRE_KEY_FAILURE")),),
        failing={DAN: Failure("INVALID_PRE_KEY_FAILURE")},
    ),
    "rate limit": Case(
        (send("hi", BERT),),
        (rate_limited(outcome(BERT, "RATE_LIMIT_FAILURE")),),
        failing={BERT: Failure("RATE_LIMIT_FAILURE")},
    ),
    "rate limit with CAPTCHA": Case(
        (send("hi", BERT),),
        (rate_limited(outcome(BERT, "RATE_LIMIT_FAILURE", token="t", retryAfterSeconds=77)),),
        failing={BERT: Failure("RATE_LIMIT_FAILURE", token="t", retry_after=77)},
    ),
    "partial success": Case(
        (send("hi", [ANNA, BERT]),),
        (sent(outcome(ANNA), outcome(BERT, "NETWORK_FAILURE")),),
        arrivals=(ANNA,),
        failing={BERT: Failure("NETWORK_FAILURE")},
    ),
    "partial success with oneself": Case(
        (send("hi", BERT, noteToSelf=True),),
        (sent(outcome(NUMBER), outcome(BERT, "NETWORK_FAILURE")),),
        failing={BERT: Failure("NETWORK_FAILURE")},
    ),
    "rate limit and network failure": Case(
        (send("hi", [ANNA, BERT]),),
        (failed(outcome(ANNA, "RATE_LIMIT_FAILURE"), outcome(BERT, "NETWORK_FAILURE")),),
        failing={ANNA: Failure("RATE_LIMIT_FAILURE"), BERT: Failure("NETWORK_FAILURE")},
    ),
    "rate limit and new identity": Case(
        (send("hi", [ANNA, CLARA]),),
        (failed(outcome(ANNA, "RATE_LIMIT_FAILURE"), outcome(CLARA, "IDENTITY_FAILURE")),),
        failing={ANNA: Failure("RATE_LIMIT_FAILURE"), CLARA: Failure("IDENTITY_FAILURE")},
    ),
    "away": Case((send("hi", ANNA),), (failed(outcome(ANNA, "NETWORK_FAILURE")),), reachable=False),
    "away, two": Case(
        (send("hi", [ANNA, BERT]),),
        (failed(outcome(ANNA, "NETWORK_FAILURE"), outcome(BERT, "NETWORK_FAILURE")),),
        reachable=False,
    ),
    "away, unknown number": Case(
        (send("hi", OTHER_NUMBER),), (failed(outcome(OTHER_NUMBER, "UNREGISTERED_FAILURE")),), reachable=False
    ),
    "away, unknown username": Case(
        (send("hi", username="anna.42"),), (failed(outcome("anna.42", "UNREGISTERED_FAILURE")),), reachable=False
    ),
    "away, unknown username as recipient": Case(
        (send("hi", "u:anna.42"),), (failed(outcome("anna.42", "UNREGISTERED_FAILURE")),), reachable=False
    ),
    "away, longest short text": Case(
        (send("é" * 1000, ANNA),), (failed(outcome(ANNA, "NETWORK_FAILURE")),), reachable=False
    ),
    "away, shortest long text": Case((send("é" * 1000 + "e", ANNA),), (UPLOAD_FAILED,), reachable=False),
    "away, long text to oneself": Case((send("e" * 2001, noteToSelf=True),), (UPLOAD_FAILED,), reachable=False),
    "away, long text to an unknown group": Case((send("e" * 2001, groupId=GROUP),), (UPLOAD_FAILED,), reachable=False),
    "away, attachment": Case(
        (send("hi", ANNA, attachment=["data:text/plain;base64,aGk="]),), (UPLOAD_FAILED,), reachable=False
    ),
    "away, note to self": Case((send("hi", noteToSelf=True),), (sent(outcome(NUMBER)),), reachable=False),
    "away, unknown group": Case((send("hi", groupId=GROUP),), (NO_GROUP,), reachable=False),
    # JSON-RPC
    "id a number": Case((line_of(id=7),), (IS_VERSION | {"id": 7},)),
    "id a decimal": Case((line_of(id=7.5),), (IS_VERSION | {"id": 7.5},)),
    "id true": Case((line_of(id=True),), (IS_VERSION | {"id": True},)),
    "id null": Case((line_of(id=None),), (IS_VERSION | {"id": None},)),
    "id an object": Case((line_of(id={}),), (error(-32600, request_id=None),)),
    "id an array": Case((line_of(id=[1]),), (error(-32600, request_id=None),)),
    "id twice": Case((b'{"jsonrpc":"2.0","id":"2","id":"1","method":"version"}',), (IS_VERSION,)),
    "no id": Case((b'{"jsonrpc":"2.0","method":"version"}',)),
    "no id, send": Case(
        ({"jsonrpc": "2.0", "method": "send", "params": {"recipient": ANNA, "message": "hi"}},), arrivals=(ANNA,)
    ),
    "no version": Case((b'{"id":"1","method":"version"}',), (error(-32600, "only jsonrpc version 2.0 is supported"),)),
    "old version": Case((line_of(jsonrpc="1.0"),), (error(-32600, "only jsonrpc version 2.0 is supported"),)),
    "nothing": Case((b"{}",), (error(-32600, "only jsonrpc version 2.0 is supported", None),)),
    "no method": Case((b'{"jsonrpc":"2.0","id":"1"}',), (error(-32600, "method field must be set"),)),
    "empty method": Case((line_of(method=""),), (error(-32601, "Method not implemented"),)),
    "method no text": Case((line_of(method=5),), (error(-32601, "Method not implemented"),)),
    "params null": Case((line_of(params=None),), (IS_VERSION,)),
    "params an array": Case((line_of(params=[]),), (error(-32600),)),
    "params a text": Case((line_of(params="x"),), (error(-32600),)),
    "unknown member": Case((line_of(more=1),), (error(-32600, Like('Unrecognized field "more".*')),)),
    "batch": Case(
        ([VERSION, send("hi", ANNA, "2")],), ([IS_VERSION, sent(outcome(ANNA), request_id="2")],), arrivals=(ANNA,)
    ),
    "batch of one": Case(([VERSION],), ([IS_VERSION],)),
    "batch with a mistake": Case(([5, VERSION],), ([error(-32600, request_id=None), IS_VERSION],)),
    "batch of mistakes": Case((["x", [], 5],), ([error(-32600, request_id=None)] * 3,)),
    "batch without ids": Case(([{"jsonrpc": "2.0", "method": "version"}],)),
    "batch of nothing": Case((b"[]",), (error(-32600, "invalid request", None),)),
    "number": Case((b"5",), (error(-32600, "unexpected type: NUMBER", None),)),
    "text": Case((b'"x"',), (error(-32600, "unexpected type: STRING", None),)),
    "boolean": Case((b"true",), (error(-32600, "unexpected type: BOOLEAN", None),)),
    "null": Case((b"null",), (error(-32600, "unexpected type: NULL", None),)),
    # Lines
    "two lines": Case((VERSION, request("version", "2")), (IS_VERSION, IS_VERSION | {"id": "2"})),
    "carriage return": Case((line_of() + b"\r",), (IS_VERSION,)),
    "more behind it": Case((line_of() + b" more",), (IS_VERSION,)),
    "another behind it": Case((line_of() + line_of(id=2),), (IS_VERSION,)),
    "empty": Case((b"",), (error(-32700, "Empty input line", None),)),
    "blank": Case((b"   ",), (error(-32700, "Empty input line", None),)),
    "not JSON": Case((b'{"x',), (error(-32700, request_id=None),)),
    "byte order mark": Case((b"\xef\xbb\xbf" + line_of(),), (error(-32700, request_id=None),)),
    "NaN": Case((line_of(params={"x": float("nan")}),), (error(-32700, request_id=None),)),
    "leading zero": Case((line_of(id=5).replace(b"5", b"05"),), (error(-32700, request_id=None),)),
    "control character": Case(
        (line_of() + b"\r\n" + line_of().replace(b"ver", b"v\ter"),), (IS_VERSION, error(-32700, request_id=None))
    ),
    "not UTF-8": Case((b'{"\xff":1}',), ends=True),
    "longest string": Case((line_of(params={"x": "x" * MAX_STRING}),), (IS_VERSION,)),
    "string too long": Case((line_of(params={"x": "x" * (MAX_STRING + 1)}),), ends=True),
    "longest name": Case((line_of(params={"x" * MAX_NAME: 1}),), (IS_VERSION,)),
    "name too long": Case((line_of(params={"x" * (MAX_NAME + 1): 1}),), ends=True),
    "longest number": Case((line_of(params={"x": 10 ** (MAX_DIGITS - 1)}),), (IS_VERSION,)),
    "number too long": Case((line_of(params={"x": 10**MAX_DIGITS}),), ends=True),
    "decimal too long": Case((line_of().replace(b'"1"', b"1." + b"1" * MAX_DIGITS),), ends=True),
    "too deep": Case((b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),), ends=True),
}


async def check_answers(endpoint: str, case: Case, friends: str = FRIENDS) -> None:
    """Send the case's lines to a daemon under the case's conditions, and look at what comes back.

    Args:
        endpoint: where the daemon listens.
        case: the case.
        friends: the id that the daemon has given to FRIENDS.
    """
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in case.lines]
    async with talk_to(endpoint) as talk:
        await talk.say(*(line.replace(FRIENDS.encode(), friends.encode()) for line in lines))
        heard = [(await talk.hear_line()).replace(friends.encode(), FRIENDS.encode()) for _ in case.answers]
        answers = sorted([_canonical(json.loads(line)) for line in heard], key=_id)
        assert answers == sorted(case.answers, key=_id), answers
        if case.ends:
            assert await talk.hear_line_or_end() is None
        else:
            assert await talk.ask(request("version", "last")) == IS_VERSION | {"id": "last"}


def _canonical(answer: Any) -> Any:
    """The answer, with what comes in any order in one order."""
    if isinstance(answer, list):
        return sorted(map(_canonical, answer), key=_id)
    value = answer["result"] if "result" in answer else (answer["error"]["data"] or {}).get("response")
    if isinstance(value, dict) and "results" in value:
        value["results"].sort(key=_who)
    return answer


def _id(answer: Any) -> str:
    return "" if isinstance(answer, list) else str(answer["id"] or "")


def _who(one: Any) -> tuple[bool, str, bool]:
    address = one["recipientAddress"]
    return address["number"] is None, address["uuid"] or address["username"], "groupId" in one
