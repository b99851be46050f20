"""The command as tests use it: how it ends, and ``ridethrough run`` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from anyio.from_thread import BlockingPortal

from ridethrough.testing import FakeSignalDaemon

COMMAND = [sys.executable, "-W", "error", "-m", "ridethrough"]
PATIENCE = 30
ANNA, BERT = "+15550100300", "+15550100400"


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


class Runner:
    """``ridethrough run`` as a process of its own.

    Attributes:
        process: the process.
        said: what it has told its supervisor by now.
    """

    def __init__(self, process: subprocess.Popen[bytes], notes: socket.socket) -> None:
        self.process = process
        self._notes = notes
        self.said: list[str] = []

    def wait_said(self, note: str) -> None:
        """Wait until it tells its supervisor so, or something that begins so."""
        while not any(said.startswith(note) for said in self.said):
            self.said.append(self._notes.recv(4096).decode())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out.decode(), (err or b"").decode())


Running = Callable[..., Runner]


@contextmanager
def away(portal: BlockingPortal, daemon: FakeSignalDaemon) -> Iterator[None]:
    """While this lasts, the daemon is not there."""
    portal.call(daemon.stop)
    yield
    portal.call(daemon.start)
