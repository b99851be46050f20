"""An outbox on this machine's disk, as ``run`` sends from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from logging import Logger
from pathlib import Path
from typing import Any

from anyio import TASK_STATUS_IGNORED, CancelScope, current_time, sleep
from anyio.abc import TaskStatus

from ..abc import BufferStatistics, Overflow
from ..buffer import AsyncMessageBuffer
from ..delivery import Delivery
from ..errors import StoreLocked
from ..logs import get_logger
from ..signal_cli import SignalClient, SignalMessage, size_of, target_of
from ..signal_cli.codec import decode_message, encode_message, summarize
from ..sqlite import SQLiteJournal
from ..sqlite.door import serve
from .settings import MAX_SIZE, Settings

_LOCK_TIMEOUT = 10.0
"""For how long to wait for an outbox that another process has open, in seconds: a ``send`` has it for a moment."""
_TELL_AFTER = 0.5
_PAUSE = 0.05
logger: Logger = get_logger("cli")


class DiskOutbox:
    """An outbox that this process owns.

    Attributes:
        buffer: it holds the messages.
        trouble: what keeps this from it, in a few words: never anything.
    """

    trouble = ""

    def __init__(self, buffer: AsyncMessageBuffer[SignalMessage]) -> None:
        self.buffer: AsyncMessageBuffer[SignalMessage] = buffer

    async def serve(
        self, about: Callable[[], dict[str, Any]], *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Let other processes of this machine put, and look, until cancelled."""
        await serve(self.buffer, summarize=summarize, about=about, task_status=task_status)

    async def statistics(self) -> BufferStatistics:
        """Where the messages are."""
        return self.buffer.statistics()

    async def close(self, client: SignalClient[Any], patience: Callable[[], CancelScope]) -> int:
        """Close it, once what came meanwhile was sent or that scope has ended; returns how many messages are left."""
        left = []
        with patience():
            left = await client.aclose(None)
        left += await client.aclose()
        return len(left)


@asynccontextmanager
async def open_on_disk(
    path: Path, settings: Settings, on_undelivered: Callable[[Delivery[Any]], object]
) -> AsyncIterator[DiskOutbox]:
    """Own the outbox in that file, which may take a moment if another process has it.

    Raises:
        StoreLocked: it goes on having it.
        StoreError: it cannot be opened.
    """
    began, told = current_time(), False
    async with AsyncExitStack() as stack:
        while True:
            buffer = AsyncMessageBuffer(
                settings.max_size or MAX_SIZE,
                ttl=settings.ttl,
                overflow=settings.overflow or Overflow.DROP_OLDEST,
                key=target_of,
                size_of=size_of,
                on_undelivered=on_undelivered,
                journal=SQLiteJournal(path, encode=encode_message, decode=decode_message),
            )
            try:
                await stack.enter_async_context(buffer)
                break
            except StoreLocked as locked:
                waited = current_time() - began
                if waited > _LOCK_TIMEOUT:
                    raise
                if waited > _TELL_AFTER and not told:
                    told = True
                    owner = "another program" if locked.owner is None else f"process {locked.owner}"
                    logger.warning("%s is in use by %s: waiting for it", path, owner)
            await sleep(_PAUSE)
        yield DiskOutbox(buffer)
