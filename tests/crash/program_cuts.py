"""Power cuts, through the whole buffer: what a program has told before one, held against what the disk could hold."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from functools import partial
from pathlib import Path

import anyio

from ridethrough.errors import RidethroughError

from .account import Account
from .disk import Disk, Event, Said
from .program import Program, look_at
from .recorder import FOLDER, NAME, writing_down

PER_PROGRAM = 50
"""Images that are made of what one program has written."""
BUFFERS = 3
"""That it uses, one after the other."""


def cut_a_program(seed: int, *, images: int = PER_PROGRAM, synchronous: str | None = None) -> list[str]:
    """Make images of what power cuts could leave, and see that each holds what it must.

    Args:
        seed: what the program does, and where it is cut, follows from it; how far it gets does not.
        images: how many.
        synchronous: what the pragma is set to instead of what the journal says, to show that it matters.

    Returns:
        What was lost.
    """
    rng = random.Random(f"program cuts {seed}")
    events: list[Event] = []
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, writing_down(events, synchronous):
        program = Program(Path(folder, NAME), "power-safe", seed, lambda line: events.append(Said(line)))
        anyio.run(partial(program.run, BUFFERS), backend="trio" if seed % 2 else "asyncio")
    cuts = sorted(rng.randrange(len(events) + 1) for _ in range(images))
    disk, account, losses = Disk({}), Account(), []
    done = 0
    for at in cuts:
        for event in events[done:at]:
            account.read(event.line) if isinstance(event, Said) else disk.do(event)
        done = at
        if loss := _judge(disk.image(rng), account):
            losses.append(f"program {seed}, cut at {at} of {len(events)}: {loss}")
    return losses


def _judge(image: dict[str, bytes], account: Account) -> str | None:
    """Open it with the ordinary SQLite."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        for name, content in image.items():
            Path(folder, name).write_bytes(content)
        try:
            account.check(*anyio.run(partial(look_at, Path(folder, NAME), "power-safe")))
        except (AssertionError, RidethroughError, sqlite3.Error) as error:
            return str(error)
        aside = [file.name for file in Path(folder).glob("*corrupt*")]
    return f"found corrupt: {aside}" if aside else None
