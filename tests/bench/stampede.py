"""How many of 200 clients connect in the busiest 100 ms after an outage of 30 s, with and without jitter.

The links of all die at the same moment. The clock is one that jumps, and the jitter is seeded: these figures are the
same on every machine.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from ridethrough import AsyncMessageBuffer, Backoff, ReconnectSupervisor
from tests.clocks import JumpingClockLoop

from .pairs import figure_of
from .report import Line, Picture
from .svg import Panel, page

CLIENTS = 200
OUTAGE = 30.0
WINDOW = 0.1
SEEDS = range(11)


class WithoutJitter(Backoff):
    """Waits as long as may be, each time."""

    def delay(self, failures: int, random: Callable[[], float] | None = None) -> float:  # noqa: ARG002
        return self.ceiling(failures)


class Tries(NamedTuple):
    """When clients have tried to connect, in seconds since their links died."""

    refused: list[float]
    connected: list[float]


class Server:
    """Has every client's link die once, and refuses new ones for as long as the outage lasts."""

    def __init__(self) -> None:
        self.tries = Tries([], [])
        self._links = 0
        self._all_linked, self._dead, self._all_back = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._died = 0.0

    async def outage(self) -> None:
        """Returns once all are back."""
        await self._all_linked.wait()
        self._died = asyncio.get_running_loop().time()
        self._dead.set()
        await self._all_back.wait()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        if not self._dead.is_set():
            self._links += 1
            if self._links == CLIENTS:
                self._all_linked.set()
            yield Link(self._dead)
            return
        time = asyncio.get_running_loop().time() - self._died
        if time < OUTAGE:
            self.tries.refused.append(time)
            raise ConnectionRefusedError
        self.tries.connected.append(time)
        if len(self.tries.connected) == CLIENTS:
            self._all_back.set()
        yield Link(asyncio.Event())


class Link:
    """A link that is good until it dies."""

    def __init__(self, dead: asyncio.Event) -> None:
        self._dead = dead

    async def send(self, message: str) -> None: ...

    async def wait_closed(self) -> None:
        await self._dead.wait()


async def outage(backoff: Backoff) -> Tries:
    server = Server()
    async with asyncio.TaskGroup() as tasks:
        runs = [
            tasks.create_task(ReconnectSupervisor(server.connect, AsyncMessageBuffer[str](), backoff=backoff).run())
            for _ in range(CLIENTS)
        ]
        await server.outage()
        for run in runs:
            run.cancel()
    return server.tries


def tries(backoff: Backoff, seed: int) -> Tries:
    random.seed(seed)
    with asyncio.Runner(loop_factory=JumpingClockLoop) as runner:
        return runner.run(outage(backoff))


def busiest(times: list[float]) -> int:
    """How many fall into the 100 ms that most fall into."""
    times = sorted(times)
    return max(bisect_left(times, time + WINDOW) - number for number, time in enumerate(times))


def measure() -> Iterator[Line | Picture]:
    backoffs: tuple[tuple[str, Backoff, float | None], ...] = (
        ("Backoff(maximum=10) without its jitter", WithoutJitter(maximum=10), None),
        ("Backoff(maximum=10)", Backoff(maximum=10), 8),
        ("Backoff() without its jitter", WithoutJitter(), None),
        ("Backoff()", Backoff(), None),
    )
    usual: dict[str, Tries] = {}
    for name, backoff, bound in backoffs:
        outages = [tries(backoff, seed) for seed in SEEDS]
        usual[name] = sorted(outages, key=lambda outage: busiest(outage.connected))[len(outages) // 2]
        yield Line(name, figure_of([busiest(outage.connected) for outage in outages]), bound, "connects")
        backs = [max(outage.connected) - OUTAGE for outage in outages]
        yield Line(f"{name}: until all are back", figure_of(backs), None, "s")
    yield plot({name: usual[name] for name, _, _ in backoffs[:2]})


def plot(outages: dict[str, Tries]) -> Picture:
    """A panel for each outage, one below the other: how many tries there are in each 100 ms."""
    caption = f"How many of {CLIENTS} clients try to connect, in each {WINDOW * 1000:g} ms since their links died"
    end = OUTAGE + 12
    panels = []
    for number, (name, outage) in enumerate(outages.items()):
        panel = Panel(45, 66 + 180 * number, 640, 120, x_range=(0, end), y_range=(0, CLIENTS))
        ticks: dict[float, str] = {second: f"{second} s" for second in range(0, int(end), 10)}
        title = f"{name}: {busiest(outage.connected)} connect in the busiest 100 ms"
        panel.frame(title, ticks, {0: "0", CLIENTS / 2: f"{CLIENTS // 2}", CLIENTS: f"{CLIENTS}"})
        panel.band(0, OUTAGE, "refused")
        panel.bars(histogram(outage.refused), WINDOW, "other")
        panel.bars(histogram(outage.connected), WINDOW, "main")
        panels.append(panel)
    return Picture("stampede", caption, page(710, 395, caption, panels))


def histogram(times: list[float]) -> dict[float, int]:
    """How many fall into each 100 ms, by when these begin."""
    return {begin * WINDOW: count for begin, count in sorted(Counter(int(time / WINDOW) for time in times).items())}
