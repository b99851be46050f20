"""What importing the package costs a program that has imported anyio, in milliseconds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from .pairs import Case, Figure, figure_of

RUNS = 21

PACKAGE = """
from time import perf_counter
import anyio
start = perf_counter()
import ridethrough
print(perf_counter() - start)
"""

EVERY_NAME = """
from time import perf_counter
import anyio
anyio.run(anyio.sleep, 0)  # imports what anyio, too, imports only when it is asked to run
start = perf_counter()
import ridethrough
for name in ridethrough.__all__:
    getattr(ridethrough, name)
print(perf_counter() - start)
"""


def time_of(program: str) -> Figure:
    """How long it says that it took, each time in a new process."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}

        def run() -> float:
            done = subprocess.run(
                [sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            return float(done.stdout) * 1000

        run()  # compiles, as installing would have done
        return figure_of([run() for _ in range(RUNS)])


def package() -> Figure:
    """Its names are imported when they are first asked for, so this is the package alone."""
    return time_of(PACKAGE)


def every_name() -> Figure:
    """All of its public names, in a program that has run anyio before."""
    return time_of(EVERY_NAME)


CASES = (
    Case("import ridethrough, beside import anyio", package, 10, "ms"),
    Case("import ridethrough and every name in it, beside anyio.run", every_name, 10, "ms"),
)
