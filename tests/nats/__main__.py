"""``python -m tests.nats --kills 30``: kill that many leaders of a cluster of three under load, and say what became."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from .kills import kill_leaders
from .servers import three_servers


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.nats", description="Kill leaders of a cluster under load.")
    parser.add_argument("--kills", type=int, default=30, help="how many; 30 by default")
    kills = parser.parse_args().kills
    with three_servers() as cluster:
        began = time.perf_counter()
        run = asyncio.run(kill_leaders(cluster, kills))
    print(f"in {time.perf_counter() - began:.0f} s: {run}")
    for each in run.unexplained:
        print(f"  {each}")
    return int(bool(run.lost or run.out_of_order or run.ghosts or run.unexplained))


if __name__ == "__main__":
    sys.exit(main())
