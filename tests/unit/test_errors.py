"""errors.py: the exception tree, what its members carry, and what is no length of time."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
import sys
from typing import Any

import pytest

import ridethrough
from ridethrough import errors
from ridethrough.delivery import Outcome
from ridethrough.errors import (
    AuthenticationFailed,
    BufferClosed,
    BufferFull,
    FlushTimeout,
    LinkLost,
    MessageTooLarge,
    Rejected,
    RetryLater,
    RidethroughError,
    StoreAway,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreGone,
    StoreLocked,
    StoreReadOnly,
    Undelivered,
    check_pause,
    check_seconds,
    describe,
)


def drawn_tree() -> dict[str, str]:
    """Child to parent, as the docstring draws them: a child's branch begins beneath the first letter of its parent."""
    parents: dict[str, str] = {}
    columns: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"    ([ │]*)(?:[├└]── )?([A-Z]\w+)(?: {2,}.*)?", line):
            column = len(match[1]) + (4 if "── " in line else 0)
            columns[column] = match[2]
            parents[match[2]] = columns.get(column - 4, "Exception")
    return parents


def real_tree() -> dict[str, str]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name: cls.__mro__[1].__name__ for name, cls in classes if issubclass(cls, Exception)}


def test_tree_in_the_docstring_is_the_real_one() -> None:
    assert drawn_tree() == real_tree()
    assert len(real_tree()) == 17


def test_all_errors_are_public() -> None:
    for name in real_tree():
        assert name in ridethrough.__all__
        assert getattr(ridethrough, name) is getattr(errors, name)


EXAMPLES = [
    RidethroughError("anything"),
    BufferFull("full"),
    BufferClosed("closed"),
    MessageTooLarge(size=11, max_bytes=10),
    FlushTimeout(left=3),
    Undelivered(outcome=Outcome.DROPPED, reason="the buffer was full"),
    LinkLost("reset by peer", unsent=True),
    RetryLater(after=1.5, scope="all", reason="rate limited", in_doubt=True),
    RetryLater(after=1.5, unsent=True),
    Rejected("unregistered"),
    AuthenticationFailed("unlinked"),
    StoreError("outbox.db is no outbox"),
    StoreLocked("outbox.db is in use", owner=4711),
    StoreFull("no room for outbox.db"),
    StoreCorrupt("outbox.db was damaged", saved=3, lost=1, copy="outbox.db.corrupt-1"),
    StoreReadOnly("outbox.db may not be written"),
    StoreGone("outbox.db was removed"),
    StoreAway("no answer in 5 s"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_and_pickles_are_whole(error: RidethroughError, duplicate: Any) -> None:
    twin = duplicate(error)
    assert type(twin) is type(error)
    assert vars(twin) == vars(error) and twin.args == error.args
    assert str(twin) == str(error)


def test_examples_are_of_every_class() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(real_tree())


def test_message_too_large_tells_both_sizes() -> None:
    error = MessageTooLarge(11, 10)
    assert (error.size, error.max_bytes) == (11, 10)
    assert str(error) == "the message has 11 bytes, and this buffer takes at most max_bytes=10"


@pytest.mark.parametrize(("left", "text"), [(1, "1 message had no outcome yet"), (2, "2 messages had no outcome yet")])
def test_flush_timeout_tells_how_many_are_left(left: int, text: str) -> None:
    assert FlushTimeout(left).left == left
    assert str(FlushTimeout(left)) == text


def test_store_errors_tell_what_a_person_needs() -> None:
    locked, corrupt = StoreLocked("in use", owner=4711), StoreCorrupt("damaged", saved=3, lost=1, copy="x.corrupt-1")
    assert (str(locked), locked.owner, StoreLocked("in use").owner) == ("in use", 4711, None)
    assert (str(corrupt), corrupt.saved, corrupt.lost, corrupt.copy) == ("damaged", 3, 1, "x.corrupt-1")
    assert (StoreCorrupt("").saved, StoreCorrupt("").lost, StoreCorrupt("").copy) == (0, None, None)


@pytest.mark.parametrize(("reason", "text"), [("too old", "expired: too old"), ("", "expired")])
def test_undelivered_tells_outcome_and_reason(reason: str, text: str) -> None:
    error = Undelivered(Outcome.EXPIRED, reason)
    assert error.outcome is Outcome.EXPIRED and error.reason == reason
    assert str(error) == text


def test_link_lost_leaves_in_doubt_unless_it_says_otherwise() -> None:
    assert LinkLost().unsent is False
    assert LinkLost(unsent=True).unsent is True
    assert str(LinkLost()) == "the link is gone"
    assert str(LinkLost("reset by peer")) == "reset by peer"


def test_retry_later_pauses_the_key_unless_it_says_otherwise() -> None:
    assert (RetryLater(2).after, RetryLater(2).scope) == (2, "key")
    assert (RetryLater(0, "all").after, RetryLater(0, "all").scope) == (0, "all")
    assert RetryLater(2).in_doubt is False and RetryLater(2, in_doubt=True).in_doubt is True
    assert RetryLater(2).unsent is False and RetryLater(2, unsent=True).unsent is True
    assert str(RetryLater(2.5, "all")) == "again in 2.5 s (all)"
    assert str(RetryLater(2.5, reason="rate limited")) == "rate limited"


def test_retry_later_refuses_what_is_no_pause() -> None:
    with pytest.raises(ValueError, match="after must be a finite number of seconds, at least 0, not -1"):
        RetryLater(-1)
    with pytest.raises(ValueError, match="scope must be 'key' or 'all', not 'everything'"):
        RetryLater(1, "everything")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="in_doubt must be False of what was unsent"):
        RetryLater(1, in_doubt=True, unsent=True)


@pytest.mark.parametrize("scope", ["key", "all"])
@pytest.mark.parametrize("after", [0, 0.0, 1, 2.5])
def test_check_pause_lets_pauses_pass(after: float, scope: str) -> None:
    check_pause(after, scope)


@pytest.mark.parametrize("scope", ["", "KEY", None, 1, ["key"]])
def test_check_pause_refuses_other_scopes(scope: Any) -> None:
    with pytest.raises(ValueError, match="scope must be 'key' or 'all'"):
        check_pause(1, scope)


def test_check_pause_refuses_none() -> None:
    with pytest.raises(TypeError, match="after must be a finite number of seconds, at least 0, not NoneType"):
        check_pause(None, "all")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 0.001, 1e300, sys.float_info.max, int(sys.float_info.max)])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("none", [False, True])
