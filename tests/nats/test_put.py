"""Promises 3, 4 and 10 across hosts: order, a bound with a named policy, and age."""

from __future__ import annotations

import asyncio
import time

import pytest
from anyio import CancelScope

from ridethrough import BufferClosed, BufferFull, Delivery, MessageTooLarge, Outcome, Overflow, StoreError

from .harness import Outbox, check, ends, put_all, send_all, send_next, soon, waits
from .servers import connected

pytestmark = pytest.mark.anyio


async def test_put_returns_when_the_stream_has_the_message(outbox: Outbox) -> None:
    async with outbox.open() as buffer, connected(outbox.servers) as client:
        delivery = await buffer.put("a")
        kept = await client.jetstream().get_msg(outbox.name, delivery.id)
        assert (kept.data, kept.subject) == (b'"a"', f"{outbox.name}.in.0")
        assert (delivery.id, delivery.outcome, delivery.message) == (1, None, "a")
        assert (await buffer.put("b")).id == 2
        assert await buffer.count() == 2


async def test_puts_of_many_tasks_keep_the_order_of_the_calls(outbox: Outbox) -> None:
    async with outbox.open(max_size=300) as buffer:
        tasks = [asyncio.create_task(buffer.put(f"{number},")) for number in range(200)]
        deliveries = [await task for task in tasks]
        assert [delivery.id for delivery in deliveries] == list(range(1, 201))
        assert await send_all(buffer, 5) == "0,1,2,3,4,"


