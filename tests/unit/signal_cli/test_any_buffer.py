"""SignalClient and SignalOutbox ask no more of a buffer than MessageBuffer has."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from types import EllipsisType
from typing import Any

import pytest
from anyio import fail_after

from ridethrough import AsyncMessageBuffer, BufferStatistics, Delivery, Outcome, Overflow
from ridethrough.abc import Lease, MessageBuffer
from ridethrough.signal_cli import SendResult, SignalClient, SignalMessage, SignalOutbox, target_of
from ridethrough.testing import FakeSignalDaemon
from tests.unit.signal_cli.clients import ANNA, NOWHERE, QUICK, texts
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio


class Plain(MessageBuffer[SignalMessage]):
    """A buffer that has nothing but what every one has."""

    def __init__(self) -> None:
        self._buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(key=target_of)

    async def put(
        self,
        message: SignalMessage,
        *,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> Delivery[SignalMessage]:
        return await self._buffer.put(message, ttl=ttl, overflow=overflow)

    async def put_many(
        self,
        messages: Iterable[SignalMessage],
        *,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[Delivery[SignalMessage]]:
        return [await self.put(message, ttl=ttl, overflow=overflow) for message in messages]

    async def drain(self) -> list[SignalMessage]:
        return await self._buffer.drain()

    async def wait_nonempty(self) -> None:
        await self._buffer.wait_nonempty()

    def lease(self, limit: int = 1) -> Lease[SignalMessage]:
        return self._buffer.lease(limit)

    def resume(self, *keys: Hashable) -> None:
        self._buffer.resume(*keys)

    async def flush(self, timeout: float | None = None) -> None:
        await self._buffer.flush(timeout)

    def statistics(self) -> BufferStatistics:
        return self._buffer.statistics()

    async def enforce_ttl(self) -> None:
        await self._buffer.enforce_ttl()

    async def aclose(self, timeout: float | None = 0) -> list[SignalMessage]:
        return await self._buffer.aclose(timeout)


async def test_client_sends_from_any_buffer() -> None:
    with fail_after(PATIENCE):
        async with FakeSignalDaemon() as daemon:
            buffer = Plain()
            async with SignalClient(daemon.endpoint, buffer=buffer, **QUICK) as client:
                assert client.buffer is buffer
                client.retry_now()
                first = await client.send("first", to=ANNA)
                assert (await first).timestamp == daemon.sends[0].timestamp
                await client.edit(first, "edited")
                await client.send("last", to=[ANNA])
                await client.buffer.flush()
            assert texts(daemon) == ["first", "edited", "last"]


async def test_client_that_ends_tells_what_is_left_in_any_buffer() -> None:
    client = SignalClient(NOWHERE, buffer=Plain())
    delivery = await client.send("hello", to=ANNA)
    assert repr(client) == f"<SignalClient {NOWHERE}, idle, 1 messages>"
    assert await client.aclose() == [delivery.message]
    assert delivery.outcome is Outcome.ABANDONED


async def test_outbox_puts_into_any_buffer() -> None:
    outbox = SignalOutbox(Plain())
    delivery = await outbox.send("hello", to=ANNA)
    assert await outbox.buffer.drain() == [delivery.message]


@pytest.mark.parametrize("buffer", [None, [], SendResult])
def test_what_is_no_buffer(buffer: Any) -> None:
    with pytest.raises(TypeError, match=r"^buffer must be a MessageBuffer, not "):
        SignalOutbox(buffer)


async def test_no_receipt_of_what_another_host_has_sent() -> None:
    client = SignalClient(NOWHERE)
    delivery = await client.send("hello", to=ANNA)
    async with client.buffer.lease() as lease:
        for entry in lease:
            entry.begin()
            entry.ack(None)  # as a buffer of many hosts tells it
    with pytest.raises(LookupError, match=r"^another host has sent the message"):
        await client.wait_receipt(delivery)
    await client.aclose()
