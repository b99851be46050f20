"""docs/shell.md and the files that it shows: what stands there works."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ridethrough.cli.exits import UsageError
from ridethrough.cli.parser import read_arguments
from ridethrough.cli.settings import Settings, read_settings
from ridethrough.testing import FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, PATIENCE, Call, Running

DOCS = Path(__file__, "../../../../docs").resolve()
PAGE = (DOCS / "shell.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the shell finds ``ridethrough``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "ridethrough"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -W error -m ridethrough "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.usefixtures("bin_folder")
def test_blocks_of_the_shell(
    daemon: FakeSignalDaemon, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.txt").write_text("all is well")
    run, *others = SHELL
    arguments = shlex.split(run.replace("tcp://127.0.0.1:7583", daemon.endpoint))
    assert arguments[:2] == ["ridethrough", "run"]
    running(*arguments[2:])
    for block in others:
        subprocess.run(["/bin/sh", "-e", "-c", block], check=True, timeout=PATIENCE)
    texts = [arrival.text for arrival in daemon.sends if arrival.target == ANNA]
    assert texts[:2] == ["The disk of db1 is full.", "Somebody reads this."]
    assert any(arrival.target == BERT and arrival.text.startswith("Filesystem") for arrival in daemon.sends)


def test_table_of_settings(tmp_path: Path) -> None:
    """It names every setting, and each by the same name in all of its columns."""
    row = r"^\| `--([a-z-]+).*?\| `(RIDETHROUGH_[A-Z_]+)(?:=true)?`.*? \| `([a-z-]+) = .*` \|"
    rows = re.findall(row, PAGE, re.MULTILINE)
    file = tmp_path / "x.toml"
    file.write_text("unknown = 1")
    with pytest.raises(UsageError) as caught:
        read_settings({"config": str(file)}, {})
    allowed = str(caught.value).partition("allowed are ")[2].split(", ")
    assert {option for option, _, _ in rows} == set(allowed)
    for option, variable, name in rows:
        assert (variable, name) == ("RIDETHROUGH_" + option.upper().replace("-", "_"), option)


def test_commands_and_options_of_the_page() -> None:
    """Each command in a block of the console can be read."""
    found = re.findall(r"^\$ (?:.*\| )?ridethrough (.*)$", PAGE, re.MULTILINE)
    assert len(found) == 5
    for words in found:
        read_arguments(shlex.split(words))


def test_toml() -> None:
    text = (DOCS / "shell/ridethrough.toml").read_text()
    settings = read_settings({"config": str(DOCS / "shell/ridethrough.toml")}, {})
    assert set(tomllib.loads(text)) == {"outbox", "endpoint", "account", "to", "max-size", "ttl"}
    assert (settings.outbox, settings.ttl) == (Path("/var/lib/ridethrough/outbox.db"), 86400)


def service() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DOCS / "shell/ridethrough.service")
    return unit


def test_unit_of_systemd() -> None:
    section = service()["Service"]
    options = read_arguments(shlex.split(section["ExecStart"])[1:])
    assert (options.command, options.config) == ("run", "/etc/ridethrough.toml")
    assert (section["Type"], section["SuccessExitStatus"], section["RestartPreventExitStatus"]) == ("notify", "3", "2")
    assert float(section["TimeoutStopSec"]) > Settings(Path()).close_timeout
    folder = f"/var/lib/{section['StateDirectory']}"
    outbox = read_settings({"config": str(DOCS / "shell/ridethrough.toml")}, {}).outbox
    assert isinstance(outbox, Path) and outbox.parent == Path(folder)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here to ask")
def test_unit_as_systemd_reads_it(tmp_path: Path) -> None:
    unit = tmp_path / "ridethrough.service"
    text = (DOCS / "shell/ridethrough.service").read_text().replace("/usr/local/bin/ridethrough", sys.executable)
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "ridethrough.service" not in done.stderr


@pytest.mark.usefixtures("bin_folder")
def test_cron_job(call: Call, outbox: Path, tmp_path: Path) -> None:
    *settings, job = (line for line in (DOCS / "shell/crontab").read_text().splitlines() if not line.startswith("#"))
    names = dict(setting.split("=", 1) for setting in settings)
    assert names["RIDETHROUGH_CONFIG"] == "/etc/ridethrough.toml" and "%" not in job
    config = tmp_path / "ridethrough.toml"
    config.write_text(f'outbox = "{outbox}"\nto = "{ANNA}"\n')
    environment = {"PATH": os.environ["PATH"], "RIDETHROUGH_CONFIG": str(config)}
    done = subprocess.run(
        ["/bin/sh", "-c", job.split(maxsplit=5)[5]], env=environment, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    (message,) = json.loads(call("list", "--json").out)
    assert message["summary"]["text"].endswith(" has failed.")


def test_compose_file() -> None:
    text = (DOCS / "shell/compose.yaml").read_text()
    assert "\t" not in text
    (command,) = re.findall(r"^    command: (\[.*\])$", text, re.MULTILINE)
    (entrypoint,) = re.findall(r"^        ENTRYPOINT (\[.*\])$", text, re.MULTILINE)
    assert json.loads(entrypoint) == ["ridethrough"] and read_arguments(json.loads(command)).command == "run"
    variables = re.findall(r'^      (RIDETHROUGH_[A-Z_]+): "?(.+?)"?$', text, re.MULTILINE)
    assert len(variables) == 3
    settings = read_settings({}, dict(variables))
    assert (settings.outbox, settings.endpoint) == (Path("/outbox/outbox.db"), "tcp://signal-cli:7583")
    (grace,) = re.findall(r"stop_grace_period: (\d+)s", text)
    assert int(grace) > settings.close_timeout
