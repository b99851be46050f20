"""Promise 5, cancellation: a call that raises a cancellation did not happen, and passes its wake-up on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, sleep_forever
from anyio.lowlevel import checkpoint

from ridethrough import Outcome
from tests.clocks import all_blocked

from .harness import Buffer, BufferSuite, Call, check, lease_all, put_all, start, ways_to_cancel

MOMENTS = pytest.mark.parametrize("moment", range(6))
"""0: cancel and then bring about what is waited for, in one tick; 1: the other way round; from 2 on: ticks later."""


async def cancel_around(call: Call[Any], way: str, moment: int, trigger: Callable[[], Awaitable[object]]) -> None:
    """Cancel a waiting call at that moment around what it waits for."""
    if moment == 0:
        call.cancel(way)
    await trigger()
    for _ in range(moment - 1):
        await checkpoint()
    if moment > 0:
        call.cancel(way)
    await all_blocked()


class CancelledWaitSuite(BufferSuite):
    """Cancelled while there is nothing to do but wait."""

    async def _cancelled(self, buffer: Buffer, function: Callable[[], Awaitable[object]], way: str) -> None:
        before = buffer.statistics()
        async with create_task_group() as tasks:
            call = await start(tasks, function)
            assert call.state == "running"
            call.cancel(way)
            await all_blocked()
            assert call.state == "cancelled", way
        check(buffer)
        assert buffer.statistics() == before

    async def test_put_cancelled_while_waiting_for_room(self) -> None:
        for way in ways_to_cancel():
            async with self.open(max_size=1, overflow="wait") as buffer:
                await buffer.put("a")
                await self._cancelled(buffer, partial(buffer.put, "b"), way)
                assert await buffer.drain() == ["a"]
                await buffer.put("c")
                assert await buffer.drain() == ["c"]

    async def test_wait_nonempty_cancelled(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await self._cancelled(buffer, buffer.wait_nonempty, way)
                await buffer.put("a")
                await buffer.wait_nonempty()

    async def test_lease_cancelled_while_waiting_for_a_message(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await self._cancelled(buffer, partial(lease_all, buffer), way)
                await buffer.put("a")
                assert await lease_all(buffer) == "a"

    async def test_lease_cancelled_while_waiting_for_the_one_before(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await put_all(buffer, "ab")
                async with buffer.lease():
                    await self._cancelled(buffer, partial(lease_all, buffer), way)
                assert await lease_all(buffer) == "ab"

    async def test_flush_cancelled(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await buffer.put("a")
                await self._cancelled(buffer, buffer.flush, way)
                await self._cancelled(buffer, partial(buffer.flush, 60), way)
                await buffer.drain()
                await buffer.flush()

    async def test_aclose_cancelled_leaves_the_buffer_open(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await buffer.put("a")
                await self._cancelled(buffer, partial(buffer.aclose, 60), way)
                await self._cancelled(buffer, partial(buffer.aclose, None), way)
                await buffer.put("b")
                assert await lease_all(buffer) == "ab"

    async def test_awaiting_a_delivery_cancelled_changes_nothing_about_the_message(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                for delivery in (await buffer.put("a"), await buffer.put("b", ttl=60)):

                    async def wait() -> None:
                        await delivery  # noqa: B023, it is awaited before there is another one

                    await self._cancelled(buffer, wait, way)
                    assert delivery.outcome is None
                assert await lease_all(buffer) == "ab"

    async def test_enforce_ttl_cancelled(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await buffer.put("a", ttl=60)
                await self._cancelled(buffer, buffer.enforce_ttl, way)

    async def test_lease_body_cancelled_gives_back(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                await put_all(buffer, "abc")

                async def send() -> None:
                    async with buffer.lease(2) as lease:
                        next(iter(lease)).ack()
                        await sleep_forever()

                call = await start(tasks, send)
                call.cancel(way)
                await all_blocked()
                assert call.state == "cancelled"
                check(buffer)
                assert await lease_all(buffer) == "bc"


class NoCancellationPointSuite(BufferSuite):
    """What need not wait cannot be cancelled: what it did, it says."""

    async def _run_cancelled(self, function: Callable[[], Awaitable[object]], way: str) -> object:
        """The result of a call made in a task that has been cancelled just before."""
        results: list[object] = []

        async def run() -> None:
            call.cancel(way)
            results.append(await function())
            await checkpoint()

        async with create_task_group() as tasks:
            call = Call(run)
            tasks.start_soon(call.run)
        assert call.state == "cancelled"
        return results[0]

    @pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "wait", "reject"])
    async def test_put_with_room_returns(self, policy: str) -> None:
        for way in ways_to_cancel():
            async with self.open(overflow=policy) as buffer:
                assert await self._run_cancelled(partial(buffer.put, "a"), way)
                assert await self._run_cancelled(partial(buffer.put, "b", ttl=60), way)
                assert await self._run_cancelled(partial(buffer.put_many, "cd"), way)
                assert await buffer.drain() == ["a", "b", "c", "d"]

    async def test_put_that_drops_returns(self) -> None:
        for way in ways_to_cancel():
            async with self.open(max_size=1) as buffer:
                await buffer.put("a")
                assert await self._run_cancelled(partial(buffer.put, "b"), way)
                assert await buffer.drain() == ["b"]

    async def test_drain_returns_what_it_took(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await put_all(buffer, "ab")
                assert await self._run_cancelled(buffer.drain, way) == ["a", "b"]

    async def test_lease_of_what_is_there_is_entered_and_left(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await put_all(buffer, "ab")
                assert await self._run_cancelled(partial(lease_all, buffer), way) == "ab"
                check(buffer)

    async def test_aclose_without_a_timeout_closes(self) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer:
                await put_all(buffer, "ab")
                assert await self._run_cancelled(buffer.aclose, way) == ["a", "b"]


class CancelSweepSuite(BufferSuite):
    """Cancelled at each moment around what is waited for: it happened, or it did not and somebody else's turn comes."""

    @MOMENTS
    async def test_put(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
                await buffer.put("a")
                first = await start(tasks, partial(buffer.put, "b"))
                second = await start(tasks, partial(buffer.put, "c"))
                await cancel_around(first, way, moment, buffer.drain)
                check(buffer)
                if first.state == "cancelled":
                    assert second.state == "returned", "the wake-up was not passed on"
                    assert await buffer.drain() == ["c"]
                else:
                    assert (first.state, second.state) == ("returned", "running")
                    assert await buffer.drain() == ["b"]
                await all_blocked()

    @MOMENTS
    async def test_wait_nonempty(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                first = await start(tasks, buffer.wait_nonempty)
                second = await start(tasks, buffer.wait_nonempty)
                await cancel_around(first, way, moment, partial(buffer.put, "a"))
                assert first.state in ("cancelled", "returned")
                assert second.state == "returned", "the wake-up was not passed on"

    @MOMENTS
    async def test_lease(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                first = await start(tasks, buffer.lease().__aenter__)
                second = await start(tasks, buffer.lease().__aenter__)
                await cancel_around(first, way, moment, partial(buffer.put, "a"))
                check(buffer)
                assert buffer.statistics().leased == 1
                lease = second.result if first.state == "cancelled" else first.result
                assert lease is not None, "the wake-up was not passed on"
                await lease.__aexit__(None, None, None)
                await all_blocked()
                assert second.state == "returned"

    @MOMENTS
    async def test_lease_that_waits_for_the_one_before(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                await buffer.put("a")
                before = buffer.lease()
                await before.__aenter__()
                first = await start(tasks, buffer.lease().__aenter__)
                second = await start(tasks, buffer.lease().__aenter__)
                await cancel_around(first, way, moment, partial(before.__aexit__, None, None, None))
                check(buffer)
                assert buffer.statistics().leased == 1
                assert (first.state == "returned") == (second.state == "running"), "the wake-up was not passed on"
                await buffer.aclose()

    @MOMENTS
    async def test_flush(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                await buffer.put("a")
                first, second = await start(tasks, buffer.flush), await start(tasks, partial(buffer.flush, 60))
                await cancel_around(first, way, moment, buffer.drain)
                assert first.state in ("cancelled", "returned")
                assert second.state == "returned"

    @MOMENTS
    async def test_aclose(self, moment: int) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                await buffer.put("a")
                call = await start(tasks, partial(buffer.aclose, 60))
                await cancel_around(call, way, moment, buffer.drain)
                accepted = await start(tasks, partial(buffer.put, "b"))
                assert (call.state, accepted.state) in (("cancelled", "returned"), ("returned", "raised"))
                check(buffer)

    @MOMENTS
    @pytest.mark.parametrize("ttl", [None, 60])
    async def test_awaiting_a_delivery(self, moment: int, ttl: float | None) -> None:
        for way in ways_to_cancel():
            async with self.open() as buffer, create_task_group() as tasks:
                delivery = await buffer.put("a", ttl=ttl)

                async def wait() -> None:
                    await delivery  # noqa: B023, it is awaited before there is another one

                first, second = await start(tasks, wait), await start(tasks, wait)
                await cancel_around(first, way, moment, buffer.drain)
                assert first.state in ("cancelled", "returned")
                assert (second.state, delivery.outcome) == ("returned", Outcome.DRAINED)
