"""Three servers: what survives the leader, and what waits for a majority. ``test_kills.py`` has the load."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough import Outcome

from .harness import Outbox, put_all, send_all, soon, until, waits
from .servers import Cluster, Server, connected

pytestmark = pytest.mark.anyio


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
