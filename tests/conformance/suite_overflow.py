"""Promise 4, bound: a named policy decides when there is no room, and what is leased is never dropped."""

from __future__ import annotations

from functools import partial
from types import EllipsisType

import pytest
from anyio import create_task_group, sleep

from ridethrough import BufferFull, MessageTooLarge, Outcome, Overflow
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, check, put_all, start

PER = pytest.mark.parametrize("per", ["buffer", "put"])


class OverflowSuite(BufferSuite):
    """The four policies, per buffer and per put."""

    @staticmethod
    def _options(per: str, policy: str) -> tuple[str, str | EllipsisType]:
        """For the buffer, and for a put; what is set for a put wins over another policy of the buffer."""
        other = "reject" if policy != "reject" else "drop_newest"
        return (policy, ...) if per == "buffer" else (other, policy)

    async def test_holds_100_and_drops_the_oldest_by_default(self) -> None:
        async with self.open() as buffer:
            assert buffer.max_size == 100
            first, second, *_ = [await buffer.put(str(number)) for number in range(101)]
            check(buffer)
            assert (first.outcome, second.outcome) == (Outcome.DROPPED, None)
            assert await buffer.drain() == [str(number) for number in range(1, 101)]

    @PER
    async def test_drop_oldest(self, per: str) -> None:
        for_buffer, for_put = self._options(per, "drop_oldest")
        async with self.open(max_size=2, overflow=for_buffer) as buffer:
            deliveries = await put_all(buffer, "ab")
            for message in "cd":
                deliveries.append(await buffer.put(message, overflow=for_put))
                check(buffer)
            assert [delivery.outcome for delivery in deliveries] == [Outcome.DROPPED] * 2 + [None] * 2
            assert await buffer.drain() == ["c", "d"]

    @PER
    async def test_drop_newest(self, per: str) -> None:
        for_buffer, for_put = self._options(per, "drop_newest")
        async with self.open(max_size=2, overflow=for_buffer) as buffer:
            await put_all(buffer, "ab")
            delivery = await buffer.put("c", overflow=for_put)
            check(buffer)
            assert delivery.outcome is Outcome.DROPPED
            assert buffer.statistics().dropped == 1
            assert await buffer.drain() == ["a", "b"]

    @PER
    async def test_reject(self, per: str) -> None:
        for_buffer, for_put = self._options(per, "reject")
        async with self.open(max_size=2, overflow=for_buffer) as buffer:
            await put_all(buffer, "ab")
            before = buffer.statistics()
            with pytest.raises(BufferFull):
                await buffer.put("c", overflow=for_put)
            assert buffer.statistics() == before
            assert await buffer.drain() == ["a", "b"]

    @PER
    async def test_wait(self, per: str) -> None:
        for_buffer, for_put = self._options(per, "wait")
        async with self.open(max_size=2, overflow=for_buffer) as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            call = await start(tasks, partial(buffer.put, "c", overflow=for_put))
            check(buffer)
            assert (call.state, buffer.statistics().waiting_to_put, buffer.statistics().accepted) == ("running", 1, 2)
            assert await buffer.drain() == ["a", "b"]
            await all_blocked()
            check(buffer)
            assert (call.state, buffer.statistics().waiting_to_put, buffer.statistics().accepted) == ("returned", 0, 3)
            assert await buffer.drain() == ["c"]

    async def test_policy_may_be_the_enum_or_its_name(self) -> None:
        async with self.open(max_size=1, overflow=Overflow.REJECT) as buffer:
            await buffer.put("a")
            with pytest.raises(BufferFull):
                await buffer.put("b")
            assert (await buffer.put("c", overflow=Overflow.DROP_NEWEST)).outcome is Outcome.DROPPED

    @pytest.mark.parametrize("room_by", ["ack", "reject", "unknown", "drain", "cancel", "expiry"])
    async def test_whatever_makes_room_lets_the_next_in(self, room_by: str) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a", ttl=5)
            call = await start(tasks, partial(buffer.put, "b"))
            assert call.state == "running"
            if room_by == "drain":
                await buffer.drain()
            elif room_by == "cancel":
                assert delivery.cancel()
            elif room_by == "expiry":
                await sleep(5.5)
            else:
                async with buffer.lease() as lease:
                    for entry in lease:
                        assert entry.ack() if room_by == "ack" else getattr(entry, room_by)("no")
            await all_blocked()
            assert call.state == "returned"
            check(buffer)
            assert await buffer.drain() == ["b"]


