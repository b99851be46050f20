"""Messages for Signal in a shared buffer: SignalOutbox puts on one host, and SignalClient sends on another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ridethrough.jetstream import JetStreamMessageBuffer
from ridethrough.signal_cli import (
    SendResult,
    SignalClient,
    SignalMessage,
    SignalOutbox,
    decode_message,
    decode_result,
    encode_message,
    encode_result,
    target_of,
)
from ridethrough.testing import FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT

from .harness import Outbox

pytestmark = pytest.mark.anyio


def _host(outbox: Outbox, **options: Any) -> JetStreamMessageBuffer[SignalMessage]:
    return JetStreamMessageBuffer(
        outbox.servers, outbox.name, encode=encode_message, decode=decode_message, key=target_of, **options
    )


RESULTS = {"encode_result": encode_result, "decode_result": decode_result}


async def test_one_host_puts_and_another_sends(outbox: Outbox) -> None:
    async with (
        asyncio.timeout(30),
        FakeSignalDaemon() as daemon,
        _host(outbox, **RESULTS) as here,
        _host(outbox, **RESULTS) as there,
    ):
        putting = SignalOutbox(here)
        first = await putting.send("first", to=ANNA)
        several = await putting.send("several", to=[ANNA, BERT])
        async with SignalClient(daemon.endpoint, buffer=there, close_timeout=0) as client:
            told = [await first, *await several]
            assert told == [SendResult(each.timestamp, told[0].results) for each in daemon.sends[:2]] + [told[2]]
            await putting.edit(first, "edited")
            own = await client.send("last", to=ANNA)
            assert (await own).timestamp == daemon.sends[-1].timestamp
            await client.buffer.flush()
            assert await client.aclose() == []
        assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
            (ANNA, "first"), (ANNA, "several"), (BERT, "several"), (ANNA, "edited"), (ANNA, "last"),
        ]  # fmt: skip
        assert daemon.sends[3].params["editTimestamp"] == told[0].timestamp


async def test_who_does_not_hear_the_result_cannot_refer_to_the_message(outbox: Outbox) -> None:
    async with asyncio.timeout(30), FakeSignalDaemon() as daemon, _host(outbox) as here, _host(outbox) as there:
        first = await SignalOutbox(here).send("first", to=ANNA)
        async with SignalClient(daemon.endpoint, buffer=there, close_timeout=0) as client:
            assert await first is None
            with pytest.raises(LookupError, match=r"^another host has sent the message"):
                await client.wait_receipt(first)
            with pytest.raises(ValueError, match="message is about one that has no timestamp on Signal: it was sent"):
                await SignalOutbox(here).edit(first, "edited")
