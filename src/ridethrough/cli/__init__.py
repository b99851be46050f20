"""The command ``ridethrough``.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 messages still wait, 130 interrupted. What went wrong stands in one line
on the standard error output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from .exits import FAILED, INTERRUPTED, USAGE, CommandFailed, OutputLost, UsageError, remark
from .parser import read_arguments

_HOMES = {
    "run": ("run", "run"),
    "send": ("send", "send"),
    "status": ("look", "status"),
    "list": ("look", "list_messages"),
    "retry": ("change", "retry"),
    "cancel": ("change", "cancel"),
    "forget": ("change", "forget"),
    "demo": ("demo", "demo"),
}
"""The module and the function of each command, imported when asked for: a message is put without what sends it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words behind the command's name; None: those of the command line.

    Returns:
        The exit status. Wrong usage raises SystemExit, with status 2, as argparse does; help and the version, with 0.
    """
    name = "ridethrough"
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every character
    try:
        options = read_arguments(arguments)
        name = f"ridethrough {options.command}"
        home, function = _HOMES[options.command]
        status: int = getattr(import_module(f".{home}", __name__), function)(options)
    except UsageError as error:
        remark(f"{name}: {error}")
        raise SystemExit(USAGE) from None
    except CommandFailed as error:
        if isinstance(error, OutputLost):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's own flush would fail
        if str(error):
            remark(f"{name}: {error}")
        return FAILED
    except KeyboardInterrupt:
        remark("interrupted")
        return INTERRUPTED
    return status
