"""What the shared buffer costs, against nats-py by hand.

Messages have 250 bytes, of one server with ``sync_interval: always``. By hand, a put is a publish with a number, by
which the server knows it again, to the same kind of stream; it is answered, and not tried again. A message is sent by a
fetch of one and ``ack_sync``, with nothing that lengthens its lease. The clock is the wall's: most of the time is the
server's and the disk's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from ridethrough.jetstream import JetStreamMessageBuffer
from tests.nats.servers import one_server

from .pairs import Figure, Sample, ratio_here
from .report import Line

MESSAGE = "m" * 248
"""With its quotation marks, 250 bytes in JSON."""
BODY = b"m" * 250
PUTS = {1: 100, 10: 400, 100: 1_000}
"""How many are put in a sample, by how many are under way at a time."""
SENDS = 100
ROUNDS = 21
LIMIT = 1.25
"""So that ours is at least 0.8 times as fast."""

_names = count(1)

Bench = AbstractAsyncContextManager[Sample]
"""Is connected, with a stream of its own; gives what is timed."""


@asynccontextmanager
async def buffer_of_its_own(server: str) -> AsyncIterator[JetStreamMessageBuffer[str]]:
    async with JetStreamMessageBuffer[str](server, f"ours-{next(_names)}", max_size=1_000_000) as buffer:
        yield buffer


@asynccontextmanager
async def stream_of_its_own(server: str) -> AsyncIterator[tuple[Client, str]]:
    """A stream and a consumer like ours."""
    client, name = Client(), f"theirs-{next(_names)}"
    await client.connect(server)
    stream = StreamConfig(
        name, subjects=[f"{name}.in"], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE,
        discard=DiscardPolicy.NEW, max_msgs=1_000_000, duplicate_window=120,
    )  # fmt: skip
    await client.jetstream().add_stream(stream)
    consumer = ConsumerConfig(durable_name="sender", ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=1)
    await client.jetstream().add_consumer(name, consumer)
    yield client, name
    await client.close()


async def in_windows(put: Sample, at_a_time: int) -> None:
    """Have that many tasks put, each one message after the other."""

    async def produce() -> None:
        for _ in range(PUTS[at_a_time] // at_a_time):
            await put()

    if at_a_time == 1:
        await produce()
        return
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_a_time):
            tasks.create_task(produce())


@asynccontextmanager
async def our_puts(server: str, at_a_time: int) -> AsyncIterator[Sample]:
    async with buffer_of_its_own(server) as buffer:

        async def put() -> None:
            await buffer.put(MESSAGE)

        yield lambda: in_windows(put, at_a_time)


@asynccontextmanager
async def their_puts(server: str, at_a_time: int) -> AsyncIterator[Sample]:
    async with stream_of_its_own(server) as (client, name):
        jetstream, numbers = client.jetstream(publish_async_max_pending=1000), count(1)

        async def put() -> None:
            await jetstream.publish(f"{name}.in", BODY, headers={"Nats-Msg-Id": f"0123456789abcdef-{next(numbers)}"})

        yield lambda: in_windows(put, at_a_time)


@asynccontextmanager
async def our_sends(server: str) -> AsyncIterator[Sample]:
    async with buffer_of_its_own(server) as buffer:
        await asyncio.gather(*(buffer.put(MESSAGE) for _ in range(SENDS * (ROUNDS + 1))))

        async def send() -> None:
            for _ in range(SENDS):
                async with buffer.lease() as lease:
                    for entry in lease:
                        entry.begin()
                        entry.ack()

        yield send


@asynccontextmanager
async def their_sends(server: str) -> AsyncIterator[Sample]:
    async with stream_of_its_own(server) as (client, name):
        jetstream = client.jetstream()
        await asyncio.gather(*(jetstream.publish(f"{name}.in", BODY) for _ in range(SENDS * (ROUNDS + 1))))
        pull = await jetstream.pull_subscribe_bind("sender", stream=name)

        async def send() -> None:
            for _ in range(SENDS):
                (message,) = await pull.fetch(1)
                await message.ack_sync()

        yield send


async def compare(bench: Bench, other: Bench) -> Figure:
    async with bench as sample, other as other_sample:
        return await ratio_here(sample, other_sample, ROUNDS, time.perf_counter)


def measure() -> Iterator[Line]:
    with one_server() as server:
        url = server.url
        for at_a_time in PUTS:
            figure = asyncio.run(compare(our_puts(url, at_a_time), their_puts(url, at_a_time)))
            yield Line(f"put / publish by hand, {at_a_time} under way", figure, LIMIT)
        figure = asyncio.run(compare(our_sends(url), their_sends(url)))
        yield Line("lease and ack / fetch and ack_sync by hand, one by one", figure, LIMIT)
