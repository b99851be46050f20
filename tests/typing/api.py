"""The public names as type checkers see them: checked, and never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, assert_type

from ridethrough import (
    AsyncMessageBuffer,
    Backoff,
    BufferStatistics,
    ConnectionState,
    DeadLetter,
    Delivery,
    Outcome,
    ReconnectSupervisor,
    Transition,
)
from ridethrough.jetstream import JetStreamMessageBuffer, WaitingMessage
from ridethrough.signal_cli import (
    Confirmation,
    Data,
    DeliveryGroup,
    Envelope,
    ExpirationTimer,
    Hold,
    MessageId,
    Reacted,
    Reaction,
    Receipt,
    RemoteDelete,
    SendResult,
    ServiceChange,
    ServiceState,
    SignalClient,
    SignalMessage,
    SignalOutbox,
    TextMessage,
    decode_message,
    decode_result,
    encode_message,
    encode_result,
    target_of,
)
from ridethrough.sqlite import SQLiteJournal, connect, put, serve


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


async def durable() -> None:
    journal = SQLiteJournal[str]("outbox.db", durability="process-safe")
    async with AsyncMessageBuffer(journal=journal) as buffer:
        assert_type(buffer, AsyncMessageBuffer[str])
        assert_type(buffer.waiting(), list[Delivery[str, Any]])
        assert_type(await buffer.dead_letters(), list[DeadLetter])
        assert_type(await buffer.put_again(1, 2), list[Delivery[str, Any]])
        assert_type(await buffer.forget(1), int)
        async with connect("outbox.db", timeout=5) as client:
            assert_type(await client.put("hello", ttl=60), list[int])
        assert_type(await put("outbox.db", "hello"), int)
        await serve(buffer)
    signal = SQLiteJournal("outbox.db", encode=encode_message, decode=decode_message)
    assert_type(signal, SQLiteJournal[SignalMessage])
    AsyncMessageBuffer[int](journal=journal)  # type: ignore[arg-type]


async def shared() -> None:
    async with JetStreamMessageBuffer[str]("nats://127.0.0.1:4222", key=len, replicas=3) as buffer:
        delivery = await buffer.put("hello", ttl=60)
        assert_type(delivery, Delivery[str, Any])
        assert_type(await buffer.cancel(delivery), bool)
        assert_type(await buffer.count(), int)
        assert_type(ReconnectSupervisor(WordLink, buffer), ReconnectSupervisor[str])


async def supervisors(buffer: AsyncMessageBuffer[str], numbers: AsyncMessageBuffer[int]) -> None:
    supervisor = ReconnectSupervisor(WordLink, buffer, backoff=Backoff(maximum=10), on_doubt="report")
    assert_type(supervisor, ReconnectSupervisor[str])
    assert_type(supervisor.state, ConnectionState)
    async for transition in supervisor.states():
        assert_type(transition, Transition)
    ReconnectSupervisor[int](WordLink, numbers)  # type: ignore[arg-type]


async def clients() -> None:
    async with SignalClient("tcp://127.0.0.1:7583", account="+15550100200") as client:
        delivery = await client.send("hello", to="+15550100300", attachments=["a.png", Path("b.png")], ttl=60)
        assert_type(delivery, Delivery[TextMessage, SendResult])
        assert_type(await delivery, SendResult)
        assert_type((await delivery).timestamp, int)
        await client.send("hello", recipient="+15550100300")  # type: ignore[call-overload]
        several = await client.send("hello", to=["+15550100300", "+15550100301"], overflow="reject")
        assert_type(several, DeliveryGroup)
        assert_type(several[0], Delivery[TextMessage, SendResult])
        assert_type(await several, tuple[SendResult, ...])
        assert_type(await client.wait_receipt(delivery, "read", timeout=60), Confirmation)
        assert_type(client.holds(), tuple[Hold, ...])
        assert_type(client.service.state, ServiceState)
        async for change in client.service.changes():
            assert_type(change, ServiceChange)
        assert_type(await client.typing(to="+15550100300"), bool)
        assert_type(await client.aclose(), list[SignalMessage])


async def buffers_of_clients(own: AsyncMessageBuffer[SignalMessage], client: SignalClient) -> None:
    assert_type(client.buffer, AsyncMessageBuffer[SignalMessage])
    assert_type(SignalClient("tcp://127.0.0.1:7583").buffer, AsyncMessageBuffer[SignalMessage])
    assert_type(SignalClient("tcp://127.0.0.1:7583", buffer=own), SignalClient)
    assert_type(SignalClient("tcp://127.0.0.1:7583", buffer=AsyncMessageBuffer(1)), SignalClient)
    assert_type(SignalOutbox(AsyncMessageBuffer(1)), SignalOutbox)
    shared = JetStreamMessageBuffer(
        "nats://127.0.0.1:4222",
        encode=encode_message,
        decode=decode_message,
        encode_result=encode_result,
        decode_result=decode_result,
        key=target_of,
    )
    assert_type(shared, JetStreamMessageBuffer[SignalMessage])
    assert_type(await shared.waiting(), list[WaitingMessage])
    assert_type(await shared.put_again(1), list[Delivery[SignalMessage, Any]])
    assert_type(await shared.cancel(1), bool)
    assert_type(SignalOutbox(shared).buffer, JetStreamMessageBuffer[SignalMessage])
    async with SignalClient("tcp://127.0.0.1:7583", buffer=shared) as sender:
        assert_type(sender.buffer, JetStreamMessageBuffer[SignalMessage])
    SignalClient("tcp://127.0.0.1:7583", buffer=AsyncMessageBuffer[str](1))  # type: ignore[arg-type]


async def conversations(outbox: SignalOutbox, client: SignalClient) -> None:
    first = await outbox.send("hello", group="AAAAAAAAAAAAAAAAAAAAAA==")
    assert_type(await outbox.edit(first, "hello!"), Delivery[TextMessage, SendResult])
    assert_type(await outbox.react(first, "👍"), Delivery[Reaction, SendResult])
    assert_type(await outbox.delete(first), Delivery[RemoteDelete, SendResult])
    assert_type(await outbox.set_expiration(60, to="+15550100300"), Delivery[ExpirationTimer, None])
    async for envelope in client.messages():
        assert_type(envelope, Envelope)
        assert_type(envelope.message_id, MessageId)
        match envelope.content:
            case Data(text=text):
                assert_type(text, str)
                await outbox.send("yes", to=envelope.source.uuid, quote=envelope)
            case Reacted(emoji=emoji):
                assert_type(emoji, str)
        assert_type(await outbox.mark_read(envelope), Delivery[Receipt, SendResult])
        await outbox.mark_read(first)  # type: ignore[arg-type]
