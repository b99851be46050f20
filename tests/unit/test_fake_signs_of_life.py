"""The daemon to test against, over HTTP: its signs of life, with a clock that jumps and no sockets."""

from __future__ import annotations

from typing import cast

import pytest
from anyio import EndOfStream, current_time, sleep
from anyio.abc import SocketStream

from ridethrough.testing._http import HttpClient

pytestmark = pytest.mark.anyio


class Wire:
    """The daemon's end of a connection whose client says nothing, and goes after that many seconds."""

    def __init__(self, seconds: float) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self._goes_at = current_time() + seconds

    async def send(self, data: bytes) -> None:
        self.sent.append((current_time(), data))

    async def receive(self, _: int = 0) -> bytes:
        await sleep(self._goes_at - current_time())
        raise EndOfStream


async def test_signs_of_life_come_every_15_seconds_until_the_client_goes() -> None:
    began = current_time()
    wire = Wire(50)
    await HttpClient(cast(SocketStream, wire)).wait_gone()
    assert current_time() - began == pytest.approx(50, abs=1)
    assert [data for _, data in wire.sent] == [b"2\r\n:\n\r\n"] * 3
    assert [at - began for at, _ in wire.sent] == pytest.approx([15, 30, 45], abs=1)
