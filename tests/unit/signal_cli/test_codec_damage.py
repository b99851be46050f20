"""codec.py: bytes that are no message, or none any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.signal_cli.codec import decode_message, decode_result, encode_message
from ridethrough.signal_cli.messages import SignalMessage
from tests.unit.signal_cli.kept import GOLDEN, OURS_KEPT, SECRETS, THEIRS_KEPT, THUMB, TO, WHEN, kept
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, check_tells_nothing, refused

HELLO = f'{TO},"text":"{SECRET}"'
REACT = f'{TO},"emoji":"{THUMB}","about":'
UNREADABLE = [
    (b"", "it is no JSON"),
    (kept("text", HELLO)[:-1], "it is no JSON"),
    (kept("text", HELLO).replace(b"meet", b"\xff"), "it is no JSON"),
    (b"[" * 100_000, ".*recursion.*"),
    (f'"{SECRET}"'.encode(), "it is no message"),
    (f'{{"version":1,"kind":"{SECRET}"}}'.encode(), "it is no message"),
    (kept("text", HELLO).replace(b":1,", b":0,"), "it is no message"),
    (kept("text", HELLO).replace(b":1,", b':"1",'), "it is no message"),
    (
        kept("text", HELLO).replace(b":1,", b":2,"),
        "a newer version of ridethrough has written it, and this one knows version 1",
    ),
    (kept(SECRET, HELLO), "it is of a kind that is not known to this version of ridethrough"),
    (kept("text", f'{TO},"{SECRET}":1'), "TextMessage has a field that is not known to this version of ridethrough"),
    (kept("text", f'"target":{{"{SECRET}":1}}'), "Target has a field that is not known to this .*"),
    (kept("text", f'"target":"{NUMBER}"'), "Target must be an object of JSON, not str"),
    (kept("text", '"text":"hi"'), ".*missing 1 required positional argument: 'target'"),
    (kept("text", '"target":{},"text":"hi"'), "exactly one of .* must be given, not none"),
    (kept("text", f'"target":{{"to":"{SECRET}"}}'), "to must be a telephone number such as .*"),
    (kept("text", TO), "text must not be empty"),
    (kept("text", f'{TO},"text":null'), "text must be a string, not NoneType"),
    (kept("text", f'{TO},"text":["{SECRET}"]'), "text must be a string, not list"),
    (kept("text", f'{TO},"text":"\\ud800"'), "text must be valid Unicode: .*"),
    (kept("text", f'{HELLO},"view_once":1'), "view_once must be a bool, not int"),
    (kept("text", f'{HELLO},"attachments":"{SECRET}"'), "several of Attachment must be a list, not str"),
    (kept("text", f'{HELLO},"attachments":["{SECRET}"]'), "Attachment must be an object of JSON, not str"),
    (kept("text", f'{HELLO},"attachments":[{{"data":"{SECRET}"}}]'), ".*base64.*"),
    (kept("text", f'{HELLO},"attachments":[{{"data":1}}]'), ".*not 'int'"),
    (
        kept("text", f'{HELLO},"styles":[{{"start":0,"length":1,"kind":"{SECRET}"}}]'),
        "kind must be a StyleKind, not str",
    ),
    (kept("text", f'{HELLO},"styles":[{{"start":99,"length":1,"kind":"BOLD"}}]'), "mentions and styles must lie .*"),
    (kept("reaction", f"{REACT}null"), "about must be a MessageId or a Delivery, not NoneType"),
    (kept("reaction", f"{REACT}{OURS_KEPT.replace('1700000000000', '1700')}"), "timestamp must be an int from .*"),
    (kept("reaction", f"{REACT}{THEIRS_KEPT.replace(ACI, SECRET)}"), "author must be a telephone number .*"),
    (kept("delete", f'{TO},"about":{THEIRS_KEPT}'), "about must be a message of one's own: .*"),
    (kept("receipt", f'{TO},"kind":"read","timestamps":5'), "several of int must be a list, not int"),
    (kept("receipt", f'{TO},"kind":[],"timestamps":[{WHEN}]'), "kind must be a ReceiptKind, not list"),
    (kept("expiration", f'{TO},"seconds":1.5'), "seconds must be an int from .*, not float"),
    (kept("expiration", f'{TO},"seconds":{"1" * 5000}'), ".*"),
]


@pytest.mark.parametrize(("body", "pattern"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_is_no_message_any_more(body: bytes, pattern: str) -> None:
    with refused(ValueError, f"the message cannot be read: {pattern}", *SECRETS):
        decode_message(body)


FULL = [encode_message(message) for message, *_ in GOLDEN]


def try_to_read(body: bytes) -> None:
    """It is a message, or refused as it has to be."""
    try:
        message = decode_message(body)
    except ValueError as error:
        assert type(error) is ValueError
        assert error.__context__ is None
        check_tells_nothing(error, *SECRETS)
    else:
        assert isinstance(message, SignalMessage)


@given(st.sampled_from(FULL), st.data())
def test_damaged_bytes(body: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(body) - 1))
    end = data.draw(st.integers(start, len(body)))
    try_to_read(body[:start] + data.draw(st.binary(max_size=8)) + body[end:])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a value of JSON, with each key in it."""
    if isinstance(value, dict | list):
        for key in range(len(value)) if isinstance(value, list) else value:
            yield value, key
            yield from places(value[key])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(SECRETS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["to", *SECRETS]), inner, max_size=3),
)


@given(st.sampled_from(FULL), st.data())
def test_anything_in_place_of_a_value(body: bytes, data: st.DataObject) -> None:
    whole = json.loads(body)
    container, key = data.draw(st.sampled_from(list(places(whole))))
    container[key] = data.draw(JSON)
    try_to_read(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"x", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (f'"{SECRET}"'.encode(), "it is none of this version of ridethrough"),
        (b'{"version":2,"fields":{"timestamp":1}}', "it is none of this version of ridethrough"),
        (b'{"version":1,"fields":[]}', "SendResult must be an object of JSON, not list"),
        (b'{"version":1,"fields":{}}', ".*missing 1 required positional argument: 'timestamp'"),
        (f'{{"version":1,"fields":{{"{SECRET}":1}}}}'.encode(), "SendResult has a field that is not known to .*"),
        (b'{"version":1,"fields":{"timestamp":1,"results":1}}', "several of RecipientResult must be a list, not int"),
    ],
)
def test_what_is_no_result(body: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^the result cannot be read: {problem}$") as raised:
        decode_result(body)
    check_tells_nothing(raised.value)
