"""A schedule with a journal: one program after the other uses it, and some are killed."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

from anyio import CancelScope, Event, sleep

from ridethrough import AsyncMessageBuffer

from .durable_oracle import DurableOracle
from .loop import SimulationLoop
from .memory_journal import MemoryJournal
from .network import Message
from .scenario import Scenario
from .threads import Threads

MOST = 4
"""Programs, one after the other."""


class Life(Scenario):
    """One program, from the opening of the journal to its end, whichever comes."""

    oracle: DurableOracle

    def __init__(self, random: Random, oracle: DurableOracle, threads: Threads, serial: int, *, by_key: bool) -> None:
        self._threads = threads
        self._by_key = by_key
        self._journal = oracle.journal
        self._puts: list[Event] = []
        """Of threads: each is set when its put is over."""
        super().__init__(random, oracle)
        self._serial = serial

    def _make_buffer(self, **options: Any) -> AsyncMessageBuffer[Any]:
        options["key"] = (lambda message: message.key) if self._by_key else None
        buffer: AsyncMessageBuffer[Any] = AsyncMessageBuffer(**options, journal=self._journal)
        self._journal.begin()
        self.oracle.begin(buffer)
        return buffer

    async def live(self) -> int:
        """Live it; returns the serial number of its last message."""
        death = None
        with CancelScope() as scope:
            if self.random.random() < 0.7:
                after = self.random.random() * self.random.choice((0.5, 5, 60))
                death = asyncio.get_running_loop().call_later(after, self._kill, scope)
            async with self.buffer:
                if not scope.cancel_called:
                    self.oracle.opened(list(self._journal.records.values()))
                    await self.play()
        if death is not None:
            death.cancel()
        while strays := [task for task in self.tasks if not task.done()]:
            for task in strays:
                task.cancel()
            await asyncio.wait(strays, timeout=1)
        for put in self._puts:
            await put.wait()
        self.oracle.closed()
        return self._serial

    def _kill(self, scope: CancelScope) -> None:
        """Nothing counts from now on; the rest is to get rid of its tasks, by way of its end."""
        moment = int(self.oracle.clock() * 1e6)
        self._journal.kill(1 if moment % 2 else moment % 100 / 100)
        self.oracle.kill()
        scope.cancel()

    def _start_sending(self, background: Any) -> None:
        super()._start_sending(background)
        if self.random.random() < 0.4:
            background.start_soon(self._have_trouble)

    async def _have_trouble(self) -> None:
        try:
            for _ in range(self.random.randint(1, 2)):
                await self._pause()
                self._journal.trouble = self.random.choice(("full", "broken"))
                self.oracle.tell(f"the disk is {self._journal.trouble}")
                await sleep(self.random.choice((0.1, 0.5, 3)))
                self._journal.trouble = None
                self.oracle.tell("the disk is well again")
        finally:
            self._journal.trouble = None

    async def _thread(self) -> None:
        for _ in range(2):
            await self._pause()
            done = Event()
            self._puts.append(done)
            self._threads.thread(target=self._put_there, args=(self._message(), done)).start()
            await done.wait()

    def _put_there(self, message: Message, done: Event) -> None:
        """In a thread, from the beginning of its first turn."""
        self._put_from_thread(self.oracle.put_called(), message)
        self._threads.loop.call_soon(done.set)


class DurableScenario:
    """Lives of programs that use the same journal."""

    def __init__(self, random: Random, oracle: DurableOracle) -> None:
        self._random = random
        self._oracle = oracle

    async def play(self) -> None:
        """Play it."""
        random, oracle = self._random, self._oracle
        threads = Threads(cast("SimulationLoop", asyncio.get_running_loop()))
        oracle.journal = MemoryJournal(random, threads)
        by_key = random.random() < 0.5
        serial = 0
        with threads.instead_of_real_ones():
            for number in range(random.randint(2, MOST)):
                oracle.tell(f"program {number}")
                serial = await Life(random, oracle, threads, serial, by_key=by_key).live()
