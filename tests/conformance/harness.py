"""What the suites share: a buffer to test, its books checked, and calls that can be cancelled in both ways."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

import trio
from anyio import CancelScope, fail_after, get_cancelled_exc_class, sleep
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint, current_token

from ridethrough import AsyncMessageBuffer, Delivery, Outcome, Undelivered
from tests.clocks import all_blocked

R = TypeVar("R")

Buffer = AsyncMessageBuffer[str]

PATIENCE = 10_000
"""Seconds."""

UNDELIVERED = (Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.ABANDONED, Outcome.UNKNOWN)
"""How a message may end without that anybody asked for it."""


class BufferSuite:
    """The base of all suites: they run on whatever buffer :meth:`make` makes."""

    def make(self, **options: Any) -> AbstractAsyncContextManager[Buffer]:
        """An empty buffer with these options of AsyncMessageBuffer, entered; leaving closes it."""
        raise NotImplementedError

    @asynccontextmanager
    async def open(self, *, threads: bool = False, **options: Any) -> AsyncIterator[Buffer]:
        """Such a buffer; in the end its books must add up, and ``on_undelivered`` must have been told of each loss.

        Args:
            threads: whether threads take part. A clock that jumps does not wait for these; otherwise it sees to it that
                who waits for nothing fails.
        """
        reported: list[Delivery[Any]] = []
        pass_on: Callable[[Delivery[Any]], object] = options.pop("on_undelivered", lambda _: None)

        def on_undelivered(delivery: Delivery[Any]) -> None:
            reported.append(delivery)
            pass_on(delivery)

        with fail_after(None if threads else PATIENCE):
            async with self.make(on_undelivered=on_undelivered, **options) as buffer:
                yield buffer
                check(buffer)
        check(buffer)
        assert buffer.is_empty(), "closed, and not empty"
        assert len(set(reported)) == len(reported), "on_undelivered was called twice for the same message"
        statistics = buffer.statistics()
        counters = {outcome: getattr(statistics, outcome) for outcome in UNDELIVERED}
        assert Counter(delivery.outcome for delivery in reported) == Counter(counters)


def check(buffer: Buffer, max_bytes: int | None = None) -> None:
    """The books add up at this moment, and the bounds are kept."""
    now = buffer.statistics()
    assert now.accepted == now.queued + now.leased + now.ended
    assert min(now) >= 0
    assert now.queued + now.leased <= buffer.max_size
    length, empty = len(buffer), buffer.is_empty()
    if buffer.statistics() == now:  # no thread came between
        assert length == now.queued + now.leased
        assert empty == (length == 0)
    if max_bytes is not None:
        assert now.size <= max_bytes


async def put_all(buffer: Buffer, messages: Iterable[str]) -> list[Delivery[str]]:
    """Put these messages, or each letter as one."""
    deliveries = [await buffer.put(message) for message in messages]
    check(buffer)
    return deliveries


async def lease_all(buffer: Buffer, limit: int = 100) -> str:
    """Lease and acknowledge what there is; at least one message must come."""
    messages = await _lease(buffer, limit)
    while getattr(buffer, "leases_one_at_a_time", False) and len(messages) < limit and not buffer.is_empty():
        messages += await _lease(buffer, 1)
    return "".join(messages)


async def _lease(buffer: Buffer, limit: int) -> list[str]:
    async with buffer.lease(limit) as lease:
        messages = []
        for entry in lease:
            entry.begin()
            messages.append(entry.message)
            assert entry.ack()
            check(buffer)
    check(buffer)
    return messages


async def ends(delivery: Delivery[str]) -> str:
    """Await a Delivery that must end undelivered; returns the text of what it raises."""
    try:
        result = await delivery
    except Undelivered as error:
        assert error.outcome is delivery.outcome
        assert error.reason == delivery.reason != ""
        return str(error)
    raise AssertionError(f"{delivery!r} gave {result!r}")


async def end_undelivered(buffer: Buffer, outcome: Outcome, message: str) -> Delivery[str]:
    """Put a message into an empty buffer, and have it end that way."""
    delivery = await buffer.put(message, ttl=5)
    if outcome is Outcome.DROPPED:
        for _ in range(buffer.max_size):
            await buffer.put("newer")
    elif outcome is Outcome.EXPIRED:
        await sleep(5.5)
        assert len(buffer) == 0
    elif outcome is Outcome.ABANDONED:
        await buffer.aclose()
    else:
        async with buffer.lease() as lease:
            for entry in lease:
                entry.begin()
                assert entry.reject("not you") if outcome is Outcome.REJECTED else entry.unknown("the link was lost")
    check(buffer)
    assert delivery.outcome is outcome
    return delivery


def is_asyncio() -> bool:
    """Whether this runs on asyncio."""
    return isinstance(current_token().native_token, asyncio.AbstractEventLoop)


def tasks_and_timers() -> tuple[int, float]:
    """How many tasks there are, and of timers their number on asyncio, and the next one's time from now on trio."""
    if not is_asyncio():
        statistics = trio.lowlevel.current_statistics()
        return statistics.tasks_living, statistics.seconds_to_next_deadline
    timers = [handle for handle in gc.get_objects() if isinstance(handle, asyncio.TimerHandle)]
    return len(asyncio.all_tasks()), len([timer for timer in timers if not timer.cancelled()])


def ways_to_cancel() -> tuple[str, ...]:
    """By a scope of anyio, and on asyncio also by ``task.cancel()``."""
    return ("scope", "task") if is_asyncio() else ("scope",)


class Call(Generic[R]):
    """A call that runs in a task of its own.

    Attributes:
        state: "running", "returned", "raised" or "cancelled".
        result: what it returned.
        error: what it raised.
    """

    def __init__(self, function: Callable[[], Awaitable[R]]) -> None:
        self.state = "running"
        self.result: R | None = None
        self.error: Exception | None = None
        self._function = function
        self._scope = CancelScope()
        self._task: asyncio.Task[Any] | None = None
        self._cancelled_task = False

    async def run(self) -> None:
        self._task = asyncio.current_task() if is_asyncio() else None
        with self._scope:
            try:
                self.result = await self._function()
            except get_cancelled_exc_class():
                self.state = "cancelled"
                if not self._cancelled_task:
                    raise
            except Exception as error:
                self.state, self.error = "raised", error
            else:
                self.state = "returned"

    def cancel(self, way: str) -> None:
        """Cancel it, in one of the :func:`ways_to_cancel`."""
        if way == "scope":
            self._scope.cancel()
        else:
            assert self._task is not None
            self._cancelled_task = True
            self._task.cancel()


async def start(tasks: TaskGroup, function: Callable[[], Awaitable[R]]) -> Call[R]:
    """Start a call; returns once it waits for something, or has ended."""
    call = Call(function)
    tasks.start_soon(call.run)
    await all_blocked()
    return call


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread to bring something about."""
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up, "it did not come about"
        await checkpoint()
