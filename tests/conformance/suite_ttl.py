"""Promise 10, age: a message older than its ttl is never handed out, and who awaits it learns of it in time."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, current_time, sleep

from ridethrough import Delivery, FlushTimeout, Outcome
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, check, ends, lease_all, put_all, start, tasks_and_timers


class TtlSuite(BufferSuite):
    """Never handed out late."""

    async def test_message_is_handed_out_before_its_time(self) -> None:
        async with self.open(ttl=10) as buffer:
            delivery = await buffer.put("a")
            await sleep(9)
            assert await lease_all(buffer) == "a"
            assert delivery.outcome is Outcome.SENT

    async def test_message_grows_old_by_the_buffers_ttl(self) -> None:
        async with self.open(ttl=10) as buffer:
            delivery = await buffer.put("a")
            await sleep(11)
            assert len(buffer) == 0
            assert delivery.outcome is Outcome.EXPIRED

    async def test_old_message_is_not_leased(self) -> None:
        async with self.open() as buffer:
            old = await buffer.put("a", ttl=5)
            await buffer.put("b")
            await sleep(6)
            assert await lease_all(buffer) == "b"
            assert old.outcome is Outcome.EXPIRED

    async def test_old_message_is_not_drained(self) -> None:
        async with self.open() as buffer:
            old = await buffer.put("a", ttl=5)
            await buffer.put("b")
            await sleep(6)
            assert await buffer.drain() == ["b"]
            assert old.outcome is Outcome.EXPIRED

    async def test_old_message_is_not_waited_for(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a", ttl=5)
            await sleep(6)
            call = await start(tasks, buffer.wait_nonempty)
            assert call.state == "running"
            check(buffer)
            await buffer.put("b")
            await all_blocked()
            assert call.state == "returned"

    async def test_old_message_cannot_be_cancelled(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a", ttl=5)
            await sleep(6)
            assert not delivery.cancel()
            assert delivery.outcome is Outcome.EXPIRED

    async def test_old_message_takes_no_room(self) -> None:
        async with self.open(max_size=1, overflow="reject") as buffer:
            await buffer.put("a", ttl=5)
            await sleep(6)
            await buffer.put("b")
            check(buffer)
            assert (buffer.statistics().expired, await buffer.drain()) == (1, ["b"])

    async def test_message_that_grew_old_in_a_lease_is_stepped_over(self) -> None:
        async with self.open() as buffer:
            await buffer.put("a")
            old = await buffer.put("b", ttl=5)
            await buffer.put("c")
            seen = []
            async with buffer.lease(3) as lease:
                for entry in lease:
                    seen.append(entry.message)
                    await sleep(3)
                    entry.ack()
                    check(buffer)
            assert seen == ["a", "b", "c"]
            assert old.outcome is Outcome.SENT, "it was handed out in time, and confirmed"
            old = await buffer.put("d", ttl=5)
            await buffer.put("e")
            async with buffer.lease(2) as lease:
                await sleep(6)
                assert [entry.message for entry in lease] == ["e"]
                check(buffer)
            assert old.outcome is Outcome.EXPIRED

    async def test_message_that_grew_old_in_a_lease_ends_when_it_comes_back(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a", ttl=5)
            async with buffer.lease() as lease:
                next(iter(lease)).begin()
                await sleep(6)
                check(buffer)
                assert len(buffer) == 1
            check(buffer)
            assert (delivery.outcome, delivery.maybe_sent) == (Outcome.EXPIRED, True)

    async def test_reason_is_the_same_wherever_a_message_grows_old(self) -> None:
        async with self.open() as buffer:
            in_the_queue = await buffer.put("a", ttl=5)
            await sleep(6)
            check(buffer)
            stepped_over = await buffer.put("b", ttl=5)
            coming_back = await buffer.put("c", ttl=9)
            async with buffer.lease(2) as lease:
                await sleep(6)
                assert [entry.message for entry in lease] == ["c"]
                await sleep(6)
            reasons = {await ends(each) for each in (in_the_queue, stepped_over, coming_back)}
            assert reasons == {"expired: it was older than its ttl"}

    async def test_ttl_per_put_wins_over_the_buffers(self) -> None:
        async with self.open(ttl=5) as buffer:
            await buffer.put("short", ttl=2)
            await buffer.put("default")
            await buffer.put("long", ttl=20)
            await buffer.put("ever", ttl=None)
            await sleep(3)
            assert len(buffer) == 3
            await sleep(3)
            assert len(buffer) == 2
            await sleep(20)
            assert await buffer.drain() == ["ever"]
            assert buffer.statistics().expired == 3

    async def test_age_counts_from_acceptance(self) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            call = await start(tasks, partial(buffer.put, "b", ttl=5))
            await sleep(20)
            await buffer.drain()
            await all_blocked()
            assert call.state == "returned"
            await sleep(4)
            assert len(buffer) == 1
            await sleep(2)
            assert len(buffer) == 0


class TtlInTimeSuite(BufferSuite):
    """Whoever waits learns of it in time, though the buffer has no task and no timer of its own."""

    async def test_who_awaits_the_delivery_learns_at_its_time(self) -> None:
        async with self.open() as buffer:
            began = current_time()
            delivery = await buffer.put("a", ttl=5)
            await ends(delivery)
            assert delivery.outcome is Outcome.EXPIRED
            assert 5 <= current_time() - began < 5.5

    async def test_who_awaits_a_leased_message_learns_when_the_lease_ends(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a", ttl=5)
            async with buffer.lease():
                call = await start(tasks, lambda: ends(delivery))
                await sleep(6)
                assert call.state == "running"
            await all_blocked()
            assert (call.state, delivery.outcome) == ("returned", Outcome.EXPIRED)

    async def test_who_awaits_a_message_that_came_back_in_time_learns_at_its_time(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            began = current_time()
            delivery = await buffer.put("a", ttl=5)
            async with buffer.lease():
                call = await start(tasks, partial(self._when_it_ends, delivery))
                await sleep(2)
            await sleep(10)
            assert call.result is not None
            assert 5 <= call.result - began < 5.5

    @staticmethod
    async def _when_it_ends(delivery: Delivery[str]) -> float:
        await ends(delivery)
        return current_time()

    async def test_enforce_ttl_ends_each_at_its_time(self) -> None:
        ended: list[float] = []
        async with (
            self.open(on_undelivered=lambda _: ended.append(current_time())) as buffer,
            create_task_group() as tasks,
        ):
            began = current_time()
            call = await start(tasks, buffer.enforce_ttl)
            await buffer.put("a", ttl=20)
            await buffer.put("b", ttl=5)  # sooner than what it knows of
            await buffer.put("c", ttl=10)
            await sleep(30)
            assert [round(time - began) for time in ended] == [5, 10, 20]
            await buffer.aclose()
            await all_blocked()
            assert call.state == "returned"

    @staticmethod
    async def _touch(buffer: Buffer, other: Delivery[str], how: str) -> None:
        if how == "lease":
            await lease_all(buffer)
        elif how == "flush":
            with pytest.raises(FlushTimeout):
                await buffer.flush(0)
        elif how == "cancel":
            other.cancel()
        elif how == "statistics":
            buffer.statistics()
        elif how == "put":
            await buffer.put("c")
        else:
            await getattr(buffer, how)()

    @pytest.mark.parametrize(
        "touch", ["put", "drain", "wait_nonempty", "lease", "flush", "cancel", "statistics", "aclose"]
    )
    async def test_without_anybody_waiting_it_ends_at_the_next_touch(self, touch: str) -> None:
        ended: list[float] = []
        async with self.open(on_undelivered=lambda _: ended.append(current_time())) as buffer:
            began = current_time()
            delivery, other = await buffer.put("a", ttl=5), await buffer.put("b")
            await sleep(10)
            assert ended == []
            await self._touch(buffer, other, touch)
            assert delivery.outcome is Outcome.EXPIRED
            assert round(ended[0] - began) == 10

    async def test_waiting_putter_gets_in_when_a_message_expires(self) -> None:
        async with self.open(max_size=2, overflow="wait") as buffer:
            began = current_time()
            await buffer.put("a", ttl=20)
            await buffer.put("b", ttl=5)
            await buffer.put("c")
            assert 5 <= current_time() - began < 6
            check(buffer)
            assert await buffer.drain() == ["a", "c"]

    async def test_putter_behind_others_gets_in_when_a_message_expires(self) -> None:
        async with self.open(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            await start(tasks, partial(buffer.put, "c", ttl=5))
            await start(tasks, partial(buffer.put, "d"))
            third = await start(tasks, partial(buffer.put, "e"))
            async with buffer.lease(2) as lease:
                for entry in lease:
                    entry.ack()
                    await all_blocked()
            assert third.state == "running"
            await sleep(6)  # "c" is too old now, and nobody else touches the buffer
            assert third.state == "returned"
            assert await buffer.drain() == ["d", "e"]

    async def test_flush_is_done_when_the_last_message_expires(self) -> None:
        async with self.open() as buffer:
            began = current_time()
            await buffer.put("a", ttl=5)
            await buffer.put("b", ttl=7)
            await buffer.flush()
            assert 7 <= current_time() - began < 8

    async def test_flush_is_done_when_the_lease_of_a_message_that_grew_old_ends(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a", ttl=5)
            async with buffer.lease():
                call = await start(tasks, buffer.flush)
                await sleep(6)
                assert call.state == "running"
            await all_blocked()
            assert call.state == "returned"

    async def test_aclose_is_done_when_the_last_message_expires(self) -> None:
        async with self.open() as buffer:
            began = current_time()
            await buffer.put("a", ttl=5)
            assert await buffer.aclose(60) == []
            assert 5 <= current_time() - began < 6
            assert buffer.statistics().expired == 1

    async def test_buffer_has_no_task_and_no_timer(self) -> None:
        async with self.open(ttl=5) as buffer:
            before = tasks_and_timers()
            await put_all(buffer, "ab")
            async with buffer.lease() as lease:
                next(iter(lease)).defer(10)
            assert tasks_and_timers() == before


class OldAndNewSuite(BufferSuite):
    """Many messages of different ages."""

    @pytest.mark.parametrize("step", [1, 7, 13])
    async def test_each_ends_at_its_own_time(self, step: int) -> None:
        async with self.open(max_size=1000) as buffer:
            ttls = [1 + number * step % 101 for number in range(101)]
            deliveries = [await buffer.put(str(ttl), ttl=ttl) for ttl in ttls]
            for now in range(0, 102, 10):
                check(buffer)
                left = [ttl for ttl in ttls if ttl > now]
                assert len(buffer) == len(left)
                assert [delivery.outcome is None for delivery in deliveries] == [ttl > now for ttl in ttls]
                await sleep(10)
            check(buffer)
            assert buffer.statistics().expired == 101
