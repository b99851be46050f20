"""What a buffer without a journal promises beside the rest: a put for which there is room is done at once."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group, sleep, to_thread

from ridethrough import BufferClosed, BufferFull, Delivery, Outcome, Overflow
from tests.clocks import all_blocked

from .harness import BufferSuite, check, lease_all, put_all, start

EACH_POLICY = pytest.mark.parametrize("policy", list(Overflow))


class AtOncePutSuite(BufferSuite):
    """A put with room gives no other task a turn."""

    async def test_no_other_task_has_its_turn(self) -> None:
        turns: list[str] = []

        async def take_turn() -> None:
            turns.append("other")

        async with self.open() as buffer, create_task_group() as tasks:
            tasks.start_soon(take_turn)
            await buffer.put("a")
            await buffer.put_many("bc")
            turns.append("this")
            await all_blocked()
            assert turns == ["this", "other"]

    async def test_who_waits_does_not_see_a_message_that_is_gone_again_at_once(self) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            call = await start(tasks, buffer.wait_nonempty)
            (await buffer.put("a")).cancel()
            await all_blocked()
            assert call.state == "running"
            await buffer.put("b")
            await buffer.drain()
            await all_blocked()
            assert call.state == "running"
            tasks.cancel_scope.cancel()


class PutNowaitSuite(BufferSuite):
    """``put_nowait`` is ``put`` where that does not wait, and refuses where it would."""

    async def test_shares_one_order_with_the_other_puts(self) -> None:
        async with self.open(threads=True) as buffer:
            for message in "adg":
                await buffer.put(message)
                buffer.put_nowait(chr(ord(message) + 1))
                await to_thread.run_sync(buffer.put_from_thread, chr(ord(message) + 2))
            assert await lease_all(buffer) == "abcdefghi"

    @EACH_POLICY
    async def test_does_not_overtake_who_waits(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            waiting = await start(tasks, partial(buffer.put, "c", overflow="wait"))
            await buffer.drain()  # there is room, and it is for the one who waits
            if policy == "drop_newest":
                assert buffer.put_nowait("d", overflow=policy).outcome is Outcome.DROPPED
            else:
                with pytest.raises(BufferFull):
                    buffer.put_nowait("d", overflow=policy)
            check(buffer)
            await all_blocked()
            assert waiting.state == "returned"
            assert await buffer.drain() == ["c"]

    @pytest.mark.parametrize("policy", ["reject", "wait"])
    async def test_is_refused_where_there_is_no_room(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer:
            await put_all(buffer, "ab")
            before = buffer.statistics()
            with pytest.raises(BufferFull):
                buffer.put_nowait("c", overflow=policy)
            assert buffer.statistics() == before
            assert await buffer.drain() == ["a", "b"]

    @pytest.mark.parametrize("policy", ["drop_oldest", "reject", "wait"])
    async def test_is_refused_when_all_are_leased(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer:
            await put_all(buffer, "ab")
            async with buffer.lease(2):
                before = buffer.statistics()
                with pytest.raises(BufferFull):
                    buffer.put_nowait("c", overflow=policy)
                assert buffer.statistics() == before

    @EACH_POLICY
    async def test_closed_buffer_takes_nothing(self, policy: str) -> None:
        async with self.open() as buffer:
            await buffer.aclose()
            with pytest.raises(BufferClosed):
                buffer.put_nowait("b", overflow=policy)
            assert buffer.statistics().accepted == 0

    @pytest.mark.parametrize("ttl", [None, 60])
    async def test_wakes_who_waits_for_a_message(self, ttl: float | None) -> None:
        async with self.open() as buffer, create_task_group() as tasks:
            call = await start(tasks, buffer.wait_nonempty)
            buffer.put_nowait("a", ttl=ttl)
            await all_blocked()
            assert call.state == "returned"

    async def test_message_that_is_too_old_ends_by_it(self) -> None:
        async with self.open() as buffer:
            old = await buffer.put("a", ttl=5)
            await sleep(10)
            assert old.outcome is None
            buffer.put_nowait("b")
            assert old.outcome is Outcome.EXPIRED

    async def test_on_undelivered_may_put(self) -> None:
        seen: list[tuple[Outcome | None, int]] = []

        def use(delivery: Delivery[str]) -> None:
            check(buffer)
            seen.append((delivery.outcome, buffer.statistics().dropped))
            if delivery.message == "a":
                buffer.put_nowait("from inside")  # drops "b"

        async with self.open(max_size=1, on_undelivered=use) as buffer:
            await put_all(buffer, "ab")
            assert seen == [(Outcome.DROPPED, 1), (Outcome.DROPPED, 2)]
            assert await lease_all(buffer) == "from inside"
