"""The command: what it takes, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version

import pytest

from ridethrough.cli import main
from ridethrough.demo import run_demo

COMMAND = [sys.executable, "-W", "error", "-m", "ridethrough"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"ridethrough {version('ridethrough')}\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "COMMAND"),
        (["demo", "--endpoint", "http:/nowhere"], "endpoint must be 'unix:/path/to/socket'"),
        (["demo", "--endpoint", "tcp://localhost"], "endpoint must be"),
        (["demo", "--endpoint", "tcp://localhost:7583", "--account", "anna"], "account must be a telephone number"),
        (["demo", "--endpoint", "tcp://localhost:7583", "--to", "anna"], "to must be a telephone number"),
        (["demo", "--to", "+15550100300"], "--account and --to go with --endpoint"),
        (["demo", "--account", "+15550100300"], "--account and --to go with --endpoint"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert problem in output.err and not output.out
    assert "+15550100300" not in output.err


def test_demo_prints_lines_and_an_account(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    output = capsys.readouterr()
    assert not output.err
    assert "The daemon is back." in output.out
    last = output.out.splitlines()[-1]
    assert last.startswith("160 messages accepted: ")
    assert last.endswith(" 0 lost, 1 duplicates, in order.")


def test_demo_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ridethrough.cli.run_demo", partial(run_demo, patience=0.05))
    assert main(["demo", "--endpoint", "unix:/nowhere/at/all"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("ridethrough demo: no link to the daemon within 0.05 s: ")
    assert not output.out.startswith("{")


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Heed SIGINT as at a terminal: what a shell runs in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_interrupts")
def test_demo_interrupted_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            signal.raise_signal(signal.SIGINT)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Interrupting())
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_demo_prints_json_and_nothing_else() -> None:
    done = subprocess.run([*COMMAND, "demo", "--json"], capture_output=True, text=True, check=True, timeout=60)
    account = json.loads(done.stdout)
    assert list(account) == [
        "accepted",
        "sent",
        "dropped",
        "expired",
        "rejected",
        "unknown",
        "duplicates",
        "in_order",
        "lost",
    ]
    assert account["accepted"] == 160 == account["sent"] + account["dropped"]
    assert account["dropped"] > 0
    assert (account["lost"], account["in_order"]) == (0, True)
    assert not done.stderr


@pytest.mark.usefixtures("heeding_interrupts")
def test_demo_interrupted() -> None:
    process = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted\n")
