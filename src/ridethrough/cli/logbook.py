"""What a running outbox logs, as lines that a person or the system's journal reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ..views import LogView, View
from .tables import escape

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
"""As syslog counts them, for sd-daemon(3)."""


@contextmanager
def logging_to(view: View, environment: Mapping[str, str], *, quiet: bool) -> Iterator[None]:
    """Have the view say what the package logs.

    Args:
        view: where to.
        environment: ``JOURNAL_STREAM`` in it says that the lines go to systemd's journal, which knows the time.
        quiet: whether to say nothing but trouble.
    """
    handler = _Handler(view)
    if not isinstance(view, LogView):
        handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    elif "JOURNAL_STREAM" in environment:
        handler.setFormatter(_Formatter("<%(priority)d>%(message)s"))
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("ridethrough")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # nobody reads it any more, which is no reason to stop
            self._view.say(self.format(record))


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, the name is logging's
        record.message = escape(record.message)
        record.priority = next(priority for level, priority in _PRIORITIES if record.levelno >= level)
        return super().formatMessage(record)
