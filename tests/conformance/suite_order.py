"""Promise 3, order: first in, first out, from tasks and threads alike; nothing overtakes."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, to_thread

from ridethrough import Outcome
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, check, lease_all, put_all, start, until


class OrderSuite(BufferSuite):
    """FIFO in the order in which ``put`` was called."""

    async def test_leased_in_the_order_of_puts(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abcd")
            assert [await lease_all(buffer, 1), await lease_all(buffer, 2), await lease_all(buffer)] == ["a", "bc", "d"]

    async def test_drained_in_the_order_of_puts(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abcd")
            assert await buffer.drain() == list("abcd")
            assert await buffer.drain() == []
            check(buffer)

    async def test_put_and_put_from_thread_share_one_order(self) -> None:
        async with self.open(threads=True) as buffer:
            for message in "aceg":
                await buffer.put(message)
                await to_thread.run_sync(buffer.put_from_thread, chr(ord(message) + 1))
            assert await lease_all(buffer) == "abcdefgh"

    async def test_each_thread_keeps_its_order_among_others(self) -> None:
        def put_many(name: str) -> None:
            for number in range(50):
                buffer.put_from_thread(f"{name}{number}")

        async with self.open(threads=True, max_size=1000) as buffer:
            async with create_task_group() as tasks:
                for name in "xyz":
                    tasks.start_soon(to_thread.run_sync, put_many, name)
                for number in range(50):
                    await buffer.put(f"w{number}")
            check(buffer)
            messages = await buffer.drain()
            for name in "wxyz":
                assert [message for message in messages if message[0] == name] == [f"{name}{n}" for n in range(50)]

    async def test_blocked_putters_are_served_in_turn(self) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            calls = [await start(tasks, partial(buffer.put, message)) for message in "bcd"]
            assert buffer.statistics().waiting_to_put == 3
            seen = []
            for left in (2, 1, 0):
                seen += await buffer.drain()
                await all_blocked()
                check(buffer)
                assert buffer.statistics().waiting_to_put == left
                assert [call.state for call in calls].count("running") == left
            assert [*seen, *await buffer.drain()] == list("abcd")

    async def test_blocked_threads_and_tasks_are_served_in_turn(self) -> None:
        async with self.open(threads=True, max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            await start(tasks, partial(buffer.put, "b"))
            tasks.start_soon(partial(to_thread.run_sync, buffer.put_from_thread, "c"))
            await until(lambda: buffer.statistics().waiting_to_put == 2)
            await start(tasks, partial(buffer.put, "d"))
            assert buffer.statistics().waiting_to_put == 3
            seen = [await lease_all(buffer, 1) for _ in "abcd"]
            check(buffer)
            assert seen == list("abcd")

    async def test_several_get_in_when_there_is_room_for_several(self) -> None:
        async with self.open(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            for message in "def":
                await start(tasks, partial(buffer.put, message))
            assert await buffer.drain() == list("abc")
            await all_blocked()
            check(buffer)
            assert await buffer.drain() == list("def")

    @pytest.mark.parametrize("per", ["buffer", "put"])
    @pytest.mark.parametrize("policy", ["drop_oldest", "wait"])
    async def test_put_does_not_overtake_who_waits(self, policy: str, per: str) -> None:
        async with self.open(max_size=3, overflow=policy) as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            await start(tasks, partial(buffer.put, "d", overflow="wait"))
            await buffer.drain()
            await (buffer.put("e") if per == "buffer" else buffer.put("e", overflow=policy))
            check(buffer)
            assert await buffer.drain() == ["d", "e"]

    async def test_dropping_put_makes_room_for_who_waited_before_it(self) -> None:
        async with self.open(max_size=3) as buffer, create_task_group() as tasks:
            deliveries = await put_all(buffer, "abc")
            await start(tasks, partial(buffer.put, "d", overflow="wait"))
            await start(tasks, partial(buffer.put, "e", overflow="drop_oldest"))
            check(buffer)
            assert [delivery.outcome for delivery in deliveries] == [Outcome.DROPPED, Outcome.DROPPED, None]
            assert await buffer.drain() == ["c", "d", "e"]

    async def test_dropping_put_makes_room_for_who_waited_before_it_once_a_lease_ends(self) -> None:
        async with self.open(max_bytes=10) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["12345", "6789"])
            async with buffer.lease():
                large = await start(tasks, partial(buffer.put, "abcdef", overflow="wait"))
                dropping = await start(tasks, partial(buffer.put, "xyz"))
                assert (large.state, dropping.state) == ("running", "running")
            await all_blocked()
            check(buffer, max_bytes=10)
            assert (large.state, dropping.state) == ("returned", "returned")
            assert await buffer.drain() == ["abcdef", "xyz"]

    @pytest.mark.parametrize("end", ["in", "cancelled"])
    async def test_dropping_put_that_waits_no_more_makes_no_room(self, end: str) -> None:
        async with self.open(max_bytes=4, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            async with buffer.lease():
                large = await start(tasks, partial(buffer.put, "xxxx"))
                dropping = await start(tasks, partial(buffer.put, "d", overflow="drop_oldest"))
                assert (large.state, dropping.state) == ("running", "running")
                (dropping if end == "cancelled" else large).cancel("scope")
                await all_blocked()
                assert (dropping.state == "returned") == (end == "in")
                large.cancel("scope")
                await put_all(buffer, "ef" if end == "cancelled" else "e")
                last = await start(tasks, partial(buffer.put, "g"))
                check(buffer, max_bytes=4)
                assert (last.state, buffer.statistics().dropped) == ("running", 0)
            assert await buffer.drain() == list("abef" if end == "cancelled" else "abde")

    async def test_small_message_does_not_overtake_a_large_one_that_waits(self) -> None:
        async with self.open(max_bytes=10, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("1234567")
            large = await start(tasks, partial(buffer.put, "abcdef"))
            small = await start(tasks, partial(buffer.put, "x"))
            assert (large.state, small.state) == ("running", "running")
            assert await lease_all(buffer) == "1234567"
            await all_blocked()
            check(buffer, max_bytes=10)
            assert await buffer.drain() == ["abcdef", "x"]


class PlaceSuite(BufferSuite):
    """What comes back goes to its own old place."""

    @staticmethod
    async def _give_back(buffer: Buffer, limit: int, acknowledge: str) -> None:
        async with buffer.lease(limit) as lease:
            for entry in lease:
                entry.begin()
                if entry.message in acknowledge:
                    entry.ack()
            check(buffer)
        check(buffer)

    async def test_given_back_message_is_first_again(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abc")
            await self._give_back(buffer, 1, "")
            assert await lease_all(buffer) == "abc"

    @pytest.mark.parametrize("acknowledged", ["", "a", "b", "c", "ab", "ac", "bc", "abc"])
    async def test_given_back_messages_are_in_their_old_order(self, acknowledged: str) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abcde")
            await self._give_back(buffer, 3, acknowledged)
            await buffer.put("f")
            assert await lease_all(buffer) == "".join(letter for letter in "abcdef" if letter not in acknowledged)

    async def test_given_back_message_comes_before_what_was_put_meanwhile(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "ab")
            async with buffer.lease(2):
                await put_all(buffer, "cd")
            assert await buffer.drain() == list("abcd")

    async def test_given_back_message_is_the_oldest_to_drop(self) -> None:
        async with self.open(max_size=3) as buffer:
            first, *_ = await put_all(buffer, "abc")
            await self._give_back(buffer, 1, "")
            await buffer.put("d")
            check(buffer)
            assert first.outcome is Outcome.DROPPED
            assert await buffer.drain() == list("bcd")
