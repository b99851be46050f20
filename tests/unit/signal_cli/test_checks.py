"""checks.py: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough.jsonrpc import MAX_STRING
from ridethrough.signal_cli.checks import check_int, check_text, check_timestamp, check_tuple, check_type
from tests.unit.signal_cli.refusing import SECRET, refused

HALF = MAX_STRING // 2


@pytest.mark.parametrize("text", [" ", "\0", "a\nb", "\U0001f600", "x" * MAX_STRING, "\U0001f600" * HALF])
def test_text(text: str) -> None:
    check_text("text", text)


def test_text_that_may_be_empty() -> None:
    check_text("text", "", empty=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must not be empty"),
        (SECRET + "\ud83d", "must be valid Unicode: it has a lone surrogate, which cannot be encoded"),
        ("\udc00" + SECRET, "must be valid Unicode: it has a lone surrogate, which cannot be encoded"),
        (SECRET + "x" * MAX_STRING, "must have at most 20000000 UTF-16 units, not 20000015: the daemon takes no more"),
        (SECRET + "\U0001f600" * HALF, "must have at most 20000000 UTF-16 units, not 20000015: .*"),
    ],
    ids=["empty", "high surrogate", "low surrogate", "long", "long in UTF-16"],
)
def test_text_that_cannot_be_sent(text: str, problem: str) -> None:
    with refused(ValueError, f"title {problem}", SECRET):
        check_text("title", text)


def test_text_with_a_limit_in_bytes() -> None:
    check_text("text", "\u00fc" * 5, limit=10)
    with refused(ValueError, "text must have at most 10 bytes in UTF-8, not 11", "\u00fc"):
        check_text("text", "\u00fc" * 5 + "x", limit=10)


@pytest.mark.parametrize("thing", [None, True, SECRET.encode(), [SECRET]], ids=repr)
def test_text_that_is_no_string(thing: Any) -> None:
    with refused(TypeError, f"text must be a string, not {type(thing).__name__}", SECRET):
        check_text("text", thing, empty=True)


def test_type_out_of_several() -> None:
    for value in (1, None):
        check_type("number", value, (int, type(None)), "an int or None")
    with refused(TypeError, "number must be an int or None, not str", SECRET):
        check_type("number", SECRET, (int, type(None)), "an int or None")


def test_tuple() -> None:
    check_tuple("numbers", (), int)
    check_tuple("numbers", (1, 2), int)
    with refused(TypeError, "numbers must be a tuple of int, not list", SECRET):
        check_tuple("numbers", [SECRET], int)
    with refused(TypeError, "numbers must be a tuple of int alone, not str", SECRET):
        check_tuple("numbers", (1, SECRET), int)


@pytest.mark.parametrize("value", [3, 4, 5])
def test_int(value: int) -> None:
    check_int("number", value, 3, 5)


@pytest.mark.parametrize("value", [2, 6, -3, 10**400])
def test_int_out_of_its_range(value: int) -> None:
    with refused(ValueError, "number must be an int from 3 to 5"):
        check_int("number", value, 3, 5)


@pytest.mark.parametrize("thing", [True, 4.0, "4", None], ids=repr)
def test_what_is_no_int(thing: Any) -> None:
    with refused(TypeError, f"number must be an int from 0 to 5, not {type(thing).__name__}"):
        check_int("number", thing, 0, 5)


@pytest.mark.parametrize("value", [2**31, 1_700_000_000_000, 2**53 - 1])
def test_timestamp(value: int) -> None:
    check_timestamp("timestamp", value)


@pytest.mark.parametrize("value", [2**31 - 1, 2**53, 0, -(2**40)])
def test_timestamp_that_the_daemon_does_not_take(value: int) -> None:
    with refused(ValueError, "timestamp must be an int from 2147483648 to 9007199254740991"):
        check_timestamp("timestamp", value)
