"""Draining, taking back, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from ridethrough import Outcome

from .harness import Outbox, check, ends, put_all, send_all, send_next, soon, until, waits

pytestmark = pytest.mark.anyio


async def test_drain_takes_everything_of_all_hosts_in_order(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        deliveries = await put_all(one, "ab") + await put_all(other, "cd")
        assert await other.drain() == list("abcd")
        await until(lambda: all(delivery.outcome is Outcome.DRAINED for delivery in deliveries), 2)
        assert [await delivery for delivery in deliveries] == [None] * 4
        assert await one.count() == 0
        assert await one.drain() == []


async def test_drain_leaves_what_is_leased(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "abc")
        async with buffer.lease():
            assert await buffer.drain() == ["b", "c"]
            check(buffer)
            assert await buffer.drain() == []
            assert await buffer.count() == 1
        assert await buffer.drain() == ["a"]


@pytest.mark.parametrize("partitions", [1, 3])
async def test_drain_leaves_what_is_put_meanwhile(outbox: Outbox, partitions: int) -> None:
    async with outbox.two(max_size=10_000, partitions=partitions, key=lambda message: message) as (one, other):
        await put_all(one, "abcd")

        async def put() -> None:
            for number in count(1):
                await other.put(str(number))

        putting = asyncio.create_task(put())
        await until(lambda: other.statistics().queued > 5)
        drained = await soon(one.drain(), 8)
        putting.cancel()
        await asyncio.wait({putting})
        assert drained == [*"abcd", *(str(number) for number in range(1, len(drained) - 3))]
        left = await soon(other.drain(), 15)
        assert left[0] == str(len(drained) - 3)


async def test_drain_waits_for_what_another_host_sends(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "abc")
        async with other.lease() as lease:
            (entry,) = lease
            call = asyncio.create_task(one.drain())
            assert await waits(call)
            entry.ack()
        assert await soon(call) == ["b", "c"]


async def test_drain_gives_up_after_the_lease_time(outbox: Outbox) -> None:
    async with outbox.two(lease_time=1.0) as (one, other):
        await put_all(one, "abc")
        async with other.lease():
            began = time.monotonic()
            assert await one.drain() == []
            assert 0.9 < time.monotonic() - began < 2
        assert await one.drain() == list("abc")


async def test_drain_takes_what_waits_out_a_pause_of_this_host_too(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            next(iter(lease)).defer(60)
        assert await soon(buffer.drain()) == ["a", "b"]


async def test_message_is_taken_back_by_its_sender(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        first, second, third = await put_all(one, "abc")
        assert not second.cancel(), "that would have to ask the servers"
        assert await one.cancel(second)
        assert await ends(second) == "cancelled: its sender took it back"
        assert not await one.cancel(second)
        assert not await other.cancel(third), "this is none of its Deliveries"
        assert one.statistics().cancelled == 1
        assert await send_all(other, 2) == "ac"
        await until(lambda: third.outcome is Outcome.SENT)
        assert not await one.cancel(first)
        assert await one.dead_letters() == []


async def test_message_of_another_host_is_taken_back_by_its_number(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        first, second = await put_all(one, "ab")
        assert await other.cancel(second.id)
        assert await ends(second) == "cancelled: its sender took it back"
        assert not await other.cancel(second.id)
        assert not await other.cancel(99)
        async with one.lease():
            assert not await other.cancel(first.id)
        for bad in (True, "1", None):
            with pytest.raises(TypeError, match="ids must be ints"):
                await other.cancel(bad)  # type: ignore[arg-type]
        assert await other.count() == 1


async def test_leased_message_cannot_be_taken_back(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        for sender in (one, other):
            (delivery,) = await put_all(one, "a")
            async with sender.lease():
                assert not await one.cancel(delivery)
            assert await one.cancel(delivery)
            assert await one.count() == 0


async def test_message_given_back_can_be_taken_back_in_doubt(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        async with other.lease() as lease:
            next(iter(lease)).begin()
        assert await one.cancel(delivery)
        assert (delivery.outcome, delivery.attempts, delivery.maybe_sent) == (Outcome.CANCELLED, 1, True)


async def test_each_loss_is_reported_once_where_it_was_put(outbox: Outbox) -> None:
    told: list[tuple[str, str]] = []
    async with outbox.open(max_size=2, on_undelivered=lambda each: told.append((each.message, each.outcome))) as one:
        async with outbox.open(max_size=2) as other:
            await put_all(one, "ab")
            await other.put("c")
            async with other.lease() as lease:
                next(iter(lease)).reject("no")
            await until(lambda: len(told) == 2)
            assert await send_next(other) == "c"
            await one.put("d", ttl=0.2)
            await until(lambda: len(told) == 3)
        await one.put("e")
    assert told == [("a", "dropped"), ("b", "rejected"), ("d", "expired"), ("e", "abandoned")]


async def test_what_on_undelivered_raises_goes_no_further(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("the body of it")

    async with outbox.open(max_size=1, on_undelivered=fail) as buffer:
        await put_all(buffer, "ab")
        assert await send_next(buffer) == "b"
    assert "on_undelivered raised ValueError" in caplog.text
    assert "the body" not in caplog.text


async def test_dead_letters_are_bounded_and_the_oldest_are_forgotten(outbox: Outbox) -> None:
    async with outbox.open(max_size=1, max_dead_letters=3) as buffer:
        await put_all(buffer, "abcdef")
        assert [letter.body for letter in await buffer.dead_letters()] == [b'"c"', b'"d"', b'"e"']
