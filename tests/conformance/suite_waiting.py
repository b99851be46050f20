"""Promise 11, honest waiting: nobody sleeps while what it waits for is true, and what is called done is done."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, current_time, sleep, to_thread

from ridethrough import BufferClosed, FlushTimeout
from tests.clocks import all_blocked

from .harness import BufferSuite, check, ends, lease_all, put_all, start, until


class WaitNonemptySuite(BufferSuite):
    """``wait_nonempty`` returns when, and only when, something can be leased, or raises when the buffer closes."""

    async def test_returns_at_once_if_something_can_be_leased(self) -> None:
        async with self.open() as buffer:
            await buffer.put("a")
            began = current_time()
            await buffer.wait_nonempty()
            assert (current_time(), len(buffer)) == (began, 1)

    async def test_returns_when_a_message_is_put(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            calls = [await start(tasks, buffer.wait_nonempty) for _ in range(3)]
            assert [call.state for call in calls] == ["running"] * 3
            await buffer.put("a")
            await all_blocked()
            assert [call.state for call in calls] == ["returned"] * 3

    async def test_returns_when_a_thread_puts(self) -> None:
        async with self.open(threads=True) as buffer, create_task_group() as tasks:
            call = await start(tasks, buffer.wait_nonempty)
            await to_thread.run_sync(buffer.put_from_thread, "a")
            await until(lambda: call.state == "returned")

    async def test_does_not_return_while_a_lease_is_under_way(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            async with buffer.lease():
                call = await start(tasks, buffer.wait_nonempty)
                await buffer.put("c")
                await all_blocked()
                assert call.state == "running"
            await all_blocked()
            assert call.state == "returned"

    async def test_does_not_return_when_a_lease_ends_and_leaves_nothing(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            async with buffer.lease() as lease:
                call = await start(tasks, buffer.wait_nonempty)
                next(iter(lease)).ack()
            await all_blocked()
            assert call.state == "running"
            await buffer.put("b")
            await all_blocked()
            assert call.state == "returned"

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_does_not_return_before_the_pause_is_over(self, scope: str) -> None:
        async with self.open() as buffer:
            await buffer.put("a")
            began = current_time()
            async with buffer.lease() as lease:
                next(iter(lease)).defer(10, "all" if scope == "all" else "key")
            await buffer.wait_nonempty()
            assert 10 <= current_time() - began < 11
            assert await lease_all(buffer) == "a"

    async def test_raises_when_the_buffer_closes(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            waiting = await start(tasks, buffer.wait_nonempty)
            leasing = await start(tasks, partial(lease_all, buffer))
            await buffer.aclose()
            await all_blocked()
            assert isinstance(waiting.error, BufferClosed)
            assert isinstance(leasing.error, BufferClosed)
            with pytest.raises(BufferClosed):
                await buffer.wait_nonempty()

    async def test_goes_on_while_the_buffer_is_closing(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            closing = await start(tasks, partial(buffer.aclose, 60))
            assert await lease_all(buffer, 1) == "a"
            await buffer.wait_nonempty()
            assert await lease_all(buffer, 1) == "b"
            await all_blocked()
            assert (closing.state, closing.result) == ("returned", [])


class FlushSuite(BufferSuite):
    """``flush`` waits for everything put before, and never says done of what is not."""

    async def test_returns_at_once_if_nothing_is_open(self) -> None:
        async with self.open() as buffer:
            await buffer.flush()
            await buffer.flush(0)
            await buffer.put("a")
            await buffer.drain()
            await buffer.flush(0)

    async def test_returns_when_the_last_has_its_outcome(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            call = await start(tasks, buffer.flush)
            async with buffer.lease(3) as lease:
                for entry in lease:
                    await all_blocked()
                    assert call.state == "running"
                    entry.ack()
                await all_blocked()
                assert call.state == "returned"

    @pytest.mark.parametrize("outcome", ["drain", "cancel", "reject", "unknown", "drop", "expire", "close"])
    async def test_any_outcome_will_do(self, outcome: str) -> None:
        async with self.open(max_size=1) as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a", ttl=5)
            call = await start(tasks, buffer.flush)
            if outcome == "drain":
                await buffer.drain()
            elif outcome == "cancel":
                delivery.cancel()
            elif outcome == "drop":
                await buffer.put("b")
            elif outcome == "expire":
                await sleep(6)
            elif outcome == "close":
                await buffer.aclose()
            else:
                async with buffer.lease() as lease:
                    getattr(next(iter(lease)), outcome)("no")
            await all_blocked()
            assert call.state == "returned"

    async def test_does_not_wait_for_what_is_put_later(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            call = await start(tasks, buffer.flush)
            await buffer.put("b")
            assert await lease_all(buffer, 1) == "a"
            await all_blocked()
            assert (call.state, len(buffer)) == ("returned", 1)

    async def test_waits_for_what_is_leased_and_for_what_a_pause_holds_up(self) -> None:
        async with self.open(key=lambda message: message[0]) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["a1", "b1"])
            async with buffer.lease() as lease:
                next(iter(lease)).defer(10)
            assert await lease_all(buffer) == "b1"
            call = await start(tasks, buffer.flush)
            async with buffer.lease() as lease:
                assert call.state == "running"
                next(iter(lease)).ack()
            await all_blocked()
            assert call.state == "returned"

    async def test_given_back_message_is_still_waited_for(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            async with buffer.lease():
                call = await start(tasks, buffer.flush)
            await all_blocked()
            assert call.state == "running"
            assert await lease_all(buffer) == "a"

    async def test_timeout_tells_how_many_are_left(self) -> None:
        async with self.open(key=lambda message: message[0]) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["a1", "b1", "c1", "d1"])
            async with buffer.lease() as lease:
                next(iter(lease)).defer(60)
            async with buffer.lease() as lease:
                began = current_time()
                call = await start(tasks, partial(buffer.flush, 5))
                await put_all(buffer, ["e1", "f1"])
                next(iter(lease)).ack()
                await sleep(6)
            assert isinstance(call.error, FlushTimeout)
            assert call.error.left == 3
            for timeout, left in ((0, 5), (5, 5)):
                began = current_time()
                with pytest.raises(FlushTimeout) as caught:
                    await buffer.flush(timeout)
                assert caught.value.left == left
                assert timeout <= current_time() - began < timeout + 1

    async def test_several_flushes_each_wait_for_their_own(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            calls = []
            for message in "abc":
                await buffer.put(message)
                calls.append(await start(tasks, buffer.flush))
            for done in range(3):
                assert [call.state for call in calls] == ["returned"] * done + ["running"] * (3 - done)
                assert await lease_all(buffer, 1) == "abc"[done]
                await all_blocked()
            assert [call.state for call in calls] == ["returned"] * 3


class AwaitDeliverySuite(BufferSuite):
    """Awaiting a Delivery returns when the message has its outcome, and not before."""

    async def test_returns_when_it_was_sent(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a")

            async def wait() -> object:
                return await delivery

            call = await start(tasks, wait)
            async with buffer.lease():
                pass
            await all_blocked()
            assert call.state == "running"
            async with buffer.lease() as lease:
                next(iter(lease)).ack("result")
                await all_blocked()
                assert (call.state, call.result) == ("returned", "result")
            assert await delivery == "result"

    async def test_returns_when_a_thread_ended_it(self) -> None:
        async with self.open(threads=True) as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a")
            call = await start(tasks, lambda: ends(delivery))
            assert await to_thread.run_sync(delivery.cancel)
            await until(lambda: call.state == "returned")
            check(buffer)
