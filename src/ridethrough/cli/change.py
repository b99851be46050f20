"""``ridethrough retry``, ``cancel`` and ``forget``: what a person does about messages, by their numbers."""

from __future__ import annotations

import argparse
import json
import os
import re

from .exits import DONE, CommandFailed, UsageError, tell
from .outbox import entries, perform, reach
from .settings import Settings, read_settings
from .tables import count

_ID = re.compile(r"-?[0-9]{1,18}")
"""On servers, what was dropped as the newest has a number below 0."""


def retry(options: argparse.Namespace) -> int:
    """Put dead letters back, to be sent again, and return the exit status."""
    return perform(_retry, read_settings(vars(options), os.environ), _ids(options), as_json=options.json)


def cancel(options: argparse.Namespace) -> int:
    """Take back messages that wait, and return the exit status."""
    return perform(_cancel, read_settings(vars(options), os.environ), _ids(options), as_json=options.json)


def forget(options: argparse.Namespace) -> int:
    """Erase dead letters, and return the exit status."""
    return perform(_forget, read_settings(vars(options), os.environ), _ids(options), as_json=options.json)


def _ids(options: argparse.Namespace) -> list[int] | None:
    """Which ones; None: all."""
    if bool(options.ids) == options.all:
        raise UsageError("which ones? give their numbers, as list shows them, or --all")
    if any(_ID.fullmatch(word) is None for word in options.ids):
        raise UsageError("ID must be a number, as list shows it")
    return None if options.all else list(dict.fromkeys(map(int, options.ids)))


async def _retry(settings: Settings, ids: list[int] | None, *, as_json: bool) -> int:
    async with reach(settings) as client:
        if ids is None:
            ids = [each["id"] for each in await entries(client, "dead_letters")]
        answer = await client.request("retry", ids=ids)
    lines = [f"{old} waits again, as {new}\n" for old, new in zip(ids, answer["ids"], strict=True)]
    tell(json.dumps(answer) + "\n" if as_json else "".join(lines) or "there are no dead letters\n")
    return DONE


async def _cancel(settings: Settings, ids: list[int] | None, *, as_json: bool) -> int:
    async with reach(settings) as client:
        if ids is None:
            ids = [each["id"] for each in await entries(client, "waiting")]
        answer = await client.request("cancel", ids=ids)
    lines = [f"{number} is cancelled\n" for number in answer["cancelled"]]
    nothing = "" if ids else "nothing waits\n"
    tell(json.dumps(answer) + "\n" if as_json else "".join(lines) or nothing)
    if left := [str(number) for number in ids if number not in answer["cancelled"]]:
        raise CommandFailed(f"too late, or no such message: {', '.join(left)}")
    return DONE


async def _forget(settings: Settings, ids: list[int] | None, *, as_json: bool) -> int:
    async with reach(settings) as client:
        if ids is None:
            ids = [each["id"] for each in await entries(client, "dead_letters")]
        answer = await client.request("forget", ids=ids)
    forgotten: int = answer["forgotten"]
    tell(json.dumps(answer) + "\n" if as_json else f"{count(forgotten, 'dead letter')} forgotten\n")
    if forgotten < len(ids):
        raise CommandFailed(f"{len(ids) - forgotten} of these {len(ids)} were no dead letters")
    return DONE
