"""Paired runs: ours and theirs in turns in one process, so that what the machine does meanwhile meets both alike."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

ROUNDS = 31

Sample = Callable[[], Awaitable[None]]
"""Does the work that is timed. It must not sleep where the clock is the thread's time on the processor."""


class Figure(NamedTuple):
    """What was measured: the median, and the quartiles around it."""

    median: float
    low: float
    high: float


def figure_of(values: Sequence[float]) -> Figure:
    """The figure that these values, at least two, come to."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, low, high)


def ratio(ours: Sample, theirs: Sample, rounds: int = ROUNDS, clock: Callable[[], float] = time.thread_time) -> Figure:
    """How many times as long ours takes as theirs, on asyncio: see :func:`ratio_here`."""
    return asyncio.run(ratio_here(ours, theirs, rounds, clock))


async def ratio_here(ours: Sample, theirs: Sample, rounds: int, clock: Callable[[], float]) -> Figure:
    """How many times as long ours takes as theirs: the ratio of each pair, and the median of these.

    The two of a pair run back to back, in every other pair the other way around; one pair before does not count.
    Cyclic garbage is collected before each sample and never in one: where a collection falls is chance.
    """

    async def time_of(sample: Sample) -> float:
        gc.collect()
        start = clock()
        await sample()
        return clock() - start

    ratios: list[float] = []
    collects = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds + 1):
            if number % 2:
                our_time, their_time = await time_of(ours), await time_of(theirs)
            else:
                their_time, our_time = await time_of(theirs), await time_of(ours)
            ratios.append(our_time / their_time)
    finally:
        if collects:
            gc.enable()
    return figure_of(ratios[1:])
