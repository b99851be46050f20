"""What a journal is given and gives: messages as JSON, and values that show no body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.abc import DeadLetter, Journal, JournalChanges, JournalRecord, Recovered
from ridethrough.delivery import Outcome
from ridethrough.sqlite import SQLiteJournal

SECRET = "meet me at noon"


def journal() -> SQLiteJournal[Any]:
    return SQLiteJournal("outbox.db")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_what_json_can_say_comes_back_as_it_was(message: Any) -> None:
    body = journal().encode(message)
    assert type(body) is bytes
    assert journal().decode(body) == message


def test_lone_surrogate_comes_back() -> None:
    assert journal().decode(journal().encode("\ud800")) == "\ud800"


def test_text_takes_no_more_room_than_it_has_to() -> None:
    assert journal().encode({"text": "Grüße"}) == '{"text":"Grüße"}'.encode()


def nested() -> Any:
    message: list[Any] = []
    for _ in range(100_000):
        message = [message]
    return message


def circular() -> Any:
    message: list[Any] = [SECRET]
    message.append(message)
    return message


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (SECRET.encode(), TypeError),
        ({SECRET}, TypeError),
        ([object()], TypeError),
        ({(1, 2): SECRET}, TypeError),
        ((SECRET, SECRET), ValueError),
        ({1: SECRET}, ValueError),
        (float("nan"), ValueError),
        ([float("inf")], ValueError),
        (nested(), ValueError),
        (circular(), ValueError),
    ],
    ids=["bytes", "set", "object", "tuple as key", "tuple", "number as key", "nan", "inf", "deep", "circular"],
)
def test_what_would_not_come_back_is_refused(message: Any, kind: type[Exception]) -> None:
    with pytest.raises(
        kind, match=r"^message must be None, a boolean, .*, or encode and decode must be given$"
    ) as caught:
        journal().encode(message)
    assert type(caught.value) is kind
    assert caught.value.__context__ is None  # the encoder's error may hold the message


def test_codec_of_ones_own(tmp_path: Path) -> None:
    own = SQLiteJournal[str](tmp_path / "x", encode=str.encode, decode=bytes.decode)
    assert own.encode("a") == b"a"
    assert own.decode(b"a") == "a"


def test_codec_that_makes_no_bytes(tmp_path: Path) -> None:
    own = SQLiteJournal[Any](tmp_path / "x", encode=bytearray, decode=bytes)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^encode must return bytes, not bytearray$"):
        own.encode(b"a")


def test_changes_are_false_if_there_are_none() -> None:
    assert not JournalChanges()
    assert JournalChanges(appended=[JournalRecord(1, b"")])
    assert JournalChanges(updated=[(1, 1, True)])
    assert JournalChanges(discarded=[1])
    assert JournalChanges(buried=[(1, Outcome.EXPIRED, "")])
    assert JournalChanges(forgotten=[1])


def test_values_show_no_body() -> None:
    record = JournalRecord(7, SECRET.encode(), 2, True, 5.0)
    letter = DeadLetter(7, SECRET.encode(), Outcome.EXPIRED, "too old", 5.0, 2, True)
    assert repr(record) == "<JournalRecord 7: 15 bytes, attempts: 2>"
    assert repr(letter) == "<DeadLetter 7: expired, 15 bytes, attempts: 2>"
    assert repr(Recovered(9, [record])) == "<Recovered: 1 messages, last id 9>"
    changes = JournalChanges([record], [(7, 1, True)] * 2, [7] * 3, [(7, Outcome.EXPIRED, SECRET)] * 4, [7] * 5)
    assert repr(changes) == "<JournalChanges: 1 appended, 2 updated, 3 discarded, 4 buried, 5 forgotten>"


def test_journal_says_what_a_journal_must_have() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Journal()  # type: ignore[abstract]
