"""From the shell through an outbox to the real daemon: by way of servers, and by way of a file. Each command is a
process, as on a host of its own. What reached the service is the truth."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from tests.nats.servers import one_server
from tests.unit.cli.commands import COMMAND, PATIENCE

from .rig import NUMBER, SignalRig, recipient


@pytest.fixture
def servers() -> Iterator[str]:
    """The address of an outbox on a server."""
    with one_server() as server:
        yield f"{server.url}/alerts"


def send(outbox: str, numbers: range, *options: str) -> None:
    """Put messages, one after the other, each for somebody else than the one before."""
    for number in numbers:
        to = recipient(number % 10)
        command = [*COMMAND, "send", "--outbox", outbox, "--to", to, *options, f"message {number}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def running(outbox: str, rig: SignalRig, *, end: int) -> Iterator[subprocess.Popen[bytes]]:
    """Have ``ridethrough run`` send what is in the outbox; it is told to end, and does so with that status."""
    command = [*COMMAND, "run", "--outbox", outbox, "--endpoint", rig.tcp, "--account", NUMBER, "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
        process.terminate()
        assert process.wait(PATIENCE) == end
    finally:
        process.kill()
        process.wait()


def check_all_arrived(rig: SignalRig, count: int, *, cuts: int) -> None:
    """They are whole and in order, and twice came only what was being sent when something was killed."""
    arrived = [send.recipient for send in rig.service.sends]
    assert [each for each, _ in groupby(arrived)] == [recipient(number % 10) for number in range(count)]
    assert len(arrived) - count <= cuts
    timestamps = [send.timestamp for send in rig.service.sends]
    assert timestamps == sorted(set(timestamps))


def test_one_host_puts_and_others_send(rig: SignalRig, servers: str) -> None:
    send(servers, range(5))
    with running(servers, rig, end=0):
        send(servers, range(5, 6), "--wait")
        rig.kill()
        send(servers, range(6, 10))
        rig.start()
        send(servers, range(10, 11), "--wait")
    send(servers, range(11, 13))
    with running(servers, rig, end=0), running(servers, rig, end=0):
        send(servers, range(13, 16), "--wait")
    check_all_arrived(rig, 16, cuts=0)  # the daemon was idle when it was killed


def test_everything_is_killed_in_turn(rig: SignalRig, tmp_path: Path) -> None:
    outbox = str(tmp_path / "outbox.db")
    send(outbox, range(3))
    with running(outbox, rig, end=-9) as process:
        rig.service.wait_for_sends(1)
        rig.kill()
        send(outbox, range(3, 6))
        process.kill()
        send(outbox, range(6, 8))
    rig.start()
    with running(outbox, rig, end=0):
        send(outbox, range(8, 9), "--wait")
    check_all_arrived(rig, 9, cuts=1)
