"""Promises 1 and 2, conservation and no silent loss: each message ends exactly once, and whoever should know, does."""

from __future__ import annotations

import logging

import pytest
from anyio import create_task_group, sleep

from ridethrough import BufferClosed, BufferFull, Delivery, Outcome, Rejected, Undelivered

from .harness import UNDELIVERED, BufferSuite, check, end_undelivered, ends, lease_all, put_all, start

SECRET = "meet me at noon"


class ConservationSuite(BufferSuite):
    """accepted = queued + leased + ended, at every moment."""

    async def test_every_outcome_is_counted(self) -> None:
        async with self.open(max_size=5) as buffer:
            deliveries = await put_all(buffer, "dkabcx")  # "d" is dropped
            assert deliveries[1].cancel()
            check(buffer)
            async with buffer.lease(3) as lease:
                sent, rejected, unknown = lease
                assert sent.ack("result")
                check(buffer)
                assert rejected.reject("no")
                check(buffer)
                assert unknown.unknown("perhaps")
                check(buffer)
            assert await buffer.drain() == ["x"]
            check(buffer)
            deliveries.append(await buffer.put("old", ttl=1))
            await sleep(2)
            check(buffer)
            deliveries.append(await buffer.put("left"))
            assert await buffer.aclose() == ["left"]
            check(buffer)
            ended = buffer.statistics()
            for outcome in Outcome:
                assert getattr(ended, outcome) == 1, outcome
                assert [delivery.outcome for delivery in deliveries].count(outcome) == 1
            assert ended.accepted == ended.ended == 8
            assert ended.queued == ended.leased == ended.late == 0

    async def test_open_message_is_queued_or_leased(self) -> None:
        async with self.open() as buffer:
            first, second = await put_all(buffer, "ab")
            assert first.outcome is second.outcome is None
            assert (buffer.statistics().queued, buffer.statistics().leased) == (2, 0)
            async with buffer.lease():
                check(buffer)
                assert (buffer.statistics().queued, buffer.statistics().leased) == (1, 1)
            check(buffer)
            assert (buffer.statistics().queued, buffer.statistics().leased) == (2, 0)

    @pytest.mark.parametrize("outcome", UNDELIVERED)
    async def test_ended_message_does_not_end_again(self, outcome: Outcome) -> None:
        async with self.open(max_size=2) as buffer:
            delivery = await end_undelivered(buffer, outcome, "a")
            before = buffer.statistics()
            assert not delivery.cancel()
            assert "a" not in await buffer.drain()
            assert delivery.outcome is outcome
            assert getattr(buffer.statistics(), outcome) == getattr(before, outcome) == 1

    async def test_message_that_was_not_accepted_is_not_counted(self) -> None:
        async with self.open(max_size=1) as buffer:
            await buffer.put("a")
            with pytest.raises(BufferFull):
                await buffer.put("b", overflow="reject")
            assert buffer.statistics().accepted == 1
            await buffer.aclose()
            with pytest.raises(BufferClosed):
                await buffer.put("c")
            assert buffer.statistics().accepted == 1

    async def test_ids_grow_in_the_order_of_acceptance(self) -> None:
        async with self.open(max_size=2) as buffer:
            deliveries = await put_all(buffer, "abcd")
            assert sorted({delivery.id for delivery in deliveries}) == [delivery.id for delivery in deliveries]


class NoSilentLossSuite(BufferSuite):
    """An undelivered end shows in four ways."""

    @pytest.mark.parametrize("outcome", UNDELIVERED)
    async def test_undelivered_end_shows_in_four_ways(self, outcome: Outcome) -> None:
        reported: list[Delivery[str]] = []
        async with self.open(max_size=2, on_undelivered=reported.append) as buffer:
            delivery = await end_undelivered(buffer, outcome, "a")
            assert str(outcome) in await ends(delivery)
            assert reported[0] is delivery
            assert getattr(buffer.statistics(), outcome) == 1
            assert delivery.message == "a"

    async def test_end_that_was_asked_for_is_not_reported(self) -> None:
        reported: list[Delivery[str]] = []
        async with self.open(on_undelivered=reported.append) as buffer:
            sent, drained = await put_all(buffer, "ab")
            async with buffer.lease() as lease:
                for entry in lease:
                    entry.ack("result")
            await buffer.drain()
            cancelled = await buffer.put("c")
            assert cancelled.cancel()
            assert await sent == "result"
            assert await drained is None
            assert str(Outcome.CANCELLED) in await ends(cancelled)
        assert reported == []

    async def test_reason_and_cause_of_a_refusal_reach_who_awaits(self) -> None:
        async with self.open() as buffer:
            with_text, with_error, with_foreign_error = await put_all(buffer, "abc")
            async with buffer.lease(3) as lease:
                refused, failed, broken = lease
                refused.reject("not you")
                failed.reject(error := Rejected("no such number"))
                broken.reject(ValueError("what others write may quote the message"))
            assert "not you" in await ends(with_text)
            assert "no such number" in await ends(with_error)
            assert await ends(with_foreign_error) == "rejected: ValueError"
            with pytest.raises(Undelivered) as caught:
                await with_error
            assert caught.value.__cause__ is error

    async def test_all_who_await_learn_of_it(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
            async with create_task_group() as tasks:
                calls = [await start(tasks, lambda: ends(delivery)) for _ in range(3)]
                await buffer.aclose()
            assert [call.state for call in calls] == ["returned"] * 3
            assert await ends(delivery)

    async def test_on_undelivered_sees_the_state_after_and_may_use_the_buffer(self) -> None:
        seen: list[tuple[Outcome | None, int]] = []

        def use(delivery: Delivery[str]) -> None:
            check(buffer)
            seen.append((delivery.outcome, buffer.statistics().dropped))
            if delivery.message == "a":
                assert second.cancel()

        async with self.open(max_size=2, on_undelivered=use) as buffer:
            _, second = await put_all(buffer, "ab")
            await buffer.put("c")
            assert seen == [(Outcome.DROPPED, 1)]
            assert second.outcome is Outcome.CANCELLED
            assert await lease_all(buffer) == "c"

    async def test_what_on_undelivered_raises_is_logged_and_goes_no_further(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[int] = []

        def fail(delivery: Delivery[str]) -> None:
            told.append(delivery.id)
            raise ValueError(delivery.message)

        async with self.open(on_undelivered=fail) as buffer:
            deliveries = [await buffer.put(SECRET), await buffer.put(SECRET)]
            with caplog.at_level(logging.DEBUG):
                assert await buffer.aclose() == [SECRET, SECRET]
            check(buffer)
            assert told == [delivery.id for delivery in deliveries]
            assert len(caplog.records) == 2
            assert "ValueError" in caplog.text
            assert SECRET not in caplog.text
