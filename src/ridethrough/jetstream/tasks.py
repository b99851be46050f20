"""Tasks: what goes on in the background while a shared buffer is open, and what is done to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from anyio import CancelScope

from .._loop import find_event_loop
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
        find_event_loop().cancel_again()
    return task.result()


async def together(*work: Coroutine[Any, Any, R]) -> list[R]:
    """Do several things at the same time, and return what each has given, in order.

    **Cancellation** cancels all of them, as the failure of one does, which is raised.
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def begin() -> None:
    """Let a cancellation in that was put off, before something is begun that would put it off over and over.

    **Cancellation.** If it raises one, nothing has begun.
    """
    await find_event_loop().begin()
