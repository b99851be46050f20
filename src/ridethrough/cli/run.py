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

from ..abc import BufferStatistics
from ..delivery import Delivery, Outcome
from ..logs import get_logger
from ..signal_cli import SignalClient
from ..signal_cli.endpoints import parse_endpoint
from ..views import LogView, View, make_view
from .exits import DONE, WAITING, UsageError
from .health import about, glance
from .lines import LineIntake
from .logbook import logging_to
from .notify import Notifier
from .outbox import perform
from .owned import Owned, own
from .settings import Settings, read_settings
from .tables import count

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
        self._opening = CancelScope()
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
                self._opening.cancel()

    def _until_deadline(self) -> CancelScope:
        self._patience = CancelScope(deadline=self._deadline)
        return self._patience

    async def run(self) -> int:
        """Open the outbox, send from it until it is to stop, and return the exit status."""
        async with AsyncExitStack() as stack:
            outbox = None
            with self._opening:
                outbox = await stack.enter_async_context(own(self._settings, _tell))
            if outbox is None:  # it is to stop before
                return DONE
            client = SignalClient(
                self._endpoint,
                account=self._settings.account,
                buffer=outbox.buffer,
                on_doubt=self._settings.on_doubt,
                close_timeout=0,
            )
            await stack.enter_async_context(client)
            await self._work(client, outbox)
            left = await outbox.close(client, self._until_deadline)
        if left == 0:
            logger.info("stopped; nothing waits")
            return DONE
        waits = "nobody knows what waits" if left is None else _waits(left)
        logger.warning("stopped; %s in %s, to be sent by the next run", waits, self._settings.outbox)
        return WAITING

    async def _work(self, client: SignalClient[Any], outbox: Owned) -> None:
        """Take and send messages until it is to stop, and then for a while what is there by then."""
        lines = LineIntake(client.buffer, self._settings.targets)
        async with create_task_group() as tasks:
            tell = partial(about, client, self._endpoint, self._settings.account)
            await tasks.start(outbox.serve, tell)
            tasks.start_soon(lines.run)
            logger.info("%s is open: %s", self._settings.outbox, _waits(_count(await outbox.statistics())))
            tasks.start_soon(self._refresh, client, outbox)
            self._notifier.ready()
            await self._stop.wait()
            self._notifier.stopping()
            if waiting := _count(await outbox.statistics()):
                logger.info(
                    "stopping: %s; what can be sent has %g s, or until a second signal",
                    _waits(waiting),
                    self._settings.close_timeout,
                )
            with self._until_deadline():
                await lines.finish()
                await client.buffer.flush()
            tasks.cancel_scope.cancel()

    async def _refresh(self, client: SignalClient[Any], outbox: Owned) -> None:
        while True:
            status = glance(client, await outbox.statistics(), outbox.trouble)
            with suppress(OSError):  # the terminal has gone
                self._view.show(status)
            waiting = _waits(_count(status.statistics))
            self._notifier.status(f"{status.state.replace('_', ' ')}; {outbox.trouble or waiting}")
            await sleep(self._view.interval)


def _count(statistics: BufferStatistics) -> int:
    """How many messages have not ended."""
    return statistics.queued + statistics.leased


def _waits(number: int) -> str:
    return f"{count(number, 'message')} {'waits' if number == 1 else 'wait'}" if number else "nothing waits"


def _tell(delivery: Delivery[Any]) -> None:
    """Log what will not be sent. What is left at the end will be, by the next run."""
    if delivery.outcome is not Outcome.ABANDONED:
        logger.warning(
            "message %d ended %s: %s; it is a dead letter now", delivery.id, delivery.outcome, delivery.reason
        )
