"""``python -m tests.simulation``: play schedules, or one and tell its story; with ``--shared``, of a shared outbox."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback

from .play import play, play_shared

CHUNK = 250
SHARED = 500
"""How many schedules of a shared outbox are played as well, unless only those are."""

Chunk = tuple[bool, range]
"""Whether they are of a shared outbox, and the seeds."""


def fails(shared: bool, seed: int) -> bool:
    """Whether the schedule of that seed shows a bug."""
    try:
        (play_shared if shared else play)(seed)
    except Exception:  # any error is a finding
        return True
    return False


def findings(chunk: Chunk) -> list[tuple[bool, int]]:
    """The seeds of a chunk that show a bug."""
    shared, seeds = chunk
    return [(shared, seed) for seed in seeds if fails(shared, seed)]


def tell(shared: bool, seed: int) -> int:
    """Play one schedule and print its story; 1 if it shows a bug."""
    story: list[str] = []
    status = 0
    try:
        (play_shared if shared else play)(seed, story)
        story.append("nothing is wrong")
    except Exception:  # any error is a finding
        story.append(traceback.format_exc())
        status = 1
    print("\n".join(story))
    return status


def chunks(shared: bool, start: int, seeds: int) -> list[Chunk]:
    """What to play, in portions for a process each."""
    return [(shared, range(first, first + CHUNK)) for first in range(start, start + seeds, CHUNK)]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many schedules to play")
    parser.add_argument("--shared", action="store_true", help="of an outbox that hosts share, and no others")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play only this one, and print its story line by line")
    options = parser.parse_args()
    if options.seed is not None:
        return tell(options.shared, options.seed)
    began = time.perf_counter()
    found: list[tuple[bool, int]] = []
    work = chunks(options.shared, options.start, options.seeds)
    if not options.shared:
        work = chunks(True, options.start, SHARED) + work  # these take longest
    with multiprocessing.Pool() as pool:
        for seeds in pool.imap_unordered(findings, work):
            found += seeds
    seconds = time.perf_counter() - began
    count = len(work) * CHUNK
    print(f"{count} schedules in {seconds:.0f} s, {count / seconds:.0f} a second: {len(found)} violations")
    for shared, seed in sorted(found)[:10]:
        print(f"  python -m tests.simulation{' --shared' if shared else ''} --seed {seed}")
    print(f"simulation: {count - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
