"""Kill -9, through the whole buffer: programs that use one journal, one after the other, each killed at random."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import anyio

from ridethrough.errors import RidethroughError

from .account import Account, Line
from .kills import PER_FILE
from .model import Level
from .program import look_at

LONGEST = 0.3
"""From when the program is about to open the journal to the kill, in seconds."""


class Row(NamedTuple):
    """What a row of kills came to."""

    kills: int = 0
    puts: int = 0
    """That had returned."""
    ends: int = 0
    """Of messages."""
    in_flight: int = 0
    """Kills while something was being written for somebody."""
    loss: str | None = None


def kill_programs_in_a_row(seed: int, *, kills: int = PER_FILE, early: bool = False) -> Row:
    """Kill programs that go on with one journal, and see that each finds what it must, until one does not.

    Args:
        seed: what they do, and when they are killed, follows from it; how far they get by then does not.
        kills: how many.
        early: let them lie, to show that a loss is found.
    """
    rng = random.Random(f"programs {seed}")
    level: Level = "process-safe" if seed % 2 else "power-safe"
    account, in_flight = Account(), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outbox.db")
        for kill in range(1, kills + 1):
            command = [str(path), level, str(rng.randrange(2**32)), *(["early"] if early else [])]
            lines = _kill_one(command, rng.uniform(0, LONGEST))
            for number, line in enumerate([*lines, None] if kill == kills else lines):
                try:
                    account.read(line or ["opened", *anyio.run(partial(look_at, path, level))])
                except (AssertionError, RidethroughError) as error:
                    loss = f"row {seed}, kill {kill}, {level}, line {number} of {len(lines)}: {error}"
                    return Row(kill, account.puts, account.ends, in_flight, loss)
            in_flight += account.under_way
    return Row(kills, account.puts, account.ends, in_flight)


def _kill_one(arguments: list[str], delay: float) -> list[Line]:
    command = [sys.executable, "-m", "tests.crash.program", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        lines = [child.stdout.readline()]  # it opens the journal now
        reader = Thread(target=lines.extend, args=(child.stdout,))  # as it could not write on otherwise
        reader.start()
        time.sleep(delay)
        child.kill()
        reader.join()
        errors = child.stderr.read()
    if errors:
        raise RuntimeError(f"the program failed: {errors.decode()}")
    return [json.loads(line) for line in lines if line.endswith(b"\n")]  # else it was killed within the line
