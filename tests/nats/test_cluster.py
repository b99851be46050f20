"""Three servers: whichever of them is killed, nothing is lost, nothing is out of order, and the stall is short."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough import Outcome

from .harness import Buffer, Outbox, check, put_all, send_all, soon, until, waits
from .servers import Cluster, Server, connected

pytestmark = pytest.mark.anyio

KILLS = 3


async def test_leaders_are_killed_while_two_hosts_put_and_two_compete_to_send(cluster: Cluster) -> None:
    outbox = Outbox(cluster.urls)
    options = {"max_size": 100_000, "put_timeout": 30.0, "lease_time": 3.0}
    sent: list[str] = []
    stop = asyncio.Event()

    async def put(buffer: Buffer, who: str) -> list[object]:
        deliveries: list[object] = []
        while not stop.is_set():
            deliveries.append(await buffer.put(f"{who}{len(deliveries)}"))
            await asyncio.sleep(0.002)
        return deliveries

    async def send(buffer: Buffer) -> None:
        while True:
            async with buffer.lease() as lease:
                for entry in lease:
                    entry.begin()
                    sent.append(entry.message)
                    entry.ack()

    async with asyncio.timeout(120), outbox.host(**options) as one, outbox.host(**options) as other:
        puts = [asyncio.create_task(put(buffer, who)) for buffer, who in ((one, "a"), (other, "b"))]
        sends = [asyncio.create_task(send(buffer)) for buffer in (one, other)]
        for _ in range(KILLS):
            await asyncio.sleep(1)
            leader = await cluster.leader("outbox")
            leader.kill()
            await asyncio.sleep(2)
            await _start(leader)
        stop.set()
        counts = [len(await task) for task in puts]
        await one.flush(60)
        for task in sends:
            task.cancel()
        await asyncio.wait(sends)
        for task in sends:
            assert task.cancelled()
        for who, count in zip("ab", counts, strict=True):
            numbers = [int(message[1:]) for message in sent if message[0] == who]
            first = list(dict.fromkeys(numbers))
            assert first == list(range(count)), "lost, or out of order"
            assert len(numbers) - count <= 2 * KILLS, "a duplicate that was not in flight"
        assert min(counts) > 50
        check(one)
        check(other)


async def _start(server: Server) -> None:
    server.start(wait=False)
    await asyncio.to_thread(server.wait)


async def test_lease_and_what_was_put_survive_the_leader(cluster: Cluster) -> None:
    outbox = Outbox(cluster.urls)
    async with outbox.two(lease_time=20.0, put_timeout=20.0) as (one, other):
        deliveries = await put_all(one, "ab")
        async with connected(cluster.urls) as client:
            assert (await client.jetstream().stream_info("outbox")).config.num_replicas == 3
        async with other.lease() as lease:
            (entry,) = lease
            entry.begin()
            (await cluster.leader("outbox")).kill()
            deliveries.append(await soon(one.put("c"), 15))
            assert entry.ack("ok")
        assert await soon(deliveries[0]) == "ok"
        assert await soon(send_all(other, 2), 10) == "bc"
        await one.flush(5)
        assert [(each.outcome, each.attempts) for each in deliveries] == [(Outcome.SENT, 1)] * 3
        assert [delivery.id for delivery in deliveries] == [1, 2, 3]


async def test_without_a_majority_everything_waits(cluster: Cluster) -> None:
    outbox = Outbox(cluster.urls)
    async with outbox.open(put_timeout=30.0) as buffer:
        delivery = await buffer.put("a")
        for server in cluster.servers[1:]:
            server.kill()
        call = asyncio.create_task(buffer.put("b"))
        assert await waits(call, 1)
        await until(lambda: buffer.state == "away")
        assert delivery.outcome is None
        for server in cluster.servers[1:]:
            await _start(server)
        assert (await soon(call, 25)).id == 2
        assert await soon(send_all(buffer, 2), 10) == "ab"
        assert buffer.state == "connected"
