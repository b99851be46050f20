"""Arguments of the shared buffer, checked: each error says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..intake import positive_int

_ALLOWED_CALLBACKS = ("signature_cb", "user_jwt_cb")


def message_ids(ids: tuple[int, ...]) -> tuple[int, ...]:
    """The ids of messages."""
    for each in ids:
        if type(each) is not int:  # and no bool
            raise TypeError(f"ids must be ints, not {type(each).__name__}")
    return ids


def optional_int(name: str, value: int | None) -> int | None:
    """A whole number, at least 1; or None."""
    return None if value is None else positive_int(name, value)


def client_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What may be handed to nats-py."""
    taken = sorted(name for name in options if name.endswith("_cb") and name not in _ALLOWED_CALLBACKS)
    taken += [name for name in ("servers", "pending_size", "allow_reconnect") if name in options]
    if taken:
        raise ValueError(f"options must not have {', '.join(taken)}: these are the buffer's own")
    return dict(options)


def addresses(servers: str | Sequence[str]) -> list[str]:
    """The addresses of servers."""
    found = [servers] if isinstance(servers, str) else list(servers) if isinstance(servers, Sequence) else []
    if not found or not all(isinstance(each, str) for each in found):
        raise TypeError("servers must be the address of a NATS server, or several")
    return found