class LeasedSuite(BufferSuite):
    """What is leased counts, and is never dropped."""

    async def test_leased_message_is_never_dropped(self) -> None:
        async with self.open(max_size=3) as buffer:
            deliveries = await put_all(buffer, "abc")
            async with buffer.lease() as lease:
                for message in "def":
                    deliveries.append(await buffer.put(message))
                    check(buffer)
                assert [delivery.message for delivery in deliveries if delivery.outcome is None] == ["a", "e", "f"]
                assert [entry.message for entry in lease] == ["a"]
            check(buffer)
            assert await buffer.drain() == ["a", "e", "f"]

    @pytest.mark.parametrize("policy", ["drop_oldest", "reject"])
    async def test_newcomer_is_refused_when_all_are_leased(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer:
            await put_all(buffer, "ab")
            async with buffer.lease(2) as lease:
                before = buffer.statistics()
                with pytest.raises(BufferFull):
                    await buffer.put("c", overflow=policy)
                assert buffer.statistics() == before
                next(iter(lease)).ack()
                await buffer.put("c", overflow=policy)
                check(buffer)
            assert await buffer.drain() == ["b", "c"]

    async def test_newest_is_dropped_when_all_are_leased(self) -> None:
        async with self.open(max_size=1, overflow="drop_newest") as buffer:
            await buffer.put("a")
            async with buffer.lease():
                assert (await buffer.put("b")).outcome is Outcome.DROPPED
                check(buffer)
            assert await buffer.drain() == ["a"]

    async def test_waiting_put_gets_in_as_a_leased_message_ends(self) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            async with buffer.lease() as lease:
                call = await start(tasks, partial(buffer.put, "b"))
                next(iter(lease)).ack()
                await all_blocked()
                assert call.state == "returned"
                check(buffer)
            assert await buffer.drain() == ["b"]

    async def test_dropping_put_makes_room_from_what_is_not_leased_for_who_waited_before_it(self) -> None:
        async with self.open(max_size=2) as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            async with buffer.lease():
                await start(tasks, partial(buffer.put, "c", overflow="wait"))
                dropping = await start(tasks, partial(buffer.put, "d"))
                check(buffer)
                assert dropping.state == "returned"  # "b" made room for "c", and "c" for "d"
            assert await buffer.drain() == ["a", "d"]

    async def test_dropping_put_whose_turn_it_is_is_refused_when_all_are_leased(self) -> None:
        async with self.open(max_bytes=10) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["12345", "6789"])
            async with buffer.lease():
                large = await start(tasks, partial(buffer.put, "abcdef", overflow="wait"))
                dropping = await start(tasks, partial(buffer.put, "xyz"))
                assert (large.state, dropping.state) == ("running", "running")
            async with buffer.lease(2):
                await all_blocked()
                assert (large.state, dropping.state) == ("running", "running")
                large.cancel("scope")
                await all_blocked()
                assert isinstance(dropping.error, BufferFull)
                check(buffer, max_bytes=10)


class BytesSuite(BufferSuite):
    """The sizes of all messages together never exceed ``max_bytes``."""

    async def _fill(self, buffer: Buffer) -> None:
        for message in ("123", "4567", "890"):
            await buffer.put(message)
        check(buffer, max_bytes=10)
        assert buffer.statistics().size == 10

    async def test_drop_oldest_drops_as_many_as_it_takes(self) -> None:
        async with self.open(max_bytes=10) as buffer:
            await self._fill(buffer)
            await buffer.put("abcde")
            check(buffer, max_bytes=10)
            assert buffer.statistics().dropped == 2
            assert await buffer.drain() == ["890", "abcde"]
            assert buffer.statistics().size == 0

    async def test_other_policies_keep_to_max_bytes(self) -> None:
        async with self.open(max_bytes=10) as buffer, create_task_group() as tasks:
            await self._fill(buffer)
            with pytest.raises(BufferFull):
                await buffer.put("a", overflow="reject")
            assert (await buffer.put("a", overflow="drop_newest")).outcome is Outcome.DROPPED
            call = await start(tasks, partial(buffer.put, "abcdef", overflow="wait"))
            check(buffer, max_bytes=10)
            async with buffer.lease(3) as lease:
                for entry, state in zip(lease, ("running", "returned", "returned"), strict=True):
                    entry.ack()
                    await all_blocked()
                    assert call.state == state
                    check(buffer, max_bytes=10)

    async def test_leased_bytes_count_and_are_never_dropped(self) -> None:
        async with self.open(max_bytes=10) as buffer:
            await self._fill(buffer)
            async with buffer.lease(2):
                with pytest.raises(BufferFull):
                    await buffer.put("abcd")
                check(buffer, max_bytes=10)
                await buffer.put("abc")  # drops the "890" that is not leased
                check(buffer, max_bytes=10)
            assert await buffer.drain() == ["123", "4567", "abc"]

    async def test_message_that_never_fits_raises_message_too_large(self) -> None:
        async with self.open(max_bytes=10) as buffer:
            await self._fill(buffer)
            before = buffer.statistics()
            for policy in Overflow:
                with pytest.raises(MessageTooLarge) as caught:
                    await buffer.put("elf of them", overflow=policy)
                assert (caught.value.size, caught.value.max_bytes) == (11, 10)
            assert buffer.statistics() == before
            await buffer.put("ten of them"[:10])
            check(buffer, max_bytes=10)

    async def test_sizes_are_bytes_of_utf_8_unless_size_of_tells_otherwise(self) -> None:
        async with self.open(max_bytes=10) as buffer:
            await buffer.put("é€")
            assert buffer.statistics().size == 5
        async with self.open(max_bytes=10, size_of=len) as buffer:
            await buffer.put("é€")
            assert buffer.statistics().size == 2
            with pytest.raises(MessageTooLarge):
                await buffer.put("elf of them")

    async def test_max_size_and_max_bytes_hold_together(self) -> None:
        async with self.open(max_size=2, max_bytes=10) as buffer:
            await put_all(buffer, "abc")
            assert await buffer.drain() == ["b", "c"]
            await buffer.put("12345678")
            await buffer.put("abc")
            check(buffer, max_bytes=10)
            assert await buffer.drain() == ["abc"]
