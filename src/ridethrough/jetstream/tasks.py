"""Tasks: what goes on in the background while a shared buffer is open, and what is done to its end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

from anyio import CancelScope, current_effective_deadline

from .._loop import AsyncioLoop
from ..logs import get_logger

R = TypeVar("R")

_log: logging.Logger = get_logger("jetstream")


class Tasks:
    """Tasks that end with the buffer."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def aclose(self) -> None:
        """Cancel them, and return when all of them have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the shared buffer failed: %s", type(error).__name__, exc_info=error)


async def see_through(work: Coroutine[Any, Any, R]) -> R:
    """Do something to its end.

    **Cancellation** comes to effect afterwards.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        with CancelScope(shield=True):
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({task})
        cancel_again()
    return task.result()


_cancelled_again: WeakSet[asyncio.Task[Any]] = WeakSet()


def cancel_again() -> None:
    """Have the cancellation that the current task has caught come to it when it next sleeps."""
    task = asyncio.current_task()
    assert task is not None
    if current_effective_deadline() > -math.inf:  # or else it was a scope's, which cancels again by itself
        _cancelled_again.add(task)
    AsyncioLoop(asyncio.get_running_loop()).cancel_again()


async def begin() -> None:
    """Let that cancellation in before something is begun that would see it only afterwards, over and over.

    **Cancellation.** If it raises one, nothing has begun.
    """
    task = asyncio.current_task()
    assert task is not None
    if task in _cancelled_again:
        _cancelled_again.discard(task)
        await asyncio.sleep(0)
