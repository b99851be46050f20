"""The public names as type checkers see them: checked, and never run."""

from __future__ import annotations

from typing import Any, Self, assert_type

from ridethrough import (
    AsyncMessageBuffer,
    Backoff,
    BufferStatistics,
    ConnectionState,
    Delivery,
    Outcome,
    ReconnectSupervisor,
    Transition,
)
from ridethrough.signal_cli import SendResult, SignalClient, TextMessage


class WordLink:
    async def send(self, message: str) -> int:
        return len(message)

    async def wait_closed(self) -> None:
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


async def buffers() -> None:
    async with AsyncMessageBuffer[str](max_size=10, key=len, ttl=60) as buffer:
        assert_type(buffer, AsyncMessageBuffer[str])
        delivery = await buffer.put("hello", ttl=None, overflow="wait")
        assert_type(delivery, Delivery[str, Any])
        assert_type(delivery.message, str)
        assert_type(delivery.outcome, Outcome | None)
        assert_type(await buffer.drain(), list[str])
        assert_type(buffer.statistics(), BufferStatistics)
        assert_type(await buffer.aclose(), list[str])
        async with buffer.lease(10) as lease:
            for entry in lease:
                assert_type(entry.message, str)
                assert_type(entry.ack("result"), bool)
        await buffer.put(5)  # type: ignore[arg-type]
        AsyncMessageBuffer[str](max_size="10")  # type: ignore[arg-type]


async def supervisors(buffer: AsyncMessageBuffer[str], numbers: AsyncMessageBuffer[int]) -> None:
    supervisor = ReconnectSupervisor(WordLink, buffer, backoff=Backoff(maximum=10), on_doubt="report")
    assert_type(supervisor, ReconnectSupervisor[str])
    assert_type(supervisor.state, ConnectionState)
    async for transition in supervisor.states():
        assert_type(transition, Transition)
    ReconnectSupervisor[int](WordLink, numbers)  # type: ignore[arg-type]


async def clients() -> None:
    async with SignalClient("tcp://127.0.0.1:7583", account="+15550100200") as client:
        delivery = await client.send("hello", to="+15550100300")
        assert_type(delivery, Delivery[TextMessage, SendResult])
        assert_type(await delivery, SendResult)
        assert_type((await delivery).timestamp, int)
        await client.send("hello", recipient="+15550100300")  # type: ignore[call-arg]
