"""Both kinds of cancellation: a scope's, and the native one of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after

from tests.clocks import jumping_backends
from tests.links import PATIENCE

ASYNCIO, TRIO = jumping_backends()

both_kinds = pytest.mark.parametrize(
    ("anyio_backend", "kind"),
    [(ASYNCIO, "native"), (ASYNCIO, "scope"), (TRIO, "scope")],
    ids=["asyncio-native", "asyncio-scope", "trio-scope"],
)
"""Runs a test with each kind on each event loop that has it."""


@asynccontextmanager
async def cancellable(work: Callable[[], Awaitable[Any]], kind: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Do something in the background; gives what cancels it, waits for its end, and tells whether it was cancelled."""
    if kind == "native":
        task = asyncio.ensure_future(work())

        async def cancel_natively() -> bool:
            task.cancel()
            with fail_after(PATIENCE):
                await asyncio.wait([task])
            return task.cancelled()

        yield cancel_natively
    else:
        async with create_task_group() as tasks:
            scope, over = CancelScope(), Event()

            async def work_in_scope() -> None:
                with scope:
                    await work()
                over.set()

            async def cancel_scope() -> bool:
                scope.cancel()
                with fail_after(PATIENCE):
                    await over.wait()
                return scope.cancelled_caught

            tasks.start_soon(work_in_scope)
            yield cancel_scope
