"""Promises 8 and 9, classified failure and the head of the line: a pause holds up what it stands for, in its order."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, current_time, sleep

from ridethrough import Outcome
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, check, ends, lease_all, put_all, start


def first_letter(message: str) -> str:
    return message[0]


async def defer_first(buffer: Buffer, after: float, scope: str = "key") -> None:
    """Lease one message, and be told to send it later."""
    async with buffer.lease() as lease:
        for entry in lease:
            entry.begin()
            assert entry.defer(after, "all" if scope == "all" else "key")
            check(buffer)
    check(buffer)


class ClassifiedFailureSuite(BufferSuite):
    """What becomes of a message, and of those after it."""

    async def test_rejected_message_ends_and_the_next_goes_on(self) -> None:
        async with self.open() as buffer:
            refused, _ = await put_all(buffer, "ab")
            async with buffer.lease(2) as lease:
                for entry in lease:
                    entry.begin()
                    assert entry.reject("no such user") if entry.message == "a" else entry.ack()
                    check(buffer)
            assert "no such user" in await ends(refused)
            assert (buffer.statistics().rejected, buffer.statistics().sent) == (1, 1)

    async def test_lost_link_keeps_all(self) -> None:
        async with self.open() as buffer:
            deliveries = await put_all(buffer, "ab")
            for _ in range(20):
                async with buffer.lease(2) as lease:
                    next(iter(lease)).begin()
            assert [delivery.outcome for delivery in deliveries] == [None, None]
            assert deliveries[0].attempts == 20
            assert await lease_all(buffer) == "ab"

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_without_keys_a_pause_holds_up_everything(self, scope: str) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "ab")
            began = current_time()
            await defer_first(buffer, 10, scope)
            await buffer.put("c")
            assert await lease_all(buffer) == "abc"
            assert 10 <= current_time() - began < 11

    async def test_pause_of_all_holds_up_every_key(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1"])
            began = current_time()
            await defer_first(buffer, 10, "all")
            await buffer.put("c1")
            assert await lease_all(buffer) == "a1b1c1"
            assert 10 <= current_time() - began < 11

    async def test_pause_begins_within_the_lease(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2", "b2"])
            seen = []
            async with buffer.lease(4) as lease:
                for entry in lease:
                    seen.append(entry.message)
                    if entry.message == "a1":
                        entry.defer(10)
            assert seen == ["a1", "b1", "b2"]

    async def test_pause_of_no_length_holds_up_nothing(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1"])
            await defer_first(buffer, 0)
            assert await lease_all(buffer) == "a1b1"

    async def test_shorter_pause_does_not_cut_a_longer_one_short(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "a2"])
            began = current_time()
            async with buffer.lease(2) as lease:
                first, second = lease
                first.defer(10)
                second.defer(5)
            assert await lease_all(buffer) == "a1a2"
            assert 10 <= current_time() - began < 11

    @pytest.mark.parametrize("bad", [-1, float("inf"), float("nan"), True, "1", None])
    async def test_defer_refuses_what_is_no_pause(self, bad: float) -> None:
        async with self.open() as buffer:
            await buffer.put("a")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
                with pytest.raises((TypeError, ValueError), match="after must be"):
                    entry.defer(bad)
                with pytest.raises(ValueError, match="scope must be"):
                    entry.defer(1, "everything")  # type: ignore[arg-type]
            assert await lease_all(buffer) == "a"


class KeySuite(BufferSuite):
    """A paused key holds up only its own messages, in their order; the others go on in theirs."""

    async def test_paused_key_holds_up_only_its_own(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2", "c1", "b2"])
            began = current_time()
            await defer_first(buffer, 10)
            await buffer.put("a3")
            assert [await lease_all(buffer, 2), await lease_all(buffer)] == ["b1c1", "b2"]
            assert current_time() - began < 1
            assert await lease_all(buffer) == "a1a2a3"
            assert 10 <= current_time() - began < 11

    async def test_after_the_pause_all_are_in_their_old_order_again(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2", "b2"])
            await defer_first(buffer, 10)
            await put_all(buffer, ["b3", "a3"])
            await sleep(11)
            assert await lease_all(buffer) == "a1b1a2b2b3a3"

    async def test_two_keys_pause_for_their_own_times(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "c1", "a2", "b2"])
            began = current_time()
            await defer_first(buffer, 20)
            await defer_first(buffer, 10)
            assert await lease_all(buffer) == "c1"
            assert await lease_all(buffer) == "b1b2"
            assert 10 <= current_time() - began < 11
            assert await lease_all(buffer) == "a1a2"
            assert 20 <= current_time() - began < 21

    async def test_message_held_up_counts_and_is_drained_in_its_place(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2"])
            await defer_first(buffer, 10)
            assert len(buffer) == 3
            async with buffer.lease() as lease:  # the messages that are held up move aside
                assert [entry.message for entry in lease] == ["b1"]
            assert await buffer.drain() == ["a1", "b1", "a2"]
            check(buffer)

    async def test_message_held_up_is_the_oldest_to_drop(self) -> None:
        async with self.open(key=first_letter, max_size=3) as buffer:
            first, *_ = await put_all(buffer, ["a1", "b1", "a2"])
            await defer_first(buffer, 10)
            assert await lease_all(buffer, 1) == "b1"
            await put_all(buffer, ["c1", "c2"])
            assert first.outcome is Outcome.DROPPED
            assert await buffer.drain() == ["a2", "c1", "c2"]

    async def test_message_held_up_can_be_cancelled_abandoned_and_expire(self) -> None:
        async with self.open(key=first_letter) as buffer:
            cancelled, expired, abandoned = [
                await buffer.put("a1"), await buffer.put("a2", ttl=5), await buffer.put("a3")
            ]  # fmt: skip
            await defer_first(buffer, 60)
            assert cancelled.cancel()
            check(buffer)
            await sleep(6)
            check(buffer)
            assert expired.outcome is Outcome.EXPIRED
            assert await buffer.aclose() == ["a3"]
            assert abandoned.outcome is Outcome.ABANDONED

    async def test_key_none_is_a_key_like_any_other(self) -> None:
        async with self.open(key=lambda message: None if message[0] == "a" else message[0]) as buffer:
            await put_all(buffer, ["a1", "b1", "a2"])
            await defer_first(buffer, 10)
            assert await lease_all(buffer) == "b1"
            assert await lease_all(buffer) == "a1a2"

    async def test_keys_that_come_and_go_keep_their_order(self) -> None:
        """Each key is paused again and again for a time of its own; each sends its messages in order."""
        async with self.open(key=first_letter, max_size=1000) as buffer:
            everything = [f"{key}{number}" for number in range(8) for key in "abcd"]
            deliveries = await put_all(buffer, everything)
            seen: list[str] = []
            while not buffer.is_empty():
                async with buffer.lease(3) as lease:
                    for number, entry in enumerate(lease):
                        entry.begin()
                        if (entry.delivery.id + entry.delivery.attempts + number) % 3:
                            seen.append(entry.message)
                            entry.ack()
                        else:
                            entry.defer(1 + entry.delivery.id % 5)
                check(buffer)
            assert sorted(seen) == sorted(everything)
            for key in "abcd":
                assert [message for message in seen if message[0] == key] == [f"{key}{number}" for number in range(8)]
            assert max(delivery.attempts for delivery in deliveries) > 1


class PauseWakeSuite(BufferSuite):
    """Whoever waits for a message wakes when the pause that holds it up is over, whatever else came about."""

    async def test_second_waiter_learns_of_a_pause_that_began_while_it_waited(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            began = current_time()
            async with buffer.lease() as lease:
                call = await start(tasks, buffer.wait_nonempty)
                next(iter(lease)).defer(10)
            await sleep(11)
            assert call.state == "returned"
            assert await lease_all(buffer) == "a"
            assert current_time() - began < 12

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_message_put_during_a_pause_wakes_who_waits_at_its_end(self, scope: str) -> None:
        async with self.open(key=first_letter) as buffer, create_task_group() as tasks:
            await buffer.put("a1")
            await defer_first(buffer, 10, scope)
            assert await buffer.drain() == ["a1"]
            call = await start(tasks, buffer.wait_nonempty)
            await buffer.put("a2")
            await all_blocked()
            assert call.state == "running"
            await sleep(11)
            assert call.state == "returned"

    async def test_earlier_end_of_another_pause_wakes_who_waits(self) -> None:
        async with self.open(key=first_letter) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["a1", "b1"])
            await defer_first(buffer, 10)
            await defer_first(buffer, 60)
            first, *_ = await buffer.drain()
            assert first == "a1"
            await buffer.put("b2")
            call = await start(tasks, partial(lease_all, buffer))
            await sleep(1)
            await buffer.put("a2")
            await sleep(11)
            assert (call.state, call.result) == ("returned", "a2")
            assert await lease_all(buffer) == "b2"

    async def test_message_of_another_key_wakes_who_waits_at_once(self) -> None:
        async with self.open(key=first_letter) as buffer, create_task_group() as tasks:
            await buffer.put("a1")
            await defer_first(buffer, 60)
            call = await start(tasks, partial(lease_all, buffer))
            await buffer.put("b1")
            await all_blocked()
            assert (call.state, call.result) == ("returned", "b1")
