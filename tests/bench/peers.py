"""What the buffer costs, against queues made for tasks and threads alike.

A put from a thread comes while no task waits, and what is timed is the work of both threads; ours includes taking
everything out at the end, theirs does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import culsans
import janus
from anyio.to_thread import run_sync

from ridethrough import AsyncMessageBuffer

from .memory_buffer import Queue, hand_over_by_drain, hand_over_by_queue, put_and_drain, put_and_get
from .pairs import Sample, ratio
from .report import Line

PUTS = 10_000
ROUNDS = 15


def janus_queue(size: int) -> Queue:
    return janus.Queue[str](size).async_q


def culsans_queue(size: int) -> Queue:
    return culsans.Queue[str](size).async_q


def put_all(put: Callable[[str], object]) -> None:
    for _ in range(PUTS):
        put("message")


async def put_from_thread() -> None:
    buffer = AsyncMessageBuffer[str](PUTS)
    await run_sync(put_all, buffer.put_from_thread)
    await buffer.drain()


async def put_from_thread_by_janus() -> None:
    await run_sync(put_all, janus.Queue[str](PUTS).sync_q.put)


async def put_from_thread_by_culsans() -> None:
    await run_sync(put_all, culsans.Queue[str](PUTS).sync_q.put)


def measure() -> Iterator[Line]:
    peers: tuple[tuple[str, Callable[[int], Queue], Sample], ...] = (
        ("janus", janus_queue, put_from_thread_by_janus),
        ("culsans", culsans_queue, put_from_thread_by_culsans),
    )
    for name, queue_of, from_thread in peers:
        yield Line(
            f"put and drain / put and get of {name}", ratio(put_and_drain, partial(put_and_get, queue_of), ROUNDS)
        )
        by_peer = partial(hand_over_by_queue, queue_of)
        yield Line(f"hand-over there and back, drained / by {name}", ratio(hand_over_by_drain, by_peer, ROUNDS))
        by_both = ratio(put_from_thread, from_thread, ROUNDS, time.process_time)
        yield Line(f"put from a thread / sync put of {name}", by_both)
