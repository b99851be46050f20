"""Checks of what messages are made from. The errors name the field and what is allowed, and never what was passed."""

from __future__ import annotations

from typing import Any

from ..jsonrpc import MAX_STRING


def check_type(name: str, value: Any, allowed: type | tuple[type, ...], what: str) -> None:
    """Refuse what is of another type.

    Args:
        name: the field's name, for the error.
        value: what was given for it.
        allowed: the types.
        what: the same in words.

    Raises:
        TypeError: naming the field and what is allowed.
    """
    if not isinstance(value, allowed):
        raise TypeError(f"{name} must be {what}, not {type(value).__name__}")


def check_tuple(name: str, value: Any, kind: type) -> None:
    """Refuse what is no tuple of such."""
    check_type(name, value, tuple, f"a tuple of {kind.__name__}")
    for each in value:
        check_type(name, each, kind, f"a tuple of {kind.__name__} alone")


def check_text(name: str, text: Any, *, empty: bool = False, limit: int | None = None) -> None:
    """Refuse what is no text that can be sent.

    Args:
        name: the field's name, for the error.
        text: what was given for it.
        empty: whether it may be empty.
        limit: how many bytes of UTF-8 it may have; None: as many as the daemon takes in a string.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """
    check_type(name, text, str, "a string")
    if not text and not empty:
        raise ValueError(f"{name} must not be empty")
    try:
        units = len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        units = -1  # raised below: the error holds the whole text
    if units < 0:
        raise ValueError(f"{name} must be valid Unicode: it has a lone surrogate, which cannot be encoded")
    if units > MAX_STRING:
        raise ValueError(f"{name} must have at most {MAX_STRING} UTF-16 units, not {units}: the daemon takes no more")
    if limit is not None and (size := len(text.encode())) > limit:
        raise ValueError(f"{name} must have at most {limit} bytes in UTF-8, not {size}")


def check_int(name: str, value: Any, low: int, high: int) -> None:
    """Refuse what is no int from ``low`` to ``high``."""
    allowed = f"an int from {low} to {high}"
    if isinstance(value, bool):
        raise TypeError(f"{name} must be {allowed}, not bool")
    check_type(name, value, int, allowed)
    if not low <= value <= high:
        raise ValueError(f"{name} must be {allowed}")


def check_timestamp(name: str, value: Any) -> None:
    """Refuse what is no time of a message, in milliseconds since 1970. The daemon stumbles over those below 2**31."""
    check_int(name, value, 2**31, 2**53 - 1)
