"""Outboxes over a plain buffer, and what is said in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from ridethrough import AsyncMessageBuffer
from ridethrough.signal_cli import (
    Data,
    Envelope,
    Mention,
    MessageId,
    SendResult,
    SignalMessage,
    SignalOutbox,
    Source,
    Style,
    StyleKind,
    make_target,
    size_of,
    target_of,
)
from ridethrough.signal_cli.envelopes import Content
from tests.unit.signal_cli.clients import ANNA, BERT, GROUP

TO_ANNA, TO_BERT, TO_GROUP = make_target(to=ANNA), make_target(to=BERT), make_target(group=GROUP)
SENT = 1_700_000_000_123
OWN, HERS = MessageId(TO_ANNA, None, SENT), MessageId(TO_ANNA, ANNA, SENT)
BOLD, MENTION = Style(0, 5, StyleKind.BOLD), Mention(0, 5, BERT)


class MakeOutbox(Protocol):
    """Makes an outbox over a buffer of its own with these options."""

    def __call__(self, shares_files: bool = False, **options: Any) -> SignalOutbox: ...


@asynccontextmanager
async def outboxes() -> AsyncIterator[MakeOutbox]:
    """Gives what makes them; in the end they are closed."""
    made: list[SignalOutbox] = []

    def make(shares_files: bool = False, **options: Any) -> SignalOutbox:
        buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(
            **{"key": target_of, "size_of": size_of} | options
        )
        made.append(SignalOutbox(buffer, shares_files=shares_files))
        return made[-1]

    yield make
    for outbox in made:
        await outbox.buffer.aclose()


def envelope(content: Content, source: str | None = ANNA) -> Envelope:
    """One that came at :data:`SENT`."""
    return Envelope(None, Source(uuid=source), SENT, SENT, content, {})


def by_anna(text: str = "hello", **more: Any) -> Envelope:
    """A message of Anna's."""
    return envelope(Data(SENT, text, **more))


async def put(outbox: SignalOutbox) -> list[SignalMessage]:
    """What was put."""
    return await outbox.buffer.drain()


async def acknowledge(outbox: SignalOutbox, *timestamps: int) -> None:
    """Let the messages that wait have been sent at these times."""
    async with outbox.buffer.lease(len(timestamps)) as lease:
        for entry, timestamp in zip(lease, timestamps, strict=True):
            entry.begin()
            entry.ack(SendResult(timestamp))
