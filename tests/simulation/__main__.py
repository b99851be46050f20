"""``python -m tests.simulation``: play schedules, or one and tell its story."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback

from .play import play

CHUNK = 250


def fails(seed: int) -> bool:
    """Whether the schedule of that seed shows a bug."""
    try:
        play(seed)
    except Exception:  # any error is a finding
        return True
    return False


def findings(start: int) -> list[int]:
    """The seeds of a chunk that show a bug."""
    return [seed for seed in range(start, start + CHUNK) if fails(seed)]


def tell(seed: int) -> int:
    """Play one schedule and print its story; 1 if it shows a bug."""
    story: list[str] = []
    status = 0
    try:
        play(seed, story)
        story.append("nothing is wrong")
    except Exception:  # any error is a finding
        story.append(traceback.format_exc())
        status = 1
    print("\n".join(story))
    return status


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many schedules to play")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play only this one, and print its story line by line")
    options = parser.parse_args()
    if options.seed is not None:
        return tell(options.seed)
    began = time.perf_counter()
    found: list[int] = []
    starts = range(options.start, options.start + options.seeds, CHUNK)
    with multiprocessing.Pool() as pool:
        for seeds in pool.imap_unordered(findings, starts):
            found += seeds
    seconds = time.perf_counter() - began
    count = len(starts) * CHUNK
    print(f"{count} schedules in {seconds:.0f} s, {count / seconds:.0f} a second: {len(found)} violations")
    for seed in sorted(found)[:10]:
        print(f"  python -m tests.simulation --seed {seed}")
    print(f"simulation: {count - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
