"""``ridethrough run``: owns an outbox, lets others put into it, and sends what is in it."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from logging import Logger
from typing import Any

from anyio import CancelScope, Event, create_task_group, current_time, open_signal_receiver, sleep

from ..abc import Overflow
from ..buffer import AsyncMessageBuffer
from ..delivery import Delivery, Outcome
from ..errors import StoreLocked
from ..logs import get_logger
from ..signal_cli import SignalClient, SignalMessage, size_of, target_of
from ..signal_cli.codec import decode_message, encode_message, summarize
from ..signal_cli.endpoints import parse_endpoint
from ..sqlite import SQLiteJournal
from ..sqlite.door import serve
from ..views import LogView, View, make_view
from .exits import DONE, WAITING, UsageError
from .health import about, glance
from .lines import LineIntake
from .logbook import logging_to
from .notify import Notifier
from .outbox import perform
from .settings import Settings, read_settings
from .tables import count

_LOCK_TIMEOUT = 10.0
"""For how long to wait for an outbox that another process has open, in seconds: a ``send`` has it for a moment."""
_TELL_AFTER = 0.5
_PAUSE = 0.05
logger: Logger = get_logger("cli")


def run(options: argparse.Namespace) -> int:
    """Own an outbox until a signal says that it is enough, and return the exit status."""
    settings = read_settings(vars(options), os.environ)
    if settings.endpoint is None:
        raise UsageError(
            "which daemon? say where it listens by --endpoint, RIDETHROUGH_ENDPOINT, or endpoint in a file"
        )
    try:
        parse_endpoint(settings.endpoint)
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from None
    view = LogView(sys.stderr) if settings.quiet else _view()
    if not any((options.to, options.group, options.username, options.note_to_self)):
        settings = replace(settings, targets=())  # whom others say is for send: they do not mean our standard input
    with view, logging_to(view, os.environ, quiet=settings.quiet):
        return perform(_run, settings, view)


def _view() -> View:
    try:
        return make_view(sys.stderr) if sys.stderr.isatty() else LogView(sys.stderr)
    except ImportError:  # it goes without rich as well
        return LogView(sys.stderr)


async def _run(settings: Settings, view: View) -> int:
    runner = _Runner(settings, view)
    try:
        with open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with create_task_group() as tasks:
                tasks.start_soon(runner.heed, signals)
                status = await runner.run()
                tasks.cancel_scope.cancel()
    except ExceptionGroup as group:  # what one part of it raised, by way of task groups
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return status


class _Runner:
    """One run: the outbox, the door to it, the client that sends from it, and the end."""

    def __init__(self, settings: Settings, view: View) -> None:
        assert settings.endpoint is not None
        self._settings = settings
        self._endpoint: str = settings.endpoint
        self._view = view
        self._notifier = Notifier()
        self._stop = Event()
        self._deadline = math.inf  # for what is sent after that
        self._patience = CancelScope()

    async def heed(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Stop at the first signal, and hurry at the second."""
        async for _ in signals:
            if self._stop.is_set():
                self._deadline = -math.inf
                self._patience.cancel()
            else:
                self._deadline = current_time() + self._settings.close_timeout
                self._stop.set()

    def _until_deadline(self) -> CancelScope:
        self._patience = CancelScope(deadline=self._deadline)
        return self._patience

    async def run(self) -> int:
        """Open the outbox, send from it until it is to stop, and return the exit status."""
        async with AsyncExitStack() as stack:
            buffer = await self._open(stack)
            if buffer is None:
                return DONE
            client = SignalClient(
                self._endpoint,
                account=self._settings.account,
                buffer=buffer,
                on_doubt=self._settings.on_doubt,
                close_timeout=0,
            )
            await stack.enter_async_context(client)
            await self._work(client)
            left = []
            with self._until_deadline():  # what came while it went on with what was there
                left = await client.aclose(None)
            left += await client.aclose()
        if not left:
            logger.info("stopped; nothing waits")
            return DONE
        logger.warning("stopped; %s in %s, to be sent by the next run", _waits(len(left)), self._settings.outbox)
        return WAITING

    async def _open(self, stack: AsyncExitStack) -> AsyncMessageBuffer[SignalMessage] | None:
        """The outbox, open; None if it is to stop before."""
        settings = self._settings
        began, told = current_time(), False
        while not self._stop.is_set():
            journal = SQLiteJournal(settings.outbox, encode=encode_message, decode=decode_message)
            buffer = AsyncMessageBuffer(
                settings.max_size,
                ttl=settings.ttl,
                overflow=settings.overflow or Overflow.DROP_OLDEST,
                key=target_of,
                size_of=size_of,
                on_undelivered=_tell,
                journal=journal,
            )
            try:
                return await stack.enter_async_context(buffer)
            except StoreLocked as locked:
                waited = current_time() - began
                if waited > _LOCK_TIMEOUT:
                    raise
                if waited > _TELL_AFTER and not told:
                    told = True
                    owner = "another program" if locked.owner is None else f"process {locked.owner}"
                    logger.warning("%s is in use by %s: waiting for it", settings.outbox, owner)
            await sleep(_PAUSE)
        return None

    async def _work(self, client: SignalClient) -> None:
        """Take and send messages until it is to stop, and then for a while what is there by then."""
        lines = LineIntake(client.buffer, self._settings.targets)
        async with create_task_group() as tasks:
            tell = partial(about, client, self._endpoint, self._settings.account)
            await tasks.start(partial(serve, client.buffer, summarize=summarize, about=tell))
            tasks.start_soon(lines.run)
            tasks.start_soon(self._refresh, client)
            logger.info("%s is open: %s", self._settings.outbox, _waits(len(client.buffer)))
            self._notifier.ready()
            await self._stop.wait()
            self._notifier.stopping()
            if waiting := len(client.buffer):
                logger.info(
                    "stopping: %s; what can be sent has %g s, or until a second signal",
                    _waits(waiting),
                    self._settings.close_timeout,
                )
            with self._until_deadline():
                await lines.finish()
                await client.buffer.flush()
            tasks.cancel_scope.cancel()

    async def _refresh(self, client: SignalClient) -> None:
        while True:
            status = glance(client)
            with suppress(OSError):  # the terminal has gone
                self._view.show(status)
            waiting = status.statistics.queued + status.statistics.leased
            self._notifier.status(f"{status.state.replace('_', ' ')}; {_waits(waiting)}")
            await sleep(self._view.interval)


def _waits(number: int) -> str:
    return f"{count(number, 'message')} {'waits' if number == 1 else 'wait'}" if number else "nothing waits"


def _tell(delivery: Delivery[Any]) -> None:
    """Log what will not be sent. What is left at the end will be, by the next run."""
    if delivery.outcome is not Outcome.ABANDONED:
        logger.warning(
            "message %d ended %s: %s; it is a dead letter now", delivery.id, delivery.outcome, delivery.reason
        )
