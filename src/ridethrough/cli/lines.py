"""Lines of the standard input, put into an outbox as messages."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from logging import Logger
from typing import Self

from anyio import CancelScope, Event, sleep, wait_readable
from anyio.lowlevel import checkpoint

from ..abc import MessageBuffer
from ..errors import RidethroughError, StoreError
from ..logs import get_logger
from ..signal_cli import SignalMessage, Target, TextMessage

_PIECE = 2**16
_LONGEST = 2**27
"""In bytes. No daemon takes such a line, so it is refused as one of that length, and the rest of it is not kept."""
_PAUSE = 1.0
"""Before another try to put a line that could not be written, in seconds."""
logger: Logger = get_logger("cli")


class Lines:
    """The lines of a file, a pipe or a socket, without their ends, as they come: an async iterator.

    There is no thread to it, which could not be called back from its read.

    Args:
        file: its descriptor.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()  # have come, and were not handed out
        self._rest = bytearray()  # has come of the next one
        self._stopped = False
        self._wait = CancelScope()

    @property
    def left(self) -> bool:
        """Whether there is something that has come and was not handed out."""
        return bool(self._lines or self._rest)

    def stop(self) -> None:
        """Read no more, and end once the whole lines that have come were handed out."""
        self._stopped = True
        self._wait.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """**Cancellation**: it has handed out nothing."""
        while not self._lines:
            piece = await self._read()
            if not piece and self._rest and not self._stopped:
                piece = b"\n"  # the last one, which has no end of its own
            if not piece:
                raise StopAsyncIteration
            if b"\n" in piece:
                first, *others = piece.split(b"\n")
                *whole, rest = bytes(self._rest) + first, *others
                self._lines.extend(whole)
                self._rest = bytearray(rest)
            elif len(self._rest) < _LONGEST:
                self._rest += piece
        return self._lines.popleft().removesuffix(b"\r")

    async def _read(self) -> bytes:
        """What comes next; nothing at the end, or once this is stopped."""
        while not self._stopped:
            with CancelScope() as self._wait:
                try:
                    await wait_readable(self._file)
                except PermissionError:  # a regular file, which never has to be waited for
                    await checkpoint()
            if not self._stopped:
                with suppress(BlockingIOError):  # another process has read it first
                    return os.read(self._file, _PIECE)
        return b""


class LineIntake:
    """Puts each line of the standard input that is not empty, for each target; nothing without any, or on a terminal.

    Args:
        buffer: where to put them.
        targets: whom they go to.
    """

    def __init__(self, buffer: MessageBuffer[SignalMessage], targets: Sequence[Target]) -> None:
        self._buffer = buffer
        self._targets = targets
        is_there = bool(targets) and sys.stdin is not None and not sys.stdin.isatty()
        self._lines = Lines(sys.stdin.fileno()) if is_there else None
        self._number = 1  # of the line that is not put yet
        self._done = Event()

    async def run(self) -> None:
        """Put them until there are no more. **Cancellation** loses what has come and was not put, and says so."""
        if self._lines is None:
            self._done.set()
            return
        putting = False
        try:
            async for line in self._lines:
                putting = True
                if line.strip():
                    await self._put(line)
                putting = False
                self._number += 1
        finally:
            if putting or self._lines.left:
                logger.error("line %d of the standard input was not taken, nor what follows", self._number)
            self._done.set()

    async def finish(self) -> None:
        """Read no more, and return once the whole lines that have come were put."""
        if self._lines is not None:
            self._lines.stop()
        await self._done.wait()

    async def _put(self, line: bytes) -> None:
        waits = False
        while True:
            try:
                text = line.decode()
                await self._buffer.put_many([TextMessage(target, text) for target in self._targets])
                return
            except StoreError as error:  # the disk is full, say: whoever writes the lines can wait
                if not waits:
                    waits = True
                    logger.error("line %d of the standard input waits: %s", self._number, error)
            except UnicodeDecodeError:
                logger.error("line %d of the standard input was not taken: it is not in UTF-8", self._number)
                return
            except (RidethroughError, ValueError) as error:
                logger.error("line %d of the standard input was not taken: %s", self._number, error)
                return
            await sleep(_PAUSE)
