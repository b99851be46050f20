"""monitor.py: the lock is given back whatever happens, and nobody oversleeps."""

from __future__ import annotations

import logging
import threading
from functools import partial

import anyio
import pytest
from anyio import create_task_group, fail_after, to_thread, wait_all_tasks_blocked

from ridethrough import AsyncMessageBuffer, Delivery, Outcome, Undelivered
from tests.clocks import JumpingClockLoop

SECRET = "meet me at noon"


class TickingLoop(JumpingClockLoop):
    """asyncio's loop with a clock that jumps, and that goes on a little each time somebody looks."""

    def time(self) -> float:
        self._clock.now += 0.25
        return self._clock.now


@pytest.mark.parametrize("tick", range(24))
def test_message_that_grows_old_between_two_looks_at_the_clock_still_ends(tick: int) -> None:
    async def main() -> None:
        buffer = AsyncMessageBuffer[str]()
        await buffer.drain()
        delivery = await buffer.put("a", ttl=0.125 * (tick + 1))
        with fail_after(60), pytest.raises(Undelivered):
            await delivery
        assert delivery.outcome is Outcome.EXPIRED

    anyio.run(main, backend_options={"loop_factory": TickingLoop})


class Key:
    """A key that at times cannot be compared with others."""

    broken = False

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if self.broken:
            raise ZeroDivisionError
        return self is other


@pytest.mark.anyio
async def test_lock_is_given_back_when_a_key_cannot_be_compared() -> None:
    keys = {"a": Key(), "b": Key(), "c": Key()}
    buffer = AsyncMessageBuffer[str](key=keys.__getitem__)
    for message in "ab":
        await buffer.put(message)
    async with create_task_group() as tasks:
        with pytest.raises(ZeroDivisionError):
            async with buffer.lease() as lease:
                tasks.start_soon(buffer.wait_nonempty)
                await wait_all_tasks_blocked()
                next(iter(lease)).defer(60)
                keys["a"].broken = keys["b"].broken = True
        keys["a"].broken = keys["b"].broken = False
        await buffer.put("c")
    assert await buffer.aclose() == ["a", "b", "c"]


@pytest.mark.anyio
async def test_nobody_is_remembered_who_sleeps_no_more() -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="wait")
    delivery = await buffer.put("a", ttl=60)
    async with buffer.lease() as lease:
        next(iter(lease)).defer(10)
    await buffer.wait_nonempty()  # until the pause is over
    assert buffer._monitor.takers == []

    async def wait() -> None:
        await delivery

    async with create_task_group() as tasks, buffer.lease():
        for function in (buffer.wait_nonempty, buffer.flush, partial(buffer.put, "b"), buffer.enforce_ttl, wait):
            tasks.start_soon(function)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert (buffer._monitor.takers, buffer._monitor.sleepers, delivery._waiters) == ([], [], [])
    assert await buffer.drain() == ["a"]


@pytest.mark.anyio
async def test_what_on_undelivered_raises_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    def fail(delivery: Delivery[str]) -> None:
        raise KeyError(delivery.message)

    buffer = AsyncMessageBuffer[str](on_undelivered=fail)
    await buffer.put(SECRET)
    with caplog.at_level(logging.ERROR):
        await buffer.aclose()
    (record,) = caplog.records
    line = fail.__code__.co_firstlineno + 1
    assert record.name == "ridethrough.buffer"
    assert record.getMessage() == f"on_undelivered raised KeyError at {__file__}:{line}, of message 1"
    assert record.exc_info is None, "its frames hold the message"


@pytest.mark.anyio
async def test_on_undelivered_is_called_by_the_thread_that_brought_it_about() -> None:
    threads: list[int] = []
    buffer = AsyncMessageBuffer[str](1, on_undelivered=lambda _: threads.append(threading.get_ident()))
    await buffer.put("a")
    await to_thread.run_sync(buffer.put_from_thread, "b")
    await buffer.aclose()
    assert len(set(threads)) == 2
    assert threads[1] == threading.get_ident()
