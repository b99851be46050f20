"""Tells systemd, or whoever started this like it, how far it is: the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

from .tables import escape


class Notifier:
    """Sends notes to the socket that ``NOTIFY_SOCKET`` names: a path, or with ``@`` before it an abstract address.

    Without one, or if nobody reads there, nothing happens: what a supervisor does not hear must stop nothing.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""

    def ready(self) -> None:
        """Messages are taken from now on."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """What a person gets to see, in a line; the same as before is not told again."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={escape(text)}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, note: str) -> None:
        if self._address[:1] not in ("\0", "/"):
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(self._address)
            sender.send(note.encode())
