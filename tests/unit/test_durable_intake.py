"""durable_intake.py: who gets in while others are being written, so that the bound holds and nobody overtakes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, sleep, to_thread

from ridethrough import BufferClosed, BufferFull, Delivery, MessageTooLarge, Outcome, Overflow
from ridethrough.errors import StoreError, StoreFull
from tests.clocks import all_blocked
from tests.conformance.harness import Buffer, check, lease_all, put_all, start, until
from tests.journals import FakeJournal, open_buffer

pytestmark = pytest.mark.anyio


async def test_reject_counts_what_is_being_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow="reject") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        journal.shut()
        call = await start(tasks, partial(buffer.put, "b"))
        with pytest.raises(BufferFull):
            await buffer.put("c")
        journal.open_gate()
        await all_blocked()
        assert call.state == "returned"
        assert await lease_all(buffer) == "ab"


async def test_max_bytes_count_what_is_being_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_bytes=10, overflow="reject") as buffer, create_task_group() as tasks:
        journal.shut()
        await start(tasks, partial(buffer.put, "1234567"))
        with pytest.raises(BufferFull):
            await buffer.put("abcd")
        with pytest.raises(MessageTooLarge):
            await buffer.put("12345678901")
        fits = await start(tasks, partial(buffer.put, "abc"))
        journal.open_gate()
        await all_blocked()
        check(buffer, max_bytes=10)
        assert fits.state == "returned"
        assert buffer.statistics().size == 10
        await buffer.drain()


async def test_drop_newest_takes_what_fits_beside_what_is_being_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=4, overflow="drop_newest") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        journal.shut()
        await start(tasks, partial(buffer.put, "b"))
        call = await start(tasks, partial(buffer.put_many, "cdef"))
        journal.open_gate()
        await all_blocked()
        assert call.result is not None
        assert [delivery.outcome for delivery in call.result] == [None, None, Outcome.DROPPED, Outcome.DROPPED]
        check(buffer)
        assert await lease_all(buffer) == "abcd"


async def test_drop_newest_drops_all_while_somebody_waits_in_line() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        waits = await start(tasks, partial(buffer.put_many, "bc"))
        dropped = await buffer.put("d", overflow="drop_newest")
        assert (waits.state, dropped.outcome) == ("running", Outcome.DROPPED)
        assert await lease_all(buffer) == "a"
        await all_blocked()
        assert await lease_all(buffer) == "bc"


async def test_each_of_many_that_drop_drops_one() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2) as buffer, create_task_group() as tasks:
        old = await put_all(buffer, "ab")
        journal.shut()
        calls = [await start(tasks, partial(buffer.put, message)) for message in "cdefg"]
        assert [delivery.outcome for delivery in old] == [None, None], "nothing is dropped before it is written"
        journal.open_gate()
        await all_blocked()
        check(buffer)
        outcomes = [call.result and call.result.outcome for call in calls]
        assert outcomes == [Outcome.DROPPED] * 3 + [None] * 2
        assert buffer.statistics().dropped == 5
        assert await lease_all(buffer) == "fg"


async def test_room_that_comes_while_a_dropping_put_is_written_spares_the_oldest() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2) as buffer, create_task_group() as tasks:
        first, second = await put_all(buffer, "ab")
        journal.shut()
        await start(tasks, partial(buffer.put, "c"))
        assert second.cancel()
        journal.open_gate()
        await all_blocked()
        assert first.outcome is None
        assert await lease_all(buffer) == "ac"


async def test_putters_in_line_go_in_turn_while_others_are_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await put_all(buffer, "ab")
        calls = [await start(tasks, partial(buffer.put, message)) for message in "cdef"]
        seen = ""
        for _ in range(3):
            await all_blocked()
            check(buffer)
            seen += await lease_all(buffer)
        assert (seen, {call.state for call in calls}) == ("abcdef", {"returned"})


async def test_age_of_a_message_counts_from_when_it_was_let_in() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        journal.shut()
        call = await start(tasks, partial(buffer.put, "a", ttl=5))
        await sleep(3)
        journal.open_gate()
        await all_blocked()
        await sleep(1)
        assert call.result is not None
        assert (len(buffer), call.result.outcome) == (1, None)
        await sleep(2)
        assert (len(buffer), call.result.outcome) == (0, Outcome.EXPIRED)


async def test_message_that_grows_old_while_it_is_written_is_never_handed_out() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        journal.shut()
        call = await start(tasks, partial(buffer.put, "a", ttl=5))
        await sleep(6)
        journal.open_gate()
        await all_blocked()
        assert await buffer.drain() == []
        assert call.result is not None
        assert call.result.outcome is Outcome.EXPIRED


async def test_nothing_to_put_writes_nothing() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        assert await buffer.put_many([]) == []
        assert journal.commits == []


async def test_bad_arguments_change_nothing() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, key=lambda message: [message] if message == "x" else None) as buffer:
        for bad, error in (({"ttl": -1}, ValueError), ({"overflow": "sometimes"}, ValueError)):
            options: dict[str, Any] = dict(bad)
            with pytest.raises(error):
                await buffer.put("a", **options)
        with pytest.raises(TypeError, match="hashable"):
            await buffer.put("x")
        assert (buffer.statistics().accepted, journal.commits) == (0, [])


async def test_put_wakes_who_waits_for_messages_once_it_is_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        taker = await start(tasks, partial(lease_all, buffer))
        journal.shut()
        await start(tasks, partial(buffer.put, "a"))
        assert taker.state == "running"
        journal.open_gate()
        await all_blocked()
        assert taker.result == "a"


# Everything at once


class Chaos:
    """Puts of all kinds, leases, and a journal that fails now and then; what it keeps must be what waits."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.journal = FakeJournal()
        self.put: list[Delivery[str]] = []
        self.number = 0

    async def put_some(self, buffer: Buffer) -> None:
        await sleep(2 * self.rng.random())
        count = self.rng.choice((1, 1, 1, 2, 3))
        messages = [f"{self.number + at}" for at in range(count)]
        self.number += count
        ttl = self.rng.choice((None, None, 3.0))
        with suppress(BufferFull, BufferClosed, StoreError):
            self.put += await buffer.put_many(messages, overflow=self.rng.choice(list(Overflow)), ttl=ttl)

    async def send_some(self, buffer: Buffer) -> None:
        async with buffer.lease(self.rng.randint(1, 3)) as lease:
            for entry in lease:
                entry.begin()
                await sleep(self.rng.choice((0, 0.5)))
                roll = self.rng.random()
                if roll < 0.6:
                    entry.ack()
                elif roll < 0.7:
                    entry.reject("no")
                elif roll < 0.8:
                    break

    async def disturb(self, buffer: Buffer) -> None:
        self.journal.error = StoreFull("full") if self.rng.random() < 0.2 else None
        self.journal.only_appends_fail = self.rng.random() < 0.5
        if self.put and self.rng.random() < 0.3:
            self.rng.choice(self.put[-5:]).cancel()
        if self.rng.random() < 0.3:
            self.journal.shut()
        await sleep(self.rng.random())
        check(buffer)
        self.journal.open_gate()

    async def play(self, buffer: Buffer) -> None:
        async def repeat(times: int, step: Callable[[Buffer], Awaitable[None]]) -> None:
            for _ in range(times):
                await step(buffer)

        async with create_task_group() as senders:
            senders.start_soon(repeat, 10_000, self.send_some)
            async with create_task_group() as putters:
                for _ in range(4):
                    putters.start_soon(repeat, 15, self.put_some)
                putters.start_soon(repeat, 60, self.disturb)
            self.journal.error = None
            await buffer.flush()
            senders.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(8))
