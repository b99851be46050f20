"""The supervisor sends from the shared buffer as from any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ridethrough import Backoff, LinkLost, Outcome, ReconnectSupervisor, Rejected, RetryLater

from .harness import Outbox, ends, put_all, soon, until

pytestmark = pytest.mark.anyio


class _Link:
    """Sends into a list; what is to go wrong first is said by the message."""

    def __init__(self, sent: list[str], failed: set[str]) -> None:
        self._sent = sent
        self._failed = failed
        self._gone = asyncio.Event()

    async def send(self, message: str) -> dict[str, str]:
        await asyncio.sleep(0)
        if message not in self._failed:
            self._failed.add(message)
            if "lost" in message:
                self._gone.set()
                raise LinkLost("cut")
            if "later" in message:
                raise RetryLater(0.5)
            if "never" in message:
                raise Rejected("no such account")
        self._sent.append(message)
        return {"sent": message}

    async def wait_closed(self) -> None:
        await self._gone.wait()


async def test_everything_that_a_link_says_is_kept_to(outbox: Outbox) -> None:
    sent: list[str] = []
    failed: set[str] = set()

    @asynccontextmanager
    async def connect() -> AsyncIterator[_Link]:
        yield _Link(sent, failed)

    async with outbox.two() as (one, other):
        deliveries = await put_all(one, ["a", "lost", "later", "never", "b"])
        supervisor = ReconnectSupervisor(connect, other, backoff=Backoff(initial=0.01, maximum=0.02))
        running = asyncio.create_task(supervisor.run())
        a, lost, later, never, b = deliveries
        assert await soon(a) == {"sent": "a"}
        assert await soon(lost) == {"sent": "lost"}
        assert (lost.attempts, lost.maybe_sent) == (2, True)
        assert await soon(later) == {"sent": "later"}
        assert await ends(never) == "rejected: no such account"
        assert await soon(b) == {"sent": "b"}
        assert (b.attempts, b.maybe_sent) == (1, False)
        assert sent == ["a", "lost", "later", "b"]
        await other.aclose()
        await soon(running)


async def test_supervisor_that_stops_leaves_the_rest_to_the_next(outbox: Outbox) -> None:
    sent: list[str] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[_Link]:
        yield _Link(sent, set())

    async with outbox.two() as (one, other):
        supervisor = ReconnectSupervisor(connect, one)
        running = asyncio.create_task(supervisor.run())
        await put_all(other, "ab")
        await until(lambda: sent == ["a", "b"])
        await supervisor.aclose()
        await running
        (delivery,) = await put_all(one, "c")
        second = ReconnectSupervisor(connect, other)
        running = asyncio.create_task(second.run())
        await until(lambda: delivery.outcome is Outcome.SENT, 5)
        await second.aclose(5)
        await running
        assert sent == ["a", "b", "c"]


async def test_poison_of_another_host_is_noticed(outbox: Outbox) -> None:
    class Fragile(_Link):
        async def send(self, message: str) -> dict[str, str]:
            if message == "poison":
                raise LinkLost("it breaks each time")
            return await super().send(message)

    sent: list[str] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[_Link]:
        yield Fragile(sent, set())

    async with outbox.two() as (one, other):
        poison, after = await put_all(one, ["poison", "b"])
        supervisor = ReconnectSupervisor(connect, other, backoff=Backoff(0.01, 0.01), poison_after=3)
        running = asyncio.create_task(supervisor.run())
        assert await ends(poison) == "rejected: poison: the link was lost under it 3 times running"
        assert await soon(after) == {"sent": "b"}
        await supervisor.aclose()
        await running
