"""``python -m tests.planted``: plant each bug in a copy of the package, and see that its test catches it.

``python -m tests.planted nats`` plants those of the shared buffer, whose tests need a NATS server.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .bugs import BUGS as CORE_BUGS
from .bugs import Bug
from .engine_bugs import ENGINE_BUGS
from .shared_bugs import SHARED_BUGS
from .signal_bugs import SIGNAL_BUGS
from .store_bugs import STORE_BUGS

BUGS = {"": [*CORE_BUGS, *SIGNAL_BUGS, *STORE_BUGS, *ENGINE_BUGS], "nats": SHARED_BUGS}

ROOT = Path(__file__).parents[2]
AT_ONCE = 2 * (os.cpu_count() or 1)  # some tests do nothing but wait, once there is a bug
PASSED, FAILED = 0, 1  # of pytest's exit statuses


def run(source: Path, *tests: str) -> int:
    """Run tests against the package in that folder; returns pytest's exit status. One that hangs has failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": ""}  # what is right, once
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return FAILED


def plant(right: Path, bug: Bug) -> str:
    """Plant a bug in a copy of the package that is right, and run its test.

    Returns:
        What is wrong: nothing, if it was caught.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(right, folder, dirs_exist_ok=True)  # compiled by now, but for the file that changes
        file = Path(folder, "ridethrough", bug.file)
        text = file.read_text()
        if text.count(bug.right) != 1:
            return f"what it replaces stands {text.count(bug.right)} times in {bug.file}"
        file.write_text(text.replace(bug.right, bug.wrong))
        status = run(Path(folder), bug.test)
    return {FAILED: "", PASSED: f"SURVIVED {bug.test}"}.get(status, f"pytest ended with status {status}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description="Plant bugs, and have them caught.")
    parser.add_argument("part", nargs="?", default="", choices=BUGS, help="nats: those of the shared buffer")
    bugs = BUGS[parser.parse_args().part]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        right = Path(folder)
        shutil.copytree(ROOT / "src/ridethrough", right / "ridethrough", ignore=shutil.ignore_patterns("*.pyc"))
        if run(right, "--numprocesses=auto", *{bug.test for bug in bugs}) != PASSED:
            print("the tests fail without any bug: mend that first")
            return 1
        problems = list(pool.map(partial(plant, right), bugs))
    for bug, problem in zip(bugs, problems, strict=True):
        print(f"{problem or 'caught'}: {bug.name}")
    caught = problems.count("")
    print(f"planted: {caught} passed, {len(bugs) - caught} failed")
    return 0 if caught == len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
