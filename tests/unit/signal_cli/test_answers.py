"""answers.py: what is in the daemon's answers. They are those of signal-cli 0.13.19."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from typing import Any

import pytest

from ridethrough.signal_cli.answers import (
    DaemonError,
    RecipientResult,
    ResultType,
    SendResult,
    all_failed,
    is_for_a_member,
    read_failures,
    read_results,
    read_status,
    read_timestamp,
    read_types,
    read_unknown,
)
from ridethrough.signal_cli.targets import make_target

NUMBER, ACI = "+491701234567", "11111111-1111-4111-8111-000000000001"
SECRET = "meet me at noon"
NETWORK, RATE_LIMIT, IDENTITY = "NETWORK_FAILURE", "RATE_LIMIT_FAILURE", "IDENTITY_FAILURE"


def result(kind: object = "SUCCESS", uuid: str | None = ACI, **more: Any) -> dict[str, Any]:
    return {"recipientAddress": {"uuid": uuid, "number": NUMBER, "username": None}, "type": kind, **more}


def error(code: int, *results: dict[str, Any], message: str = "Failed to send message") -> DaemonError:
    data = {"response": {"timestamp": 1, "results": list(results)}} if results else None
    return DaemonError(code, message, data)


def internal(end: str) -> DaemonError:
    return error(-32603, message=f"{SECRET} (tomorrow): {end}")


def for_a_member(what: str) -> DaemonError:
    """What the daemon makes of an HTTP status to a message for one member of a group."""
    why = f"org.whispersystems.signalservice.api.push.exceptions.{what} (IOException) (UnexpectedErrorException)"
    return error(-32603, message=f"Failed to send message: {why}")


# Results


NO_TIMESTAMPS: list[Any] = [None, [], "sent", {}, *({"timestamp": each} for each in (None, "1", True, 1.5))]


@pytest.mark.parametrize("answer", NO_TIMESTAMPS)
def test_result_without_a_timestamp(answer: Any) -> None:
    assert read_timestamp(answer) is None


def test_result_with_a_timestamp() -> None:
    assert read_timestamp({"timestamp": 1795501188360, "results": []}) == 1795501188360


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (result(), RecipientResult(ResultType.SUCCESS, ACI, NUMBER)),
        (result(RATE_LIMIT, retryAfterSeconds=5), RecipientResult(ResultType.RATE_LIMIT_FAILURE, ACI, NUMBER, 5)),
        (
            result(RATE_LIMIT, retryAfterSeconds=86400, token="8f1c-4+/=_~.:"),
            RecipientResult(ResultType.RATE_LIMIT_FAILURE, ACI, NUMBER, 86400, "8f1c-4+/=_~.:"),
        ),
        (result("NEWER_FAILURE", uuid=None), RecipientResult(ResultType.OTHER, None, NUMBER)),
        (result("SUCCESS", uuid=SECRET), RecipientResult(ResultType.SUCCESS, None, NUMBER)),
        ({}, RecipientResult(ResultType.OTHER)),
        ({"recipientAddress": [], "type": ["SUCCESS"]}, RecipientResult(ResultType.OTHER)),
        ({"recipientAddress": {"uuid": 1, "number": 2}, "type": 3}, RecipientResult(ResultType.OTHER)),
    ],
)
def test_result_for_one_recipient(answer: dict[str, Any], read: RecipientResult) -> None:
    assert read_results({"results": [answer]}) == (read,)


@pytest.mark.parametrize("after", ["5", True, None, -1, 10**400, 700_000, "1e999", "-1e999", [5]])
def test_time_to_wait_that_makes_no_sense(after: Any) -> None:
    if isinstance(after, str) and "e" in after:
        after = json.loads(after)  # JSON has no infinity, and Python reads one all the same
    assert read_results({"results": [result(RATE_LIMIT, retryAfterSeconds=after)]})[0].retry_after is None


@pytest.mark.parametrize("token", ["", "a token", "a\ntoken", "tökén", "t" * 501, 5, ["t"], None])
def test_token_that_makes_no_sense(token: Any) -> None:
    assert read_results({"results": [result(RATE_LIMIT, token=token)]})[0].token is None


@pytest.mark.parametrize("response", [None, [], {}, {"results": None}, {"results": {}}, {"results": [None, "x", 5]}])
def test_results_of_no_such_form(response: Any) -> None:
    assert read_results(response) == ()


def test_failures_of_a_result_are_those_who_did_not_get_it() -> None:
    sent = SendResult(1, read_results({"results": [result(NETWORK), result(), result("NEWER_FAILURE")]}))
    assert [each.type for each in sent.failures] == [ResultType.NETWORK_FAILURE, ResultType.OTHER]


@pytest.mark.parametrize(
    ("results", "types"),
    [([result(NETWORK), result(RATE_LIMIT)], {NETWORK, RATE_LIMIT}), ([result(IDENTITY)], {IDENTITY})],
)
def test_result_that_all_have_failed_is_an_error(results: list[Any], types: set[str]) -> None:
    failure = all_failed({"timestamp": 1, "results": results})
    assert isinstance(failure, DaemonError)
    assert read_types(failure) == types


@pytest.mark.parametrize("answer", [{}, None, {"results": []}, {"results": [result(NETWORK), result()]}])
def test_other_results_are_none(answer: Any) -> None:
    assert all_failed(answer) is None


def test_results_show_no_number() -> None:
    assert NUMBER not in repr(SendResult(1, read_results({"results": [result()]})))


# Errors


@pytest.mark.parametrize("data", [None, SECRET, [], {}, {"response": SECRET}, {"response": {"results": SECRET}}])
def test_data_of_an_error_of_no_such_form(data: Any) -> None:
    assert read_failures(DaemonError(-1, "", data)) == ()


@pytest.mark.parametrize(
    ("answer", "types"),
    [
        (error(-1, result(NETWORK)), {NETWORK}),
        (error(-5, result(IDENTITY), result(NETWORK), result(RATE_LIMIT)), {IDENTITY, NETWORK, RATE_LIMIT}),
        (error(-1, result("SOCKET_ON_FIRE")), {"OTHER"}),
        # by the code
        (error(-3), {NETWORK}),
        (error(-4), {IDENTITY}),
        (error(-5), {RATE_LIMIT}),
        (error(-1), set()),
        (error(-1, message=f"The user {NUMBER} is not registered."), {"UNREGISTERED_FAILURE"}),
        (error(-1, message=f"The user {NUMBER} is not registered. {SECRET}"), set()),
        (error(-6), set()),
        (error(-32602), set()),
        # by the class
        (internal("Closed unexpectedly (SocketException) (UnexpectedErrorException)"), {NETWORK}),
        (internal("timeout (SocketTimeoutException)"), {NETWORK}),
        (internal("(IOException)"), {NETWORK}),
        (internal("chat.signal.org: unknown (UnknownHostException) (UnexpectedErrorException)"), {NETWORK}),
        (internal("[503]  (NonSuccessfulResponseCodeException) (UnexpectedErrorException)"), {NETWORK}),
        (internal("[404]  (NonSuccessfulResponseCodeException) (UnexpectedErrorException)"), set()),
        (internal("[403] Authorization failed! (AuthorizationFailedException) (UnexpectedErrorException)"), {NETWORK}),
        (for_a_member("AuthorizationFailedException: [403] Authorization failed!"), {NETWORK}),
        (for_a_member("MalformedResponseException: Unable to parse entity"), {NETWORK}),
        (internal("[429] Rate Limited (RateLimitException) (UnexpectedErrorException)"), {RATE_LIMIT}),
        (internal("(ClassCastException)"), set()),
        (internal("/tmp/x (IOException) (AttachmentInvalidException)"), set()),
        (internal("no exception"), set()),
        (internal(f"(SocketException) {SECRET}"), set()),
        (error(-1, message="(SocketException)"), set()),
    ],
    ids=lambda value: ", ".join(sorted(value)) if isinstance(value, set) else str(value),  # the same in each process
)
def test_types_of_an_error(answer: DaemonError, types: set[str]) -> None:
    assert read_types(answer) == types


@pytest.mark.parametrize(
    ("answer", "so"),
    [
        (for_a_member("NonSuccessfulResponseCodeException: [503] Bad response: 503 -: "), True),
        (for_a_member("MalformedResponseException: Unable to parse entity"), True),
        (
            error(-32603, message="Failed to send message: Write failed! (IOException) (UnexpectedErrorException)"),
            False,
        ),
        (error(-32603, message=f"{SECRET} Failed to send message: org.whispersystems.X: (IOException)"), False),
        (error(-1, message="Failed to send message: org.whispersystems.X: "), False),
    ],
)
def test_is_for_a_member(answer: DaemonError, so: bool) -> None:
    assert is_for_a_member(answer) is so


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        (error(-1, result("UNREGISTERED_FAILURE", None)), {"recipient": [NUMBER]}),
        (error(-1, message="The user +4930123456 is not registered."), {"recipient": ["+4930123456"]}),
        (error(-1, message="The user anna.42 is not registered."), {"username": ["anna.42"]}),
        (error(-1, message=f"The user {NUMBER} {SECRET} is not registered."), None),
        (error(-3, message="The user +4930123456 is not registered."), None),
        (error(-1, result("UNREGISTERED_FAILURE", ACI)), None),
        (error(-1, result(NETWORK, None)), None),
        (error(-1), None),
    ],
)
def test_whom_the_daemon_may_have_failed_to_look_up(answer: DaemonError, who: Any) -> None:
    assert read_unknown(answer, make_target(to=NUMBER)) == who


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("[401] Authorization failed!", 401),
        ("[503] ", 503),
        ("Closed unexpectedly", None),
        ("Unrecognized token [503]", None),
        ("[5035]", None),
        ("", None),
    ],
)
def test_status_of_an_answer_to_the_probe(words: str, status: int | None) -> None:
    assert read_status(error(-3, message=f"Failed to get linked devices: {words}")) == status
    assert read_status(error(-3, message=words)) is None


def test_daemon_error_shows_neither_words_nor_data() -> None:
    answer = DaemonError(-32603, f"{SECRET} {NUMBER} (ClassCastException)", {"response": [SECRET, NUMBER]})
    shown = "".join(traceback.format_exception(answer)) + repr(answer)
    assert SECRET not in shown and NUMBER not in shown
    assert str(answer) == "the daemon answered with error -32603 (ClassCastException)"


@pytest.mark.parametrize("copied", [copy.copy, lambda thing: pickle.loads(pickle.dumps(thing))], ids=["copy", "pickle"])
def test_daemon_error_can_be_copied(copied: Any) -> None:
    answer = copied(DaemonError(-1, "in its own words", {"response": None}))
    assert (answer.code, answer.message, answer.data) == (-1, "in its own words", {"response": None})
    assert str(answer) == "the daemon answered with error -1"
