"""messages.py: what is sent, in which words, and what is refused before it gets into a buffer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from ridethrough import Rejected
from ridethrough.jsonrpc import MAX_STRING
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
    size_of,
    target_of,
)
from ridethrough.signal_cli.targets import Target, TargetKind, make_target
from tests.by_hand import make_delivery
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, refused

OWN = "+493012345678"
SELF = Target(TargetKind.SELF)
PERSON = make_target(to=NUMBER)
GROUP = make_target(group="AAAAAAAAAAAAAAAAAAAAAA==")
USER = make_target(username="anna.42")
WHEN = 1_700_000_000_000
LATER = WHEN + 1
THUMB = "\U0001f44d\U0001f3fd"
FILE = Attachment(b"hello", "a.txt", "text/plain")
PICTURE = Attachment(path="/pictures/holiday.png", size=5000)
OURS = MessageId(PERSON, None, WHEN)
THEIRS = MessageId(PERSON, ACI, WHEN)
URL = "https://example.org/"
PREVIEW = LinkPreview(URL, "Title", "\u00fc", PICTURE)
LONG_TEXT = TextMessage(PERSON, "\u00fc" * 1000)


# What is sent

TO = {"recipient": [NUMBER]}

REQUESTS: list[tuple[SignalMessage, str, dict[str, Any]]] = [
    (TextMessage(PERSON, "hello"), "send", {**TO, "message": "hello"}),
    (TextMessage(GROUP, "hello"), "send", {"groupId": [GROUP.address], "message": "hello"}),
    (TextMessage(USER, "hello"), "send", {"username": ["anna.42"], "message": "hello"}),
    (TextMessage(SELF, "hello"), "send", {"noteToSelf": True, "message": "hello"}),
    (
        TextMessage(PERSON, attachments=(FILE, PICTURE)),
        "send",
        {**TO, "attachment": ["data:text/plain;filename=a.txt;base64,aGVsbG8=", "/pictures/holiday.png"]},
    ),
    (
        TextMessage(PERSON, "see", attachments=(FILE,), view_once=True),
        "send",
        {**TO, "message": "see", "attachment": [FILE.param], "viewOnce": True},
    ),
    (
        TextMessage(PERSON, "\U0001f600 @ !", mentions=(Mention(2, 1, ACI),), styles=(Style(0, 5, StyleKind.ITALIC),)),
        "send",
        {**TO, "message": "\U0001f600 @ !", "mention": [f"3:1:{ACI}"], "textStyle": ["0:6:ITALIC"]},
    ),
    (
        TextMessage(PERSON, "yes", quote=Quote(THEIRS)),
        "send",
        {**TO, "message": "yes", "quoteTimestamp": WHEN, "quoteAuthor": ACI},
    ),
    (
        TextMessage(
            PERSON,
            "yes",
            quote=Quote(OURS, "\U0001f600@", (Mention(1, 1, ACI),), (Style(0, 1, StyleKind.BOLD),)),
        ),
        "send",
        {
            **TO, "message": "yes", "quoteTimestamp": WHEN, "quoteAuthor": OWN, "quoteMessage": "\U0001f600@",
            "quoteMention": [f"2:1:{ACI}"], "quoteTextStyle": ["0:2:BOLD"],
        },
    ),
    (
        TextMessage(PERSON, f"see {URL}", preview=LinkPreview(URL, "Title")),
        "send",
        {**TO, "message": f"see {URL}", "previewUrl": URL, "previewTitle": "Title"},
    ),
    (
        TextMessage(PERSON, f"see {URL}", preview=PREVIEW),
        "send",
        {
            **TO, "message": f"see {URL}", "previewUrl": URL, "previewTitle": "Title", "previewDescription": "\u00fc",
            "previewImage": "/pictures/holiday.png",
        },
    ),
    (TextMessage(PERSON, sticker=Sticker("AA", 7)), "send", {**TO, "sticker": "aa:7"}),
    (TextMessage(PERSON, "new", edits=OURS), "send", {**TO, "message": "new", "editTimestamp": WHEN}),
    (
        TextMessage(PERSON, "nice", story=THEIRS),
        "send",
        {**TO, "message": "nice", "storyTimestamp": WHEN, "storyAuthor": ACI},
    ),
    (
        Reaction(PERSON, THUMB, THEIRS),
        "sendReaction",
        {**TO, "emoji": THUMB, "targetAuthor": ACI, "targetTimestamp": WHEN},
    ),
    (
        Reaction(PERSON, THUMB, OURS, remove=True),
        "sendReaction",
        {**TO, "emoji": THUMB, "targetAuthor": OWN, "targetTimestamp": WHEN, "remove": True},
    ),
    (RemoteDelete(PERSON, OURS), "remoteDelete", {**TO, "targetTimestamp": WHEN}),
    (
        RemoteDelete(GROUP, MessageId(GROUP, None, WHEN)),
        "remoteDelete",
        {"groupId": [GROUP.address], "targetTimestamp": WHEN},
    ),
    (
        Receipt(PERSON, ReceiptKind.READ, (WHEN, LATER)),
        "sendReceipt",
        {"recipient": NUMBER, "targetTimestamp": [WHEN, LATER], "type": "read"},
    ),
    (
        Receipt(USER, ReceiptKind.VIEWED, (WHEN,)),
        "sendReceipt",
        {"recipient": "u:anna.42", "targetTimestamp": [WHEN], "type": "viewed"},
    ),
    (ExpirationTimer(PERSON, 3600), "updateContact", {"recipient": NUMBER, "expiration": 3600}),
    (ExpirationTimer(USER, 0), "updateContact", {"recipient": "u:anna.42", "expiration": 0}),
    (ExpirationTimer(SELF, 2**31 - 1), "updateContact", {"recipient": OWN, "expiration": 2**31 - 1}),
    (ExpirationTimer(GROUP, 60), "updateGroup", {"groupId": GROUP.address, "expiration": 60}),
]  # fmt: skip

MESSAGES = pytest.mark.parametrize("message", [message for message, _, _ in REQUESTS], ids=lambda each: repr(each)[:60])


@pytest.mark.parametrize(("message", "method", "params"), REQUESTS, ids=lambda each: repr(each)[:60])
def test_request(message: SignalMessage, method: str, params: dict[str, Any]) -> None:
    assert message.request(OWN) == (method, params)
    assert message.request(OWN) == (method, params)  # as often as it is tried


@MESSAGES
def test_request_needs_the_own_number_only_where_it_stands_in_it(message: SignalMessage) -> None:
    _, params = message.request(OWN)
    if OWN in params.values():
        with refused(Rejected, "it needs the account's number, which is not known: account= must name it"):
            message.request(None)
    else:
        assert message.request(None)[1] == params


@MESSAGES
def test_message_is_made_again_from_its_fields(message: SignalMessage) -> None:
    values = {each.name: getattr(message, each.name) for each in fields(message)}
    assert type(message)(**values) == message
    for twin in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert twin == message
        assert hash(twin) == hash(message)


@MESSAGES
def test_message_cannot_be_changed(message: SignalMessage) -> None:
    for each in fields(message):
        with pytest.raises(AttributeError):
            setattr(message, each.name, None)
    with pytest.raises((AttributeError, TypeError)):
        message.timestamp = WHEN  # type: ignore[attr-defined]


def test_only_the_answer_to_a_timer_has_no_timestamp() -> None:
    assert {type(message) for message, _, _ in REQUESTS if not message.has_timestamp} == {ExpirationTimer}


@MESSAGES
def test_key_and_size_of_a_message_for_its_buffer(message: SignalMessage) -> None:
    assert target_of(message) is message.target
    assert size_of(message) == message.size


@pytest.mark.parametrize(
    ("message", "size", "upload_size"),
    [
        (TextMessage(SELF, "\u00fc" * 1000), 2000, 0),
        (TextMessage(SELF, "\u00fc" * 1000 + "x"), 2001, 2001),
        (TextMessage(SELF, "hi", attachments=(FILE, PICTURE)), 7, 5005),
        (TextMessage(SELF, URL, preview=LinkPreview(URL, "Title", "\u00fc")), 20 + 20 + 5 + 2, 0),
        (TextMessage(SELF, URL, preview=LinkPreview(URL, "Title", image=FILE)), 20 + 20 + 5 + 5, 5),
        (TextMessage(SELF, "hi", attachments=(FILE,), preview=None, quote=Quote(OURS, "\U0001f600")), 11, 5),
        (TextMessage(SELF, "hi", quote=Quote(OURS)), 2, 0),
        (TextMessage(PERSON, "hi", quote=Quote(make_delivery(1, message=LONG_TEXT))), 2 + 1000, 0),
        (TextMessage(SELF, sticker=Sticker("aa", 7)), 0, 0),
        (Reaction(PERSON, THUMB, OURS), 8, 0),
        (RemoteDelete(PERSON, OURS), 0, 0),
        (Receipt(PERSON, ReceiptKind.READ, (WHEN,)), 0, 0),
        (ExpirationTimer(PERSON, 5), 0, 0),
    ],
    ids=lambda each: repr(each)[:60],
)
def test_sizes(message: SignalMessage, size: int, upload_size: int) -> None:
    assert (message.size, message.upload_size) == (size, upload_size)


# What is refused

LONG = SECRET + "x" * MAX_STRING
TEXT_REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"text": ""}, ValueError, "text must not be empty"),
    ({"text": SECRET + "\ud83d"}, ValueError, "text must be valid Unicode: .*"),
    ({"text": LONG}, ValueError, "text must have at most 20000000 UTF-16 units, not 20000015: .*"),
    ({"text": SECRET.encode()}, TypeError, "text must be a string, not bytes"),
    ({"text": None}, TypeError, "text must be a string, not NoneType"),
    ({"attachments": [FILE]}, TypeError, "attachments must be a tuple of Attachment, not list"),
    ({"attachments": (SECRET,)}, TypeError, "attachments must be a tuple of Attachment alone, not str"),
    ({"mentions": (Mention(14, 2, NUMBER),)}, ValueError, "mentions and styles must lie inside the text, .* 15 .*"),
    ({"styles": (SECRET,)}, TypeError, "styles must be a tuple of Style alone, not str"),
    ({"quote": SECRET}, TypeError, "quote must be a Quote or None, not str"),
    ({"quote": OURS}, TypeError, "quote must be a Quote or None, not MessageId"),
    ({"preview": SECRET}, TypeError, "preview must be a LinkPreview or None, not str"),
    ({"preview": PREVIEW}, ValueError, "preview must be of a url that stands in text"),
    ({"sticker": SECRET}, TypeError, "sticker must be a Sticker or None, not str"),
    ({"view_once": 1}, TypeError, "view_once must be a bool, not int"),
    ({"view_once": True}, ValueError, "view_once needs exactly one attachment, not 0"),
    (
        {"view_once": True, "attachments": (FILE, FILE)},
        ValueError,
        "view_once needs exactly one attachment, not 2",
    ),
    ({"edits": OURS, "story": THEIRS}, ValueError, "edits cannot go with view_once, sticker or story"),
    ({"edits": OURS, "sticker": Sticker("aa", 1)}, ValueError, "edits cannot go with view_once, sticker or story"),
    (
        {"edits": OURS, "view_once": True, "attachments": (FILE,)},
        ValueError,
        "edits cannot go with view_once, sticker or story",
    ),
    ({"story": WHEN}, TypeError, "story must be a MessageId or None, not int"),
    ({"story": make_delivery(1, message=SECRET)}, TypeError, "story must be a MessageId or None, not Delivery"),
    ({"story": MessageId(GROUP, ACI, WHEN)}, ValueError, "story must be a message of the same conversation"),
]


@pytest.mark.parametrize(("arguments", "error", "pattern"), TEXT_REFUSED, ids=lambda value: repr(value)[:40])
def test_text_message_that_cannot_be_sent(arguments: dict[str, Any], error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, SECRET, NUMBER, ACI, str(WHEN)):
        TextMessage(PERSON, **{"text": SECRET, **arguments})


@pytest.mark.parametrize(
    "emoji", [THUMB, "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f468\u200d\U0001f469\u200d\U0001f467"]
)
def test_emoji(emoji: str) -> None:
    assert Reaction(PERSON, emoji, THEIRS).request(None)[1]["emoji"] is emoji


@pytest.mark.parametrize(
    ("emoji", "error", "pattern"),
    [
        ("", ValueError, "emoji must not be empty"),
        (":thumbsup:", ValueError, "emoji must be an emoji, not plain text"),
        ("\ud83d", ValueError, "emoji must be valid Unicode: .*"),
        (THUMB * 13, ValueError, "emoji must have at most 100 bytes in UTF-8, not 104"),
        (None, TypeError, "emoji must be a string, not NoneType"),
    ],
)
def test_emoji_that_is_none(emoji: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, "thumbsup"):
        Reaction(PERSON, emoji, THEIRS)


def test_removal_that_is_neither_true_nor_false() -> None:
    with refused(TypeError, "remove must be a bool, not int"):
        Reaction(PERSON, THUMB, THEIRS, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        ((GROUP, ReceiptKind.READ, (WHEN,)), ValueError, "target must be a person, not a target of kind group"),
        ((SELF, ReceiptKind.READ, (WHEN,)), ValueError, "target must be a person, not a target of kind self"),
        ((PERSON, "read", (WHEN,)), TypeError, "kind must be a ReceiptKind, not str"),
        ((PERSON, ReceiptKind.READ, ()), ValueError, "timestamps must not be empty"),
        ((PERSON, ReceiptKind.READ, [WHEN]), TypeError, "timestamps must be a tuple of int, not list"),
        ((PERSON, ReceiptKind.READ, (WHEN, 5)), ValueError, "timestamps must be an int from 2147483648 to .*"),
        ((PERSON, ReceiptKind.READ, (WHEN, NUMBER)), TypeError, "timestamps must be an int from .*, not str"),
    ],
)
def test_receipt_that_cannot_be_sent(arguments: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, NUMBER, str(WHEN)):
        Receipt(*arguments)


@pytest.mark.parametrize("seconds", [-1, 2**31])
def test_expiration_out_of_range(seconds: int) -> None:
    with refused(ValueError, "seconds must be an int from 0 to 2147483647"):
        ExpirationTimer(PERSON, seconds)


@pytest.mark.parametrize("seconds", [True, 1.0, None], ids=repr)
def test_expiration_that_is_none(seconds: Any) -> None:
    with refused(TypeError, f"seconds must be an int from 0 to 2147483647, not {type(seconds).__name__}"):
        ExpirationTimer(PERSON, seconds)


MAKERS: dict[str, Callable[[Any], SignalMessage]] = {
    "text": lambda target: TextMessage(target, SECRET),
    "reaction": lambda target: Reaction(target, THUMB, THEIRS),
    "delete": lambda target: RemoteDelete(target, OURS),
    "receipt": lambda target: Receipt(target, ReceiptKind.READ, (WHEN,)),
    "timer": lambda target: ExpirationTimer(target, 5),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("thing", [None, NUMBER, TargetKind.SELF], ids=repr)
def test_target_that_is_none(kind: str, thing: Any) -> None:
    with refused(TypeError, f"target must be a Target, not {type(thing).__name__}", NUMBER, SECRET):
        MAKERS[kind](thing)


def test_message_of_no_kind() -> None:
    with pytest.raises(TypeError, match="abstract"):
        SignalMessage(PERSON)  # type: ignore[abstract]


def test_message_shows_neither_text_nor_number() -> None:
    secret = Attachment(SECRET.encode(), SECRET)
    preview = LinkPreview(URL + SECRET, SECRET, SECRET, secret)
    everything = TextMessage(
        PERSON, SECRET + preview.url, (secret,), (Mention(0, 4, NUMBER),), (Style(0, 4, StyleKind.BOLD),),
        Quote(MessageId(PERSON, NUMBER, WHEN), SECRET, (Mention(0, 4, NUMBER),)), preview, edits=OURS,
    )  # fmt: skip
    for message in (everything, Reaction(PERSON, THUMB, THEIRS), *(make(PERSON) for make in MAKERS.values())):
        for shown in (repr(message), str(message), f"{message}"):
            assert not [each for each in (SECRET, NUMBER, ACI, THUMB) if each in shown]
            assert repr(PERSON) in shown
