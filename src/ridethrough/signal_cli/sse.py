"""Server-sent events without I/O: bytes in, events out.

A parser of our own, small as it is: that of httpx2 leaves its generators open when an event is too large for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..jsonrpc import RemoteProtocolError


class EventStream:
    """One response's events.

    Args:
        max_event: the largest event that is taken, in bytes.
    """

    def __init__(self, max_event: int) -> None:
        self._max_event = max_event
        self._buffer = bytearray()
        self._searched = 0  # so far there is no newline in the buffer
        self._kind = ""
        self._data = bytearray()  # a newline behind each line of it

    def receive_data(self, piece: bytes) -> Iterator[tuple[str, bytes]]:
        """Take a piece of the stream, cut anywhere; gives the kind and the data of each event that is complete.

        Raises:
            RemoteProtocolError: an event is too large.
        """
        self._buffer += piece
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._searched = 0
            if line:
                self._read_field(line)
            else:
                kind, data = self._kind, bytes(self._data[:-1])
                is_event = bool(self._data)
                self._kind, self._data = "", bytearray()
                if is_event:
                    yield kind or "message", data
        self._searched = len(self._buffer)
        self._check_size(self._searched)

    def _read_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._kind = value.decode(errors="replace")
        elif name == b"data":
            self._data += value + b"\n"
            self._check_size(0)

    def _check_size(self, pending: int) -> None:
        if len(self._data) + pending > self._max_event:
            self._buffer, self._data = bytearray(), bytearray()  # a flood's memory goes back at once
            raise RemoteProtocolError(f"an event is larger than {self._max_event} bytes")
