"""The command as such, and the demo: what it takes, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from ridethrough.cli import main
from ridethrough.demo import run_demo
from tests.unit.cli.commands import COMMAND, Call

PUT = """
import sys
from ridethrough.cli import main
assert main(["send", "--to", "+15550100300", "hello"]) == 0
print(*sorted({name for name in sys.modules if name.startswith(("rich", "httpx2", "ridethrough"))}))
"""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"ridethrough {version('ridethrough')}\n"


@pytest.mark.parametrize("command", ["run", "send", "status", "list", "retry", "cancel", "forget", "demo"])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: ridethrough {command} ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "ridethrough: the following arguments are required: COMMAND (see ridethrough --help)"),
        (["demo", "--endpoint", "http:/nowhere"], "ridethrough demo: endpoint must be 'unix:/path/to/socket'"),
        (["demo", "--endpoint", "tcp://localhost"], "ridethrough demo: endpoint must be"),
        (["demo", "--endpoint", "tcp://localhost:7583", "--account", "anna"], "account must be a telephone number"),
        (["demo", "--endpoint", "tcp://localhost:7583", "--to", "anna"], "to must be a telephone number"),
        (["demo", "--to", "+15550100300"], "--account and --to go with --endpoint"),
        (["demo", "--account", "+15550100300"], "--account and --to go with --endpoint"),
        (["demo", "--js"], "ridethrough: there is no option --js (see ridethrough demo --help)"),
        (
            ["send", "--nothing=+15550100300", "x"],
            "ridethrough: there is no option --nothing (see ridethrough send --h",
        ),
        (["send", "meet", "+15550100300"], "there are too many words: a text goes in quotes"),
        (["list", "-x"], "there are too many words"),
        (["send", "--to"], "ridethrough: argument --to: expected one argument (see ridethrough send --help)"),
        (["send", "--group", "a", "--to", "b", "x"], "argument --to: not allowed with argument --group"),
        (["status", "--outbox", "\x1b]0;x"], "there is no outbox"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, call: Call) -> None:
    output = call(*arguments)
    assert output.status == (1 if "no outbox" in problem else 2)
    assert problem in output.err and not output.out
    assert output.err.endswith("\n") and output.err.count("\n") == 1
    assert "+15550100300" not in output.err and "\x1b" not in output.err


def test_demo_prints_lines_and_an_account(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    output = capsys.readouterr()
    assert not output.err
    assert "The daemon is back." in output.out
    last = output.out.splitlines()[-1]
    assert last.startswith("160 messages accepted: ")
    assert last.endswith(" 0 lost, 1 duplicates, in order.")


def test_demo_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ridethrough.cli.demo.run_demo", partial(run_demo, patience=0.05))
    assert main(["demo", "--endpoint", "unix:/nowhere/at/all"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("ridethrough demo: no link to the daemon within 0.05 s: ")
    assert not output.out.startswith("{")


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


def test_reader_that_has_gone_is_no_error(outbox: Path) -> None:
    subprocess.run([*COMMAND, "send", "--to", "+15550100300", "x"], check=True, timeout=30, capture_output=True)
    assert outbox.exists()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*COMMAND, "list"], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_output_that_cannot_be_written(outbox: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        put = [*COMMAND, "send", "--to", "+15550100300", "x"]
        done = subprocess.run(put, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{outbox} is a new outbox",
        "ridethrough send: the standard output cannot be written: No space left on device",
    ]


def test_terminal_without_the_characters(outbox: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    put = [*COMMAND, "send", "--to", "+15550100300", "caf\xe9"]
    subprocess.run(put, check=True, timeout=30, capture_output=True, env=environment)
    assert outbox.exists()
    done = subprocess.run([*COMMAND, "list"], check=True, timeout=30, capture_output=True, env=environment)
    assert done.stdout.endswith(b"  caf\\xe9\n")


def test_put_imports_nothing_that_shows_or_sends(outbox: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PUT], check=True, timeout=30, capture_output=True, text=True)
    assert outbox.exists()
    modules = done.stdout.splitlines()[-1].split()
    assert "ridethrough.cli.send" in modules
    unwanted = {"rich", "httpx2", "ridethrough.views", "ridethrough.testing", "ridethrough.signal_cli.http"}
    assert not unwanted & set(modules)
