"""What schedules of hosts that share an outbox have shown, each by itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from ridethrough import BufferClosed, Outcome, StoreAway
from ridethrough.jetstream.intake import partition_of
from tests.nats.harness import check, put_all, send_next, soon, until, waits

from .harness import MemoryOutbox
from .host import MemoryHost
from .server import MemoryServer
from .weather import Weather

pytestmark = pytest.mark.anyio


class _Loses(Weather):
    """Loses what comes next, as long as it is told to.

    Attributes:
        losing: ``"request"``, ``"answer"``, or nothing.
        spared: how many of these come through before.
    """

    losing = ""
    spared = 0

    def loses(self, what: str) -> bool:
        if what != self.losing:
            return False
        self.spared -= 1
        return self.spared < 0


@pytest.fixture
def weather() -> _Loses:
    return _Loses()


@pytest.fixture
def server(weather: _Loses) -> MemoryServer:
    return MemoryServer(weather)


async def test_put_whose_first_answer_was_lost_may_have_been_put(outbox: MemoryOutbox, weather: _Loses) -> None:
    async with outbox.open(put_timeout=4.0) as buffer, outbox.open() as other:
        assert isinstance(buffer, MemoryHost)
        weather.losing = "answer"
        call = asyncio.create_task(buffer.put("a"))
        assert await waits(call)
        buffer.road.cut()  # from now on, no try of it leaves
        with pytest.raises(StoreAway, match="the message may have been put"):
            await call
        weather.losing = ""
        assert await soon(send_next(other)) == "a"


async def test_put_that_may_have_arrived_cannot_be_cancelled_in_the_queue(
    outbox: MemoryOutbox, weather: _Loses
) -> None:
    async with outbox.open() as buffer:
        weather.losing = "answer"
        calls = [asyncio.create_task(buffer.put(message)) for message in "ab"]
        assert await waits(calls[0], 4)
        assert buffer.statistics().waiting_to_put == 2
        calls[1].cancel()
        assert await waits(calls[1], 0.2)
        weather.losing = ""
        assert [(await soon(call)).id for call in calls] == [1, 2]
        assert await buffer.count() == 2


async def test_put_that_may_have_arrived_says_so_when_the_buffer_is_closed(
    outbox: MemoryOutbox, weather: _Loses
) -> None:
    async with outbox.open() as buffer, outbox.open() as other:
        weather.losing = "answer"
        calls = [asyncio.create_task(buffer.put("a"))]
        assert await waits(calls[0], 4)
        calls.append(asyncio.create_task(buffer.put("b")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(buffer.aclose())
        with pytest.raises(StoreAway, match=r"before the buffer was closed: .*; the message may have been put"):
            await calls[0]
        with pytest.raises(BufferClosed):
            await calls[1]
        await closing
        weather.losing = ""
        assert await soon(send_next(other)) == "a"


async def test_acknowledgement_as_the_buffer_closes_is_late(outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            closing = asyncio.create_task(one.aclose())
            await asyncio.sleep(0.0007)
            assert not entry.ack(), "it is being given back"
            await closing
        assert delivery.outcome is Outcome.ABANDONED
        assert await soon(send_next(other)) == "a"


async def test_closing_waits_for_a_lease_that_is_being_left(outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        sending = asyncio.create_task(send_next(one))
        await until(lambda: delivery.outcome is Outcome.SENT)
        assert await one.aclose() == []
        assert await sending == "a"
        assert await other.count() == 0


async def test_drain_that_is_overtaken_by_a_close_returns_what_it_has_taken_out(outbox: MemoryOutbox) -> None:
    held_up, free = (next(key for key in "abcdefgh" if partition_of(key, 2) == number) for number in (0, 1))
    async with outbox.two(partitions=2, key=lambda message: message) as (one, other):
        await one.put(held_up)
        async with one.lease():
            await one.put(free)
            drain = asyncio.create_task(other.drain())
            assert await waits(drain, 1.2), "one is being sent; and the other was in hand there at first"
            await other.aclose()
            assert await soon(drain) == [free]
            assert await one.count() == 1


async def test_message_is_given_back_once_even_if_that_is_not_answered(outbox: MemoryOutbox, weather: _Loses) -> None:
    async with outbox.two(lease_time=20.0) as (one, other):
        await one.put("a")
        lease = await one.lease().__aenter__()
        waiting = asyncio.create_task(other.lease().__aenter__())
        assert await waits(waiting)
        weather.losing, weather.spared = "answer", 1  # what is known of it is noted, and then it is given back
        leaving = asyncio.create_task(lease.__aexit__(None, None, None))
        await until(lambda: weather.spared < 0)
        weather.losing = ""
        second = await soon(waiting)
        third = asyncio.create_task(one.lease().__aenter__())
        assert await waits(third, 6), "the other one has it"
        next(iter(second)).ack()
        await second.__aexit__(None, None, None)
        await leaving
        third.cancel()
        await asyncio.wait({third})


async def test_message_that_was_handed_to_a_host_twice_is_sent_once(outbox: MemoryOutbox) -> None:
    async with outbox.two(lease_time=1.0) as (buffer, other):
        assert isinstance(buffer, MemoryHost)
        waiting = asyncio.create_task(send_next(buffer))
        assert await waits(waiting)
        buffer.road.stall()
        await other.put("a")
        await other.put("b")
        await asyncio.sleep(2.7)  # by now it asks anew, and both hand-outs are on their way
        buffer.road.mend()
        assert await soon(waiting) == "a"
        assert await soon(send_next(buffer)) == "b"
        assert await other.count() == 0


async def test_message_that_is_sent_before_its_put_returns_is_the_same(outbox: MemoryOutbox, weather: _Loses) -> None:
    told: list[str] = []
    async with outbox.open(on_undelivered=lambda delivery: told.append(delivery.message)) as buffer:
        sending = asyncio.create_task(send_next(buffer, "result"))
        assert await waits(sending)
        weather.losing = "answer"
        call = asyncio.create_task(buffer.put("a"))
        await asyncio.sleep(0.1)
        weather.losing = ""
        assert await soon(sending) == "a"
        delivery = await soon(call)
        assert (delivery.id, delivery.outcome, await delivery) == (1, Outcome.SENT, "result")
        async with AsyncExitStack() as stack:
            lease = buffer.lease()
            entering = asyncio.create_task(stack.enter_async_context(lease))
            assert await waits(entering)
            weather.losing = "answer"
            call = asyncio.create_task(buffer.put("b"))
            await asyncio.sleep(0.1)
            weather.losing = ""
            await entering
            next(iter(lease)).reject("no")
        delivery = await soon(call)
        assert (delivery.outcome, told) == (Outcome.REJECTED, ["b"])
        check(buffer)


async def test_message_that_comes_again_while_it_is_in_hand_is_in_hand_once(outbox: MemoryOutbox) -> None:
    async with outbox.two(lease_time=1.0) as (buffer, other):
        assert isinstance(buffer, MemoryHost)
        parts = buffer._open
        assert parts is not None
        await put_all(other, "a")
        await buffer.wait_nonempty()
        ((handed, _),) = parts.pulls._in_hand.values()
        parts.pulls.keep(handed._replace(times=2))
        parts.pulls.keep(handed)
        assert [each.times for each, _ in parts.pulls._in_hand.values()] == [2]
        await until(lambda: not parts.pulls._in_hand)  # and it is put down once
        await asyncio.sleep(1)


async def test_message_that_two_take_out_at_once_is_not_taken_for_sent(outbox: MemoryOutbox, weather: _Loses) -> None:
    async with outbox.open() as buffer:
        delivery = await buffer.put("a", ttl=0.5)
        await asyncio.sleep(0.48)
        weather.losing = "answer"
        call = asyncio.create_task(buffer.cancel(delivery))  # and it becomes too old as this is under way
        await asyncio.sleep(0.1)
        weather.losing = ""
        for _ in range(50):
            await asyncio.sleep(0.1)
            assert delivery.outcome is not Outcome.SENT
        assert await soon(call) == (delivery.outcome is Outcome.CANCELLED)
        assert buffer._books.taken == {}
