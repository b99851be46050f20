"""Small cases, in every order that there is up to three deviations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import CancelScope, create_task_group

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, FlushTimeout, Undelivered

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
        self._serial += 1
        message, call = Message(self._serial, "a"), self.oracle.put_called()
        try:
            delivery = await self.buffer.put(message, **options)
        except BaseException as error:
            self.oracle.put_refused(message, error)
            if isinstance(error, BufferClosed | BufferFull):
                return
            raise
        self.oracle.put_returned(call, message, delivery)

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


for way in (True, False):
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


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_every_schedule(case: Case) -> None:
    count = sum(1 for _ in schedules(case, at_most=3))
    print(count)
    assert count > 100, "hardly anything was tried"
