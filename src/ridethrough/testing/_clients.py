"""One client's connection, as the daemon to test against sees it: over lines."""

from __future__ import annotations

import json
from typing import Any

from anyio import BrokenResourceError, ClosedResourceError, IncompleteRead, Lock, aclose_forcefully
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_PIECE = 65536
_MAX_LINE = 2**30


def encoded(message: Any) -> bytes:
    """A message as signal-cli writes it."""
    return json.dumps(message, ensure_ascii=False).encode(errors="replace")


class Client:
    """One client, whatever it speaks; this one speaks lines."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._reader = BufferedByteReceiveStream(stream)
        self._writing = Lock()

    async def next_line(self) -> bytes | None:
        """The next line that the client sends; None when the connection has ended, by the client or by us."""
        try:
            return await self._reader.receive_until(b"\n", _MAX_LINE)
        except IncompleteRead:  # the last one needs no newline
            rest = len(self._reader.buffer)
            return await self._reader.receive(rest) if rest else None
        except (BrokenResourceError, ClosedResourceError):
            return None

    async def tell(self, params: dict[str, Any]) -> None:
        """Tell the client of an incoming message."""
        await self.answer(encoded({"jsonrpc": "2.0", "method": "receive", "params": params}))

    async def answer(self, data: bytes) -> None:
        """Answer a request, in two pieces as signal-cli does."""
        await self._write(*self._framed(data))

    async def answer_half(self, data: bytes) -> None:
        """Begin to answer, and end the connection in the middle."""
        answer = b"".join(self._framed(data))
        await self._write(answer[: len(answer) - max(1, len(data) // 2)])
        await self.cut()

    async def flood(self) -> None:
        """Answer without an end."""
        going = await self._write(self._begun())
        while going:
            going = await self._write(b"x" * _PIECE)

    async def cut(self) -> None:
        """End the connection."""
        await aclose_forcefully(self._stream)

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        """The pieces in which an answer is sent."""
        return data, b"\n"

    def _begun(self) -> bytes:
        """What comes before an answer of unknown length."""
        return b""

    async def _write(self, *pieces: bytes) -> bool:
        """Send these; False if the client has gone."""
        whole = False
        async with self._writing:
            try:
                for piece in pieces:
                    await self._stream.send(piece)
                whole = True
            except (BrokenResourceError, ClosedResourceError):
                pass
            finally:
                if not whole:  # nobody would know where the next line begins
                    await self.cut()
        return whole
