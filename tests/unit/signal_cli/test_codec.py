"""codec.py: messages as bytes and back, the format, what does not become bytes, and what a list shows."""

from __future__ import annotations

import base64
import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough import Delivery, Outcome
from ridethrough.signal_cli import messages
from ridethrough.signal_cli.answers import RecipientResult, ResultType, SendResult
from ridethrough.signal_cli.codec import decode_message, decode_result, encode_message, encode_result, summarize
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
from ridethrough.signal_cli.targets import Target, TargetKind, make_target
from ridethrough.sqlite import SQLiteJournal
from tests.by_hand import make_delivery
from tests.unit.signal_cli.kept import GOLDEN, OURS, PERSON, SECRETS, SELF, THUMB, URL, WHEN, kept
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, refused

# Every kind, with every field

TIMESTAMPS = st.integers(2**31, 2**53 - 1)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{5,14}", fullmatch=True)
UUIDS = st.uuids().map(str)
PEOPLE = st.builds(make_target, to=NUMBERS | UUIDS) | st.builds(
    make_target, username=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{2,31}\.[0-9]{2,9}", fullmatch=True)
)
GROUPS = st.sampled_from([16, 32]).flatmap(
    lambda size: st.builds(
        make_target, group=st.binary(min_size=size, max_size=size).map(base64.b64encode).map(bytes.decode)
    )
)
TARGETS = PEOPLE | GROUPS | st.just(SELF)
WORDS = st.text(min_size=1)
FILES = st.builds(
    Attachment,
    st.binary(min_size=1),
    st.none() | WORDS,
    st.sampled_from(["application/octet-stream", "image/png", "text/plain"]),
) | st.builds(Attachment, path=WORDS.map("/{}".format), size=st.integers(1, 100 * 2**20))
STICKERS = st.builds(Sticker, st.binary(min_size=1, max_size=32).map(bytes.hex), st.integers(0, 2**31 - 1))


def references(target: Target, *, own: bool = False) -> st.SearchStrategy[MessageId]:
    """What a message to this target can be about."""
    conversations = (
        st.just(target) if target.kind is TargetKind.GROUP else PEOPLE.filter(target.may_be) | st.just(target)
    )
    return st.builds(MessageId, conversations, st.none() if own else st.none() | NUMBERS | UUIDS, TIMESTAMPS)


@st.composite
def ranges(draw: st.DrawFn, text: str) -> tuple[tuple[Mention, ...], tuple[Style, ...]]:
    """Mentions and styles in a text."""
    if not text:
        return (), ()
    starts = st.integers(0, len(text) - 1)
    places = st.lists(starts.flatmap(lambda start: st.tuples(st.just(start), st.integers(1, len(text) - start))))
    mentions = [Mention(*place, draw(NUMBERS | UUIDS)) for place in draw(places)]
    return tuple(mentions), tuple([Style(*place, draw(st.sampled_from(StyleKind))) for place in draw(places)])


@st.composite
def quotes(draw: st.DrawFn, target: Target) -> Quote:
    text = draw(st.none() | st.text())
    return Quote(draw(references(target)), text, *draw(ranges(text or "")))


@st.composite
def texts(draw: st.DrawFn) -> TextMessage:
    target, kind = draw(TARGETS), draw(st.sampled_from(["plain", "edit", "sticker", "story", "view once"]))
    text, preview = draw(WORDS), None
    if draw(st.booleans()):
        preview = LinkPreview(URL, draw(WORDS), draw(st.text()), draw(st.none() | FILES))
        text += URL
    mentions, styles = draw(ranges(text))
    files = st.lists(FILES, min_size=kind == "view once", max_size=1 if kind == "view once" else 3)
    return TextMessage(
        target,
        text,
        tuple(draw(files)),
        mentions,
        styles,
        draw(st.none() | quotes(target)),
        preview,
        draw(STICKERS) if kind == "sticker" else None,
        kind == "view once",
        draw(references(target, own=True)) if kind == "edit" else None,
        draw(references(target)) if kind == "story" else None,
    )


RECEIPTS = st.builds(
    Receipt, PEOPLE, st.sampled_from(ReceiptKind), st.lists(TIMESTAMPS, min_size=1, max_size=5).map(tuple)
)
TIMERS = st.builds(ExpirationTimer, TARGETS, st.integers(0, 2**31 - 1))
REACTIONS = TARGETS.flatmap(
    lambda target: st.builds(Reaction, st.just(target), st.just(THUMB), references(target), st.booleans())
)
DELETES = TARGETS.flatmap(lambda target: st.builds(RemoteDelete, st.just(target), references(target, own=True)))


@given(texts() | RECEIPTS | TIMERS | REACTIONS | DELETES)
def test_message_comes_back_as_it_was(message: SignalMessage) -> None:
    body = encode_message(message)
    assert type(body) is bytes
    assert decode_message(body) == message


@given(texts() | RECEIPTS | TIMERS | REACTIONS | DELETES)
def test_summary_is_of_json(message: SignalMessage) -> None:
    summary = summarize(message)
    assert json.loads(json.dumps(summary)) == summary
    assert list(summary)[:4] == ["kind", "to", "text", "attachments"]


def test_journal_keeps_messages() -> None:
    journal = SQLiteJournal("outbox.db", encode=encode_message, decode=decode_message)
    message = TextMessage(PERSON, "hello")
    assert journal.decode(journal.encode(message)) == message


# Today's format, which later versions have to read

CASES = [pytest.param(*case, id=f"{case[1]}-{number}") for number, case in enumerate(GOLDEN)]


