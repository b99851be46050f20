"""Message: what a client publishes, and what a subscriber gets."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One message of core NATS."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None
