"""The demo against the real daemon: ``python -m tests.daemon.demo [OPTIONS OF ridethrough demo]``."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from ridethrough.cli import main

from .rig import NUMBER, SignalRig, recipient


def run(options: list[str]) -> int:
    """Run the demo, and hold its account against what reached the service; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder, SignalRig(Path(folder)) as rig:
        rig.meet(NUMBER, recipient(1))
        rig.service.reset()
        status = main(["demo", "--endpoint", rig.tcp, "--account", NUMBER, "--to", recipient(1), *options])
        timestamps = [send.timestamp for send in rig.service.sends]
    times = Counter(timestamps)
    print(f"{len(times)} messages reached the service.", file=sys.stderr)
    if sorted(timestamps) != timestamps or max(times.values()) > 1:
        print("They reached it out of order, or one with the same timestamp twice.", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
