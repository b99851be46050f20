"""How a command ends: its exit status, its answer, and the one line that says why there is none."""

from __future__ import annotations

import sys
from contextlib import suppress

from ..errors import RidethroughError
from .tables import escape

DONE, FAILED, USAGE, WAITING, INTERRUPTED = 0, 1, 2, 3, 130


class CommandFailed(RidethroughError):
    """A command could not do what it was asked for. Its text is the line that a person gets to see."""


class OutputLost(CommandFailed):
    """The standard output cannot be written; without a text if whoever read it has gone, as ``head`` does."""


class UsageError(RidethroughError):
    """What was asked for cannot be meant. Its text names the setting, where it comes from, and what is allowed."""


def tell(text: str) -> None:
    """Write the answer to what was asked on the standard output, now.

    Raises:
        OutputLost: it cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise OutputLost from None
    except OSError as error:
        raise OutputLost(f"the standard output cannot be written: {error.strerror}") from None


def remark(text: str) -> None:
    """Say something on the standard error output, in one line."""
    with suppress(OSError):  # nobody reads it any more
        print(escape(text), file=sys.stderr)  # noqa: T201