@pytest.mark.parametrize(("message", "kind", "fields", "_"), CASES)
def test_format(message: SignalMessage, kind: str, fields: str, _: Any) -> None:
    assert encode_message(message) == kept(kind, fields)
    assert decode_message(kept(kind, fields)) == message


@pytest.mark.parametrize(("message", "kind", "_", "summary"), CASES)
def test_summary(message: SignalMessage, kind: str, _: Any, summary: dict[str, Any]) -> None:
    assert summarize(message) == {"kind": kind, "text": "", "attachments": 0, **summary}


def test_every_kind_of_message_has_a_format() -> None:
    kinds = {each for _, each in inspect.getmembers(messages, inspect.isclass) if issubclass(each, SignalMessage)}
    assert {type(message) for message, *_ in GOLDEN} == kinds - {SignalMessage}


# About a message that was put


def a_delivery(outcome: Outcome | None, result: object = None) -> Delivery[Any]:
    delivery = make_delivery(1, message=TextMessage(PERSON, SECRET))
    delivery.outcome, delivery._result = outcome, result
    return delivery


def about(delivery: Delivery[Any]) -> list[SignalMessage]:
    """Messages of every kind that can be about another one."""
    return [
        TextMessage(PERSON, "yes", quote=Quote(delivery)),
        TextMessage(PERSON, "better", edits=delivery),
        Reaction(PERSON, THUMB, delivery),
        RemoteDelete(PERSON, delivery),
    ]


def test_what_is_about_a_sent_message_is_kept_with_its_identity() -> None:
    assert [decode_message(encode_message(each)) for each in about(a_delivery(Outcome.SENT, SendResult(WHEN)))] == [
        TextMessage(PERSON, "yes", quote=Quote(OURS, SECRET)),
        TextMessage(PERSON, "better", edits=OURS),
        Reaction(PERSON, THUMB, OURS),
        RemoteDelete(PERSON, OURS),
    ]


@pytest.mark.parametrize("message", about(a_delivery(None)), ids=lambda message: type(message).__name__)
def test_what_is_about_a_waiting_message_is_not_kept(message: SignalMessage) -> None:
    pattern = "message is about one that still waits: a journal can only keep what is about .* sent; await it first"
    with refused(ValueError, pattern, *SECRETS):
        encode_message(message)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_is_about_a_message_without_a_timestamp_is_not_kept(outcome: Outcome) -> None:
    delivery = a_delivery(None)
    message = RemoteDelete(PERSON, delivery)
    delivery.outcome = outcome
    with refused(ValueError, f"message is about one that has no timestamp on Signal: it was {outcome}", *SECRETS):
        encode_message(message)


def test_summary_of_what_is_about_a_waiting_message() -> None:
    assert summarize(RemoteDelete(PERSON, a_delivery(None)))["about"] is None


# What does not become bytes


class Shout(TextMessage):
    pass


@pytest.mark.parametrize("thing", [Shout(PERSON, SECRET), SECRET, None], ids=lambda thing: type(thing).__name__)
def test_what_is_no_message_of_the_package_is_not_kept(thing: Any) -> None:
    allowed = "TextMessage, Reaction, RemoteDelete, Receipt, ExpirationTimer"
    pattern = f"message must be one of {allowed}, not {type(thing).__name__}"
    with refused(TypeError, pattern, *SECRETS):
        encode_message(thing)
    with refused(TypeError, pattern, *SECRETS):
        summarize(thing)


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        (Target(TargetKind.ACI, ACI.upper()), "target must be one of make_target"),
        (Target(TargetKind.ACI, NUMBER), "target must be one of make_target"),
        (Target(TargetKind.USERNAME, SECRET), "username must be .*"),
    ],
)
def test_target_that_would_not_come_back_is_not_kept(target: Target, pattern: str) -> None:
    with refused(ValueError, pattern, *SECRETS, ACI.upper()):
        encode_message(TextMessage(target, "hello"))


# Results

OPTIONAL = st.none() | st.text()
RECIPIENTS = st.builds(
    RecipientResult, st.sampled_from(ResultType), OPTIONAL, OPTIONAL, st.none() | st.floats(0, 1e6), OPTIONAL
)


@given(st.builds(SendResult, TIMESTAMPS, st.lists(RECIPIENTS).map(tuple)))
def test_any_result_comes_back(result: SendResult) -> None:
    assert decode_result(encode_result(result)) == result


def test_what_is_kept_of_a_result() -> None:
    results = (RecipientResult(ResultType.SUCCESS, ACI), RecipientResult(ResultType.OTHER, number=NUMBER))
    kept_as = f'{{"version":1,"fields":{{"timestamp":{WHEN},"results":[{{"type":"SUCCESS","uuid":"{ACI}"}},'
    kept_as += f'{{"type":"OTHER","number":"{NUMBER}"}}]}}}}'
    assert encode_result(SendResult(WHEN, results)).decode() == kept_as
    assert decode_result(kept_as.encode()) == SendResult(WHEN, results)
    assert encode_result(SendResult(WHEN)) == b'{"version":1,"fields":{"timestamp":%d}}' % WHEN


def test_type_that_a_newer_version_knows_is_other() -> None:
    body = b'{"version":1,"fields":{"timestamp":1,"results":[{"type":"NEW"}]}}'
    assert decode_result(body) == SendResult(1, (RecipientResult(ResultType.OTHER),))


@pytest.mark.parametrize("other", [None, 1, SECRET, {"timestamp": 1}])
def test_what_is_no_result_is_refused(other: Any) -> None:
    with pytest.raises(TypeError, match=f"result must be a SendResult, not {type(other).__name__}"):
        encode_result(other)