def test_check_seconds_lets_lengths_of_time_pass(value: float, zero: bool, none: bool) -> None:
    check_seconds("timeout", value, zero=zero, none=none)


def test_check_seconds_lets_none_and_zero_pass_where_allowed() -> None:
    check_seconds("timeout", None, none=True)
    check_seconds("timeout", 0, zero=True)
    check_seconds("timeout", -0.0, zero=True)


@pytest.mark.parametrize("value", [True, False, "1", 1j, [1], b"1"])
@pytest.mark.parametrize("zero", [False, True])
def test_check_seconds_refuses_other_types(value: Any, zero: bool) -> None:
    with pytest.raises(TypeError, match=rf"^ttl must be .*, not {type(value).__name__}$"):
        check_seconds("ttl", value, zero=zero, none=True)


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, -math.inf, 2 * int(sys.float_info.max), -(10**400)])
@pytest.mark.parametrize("zero", [False, True])
def test_check_seconds_refuses_other_numbers(value: float, zero: bool) -> None:
    with pytest.raises(ValueError, match=r"^ttl must be a finite number of seconds, .*, not "):
        check_seconds("ttl", value, zero=zero)


@pytest.mark.parametrize(
    ("zero", "none", "allowed"),
    [
        (False, False, "a finite number of seconds, more than 0"),
        (True, False, "a finite number of seconds, at least 0"),
        (False, True, "a finite number of seconds, more than 0, or None"),
        (True, True, "a finite number of seconds, at least 0, or None"),
    ],
)
def test_check_seconds_says_what_is_allowed(zero: bool, none: bool, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^ttl must be {allowed}, not -1$"):
        check_seconds("ttl", -1, zero=zero, none=none)


def test_check_seconds_refuses_none_and_zero_where_not_allowed() -> None:
    with pytest.raises(TypeError, match="not NoneType"):
        check_seconds("ttl", None)
    with pytest.raises(ValueError, match="more than 0, not 0"):
        check_seconds("ttl", 0)


def test_describe_tells_our_words_and_the_systems_and_only_the_kind_of_others() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    tried = OSError("All connection attempts failed, of +15550100200")
    tried.__cause__ = ExceptionGroup("several", [OSError("the first, of +15550100200"), refused])
    for error, words in [
        (LinkLost("the daemon went"), "the daemon went"),
        (Rejected(), "Rejected"),
        (refused, "Connection refused"),
        (tried, "Connection refused"),
        (ConnectionError("POST /send/+15550100200"), "ConnectionError"),
        (ValueError("meet me at noon"), "ValueError"),
    ]:
        assert describe(error) == words
