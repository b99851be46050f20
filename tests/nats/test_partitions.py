"""Promise 9 across hosts: with partitions, several hosts send at a time, and each key keeps its order."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from .harness import Buffer, Outbox, check, put_all, send_next, soon
from .servers import connected

pytestmark = pytest.mark.anyio


def _key(message: str) -> str:
    return message[0]


async def test_hosts_send_at_the_same_time_and_each_key_keeps_its_order(outbox: Outbox) -> None:
    options = {"partitions": 4, "key": _key, "max_size": 1000, "lease_time": 5.0}
    sent: dict[str, list[int]] = defaultdict(list)
    under_way: set[str] = set()
    together = 0

    async def send(buffer: Buffer) -> None:
        nonlocal together
        while True:
            async with buffer.lease() as lease:
                for entry in lease:
                    key = entry.message[0]
                    assert key not in under_way
                    under_way.add(key)
                    together = max(together, len(under_way))
                    entry.begin()
                    await asyncio.sleep(0.005)
                    sent[key].append(int(entry.message[1:]))
                    assert entry.ack()
                    under_way.discard(key)

    async with outbox.two(**options) as (one, other):
        for number in range(20):
            await one.put_many([f"{key}{number}" for key in "abcdef"])
        senders = [asyncio.create_task(send(buffer)) for buffer in (one, other)]
        await one.flush(40)
        for sender in senders:
            sender.cancel()
        await asyncio.wait(senders)
        assert dict(sent) == {key: list(range(20)) for key in "abcdef"}
        assert together == 2
        check(one)
        assert other.statistics().sent > 0


async def test_one_host_sends_everything_of_all_partitions(outbox: Outbox) -> None:
    async with outbox.open(partitions=3, key=_key) as buffer:
        await put_all(buffer, ["a1", "b1", "c1", "d1", "a2", "b2"])
        sent = [await soon(send_next(buffer)) for _ in range(6)]
        assert sorted(sent) == ["a1", "a2", "b1", "b2", "c1", "d1"]
        assert sent.index("a1") < sent.index("a2")
        assert sent.index("b1") < sent.index("b2")


async def test_paused_message_holds_up_only_its_partition(outbox: Outbox) -> None:
    async with outbox.open(partitions=4, key=_key) as buffer:
        await put_all(buffer, ["a1", "b1", "a2"])
        async with buffer.lease() as lease:
            (entry,) = lease
            first = entry.message[0]
            entry.defer(1.0)
        assert (await soon(send_next(buffer), 0.8))[0] != first


async def test_drain_and_dropping_know_all_partitions(outbox: Outbox) -> None:
    async with outbox.open(partitions=3, key=_key, max_size=5) as buffer:
        deliveries = await put_all(buffer, ["a1", "b1", "c1", "d1", "e1", "f1"])
        assert [delivery.outcome for delivery in deliveries] == ["dropped"] + [None] * 5
        assert await soon(buffer.drain()) == ["b1", "c1", "d1", "e1", "f1"]


async def test_no_subject_shows_a_key(outbox: Outbox) -> None:
    async with outbox.open(partitions=8, key=lambda message: f"+1555{message}") as buffer:
        deliveries = await put_all(buffer, "abcdefgh")
        async with connected(outbox.servers) as client:
            for delivery in deliveries:
                kept = await client.jetstream().get_msg(outbox.name, delivery.id)
                assert kept.subject is not None
                assert kept.subject.removeprefix(f"{outbox.name}.in.") in set("01234567")
                assert "1555" not in kept.subject + str(kept.headers)


async def test_key_must_be_the_same_on_every_host(outbox: Outbox) -> None:
    async with outbox.open(partitions=2, key=lambda _: object()) as buffer:
        with pytest.raises(TypeError, match=r"key must return a str, .* or a tuple or dataclass of these, not object"):
            await buffer.put("a")
