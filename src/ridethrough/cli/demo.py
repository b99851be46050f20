"""``ridethrough demo``: messages sent through outages, and an account of each."""

from __future__ import annotations

import argparse
import json
import sys

import anyio

from ..demo import DemoFailed, run_demo
from ..signal_cli.endpoints import parse_endpoint
from ..signal_cli.targets import check_account, make_target
from ..views import View, make_view
from .exits import DONE, FAILED, CommandFailed, UsageError, tell


def demo(options: argparse.Namespace) -> int:
    """Carry it out, and return the exit status."""
    try:
        if options.endpoint is None and (options.account is not None or options.to is not None):
            raise ValueError("--account and --to go with --endpoint: the fake daemon has its own")
        if options.endpoint is not None:
            parse_endpoint(options.endpoint)
        check_account(options.account)
        target = make_target(note_to_self=True) if options.to is None else make_target(to=options.to)
        view = View() if options.json else make_view(sys.stdout)
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from None
    try:
        with view:
            audit = anyio.run(run_demo, options.endpoint, options.account, target, view)
    except DemoFailed as error:
        raise CommandFailed(str(error)) from error
    tell((json.dumps(audit.as_dict()) if options.json else audit.as_text()) + "\n")
    return DONE if audit.passed else FAILED
