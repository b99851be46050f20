"""What the buffer in memory costs, in time and in space."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Protocol

from anyio import create_memory_object_stream

from ridethrough import AsyncMessageBuffer

from .pairs import figure_of, ratio
from .report import Line

MESSAGES = tuple(f"message {number}" for number in range(100))
BATCHES = 100
HAND_OVERS = 1_000
MANY = 100_000
BURSTS = 3


# ---------------------------------------------------------------- samples: ours


async def put_and_drain() -> None:
    buffer = AsyncMessageBuffer[str](len(MESSAGES))
    for _ in range(BATCHES):
        for message in MESSAGES:
            await buffer.put(message)
        await buffer.drain()


async def put_many_and_drain() -> None:
    buffer = AsyncMessageBuffer[str](len(MESSAGES))
    for _ in range(BATCHES):
        await buffer.put_many(MESSAGES)
        await buffer.drain()


async def put_and_lease() -> None:
    buffer = AsyncMessageBuffer[str](len(MESSAGES))
    for _ in range(BATCHES):
        for message in MESSAGES:
            await buffer.put(message)
        async with buffer.lease(len(MESSAGES)) as lease:
            for entry in lease:
                entry.begin()
                entry.ack()


async def hand_over_by_drain() -> None:
    """There and back: each put finds the other task waiting, and nothing else happens."""
    there, back = AsyncMessageBuffer[str](1), AsyncMessageBuffer[str](1)

    async def answer() -> None:
        for _ in range(HAND_OVERS):
            await there.wait_nonempty()
            for message in await there.drain():
                await back.put(message)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for _ in range(HAND_OVERS):
            await there.put("message")
            await back.wait_nonempty()
            await back.drain()


async def stream_by_drain() -> None:
    """One way: a task that puts and gives way, and one that takes what is there."""
    buffer = AsyncMessageBuffer[str](1)

    async def take() -> None:
        taken = 0
        while taken < HAND_OVERS:
            await buffer.wait_nonempty()
            taken += len(await buffer.drain())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take())
        for _ in range(HAND_OVERS):
            await buffer.put("message")
            await asyncio.sleep(0)


async def hand_over_by_lease() -> None:
    there, back = AsyncMessageBuffer[str](1), AsyncMessageBuffer[str](1)

    async def answer() -> None:
        for _ in range(HAND_OVERS):
            async with there.lease() as lease:
                for entry in lease:
                    entry.begin()
                    entry.ack()
            await back.put("message")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for _ in range(HAND_OVERS):
            await there.put("message")
            async with back.lease() as lease:
                for entry in lease:
                    entry.begin()
                    entry.ack()


# ---------------------------------------------------------------- samples: theirs


class Queue(Protocol):
    """A queue as asyncio has it."""

    async def put(self, message: str, /) -> None: ...
    async def get(self) -> str: ...


async def put_and_get(queue_of: Callable[[int], Queue] = asyncio.Queue[str]) -> None:
    queue = queue_of(len(MESSAGES))
    for _ in range(BATCHES):
        for message in MESSAGES:
            await queue.put(message)
        for _ in MESSAGES:
            await queue.get()


async def send_and_receive() -> None:
    send, receive = create_memory_object_stream[str](len(MESSAGES))
    with send, receive:
        for _ in range(BATCHES):
            for message in MESSAGES:
                await send.send(message)
            for _ in MESSAGES:
                await receive.receive()


async def hand_over_by_queue(queue_of: Callable[[int], Queue] = asyncio.Queue[str]) -> None:
    there, back = queue_of(1), queue_of(1)

    async def answer() -> None:
        for _ in range(HAND_OVERS):
            await back.put(await there.get())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for _ in range(HAND_OVERS):
            await there.put("message")
            await back.get()


async def stream_by_queue() -> None:
    queue = asyncio.Queue[str](1)

    async def take() -> None:
        for _ in range(HAND_OVERS):
            await queue.get()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take())
        for _ in range(HAND_OVERS):
            await queue.put("message")
            await asyncio.sleep(0)


# ---------------------------------------------------------------- figures


async def burst() -> tuple[int, int]:
    """What many messages in the buffer take beside themselves, and what of that is left once they are out; in bytes."""
    buffer = AsyncMessageBuffer[str](MANY)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(MANY):
            await buffer.put("message")
        taken, _ = tracemalloc.get_traced_memory()
        await buffer.drain()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return taken, left


def measure() -> Iterator[Line]:
    yield Line("put and drain / put and get of asyncio.Queue", ratio(put_and_drain, put_and_get), 1.4)
    yield Line("put, lease(100), begin and ack / put and get of asyncio.Queue", ratio(put_and_lease, put_and_get), 2.5)
    yield Line("put_many and drain / put and drain", ratio(put_many_and_drain, put_and_drain))
    by_queue = hand_over_by_queue
    yield Line("hand-over to a waiting task, drained / by asyncio.Queue", ratio(stream_by_drain, stream_by_queue), 1.3)
    yield Line("the same, there and back, drained", ratio(hand_over_by_drain, by_queue))
    yield Line("the same, there and back, leased and acked", ratio(hand_over_by_lease, by_queue))
    by_stream = ratio(put_and_drain, send_and_receive)
    yield Line("put and drain / send and receive of anyio's memory stream", by_stream, 0.12)
    bursts = [asyncio.run(burst()) for _ in range(BURSTS)]
    per_message = figure_of([taken / MANY for taken, _ in bursts])
    yield Line("memory for each of 100,000 messages, beside the message", per_message, 300, "bytes")
    share_left = figure_of([left / taken for taken, left in bursts])
    yield Line("memory left after a burst of 100,000 / at its height", share_left, 0.01)
