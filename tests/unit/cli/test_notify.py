"""What a supervisor is told."""

from __future__ import annotations

import socket
from tempfile import TemporaryDirectory

import pytest

from ridethrough.cli.notify import Notifier


def test_notes_to_a_path() -> None:
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{folder}/notify")
        listener.settimeout(10)
        notifier = Notifier({"NOTIFY_SOCKET": f"{folder}/notify"})
        notifier.ready()
        notifier.status("connected\nREADY=1")
        notifier.status("connected\nREADY=1")
        notifier.stopping()
        notes = [listener.recv(100) for _ in range(3)]
    assert notes == [b"READY=1", b"STATUS=connected\\nREADY=1", b"STOPPING=1"]


def test_notes_to_an_abstract_address(notes: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": f"@{notes.getsockname()[1:].decode()}"}).ready()
    assert notes.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/nobody/is/there", "/" + "x" * 500])
def test_nobody_to_tell(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address} if address else {}).ready()


def test_full_socket_holds_up_nothing() -> None:
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{folder}/notify")
        notifier = Notifier({"NOTIFY_SOCKET": f"{folder}/notify"})
        for _ in range(1000):
            notifier.ready()
