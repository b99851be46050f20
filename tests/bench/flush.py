"""How long a flush through the real signal-cli takes, against a loop written by hand.

The loop writes a request, awaits its answer and writes the next: no outbox, and no riding through. Over TCP it has the
daemon's packets acknowledged at once (TCP_QUICKACK), as ours does: without that, each answer waits 40 ms for its end.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from ridethrough import Outcome
from ridethrough.signal_cli import SignalClient
from tests.daemon.rig import NUMBER, SignalRig, recipient

from .pairs import Figure, Sample, ratio_here
from .report import Line

MESSAGES = 5
ROUNDS = 81
WARM_UP = 40
"""In flushes: until then the daemon's code is being compiled."""

Sender = AbstractAsyncContextManager[Sample]
"""Connects; then gives what sends the messages, and returns once all are confirmed."""


@asynccontextmanager
async def ours(endpoint: str) -> AsyncIterator[Sample]:
    async with SignalClient(endpoint, account=NUMBER) as client:

        async def flush() -> None:
            deliveries = [await client.send("hello", to=recipient(0)) for _ in range(MESSAGES)]
            await client.buffer.flush()
            assert all(delivery.outcome is Outcome.SENT for delivery in deliveries)

        yield flush


@asynccontextmanager
async def by_hand(endpoint: str, quick_ack: bool = True) -> AsyncIterator[Sample]:
    scheme, _, address = endpoint.partition(":")
    if scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        host, _, port = address.removeprefix("//").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))

    async def loop() -> None:
        for number in range(MESSAGES):
            params = {"account": NUMBER, "recipient": [recipient(0)], "message": "hello"}
            request = {"jsonrpc": "2.0", "id": number, "method": "send", "params": params}
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            answer = b""
            while not answer.endswith(b"\n"):
                answer += await reader.read(65536)
                if quick_ack and scheme == "tcp" and sys.platform == "linux":  # which forgets it with each read
                    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            assert "result" in json.loads(answer)

    yield loop
    writer.close()
    await writer.wait_closed()


async def compare(sender: Sender, other: Sender, rounds: int = ROUNDS) -> Figure:
    async with sender as send, other as send_otherwise:
        return await ratio_here(send, send_otherwise, rounds, time.perf_counter)


async def warm_up(sender: Sender) -> None:
    async with sender as send:
        for _ in range(WARM_UP):
            await send()


def measure() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder, SignalRig(Path(folder)) as rig:
        rig.meet(recipient(0))
        tcp, unix, http = rig.tcp, rig.unix, rig.http
        asyncio.run(warm_up(by_hand(unix)))
        yield Line("SignalClient / by hand, over TCP", asyncio.run(compare(ours(tcp), by_hand(tcp))))
        yield Line("SignalClient / by hand, over a UNIX socket", asyncio.run(compare(ours(unix), by_hand(unix))))
        yield Line("SignalClient over TCP / over a UNIX socket", asyncio.run(compare(ours(tcp), ours(unix))), 1.2)
        yield Line("SignalClient over HTTP / over a UNIX socket", asyncio.run(compare(ours(http), ours(unix))), 1.5)
        slow = by_hand(tcp, quick_ack=False)
        yield Line("SignalClient / by hand without TCP_QUICKACK, over TCP", asyncio.run(compare(ours(tcp), slow, 15)))
