"""The shell under load: eight processes ``send``, one ``run`` is killed and restarted, and so is the daemon.

``python -m tests.crash.shell OUTBOX NAME COUNT`` is one of the eight.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ridethrough.cli import main
from ridethrough.testing import FakeSignalDaemon

TO = "+15550100300"
PATIENCE = 300
"""For how long nothing may change, in seconds."""


SENDERS = 8
EACH = 250


class Course(NamedTuple):
    """What a course of this came to."""

    arrived: list[str]
    """The texts, in the order in which they came to Signal."""
    stops: int
    """How often the daemon was killed under messages."""
    kills: int
    """How often ``run`` was."""


class _Run:
    """``ridethrough run``, which can be killed and started again."""

    def __init__(self, outbox: Path, endpoint: str) -> None:
        self._command = [sys.executable, "-m", "ridethrough", "run", "--outbox", str(outbox), "--endpoint", endpoint]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([*self._command, "--max-size", "100000", "--quiet"], stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


def play(
    folder: Path, *, senders: int = SENDERS, each: int = EACH, stops: int = 6, kills: int = 3, seed: int = 0
) -> Course:
    """Have messages sent through all of that, until nothing waits any more.

    Args:
        folder: for the outbox.
        senders: how many processes put.
        each: how many messages each of them puts.
        stops, kills: how often the daemon, and ``run``, is killed meanwhile.
        seed: when that happens.
    """
    rng = random.Random(seed)
    outbox = folder / "outbox.db"
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(FakeSignalDaemon()) as daemon:
        run = _Run(outbox, daemon.endpoint)
        try:
            with _senders(outbox, senders, each) as processes:
                for what in rng.sample(["stop"] * stops + ["kill"] * kills, stops + kills):
                    _wait_for_arrivals(portal, daemon, rng.randint(1, senders * each // (stops + kills + 1)))
                    if what == "kill":
                        run.kill()
                        run.start()
                    else:
                        portal.call(daemon.stop)
                        portal.call(daemon.start)
                for process in processes:
                    assert process.wait(PATIENCE) == 0, "a sender failed"
            _wait_until_empty(outbox)
            assert run.stop() == 0, "it stopped with messages waiting"
        finally:
            run.process.kill()
            run.process.wait()
        arrived = [arrival.params["message"] for arrival in daemon.sends]
    return Course(arrived, stops, kills)


def judge(course: Course, *, senders: int = SENDERS, each: int = EACH) -> None:
    """Nothing is lost, each sender's messages come in order, and twice came only what somebody was cut off under."""
    counts = Counter(course.arrived)
    expected = {f"{name}-{number}" for name in range(senders) for number in range(each)}
    assert counts.keys() == expected, f"lost: {sorted(expected - counts.keys())[:10]}"
    last = dict.fromkeys(map(str, range(senders)), -1)
    for text in dict.fromkeys(course.arrived):
        name, number = text.split("-")
        assert int(number) == last[name] + 1, f"{text} came after {name}-{last[name]}"
        last[name] = int(number)
    doubles = sum(counts.values()) - len(counts)
    # One is on its way when the daemon or the owner is killed; and of those that put, each may be without an answer.
    assert doubles <= course.stops + course.kills * (1 + senders), f"{doubles} came twice"


@contextlib.contextmanager
def _senders(outbox: Path, count: int, each: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "tests.crash.shell", str(outbox)]
    processes = [subprocess.Popen([*command, str(name), str(each)]) for name in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait_for_arrivals(portal: BlockingPortal, daemon: FakeSignalDaemon, more: int) -> None:
    enough, give_up = len(daemon.sends) + more, time.monotonic() + PATIENCE
    while portal.call(lambda: len(daemon.sends)) < enough:
        assert time.monotonic() < give_up, "nothing arrives any more"
        time.sleep(0.02)  # it is other processes that have to get on


def _wait_until_empty(outbox: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while _status(outbox)["statistics"]["queued"]:
        assert time.monotonic() < give_up, "messages wait for ever"
        time.sleep(0.1)


def _status(outbox: Path) -> dict[str, dict[str, int]]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main(["status", "--outbox", str(outbox), "--json"]) == 0
    answer: dict[str, dict[str, int]] = json.loads(output.getvalue())
    return answer


def send(outbox: str, name: str, count: int) -> int:
    """Put messages, one command each."""
    with contextlib.redirect_stdout(io.StringIO()):
        return max(main(["send", "--outbox", outbox, "--to", TO, f"{name}-{number}"]) for number in range(count))


if __name__ == "__main__":
    sys.exit(send(sys.argv[1], sys.argv[2], int(sys.argv[3])))
