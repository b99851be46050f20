"""What the command line may say. What the words mean is for :mod:`.settings` and the commands to tell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from .exits import UsageError

_EXITS = """\
exit status: 0 done, 1 failed, 2 wrong usage, 3 messages still wait, 130 interrupted.
What does not change from one command to the next can stand in the environment (RIDETHROUGH_OUTBOX=FILE for
--outbox FILE, and so on), or in a file in TOML (outbox = "FILE") that --config or RIDETHROUGH_CONFIG names.
"""
_IDS = "as list shows them"


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong instead of printing the usage: an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Prints the version, which takes longer to find out than all the rest of this module."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002, argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"ridethrough {version('ridethrough')}")  # noqa: T201
        parser.exit()


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, by name, and the ``command``.

    Raises:
        UsageError: they cannot be meant. Words of a message are not repeated.
        SystemExit: help or the version was asked for, and has been printed.
    """
    parser = _parser()
    options, left = parser.parse_known_args(arguments)
    if left:
        names = [word.partition("=")[0] for word in left if word.startswith("--")]
        what = f"there is no option {names[0]}" if names else "there are too many words: a text goes in quotes"
        raise UsageError(f"{what} (see ridethrough {options.command} --help)")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ridethrough",
        description="Outgoing messages that ride through a disconnect.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _add_run(commands)
    _add_send(commands)
    _add_status(commands)
    _add_list(commands)
    for command, does, which in (
        ("retry", "put dead letters back, to be sent again", "dead letters"),
        ("cancel", "take back messages that wait", "messages"),
        ("forget", "erase dead letters", "dead letters"),
    ):
        _add_change(commands, command, does, which)
    _add_demo(commands)
    return parser


if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[_Parser]


def _add(commands: _Commands, name: str, does: str, more: str = "") -> _Parser:
    """A command that works on an outbox."""
    description = f"{does[0].upper()}{does[1:]}. {more}".strip()
    parser = commands.add_parser(name, help=does, description=description, allow_abbrev=False)
    parser.add_argument(
        "--outbox", metavar="FILE", help="the file that keeps the messages; or nats://HOST,HOST/NAME for servers"
    )
    parser.add_argument("--nats-creds", metavar="FILE", help="credentials for these servers")
    parser.add_argument("--config", metavar="FILE", help="a file in TOML with what no option says")
    return parser


def _add_whom(parser: _Parser) -> None:
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument(
        "--to", action="append", metavar="WHOM", help="a telephone number or a UUID; may be given several times"
    )
    whom.add_argument("--group", metavar="ID", help="a group, by its id in base64")
    whom.add_argument("--username", metavar="NAME", help="a username with its number, such as anna.42")
    whom.add_argument("--note-to-self", action="store_true", default=None, help="one's own account")


def _add_terms(parser: _Parser, ttl: str, overflow: str) -> None:
    parser.add_argument("--ttl", metavar="SECONDS", help=f"how old it may become, and still be sent (default: {ttl})")
    parser.add_argument(
        "--overflow",
        metavar="POLICY",
        help=f"if the outbox is full: drop_oldest, drop_newest, reject or wait (default: {overflow})",
    )


def _add_size(parser: _Parser) -> None:
    parser.add_argument(
        "--max-size", metavar="N", help="how many messages the outbox holds (default: as it is on servers; else 10000)"
    )


def _add_run(commands: _Commands) -> None:
    parser = _add(
        commands,
        "run",
        "own an outbox, and send what is in it",
        "Sends to Signal through a signal-cli daemon, whenever there is a link, until it is stopped by SIGTERM or "
        "SIGINT (Ctrl-C). With --to or the like, each line of the standard input is a message, if that is no terminal.",
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="where the daemon listens: unix:/path, tcp://host:port or http://host:port"
    )
    parser.add_argument("--account", metavar="NUMBER", help="whose messages (default: the daemon's only account)")
    _add_whom(parser)
    _add_size(parser)
    _add_terms(parser, "any age", "drop_oldest")
    parser.add_argument(
        "--on-doubt",
        metavar="POLICY",
        help="if the link was lost in mid-send: retry (it may arrive twice) or report (default: retry)",
    )
    parser.add_argument(
        "--close-timeout",
        metavar="SECONDS",
        help="for how long it goes on sending once it is stopped (default: 10); the rest stays in the outbox",
    )
    parser.add_argument("--quiet", action="store_true", default=None, help="tell of nothing but trouble")


def _add_send(commands: _Commands) -> None:
    parser = _add(
        commands,
        "send",
        "put a message into an outbox",
        "Prints its number, once it is on the disk. Whoever runs the outbox sends it, now or later. With --wait, the "
        "exit status is 0 only if it was sent.",
    )
    _add_whom(parser)
    parser.add_argument("--attach", action="append", default=[], metavar="FILE", help="a file; several times, too")
    _add_terms(parser, "as who runs the outbox says", "likewise; reject if nobody runs it")
    _add_size(parser)
    parser.add_argument("--wait", action="store_true", help="wait until it has ended, and tell how")
    parser.add_argument("--timeout", metavar="SECONDS", help="how long to wait (default: as long as it takes)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what it says; -: what the standard input says")


def _add_status(commands: _Commands) -> None:
    parser = _add(commands, "status", "tell how an outbox and its link are")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_list(commands: _Commands) -> None:
    parser = _add(commands, "list", "list what waits in an outbox")
    parser.add_argument("--dead", action="store_true", help="list the dead letters: what ended, and was not sent")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_change(commands: _Commands, name: str, does: str, which: str) -> None:
    parser = _add(commands, name, does, "All of them, or none." if name == "retry" else "")
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"numbers of {which}, {_IDS}")
    parser.add_argument("--all", action="store_true", help=f"all {which}")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_demo(commands: _Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="send messages through outages, and account for each of them",
        description="Send a stream of messages through outages (the link is cut under a message, the daemon is gone "
        "and back, more comes than there is room for), show what happens, and account for every message. The exit "
        "status is 0 only if none was lost and all arrived in order.",
        allow_abbrev=False,
    )
    demo.add_argument("--endpoint", help="a real daemon: unix:/path or tcp://host:port (default: a fake one)")
    demo.add_argument("--account", help="whose messages: a telephone number (default: the daemon's only account)")
    demo.add_argument("--to", help="to whom: a telephone number or a UUID (default: a note to oneself)")
    demo.add_argument("--json", action="store_true", help="print nothing but the account, as a JSON object")
