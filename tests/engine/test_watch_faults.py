"""What a host learns of its messages, if it is not told, and what is too old while another host has it."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough import Outcome
from tests.nats.harness import check, put_all, send_next, soon, until

from .faults import Faults
from .harness import MemoryOutbox

pytestmark = pytest.mark.anyio

_LOOK = "$JS.API.STREAM.MSG.GET.outbox"


async def test_message_that_grows_old_while_another_host_sends_it_is_looked_at_now_and_then(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two(lease_time=10.0) as (one, other):
        old = await one.put("a", ttl=1)
        async with other.lease() as lease:
            (entry,) = lease
            entry.begin()
            await asyncio.sleep(1.2)
            before = faults.asked[_LOOK]
            for _ in range(10):
                await one.put("b", ttl=60)  # at each of these, it looks when the next one becomes too old
            assert faults.asked[_LOOK] == before
            assert old.outcome is None
            assert entry.ack("ok")
        assert await soon(old) == "ok"
        check(one)


async def test_message_that_was_sent_in_time_is_not_expired_when_its_time_comes(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.through_proxy() as (one, way), outbox.open() as other:
        delivery = await one.put("a", ttl=2)
        way.cut()
        await until(lambda: one.state == "away")
        assert await send_next(other, "ok") == "a"
        await asyncio.sleep(1.5)
        await way.mend()
        await asyncio.sleep(0.6)
        assert faults.asked[_LOOK] == 1, "its time has come, and it is not there"
        assert await soon(delivery) is None
        assert delivery.outcome is Outcome.SENT
        assert await one.dead_letters() == []


async def test_who_is_cancelled_in_the_moment_of_the_outcome_keeps_it_from_nobody(outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        (delivery,) = await put_all(buffer, "a")
        calls = [asyncio.ensure_future(delivery) for _ in range(3)]
        async with buffer.lease() as lease:
            (entry,) = lease
            calls[0].cancel()
            assert entry.ack("ok")
        assert await asyncio.gather(*calls[1:]) == ["ok", "ok"]
        await asyncio.wait({calls[0]})
        assert calls[0].cancelled()
        assert await delivery == "ok"
