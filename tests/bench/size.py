"""What one operation costs when many messages are queued, against ten.

The first and the last operation fill the buffer and empty it again; the other two keep it as full as it is. Messages
are cancelled in a shuffled order, and all of them, so that clearing away what has ended is part of the cost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ridethrough import AsyncMessageBuffer

from .pairs import Figure, Sample, ratio
from .report import Line, Picture
from .svg import Panel, page

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
ROUNDS = {100: 15, 1_000: 15, 10_000: 15, 100_000: 5, 1_000_000: 3}
"""At the largest, one sample takes some 3 s."""
OPERATIONS = 20_000
"""In one sample, or once for each message that is queued."""
BOUND = 1.3

Operation = Callable[[int], tuple[Sample, int]]
"""Makes the sample with so many messages queued; and tells how many operations it is."""


async def fill(buffer: AsyncMessageBuffer[str], size: int) -> None:
    """So that many are queued; with that, the first sample is no measure of anything."""
    for _ in range(size - len(buffer)):
        await buffer.put("message")


def put_and_drain(size: int) -> tuple[Sample, int]:
    times = max(1, OPERATIONS // size)

    async def sample() -> None:
        buffer = AsyncMessageBuffer[str](size)
        for _ in range(times):
            for _ in range(size):
                await buffer.put("message")
            await buffer.drain()

    return sample, times * size


def put_and_lease_one(size: int) -> tuple[Sample, int]:
    buffer = AsyncMessageBuffer[str](size + 1)

    async def sample() -> None:
        await fill(buffer, size)
        for _ in range(OPERATIONS):
            await buffer.put("message")
            async with buffer.lease() as lease:
                for entry in lease:
                    entry.begin()
                    entry.ack()

    return sample, OPERATIONS


def put_and_drop(size: int) -> tuple[Sample, int]:
    buffer = AsyncMessageBuffer[str](size)

    async def sample() -> None:
        await fill(buffer, size)
        for _ in range(OPERATIONS):
            await buffer.put("message")

    return sample, OPERATIONS


def put_and_cancel(size: int) -> tuple[Sample, int]:
    times = max(1, OPERATIONS // size)
    order = list(range(size))
    random.Random(0).shuffle(order)

    async def sample() -> None:
        buffer = AsyncMessageBuffer[str](size)
        for _ in range(times):
            deliveries = [await buffer.put("message") for _ in order]
            for number in order:
                deliveries[number].cancel()

    return sample, times * size


OPERATIONS_BY_NAME: dict[str, Operation] = {
    "put and drain": put_and_drain,
    "put, lease(1) and ack": put_and_lease_one,
    "put that drops the oldest": put_and_drop,
    "put and cancel": put_and_cancel,
}


def cost(operation: Operation, size: int) -> Figure:
    """Of one operation at that size, as a multiple of the same at the smallest."""
    ours, our_count = operation(size)
    theirs, their_count = operation(SIZES[0])
    figure = ratio(ours, theirs, ROUNDS[size])
    return Figure(*(value * their_count / our_count for value in figure))


def measure() -> Iterator[Line | Picture]:
    costs: dict[str, dict[int, Figure]] = {name: {SIZES[0]: Figure(1, 1, 1)} for name in OPERATIONS_BY_NAME}
    for name, operation in OPERATIONS_BY_NAME.items():
        for size in SIZES[1:]:
            costs[name][size] = figure = cost(operation, size)
            yield Line(f"{name}: with {size:,} queued / with {SIZES[0]}", figure, BOUND)
    yield plot(costs)


def plot(costs: dict[str, dict[int, Figure]]) -> Picture:
    """A panel for each operation, side by side."""
    caption = f"Cost of an operation with so many messages queued, as a multiple of its cost with {SIZES[0]}"
    labels = ("10", "100", "1k", "10k", "100k", "1M")
    top = max(1.5, *(figure.high for curve in costs.values() for figure in curve.values()))
    panels = []
    for number, (name, curve) in enumerate(costs.items()):
        panel = Panel(40 + 210 * number, 66, 160, 130, x_range=(SIZES[0], SIZES[-1]), y_range=(0, top), log_x=True)
        panel.frame(name, dict(zip(SIZES, labels, strict=True)), {0: "0", 0.5: "0.5", 1: "1", 1.5: "1.5"})
        panel.line([(size, *figure) for size, figure in curve.items()])
        panels.append(panel)
    return Picture("size", caption, page(850, 230, caption, panels))
