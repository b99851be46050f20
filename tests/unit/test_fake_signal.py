"""What the fake signal-cli makes of requests, as far as the real one cannot be brought to show it."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough.testing import NOTE_TO_SELF, Arrival, Failure
from ridethrough.testing._params import RequestFailed
from ridethrough.testing.fake_signal import FakeSignal
from tests.answers import ANNA, BERT, FRIENDS, NUMBER, OTHER_NUMBER
from tests.answers_of_methods import THEN

BERTS_NUMBER = "+15550100300"


@pytest.fixture
def signal() -> FakeSignal:
    signal = FakeSignal([NUMBER])
    signal.groups[FRIENDS] = (ANNA, BERT)
    return signal


def error_of(signal: FakeSignal, method: str, failure: Failure | None = None, **params: Any) -> tuple[int, str]:
    with pytest.raises(RequestFailed) as caught:
        signal.call(method, params, failure)
    return caught.value.code, caught.value.message


def send(signal: FakeSignal, to: str = ANNA, **params: Any) -> list[str]:
    """Send a text; returns what became of it for each recipient."""
    try:
        response = signal.call("send", {"recipient": to, "message": "hello"} | params)
    except RequestFailed as error:
        response = error.data["response"]
    return [result["type"] for result in response["results"]]


# What arrives


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("send", {"recipient": ANNA, "message": "hello"}),
        ("sendReaction", {"recipient": ANNA, "emoji": "👍", "targetAuthor": BERT, "targetTimestamp": THEN}),
        ("remoteDelete", {"recipient": ANNA, "targetTimestamp": THEN}),
        ("sendReceipt", {"recipient": ANNA, "targetTimestamp": [THEN]}),
        ("sendTyping", {"recipient": ANNA}),
        ("updateContact", {"recipient": ANNA, "expiration": 60}),
    ],
)
def test_arrival_tells_what_was_asked_for(method: str, params: dict[str, Any], signal: FakeSignal) -> None:
    signal.call(method, params)
    (arrival,) = signal.sends
    assert (arrival.account, arrival.target, arrival.method, arrival.params) == (NUMBER, ANNA, method, params)
    assert arrival.text == params.get("message", "")


def test_arrivals_in_a_group_and_to_oneself(signal: FakeSignal) -> None:
    signal.call("sendReaction", {"groupId": FRIENDS, "noteToSelf": True, "emoji": "👍", "targetTimestamp": THEN})
    assert [arrival.target for arrival in signal.sends] == [NOTE_TO_SELF, FRIENDS]
    assert len({arrival.timestamp for arrival in signal.sends}) == 1


def test_group_with_oneself_notified(signal: FakeSignal) -> None:
    result = signal.call("send", {"groupId": FRIENDS, "message": "hello", "notifySelf": True})
    assert [each["recipientAddress"]["number"] for each in result["results"]] == [None, None, NUMBER]


def test_group_of_nobody_else(signal: FakeSignal) -> None:
    signal.groups[FRIENDS] = ()
    assert signal.call("send", {"groupId": FRIENDS, "message": "hello"})["results"] == []
    assert [arrival.target for arrival in signal.sends] == [FRIENDS]


def test_arrival_does_not_show_what_it_says() -> None:
    arrival = Arrival(NUMBER, BERTS_NUMBER, "secret", THEN, params={"message": "secret"})
    assert repr(arrival) == f"<Arrival at {THEN} for +15…00>"


def test_failure_on_demand_is_for_what_sends(signal: FakeSignal) -> None:
    failure = Failure("IDENTITY_FAILURE")
    assert error_of(signal, "remoteDelete", failure, recipient=ANNA, targetTimestamp=THEN)[0] == -4
    assert signal.call("listDevices", {}, failure)


# Who is known


def test_number_is_looked_up_for_a_mention(signal: FakeSignal) -> None:
    assert send(signal, mention=f"0:1:{BERTS_NUMBER}") == ["SUCCESS"]
    signal.service_reachable = False
    assert send(signal, to=BERTS_NUMBER) == ["NETWORK_FAILURE"]


def test_own_number_needs_no_looking_up(signal: FakeSignal) -> None:
    signal.service_reachable = False
    assert send(signal, to=NUMBER, notifySelf=True, mention=f"0:1:{NUMBER}") == ["NETWORK_FAILURE"]


def test_number_is_not_looked_up_by_a_service_that_refuses(signal: FakeSignal) -> None:
    signal.service_status = 403
    assert send(signal, to=OTHER_NUMBER) == ["UNREGISTERED_FAILURE"]
    assert error_of(signal, "trust", recipient=OTHER_NUMBER, trustAllKnownKeys=True)[1].endswith("not registered.")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, "NETWORK_FAILURE"), (404, "UNREGISTERED_FAILURE"), (429, "RATE_LIMIT_FAILURE"), (503, "NETWORK_FAILURE")],
)
def test_status_of_the_service(status: int, kind: str, signal: FakeSignal) -> None:
    signal.service_status = status
    assert send(signal) == [kind]
    signal.service_reachable = False  # and then its status is not heard of
    assert send(signal) == ["NETWORK_FAILURE"]
    assert error_of(signal, "listDevices") == (-3, "Failed to get linked devices: Closed unexpectedly")


def test_user_status(signal: FakeSignal) -> None:
    signal.per_recipient[OTHER_NUMBER] = Failure("UNREGISTERED_FAILURE")
    asked = {"recipient": ["1-555-010-0300", OTHER_NUMBER], "username": "anna.42"}
    bert, other, anna = signal.call("getUserStatus", asked)
    assert bert | {"uuid": ""} == {
        "recipient": "1-555-010-0300",
        "number": BERTS_NUMBER,
        "uuid": "",
        "isRegistered": True,
    }
    assert other == {"recipient": OTHER_NUMBER, "number": OTHER_NUMBER, "uuid": None, "isRegistered": False}
    assert anna | {"uuid": ""} == {"recipient": "anna.42", "username": "anna.42", "uuid": "", "isRegistered": True}
    result = signal.call("send", {"recipient": BERTS_NUMBER, "message": "hello"})["results"][0]
    assert result["recipientAddress"]["uuid"] == bert["uuid"], "a person has one"


# What a person can do about it


def test_trust_ends_the_failure_of_a_new_identity(signal: FakeSignal) -> None:
    signal.per_recipient = {ANNA: Failure("IDENTITY_FAILURE"), BERT: Failure("IDENTITY_FAILURE")}
    assert signal.call("trust", {"recipient": ANNA, "trustAllKnownKeys": True}) == {}
    assert (send(signal, ANNA), send(signal, BERT)) == (["SUCCESS"], ["IDENTITY_FAILURE"])


def test_trust_ends_no_other_failure(signal: FakeSignal) -> None:
    send(signal)
    signal.per_recipient[ANNA] = Failure("RATE_LIMIT_FAILURE")
    assert signal.call("trust", {"recipient": ANNA, "trustAllKnownKeys": True}) == {}
    assert send(signal) == ["RATE_LIMIT_FAILURE"]


def test_trust_in_the_right_safety_number(signal: FakeSignal) -> None:
    signal.per_recipient[ANNA] = Failure("IDENTITY_FAILURE")
    signal.safety_numbers[ANNA] = " ".join(["12345"] * 12)
    wrong = error_of(signal, "trust", recipient=ANNA, verifiedSafetyNumber="54321" * 12)
    assert wrong[1].startswith("Failed to set the trust")
    assert send(signal) == ["IDENTITY_FAILURE"]
    assert signal.call("trust", {"recipient": ANNA, "verifiedSafetyNumber": "12345" * 12}) == {}
    assert send(signal) == ["SUCCESS"]


def test_challenge_ends_the_rate_limits_with_its_token(signal: FakeSignal) -> None:
    limit = Failure("RATE_LIMIT_FAILURE", token="t")
    signal.per_recipient = {ANNA: limit, BERT: Failure("RATE_LIMIT_FAILURE", token="u")}
    signal.call("submitRateLimitChallenge", {"challenge": "t", "captcha": "signalcaptcha://x"})
    assert (send(signal, ANNA), send(signal, BERT)) == (["SUCCESS"], ["RATE_LIMIT_FAILURE"])


# What it does not know, or not make


def test_sticker_of_a_pack_that_is_there(signal: FakeSignal) -> None:
    signal.sticker_packs.add("aabb")
    assert send(signal, message="", sticker="aabb:1") == ["SUCCESS"]


def test_typing_to_somebody(signal: FakeSignal) -> None:
    assert signal.call("sendTyping", {"recipient": ANNA, "stop": True})["results"]


def test_no_group_is_made(signal: FakeSignal) -> None:
    code, message = error_of(signal, "updateGroup", name="friends", member=[ANNA])
    assert (code, "makes no groups" in message) == (-1, True)


@pytest.mark.parametrize("text", [None, True, 5, [True, None, "x"]])
def test_what_is_no_text_is_sent_in_the_words_of_java(text: Any, signal: FakeSignal) -> None:
    words = {"None": "", "True": "true", "5": "5"}.get(str(text), "[true, null, x]")
    signal.call("send", {"recipient": ANNA, "message": text, "attachment": ["data:text/plain,x"]})
    assert signal.sends[0].text == words
