"""Power cuts: images of the disk that a cut could leave, made from a record of writes and syncs, and opened again."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import apsw

from ridethrough.errors import RidethroughError

from .disk import Begun, Disk, Durable
from .model import Level, State, Store, next_step
from .recorder import FOLDER, NAME, Recording, record

PER_RECORDING = 50
"""Images that are made from one record."""
OPENING = 60
"""The first of the events, in which the file is made."""
CLOSING = 8
"""The last of them, in which all that was kept gets into the file."""
STEPS = 40
"""Of a journal, in one record."""


class Image(NamedTuple):
    """What a cut could leave on the disk, and what may be in it."""

    files: dict[str, bytes]
    allowed: list[State]
    """From what was promised to what was begun."""
    told: int
    """The place in ``allowed`` of what the program was told is durable."""
    where: str


class Verdict(NamedTuple):
    """What became of one image."""

    where: str
    loss: str | None = None
    """What is wrong; None: nothing."""
    undone: int = 0
    """Steps that the program was told are durable, and are not; only such as were not promised to outlive the power."""


def cut(recording: Recording, at: int, promised: Level, rng: random.Random) -> Image:
    """Cut the power after so many events of a journal's life."""
    disk = Disk(recording.files)
    begun = durable = promised_to = 0
    for event in recording.events[:at]:
        disk.do(event)
        if isinstance(event, Begun):
            begun = event.step
        elif isinstance(event, Durable):
            durable = event.step
            if promised == "power-safe" and recording.steps[durable - 1].puts:
                promised_to = durable
    where = f"cut at {at} of {len(recording.events)}, in step {begun}, durable: {durable}, promised: {promised_to}"
    return Image(disk.image(rng), recording.states[promised_to : begun + 1], durable - promised_to, where)


def judge(image: Image, level: Level, rng: random.Random) -> Verdict:
    """Open an image with the ordinary SQLite, and see that all that was promised is there, and that it goes on."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        path = Path(folder, NAME)
        for name, content in image.files.items():
            Path(folder, name).write_bytes(content)
        try:
            store = Store(path, level)
            found = store.found
            step = next_step(rng, found)
            store.take(step)
            store.close()
            later = Store(path, level)
            later.close()
        except (RidethroughError, sqlite3.Error) as error:
            return Verdict(image.where, repr(error))
        if aside := [file.name for file in Path(folder).glob("*corrupt*")]:
            return Verdict(image.where, f"found corrupt: {aside}")
    if found not in image.allowed:
        return Verdict(image.where, f"{found} instead of {image.allowed[0]}")
    if later.found != found.after(step):
        return Verdict(image.where, f"{later.found} after one more step instead of {found.after(step)}")
    place = max(place for place, state in enumerate(image.allowed) if state == found)
    return Verdict(image.where, undone=max(0, image.told - place))


def play(seed: int, *, promised: Level | None = None, synchronous: str | None = None) -> Verdict:
    """Make the image of that seed, and judge it.

    Args:
        seed: all follows from it.
        promised: what is asked of the image; None: what the journal promises.
        synchronous: what the pragma is set to instead of what the journal says, to show that it matters.
    """
    number = seed // PER_RECORDING
    level: Level = "process-safe" if number % 4 == 3 else "power-safe"
    rng = random.Random(f"image {seed}")
    twice = seed % 4 == 0
    recording = _recording(number, level, synchronous)
    end = len(recording.events)
    at = rng.randrange(OPENING if rng.random() < (0.5 if twice else 0.1) else end + 1)
    image = cut(recording, at, promised or level, rng)
    verdict = judge(image, level, rng)
    if verdict.loss or not twice:
        return verdict
    # The power comes back, and goes again: while the journal opens, soon after, or while it closes. What it has found
    # is promised then.
    try:
        recording = record(rng, level, 3, files=image.files, synchronous=synchronous)
    except (RidethroughError, apsw.Error) as error:
        return Verdict(image.where, f"the second time: {error!r}")
    if recording.states[0] not in image.allowed:
        return Verdict(image.where, f"the second time: {recording.states[0]} instead of {image.allowed[0]}")
    end = len(recording.events)
    at = rng.choice((rng.randrange(end + 1), end - rng.randrange(CLOSING)))
    again = cut(recording, at, promised or level, rng)
    verdict = judge(again, level, rng)
    return verdict._replace(where=f"{image.where}; then {again.where}")


@lru_cache(maxsize=2)
def _recording(number: int, level: Level, synchronous: str | None) -> Recording:
    return record(random.Random(f"recording {number}"), level, STEPS, synchronous=synchronous)
