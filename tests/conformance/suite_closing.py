"""Promise 12, closing: takes no more, flushes for so long, and gives the rest back in order."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, current_time, sleep, to_thread

from ridethrough import BufferClosed, Delivery, Outcome
from tests.clocks import all_blocked

from .harness import BufferSuite, check, ends, lease_all, put_all, start, until


class ClosingSuite(BufferSuite):
    """``aclose(timeout)``, in every state."""

    async def test_returns_the_rest_in_order_and_ends_it_abandoned(self) -> None:
        async with self.open() as buffer:
            deliveries = await put_all(buffer, "abc")
            assert await buffer.aclose() == list("abc")
            check(buffer)
            assert [delivery.outcome for delivery in deliveries] == [Outcome.ABANDONED] * 3
            assert "closed" in await ends(deliveries[0])

    async def test_closed_buffer_takes_nothing_and_gives_nothing(self) -> None:
        async with self.open(threads=True) as buffer:
            await buffer.put("a")
            await buffer.aclose()
            for policy in ("drop_oldest", "drop_newest", "reject", "wait"):
                with pytest.raises(BufferClosed):
                    await buffer.put("b", overflow=policy)
            with pytest.raises(BufferClosed):
                await to_thread.run_sync(buffer.put_from_thread, "b")
            with pytest.raises(BufferClosed):
                await buffer.put("b")
            assert await buffer.drain() == []
            await buffer.flush()
            check(buffer)
            assert buffer.statistics().accepted == 1

    async def test_twice_is_once(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "ab")
            before = await buffer.aclose(), buffer.statistics()
            assert before[0] == ["a", "b"]
            assert await buffer.aclose() == []
            assert await buffer.aclose(60) == []
            assert await buffer.aclose(None) == []
            assert buffer.statistics() == before[1]

    async def test_empty_buffer_closes_at_once(self) -> None:
        async with self.open() as buffer:
            began = current_time()
            assert await buffer.aclose(60) == []
            assert current_time() == began

    async def test_flushes_for_at_most_the_timeout(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            began = current_time()
            call = await start(tasks, partial(buffer.aclose, 5))
            with pytest.raises(BufferClosed):
                await buffer.put("d")
            assert await lease_all(buffer, 1) == "a"
            await sleep(6)
            assert (call.state, call.result) == ("returned", ["b", "c"])
            assert buffer.statistics().sent == 1
            assert current_time() - began < 7

    @pytest.mark.parametrize("timeout", [60, None])
    async def test_is_done_as_soon_as_everything_has_its_outcome(self, timeout: float | None) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            call = await start(tasks, partial(buffer.aclose, timeout))
            assert await lease_all(buffer) == "ab"
            await all_blocked()
            assert (call.state, call.result) == ("returned", [])
            with pytest.raises(BufferClosed):
                await buffer.wait_nonempty()

    async def test_what_is_leased_is_abandoned_too_in_its_place(self) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "abcd")
            async with buffer.lease(3) as lease:
                next(iter(lease)).ack()
                assert await buffer.aclose() == ["b", "c", "d"]
                check(buffer)
                assert list(lease) == []
                assert len(lease) == 0
            check(buffer)

    async def test_what_a_pause_holds_up_is_abandoned_in_its_place(self) -> None:
        async with self.open(key=lambda message: message[0]) as buffer:
            await put_all(buffer, ["a1", "b1", "a2", "b2"])
            async with buffer.lease() as lease:
                next(iter(lease)).defer(60)
            assert await lease_all(buffer, 1) == "b1"
            assert await buffer.aclose() == ["a1", "a2", "b2"]

    async def test_blocked_putters_are_refused(self) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            calls = [await start(tasks, partial(buffer.put, message)) for message in "bcd"]
            assert await buffer.aclose() == ["a"]
            await all_blocked()
            check(buffer)
            assert [type(call.error) for call in calls] == [BufferClosed] * 3
            assert (buffer.statistics().accepted, buffer.statistics().waiting_to_put) == (1, 0)

    async def test_blocked_putters_are_refused_as_soon_as_it_is_closing(self) -> None:
        async with self.open(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            calls = [await start(tasks, partial(buffer.put, message)) for message in "bcd"]
            closing = await start(tasks, partial(buffer.aclose, 60))
            assert [type(call.error) for call in calls] == [BufferClosed] * 3
            assert closing.state == "running"
            await buffer.drain()

    async def test_blocked_threads_are_refused(self) -> None:
        refused: list[str] = []

        def put(message: str) -> None:
            try:
                buffer.put_from_thread(message, overflow="wait")
            except BufferClosed:
                refused.append(message)

        async with self.open(threads=True, max_size=1) as buffer, create_task_group() as tasks:
            await buffer.put("a")
            for message in "bc":
                tasks.start_soon(to_thread.run_sync, put, message)
            await until(lambda: buffer.statistics().waiting_to_put == 2)
            assert await buffer.aclose() == ["a"]
        assert sorted(refused) == ["b", "c"]

    async def test_concurrent_closes_share_the_work(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            slow = await start(tasks, partial(buffer.aclose, 60))
            quick = await start(tasks, partial(buffer.aclose, 5))
            await sleep(6)
            assert (quick.state, quick.result) == ("returned", ["a", "b"])
            await all_blocked()
            assert (slow.state, slow.result) == ("returned", [])
            check(buffer)

    async def test_cancelled_close_beside_another_leaves_it_closing(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            one = await start(tasks, partial(buffer.aclose, 60))
            other = await start(tasks, partial(buffer.aclose, 60))
            one.cancel("scope")
            await all_blocked()
            assert one.state == "cancelled"
            with pytest.raises(BufferClosed):
                await buffer.put("b")
            other.cancel("scope")
            await all_blocked()
            await buffer.put("b")
            assert await buffer.aclose() == ["a", "b"]

    async def test_cancelled_close_after_another_has_closed_leaves_it_closed(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            await buffer.put("a")
            call = await start(tasks, partial(buffer.aclose, 60))
            assert await buffer.aclose() == ["a"]
            call.cancel("scope")
            await all_blocked()
            with pytest.raises(BufferClosed):
                await buffer.put("b")


class AsyncWithSuite(BufferSuite):
    """Leaving ``async with`` closes."""

    async def test_leaving_closes(self) -> None:
        async with self.open() as buffer:
            delivery = await buffer.put("a")
        assert delivery.outcome is Outcome.ABANDONED
        with pytest.raises(BufferClosed):
            await buffer.put("b")

    async def test_leaving_by_an_exception_closes_and_passes_it_on(self) -> None:
        with pytest.raises(ZeroDivisionError):
            async with self.make() as buffer:
                delivery = await buffer.put("a")
                raise ZeroDivisionError
        assert delivery.outcome is Outcome.ABANDONED
        check(buffer)

    async def test_leaving_by_a_cancellation_closes(self) -> None:
        deliveries: list[Delivery[str]] = []

        async def run() -> None:
            async with self.make() as buffer:
                deliveries.append(await buffer.put("a"))
                await sleep(60)

        async with create_task_group() as tasks:
            call = await start(tasks, run)
            await all_blocked()  # it is put
            call.cancel("scope")
            await all_blocked()
            assert call.state == "cancelled"
            assert deliveries[0].outcome is Outcome.ABANDONED
