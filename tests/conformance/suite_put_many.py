"""Several messages put together: as if one after the other with nobody in between, and all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from anyio import create_task_group, sleep, to_thread

from ridethrough import BufferClosed, BufferFull, Delivery, MessageTooLarge, Outcome, Overflow
from tests.clocks import all_blocked

from .harness import BufferSuite, check, ends, lease_all, put_all, start, until, ways_to_cancel

EACH_POLICY = pytest.mark.parametrize("policy", list(Overflow))
REFUSING = pytest.mark.parametrize("policy", ["drop_oldest", "reject", "wait"])


class PutManySuite(BufferSuite):
    """``put_many`` where there is room, or will never be."""

    @EACH_POLICY
    async def test_gives_a_delivery_for_each_in_order(self, policy: str) -> None:
        async with self.open(max_size=5, overflow=policy) as buffer:
            await buffer.put("a")
            deliveries = await buffer.put_many(["b", "c", "d"])
            check(buffer)
            assert [delivery.message for delivery in deliveries] == ["b", "c", "d"]
            assert [delivery.id for delivery in deliveries] == [2, 3, 4]
            assert [delivery.outcome for delivery in deliveries] == [None] * 3
            await buffer.put("e")
            assert await lease_all(buffer) == "abcde"
            assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT] * 3

    @EACH_POLICY
    async def test_nothing_to_put_does_nothing(self, policy: str) -> None:
        async with self.open(max_size=1, overflow=policy) as buffer, create_task_group() as tasks:
            await buffer.put("a")
            waits = await start(tasks, partial(buffer.put, "b", overflow="wait"))
            assert waits.state == "running"
            before = buffer.statistics()
            assert await buffer.put_many([]) == []
            assert await buffer.put_many(iter(())) == []
            assert buffer.statistics() == before
            assert await buffer.aclose() == ["a"]
            assert await buffer.put_many([]) == []

    async def test_takes_any_iterable(self) -> None:
        def generate() -> Iterator[str]:
            yield from "cd"

        async with self.open() as buffer:
            await buffer.put_many(("a", "b"))
            await buffer.put_many(generate())
            await buffer.put_many({"e": 1, "f": 2})
            assert await buffer.drain() == list("abcdef")

    async def test_what_the_iterable_raises_comes_out_and_nothing_was_accepted(self) -> None:
        def generate() -> Iterator[str]:
            yield "a"
            raise LookupError("the second is missing")

        async with self.open() as buffer:
            with pytest.raises(LookupError, match="the second is missing"):
                await buffer.put_many(generate())
            assert buffer.statistics().accepted == 0

    async def test_wakes_who_waits_for_messages(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            taker = await start(tasks, partial(lease_all, buffer, 1))
            looker = await start(tasks, buffer.wait_nonempty)
            await buffer.put_many("ab")
            await all_blocked()
            assert (taker.result, looker.state) == ("a", "returned")
            assert await buffer.drain() == ["b"]

    async def test_all_have_the_same_ttl(self) -> None:
        async with self.open(ttl=60) as buffer:
            old, older = await buffer.put_many("ab", ttl=5)
            kept, kept_too = await buffer.put_many("cd")
            await sleep(6)
            check(buffer)
            assert (old.outcome, older.outcome) == (Outcome.EXPIRED, Outcome.EXPIRED)
            await sleep(50)
            assert (kept.outcome, kept_too.outcome) == (None, None)
            assert await buffer.drain() == ["c", "d"]

    async def test_each_has_its_own_key(self) -> None:
        async with self.open(key=lambda message: message[0]) as buffer:
            await buffer.put_many(["a1", "b1", "a2", "c1"])
            async with buffer.lease() as lease:
                next(iter(lease)).defer(10)
            assert await lease_all(buffer) == "b1c1"
            assert await lease_all(buffer) == "a1a2"

    @EACH_POLICY
    async def test_one_that_never_fits_refuses_all(self, policy: str) -> None:
        async with self.open(max_bytes=10, overflow=policy) as buffer:
            await put_all(buffer, ["1234", "5678"])
            before = buffer.statistics()
            with pytest.raises(MessageTooLarge) as caught:
                await buffer.put_many(["a", "elf of them", "b"])
            assert (caught.value.size, caught.value.max_bytes) == (11, 10)
            assert buffer.statistics() == before

    @EACH_POLICY
    async def test_bad_key_of_one_refuses_all(self, policy: str) -> None:
        def key(message: str) -> object:
            return [message] if message == "c" else message

        async with self.open(max_size=1, key=key, overflow=policy) as buffer:
            await buffer.put("a")
            before = buffer.statistics()
            with pytest.raises(TypeError, match="key must return something hashable, not list"):
                await buffer.put_many("bc")
            assert buffer.statistics() == before

    @REFUSING
    async def test_more_than_could_ever_fit_are_refused(self, policy: str) -> None:
        async with self.open(max_size=3, max_bytes=10) as buffer:
            await buffer.put("a")
            before = buffer.statistics()
            with pytest.raises(BufferFull, match=r"together they never fit in: 4 of 3 messages, 4 of 10 bytes$"):
                await buffer.put_many("bcde", overflow=policy)
            with pytest.raises(BufferFull, match=r"together they never fit in: 2 of 3 messages, 11 of 10 bytes$"):
                await buffer.put_many(["123456", "78901"], overflow=policy)
            assert buffer.statistics() == before

    async def test_closed_buffer_takes_none(self) -> None:
        async with self.open() as buffer:
            await buffer.aclose()
            with pytest.raises(BufferClosed):
                await buffer.put_many("ab")
            assert buffer.statistics().accepted == 0

    async def test_one_of_them_is_taken_back_without_the_others(self) -> None:
        async with self.open() as buffer:
            _, second, _ = await buffer.put_many("abc")
            assert second.cancel()
            assert await buffer.drain() == ["a", "c"]


class PutManyOverflowSuite(BufferSuite):
    """``put_many`` where there is no room for all of them."""

    async def test_drop_oldest_drops_as_many_as_it_takes(self) -> None:
        async with self.open(max_size=4) as buffer:
            old = await put_all(buffer, "abc")
            new = await buffer.put_many("def")
            check(buffer)
            assert [delivery.outcome for delivery in old] == [Outcome.DROPPED, Outcome.DROPPED, None]
            assert [delivery.outcome for delivery in new] == [None] * 3
            assert await buffer.drain() == list("cdef")
            await buffer.put("g")
            await buffer.put_many("hijk")
            assert await buffer.drain() == list("hijk")

    async def test_drop_oldest_keeps_to_max_bytes(self) -> None:
        async with self.open(max_bytes=10) as buffer:
            await put_all(buffer, ["123", "456", "789"])
            await buffer.put_many(["abcd", "e"])
            check(buffer, max_bytes=10)
            assert await buffer.drain() == ["789", "abcd", "e"]

    async def test_drop_oldest_never_drops_what_is_leased_nor_one_of_their_own(self) -> None:
        async with self.open(max_size=3) as buffer:
            await put_all(buffer, "abc")
            async with buffer.lease():
                before = buffer.statistics()
                with pytest.raises(BufferFull, match="full of what is leased"):
                    await buffer.put_many("def")
                assert buffer.statistics() == before
                await buffer.put_many("gh")
                check(buffer)
            assert await buffer.drain() == ["a", "g", "h"]

    async def test_drop_newest_takes_what_fits_and_drops_the_rest(self) -> None:
        async with self.open(max_size=3, overflow="drop_newest") as buffer:
            await buffer.put("a")
            deliveries = await buffer.put_many("bcdef")
            check(buffer)
            assert [delivery.outcome for delivery in deliveries] == [None, None] + [Outcome.DROPPED] * 3
            assert [delivery.id for delivery in deliveries] == [2, 3, 4, 5, 6]
            await ends(deliveries[-1])
            assert await buffer.drain() == list("abc")

    async def test_drop_newest_looks_at_each_one_by_itself(self) -> None:
        async with self.open(max_bytes=10, overflow="drop_newest") as buffer:
            deliveries = await buffer.put_many(["123456", "78901", "2345"])
            check(buffer, max_bytes=10)
            assert [delivery.outcome for delivery in deliveries] == [None, Outcome.DROPPED, None]
            assert await buffer.drain() == ["123456", "2345"]

    async def test_drop_newest_does_not_overtake_who_waits(self) -> None:
        async with self.open(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            large = await start(tasks, partial(buffer.put_many, "cd"))
            dropped = await buffer.put_many("ef", overflow="drop_newest")
            assert [delivery.outcome for delivery in dropped] == [Outcome.DROPPED] * 2
            assert await buffer.drain() == ["a", "b"]
            await all_blocked()
            assert (large.state, await buffer.drain()) == ("returned", ["c", "d"])

    async def test_reject_accepts_none_if_one_has_no_room(self) -> None:
        async with self.open(max_size=3, overflow="reject") as buffer:
            await put_all(buffer, "ab")
            before = buffer.statistics()
            with pytest.raises(BufferFull, match="the buffer is full: 2 of 3 messages"):
                await buffer.put_many("cd")
            assert buffer.statistics() == before
            assert await buffer.drain() == ["a", "b"]

    async def test_wait_waits_for_room_for_all_at_once(self) -> None:
        async with self.open(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            call = await start(tasks, partial(buffer.put_many, "de"))
            assert await lease_all(buffer, 1) == "a"
            await all_blocked()
            now = buffer.statistics()
            assert (call.state, now.accepted, now.waiting_to_put) == ("running", 3, 1)
            assert await lease_all(buffer, 1) == "b"
            await all_blocked()
            check(buffer)
            assert (call.state, buffer.statistics().waiting_to_put) == ("returned", 0)
            assert await buffer.drain() == ["c", "d", "e"]

    async def test_wait_waits_for_bytes_for_all_at_once(self) -> None:
        async with self.open(max_bytes=10, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, ["1234", "5678"])
            call = await start(tasks, partial(buffer.put_many, ["ab", "cde", "fg"]))
            assert await lease_all(buffer, 1) == "1234"
            await all_blocked()
            assert call.state == "running"
            assert await lease_all(buffer, 1) == "5678"
            await all_blocked()
            check(buffer, max_bytes=10)
            assert (call.state, await buffer.drain()) == ("returned", ["ab", "cde", "fg"])

    async def test_nobody_overtakes_and_nobody_comes_in_between(self) -> None:
        async with self.open(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            first = await start(tasks, partial(buffer.put_many, "cd"))
            second = await start(tasks, partial(buffer.put, "e"))  # for which there is room
            third = await start(tasks, partial(buffer.put_many, "fgh"))
            assert buffer.statistics().waiting_to_put == 3
            assert await buffer.drain() == ["a", "b"]
            await all_blocked()
            assert (first.state, second.state, third.state) == ("returned", "returned", "running")
            assert await buffer.drain() == ["c", "d", "e"]
            await all_blocked()
            assert await buffer.drain() == ["f", "g", "h"]

    async def test_age_counts_from_the_end_of_the_wait(self) -> None:
        async with self.open(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            call = await start(tasks, partial(buffer.put_many, "cd", ttl=5))
            await sleep(10)
            await buffer.drain()
            await sleep(3)
            assert call.result is not None
            assert [delivery.outcome for delivery in call.result] == [None, None]
            await sleep(3)
            check(buffer)
            assert [delivery.outcome for delivery in call.result] == [Outcome.EXPIRED] * 2

    async def test_dropping_ones_make_room_for_those_who_waited_before_them(self) -> None:
        async with self.open(max_size=4) as buffer, create_task_group() as tasks:
            await put_all(buffer, "abcd")
            async with buffer.lease():
                await start(tasks, partial(buffer.put_many, "ef", overflow="wait"))
                dropping = await start(tasks, partial(buffer.put_many, "gh"))
                check(buffer)
                assert dropping.state == "returned"  # "b" and "c" made room for "e" and "f", and "d" and "e" for them
            assert await buffer.drain() == ["a", "f", "g", "h"]

    async def test_closing_ends_the_wait_and_none_was_accepted(self) -> None:
        async with self.open(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            call = await start(tasks, partial(buffer.put_many, "bc"))
            assert await buffer.aclose() == ["a"]
            await all_blocked()
            assert isinstance(call.error, BufferClosed)
            assert buffer.statistics().accepted == 1

    async def test_cancelled_while_waiting_for_room_none_was_accepted(self) -> None:
        for way in ways_to_cancel():
            async with self.open(max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
                await buffer.put("a")
                before = buffer.statistics()
                call = await start(tasks, partial(buffer.put_many, "bc"))
                behind = await start(tasks, partial(buffer.put, "d"))
                call.cancel(way)
                await all_blocked()
                assert (call.state, behind.state) == ("cancelled", "returned")
                assert await buffer.drain() == ["a", "d"]
                assert buffer.statistics().accepted == before.accepted + 1

    async def test_shares_one_order_with_threads(self) -> None:
        def put_from_thread() -> None:
            for number in range(100):
                buffer.put_from_thread(f"x{number}")

        async with self.open(threads=True, max_size=7, overflow="wait") as buffer, create_task_group() as tasks:
            seen: list[str] = []
            tasks.start_soon(to_thread.run_sync, put_from_thread)

            async def put() -> None:
                for number in range(100):
                    await buffer.put_many(f"y{number}{letter}" for letter in "abc")

            tasks.start_soon(put)
            while len(seen) < 400:
                await buffer.wait_nonempty()
                seen += await buffer.drain()
                check(buffer)
            ours = [at for at, message in enumerate(seen) if message[0] == "y"]
            assert [seen[at] for at in ours] == [f"y{number}{letter}" for number in range(100) for letter in "abc"]
            assert all(ours[at + 2] == ours[at] + 2 for at in range(0, 300, 3)), "somebody came in between"
            await until(buffer.is_empty)

    async def test_each_loss_is_reported(self) -> None:
        reported: list[Delivery[str]] = []
        async with self.open(max_size=2, on_undelivered=reported.append) as buffer:
            first, second = await buffer.put_many("ab")
            await buffer.put_many("cd")
            newest = await buffer.put_many("efg", overflow="drop_newest")
            assert reported == [first, second, *newest]
            await buffer.drain()
