"""What is killed loses nothing: the leaders of a cluster, one after the other, and a host that is sending."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from .harness import Outbox, put_all, send_all, soon, waits
from .kills import kill_leaders
from .servers import Cluster

pytestmark = pytest.mark.anyio

KILLS = 5
"""``python -m tests.nats --kills 30`` for more."""

LEASE_TIME = 2.0

ROOT = Path(__file__, "../../..").resolve()


async def test_leaders_are_killed_while_two_hosts_put_and_two_compete_to_send(cluster: Cluster) -> None:
    async with asyncio.timeout(30 + 15 * KILLS):
        run = await kill_leaders(cluster, KILLS)
    assert run.put.total() > 100 * KILLS
    assert {send.sender for send in run.sends} == {0, 1}, "both have sent"
    assert (run.lost, run.out_of_order, run.ghosts) == (0, 0, 0)
    assert run.unexplained == []


async def test_host_that_is_killed_while_it_sends_is_relieved_within_the_lease_time_and_two_seconds(
    outbox: Outbox,
) -> None:
    async with outbox.open(lease_time=LEASE_TIME) as other:
        deliveries = await put_all(other, "ab")
        assert isinstance(outbox.servers, str)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.nats.sender", outbox.servers, outbox.name,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert program.stdout is not None
            assert await soon(program.stdout.readline(), 20) == b"a\n"
            lease = other.lease()
            entering = asyncio.create_task(lease.__aenter__())
            assert await waits(entering, LEASE_TIME + 1), "it lengthens its lease while it lives"
        finally:
            program.kill()
            killed = time.monotonic()
            await program.wait()
        await soon(entering, LEASE_TIME + 2)
        assert time.monotonic() - killed < LEASE_TIME + 2
        (entry,) = lease
        assert (entry.message, entry.delivery.attempts, entry.delivery.maybe_sent) == ("a", 1, True)
        entry.begin()
        assert entry.ack("arrived")
        await lease.__aexit__(None, None, None)
        assert await deliveries[0] == "arrived"
        assert await send_all(other, 1) == "b"
