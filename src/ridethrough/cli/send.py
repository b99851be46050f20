"""``ridethrough send``: puts a message into an outbox, and waits for its fate if that is asked for."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import CancelScope, current_time, sleep

from ..abc import Overflow
from ..errors import BufferFull
from ..jsonrpc import MAX_STRING
from ..signal_cli.content import Attachment
from ..signal_cli.messages import SignalMessage, TextMessage
from .exits import DONE, FAILED, WAITING, UsageError, remark, tell
from .fates import Fates
from .outbox import Client, is_missing, perform, reach
from .servers import SharedClient
from .settings import MAX_SIZE, Settings, read_seconds, read_settings
from .tables import escape

_PAUSE = 0.5
"""Between two looks for room in an outbox that nobody runs, in seconds."""


def send(options: argparse.Namespace) -> int:
    """Put a message for each target, all or none, and return the exit status."""
    settings = read_settings(vars(options), os.environ)
    if not settings.targets:
        raise UsageError("to whom? say so by --to, --group, --username or --note-to-self")
    if options.timeout is not None and not options.wait:
        raise UsageError("--timeout goes with --wait")
    try:
        timeout = None if options.timeout is None else read_seconds(options.timeout, zero=True)
    except ValueError as error:
        raise UsageError(f"--timeout must be {error}") from None
    attachments = tuple(map(_attachment, options.attach))
    try:
        text = _text(options.text)
        messages = [TextMessage(target, text, attachments) for target in settings.targets]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return perform(_send, settings, messages, wait=options.wait, timeout=timeout, as_json=options.json)


def _text(word: str | None) -> str:
    if word != "-":
        return word or ""
    data = sys.stdin.buffer.read(4 * MAX_STRING)  # more cannot be sent
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the standard input must be text in UTF-8") from None


def _attachment(path: str) -> Attachment:
    try:
        return Attachment.from_file(path)
    except OSError as error:
        raise UsageError(f"--attach {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--attach {path}: {error}") from None


async def _send(
    settings: Settings, messages: Sequence[SignalMessage], *, wait: bool, timeout: float | None, as_json: bool
) -> int:
    async with _putting(settings, messages) as (client, ids):
        fates = Fates(settings, ids)
        deadline = math.inf if timeout is None else current_time() + timeout
        if wait:
            with CancelScope(deadline=deadline):
                await fates.learn(client)
    if not wait:
        tell(json.dumps({"ids": ids}) + "\n" if as_json else "".join(f"{number}\n" for number in ids))
        return DONE
    if current_time() < deadline:
        with CancelScope(deadline=deadline):
            await fates.wait()
    if fates.unknown:
        await fates.look()
    return _answer(fates, as_json=as_json)


@asynccontextmanager
async def _putting(settings: Settings, messages: Sequence[SignalMessage]) -> AsyncIterator[tuple[Client, list[int]]]:
    """Put them, and give their numbers, and the client that has put them."""
    new, is_told = is_missing(settings), False
    while True:
        async with reach(settings, create=True) as client:
            if ids := await _put(client, settings, messages):
                if new or (isinstance(client, SharedClient) and client.made):
                    remark(f"{settings.outbox} is a new outbox")
                yield client, ids
                return
        if not is_told:
            is_told = True
            remark(f"{settings.outbox} is full, and nobody runs it: waiting for room")
        await sleep(_PAUSE)


async def _put(client: Client, settings: Settings, messages: Sequence[SignalMessage]) -> list[int]:
    """Put them, and return their numbers; none if they have to wait for room, which nobody makes while we are at it."""
    terms: dict[str, Any] = {} if settings.ttl is None else {"ttl": settings.ttl}
    if settings.overflow is not None:
        terms["overflow"] = settings.overflow
    if not client.is_owner or settings.overflow is not Overflow.WAIT or len(messages) > (settings.max_size or MAX_SIZE):
        return await client.put(*messages, **terms)
    with suppress(BufferFull):
        return await client.put(*messages, **{**terms, "overflow": Overflow.REJECT})
    return []


def _answer(fates: Fates, *, as_json: bool) -> int:
    outcomes = [{"id": number, **(fate or {})} for number, fate in fates.known.items()]
    if as_json:
        tell(json.dumps({"ids": list(fates.known), "outcomes": outcomes}) + "\n")
    else:
        tell("".join(f"{escape(_line(outcome))}\n" for outcome in outcomes))
    ends = {outcome["outcome"] for outcome in outcomes}
    if "waiting" in ends:
        return WAITING
    return DONE if ends == {"sent"} else FAILED


def _line(outcome: Mapping[str, Any]) -> str:
    how = outcome["outcome"] or "sent or cancelled, while nobody looked"
    return f"{outcome['id']} {how}" + (f": {outcome['reason']}" if outcome["reason"] else "")
