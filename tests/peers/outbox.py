"""What these tests share: a buffer whose books are checked, and small moves on it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import trio
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferClosed
from tests.conformance.harness import Buffer, BufferSuite, Call
from tests.links import FakeLink, Fault, raising


class _InMemory(BufferSuite):
    def make(self, **options: Any) -> AbstractAsyncContextManager[Buffer]:
        return AsyncMessageBuffer[str](**options)


open_buffer = _InMemory().open
"""``async with open_buffer(**options) as buffer``: in the end its books must add up; who waits for nothing fails."""


async def take_all(buffer: Buffer, seen: list[str], limit: int = 1) -> None:
    """Lease and acknowledge, message by message, until the buffer closes."""
    with suppress(BufferClosed):
        while True:
            async with buffer.lease(limit) as lease:
                for entry in lease:
                    entry.begin()
                    await checkpoint()
                    if entry.ack():
                        seen.append(entry.message)


async def together(call: Call[Any], kind: str, event: Callable[[], Awaitable[object]]) -> None:
    """Bring about what a call waits for, and cancel it before it has noticed."""
    await event()
    call.cancel(kind)
    await wait_all_tasks_blocked()


def states(*calls: Call[Any]) -> list[str]:
    """How these calls stand."""
    return [call.state for call in calls]


def waiters_in_memory() -> int:
    """How many futures of asyncio and events of trio there are."""
    gc.collect()
    return sum(type(thing) in (asyncio.Future, trio.Event) for thing in gc.get_objects())


async def answer(link: FakeLink, message: str) -> str:
    """A send that goes well; for a script in which a later one does not."""
    await checkpoint()
    return link.take(message)


def offline(tries: int) -> list[Fault]:
    """So many connects that fail."""
    return [raising(ConnectionRefusedError("nobody listens"))] * tries
