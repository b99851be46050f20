"""Outboxes that are served, and lines to their doors, for tests of both sides."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

from anyio import create_task_group, fail_after

from ridethrough import AsyncMessageBuffer
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.door import serve
from tests.talk import Talk, talk_to

PATIENCE = 30
"""Seconds after which a test fails that waits for nothing."""


@asynccontextmanager
async def serving(
    path: Path,
    max_size: int = 1000,
    *,
    journal: SQLiteJournal[Any] | None = None,
    summarize: Callable[[Any], dict[str, Any]] | None = None,
    about: Callable[[], dict[str, Any]] | None = None,
    **options: Any,
) -> AsyncIterator[AsyncMessageBuffer[Any]]:
    """An outbox, and its owner who serves it. A put waits for room, unless told otherwise."""
    options = {"overflow": "wait", **options, "journal": journal or SQLiteJournal[Any](path)}
    async with AsyncMessageBuffer[Any](max_size, **options) as buffer, create_task_group() as tasks:
        await tasks.start(partial(serve, buffer, summarize=summarize, about=about))
        with fail_after(PATIENCE):
            yield buffer
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[Talk]:
    """A line to the door, with nothing in between."""
    async with talk_to(f"unix:{path}-door") as talk:
        yield talk


def request(method: str, number: int = 1, **params: Any) -> dict[str, Any]:
    return {"id": number, "method": method, "params": params}


def put(*messages: Any, number: int = 1, **params: Any) -> dict[str, Any]:
    bodies = [base64.b64encode(json.dumps(message).encode()).decode() for message in messages]
    return request("put", number, bodies=bodies, **params)


def texts(buffer: AsyncMessageBuffer[Any]) -> list[Any]:
    """The messages that wait."""
    return [delivery.message for delivery in buffer.waiting()]


def kept(path: Path) -> dict[int, Any]:
    """The messages in the file, which nobody has open, by their numbers."""
    with closing(SQLiteJournal[Any](path)) as journal:
        return {record.id: journal.decode(record.body) for record in journal.open().records}
