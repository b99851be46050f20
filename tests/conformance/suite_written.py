"""Promises 5 and 14 with a journal: a put returns once it is written, and gives others their turn until then."""

from __future__ import annotations

import pytest
from anyio import create_task_group, to_thread

from ridethrough import Overflow

from .harness import BufferSuite, put_all


class PutIsWrittenSuite(BufferSuite):
    """What differs, by design, from a buffer without a journal."""

    @pytest.mark.parametrize("policy", list(Overflow))
    async def test_put_nowait_is_refused(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer:
            with pytest.raises(RuntimeError, match="with a journal, a put waits until it was written: use await put"):
                buffer.put_nowait("a", overflow=policy)
            assert buffer.statistics().accepted == 0

    @pytest.mark.parametrize("policy", list(Overflow))
    async def test_put_from_thread_in_the_loops_own_thread_is_refused(self, policy: str) -> None:
        async with self.open(max_size=2) as buffer:
            with pytest.raises(RuntimeError, match="put_from_thread would block the event loop: use await put"):
                buffer.put_from_thread("a", overflow=policy)
            assert buffer.statistics().accepted == 0

    async def test_message_is_in_the_journal_when_its_put_returns(self) -> None:
        async with self.open(threads=True) as buffer:
            deliveries = await put_all(buffer, "ab")
            deliveries += await buffer.put_many("cd")
            deliveries.append(await to_thread.run_sync(buffer.put_from_thread, "e"))
            assert buffer.waiting() == deliveries
            assert [delivery.id for delivery in deliveries] == [1, 2, 3, 4, 5]

    async def test_others_have_their_turn_before_a_put_returns(self) -> None:
        turns: list[str] = []

        async def put(message: str) -> None:
            turns.append(f"put {message}")
            await buffer.put(message)
            turns.append(f"has put {message}")

        async with self.open() as buffer:
            async with create_task_group() as tasks:
                tasks.start_soon(put, "a")
                tasks.start_soon(put, "b")
            assert {*turns[:2]} == {"put a", "put b"}
            assert {*turns[2:]} == {"has put a", "has put b"}