async def test_put_many_gives_a_delivery_for_each_in_order(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        deliveries = await buffer.put_many(message for message in "abc")
        assert [delivery.message for delivery in deliveries] == list("abc")
        assert await buffer.put_many([]) == []
        with pytest.raises(TypeError):
            await buffer.put_many([1j, "x"])  # type: ignore[list-item]
        assert await send_all(buffer, 3) == "abc"


@pytest.mark.parametrize("per", ["buffer", "put"])
@pytest.mark.parametrize("policy", ["reject", "drop_newest", "drop_oldest"])
async def test_policy_when_there_is_no_room(outbox: Outbox, policy: str, per: str) -> None:
    other = "reject" if policy != "reject" else "drop_newest"
    for_buffer, for_put = (policy, {}) if per == "buffer" else (other, {"overflow": policy})
    async with outbox.open(max_size=2, overflow=for_buffer) as buffer:
        deliveries = await put_all(buffer, "ab")
        if policy == "reject":
            with pytest.raises(BufferFull):
                await buffer.put("c", **for_put)  # type: ignore[arg-type]
            assert await send_all(buffer, 2) == "ab"
            return
        deliveries.append(await buffer.put("c", **for_put))  # type: ignore[arg-type]
        check(buffer)
        dropped = deliveries.pop(2 if policy == "drop_newest" else 0)
        assert await ends(dropped) == "dropped: the buffer was full"
        assert buffer.statistics().dropped == 1
        (letter,) = await buffer.dead_letters()
        assert (letter.id, letter.body, letter.outcome) == (dropped.id, f'"{dropped.message}"'.encode(), "dropped")
        assert await send_all(buffer, 2) == "".join(delivery.message for delivery in deliveries)
        assert all(delivery.outcome is Outcome.SENT for delivery in deliveries)


async def test_wait_waits_for_room_and_in_turn(outbox: Outbox) -> None:
    async with outbox.open(max_size=2, overflow="wait") as buffer:
        await put_all(buffer, "ab")
        calls = [asyncio.create_task(buffer.put(message)) for message in "cde"]
        assert await waits(calls[0])
        assert (buffer.statistics().waiting_to_put, buffer.statistics().accepted) == (3, 2)
        with pytest.raises(BufferFull):
            await buffer.put("x", overflow="reject")
        assert (await buffer.put("y", overflow="drop_newest")).outcome is Outcome.DROPPED
        assert await send_all(buffer, 1) == "a"
        await soon(calls[0])
        assert await send_all(buffer, 4) == "bcde"
        assert buffer.statistics().waiting_to_put == 0


async def test_put_cancelled_while_waiting_for_room(outbox: Outbox) -> None:
    async with outbox.open(max_size=1, overflow="wait") as buffer:
        await buffer.put("a")
        calls = [asyncio.create_task(buffer.put(message)) for message in "bc"]
        assert await waits(calls[0])
        calls[0].cancel()
        await asyncio.wait({calls[0]})
        assert calls[0].cancelled()
        assert await send_all(buffer, 2) == "ac"
        assert await buffer.count() == 0


async def test_put_cancelled_while_on_its_way_has_happened(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        for number in range(20):
            call = asyncio.create_task(buffer.put(str(number)))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait({call})
            assert not call.cancelled()
            assert call.result().id == number + 1
        assert await buffer.count() == 20


async def test_put_cancelled_by_a_scope_while_on_its_way_has_happened(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        for number in range(10):
            deliveries: list[Delivery[str]] = []
            with CancelScope() as scope:
                asyncio.get_running_loop().call_soon(scope.cancel)
                deliveries.append(await buffer.put(str(number)))
                await asyncio.sleep(60)
            assert scope.cancelled_caught
            assert [delivery.id for delivery in deliveries] == [number + 1]
        with CancelScope() as scope:
            scope.cancel()
            await buffer.put("never")
        assert await buffer.count() == 10


@pytest.mark.parametrize("call", ["put", "put_many", "drain"])
async def test_task_that_does_nothing_else_can_be_cancelled(outbox: Outbox, call: str) -> None:
    async with outbox.open(max_size=100_000) as buffer:
        arguments = {"put": ["a"], "put_many": ["ab"], "drain": []}[call]

        async def repeat() -> None:
            while True:
                await getattr(buffer, call)(*arguments)

        for number in range(15):  # at another moment each time, and some of them as an answer comes in
            task = asyncio.create_task(repeat())
            await asyncio.sleep(0.03 + number / 1000)
            task.cancel()
            await soon(asyncio.wait({task}), 2)
            assert task.cancelled()


async def test_cancellation_comes_to_the_next_wait_after_a_put(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        deliveries: list[Delivery[str]] = []

        async def put_and_wait() -> None:
            deliveries.append(await buffer.put("a"))
            await asyncio.sleep(60)

        call = asyncio.create_task(put_and_wait())
        await asyncio.sleep(0)
        call.cancel()
        await soon(asyncio.wait({call}), 2)
        assert call.cancelled()
        assert [delivery.id for delivery in deliveries] == [1]


async def test_leased_message_is_never_dropped(outbox: Outbox) -> None:
    async with outbox.two(max_size=2) as (one, other):
        leased, oldest = await put_all(one, "ab")
        async with other.lease() as lease:
            (entry,) = lease
            await one.put("c")
            assert (leased.outcome, oldest.outcome) == (None, Outcome.DROPPED)
            entry.begin()
            assert entry.ack()
        assert await soon(leased) is None
        assert await send_all(one, 1) == "c"


async def test_newcomer_is_refused_when_all_are_leased(outbox: Outbox) -> None:
    async with outbox.two(max_size=1) as (one, other):
        await one.put("a")
        for sender in (one, other):
            async with sender.lease():
                with pytest.raises(BufferFull):
                    await one.put("b")
                assert (await one.put("c", overflow="drop_newest")).outcome is Outcome.DROPPED


async def test_many_puts_that_drop_keep_the_newest_in_order(outbox: Outbox) -> None:
    async with outbox.open(max_size=3, overflow=Overflow.DROP_OLDEST) as buffer:
        deliveries = [await buffer.put(str(number)) for number in range(10)]
        assert [delivery.outcome for delivery in deliveries] == [Outcome.DROPPED] * 7 + [None] * 3
        assert [letter.id for letter in await buffer.dead_letters()] == list(range(1, 8))
        assert await send_all(buffer, 3) == "789"


async def test_bytes_are_bounded(outbox: Outbox) -> None:
    async with outbox.open(max_bytes=2000, overflow="reject") as buffer:
        await buffer.put("a" * 1000)
        with pytest.raises(BufferFull):
            await buffer.put("b" * 1000)
        assert await send_next(buffer) == "a" * 1000
        await buffer.put("c" * 1800)
        with pytest.raises(MessageTooLarge) as raised:
            await buffer.put("d" * 2000)
        assert (raised.value.max_bytes, raised.value.size > 2000) == (2000, True)


async def test_largest_message_by_bytes_just_fits_and_a_larger_one_drops_nothing(outbox: Outbox) -> None:
    async with outbox.open(max_bytes=2000) as buffer:
        fits = 0
        for size in range(1900, 1750, -1):
            try:
                await buffer.put("x" * size)
            except MessageTooLarge:
                assert await buffer.count() == 0
            else:
                fits = size
                break
        assert await buffer.count() == 1
        assert (await buffer.put("y" * fits)).outcome is None
        assert buffer.statistics().dropped == 1


async def test_message_larger_than_the_servers_take_is_refused(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await buffer.put("a" * 1_040_000)
        for size in (1_048_000, 1_048_576, 3_000_000):
            with pytest.raises(MessageTooLarge):
                await buffer.put("b" * size)
        assert buffer.state == "connected"
        (delivery,) = await put_all(buffer, "c")
        assert delivery.id == 2


async def test_dead_letter_of_the_largest_message_has_room_for_its_reason(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        largest = 1_048_576 - 4096 - 2
        await buffer.put("a" * largest)
        with pytest.raises(MessageTooLarge):
            await buffer.put("a" * (largest + 1))
        async with buffer.lease() as lease:
            (entry,) = lease
            assert entry.reject("\N{PILE OF POO}" * 2000)
        (letter,) = await buffer.dead_letters()
        assert (len(letter.body), letter.reason) == (largest + 2, "\N{PILE OF POO}" * 300)


async def test_old_message_is_not_handed_out(outbox: Outbox) -> None:
    dead = outbox.host()
    async with dead:
        await dead.put("a", ttl=0.3)
        await dead.put("b")
    await asyncio.sleep(0.4)
    async with outbox.open() as buffer:
        assert await send_next(buffer) == "b"
        (letter,) = await buffer.dead_letters()
        assert (letter.outcome, letter.reason, letter.body) == ("expired", "it was older than its ttl", b'"a"')


@pytest.mark.parametrize("per", ["buffer", "put"])
async def test_who_awaits_the_delivery_learns_at_its_time(outbox: Outbox, per: str) -> None:
    async with outbox.open(ttl=0.5 if per == "buffer" else 60) as buffer:
        began = time.monotonic()
        delivery = await buffer.put("a", **({} if per == "buffer" else {"ttl": 0.5}))  # type: ignore[arg-type]
        assert await ends(delivery) == "expired: it was older than its ttl"
        assert 0.4 < time.monotonic() - began < 1.5
        assert await buffer.count() == 0
        assert len(await buffer.dead_letters()) == 1


async def test_message_that_grew_old_in_a_lease_ends_when_it_comes_back(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a", ttl=0.5)
        async with other.lease() as lease:
            (entry,) = lease
            await asyncio.sleep(0.8)
            assert delivery.outcome is None
            assert list(lease) == []
            assert not entry.ack()
        assert await ends(delivery) == "expired: it was older than its ttl"
        assert await one.count() == 0


async def test_message_that_is_sent_in_time_is_sent(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        delivery = await buffer.put("a", ttl=0.5)
        async with buffer.lease() as lease:
            (entry,) = lease
            entry.begin()
            await asyncio.sleep(0.8)
            assert entry.ack(1)
        assert await delivery == 1


async def test_bad_arguments_of_a_put_change_nothing(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        for bad in ({"ttl": 0}, {"ttl": "1"}, {"overflow": "x"}):
            with pytest.raises((TypeError, ValueError)):
                await buffer.put("a", **bad)
        with pytest.raises(ValueError, match="message must be"):
            await buffer.put(float("nan"))  # type: ignore[arg-type]
        assert await buffer.count() == 0
    async with outbox.open(key=lambda _: []) as buffer:
        with pytest.raises(TypeError, match="key must return something hashable"):
            await buffer.put("a")
    async with outbox.open(encode=lambda text: text, decode=bytes.decode) as buffer:
        with pytest.raises(TypeError, match="encode must return bytes"):
            await buffer.put("a")
        assert await buffer.count() == 0


async def test_closed_buffer_takes_nothing(outbox: Outbox) -> None:
    buffer = outbox.host()
    with pytest.raises(RuntimeError, match="entered with async with"):
        await buffer.put("a")
    async with outbox.open(max_size=1, overflow="wait") as buffer:
        await buffer.put("a")
        call = asyncio.create_task(buffer.put("b"))
        assert await waits(call)
        assert await buffer.aclose() == ["a"]
        with pytest.raises(BufferClosed):
            await call
        with pytest.raises(BufferClosed):
            await buffer.put("c")


async def test_stream_that_is_gone_is_told(outbox: Outbox) -> None:
    async with outbox.open(put_timeout=1.0) as buffer, connected(outbox.servers) as client:
        await client.jetstream().delete_stream(outbox.name)
        with pytest.raises(StoreError, match="nobody is there to answer; the message was not put"):
            await buffer.put("a")
        assert buffer.state == "away"
        assert buffer.reason == "nobody is there to answer"
