"""Promises 6 and 7, lease and doubt: what is not acknowledged comes back, and what nobody knows is said to be so."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group

from ridethrough import BufferClosed, Delivery, Outcome
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, check, lease_all, put_all, start


class LeaseSuite(BufferSuite):
    """Lease, not pop."""

    async def test_lease_takes_from_the_head_up_to_its_limit(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abcd")
            async with buffer.lease(3) as lease:
                assert len(lease) == 3
                assert [entry.message for entry in lease] == list("abc")
                check(buffer)
            async with buffer.lease() as lease:
                assert [entry.message for entry in lease] == ["a"]
            async with buffer.lease(100) as lease:
                assert [entry.message for entry in lease] == list("abcd")

    async def test_lease_waits_for_a_message(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            call = await start(tasks, partial(lease_all, buffer))
            assert call.state == "running"
            await buffer.put("a")
            await all_blocked()
            assert (call.state, call.result) == ("returned", "a")

    async def test_acknowledged_messages_are_sent_and_the_others_stay(self) -> None:
        async with self.open() as buffer:
            deliveries = await put_all(buffer, "abc")
            async with buffer.lease(3) as lease:
                for entry in lease:
                    assert entry.message != "b" or entry.ack({"timestamp": 1})
                assert len(lease) == 2
                check(buffer)
            assert [delivery.outcome for delivery in deliveries] == [None, Outcome.SENT, None]
            assert await deliveries[1] == {"timestamp": 1}
            assert await lease_all(buffer) == "ac"

    async def test_lease_that_ends_by_an_exception_gives_back(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "ab")
            with pytest.raises(ZeroDivisionError):
                async with buffer.lease(2) as lease:
                    next(iter(lease)).ack()
                    raise ZeroDivisionError
            check(buffer)
            assert await lease_all(buffer) == "b"

    async def test_drain_leaves_what_is_leased(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abc")
            async with buffer.lease():
                assert await buffer.drain() == ["b", "c"]
                check(buffer)
                assert await buffer.drain() == []
                assert (len(buffer), buffer.is_empty()) == (1, False)
            assert await buffer.drain() == ["a"]

    async def test_leased_message_cannot_be_cancelled_by_its_sender(self) -> None:
        async with self.open() as buffer:
            leased, queued = await put_all(buffer, "ab")
            async with buffer.lease():
                assert not leased.cancel()
                assert queued.cancel()
                check(buffer)
            assert leased.cancel()
            check(buffer)
            assert buffer.is_empty()

    async def test_second_lease_waits_for_the_first(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            async with buffer.lease() as lease:
                call = await start(tasks, partial(lease_all, buffer, 1))
                next(iter(lease)).ack()
                await all_blocked()
                assert call.state == "running"
            await all_blocked()
            assert (call.state, call.result) == ("returned", "b")

    async def test_leases_that_wait_get_their_turn(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            calls = [await start(tasks, partial(lease_all, buffer, 1)) for _ in range(3)]
            await put_all(buffer, "abc")
            await all_blocked()
            check(buffer)
            assert sorted(str(call.result) for call in calls) == list("abc")

    async def test_late_acknowledgement_changes_nothing_and_is_counted(self) -> None:
        async with self.open() as buffer:
            delivery, _ = await put_all(buffer, "ab")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
            assert not entry.ack()
            assert not entry.reject("no")
            assert not entry.unknown("perhaps")
            assert not entry.defer(1)
            check(buffer)
            assert (delivery.outcome, buffer.statistics().late) == (None, 4)
            assert await lease_all(buffer) == "ab"
            assert not entry.ack()
            assert (buffer.statistics().sent, buffer.statistics().late) == (2, 5)

    async def test_late_acknowledgement_does_not_end_the_next_lease_of_the_message(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
            async with buffer.lease():
                assert not entry.ack()
                check(buffer)
                assert (delivery.outcome, buffer.statistics().leased) == (None, 1)

    async def test_second_answer_to_a_message_changes_nothing_and_is_counted(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
                assert entry.ack(1)
                assert not entry.ack(2)
                assert not entry.reject("no")
                check(buffer)
            assert await delivery == 1
            assert buffer.statistics().late == 2

    async def test_acknowledgement_after_closing_is_late(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
                assert await buffer.aclose() == ["a"]
                assert not entry.ack()
                check(buffer)
            check(buffer)
            assert (delivery.outcome, buffer.statistics().late) == (Outcome.ABANDONED, 1)

    async def test_lease_of_a_closed_buffer_raises(self) -> None:
        async with self.open() as buffer:
            lease = buffer.lease()
            await buffer.aclose()
            with pytest.raises(BufferClosed):
                await lease.__aenter__()


class DoubtSuite(BufferSuite):
    """``maybe_sent`` and ``attempts`` tell what is known."""

    @staticmethod
    async def _attempt(buffer: Buffer, answer: str, *, begin: bool = True) -> None:
        """Lease one message and begin to send it; the answer is "" for none, or the name of one."""
        async with buffer.lease() as lease:
            for entry in lease:
                if begin:
                    entry.begin()
                    assert entry.delivery.maybe_sent, "in doubt from the moment a send begins"
                if answer in ("reject", "unknown"):
                    getattr(entry, answer)("no")
                elif answer == "defer":
                    entry.defer(0)
                elif answer:
                    getattr(entry, answer)()
        check(buffer)

    @staticmethod
    def _state(delivery: Delivery[str]) -> tuple[Outcome | None, int, bool]:
        return delivery.outcome, delivery.attempts, delivery.maybe_sent

    async def test_message_that_no_send_began_of_is_not_in_doubt(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            await self._attempt(buffer, "", begin=False)
            assert self._state(delivery) == (None, 0, False)

    async def test_link_lost_before_the_send_began_costs_no_attempt(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            await self._attempt(buffer, "unbegin")
            assert self._state(delivery) == (None, 0, False)

    async def test_send_that_was_never_answered_leaves_doubt(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            await self._attempt(buffer, "")
            assert self._state(delivery) == (None, 1, True)
            await self._attempt(buffer, "unbegin")
            assert self._state(delivery) == (None, 1, True)
            await self._attempt(buffer, "defer")
            assert self._state(delivery) == (None, 2, True)
            await self._attempt(buffer, "ack")
            assert self._state(delivery) == (Outcome.SENT, 3, True)

    @pytest.mark.parametrize(
        ("answer", "outcome", "doubt"),
        [
            ("ack", Outcome.SENT, False),
            ("reject", Outcome.REJECTED, False),
            ("defer", None, False),
            ("unknown", Outcome.UNKNOWN, True),
        ],
    )
    async def test_answer_settles_the_send(self, answer: str, outcome: Outcome | None, doubt: bool) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            await self._attempt(buffer, answer)
            assert self._state(delivery) == (outcome, 1, doubt)

    async def test_doubt_stays_with_a_message_that_is_drained_or_abandoned(self) -> None:
        async with self.open() as buffer:
            drained = await buffer.put("a")
            await self._attempt(buffer, "")
            await buffer.drain()
            abandoned = await buffer.put("b")
            await self._attempt(buffer, "")
            await buffer.aclose()
            assert self._state(drained) == (Outcome.DRAINED, 1, True)
            assert self._state(abandoned) == (Outcome.ABANDONED, 1, True)

    async def test_send_cannot_begin_twice_nor_after_the_lease(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            async with buffer.lease() as lease:
                entry = next(iter(lease))
                entry.begin()
                with pytest.raises(RuntimeError):
                    entry.begin()
            with pytest.raises(RuntimeError):
                entry.begin()
            assert not entry.unbegin()
            assert self._state(delivery) == (None, 1, True)
