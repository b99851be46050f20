"""One schedule: a buffer, those who put, wait and cancel, and a supervisor or leases, all drawn from a seed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any

from anyio import CancelScope, create_task_group, get_cancelled_exc_class, sleep
from anyio.lowlevel import checkpoint

from ridethrough import (
    AsyncMessageBuffer,
    Backoff,
    BufferClosed,
    BufferFull,
    Delivery,
    FlushTimeout,
    Outcome,
    Overflow,
    ReconnectSupervisor,
    RetryLater,
    Undelivered,
)
from ridethrough.errors import StoreError

from .network import Message, Network
from .oracle import Oracle

Work = Callable[[], Awaitable[None]]


class Scenario:
    """What happens in one schedule."""

    def __init__(self, random: Random, oracle: Oracle) -> None:
        self.random = random
        self.oracle = oracle
        self._serial = 0
        self.tasks: list[asyncio.Task[None]] = []
        """Those that may be cancelled, each in its own way."""
        choice = random.choice
        self.buffer: AsyncMessageBuffer[Any] = self._make_buffer(
            max_size=choice((1, 1, 2, 3, 5, 100)),
            max_bytes=choice((None, None, None, 10)),
            size_of=lambda message: 1 + message.serial % 3,
            ttl=choice((None, None, 4, 40)),
            overflow=choice(tuple(Overflow)),
            key=choice((None, lambda message: message.key)),
            on_undelivered=oracle.undelivered,
        )
        self.keyed = self.buffer._intake._key is not None
        self.keys = "abc" if self.keyed else "a"
        # What was added later is in one schedule out of three, so that the old ones stay as they were.
        self.extended = random.getstate()[1][0] % 3 == 2
        oracle.buffer = self.buffer
        oracle.tell(f"{self.buffer!r}, {oracle.buffer.max_size} at most")

    def _make_buffer(self, **options: Any) -> AsyncMessageBuffer[Any]:
        return AsyncMessageBuffer(**options)

    async def play(self) -> None:
        """Play it, and close in the end."""
        work = [self._producer] * self.random.randint(1, 3) + [self._waiter] * self.random.randint(0, 2)
        work += self.random.sample([self._drainer, self._canceller, self._thread, self._early_closer], 1)
        if self.extended:
            work += [self._resumer] * self.random.randint(0, 2)
        async with create_task_group() as background:
            self._start_sending(background)
            async with create_task_group() as tasks:
                for one in work:
                    tasks.start_soon(self._maybe_cancelled, one)
            await self._close()
            background.cancel_scope.cancel()

    async def _close(self) -> None:
        timeout = self.random.choice((0, 0, 3, 300))
        self.oracle.tell(f"close within {timeout} s")
        self.oracle.abandoned += await self.buffer.aclose(timeout)
        assert await self.buffer.aclose() == []
        if self.oracle.supervisor is not None:
            await self.oracle.supervisor.aclose(self.random.choice((0, 1)))

    def _start_sending(self, background: Any) -> None:
        """Have what is put sent: by a supervisor, or by hand."""
        choice = self.random.choice
        if self.random.random() < 0.25:
            for _ in range(self.random.randint(1, 2)):
                background.start_soon(self._consumer)
            return
        oracle = self.oracle
        oracle.network = network = Network(self.random, oracle)
        doubt = choice(("retry", "retry", "report"))
        oracle.at_most_once = doubt == "report"
        backoff = SeededBackoff(self.random, choice((0.5, 5)))
        supervisor = ReconnectSupervisor(
            network.connect,
            self.buffer,
            backoff=backoff,
            stable_after=choice((0, 30)),
            max_outage=choice((None, None, 100)),
            on_doubt=doubt,
            poison_after=choice((None, 1, 5)),
        )
        oracle.supervisor = supervisor
        background.start_soon(self._observe, supervisor.states())
        background.start_soon(self._run_supervisor, supervisor)
        if self.random.random() < 0.5:
            background.start_soon(self._disturb, network, supervisor)

    # ---------------------------------------------------------------- the parts

    async def _run_supervisor(self, supervisor: ReconnectSupervisor[Message]) -> None:
        """Run it, sometimes give it up, and run it again."""
        while supervisor.state not in ("closed", "failed"):
            with CancelScope() as scope:
                if self.random.random() < 0.3:
                    scope.deadline = asyncio.get_running_loop().time() + self.random.choice((0.1, 2, 20))
                await supervisor.run()
            if self.buffer._monitor.closed:
                return
            await sleep(self.random.choice((0, 1)))

    async def _observe(self, states: Any) -> None:
        async for transition in states:
            self.oracle.changed_state(transition)

    async def _disturb(self, network: Any, supervisor: ReconnectSupervisor[Any]) -> None:
        for _ in range(self.random.randint(1, 5)):
            await self._pause()
            network.cut() if self.random.random() < 0.7 else supervisor.retry_now()

    async def _producer(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            await self._put()
            await self._pause()

    async def _put(self) -> None:
        together = self.extended and self.random.random() < 0.4
        messages = [self._message() for _ in range(self.random.randrange(5) if together else 1)]
        options: dict[str, Any] = {}
        if self.random.random() < 0.4:
            options["overflow"] = self.random.choice(tuple(Overflow))
        if self.random.random() < 0.2:
            options["ttl"] = self.random.choice((None, 0.5, 5))
        call = self.oracle.put_called()
        self.oracle.tell(f"put {', '.join(map(str, messages))} {options or ''}")
        try:
            if together:
                deliveries = await self.buffer.put_many(messages, **options)
            else:
                deliveries = [await self.buffer.put(messages[0], **options)]
        except (BufferFull, BufferClosed, StoreError, get_cancelled_exc_class()) as error:
            self.oracle.put_refused(messages, error)
            if isinstance(error, get_cancelled_exc_class()):
                raise
            return
        self.oracle.put_returned(call, messages, deliveries)
        if self.random.random() < 0.3 and deliveries:
            await self._await(deliveries[-1])

    async def _await(self, delivery: Delivery[Any]) -> None:
        with CancelScope() as scope:
            if self.random.random() < 0.5:
                scope.deadline = asyncio.get_running_loop().time() + 5
            try:
                with self.oracle.waiting(f"who awaits {delivery.message}", lambda: delivery.outcome is not None):
                    result = await delivery
            except Undelivered as error:
                self.oracle.check(error.outcome is delivery.outcome, 2, f"{error!r} of {delivery!r}")
            else:
                sent = delivery.outcome is Outcome.SENT
                fits = self._is_result(delivery, result) if sent else result is None
                self.oracle.check(fits, 1, f"{delivery!r} gives {result!r}")

    async def _waiter(self) -> None:
        kind = self.random.choice(("nonempty", "flush", "flush in time"))
        for _ in range(self.random.randint(1, 3)):
            await self._pause()
            if kind == "nonempty":
                try:
                    with self.oracle.waiting("wait_nonempty", self.oracle.can_lease), CancelScope() as scope:
                        scope.deadline = asyncio.get_running_loop().time() + self.random.choice((1, 50))
                        await self.buffer.wait_nonempty()
                        self.oracle.check(self.oracle.can_lease(), 11, "wait_nonempty returned, and nothing is there")
                except BufferClosed:
                    return
            else:
                await self._flush(None if kind == "flush" else self.random.choice((0, 0.5, 20)))

    async def _flush(self, timeout: float | None) -> None:
        before = list(self.oracle.deliveries.values())
        left = 0
        over = lambda: all(delivery.outcome is not None for delivery in before)  # noqa: E731
        with CancelScope() as scope:
            if timeout is None:
                scope.deadline = asyncio.get_running_loop().time() + 100
            try:
                with self.oracle.waiting("flush", over):
                    await self.buffer.flush(timeout)
            except FlushTimeout as error:
                left = error.left
            self.oracle.flushed(before, left)

    async def _drainer(self) -> None:
        await self._pause()
        drained = await self.buffer.drain()
        self.oracle.tell(f"drained: {', '.join(map(str, drained))}")
        for earlier, later in pairwise(drained):
            first, second = self.oracle.deliveries[earlier], self.oracle.deliveries[later]
            self.oracle.check(first.id < second.id, 3, "drained out of order")
        self.oracle.taken += drained

    async def _canceller(self) -> None:
        for _ in range(3):
            await self._pause()
            if self.oracle.deliveries:
                delivery = self.random.choice(list(self.oracle.deliveries.values()))
                was_open = delivery.outcome is None
                taken_back = delivery.cancel()
                self.oracle.tell(f"cancel of {delivery.message}: {taken_back}")
                self.oracle.check(not taken_back or was_open, 1, f"{delivery!r} was cancelled after its end")
                self.oracle.check(not taken_back or delivery.outcome is Outcome.CANCELLED, 1, f"{delivery!r}")

    async def _thread(self) -> None:
        """A thread puts, as a whole between two turns of the loop."""
        for _ in range(2):
            await self._pause()
            message, call = self._message(), self.oracle.put_called()
            thread = threading.Thread(target=self._put_from_thread, args=(call, message))
            thread.start()
            thread.join()

    def _put_from_thread(self, call: int, message: Message) -> None:
        policy = self.random.choice((Overflow.DROP_OLDEST, Overflow.DROP_NEWEST, Overflow.REJECT))
        if policy is Overflow.DROP_OLDEST and self.oracle.peek().waiting_to_put:
            policy = Overflow.REJECT  # it would wait in line
        try:
            delivery = self.buffer.put_from_thread(message, overflow=policy)
        except (BufferFull, BufferClosed, StoreError) as error:
            self.oracle.put_refused([message], error)
        else:
            self.oracle.put_returned(call, [message], [delivery])

    async def _resumer(self) -> None:
        for _ in range(self.random.randint(1, 6)):
            await self._pause()
            keys = []
            if self.oracle.deliveries and self.random.random() < 0.7:
                keys = [message.key for message in self.random.choices(list(self.oracle.deliveries), k=2)]
            self.buffer.resume(*(key if self.keyed else None for key in keys))
            self.oracle.resumed(keys)

    async def _early_closer(self) -> None:
        if self.random.random() < 0.3:
            await self._pause()
            await self._close()

    async def _consumer(self) -> None:
        """Leases by hand."""
        while True:
            try:
                async with self.buffer.lease(self.random.randint(1, 4)) as lease:
                    self.oracle.lease_began()
                    try:
                        for entry in lease:
                            if not await self._use(entry):
                                break
                    finally:
                        self.oracle.lease_ends()
            except BufferClosed:
                return
            except ZeroDivisionError:
                pass
            await self._pause()

    async def _use(self, entry: Any) -> bool:
        """Do something with a leased message; False: leave the rest."""
        message, oracle = entry.message, self.oracle
        kind = self.random.choice(("ack", "ack", "ack", "ack slowly", "reject", "later", "leave", "fail"))
        if kind == "leave":
            return False
        if kind == "fail":
            raise ZeroDivisionError
        if kind == "later":
            pause = RetryLater(self.random.choice((1, 7)), self.random.choice(("key", "all")))
            entry.defer(pause.after, pause.scope)
            oracle.set_aside.add(message)
            oracle.paused(message, pause)
            return True
        entry.begin()
        oracle.send_begins(message, kind)
        if kind == "ack slowly":
            await sleep(self.random.choice((0, 2)))
        if kind == "reject":
            oracle.settled(message)
            entry.reject("no")
        else:
            oracle.arrived(message)
            oracle.settled(message)
            entry.ack(f"took {message}")
        return True

    # ---------------------------------------------------------------- around them

    async def _maybe_cancelled(self, work: Work) -> None:
        """Do that work; one time in three, cancel it somewhere in between, in one way or the other."""
        if self.random.random() < 0.67:
            await work()
            return
        scope = CancelScope()
        natively = self.random.random() < 0.5

        async def do() -> None:
            with scope:
                await work()

        task = asyncio.ensure_future(do())
        self.tasks.append(task)
        after = self.random.choice((0, 0, 0.5, 3))
        for _ in range(self.random.randrange(12)):
            await checkpoint()
        await sleep(after)
        self.oracle.tell(f"cancel a {getattr(work, '__name__', 'task')}")
        task.cancel() if natively else scope.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()  # type: ignore[misc]

    async def _pause(self) -> None:
        for _ in range(self.random.randrange(3)):
            await checkpoint()
        if self.random.random() < 0.4:
            await sleep(self.random.choice((0.01, 0.5, 2, 9)))

    def _message(self) -> Any:
        self._serial += 1
        return Message(self._serial, self.random.choice(self.keys))

    def _is_result(self, delivery: Delivery[Any], result: object) -> bool:
        return result == f"took {delivery.message}"


class SeededBackoff(Backoff):
    """Draws its jitter from the seed."""

    def __init__(self, random: Random, initial: float) -> None:
        super().__init__(initial)
        object.__setattr__(self, "_random", random.random)  # the class is frozen

    def delay(self, failures: int, random: Callable[[], float] | None = None) -> float:
        return super().delay(failures, random or object.__getattribute__(self, "_random"))
