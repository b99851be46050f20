"""What importing the package costs a program that has imported anyio.

The package imports its names when they are first asked for. So there are two figures: the package alone, and all of its
public names in a program that has run anyio before. Each run is a process of its own, with the bytecode compiled; what
counts is its time on the processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from .pairs import Figure, figure_of
from .report import Line

RUNS = 21

PACKAGE = """
from time import process_time
import anyio
start = process_time()
import ridethrough
print(process_time() - start)
"""

EVERY_NAME = """
from time import process_time
import anyio
anyio.run(anyio.sleep, 0)  # imports what anyio, too, imports only when it is asked to run
start = process_time()
import ridethrough
for name in ridethrough.__all__:
    getattr(ridethrough, name)
print(process_time() - start)
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


def measure() -> Iterator[Line]:
    yield Line("import ridethrough, beside import anyio", time_of(PACKAGE), 10, "ms")
    yield Line("import ridethrough and every name in it, beside anyio.run", time_of(EVERY_NAME), 10, "ms")
