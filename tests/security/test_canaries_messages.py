"""No body and no number in anything that messages and their parts show, however wrong they are made."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from ridethrough import Outcome, Rejected
from ridethrough.signal_cli.content import Attachment, LinkPreview, Mention, Quote, Sticker, Style, StyleKind
from ridethrough.signal_cli.messages import (
    ExpirationTimer,
    MessageId,
    Reaction,
    Receipt,
    ReceiptKind,
    RemoteDelete,
    SignalMessage,
    TextMessage,
)
from ridethrough.signal_cli.targets import make_target
from tests.by_hand import make_delivery
from tests.security.canary import NUMBER, SECRET, Canary

WHEN = 1_700_000_000_000
TARGET = make_target(to=NUMBER)
THEIRS = MessageId(TARGET, NUMBER, WHEN)
FILE = Attachment(SECRET.encode(), SECRET)
MENTION, STYLE = Mention(0, 4, NUMBER), Style(0, 4, StyleKind.BOLD)
DELIVERY = make_delivery(1, message=TextMessage(TARGET, SECRET), key=TARGET)
PREVIEW = LinkPreview(f"https://{SECRET}", SECRET, SECRET, FILE)
QUOTE = Quote(THEIRS, SECRET, (MENTION,), (STYLE,))
TEXT = f"{SECRET} {PREVIEW.url} {NUMBER}"

THINGS: list[Any] = [
    THEIRS,
    FILE,
    Attachment(path=f"/{SECRET}", size=5),
    MENTION,
    STYLE,
    PREVIEW,
    QUOTE,
    Sticker("ab", 1),
    TextMessage(TARGET, TEXT, (FILE,), (MENTION,), (STYLE,), QUOTE, PREVIEW, story=THEIRS),
    TextMessage(TARGET, TEXT, quote=Quote(DELIVERY), edits=DELIVERY),
    Reaction(TARGET, "\N{HONEYBEE}" + SECRET, THEIRS),
    Reaction(TARGET, "\N{HONEYBEE}" + SECRET, DELIVERY),
    RemoteDelete(TARGET, DELIVERY),
    Receipt(TARGET, ReceiptKind.READ, (WHEN,)),
    ExpirationTimer(TARGET, 60),
]
WRONG: list[Any] = [
    None, SECRET, NUMBER, SECRET + "\ud83d", f"{NUMBER}x", SECRET * 2_000_000, SECRET.encode(), [SECRET], (SECRET,),
    (NUMBER, SECRET), {SECRET: NUMBER}, -1, 2**60, 10**400, True, THEIRS, make_target(to=NUMBER + "0"),
    make_delivery(1, message=SECRET),
]  # fmt: skip


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: f"{thing!r}"[:50])
def test_wrong_field(thing: Any, canary: Canary) -> None:
    """It is refused, or taken; neither shows it."""
    canary.show(thing)
    refused = 0
    for each in fields(thing):
        for value in WRONG:
            try:
                canary.show(replace(thing, **{each.name: value}))
            except (TypeError, ValueError) as error:
                refused += 1
                canary.show(error)
                assert error.__context__ is None
    assert refused >= len(fields(thing))
    canary.check()


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SENT])
def test_message_about_one_that_was_not_sent(outcome: Outcome, canary: Canary) -> None:
    waiting = make_delivery(1, message=TextMessage(TARGET, SECRET), key=TARGET)
    messages: list[SignalMessage] = [
        TextMessage(TARGET, SECRET, quote=Quote(waiting)),
        TextMessage(TARGET, SECRET, edits=waiting),
        Reaction(TARGET, "\N{HONEYBEE}", waiting),
        RemoteDelete(TARGET, waiting),
    ]
    waiting.outcome, waiting._result = outcome, f"{SECRET} {NUMBER}"
    for message in messages:
        for own in (NUMBER, None):
            with pytest.raises(Rejected) as caught:
                message.request(own)
            canary.show(caught.value, message)
    canary.check()


def test_message_that_needs_a_number_that_is_not_known(canary: Canary) -> None:
    ours = MessageId(TARGET, None, WHEN)
    messages = [TextMessage(TARGET, SECRET, quote=Quote(ours)), Reaction(TARGET, "\N{HONEYBEE}", ours)]
    for message in messages:
        with pytest.raises(Rejected) as caught:
            message.request(None)
        canary.show(caught.value)
    canary.check()
