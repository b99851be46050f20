"""answers.py: what each of the daemon's answers leads to. The answers are those of signal-cli 0.13.19."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from typing import Any

import pytest

from ridethrough import Backoff, LinkLost, Rejected, RetryLater
from ridethrough.signal_cli import DaemonError, RecipientResult, ResultType, SendResult, make_target
from ridethrough.signal_cli.answers import Judge, read_results, was_not_looked_up

NUMBER, ACI = "+491701234567", "11111111-1111-4111-8111-000000000001"
ANNA, BERT = make_target(to=NUMBER), make_target(to=ACI)
SECRET = "meet me at noon"
NETWORK, RATE_LIMIT, IDENTITY = "NETWORK_FAILURE", "RATE_LIMIT_FAILURE", "IDENTITY_FAILURE"


class Ceilings(Backoff):
    """Pauses for as long as it may, so that it can be foretold."""

    def delay(self, failures: int, _random: Any = None) -> float:
        return self.ceiling(failures)


def judge() -> Judge:
    return Judge(Ceilings(1.0, 8.0))


def result(kind: object = "SUCCESS", uuid: str | None = ACI, **more: Any) -> dict[str, Any]:
    return {"recipientAddress": {"uuid": uuid, "number": NUMBER, "username": None}, "type": kind, **more}


def error(code: int, *results: dict[str, Any], message: str = "Failed to send message") -> DaemonError:
    data = {"response": {"timestamp": 1, "results": list(results)}} if results else None
    return DaemonError(code, message, data)


def internal(end: str) -> DaemonError:
    return error(-32603, message=f"{SECRET} (tomorrow): {end}")


# A result


@pytest.mark.parametrize(
    ("results", "read", "failed"),
    [
        ([], (), ()),
        ([result()], ("SUCCESS",), ()),
        ([result(NETWORK), result()], (NETWORK, "SUCCESS"), (NETWORK,)),
        ([result("NEWER_FAILURE"), result(["SUCCESS"])], ("OTHER", "OTHER"), ("OTHER", "OTHER")),
    ],
)
def test_result_is_sent(results: list[Any], read: tuple[str, ...], failed: tuple[str, ...]) -> None:
    sent = judge().sent(ANNA, {"timestamp": 1795501188360, "results": results})
    assert sent.timestamp == 1795501188360
    assert tuple(each.type for each in sent.results) == read
    assert tuple(each.type for each in sent.failures) == failed


@pytest.mark.parametrize("answer", [None, [], "sent", {}, {"timestamp": None}, {"timestamp": True}, {"timestamp": 1.5}])
def test_result_of_something_else_is_no_daemon_to_go_on_with(answer: Any) -> None:
    with pytest.raises(LinkLost, match="without a timestamp") as caught:
        judge().sent(ANNA, answer)
    assert not caught.value.unsent


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (result(), RecipientResult(ResultType.SUCCESS, ACI, NUMBER)),
        (result(RATE_LIMIT, retryAfterSeconds=5), RecipientResult(ResultType.RATE_LIMIT_FAILURE, ACI, NUMBER, 5)),
        ({}, RecipientResult(ResultType.OTHER)),
        ({"recipientAddress": [], "type": None}, RecipientResult(ResultType.OTHER)),
        ({"recipientAddress": {"uuid": 1, "number": 2}, "type": 3}, RecipientResult(ResultType.OTHER)),
    ],
)
def test_recipient_result(answer: dict[str, Any], read: RecipientResult) -> None:
    assert read_results({"results": [answer]}) == (read,)


@pytest.mark.parametrize("after", ["5", True, None, -1, 10**400, 700_000, "1e999", "-1e999", [5]])
def test_time_to_wait_that_makes_no_sense(after: Any) -> None:
    if isinstance(after, str) and "e" in after:
        after = json.loads(after)  # JSON has no infinity, and Python reads one all the same
    assert read_results({"results": [result(RATE_LIMIT, retryAfterSeconds=after)]})[0].retry_after is None


@pytest.mark.parametrize("response", [None, [], {}, {"results": None}, {"results": {}}, {"results": [None, "x", 5]}])
def test_results_of_no_such_form(response: Any) -> None:
    assert read_results(response) == ()


def test_results_show_no_number() -> None:
    assert NUMBER not in repr(SendResult(1, read_results({"results": [result()]})))


# Errors: everything pauses


@pytest.mark.parametrize(
    "answer",
    [
        error(-1, result(NETWORK)),
        error(-1, result(IDENTITY), result(NETWORK), result(RATE_LIMIT)),
        error(-3),
        internal("Closed unexpectedly (SocketException) (UnexpectedErrorException)"),
        internal("timeout (SocketTimeoutException)"),
        internal("(IOException)"),
        internal("chat.signal.org: Name or service not known (UnknownHostException) (UnexpectedErrorException)"),
        internal("[503]  (NonSuccessfulResponseCodeException) (UnexpectedErrorException)"),
    ],
    ids=str,
)
def test_network_failure_pauses_everything(answer: DaemonError) -> None:
    led_to = judge().failed(ANNA, answer)
    assert isinstance(led_to, RetryLater)
    assert (led_to.after, led_to.scope, str(led_to)) == (1.0, "all", "the daemon cannot reach Signal")


def pauses(of: Judge, count: int, target: Any = ANNA, kind: str = NETWORK) -> list[float]:
    led_to = [of.failed(target, error(-1, result(kind))) for _ in range(count)]
    return [each.after for each in led_to if isinstance(each, RetryLater)]


def test_network_pauses_grow_whoever_they_are_met_by() -> None:
    of = judge()
    assert pauses(of, 3) + pauses(of, 2, BERT) == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_network_pauses_start_anew_when_a_send_has_worked() -> None:
    of = judge()
    pauses(of, 3)
    of.failed(BERT, error(-4, result(IDENTITY)))
    assert pauses(of, 1) == [8.0], "a refusal has shown nothing"
    of.sent(BERT, {"timestamp": 1})
    assert pauses(of, 2) == [1.0, 2.0]


# Errors: the target pauses


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (error(-5, result(RATE_LIMIT, retryAfterSeconds=86400, token="a token")), 86400),
        (error(-5, *(result(RATE_LIMIT, retryAfterSeconds=after) for after in (3, 9, 5))), 9),
        (error(-1, result(IDENTITY), result(RATE_LIMIT, retryAfterSeconds=0.5)), 0.5),
    ],
)
def test_rate_limit_pauses_its_target_for_as_long_as_the_service_says(answer: DaemonError, after: float) -> None:
    led_to = judge().failed(ANNA, answer)
    assert isinstance(led_to, RetryLater)
    assert (led_to.after, led_to.scope, str(led_to)) == (after, "key", "rate limited")


@pytest.mark.parametrize(
    "answer",
    [
        error(-5, result(RATE_LIMIT)),
        error(-5, result(RATE_LIMIT, retryAfterSeconds=0)),
        internal("[429] Rate Limited (RateLimitException) (UnexpectedErrorException)"),
    ],
    ids=str,
)
def test_rate_limit_without_a_time_pauses_its_target_longer_each_time(answer: DaemonError) -> None:
    longest = [0.0] * 8
    for _ in range(200):  # these pauses are random parts of their ceilings
        of = judge()
        for at in range(8):
            led_to = of.failed(ANNA, answer)
            assert isinstance(led_to, RetryLater) and led_to.scope == "key"
            longest[at] = max(longest[at], led_to.after)
    ceilings = [1, 2, 4, 8, 16, 32, 60, 60]
    assert all(ceiling / 2 < after <= ceiling for ceiling, after in zip(ceilings, longest, strict=True))


def test_pauses_of_targets_and_of_the_service_grow_apart() -> None:
    of = judge()
    assert [of.not_looked_up(ANNA).after for _ in range(3)] == [1.0, 2.0, 4.0]
    assert [of.not_looked_up(BERT).after for _ in range(2)] == [1.0, 2.0]
    assert pauses(of, 2) == [1.0, 2.0]
    of.sent(ANNA, {"timestamp": 1})
    assert of.not_looked_up(ANNA).after == 1.0
    assert of.not_looked_up(BERT).after == 4.0


# Errors that reject


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(-4, result(IDENTITY)), IDENTITY),
        (error(-1, result("UNREGISTERED_FAILURE")), "UNREGISTERED_FAILURE"),
        (error(-1, result("INVALID_PRE_KEY_FAILURE"), result(IDENTITY)), "IDENTITY_FAILURE, INVALID_PRE_KEY_FAILURE"),
        (error(-1, result("SOCKET_ON_FIRE")), "OTHER"),
        (error(-1, message=f"Invalid phone number '{NUMBER} {SECRET}'"), "the daemon answered with error -1"),
        (error(-6), "the daemon answered with error -6"),
        (error(-32602), "the daemon answered with error -32602"),
        (DaemonError(-1, "", {"response": SECRET}), "the daemon answered with error -1"),
        (DaemonError(-1, "", SECRET), "the daemon answered with error -1"),
        (error(-1, message="(SocketException)"), "the daemon answered with error -1"),
        (internal("no exception"), "the daemon answered with error -32603"),
        (internal(f"(SocketException) {SECRET}"), "the daemon answered with error -32603"),
        (internal("(java.lang.Integer) (XException)"), "the daemon answered with error -32603 (XException)"),
        (
            internal("[404]  (NonSuccessfulResponseCodeException) (UnexpectedErrorException)"),
            "the daemon answered with error -32603 (NonSuccessfulResponseCodeException)",
        ),
        (
            internal("/tmp/x (IOException) (AttachmentInvalidException)"),
            "the daemon answered with error -32603 (AttachmentInvalidException)",
        ),
    ],
    ids=str,
)
def test_other_errors_reject(answer: DaemonError, reason: str) -> None:
    led_to = judge().failed(ANNA, answer)
    assert isinstance(led_to, Rejected)
    assert str(led_to) == reason
    assert led_to.__cause__ is answer


def test_rejection_keeps_no_frames_that_hold_the_message() -> None:
    try:
        raise internal("(ClassCastException)")
    except DaemonError as caught:
        led_to = judge().failed(ANNA, caught)
    assert led_to.__cause__ is not None and led_to.__cause__.__traceback__ is None


@pytest.mark.parametrize(
    ("answer", "so"),
    [
        (error(-1, result("UNREGISTERED_FAILURE", None)), True),
        (error(-1, result("UNREGISTERED_FAILURE", ACI)), False),
        (error(-1, result(NETWORK, None)), False),
        (error(-1), False),
    ],
)
def test_was_not_looked_up(answer: DaemonError, so: bool) -> None:
    assert was_not_looked_up(answer) is so


# DaemonError


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
