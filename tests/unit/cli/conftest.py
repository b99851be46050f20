"""The command, in this process and as one of its own, with a daemon for it to send to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ridethrough.cli import main
from ridethrough.testing import FakeSignalDaemon
from tests.unit.cli.commands import COMMAND, PATIENCE, Call, Ended, Runner, Running


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the outbox of the test is: the environment says so, and nothing else."""
    for name in [name for name in os.environ if name.startswith("RIDETHROUGH_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    path = tmp_path / "outbox.db"
    monkeypatch.setenv("RIDETHROUGH_OUTBOX", str(path))
    return path


@pytest.fixture
def call(outbox: Path, capsys: pytest.CaptureFixture[str]) -> Call:  # noqa: ARG001, the environment names it
    """Runs the command in this process."""

    def run(*arguments: str) -> Ended:
        if "--wait" in arguments and "--timeout" not in arguments:
            arguments += ("--timeout", str(PATIENCE))  # rather than for ever, where something is broken
        try:
            status = main(arguments)
        except SystemExit as error:
            assert isinstance(error.code, int)
            status = error.code
        output = capsys.readouterr()
        return Ended(status, output.out, output.err)

    return run


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def daemon(portal: BlockingPortal, outbox: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSignalDaemon]:  # noqa: ARG001
    """A daemon in a thread of its own; the environment says where it is."""
    with portal.wrap_async_context_manager(FakeSignalDaemon()) as daemon:
        monkeypatch.setenv("RIDETHROUGH_ENDPOINT", daemon.endpoint)
        yield daemon


@pytest.fixture
def notes() -> Iterator[socket.socket]:
    """A supervisor's socket, at an address that is in no folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0ridethrough-test-{os.getpid()}")
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def running(notes: socket.socket, outbox: Path) -> Iterator[Running]:  # noqa: ARG001
    """Starts ``ridethrough run``, and by default returns once it takes messages."""
    started: list[Runner] = []

    def start(
        *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL, stderr: int = subprocess.PIPE, ready: bool = True
    ) -> Runner:
        process = subprocess.Popen(
            [*COMMAND, "run", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "NOTIFY_SOCKET": f"@ridethrough-test-{os.getpid()}"},
        )
        runner = Runner(process, notes)
        started.append(runner)
        if ready:
            runner.wait_said("READY=1")
        return runner

    yield start
    for runner in started:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.process.communicate()


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Heed SIGINT as at a terminal: what a shell runs in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
