"""Finds the secret of a test in whatever is shown: in texts, tracebacks, copies and log lines."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from collections.abc import Awaitable
from typing import Any

import pytest

from ridethrough import RidethroughError
from tests.conformance.harness import is_asyncio

SECRET = "meet me at noon"
NUMBER = "+493012345678"
SECRETS = (SECRET, NUMBER, NUMBER.removeprefix("+"))


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
