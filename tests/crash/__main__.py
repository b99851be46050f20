"""``python -m tests.crash``: kill programs and cut the power, and see that nothing is lost that was promised."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

from . import shell
from .images import PER_RECORDING, Verdict, play
from .kills import PER_FILE, Row, kill_in_a_row
from .program_cuts import PER_PROGRAM, cut_a_program
from .program_kills import kill_programs_in_a_row

SHOWN = 10


def kill(kills: int, start: int) -> int:
    """Kill that many children; the number of losses."""
    began = time.perf_counter()
    with ThreadPool() as pool:
        rows: list[Row] = pool.map(kill_in_a_row, range(start, start + -(-kills // PER_FILE)), chunksize=1)
    losses = [row.loss for row in rows if row.loss]
    count, in_flight = sum(row.kills for row in rows), sum(row.in_flight for row in rows)
    print(
        f"{count} kills in {time.perf_counter() - began:.0f} s, {in_flight} of them in the middle of a step,", end=" "
    )
    print(f"after {sum(row.durable for row in rows)} steps that were durable: {len(losses)} losses")
    for loss in losses[:SHOWN]:
        print(f"  {loss}")
    return len(losses)


def kill_programs(kills: int, start: int) -> int:
    """Kill that many programs with a buffer; the number of losses."""
    began = time.perf_counter()
    with ThreadPool() as pool:
        rows = pool.map(kill_programs_in_a_row, range(start, start + -(-kills // PER_FILE)), chunksize=1)
    losses = [row.loss for row in rows if row.loss]
    count, in_flight = sum(row.kills for row in rows), sum(row.in_flight for row in rows)
    print(f"{count} kills of a buffer in {time.perf_counter() - began:.0f} s, {in_flight} of them in a put or a lease,")
    puts, ends = sum(row.puts for row in rows), sum(row.ends for row in rows)
    print(f"  after {puts} puts that had returned, and {ends} ends: {len(losses)} losses")
    for loss in losses[:SHOWN]:
        print(f"  {loss}")
    return len(losses)


def cut(images: int, start: int) -> int:
    """Make and judge that many images; the number of losses."""
    began = time.perf_counter()
    with multiprocessing.Pool() as pool:
        verdicts: list[Verdict] = pool.map(play, range(start, start + images), chunksize=PER_RECORDING)
    lost = {start + place: verdict for place, verdict in enumerate(verdicts) if verdict.loss}
    undone = sum(verdict.undone > 0 for verdict in verdicts)
    print(f"{images} images in {time.perf_counter() - began:.0f} s,", end=" ")
    print(f"{undone} of them without steps that were not promised: {len(lost)} losses")
    for seed, verdict in list(lost.items())[:SHOWN]:
        print(f"  python -m tests.crash --image {seed}: {verdict.loss}")
    return len(lost)


def cut_programs(images: int, start: int) -> int:
    """Make and judge that many images of what a buffer has written; the number of losses."""
    began = time.perf_counter()
    programs = range(start, start + -(-images // PER_PROGRAM))
    with multiprocessing.Pool() as pool:
        losses = [loss for each in pool.imap_unordered(cut_a_program, programs) for loss in each]
    count = len(programs) * PER_PROGRAM
    print(f"{count} images of a buffer in {time.perf_counter() - began:.0f} s: {len(losses)} losses")
    for loss in losses[:SHOWN]:
        print(f"  {loss}")
    return len(losses)


def use_the_shell(messages: int) -> int:
    """Send about that many with the command while daemon and owner are killed; 1 if something is lost."""
    each = -(-messages // shell.SENDERS)
    with tempfile.TemporaryDirectory() as folder:
        course = shell.play(Path(folder), each=each)
    try:
        shell.judge(course, each=each)
    except AssertionError as loss:
        print(f"  {loss}")
        return 1
    print(f"{each * shell.SENDERS} messages from the shell: 0 losses")
    return 0


def tell(seed: int) -> int:
    """Make one image again, and say what is in it; 1 if something is lost."""
    verdict = play(seed)
    print(f"{verdict.where}\n{verdict.loss or 'nothing is lost'}")
    return 1 if verdict.loss else 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how many programs of each kind to kill")
    parser.add_argument("--images", type=int, default=2_000, help="how many images of power cuts to make")
    parser.add_argument("--buffers", type=int, default=500, help="how many of what a whole buffer has written")
    parser.add_argument("--messages", type=int, default=0, help="how many to send from the shell")
    parser.add_argument("--start", type=int, default=0, help="the first seed of each")
    parser.add_argument("--image", type=int, metavar="SEED", help="make only this image, and say what is in it")
    options = parser.parse_args()
    if options.image is not None:
        return tell(options.image)
    lost = kill(options.kills, options.start) + kill_programs(options.kills, options.start)
    lost += cut(options.images, options.start) + cut_programs(options.buffers, options.start)
    count = 2 * options.kills + options.images + options.buffers
    if options.messages:
        lost += use_the_shell(options.messages)
        count += 1
    print(f"crash: {count - lost} passed, {lost} failed")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
