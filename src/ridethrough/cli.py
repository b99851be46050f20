"""The command ``ridethrough``.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version

import anyio

from .demo import DemoFailed, run_demo
from .signal_cli.endpoints import parse_endpoint
from .signal_cli.targets import check_account, make_target
from .views import View, make_view

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words behind the command's name; None: those of the command line.

    Returns:
        The exit status. Wrong usage raises SystemExit, with status 2, as argparse does.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return _demo(options)
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ridethrough", description="Outgoing messages that ride through a disconnect."
    )
    parser.add_argument("--version", action="version", version=f"ridethrough {version('ridethrough')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="send messages through outages, and account for each of them",
        description="Send a stream of messages through outages (the link is cut under a message, the daemon is gone "
        "and back, more comes than there is room for), show what happens, and account for every message. The exit "
        "status is 0 only if none was lost and all arrived in order.",
    )
    demo.add_argument("--endpoint", help="a real daemon: unix:/path or tcp://host:port (default: a fake one)")
    demo.add_argument("--account", help="whose messages: a telephone number (default: the daemon's only account)")
    demo.add_argument("--to", help="to whom: a telephone number or a UUID (default: a note to oneself)")
    demo.add_argument("--json", action="store_true", help="print nothing but the account, as a JSON object")
    return parser


def _demo(options: argparse.Namespace) -> int:
    if options.endpoint is None and (options.account is not None or options.to is not None):
        raise ValueError("--account and --to go with --endpoint: the fake daemon has its own")
    if options.endpoint is not None:
        parse_endpoint(options.endpoint)
    check_account(options.account)
    target = make_target(note_to_self=True) if options.to is None else make_target(to=options.to)
    view = View() if options.json else make_view(sys.stdout)
    try:
        with view:
            audit = anyio.run(run_demo, options.endpoint, options.account, target, view)
    except DemoFailed as error:
        print(f"ridethrough demo: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    print(json.dumps(audit.as_dict()) if options.json else audit.as_text())  # noqa: T201
    return DONE if audit.passed else FAILED
