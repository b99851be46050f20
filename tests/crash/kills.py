"""Kill -9: a child changes a journal and is killed at a random moment; what it was told is durable must be there."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from ridethrough.errors import RidethroughError

from .model import Level, State, Store, next_step

PER_FILE = 10
"""Kills in a row of children that go on with the same file."""
LONGEST = 0.06
"""From the child's opening of the journal to the kill, in seconds."""


class Row(NamedTuple):
    """What a row of kills came to."""

    kills: int = 0
    durable: int = 0
    """Steps that the children were told are durable."""
    in_flight: int = 0
    """Kills in the middle of a step."""
    loss: str | None = None


def kill_in_a_row(seed: int, *, kills: int = PER_FILE, early: bool = False) -> Row:
    """Kill children that go on with one file, and look at it after each, until something is lost.

    Args:
        seed: what they do, and when they are killed, follows from it; how far they get by then does not.
        kills: how many.
        early: let them lie, to show that a loss is found.
    """
    rng = random.Random(f"kills {seed}")
    level: Level = "process-safe" if seed % 2 else "power-safe"
    state, row = State(), Row()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        for _ in range(kills):
            child_seed = rng.randrange(2**32)
            command = [str(path), level, str(child_seed), *(["early"] if early else [])]
            begun, durable = _kill_one(command, rng.uniform(0, LONGEST))
            allowed = _states(state, child_seed, begun)[durable:]
            row = Row(row.kills + 1, row.durable + durable, row.in_flight + begun - durable)
            where = f"row {seed}, kill {row.kills}, {level}, killed in step {begun}, durable: {durable}"
            try:
                state = _look(path, level, rng)
            except RidethroughError as error:
                return row._replace(loss=f"{where}: {error!r}")
            if state not in allowed:
                return row._replace(loss=f"{where}: {state} instead of {allowed[0]}")
    return row


def _kill_one(arguments: list[str], delay: float) -> tuple[int, int]:
    command = [sys.executable, "-m", "tests.crash.child", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        lines = [child.stdout.readline()]  # it opens the journal now
        time.sleep(delay)
        child.kill()
        lines += child.stdout.readlines()
        errors = child.stderr.read()
    if errors:
        raise RuntimeError(f"the child failed: {errors.decode()}")
    told = {"begun": 0, "durable": 0}
    for line in lines:
        if line.endswith(b"\n"):  # else it was killed within the line
            told |= json.loads(line)
    return told["begun"], told["durable"]


def _states(state: State, seed: int, begun: int) -> list[State]:
    """What the journal held before the child's first step, and after each."""
    rng = random.Random(seed)
    states = [state]
    for _ in range(begun):
        states.append(states[-1].after(next_step(rng, states[-1])))
    return states


def _look(path: Path, level: Level, rng: random.Random) -> State:
    """What the journal holds; at times by a look at a copy, so that the next child has to recover the file."""
    if rng.random() < 0.5:
        return _read(path, level)
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, folder)
        return _read(Path(folder, path.name), level)


def _read(path: Path, level: Level) -> State:
    store = Store(path, level)
    store.close()
    return store.found
