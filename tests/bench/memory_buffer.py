"""What the buffer in memory costs, in time and in space."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from functools import partial

from anyio import create_memory_object_stream

from ridethrough import AsyncMessageBuffer

from .pairs import Case, Figure, figure_of, ratio

MESSAGES = tuple(f"message {number}" for number in range(100))
BATCHES = 100
HAND_OVERS = 1_000
DROPS = 10_000
MANY = 100_000
BURSTS = 3


# ---------------------------------------------------------------- samples: ours


async def put_and_drain() -> None:
    buffer = AsyncMessageBuffer[str](len(MESSAGES))
    for _ in range(BATCHES):
        for message in MESSAGES:
            await buffer.put(message)
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


async def drop(buffer: AsyncMessageBuffer[str]) -> None:
    for _ in range(DROPS):
        await buffer.put("message")


# ---------------------------------------------------------------- samples: theirs


async def put_and_get() -> None:
    queue = asyncio.Queue[str](len(MESSAGES))
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


async def hand_over_by_queue() -> None:
    there, back = asyncio.Queue[str](1), asyncio.Queue[str](1)

    async def answer() -> None:
        for _ in range(HAND_OVERS):
            await back.put(await there.get())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for _ in range(HAND_OVERS):
            await there.put("message")
            await back.get()


# ---------------------------------------------------------------- figures


def full(size: int) -> AsyncMessageBuffer[str]:
    buffer = AsyncMessageBuffer[str](size)
    for _ in range(size):
        buffer.put_nowait("message")
    return buffer


def drop_at_depth() -> Figure:
    """A drop from a long queue against one from a short queue."""
    return ratio(partial(drop, full(MANY)), partial(drop, full(len(MESSAGES))))


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


def bytes_per_message() -> Figure:
    bursts = [asyncio.run(burst()) for _ in range(BURSTS)]
    return figure_of([taken / MANY for taken, _ in bursts])


def share_left() -> Figure:
    bursts = [asyncio.run(burst()) for _ in range(BURSTS)]
    return figure_of([left / taken for taken, left in bursts])


CASES = (
    Case("put and drain / put and get of asyncio.Queue", partial(ratio, put_and_drain, put_and_get), 1.4),
    Case(
        "put, lease(100), begin and ack / put and get of asyncio.Queue", partial(ratio, put_and_lease, put_and_get), 2.5
    ),
    Case(
        "hand-over to a task, drained / by asyncio.Queue", partial(ratio, hand_over_by_drain, hand_over_by_queue), 1.3
    ),
    Case("hand-over to a task, leased / by asyncio.Queue", partial(ratio, hand_over_by_lease, hand_over_by_queue), 1.3),
    Case(
        "put and drain / send and receive of anyio's memory stream",
        partial(ratio, put_and_drain, send_and_receive),
        0.12,
    ),
    Case("drop with 100,000 queued / drop with 100 queued", drop_at_depth, 1.3),
    Case("memory for each of 100,000 messages, beside the message", bytes_per_message, 300, "bytes"),
    Case("memory left after a burst of 100,000 / at its height", share_left, 0.01),
)
