"""references.py: what names an earlier message."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough import Delivery, Outcome, Rejected
from ridethrough.signal_cli.answers import SendResult
from ridethrough.signal_cli.references import MessageId, author_of, check_is_reference, own_number, timestamp_of
from ridethrough.signal_cli.targets import Target, TargetKind, make_target
from tests.by_hand import make_delivery
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, refused

SELF = Target(TargetKind.SELF)
WHEN = 1_700_000_000_000


def delivery_that_ended(outcome: Outcome | None, result: object = None) -> Delivery[Any]:
    delivery = make_delivery(1, message=SECRET)
    delivery.outcome, delivery._result = outcome, result
    return delivery


def test_message_id() -> None:
    identity = MessageId(SELF, ACI.upper(), WHEN)
    assert identity == MessageId(SELF, ACI, WHEN)
    assert hash(identity) == hash(MessageId(SELF, ACI, WHEN))
    assert timestamp_of(identity) == WHEN


def test_message_id_shows_no_full_number() -> None:
    identity = MessageId(make_target(to=NUMBER), NUMBER, WHEN)
    assert repr(identity) == str(identity) == f"<MessageId {WHEN} by +49…67>"
    assert repr(MessageId(SELF, None, WHEN)) == f"<MessageId {WHEN} by oneself>"


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        ((NUMBER, None, WHEN), TypeError, "target must be a Target, not str"),
        ((SELF, 1, WHEN), TypeError, "author must be a string, not int"),
        ((SELF, NUMBER + "x", WHEN), ValueError, "author must be a telephone number such as .*, or a UUID"),
        ((SELF, None, 2**31 - 1), ValueError, "timestamp must be an int from 2147483648 to 9007199254740991"),
        ((SELF, None, NUMBER), TypeError, "timestamp must be an int from .*, not str"),
        ((SELF, None, True), TypeError, "timestamp must be an int from .*, not bool"),
    ],
)
def test_message_id_that_is_none(arguments: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, NUMBER):
        MessageId(*arguments)


def test_references() -> None:
    check_is_reference("about", MessageId(SELF, None, WHEN))
    check_is_reference("about", make_delivery(1))


@pytest.mark.parametrize("thing", [None, WHEN, SendResult(WHEN), NUMBER], ids=repr)
def test_what_is_no_reference(thing: Any) -> None:
    with refused(TypeError, f"about must be a MessageId or a Delivery, not {type(thing).__name__}", NUMBER, str(WHEN)):
        check_is_reference("about", thing)


def test_timestamp_of_a_sent_message() -> None:
    assert timestamp_of(delivery_that_ended(Outcome.SENT, SendResult(WHEN))) == WHEN


@pytest.mark.parametrize(
    "delivery",
    [
        delivery_that_ended(None),
        delivery_that_ended(Outcome.SENT, None),
        delivery_that_ended(Outcome.DRAINED, SendResult(WHEN)),
        *[delivery_that_ended(outcome, SECRET) for outcome in Outcome if outcome is not Outcome.SENT],
    ],
    ids=repr,
)
def test_timestamp_of_a_message_that_was_not_sent(delivery: Delivery[Any]) -> None:
    with refused(Rejected, "the message that it is about was not sent", SECRET):
        timestamp_of(delivery)


def test_author() -> None:
    assert author_of(MessageId(SELF, ACI, WHEN), NUMBER) == ACI
    assert author_of(MessageId(SELF, ACI, WHEN), None) == ACI
    assert author_of(MessageId(SELF, None, WHEN), NUMBER) == NUMBER
    assert author_of(make_delivery(1), NUMBER) == NUMBER
    assert own_number(NUMBER) == NUMBER


@pytest.mark.parametrize("reference", [MessageId(SELF, None, WHEN), make_delivery(1)], ids=["id", "delivery"])
def test_author_with_a_number_that_is_not_known(reference: Any) -> None:
    with refused(Rejected, "it needs the account's number, which is not known: account= must name it"):
        author_of(reference, None)
