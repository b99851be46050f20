"""``python -m tests.bench`` measures and prints one table. It is no gate: the exit code is 0 either way."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from . import imports, memory_buffer
from .pairs import ROUNDS, Case

CASES: tuple[Case, ...] = (*memory_buffer.CASES, *imports.CASES)
"""The lines of the table, in order; each module with cases adds its own here."""


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    say(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    say(f"{python}, ridethrough {version('ridethrough')}, anyio {version('anyio')}, asyncio's event loop")
    say(f"Medians and quartiles; a ratio is of {ROUNDS} pairs in one process.\n")
    width = max(len(case.name) for case in CASES)
    say(f"{'ours / theirs':{width}}  {'median':>7}  {'quartiles':>17}  {'at most':>7}")
    for case in CASES:
        figure = case.measure()
        places = 0 if case.unit == "bytes" else 3
        quartiles = f"{figure.low:.{places}f} to {figure.high:.{places}f}"
        verdict = "ok" if figure.median <= case.bound else "over"
        columns = f"{figure.median:7.{places}f}  {quartiles:>17}  {case.bound:7g}  {verdict:4}  {case.unit}"
        say(f"{case.name:{width}}  {columns}".rstrip())


if __name__ == "__main__":
    main()