async def test_journal_keeps_what_waits_and_what_was_given_up(seed: int) -> None:
    chaos = Chaos(seed)
    journal = chaos.journal
    async with open_buffer(journal, max_size=5) as buffer:
        await chaos.play(buffer)
        journal.error = None
        chaos.put += await buffer.put_many("xyz")
        check(buffer)
        assert journal.shelf.bodies() == [delivery.message for delivery in buffer.waiting()] == ["x", "y", "z"]
        outcomes = Counter(delivery.outcome for delivery in chaos.put)
        now = buffer.statistics()
        assert now.accepted == len(chaos.put)
        assert {outcome: getattr(now, outcome) for outcome in outcomes if outcome} == {
            outcome: count for outcome, count in outcomes.items() if outcome
        }
        given_up = {Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.UNKNOWN}
        expected = {delivery.id: delivery.outcome for delivery in chaos.put if delivery.outcome in given_up}
        letters = await buffer.dead_letters()
        assert {letter.id: letter.outcome for letter in letters} == expected
        states = {delivery.id: (delivery.attempts, delivery.maybe_sent) for delivery in chaos.put}
        assert all(states[letter.id] == (letter.attempts, letter.maybe_sent) for letter in letters)
        ids = [delivery.id for delivery in chaos.put]
        assert len(set(ids)) == len(ids)


async def test_threads_share_the_bound() -> None:
    journal = FakeJournal()
    taken: list[str] = []

    def put(name: str) -> None:
        for number in range(50):
            buffer.put_from_thread(f"{name}{number}", overflow="wait")

    async with open_buffer(journal, threads=True, max_size=3) as buffer, create_task_group() as tasks:
        for name in "xy":
            tasks.start_soon(to_thread.run_sync, put, name)
        while len(taken) < 100:
            await buffer.wait_nonempty()
            check(buffer)
            taken += await buffer.drain()
        await until(buffer.is_empty)
        for name in "xy":
            assert [message for message in taken if message[0] == name] == [f"{name}{number}" for number in range(50)]
