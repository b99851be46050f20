"""Tables: aligned whatever is in them, and nothing in them that a terminal obeys."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.cli.tables import count, cut, escape, facts, span, table, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcode 漢字 🎉", "plain text, ünïcode 漢字 🎉"),
        ("two\nlines\r\n\tmore", "two\\nlines\\r\\n\\tmore"),
        ("\x1b[2J\x07\x7f\x9b", "\\x1b[2J\\x07\\x7f\\x9b"),
        ("abc\u202edcba\u2066x", "abc\\u202edcba\\u2066x"),
        ("\u2028\u2029\ufeff", "\\u2028\\u2029\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\udc80", "\\udc80"),
        ("👨\u200d👩\u200d👧 \u0645\u06cc\u200c\u062e", "👨\u200d👩\u200d👧 \u0645\u06cc\u200c\u062e"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text(st.characters()))
def test_nothing_escaped_is_obeyed(text: str) -> None:
    shown = escape(text)
    assert not {character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")}
    assert len(shown.splitlines()) <= 1
    assert escape(shown) == shown


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("🎉", 2), ("", 0)])
def test_width(text: str, cells: int) -> None:
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("漢字漢字", 6, "漢字…"),
        ("漢字漢字", 5, "漢字…"),
        ("ab", 1, "…"),
    ],
)
def test_cut(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown


@given(st.text(), st.integers(1, 30))
def test_what_is_cut_fits(text: str, room: int) -> None:
    assert width(cut(text, room)) <= room


def test_table() -> None:
    text = table(("ID", "TO", "MESSAGE"), [(7, "漢字", "one\ntwo"), (12, "x", "")])
    assert text == "ID  TO    MESSAGE\n 7  漢字  one\\ntwo\n12  x\n"


def test_table_cut_to_its_room() -> None:
    rows = [(1, "a" * 50)]
    assert table(("ID", "MESSAGE"), rows, room=20) == f"ID  MESSAGE\n 1  {'a' * 15}…\n"
    assert table(("ID", "MESSAGE"), rows, room=3) == f"ID  MESSAGE\n 1  {'a' * 11}…\n"


def test_facts_name_what_repeats_once() -> None:
    assert facts([("a", "1"), ("held up", "x"), ("held up", "y\x1b")]) == "a        1\nheld up  x\n         y\\x1b\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_count() -> None:
    assert [count(number, "message") for number in (0, 1, 2)] == ["0 messages", "1 message", "2 messages"]
