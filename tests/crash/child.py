"""``python -m tests.crash.child PATH LEVEL SEED [early]``: change a journal and tell of each change, until killed.

The changes follow from the seed and from what the journal holds, so a line needs to say no more than their number.
"""

from __future__ import annotations

import json
import random
import sys
from itertools import count
from pathlib import Path
from typing import cast

from .model import Level, Store, next_step


def say(what: str, number: int = 0) -> None:
    """Tell the parent; it can be read once this has returned."""
    sys.stdout.write(json.dumps({what: number}) + "\n")
    sys.stdout.flush()


def main(path: Path, level: Level, seed: int, *, early: bool) -> None:
    """Change the journal until killed, or until nobody listens."""
    rng = random.Random(seed)
    say("opening")
    store = Store(path, level)
    state = store.found
    for number in count(1):
        step = next_step(rng, state)
        say("begun", number)
        if early:
            say("durable", number)
        store.take(step)
        if not early:
            say("durable", number)
        state = state.after(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), cast("Level", sys.argv[2]), int(sys.argv[3]), early="early" in sys.argv[4:])
