"""messages.py: messages about an earlier message, which may not have been sent yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ridethrough import Delivery, Outcome, Rejected
from ridethrough.signal_cli.answers import SendResult
from ridethrough.signal_cli.content import Attachment, Mention, Quote, Style, StyleKind
from ridethrough.signal_cli.messages import MessageId, Reaction, Reference, RemoteDelete, SignalMessage, TextMessage
from ridethrough.signal_cli.targets import Target, make_target
from tests.by_hand import make_delivery
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, refused

OWN = "+493012345678"
PERSON = make_target(to=NUMBER)
GROUP = make_target(group="AAAAAAAAAAAAAAAAAAAAAA==")
WHEN = 1_700_000_000_000
LATER = WHEN + 1
THUMB = "\U0001f44d"
OURS = MessageId(PERSON, None, WHEN)
THEIRS = MessageId(PERSON, ACI, WHEN)


def delivery_of(message: Any, outcome: Outcome | None = None, timestamp: int = LATER) -> Delivery[Any]:
    """The fate of a message: still open, or ended like that."""
    delivery = make_delivery(1, message=message)
    delivery.outcome = outcome
    delivery._result = SendResult(timestamp) if outcome is Outcome.SENT else SECRET
    return delivery


def sent(message: Any) -> Delivery[Any]:
    return delivery_of(message, Outcome.SENT)


ABOUT: dict[str, tuple[Callable[[Reference], SignalMessage], dict[str, Any]]] = {
    "quote": (lambda of: TextMessage(PERSON, "x", quote=Quote(of)), {"quoteTimestamp": LATER, "quoteAuthor": OWN}),
    "edits": (lambda of: TextMessage(PERSON, "x", edits=of), {"editTimestamp": LATER}),
    "reaction": (lambda of: Reaction(PERSON, THUMB, of), {"targetTimestamp": LATER, "targetAuthor": OWN}),
    "delete": (lambda of: RemoteDelete(PERSON, of), {"targetTimestamp": LATER}),
}
EACH = pytest.mark.parametrize("kind", ABOUT)


@EACH
def test_message_about_one_that_was_still_waiting(kind: str) -> None:
    """It takes its timestamp from the answer to the other one, which has come by the time that it is sent itself."""
    make, expected = ABOUT[kind]
    delivery = delivery_of(TextMessage(PERSON, "hello"))
    message = make(delivery)
    delivery.outcome, delivery._result = Outcome.SENT, SendResult(LATER)
    assert expected.items() <= message.request(OWN)[1].items()


@EACH
def test_message_about_one_that_was_sent(kind: str) -> None:
    make, expected = ABOUT[kind]
    assert expected.items() <= make(sent(TextMessage(PERSON, "hello"))).request(OWN)[1].items()


@EACH
@pytest.mark.parametrize("outcome", [None, *(outcome for outcome in Outcome if outcome is not Outcome.SENT)])
def test_message_about_one_that_was_never_sent(kind: str, outcome: Outcome | None) -> None:
    delivery = delivery_of(TextMessage(PERSON, SECRET))
    message = ABOUT[kind][0](delivery)
    delivery.outcome = outcome
    with refused(Rejected, "the message that it is about was not sent", SECRET, NUMBER):
        message.request(OWN)


@EACH
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SENT])
def test_message_about_one_that_has_ended_unsent_already(kind: str, outcome: Outcome) -> None:
    pattern = f"(quote|edits|about) must be a message that was sent or waits to be, not one that was {outcome}"
    with refused(ValueError, pattern, SECRET, NUMBER):
        ABOUT[kind][0](delivery_of(TextMessage(PERSON, SECRET), outcome))


@EACH
@pytest.mark.parametrize("message", [SECRET, Reaction(PERSON, THUMB, OURS)], ids=["str", "Reaction"])
def test_message_about_what_is_no_text(kind: str, message: Any) -> None:
    pattern = f"(quote|edits|about) must be the Delivery of a TextMessage, not of a {type(message).__name__}"
    with refused(ValueError, pattern, SECRET, NUMBER):
        ABOUT[kind][0](delivery_of(message))


@EACH
@pytest.mark.parametrize("target", [GROUP, make_target(to=ACI), make_target(to=OWN)], ids=repr)
def test_message_about_the_delivery_of_one_to_somebody_else(kind: str, target: Target) -> None:
    """Messages to others have an order of their own: it might not have been sent yet."""
    pattern = "(quote|edits|about) must be the Delivery of a message to the same target"
    with refused(ValueError, pattern, SECRET, NUMBER):
        ABOUT[kind][0](delivery_of(TextMessage(target, SECRET)))


@EACH
@pytest.mark.parametrize("target", [GROUP, make_target(to=OWN)], ids=repr)
def test_message_about_one_of_another_conversation(kind: str, target: Target) -> None:
    with refused(ValueError, "(quote|edits|about) must be a message of the same conversation", NUMBER, OWN):
        ABOUT[kind][0](MessageId(target, None, WHEN))


@EACH
def test_message_about_one_of_the_same_person_by_another_address(kind: str) -> None:
    ABOUT[kind][0](MessageId(make_target(to=ACI), None, WHEN))


@pytest.mark.parametrize("kind", ["edits", "delete"])
def test_message_of_somebody_else_is_not_ours_to_change(kind: str) -> None:
    pattern = "(edits|about) must be a message of one's own: a Delivery, or a MessageId whose author is None"
    with refused(ValueError, pattern, ACI):
        ABOUT[kind][0](THEIRS)


@EACH
@pytest.mark.parametrize("thing", [WHEN, SECRET, SendResult(WHEN)], ids=repr)
def test_message_about_nothing(kind: str, thing: Any) -> None:
    pattern = f"(of|edits|about) must be a MessageId or a Delivery, not {type(thing).__name__}"
    with refused(TypeError, pattern, SECRET, str(WHEN)):
        ABOUT[kind][0](thing)


# What is shown of a message that is quoted


def quote_params(quoted: TextMessage, **quote: Any) -> dict[str, Any]:
    """What a message says of the one that it quotes."""
    _, params = TextMessage(PERSON, "yes", quote=Quote(sent(quoted), **quote)).request(OWN)
    return {name: value for name, value in params.items() if name.startswith("quote")}


QUOTED = TextMessage(
    PERSON,
    "\U0001f600@ and more",
    mentions=(Mention(1, 1, ACI),),
    styles=(Style(0, 2, StyleKind.BOLD), Style(3, 3, StyleKind.ITALIC)),
)


def test_quoted_delivery_is_shown_as_it_was_sent() -> None:
    assert quote_params(QUOTED) == {
        "quoteTimestamp": LATER,
        "quoteAuthor": OWN,
        "quoteMessage": "\U0001f600@ and more",
        "quoteMention": [f"2:1:{ACI}"],
        "quoteTextStyle": ["0:3:BOLD", "4:3:ITALIC"],
    }


@pytest.mark.parametrize("text", ["", "more"])
def test_quoted_delivery_is_shown_in_other_words(text: str) -> None:
    shown = {"quoteMessage": text} if text else {}
    assert quote_params(QUOTED, text=text) == {"quoteTimestamp": LATER, "quoteAuthor": OWN, **shown}


def test_of_a_long_message_that_is_quoted_the_beginning_is_shown() -> None:
    """What does not lie in there is left out, and the rest stands where it stood."""
    quoted = TextMessage(
        PERSON,
        "\U0001f600" * 501,
        mentions=(Mention(499, 1, ACI), Mention(500, 1, ACI)),
        styles=(Style(0, 500, StyleKind.BOLD), Style(0, 501, StyleKind.BOLD)),
    )
    params = quote_params(quoted)
    assert params["quoteMessage"] == "\U0001f600" * 500
    assert params["quoteMention"] == [f"998:2:{ACI}"]
    assert params["quoteTextStyle"] == ["0:1000:BOLD"]


def test_quoted_attachment_has_no_text_to_show() -> None:
    assert quote_params(TextMessage(PERSON, attachments=(Attachment(b"hello"),))) == {
        "quoteTimestamp": LATER,
        "quoteAuthor": OWN,
    }
