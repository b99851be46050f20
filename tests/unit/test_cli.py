"""The command: what it takes, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from ridethrough.cli import main

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


def test_demo_prints_lines_and_an_account() -> None:
    done = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    assert "The daemon is back." in done.stdout
    assert done.stdout.splitlines()[-1].startswith("160 messages accepted: ")
    assert done.stdout.splitlines()[-1].endswith(" 0 lost, 1 duplicates, in order.")


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


def test_demo_interrupted() -> None:
    process = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted\n")
