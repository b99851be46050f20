"""buffer.py with a journal: a cancellation while something is being written comes to effect afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep, to_thread

from ridethrough import AsyncMessageBuffer, BufferClosed, Outcome
from ridethrough.errors import StoreFull
from tests.clocks import all_blocked
from tests.conformance.harness import Buffer, Call, check, lease_all, put_all, start, until, ways_to_cancel
from tests.journals import FakeJournal, clocks_held_by, open_buffer

pytestmark = pytest.mark.anyio

FULL = StoreFull("the disk is full")


async def cancel_while_it_writes(
    journal: FakeJournal, function: Callable[[], Awaitable[object]], way: str, error: Exception | None = None
) -> object:
    """Cancel a call while the journal writes for it: it must go on, and what it gives is returned, or raised."""
    ends: list[Any] = []

    async def run() -> None:
        try:
            ends.append(await function())
        except StoreFull as full:
            ends.append(full)
        await sleep(60)
        raise AssertionError("the cancellation was lost")

    async with create_task_group() as tasks:
        journal.shut()
        call = await start(tasks, run)
        assert journal.waiting, "it does not write"
        call.cancel(way)
        await all_blocked()
        call.cancel(way)
        await all_blocked()
        assert (call.state, ends) == ("running", [])
        if error is not None:
            journal.let_pass(error)
            await all_blocked()
        journal.open_gate()
        await all_blocked()
        assert call.state == "cancelled"
    return ends[0]


async def test_put_cancelled_while_it_is_written_returns_and_is_stored() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            delivery = await cancel_while_it_writes(journal, partial(buffer.put, "a"), way)
            check(buffer)
            assert buffer.waiting() == [delivery]
            assert journal.shelf.bodies() == ["a"]
            put = await cancel_while_it_writes(journal, partial(buffer.put_many, "bc"), way)
            assert buffer.waiting() == [delivery, *(put if isinstance(put, list) else [])]
            assert await lease_all(buffer) == "abc"


async def test_put_cancelled_while_it_fails_to_be_written_raises_what_went_wrong() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            assert repr(await cancel_while_it_writes(journal, partial(buffer.put, "a"), way, FULL)) == repr(FULL)
            assert (buffer.statistics().accepted, journal.shelf.bodies()) == (0, [])


async def test_put_cancelled_in_line_is_not_stored() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal, max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("a")
            call = await start(tasks, partial(buffer.put, "b"))
            call.cancel(way)
            await all_blocked()
            assert call.state == "cancelled"
            assert await lease_all(buffer) == "a"
            assert buffer.is_empty()


async def test_lease_cancelled_while_its_attempt_is_written_gives_back() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            await put_all(buffer, "ab")

            async def lease(buffer: Buffer = buffer) -> int:
                async with buffer.lease() as lease:
                    return len(lease)

            assert await cancel_while_it_writes(journal, lease, way) == 1
            assert [delivery.attempts for delivery in buffer.waiting()] == [0, 0]
            assert await lease_all(buffer) == "ab"


async def test_drain_cancelled_while_it_is_written_returns_what_it_took() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            await put_all(buffer, "ab")
            assert await cancel_while_it_writes(journal, buffer.drain, way) == ["a", "b"]
            assert journal.shelf.bodies() == []


async def test_aclose_cancelled_while_the_rest_is_written_closes() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            first, _ = await put_all(buffer, "ab")
            journal.shut()
            assert first.cancel()
            await all_blocked()
            assert await cancel_while_it_writes(journal, buffer.aclose, way) == ["b"]
            assert not journal.is_open
            assert journal.shelf.bodies() == ["b"]


async def test_entering_cancelled_while_the_journal_is_opened_comes_to_effect_inside() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        buffer = AsyncMessageBuffer[str](journal=journal)
        inside: list[bool] = []

        async def enter(buffer: Buffer = buffer, inside: list[bool] = inside) -> None:
            async with buffer:
                inside.append(True)
                await sleep(60)

        with clocks_held_by(buffer):
            async with create_task_group() as tasks:
                journal.shut()
                call = await start(tasks, enter)
                call.cancel(way)
                await all_blocked()
                assert (call.state, inside) == ("running", [])
                journal.open_gate()
                await all_blocked()
                assert (call.state, inside) == ("cancelled", [True])
        assert not journal.is_open


async def test_forget_cancelled_while_it_is_written_tells_what_it_did() -> None:
    for way in ways_to_cancel():
        journal = FakeJournal()
        async with open_buffer(journal, max_size=1) as buffer:
            await put_all(buffer, "ab")
            assert len(await buffer.dead_letters()) == 1
            assert await cancel_while_it_writes(journal, partial(buffer.forget, 1), way) == 1
            assert await buffer.dead_letters() == []


# Timeouts


async def test_timeout_of_anyio_around_a_put_that_takes_longer_leaves_nothing_behind() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:

        async def put() -> str:
            with move_on_after(5) as scope:
                await buffer.put("a")
                assert not scope.cancelled_caught
            with fail_after(5):
                await buffer.put("b")
            await sleep(60)
            return "on time"

        journal.shut()
        call = await start(tasks, put)
        await sleep(10)
        assert call.state == "running"
        journal.let_pass()
        await all_blocked()
        await sleep(10)
        journal.open_gate()
        await sleep(100)
        assert call.result == "on time", call.error
        assert await lease_all(buffer) == "ab"


class TestOfAsyncio:
    """``asyncio.timeout`` and ``task.cancel``, which cancel once and do not repeat it."""

    @pytest.fixture
    def anyio_backend(self) -> Any:
        from tests.clocks import jumping_backends

        return jumping_backends()[0]

    async def test_timeout_around_a_put_that_takes_longer_leaves_nothing_behind(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer, create_task_group() as tasks:

            async def put() -> str:
                async with asyncio.timeout(5):
                    await buffer.put("a")
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 0
                await asyncio.sleep(0)
                await asyncio.sleep(60)
                return "on time"

            journal.shut()
            call = await start(tasks, put)
            await sleep(10)
            assert call.state == "running"
            journal.open_gate()
            await sleep(100)
            assert call.result == "on time", (call.state, call.error)
            assert await lease_all(buffer) == "a"

    async def test_timeout_that_has_come_ends_what_comes_after_the_put(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer, create_task_group() as tasks:
            put: list[str] = []

            async def put_and_sleep() -> None:
                async with asyncio.timeout(5):
                    put.append((await buffer.put("a")).message)
                    await asyncio.sleep(60)

            journal.shut()
            call = await start(tasks, put_and_sleep)
            await sleep(10)
            journal.open_gate()
            await all_blocked()
            assert isinstance(call.error, TimeoutError)
            assert put == ["a"]

    async def test_timeout_in_a_task_that_is_cancelled_as_well_lets_that_through(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer, create_task_group() as tasks:

            async def put_and_sleep() -> None:
                async with asyncio.timeout(5):
                    await buffer.put("a")
                await asyncio.sleep(60)

            journal.shut()
            call = await start(tasks, put_and_sleep)
            await sleep(10)
            call.cancel("task")
            journal.open_gate()
            await all_blocked()
            assert call.state == "cancelled"
            assert await lease_all(buffer) == "a"

    async def test_task_that_takes_its_cancellation_back_is_not_cancelled_later(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:

            async def put() -> str:
                await buffer.put("a")
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 1
                task.uncancel()
                await asyncio.sleep(60)
                return "went on"

            journal.shut()
            task = asyncio.create_task(put())
            await all_blocked()
            task.cancel()
            await all_blocked()
            journal.open_gate()
            assert await task == "went on"

    async def test_lease_that_is_torn_down_while_its_attempt_is_written_gives_back(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            await put_all(buffer, "ab")
            journal.shut()
            entering = buffer.lease().__aenter__()
            entering.send(None)
            assert buffer.statistics().leased == 1
            entering.close()  # as an interrupt of the program does
            assert buffer.statistics().leased == 0
            journal.open_gate()
            assert await lease_all(buffer) == "ab"

    async def test_task_that_ends_with_its_put_was_not_cancelled(self) -> None:
        journal = FakeJournal()
        async with open_buffer(journal) as buffer:
            journal.shut()
            task = asyncio.create_task(buffer.put("a"))
            await all_blocked()
            task.cancel()
            await all_blocked()
            journal.open_gate()
            assert (await task).message == "a"


# Threads, and closing meanwhile


async def test_put_from_thread_blocks_until_it_is_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, threads=True) as buffer, create_task_group() as tasks:
        journal.shut()
        put: list[int] = []
        tasks.start_soon(to_thread.run_sync, lambda: put.append(buffer.put_from_thread("a").id))
        await until(lambda: journal.waiting)
        assert (put, len(buffer)) == ([], 0)
        journal.open_gate()
        await until(lambda: put == [1])
        assert await lease_all(buffer) == "a"


async def test_put_from_thread_waits_for_room_and_then_for_the_disk() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, threads=True, max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        put: list[int] = []
        tasks.start_soon(to_thread.run_sync, lambda: put.append(buffer.put_from_thread("b").id))
        await until(lambda: buffer.statistics().waiting_to_put == 1)
        assert await lease_all(buffer) == "a"
        await until(lambda: put == [2])


async def test_close_lets_those_in_whose_messages_are_being_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        await buffer.put("a")
        journal.shut()
        written = await start(tasks, partial(buffer.put, "b"))
        in_line = await start(tasks, partial(buffer.put, "c"))
        assert buffer.statistics().waiting_to_put == 1
        closing = await start(tasks, buffer.aclose)
        assert isinstance(in_line.error, BufferClosed)
        with pytest.raises(BufferClosed):
            await buffer.put("d")
        assert (written.state, closing.state) == ("running", "running")
        journal.open_gate()
        await all_blocked()
        assert written.result is not None and closing.result == ["a", "b"]
        assert written.result.outcome is Outcome.ABANDONED
    assert journal.shelf.bodies() == ["a", "b"]


async def test_close_while_a_put_fails_to_be_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        journal.shut()
        put = await start(tasks, partial(buffer.put, "a"))
        closing = await start(tasks, buffer.aclose)
        journal.let_pass(FULL)
        await all_blocked()
        assert (repr(put.error), closing.result) == (repr(FULL), [])
    assert journal.shelf.bodies() == []


async def test_two_closes_at_the_same_time_both_return_when_it_is_closed() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        first, _ = await put_all(buffer, "ab")
        journal.shut()
        assert first.cancel()
        await all_blocked()
        closes = [await start(tasks, buffer.aclose) for _ in range(2)]
        assert [close.state for close in closes] == ["running", "running"]
        journal.open_gate()
        await all_blocked()
        assert sorted(str(close.result) for close in closes) == ["['b']", "[]"]
        assert not journal.is_open
        assert await buffer.aclose() == []


MANY = 1_000
"""Of turns: some ten of them are taken before a cancellation."""


def endless(buffer: Buffer, what: str, turns: list[str]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """A task that does nothing but this, over and over, and tells of it. If it cannot be cancelled, it ends at last."""

    async def lease() -> None:
        async with buffer.lease() as lease:
            assert len(lease) == 1

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "put": partial(buffer.put, "x"),
        "put_many": partial(buffer.put_many, "xy"),
        "drain": buffer.drain,
        "lease": lease,
        "dead_letters": buffer.dead_letters,
    }

    async def run() -> Any:
        for _ in range(MANY):
            await calls[what]()
            turns.append(what)

    return run


@pytest.mark.parametrize("what", ["put", "put_many", "drain", "lease", "dead_letters"])
async def test_task_that_does_nothing_else_can_be_cancelled(what: str) -> None:
    for way in ways_to_cancel():
        turns: list[str] = []
        async with open_buffer(FakeJournal(), max_size=1000, threads=True) as buffer, create_task_group() as tasks:
            if what in ("drain", "lease"):
                tasks.start_soon(endless(buffer, "put", []))
            call = Call(endless(buffer, what, turns))
            tasks.start_soon(call.run)
            await until(lambda turns=turns: len(turns) > 10)  # type: ignore[misc]
            call.cancel(way)
            await until(lambda call=call: call.state != "running")  # type: ignore[misc]
            assert call.state == "cancelled"
            check(buffer)
            tasks.cancel_scope.cancel()
