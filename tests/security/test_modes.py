"""What the package makes on disk is for its owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ridethrough.testing import FakeSignalDaemon, Relay

pytestmark = pytest.mark.anyio

WATCHED = """
import os, socket, sys

def note(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
            print("wrote", path, file=sys.stderr)
    elif event in ("os.mkdir", "os.mkfifo", "os.symlink", "os.rename", "tempfile.mkstemp"):
        print(event, arguments, file=sys.stderr)
    elif event == "os.chmod":
        with socket.socket(socket.AF_UNIX) as stranger:
            print("mode before:", oct(os.stat(arguments[0]).st_mode & 0o777), file=sys.stderr)
            print("a stranger:", stranger.connect_ex(arguments[0]) and "is refused", file=sys.stderr)

os.umask(0)
sys.dont_write_bytecode = True
"""
"""The beginning of a program that tells of every file that it makes, and of who gets in before a mode is set."""


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """What is in it, and who may do what with it."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("_no_umask")
async def test_sockets_are_for_their_owner_alone(tmp_path: Path) -> None:
    daemon = FakeSignalDaemon(f"unix:{tmp_path / 'daemon'}")
    relay = Relay(daemon.endpoint, f"unix:{tmp_path / 'relay'}")
    async with daemon, relay:
        assert modes(tmp_path) == {"daemon": 0o600, "relay": 0o600}
        await daemon.stop()
        await relay.refuse()
        await daemon.start()
        await relay.accept()
        assert modes(tmp_path) == {"daemon": 0o600, "relay": 0o600}
    assert modes(tmp_path) == {}


def told(program: str, folder: Path) -> list[str]:
    """What a program tells that begins as above and runs in that folder."""
    environment = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}
    command = [sys.executable, "-c", WATCHED + program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment, cwd=folder)
    return done.stderr.splitlines()


def test_nobody_gets_in_before_the_mode_is_set(tmp_path: Path) -> None:
    program = """
import anyio
from ridethrough.testing import FakeSignalDaemon

async def listen():
    async with FakeSignalDaemon("unix:" + os.path.abspath("socket")):
        pass

sys.addaudithook(note)
anyio.run(listen)
"""
    assert told(program, tmp_path) == ["mode before: 0o777", "a stranger: is refused"]


def test_client_makes_no_file(tmp_path: Path) -> None:
    program = """
import anyio
from ridethrough.signal_cli import SignalClient
from ridethrough.testing import FakeSignalDaemon

async def send():
    async with FakeSignalDaemon() as daemon, SignalClient(daemon.endpoint) as client:
        await (await client.send("hello", note_to_self=True))

sys.addaudithook(note)
for backend in ("asyncio", "trio"):
    anyio.run(send, backend=backend)
"""
    assert told(program, tmp_path) == []
    assert modes(tmp_path) == {}
