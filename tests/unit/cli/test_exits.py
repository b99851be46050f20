"""What is told when the one who listens has gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ridethrough.cli.exits import OutputLost, tell


def test_reader_that_has_gone_is_no_reason_to_say_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as output:
        monkeypatch.setattr("sys.stdout", output)
        with pytest.raises(OutputLost, match=r"^$"):
            tell("one\n")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # so that it can be closed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1) as output:
        monkeypatch.setattr("sys.stdout", output)
        with pytest.raises(OutputLost, match="cannot be written: No space left on device"):
            tell("one\n")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
