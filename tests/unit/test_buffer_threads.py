"""buffer.py under several threads of the operating system, with clocks and schedules as they come."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, fail_after, to_thread
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Delivery, Outcome
from ridethrough.abc import Journal
from ridethrough.sqlite import SQLiteJournal

pytestmark = pytest.mark.anyio

THREADS = 4
MESSAGES = 150
PATIENCE = 30


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["in memory", "on disk"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal[str] | None:
    return SQLiteJournal[str](tmp_path / "outbox.db", durability="process-safe") if request.param == "on disk" else None


@pytest.fixture(autouse=True)
def busy_interpreter() -> Iterator[None]:
    """Threads take turns every few instructions, rather than every few milliseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def add_up(buffer: AsyncMessageBuffer[str]) -> None:
    """The books add up, and the bound is kept, at one moment among those of other threads."""
    now = buffer.statistics()
    assert now.accepted == now.queued + now.leased + now.ended
    assert now.queued + now.leased <= buffer.max_size


def put_many(buffer: AsyncMessageBuffer[str], name: str, policy: str, puts: list[Delivery[str]]) -> int:
    """Put messages with that policy, or with one after the other; returns how many were refused."""
    policies = ["drop_oldest", "drop_newest", "reject", "wait"] if policy == "mixed" else [policy]
    refused = 0
    for number in range(MESSAGES):
        try:
            delivery = buffer.put_from_thread(
                f"{name} {number}", overflow=policies[number % len(policies)], ttl=None if number % 3 else 60
            )
        except BufferFull:
            refused += 1
        else:
            puts.append(delivery)
        if number % 10 == 0 and puts:
            puts[-1].cancel()
    return refused


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "reject", "wait", "mixed"])
async def test_conservation_and_order_hold_under_threads(policy: str, journal: Journal[str] | None) -> None:
    chance = random.Random(policy)
    reported: list[Delivery[str]] = []
    buffer = AsyncMessageBuffer[str](7, on_undelivered=reported.append, journal=journal)
    puts: list[list[Delivery[str]]] = [[] for _ in range(THREADS)]
    refused: list[int] = []
    sent: list[str] = []

    async def put(at: int) -> None:
        refused.append(await to_thread.run_sync(put_many, buffer, str(at), policy, puts[at]))

    async def send_some() -> None:
        async with buffer.lease(chance.randint(1, 4)) as lease:
            for entry in lease:
                entry.begin()
                if chance.random() < 0.2:
                    await checkpoint()
                if chance.random() < 0.1:
                    break  # the link is lost: the rest comes back
                sent.append(entry.message)
                entry.ack()
        add_up(buffer)
        await checkpoint()

    async def send() -> None:
        try:
            with suppress(BufferClosed):
                while True:
                    await send_some()
        finally:
            await buffer.aclose()  # which lets no thread wait for ever, should this fail

    with fail_after(PATIENCE):
        async with buffer, create_task_group() as tasks:
            tasks.start_soon(send)
            async with create_task_group() as putters:
                for at in range(THREADS):
                    putters.start_soon(put, at)
            assert await buffer.aclose(PATIENCE) == []
    add_up(buffer)
    accepted = [delivery for thread in puts for delivery in thread]
    outcomes = Counter(delivery.outcome for delivery in accepted)
    statistics = buffer.statistics()
    assert len(accepted) + sum(refused) == THREADS * MESSAGES
    assert len({delivery.id for delivery in accepted}) == statistics.accepted == len(accepted)
    assert {outcome: getattr(statistics, outcome) for outcome in outcomes if outcome} == outcomes
    assert Counter(reported) == Counter(delivery for delivery in accepted if delivery.outcome is Outcome.DROPPED)
    assert Counter(sent) == Counter(delivery.message for delivery in accepted if delivery.outcome is Outcome.SENT)
    for at in range(THREADS):
        numbers = [int(message.split()[1]) for message in sent if message.startswith(f"{at} ")]
        assert numbers == sorted(numbers)
    if policy in ("wait", "reject"):
        assert not reported
    if policy == "wait":
        assert sum(refused) == 0


async def test_closing_ends_the_waiting_of_every_thread(journal: Journal[str] | None) -> None:
    buffer = AsyncMessageBuffer[str](2, overflow="wait", journal=journal)
    puts: list[Delivery[str]] = []
    lock = threading.Lock()

    def put_until_closed(name: str) -> None:
        number = 0
        while True:
            try:
                delivery = buffer.put_from_thread(f"{name} {number}")
            except BufferClosed:
                return
            with lock:
                puts.append(delivery)
            number += 1

    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            taken = 0
            async with buffer:
                for at in range(THREADS):
                    tasks.start_soon(to_thread.run_sync, put_until_closed, str(at))
                while taken < 100:
                    await buffer.wait_nonempty()
                    taken += len(await buffer.drain())
                    add_up(buffer)
    add_up(buffer)
    assert buffer.statistics().accepted == len(puts)
    assert all(delivery.outcome in (Outcome.DRAINED, Outcome.ABANDONED) for delivery in puts)


async def test_tasks_and_threads_hand_over_one_by_one(journal: Journal[str] | None) -> None:
    """Room for one: each put waits for the drain before, and each drain for a put."""
    buffer = AsyncMessageBuffer[str](1, overflow="wait", journal=journal)
    seen: list[str] = []

    def put_in_thread(name: str) -> None:
        for number in range(MESSAGES):
            buffer.put_from_thread(f"{name} {number}")

    async def put_in_task(name: str) -> None:
        for number in range(MESSAGES):
            await buffer.put(f"{name} {number}")

    with fail_after(PATIENCE):
        async with create_task_group() as tasks, buffer:
            for name in "xy":
                tasks.start_soon(partial(to_thread.run_sync, put_in_thread, name))
            for name in "zw":
                tasks.start_soon(put_in_task, name)
            while len(seen) < 4 * MESSAGES:
                await buffer.wait_nonempty()
                seen += await buffer.drain()
    for name in "wxyz":
        assert [message for message in seen if message[0] == name] == [f"{name} {n}" for n in range(MESSAGES)]
    add_up(buffer)
