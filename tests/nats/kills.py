"""Leaders that are killed under load: what is put, what is sent, by whom and when, and what that comes to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from .harness import Buffer, Outbox, check
from .servers import Cluster

PUTTERS = ("a", "b")
KEYS = 3
"""Of each putter. The puts of a key wait for each other, and those of different keys are under way together."""
OPTIONS: dict[str, Any] = {"max_size": 100_000, "put_timeout": 60.0, "lease_time": 3.0}
DOWN = 1.5
"""For how long a server is down that was killed, in seconds."""
UP = (0.7, 1.1, 1.9, 0.3)
"""How long to wait before the next one is killed, in seconds, in turns: it may be catching up still."""


class Send(NamedTuple):
    """A message on its way out, as the other side sees it."""

    message: str
    sender: int
    maybe_sent: bool
    """Whether the sender knew, before, that the message might have been sent."""


@dataclass
class Run:
    """What came about.

    Attributes:
        put: how many puts of each key have returned.
        sends: in order, of both senders.
        in_flight: of which messages a lease was open when a leader was killed, or until there was one again.
        stalls: the longest time in which no put returned, after each kill, in seconds.
    """

    put: Counter[str] = field(default_factory=Counter)
    sends: list[Send] = field(default_factory=list)
    in_flight: set[str] = field(default_factory=set)
    stalls: list[float] = field(default_factory=list)
    leased: set[str] = field(default_factory=set)
    returned_at: list[float] = field(default_factory=list)

    @property
    def firsts(self) -> dict[str, list[int]]:
        """The numbers of each key, in the order in which they were sent for the first time."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for message in dict.fromkeys(send.message for send in self.sends):
            key, _, number = message.partition(":")
            numbers[key].append(int(number))
        return numbers

    @property
    def lost(self) -> int:
        """How many messages were put and never sent."""
        return sum(len(set(range(count)) - set(self.firsts[key])) for key, count in self.put.items())

    @property
    def ghosts(self) -> int:
        """How many were sent whose put has not returned."""
        return sum(number >= self.put[key] for key, numbers in self.firsts.items() for number in numbers)

    @property
    def out_of_order(self) -> int:
        """How many were sent behind a later one of their key."""
        return sum(later < earlier for numbers in self.firsts.values() for earlier, later in pairwise(numbers))

    @property
    def duplicates(self) -> list[Send]:
        """Each send of a message that had been sent before."""
        seen: set[str] = set()
        again = []
        for send in self.sends:
            if send.message in seen:
                again.append(send)
            seen.add(send.message)
        return again

    @property
    def unexplained(self) -> list[Send]:
        """Duplicates of what was not in flight, or that came without a warning."""
        return [send for send in self.duplicates if send.message not in self.in_flight or not send.maybe_sent]

    def __str__(self) -> str:
        stalls = sorted(self.stalls)
        by_sender = Counter(send.sender for send in self.sends)
        return (
            f"{len(stalls)} kills, {self.put.total()} messages put, {len(self.sends)} sends "
            f"({by_sender[0]} and {by_sender[1]} by the two senders): {self.lost} lost, {self.out_of_order} out of "
            f"order by key, {self.ghosts} that nobody put, {len(self.duplicates)} duplicates, "
            f"{len(self.unexplained)} of these of what was not in flight; no put returned for "
            f"{stalls[len(stalls) // 2]:.1f} s (median) and {stalls[-1]:.1f} s (longest)"
        )


async def put(run: Run, buffer: Buffer, key: str, stop: asyncio.Event) -> None:
    """Put one message of that key after the other."""
    while not stop.is_set():
        await buffer.put(f"{key}:{run.put[key]}")
        run.put[key] += 1
        run.returned_at.append(time.monotonic())
        await asyncio.sleep(0.005)


async def send(run: Run, buffer: Buffer, sender: int) -> None:
    """Send whatever comes, until cancelled."""
    while True:
        message = ""
        async with buffer.lease() as lease:
            for entry in lease:
                message, known = entry.message, entry.delivery.maybe_sent
                run.leased.add(message)
                entry.begin()
                run.sends.append(Send(message, sender, known))
                await asyncio.sleep(0.002)  # of each, the answer takes its time
                entry.ack()
        run.leased.discard(message)


async def kill_leader(run: Run, cluster: Cluster) -> None:
    """Kill the leader of the stream, and start it again; until puts return again, whatever is leased is in flight."""
    leader = await cluster.leader("outbox")
    leader.kill()
    killed = time.monotonic()
    down_until, again = killed + DOWN, False
    while not again or time.monotonic() < down_until:
        run.in_flight |= run.leased
        await asyncio.sleep(0.005)
        again = again or any(at > killed + 0.1 for at in run.returned_at[-50:])
        if time.monotonic() >= down_until and not leader.is_running:
            leader.start(wait=False)
    if not leader.is_running:
        leader.start(wait=False)
    returned = [killed, *(at for at in run.returned_at if at > killed)]
    run.stalls.append(max(later - earlier for earlier, later in pairwise(returned)))
    await asyncio.to_thread(leader.wait)


async def kill_leaders(cluster: Cluster, kills: int) -> Run:
    """Have two hosts put, and two others compete to send, while leaders are killed."""
    run = Run()
    outbox, stop = Outbox(cluster.urls), asyncio.Event()
    async with AsyncExitStack() as stack:
        a, b, c, d = [await stack.enter_async_context(outbox.host(**OPTIONS)) for _ in range(4)]
        puts = [
            asyncio.create_task(put(run, buffer, f"{who}{key}", stop))
            for who, buffer in zip(PUTTERS, (a, b), strict=True)
            for key in range(KEYS)
        ]
        sends = [asyncio.create_task(send(run, buffer, number)) for number, buffer in enumerate((c, d))]
        try:
            for number in range(kills):
                await asyncio.sleep(UP[number % len(UP)])
                await kill_leader(run, cluster)
                for task in [*puts, *sends]:
                    assert not task.done(), task
            stop.set()
            await asyncio.gather(*puts)
            await a.flush(60)
        finally:
            for task in [*puts, *sends]:
                task.cancel()
            await asyncio.wait([*puts, *sends])
        assert await a.count() == 0
        for buffer in (a, b, c, d):
            check(buffer)
    return run
