"""judge.py: what each of the daemon's answers leads to, row by row of its table."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import current_time, sleep

from ridethrough import Backoff, LinkLost, Rejected, RetryLater
from ridethrough.signal_cli import DaemonError, ResultType, SendResult, Target, TextMessage, make_target
from ridethrough.signal_cli.judge import Hold, HoldReason, Judge, OnUntrusted
from ridethrough.signal_cli.messages import ExpirationTimer, SignalMessage
from ridethrough.signal_cli.service import ServiceState, ServiceStatus
from tests.clocks import jumping_backends

from .test_answers import ACI, IDENTITY, NETWORK, NUMBER, RATE_LIMIT, error, for_a_member, internal, result

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


UNREGISTERED, BAD_KEYS = "UNREGISTERED_FAILURE", "INVALID_PRE_KEY_FAILURE"
ANNA, BERT, GROUP = make_target(to=NUMBER), make_target(to=ACI), make_target(group="A" * 43 + "=")
OFFLINE = error(-3, message="Failed to get linked devices: Closed unexpectedly")
DEVICES = [{"id": 1, "name": None}]
SENT = {"timestamp": 1795501188360, "results": [result()]}
FOR_A_MEMBER = for_a_member("NonSuccessfulResponseCodeException: [503] Bad response: 503 -: ")
UPLOAD_FAILED = internal("Closed unexpectedly (SocketException) (UnexpectedErrorException)")


class Ceilings(Backoff):
    """Pauses for as long as it may, so that it can be foretold."""

    def delay(self, failures: int, random: Any = None) -> float:  # noqa: ARG002
        return self.ceiling(failures)


class Court:
    """A judge and what it tells about Signal."""

    def __init__(self, on_untrusted: str = "park") -> None:
        self.service = ServiceStatus()
        self.judge = Judge(self.service, Ceilings(1.0, 8.0), on_untrusted)

    def sent(self, target: Target = ANNA, answer: Any = SENT) -> SendResult | None:
        return self.judge.sent(message(target), answer)

    def later(self, answer: DaemonError, target: Target = ANNA, *, reached: bool = False) -> RetryLater:
        led_to = self.judge.failed(target, answer, reached=reached)
        assert isinstance(led_to, RetryLater)
        return led_to

    def rejected(self, answer: DaemonError, target: Target = ANNA, *, reached: bool = False) -> Rejected:
        led_to = self.judge.failed(target, answer, reached=reached)
        assert isinstance(led_to, Rejected)
        return led_to

    def probe_fails(self, answer: DaemonError, *, unsent: bool = True) -> RetryLater:
        with pytest.raises(RetryLater) as caught:
            self.judge.probed(answer, unsent=unsent)
        return caught.value


def message(target: Target = ANNA) -> SignalMessage:
    return TextMessage(target, "hello")


def status(code: int) -> DaemonError:
    return error(-3, message=f"Failed to get linked devices: [{code}] ")


# The table: answers to a message


async def test_result_is_sent() -> None:
    court = Court()
    sent = court.sent()
    assert isinstance(sent, SendResult)
    assert (sent.timestamp, len(sent.results), sent.failures) == (1795501188360, 1, ())
    assert court.service.state is ServiceState.REACHABLE


async def test_result_that_some_of_a_group_have_failed_is_sent_and_never_again() -> None:
    court = Court()
    sent = court.sent(GROUP, {"timestamp": 1, "results": [result(NETWORK), result(), result(RATE_LIMIT)]})
    assert isinstance(sent, SendResult)
    assert [each.type for each in sent.failures] == [ResultType.NETWORK_FAILURE, ResultType.RATE_LIMIT_FAILURE]
    assert (court.service.state, court.judge.holds()) == (ServiceState.REACHABLE, ())


async def test_network_failure_pauses_everything_and_leaves_the_message_in_doubt() -> None:
    court = Court()
    led_to = court.later(error(-1, result(NETWORK)))
    assert (led_to.after, led_to.scope, led_to.in_doubt, led_to.unsent) == (1.0, "all", True, False)
    assert str(led_to) == "the daemon cannot reach Signal"
    assert (court.service.state, court.service.next_try) == (ServiceState.UNREACHABLE, 1.0)
    assert court.judge.holds() == (), "nobody in particular"


@pytest.mark.parametrize("answer", [error(-3), UPLOAD_FAILED], ids=str)
async def test_error_about_the_network_pauses_everything_and_leaves_no_doubt(answer: DaemonError) -> None:
    court = Court()
    led_to = court.later(answer)
    assert (led_to.after, led_to.scope, led_to.in_doubt, led_to.unsent) == (1.0, "all", False, False)
    assert court.service.state is ServiceState.UNREACHABLE


@pytest.mark.parametrize("answer", [error(-1, result(NETWORK)), error(-3), UPLOAD_FAILED], ids=str)
async def test_network_failure_just_after_signal_was_reached_pauses_its_target_alone(answer: DaemonError) -> None:
    court = Court()
    court.judge.probed(DEVICES, unsent=True)
    led_to = [court.later(answer, reached=True) for _ in range(5)]
    assert [(each.after, each.scope) for each in led_to] == [(after, "key") for after in (1, 2, 4, 8, 8)]
    assert led_to[0].in_doubt == (answer.data is not None)
    assert court.service.state is ServiceState.REACHABLE
    (hold,) = court.judge.holds()
    assert (hold.target, hold.reason, hold.attempt) == (ANNA, HoldReason.UNREACHABLE, 5)


@pytest.mark.parametrize("reached", [False, True])
async def test_error_about_one_member_of_a_group_pauses_the_group_and_leaves_the_message_in_doubt(
    reached: bool,
) -> None:
    court = Court()
    led_to = [court.later(FOR_A_MEMBER, GROUP, reached=reached) for _ in range(9)]
    assert [each.after for each in led_to] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert {(each.scope, each.in_doubt) for each in led_to} == {("key", True)}
    assert [hold.reason for hold in court.judge.holds()] == [HoldReason.UNREACHABLE]
    assert court.service.state is ServiceState.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (error(-5, result(RATE_LIMIT, retryAfterSeconds=77)), 77),
        (error(-5, *(result(RATE_LIMIT, retryAfterSeconds=after) for after in (3, 9, 5))), 9),
        (error(-1, result(IDENTITY), result(RATE_LIMIT, retryAfterSeconds=0.5)), 0.5),
    ],
)
async def test_rate_limit_pauses_its_target_for_as_long_as_signal_says(answer: DaemonError, after: float) -> None:
    court = Court()
    led_to = court.later(answer)
    assert (led_to.after, led_to.scope, led_to.in_doubt, str(led_to)) == (after, "key", False, "rate limited")
    assert court.judge.holds() == (Hold(ANNA, HoldReason.RATE_LIMITED, 1, current_time() + after),)
    assert court.service.state is ServiceState.UNKNOWN


@pytest.mark.parametrize(
    "answer",
    [
        error(-5, result(RATE_LIMIT)),
        error(-5, result(RATE_LIMIT, retryAfterSeconds=0)),
        error(-5),
        internal("[429] Rate Limited (RateLimitException) (UnexpectedErrorException)"),
    ],
    ids=str,
)
async def test_rate_limit_without_a_time_pauses_its_target_longer_each_time(answer: DaemonError) -> None:
    court = Court()
    led_to = [court.later(answer) for _ in range(9)]
    assert {each.scope for each in led_to} == {"key"}
    assert [each.after for each in led_to] == [5, 10, 20, 40, 80, 160, 320, 600, 600]


async def test_rate_limit_with_a_token_waits_for_a_captcha_and_says_how(caplog: pytest.LogCaptureFixture) -> None:
    court = Court()
    answer = error(-5, result(RATE_LIMIT), result(RATE_LIMIT, token="8f1c", retryAfterSeconds=86400))
    led_to = court.later(answer)
    assert (led_to.after, led_to.scope) == (86400, "key")
    assert court.judge.holds() == (Hold(ANNA, HoldReason.CAPTCHA, 1, current_time() + 86400, "8f1c"),)
    (logged,) = caplog.messages
    assert logged == (
        "messages for <Target number +49…67> are held up for 86400.0 s: rate limited until somebody solves a CAPTCHA. "
        "Get a captcha from https://signalcaptchas.org/challenge/generate.html and pass it to client.submit_challenge "
        "with the token 8f1c"
    )
    assert court.later(error(-5, result(RATE_LIMIT, token="8f1c"))).after == 10, "it grows without a time"


@pytest.mark.parametrize(
    "answer", [error(-4, result(IDENTITY)), error(-4), error(-1, result(IDENTITY), result(BAD_KEYS))]
)
async def test_untrusted_identity_is_parked_until_somebody_trusts_it(
    answer: DaemonError, caplog: pytest.LogCaptureFixture
) -> None:
    court = Court()
    led_to = [court.later(answer) for _ in range(9)]
    assert {(each.scope, str(each)) for each in led_to} == {
        ("key", "the identity has changed, and nobody has trusted it")
    }
    assert [each.after for each in led_to] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert [hold.reason for hold in court.judge.holds()] == [HoldReason.UNTRUSTED]
    (logged,) = caplog.messages
    assert logged == (
        "messages for <Target number +49…67> are held up for 30.0 s: "
        "the identity has changed, and nobody has trusted it. If it is theirs, call client.trust"
    )


@pytest.mark.parametrize("on_untrusted", ["reject", OnUntrusted.REJECT])
async def test_untrusted_identity_is_rejected_if_so_wished(on_untrusted: str) -> None:
    assert str(Court(on_untrusted).rejected(error(-4, result(IDENTITY)))) == IDENTITY


async def test_somebody_who_could_not_be_looked_up_pauses_alone_and_longer_each_time() -> None:
    court = Court()
    led_to = [court.judge.not_looked_up(ANNA) for _ in range(3)]
    assert [(each.after, each.scope, each.in_doubt) for each in led_to] == [(n, "key", False) for n in (1, 2, 4)]
    assert str(led_to[0]) == "the daemon could not look somebody up"
    assert [hold.reason for hold in court.judge.holds()] == [HoldReason.NOT_LOOKED_UP]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(-1, result(UNREGISTERED)), UNREGISTERED),
        (error(-1, result(BAD_KEYS), result(UNREGISTERED)), f"{BAD_KEYS}, {UNREGISTERED}"),
        (error(-1, message=f"The user {NUMBER} is not registered."), UNREGISTERED),
        (error(-1, result("SOCKET_ON_FIRE")), "OTHER"),
        (error(-1, message=f"Invalid phone number '{NUMBER}'"), "the daemon answered with error -1"),
        (error(-6), "the daemon answered with error -6"),
        (error(-32602), "the daemon answered with error -32602"),
        (internal("(ClassCastException)"), "the daemon answered with error -32603 (ClassCastException)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("reached", [False, True])
async def test_any_other_error_is_rejected(answer: DaemonError, reason: str, reached: bool) -> None:
    led_to = Court().rejected(answer, reached=reached)
    assert str(led_to) == reason
    assert led_to.__cause__ is answer


async def test_first_type_in_the_table_counts() -> None:
    mixed = [result(BAD_KEYS), result(IDENTITY), result(RATE_LIMIT), result(NETWORK)]
    assert Court().later(error(-1, *mixed)).scope == "all"
    assert str(Court().later(error(-1, *mixed[:3]))) == "rate limited"
    assert str(Court().later(error(-1, *mixed[:2]))).startswith("the identity has changed")
    assert str(Court().rejected(error(-1, *mixed[:1]))) == BAD_KEYS


async def test_rejection_keeps_no_frames_that_hold_the_message() -> None:
    try:
        raise internal("(ClassCastException)")
    except DaemonError as caught:
        led_to = Court().rejected(caught)
    assert led_to.__cause__ is not None and led_to.__cause__.__traceback__ is None


# What is no result of a send


@pytest.mark.parametrize("answer", [None, [], {}, {"timestamp": None}])
async def test_result_without_a_timestamp_is_no_daemon_to_go_on_with(answer: Any) -> None:
    with pytest.raises(LinkLost, match=r"^the daemon answered a send without a timestamp$") as caught:
        Court().sent(ANNA, answer)
    assert not caught.value.unsent


async def test_message_whose_answer_says_nothing_has_no_result_and_tells_nothing_about_signal() -> None:
    court = Court()
    court.later(error(-1, result(NETWORK)), BERT)
    assert court.judge.sent(ExpirationTimer(BERT, 60), {}) is None
    assert court.service.state is ServiceState.UNREACHABLE
    assert court.judge.sent(ExpirationTimer(GROUP, 60), SENT) is None, "which does not depend on what the daemon says"


@pytest.mark.parametrize(
    ("target", "answer"),
    [(make_target(note_to_self=True), SENT), (GROUP, {"timestamp": 1, "results": []})],
    ids=["note to self", "group of nobody else"],
)
async def test_message_that_nobody_else_was_to_get_tells_nothing_about_signal(target: Target, answer: Any) -> None:
    court = Court()
    assert isinstance(court.sent(target, answer), SendResult)
    assert court.service.state is ServiceState.UNKNOWN


# The probe


@pytest.mark.parametrize("answer", [DEVICES, [], status(404), status(413), status(429), status(499)], ids=str)
@pytest.mark.parametrize("unsent", [False, True])
async def test_signal_is_reached_if_it_answers_the_probe(answer: Any, unsent: bool) -> None:
    court = Court()
    court.later(error(-1, result(NETWORK)))
    assert court.judge.probed(answer, unsent=unsent)
    assert court.service.state is ServiceState.REACHABLE


TIMED_OUT = error(-3, message="Failed to get linked devices: java.util.concurrent.TimeoutException: The source [did]")


@pytest.mark.parametrize("answer", [OFFLINE, TIMED_OUT, status(500), status(503)])
async def test_probe_that_does_not_get_through_pauses_everything_and_nothing_was_sent(answer: DaemonError) -> None:
    court = Court()
    led_to = [court.probe_fails(answer) for _ in range(5)]
    assert [(each.after, each.scope) for each in led_to] == [(after, "all") for after in (1, 2, 4, 8, 8)]
    assert {(each.unsent, each.in_doubt) for each in led_to} == {(True, False)}
    assert (court.service.state, court.service.attempt) == (ServiceState.UNREACHABLE, 5)
    assert court.service.reason == "the daemon cannot reach Signal"


async def test_probe_after_a_send_does_not_take_the_attempt_back() -> None:
    assert not Court().probe_fails(OFFLINE, unsent=False).unsent


@pytest.mark.parametrize("code", [401, 403])
async def test_account_that_signal_refuses_pauses_everything(code: int) -> None:
    court = Court()
    led_to = court.probe_fails(status(code))
    assert (led_to.scope, led_to.unsent) == ("all", True)
    assert str(led_to) == court.service.reason == "Signal refuses the account: it may have been unlinked"
    assert court.service.state is ServiceState.UNREACHABLE


@pytest.mark.parametrize("code", [-1, -32601, -32603])
async def test_daemon_that_cannot_probe_leaves_it_unknown(code: int) -> None:
    court = Court()
    court.later(error(-1, result(NETWORK)))
    assert not court.judge.probed(error(code), unsent=True)
    assert court.service.state is ServiceState.UNREACHABLE
    led_to = court.later(error(-1, result(NETWORK)), reached=False)
    assert (led_to.scope, led_to.after) == ("all", 2)


async def test_probe_is_wanted_while_signal_cannot_be_reached() -> None:
    court = Court()
    assert not court.judge.wants_probe(message())
    court.later(error(-1, result(NETWORK)))
    assert court.judge.wants_probe(message()) and court.judge.wants_probe(message(BERT))
    court.judge.probed(DEVICES, unsent=True)
    assert not court.judge.wants_probe(message())


async def test_probe_is_wanted_for_a_target_that_alone_was_not_reached_until_it_is() -> None:
    court = Court()
    court.later(error(-1, result(NETWORK)), reached=True)
    await sleep(100)
    assert court.judge.wants_probe(message()) and not court.judge.wants_probe(message(BERT))
    court.sent()
    assert not court.judge.wants_probe(message())


async def test_probe_is_wanted_for_a_message_whose_answer_says_nothing() -> None:
    assert Court().judge.wants_probe(ExpirationTimer(ANNA, 60))


async def test_target_that_is_held_up_for_another_reason_wants_no_probe() -> None:
    court = Court()
    court.later(error(-5))
    assert not court.judge.wants_probe(message())
