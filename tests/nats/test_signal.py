"""Messages for Signal in a shared buffer: SignalOutbox puts on one host, and SignalClient sends on another."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough.jetstream import JetStreamMessageBuffer
from ridethrough.signal_cli import (
    SignalClient,
    SignalMessage,
    SignalOutbox,
    decode_message,
    encode_message,
    target_of,
)
from ridethrough.testing import FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT

from .harness import Outbox

pytestmark = pytest.mark.anyio


def _host(outbox: Outbox) -> JetStreamMessageBuffer[SignalMessage]:
    return JetStreamMessageBuffer(
        outbox.servers, outbox.name, encode=encode_message, decode=decode_message, key=target_of, lease_time=2
    )


async def test_one_host_puts_and_another_sends(outbox: Outbox) -> None:
    async with asyncio.timeout(30), FakeSignalDaemon() as daemon, _host(outbox) as here, _host(outbox) as there:
        putting = SignalOutbox(here)
        first = await putting.send("first", to=ANNA)
        several = await putting.send("several", to=[ANNA, BERT])
        async with SignalClient(daemon.endpoint, buffer=there, close_timeout=0) as client:
            told: list[object] = [await first, *await several]
            assert told == [None, None, None]  # who has sent them knows more
            own = await client.send("last", to=ANNA)
            assert (await own).timestamp == daemon.sends[-1].timestamp
            await client.edit(own, "edited")
            with pytest.raises(LookupError, match=r"^another host has sent the message"):
                await client.wait_receipt(first)
            await client.buffer.flush()
            assert await client.aclose() == []
        assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
            (ANNA, "first"), (ANNA, "several"), (BERT, "several"), (ANNA, "last"), (ANNA, "edited"),
        ]  # fmt: skip
