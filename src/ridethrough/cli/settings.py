"""Settings: from the options of the command, or else the environment, or else a file in TOML.

One reader for each setting, whatever it comes from, so that the same is allowed everywhere, and an error says where the
value stands that is wrong. ``--max-size 50`` is ``RIDETHROUGH_MAX_SIZE=50`` is ``max-size = 50``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..abc import Overflow
from ..errors import check_seconds
from ..sender import OnDoubt
from ..signal_cli.targets import Target, check_account, make_target
from .address import Servers, read_servers
from .exits import UsageError

PREFIX = "RIDETHROUGH_"
MAX_SIZE = 10_000
"""How many messages an outbox holds at most, if nobody has said."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for, checked.

    Attributes:
        outbox: what keeps the messages: a file, or servers.
        endpoint: where the daemon listens; None: nobody has said. Who connects to it checks it.
        account: whose messages; None: of the daemon's only account.
        targets: whom messages go to; may be empty.
        max_size: how many messages the outbox holds at most; None: nobody has said.
        overflow: what happens when it is full; None: nobody has said.
        ttl: how old a message may become, in seconds; None: nobody has said.
        on_doubt: whether a message that may have arrived is sent again.
        close_timeout: for how long ``run`` goes on sending when it ends, in seconds.
        quiet: whether ``run`` tells of nothing but trouble.
        nats_creds: the file that says to servers who this is; None: the address says it, if need be.
    """

    outbox: Path | Servers
    endpoint: str | None = None
    account: str | None = None
    targets: tuple[Target, ...] = ()
    max_size: int | None = None
    overflow: Overflow | None = None
    ttl: float | None = None
    on_doubt: OnDoubt = OnDoubt.RETRY
    close_timeout: float = 10.0
    quiet: bool = False
    nats_creds: Path | None = None


class Source(NamedTuple):
    """Where settings come from."""

    values: Mapping[str, Any]
    """By name; in words, unless they are from a file."""
    place: Callable[[str], str]
    """Where a setting stands, by its name, for a person to find."""
    folder: Path
    """Which paths are relative to."""


def read_settings(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """What was asked for.

    Args:
        options: those of the command line, by the names of the settings with ``_`` for ``-``; None: not given.
        environment: the variables, of which those count that begin with ``RIDETHROUGH_``.

    Raises:
        UsageError: something is not allowed, or no outbox is named.
    """
    sources = list(_sources(options, environment))
    found: dict[str, Any] = {}
    for source in reversed(sources):
        for name, read in _READERS.items():
            if name in source.values:
                try:
                    value = read(source.values[name])
                except ValueError as error:
                    raise UsageError(f"{source.place(name)} must be {error}") from None
                found[name.replace("-", "_")] = source.folder / value if isinstance(value, Path) else value
    if "outbox" not in found:
        raise UsageError(f"which outbox? name its file by --outbox, {PREFIX}OUTBOX, or outbox in the file of --config")
    targets: tuple[Target, ...] = ()
    for source in sources:
        if targets := _targets(source):
            break
    return Settings(**found, targets=targets)


def _sources(options: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Source]:
    given = {name: options.get(name.replace("-", "_")) for name in _NAMES}
    yield Source({name: value for name, value in given.items() if value is not None}, "--{}".format, Path.cwd())
    variables = {name: PREFIX + name.upper().replace("-", "_") for name in _NAMES}
    set_ones = {name: environment[variable] for name, variable in variables.items() if environment.get(variable)}
    yield Source(set_ones, variables.__getitem__, Path.cwd())
    if config := options.get("config") or environment.get(f"{PREFIX}CONFIG"):
        file = Path(config).expanduser()
        yield Source(_read_file(file), lambda name: f"{name} in {file}", file.parent)


def _read_file(file: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415, most commands need none

    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not in TOML: {error}") from None
    if unknown := sorted(values.keys() - set(_NAMES)):
        raise UsageError(f"{file} has a setting {unknown[0]!r} that is not known: allowed are {', '.join(_NAMES)}")
    return values


# Readers: what a value means. They raise ValueError with what is allowed, and do not repeat what was given.


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text that is not empty")
    return value


def _path(value: Any) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError:
        raise ValueError("a path in a home folder that there is") from None


def _outbox(value: Any) -> Path | Servers:
    text = _text(value)
    return read_servers(text) if "://" in text else _path(text)


def _account(value: Any) -> str:
    try:
        check_account(_text(value))
    except ValueError:
        raise ValueError("a telephone number such as +15550100200") from None
    return str(value)


def _max_size(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        raise ValueError("a whole number of at least 1")
    return value


def read_seconds(value: Any, *, zero: bool = False) -> float:
    """A length of time, in seconds.

    Args:
        value: a number, or one in words.
        zero: whether 0 is allowed.

    Raises:
        ValueError: what is allowed.
    """
    try:
        number: float = float(value) if isinstance(value, str) else value
        check_seconds("", number, zero=zero)
    except (TypeError, ValueError):
        raise ValueError(f"a number of seconds, {'at least' if zero else 'more than'} 0") from None
    return number


def _one_of(kind: type[StrEnum]) -> Callable[[Any], StrEnum]:
    def read(value: Any) -> StrEnum:
        if value not in tuple(kind):
            raise ValueError(f"one of {', '.join(kind)}")
        return kind(value)

    return read


def _yes_or_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return bool(value == "true")


_READERS: dict[str, Callable[[Any], Any]] = {
    "outbox": _outbox,
    "endpoint": _text,
    "account": _account,
    "max-size": _max_size,
    "overflow": _one_of(Overflow),
    "ttl": read_seconds,
    "on-doubt": _one_of(OnDoubt),
    "close-timeout": partial(read_seconds, zero=True),
    "quiet": _yes_or_no,
    "nats-creds": _path,
}


# Whom messages go to: everybody that the first source names which names anybody.

_WHOM = {
    "to": "a telephone number such as +15550100200, or a UUID",
    "group": "a group's id: the base64 of 16 or 32 bytes",
    "username": "a nickname, a point and at least two digits, such as anna.42",
    "note-to-self": "true or false",
}
_NAMES = (*_READERS, *_WHOM)


def _targets(source: Source) -> tuple[Target, ...]:
    named = [name for name in _WHOM if name in source.values]
    if "note-to-self" in named and not _target(source, "note-to-self", source.values["note-to-self"]):
        named.remove("note-to-self")
    if len(named) > 1:
        raise UsageError(f"{source.place(named[0])} cannot go with {source.place(named[1])}")
    targets = [target for name in named for each in _several(name, source) for target in _target(source, name, each)]
    return tuple(dict.fromkeys(targets))


def _several(name: str, source: Source) -> list[Any]:
    value = source.values[name]
    if name != "to":
        return [value]
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    return value if isinstance(value, list) and value else [None]


def _target(source: Source, name: str, value: Any) -> list[Target]:
    try:
        if name == "note-to-self":
            return [make_target(note_to_self=True)] if _yes_or_no(value) else []
        address: dict[str, Any] = {name: _text(value)}
        return [make_target(**address)]
    except ValueError:
        raise UsageError(f"{source.place(name)} must be {_WHOM[name]}") from None
