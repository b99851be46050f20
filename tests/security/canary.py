"""Finds the secrets of a test in whatever is shown: in texts, tracebacks, copies and log lines."""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import Event, create_task_group, fail_after

from ridethrough import AsyncMessageBuffer, Backoff, RidethroughError
from ridethrough.signal_cli import SignalClient, SignalMessage, size_of, target_of
from tests.conformance.harness import is_asyncio

PATIENCE = 60

SECRET = "meet me at noon"
NUMBER = "+493012345678"
HOME, OTHER, UNKNOWN = "+491701234567", "+491707654321", "+442071838750"
CONTACT = "Annabel Lee"
FILE, FILE_NAME = "the plan of the vault", "vault-plan.txt"
PASSWORD = "open-sesame"
QUOTE = f"{SECRET} {NUMBER} {HOME} {FILE_NAME} {CONTACT}"
"""What a daemon says that quotes all it can."""
SECRETS = (
    SECRET,
    *(number.removeprefix("+") for number in (NUMBER, HOME, OTHER, UNKNOWN)),
    CONTACT,
    FILE,
    base64.b64encode(FILE.encode()).decode().rstrip("="),
    FILE_NAME,
    PASSWORD,
)


class Canary:
    """Keeps everything that was shown, and looks at the log as well: that of asyncio's debug mode included."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self._shown: list[str] = []

    def show(self, *things: object) -> None:
        """Show these in every way that there is."""
        for thing in things:
            self._shown += [str(thing), repr(thing), repr([thing])]
            if isinstance(thing, BaseException):
                self._show_error(thing)

    def _show_error(self, error: BaseException) -> None:
        self._shown += traceback.format_exception(error)
        if isinstance(error, RidethroughError):
            for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
                assert (type(twin), str(twin)) == (type(error), str(error))
                self._shown += [repr(twin), *traceback.format_exception(twin)]
        if isinstance(error, BaseExceptionGroup):
            self.show(*error.exceptions)
        if error.__cause__ is not None:
            self.show(error.__cause__)

    async def show_error_of(self, call: Awaitable[Any]) -> Exception:
        """Show what a call raises, which it must."""
        try:
            result = await call
        except Exception as error:
            self.show(error)
            return error
        raise AssertionError(f"a {type(result).__name__} was returned")

    def check(self) -> None:
        """Nothing of a secret is in it, or in the log."""
        for record in self._caplog.records:
            self.show(record.args, record.exc_info, record.exc_text, record.stack_info)
        shown = "\n".join([*self._shown, self._caplog.text])
        assert shown, "nothing was shown"
        assert [secret for secret in SECRETS if secret in shown] == []


def make_talkative() -> None:
    """Let asyncio log each step of its loop: who runs, and with which arguments."""
    if is_asyncio():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0


# Clients

KINDS = ("tcp", "unix", "http")
"""Of daemons."""


def endpoint_of(kind: str, folder: Path) -> str:
    """Where a daemon of that kind is to listen."""
    return f"unix:{folder}/socket" if kind == "unix" else f"{kind}://127.0.0.1:0"


@asynccontextmanager
async def running(canary: Canary, daemon: Any, **options: Any) -> AsyncIterator[tuple[SignalClient, Event]]:
    """A client of which everything is shown, and an event: it has tried something twice in vain.

    Args:
        canary: what to show it to.
        daemon: what has an ``endpoint``.
        options: of the client.
    """
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(
        key=target_of, size_of=size_of, on_undelivered=canary.show
    )
    if daemon.endpoint.startswith("http"):
        options["headers"] = {"Authorization": f"Bearer {PASSWORD}"}
    options = {"account": HOME, "close_timeout": 0, "backoff": Backoff(0.001, 0.01), **options}
    client = SignalClient(daemon.endpoint, buffer=buffer, **options)
    in_vain = Event()

    async def watch(changes: Any) -> None:
        async for change in changes:
            canary.show(change)
            if change.attempt > 1:
                in_vain.set()

    with fail_after(PATIENCE):
        async with create_task_group() as watching:
            for changes in (client.supervisor.states(), client.service.changes()):
                watching.start_soon(watch, changes)
            async with client:
                yield client, in_vain
                canary.show(client, client.supervisor, client.service, *client.holds())
                canary.show(client._endpoint, client._mailbox, client._link)
                canary.show(buffer, buffer.statistics(), buffer.statistics()._asdict())
            canary.show(client, client.supervisor, client.service, buffer, buffer.statistics())
