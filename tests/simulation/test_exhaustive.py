"""Small cases, in every order that there is up to three deviations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import CancelScope, create_task_group

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Delivery, FlushTimeout, RetryLater, Undelivered

from .exhaustive import Case, schedules
from .network import Message
from .oracle import Oracle

CASES: list[Case] = []


def case(function: Case) -> Case:
    """Have it played."""
    CASES.append(function)
    return function


class Actors:
    """Those who do something with a buffer, and tell the oracle of it."""

    def __init__(self, oracle: Oracle, **options: Any) -> None:
        self.oracle = oracle
        self.buffer: AsyncMessageBuffer[Message] = AsyncMessageBuffer(on_undelivered=oracle.undelivered, **options)
        oracle.buffer = self.buffer
        self._serial = 0

    async def put(self, **options: Any) -> None:
        await self._put(1, lambda messages: self._put_first(messages, **options))

    async def put_two(self, **options: Any) -> None:
        await self._put(2, lambda messages: self.buffer.put_many(messages, **options))

    async def _put_first(self, messages: list[Message], **options: Any) -> list[Delivery[Message]]:
        return [await self.buffer.put(messages[0], **options)]

    async def _put(self, count: int, put: Callable[[list[Message]], Awaitable[list[Delivery[Message]]]]) -> None:
        messages = [Message(self._serial + number, "a") for number in range(1, count + 1)]
        self._serial += count
        call = self.oracle.put_called()
        try:
            deliveries = await put(messages)
        except BaseException as error:
            self.oracle.put_refused(messages, error)
            if isinstance(error, BufferClosed | BufferFull):
                return
            raise
        self.oracle.put_returned(call, messages, deliveries)

    async def defer(self) -> None:
        """Be told to send one later, long after everything is over."""
        async with self.buffer.lease() as lease:
            for entry in lease:
                pause = RetryLater(1000, "key")
                entry.defer(pause.after, "key")
                self.oracle.paused(entry.message, pause)

    async def resume(self) -> None:
        self.buffer.resume()
        self.oracle.resumed([])

    async def lease(self) -> None:
        """Send one."""
        try:
            async with self.buffer.lease() as lease:
                for entry in lease:
                    entry.begin()
                    self.oracle.send_begins(entry.message, "well")
                    await asyncio.sleep(0)
                    if entry.delivery.outcome is None:
                        self.oracle.arrived(entry.message)
                        self.oracle.settled(entry.message)
                    entry.ack()
        except BufferClosed:
            pass

    async def wait(self) -> None:
        try:
            with self.oracle.waiting("wait_nonempty", self.oracle.can_lease):
                await self.buffer.wait_nonempty()
                self.oracle.check(self.oracle.can_lease(), 11, "wait_nonempty returned, and nothing is there")
        except BufferClosed:
            pass

    async def drain(self) -> None:
        self.oracle.taken += await self.buffer.drain()

    async def flush(self) -> None:
        before = list(self.oracle.deliveries.values())
        try:
            await self.buffer.flush(5)
        except FlushTimeout as error:
            self.oracle.flushed(before, error.left)
        else:
            self.oracle.flushed(before, 0)

    async def await_all(self) -> None:
        for delivery in list(self.oracle.deliveries.values()):
            try:
                await delivery
            except Undelivered:
                self.oracle.check(delivery.outcome is not None, 2, f"{delivery!r} raised while it is open")

    async def close(self) -> None:
        self.oracle.abandoned += await self.buffer.aclose()


async def cancelled(work: Callable[[], Awaitable[None]], *, natively: bool) -> None:
    """Do that work and cancel it, soon."""
    scope = CancelScope()

    async def do() -> None:
        with scope:
            await work()

    task = asyncio.ensure_future(do())
    await asyncio.sleep(0)
    task.cancel() if natively else scope.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is not None:
        raise task.exception()  # type: ignore[misc]


def two_waiters_and_a_cancel(*, natively: bool) -> Case:
    async def play(oracle: Oracle) -> None:
        actors = Actors(oracle)
        async with create_task_group() as tasks:
            tasks.start_soon(actors.lease)
            tasks.start_soon(lambda: cancelled(actors.lease, natively=natively))
            tasks.start_soon(actors.put)
            tasks.start_soon(actors.put)
        await actors.close()

    play.__name__ = f"two_waiters_and_a_cancel_{'natively' if natively else 'by_scope'}"
    return play


def two_who_look_and_a_cancel(*, natively: bool) -> Case:
    async def play(oracle: Oracle) -> None:
        actors = Actors(oracle)
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: cancelled(actors.wait, natively=natively))
            tasks.start_soon(actors.wait)
            tasks.start_soon(actors.put)
        await actors.close()

    play.__name__ = f"two_who_look_and_a_cancel_{'natively' if natively else 'by_scope'}"
    return play


def two_putters_and_a_cancel(*, natively: bool) -> Case:
    async def play(oracle: Oracle) -> None:
        actors = Actors(oracle, max_size=1, overflow="wait")
        await actors.put()
        async with create_task_group() as tasks:
            tasks.start_soon(lambda: cancelled(actors.put, natively=natively))
            tasks.start_soon(actors.put)
            tasks.start_soon(actors.lease)
            tasks.start_soon(actors.lease)
        await actors.close()

    play.__name__ = f"two_putters_and_a_cancel_{'natively' if natively else 'by_scope'}"
    return play


def two_groups_and_a_cancel(*, natively: bool) -> Case:
    async def play(oracle: Oracle) -> None:
        actors = Actors(oracle, max_size=2, overflow="wait")
        await actors.put()
        async with create_task_group() as until_closed:
            until_closed.start_soon(lambda: cancelled(actors.put_two, natively=natively))
            until_closed.start_soon(actors.put_two)
            until_closed.start_soon(actors.lease)
            until_closed.start_soon(actors.drain)
            await asyncio.sleep(1)  # until everybody sleeps
            await actors.close()

    play.__name__ = f"two_groups_and_a_cancel_{'natively' if natively else 'by_scope'}"
    return play


for way in (True, False):
    case(two_groups_and_a_cancel(natively=way))
    case(two_waiters_and_a_cancel(natively=way))
    case(two_who_look_and_a_cancel(natively=way))
    case(two_putters_and_a_cancel(natively=way))


@case
async def put_against_drain_against_lease(oracle: Oracle) -> None:
    actors = Actors(oracle, max_size=2, overflow="wait")
    async with create_task_group() as until_closed:
        until_closed.start_soon(actors.lease)
        async with create_task_group() as tasks:
            for work in (actors.put, actors.put, actors.drain, actors.put):
                tasks.start_soon(work)
        await actors.close()


@case
async def drop_oldest_against_lease(oracle: Oracle) -> None:
    actors = Actors(oracle, max_size=1)
    async with create_task_group() as until_closed:
        until_closed.start_soon(actors.lease)
        async with create_task_group() as tasks:
            for work in (actors.put, actors.put, actors.put):
                tasks.start_soon(work)
            until_closed.start_soon(actors.await_all)
        await actors.close()


@case
async def close_against_everything(oracle: Oracle) -> None:
    actors = Actors(oracle, max_size=1, overflow="wait")
    await actors.put()
    async with create_task_group() as tasks:
        for work in (actors.put, actors.wait, actors.lease, actors.flush, actors.await_all, actors.close, actors.close):
            tasks.start_soon(work)


@case
async def resume_against_who_waits(oracle: Oracle) -> None:
    actors = Actors(oracle)
    await actors.put()
    await actors.defer()
    async with create_task_group() as until_closed:
        for work in (actors.wait, actors.lease, actors.put, actors.wait, actors.resume):
            until_closed.start_soon(work)
        await asyncio.sleep(1)  # until everybody sleeps
        await actors.close()


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_every_schedule(case: Case) -> None:
    count = sum(1 for _ in schedules(case, at_most=3))
    print(count)
    assert count > 100, "hardly anything was tried"
