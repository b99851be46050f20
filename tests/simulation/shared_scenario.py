"""A schedule of an outbox that many hosts share: those who put and those who send, the servers, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import filterfalse
from random import Random
from typing import Any

from anyio import CancelScope

from ridethrough import BufferClosed, BufferFull, FlushTimeout, Overflow, StoreAway, Undelivered
from ridethrough.jetstream.store import Handed
from tests.engine.host import MemoryHost, clock_of_the_loop, from_seed
from tests.engine.server import MemoryServer

from .oracle import Violation
from .shared_oracle import NAME, SharedOracle, WatchedBooks
from .shared_weather import SeededWeather

PATIENCE = 120.0
"""Within how many seconds all that is left is sent once nothing goes wrong any more, and who put it knows."""

SENDS = (
    "well", "well", "well", "well", "slow", "very slow", "reject", "unknown", "later", "later all", "unsent", "lost",
    "leave", "fail",
)  # fmt: skip

STORMS = {
    "lossy": ("cut", "cut", "leader", "leader", "expel"),
    "rough": ("cut", "stall", "stall and cut", "leader", "leader", "expel"),
}
"""What may go wrong on the way, by the kind of weather."""

Work = Callable[[], Awaitable[None]]


class Host(MemoryHost[str]):
    """A host, and what it does."""

    def __init__(self, scenario: SharedScenario, name: str, options: dict[str, Any]) -> None:
        super().__init__(scenario.server, **options)
        self.random = scenario.random
        self.oracle = scenario.oracle
        self.scenario = scenario
        self.id = name
        self._books = WatchedBooks(name, self.oracle)
        self.tasks: list[asyncio.Task[None]] = []
        self.error: BaseException | None = None

    @property
    def is_dead(self) -> bool:
        return self.id in self.oracle.dead

    @property
    def is_closed(self) -> bool:
        return self.id in self.oracle.closed

    def start(self, work: Work) -> asyncio.Task[None]:
        """Do something in a task of this host's."""
        task = asyncio.get_running_loop().create_task(self._do(work))
        self.tasks.append(task)
        return task

    async def _do(self, work: Work) -> None:
        try:
            await work()
        except (BufferClosed, asyncio.CancelledError):
            return
        except StoreAway as error:
            self.oracle.tell(self.id, f"{getattr(work, '__name__', work)} raises {error!r}")
            self.oracle.check(self.id, not self.oracle.fair, 3, f"{error!r}")
        except BaseException as error:
            if not self.is_dead:
                self.error = self.error or error

    async def die(self) -> None:
        """From now on nothing of it is said, and it hears nothing."""
        self.oracle.tell(self.id, "dies")
        self.oracle.dead.add(self.id)
        self.road.cut()
        await self.wire.aclose()
        for task in self.tasks:
            task.cancel()
        await self.close(0)

    async def close(self, timeout: float) -> None:
        """Close it properly."""
        self.oracle.closing(self.id)
        abandoned = await self.aclose(timeout)
        self.oracle.tell(self.id, f"is closed, and has left: {', '.join(abandoned)}")
        assert await self.aclose() == []

    # ---------------------------------------------------------------- what it does

    async def put_some(self) -> None:
        for _ in range(self.random.randint(1, 5)):
            await self._maybe_cancelled(self._put)
            await self.scenario.pause()

    async def _put(self) -> None:
        message = self.scenario.message()
        options: dict[str, Any] = {}
        if self.random.random() < 0.4:
            options["overflow"] = self.random.choice(tuple(Overflow))
        if self.random.random() < 0.2:
            options["ttl"] = self.random.choice((None, 0.3, 2))
        self.oracle.put_called(self.id, message, options.get("ttl", self.scenario.ttl))
        try:
            delivery = await self.put(message, **options)
        except (BufferFull, BufferClosed, StoreAway, asyncio.CancelledError) as error:
            self.oracle.put_raised(self.id, message, error)
            if isinstance(error, BufferClosed | asyncio.CancelledError):
                raise
            return
        self.oracle.put_returned(self.id, message, delivery)
        chance = self.random.random()
        if chance < 0.1:
            await self._cancel(message)
        elif chance < 0.2:
            with suppress(TimeoutError, Undelivered):
                async with asyncio.timeout(self.random.choice((0.5, 5))):
                    self.oracle.learnt(self.id, delivery, await delivery)

    async def _cancel(self, message: str) -> None:
        fact = self.oracle.facts[message]
        assert fact.delivery is not None
        await self.scenario.pause()
        with suppress(StoreAway), self.oracle.taking(self.id, fact):
            self.oracle.cancelled(self.id, fact, await self.cancel(fact.delivery))

    async def drain_once(self) -> None:
        await self.scenario.pause()
        with suppress(StoreAway), self.oracle.taking(self.id):
            self.oracle.drained(self.id, await self.drain())

    async def flush_once(self) -> None:
        await self.scenario.pause()
        before = self.oracle.put_by_now()
        try:
            await self.flush(self.random.choice((0, 0.2, 2)))
        except FlushTimeout as error:
            self.oracle.check(self.id, error.left > 0, 11, "flush says that nothing is left")
        else:
            self.oracle.flushed(self.id, before)

    async def wait_once(self) -> None:
        await self.scenario.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.random.choice((0.5, 3))):
                await self.wait_nonempty()
                self.oracle.tell(self.id, "something can be leased")

    async def resume_now_and_then(self) -> None:
        for _ in range(3):
            await self.scenario.pause()
            self.resume()

    async def send_until_closed(self) -> None:
        """Lease and send."""
        while True:
            with suppress(ZeroDivisionError):
                await self._maybe_cancelled(self._send)
            if self.random.random() < 0.2:
                await self.scenario.pause()

    async def _send(self) -> None:
        async with self.lease() as lease:
            self.oracle.leased(self.id)
            try:
                for entry in lease:
                    await self._send_one(lease, entry)
            finally:
                self.oracle.lease_left(self.id)

    async def _send_one(self, lease: Any, entry: Any) -> None:
        kind = self.random.choice(SENDS) if self.scenario.is_faulty else "well"
        message, oracle = entry.message, self.oracle
        if kind == "leave":
            return
        late = self.scenario.age(lease.handed) >= self.scenario.lease_time
        send = oracle.send_begins(self.id, entry, kind, lambda: bool(lease.over), late=late)
        entry.begin()
        try:
            await self._go(kind, message, lease, entry, send)
        finally:
            oracle.send_ended(message, send)

    async def _go(self, kind: str, message: str, lease: Any, entry: Any, send: Any) -> None:
        oracle = self.oracle
        if kind == "unsent":
            if entry.unbegin():
                oracle.did_not_arrive(send)
            return
        early = self.random.random() < 0.5
        if early and kind not in ("later", "later all", "reject"):
            oracle.arrives(self.id, message)
        if kind in ("slow", "very slow"):
            most = self.scenario.lease_time * (3 if kind == "very slow" else 0.8)
            await asyncio.sleep(self.random.random() * most)
        elif self.random.random() < 0.5:
            await asyncio.sleep(0)
        self._settle(kind, entry, send)
        if kind == "fail":
            raise ZeroDivisionError
        if kind in ("well", "slow", "very slow"):
            if not early:
                oracle.arrives(self.id, message)
            is_last = self.scenario.is_last(lease.handed)
            oracle.acknowledged(self.id, message, entry.ack(f"took {message}"), is_last=is_last)

    def _settle(self, kind: str, entry: Any, send: Any) -> None:
        """What becomes of a message that was not taken."""
        oracle = self.oracle
        if kind in ("later", "later all"):
            if entry.defer(self.random.choice((0, 0.4, 3)), "all" if kind == "later all" else "key"):
                oracle.did_not_arrive(send)
        elif kind == "reject":
            if entry.reject("no"):
                oracle.did_not_arrive(send)
        elif kind == "unknown":
            entry.unknown("the link was lost")

    async def _maybe_cancelled(self, work: Work) -> None:
        """Do that; now and then, cancel it somewhere in between, in one way or the other."""
        if not self.scenario.is_faulty or self.random.random() < 0.8:
            await work()
            return
        scope = CancelScope()
        natively = self.random.random() < 0.5

        async def do() -> None:
            with scope:
                await work()

        task = asyncio.get_running_loop().create_task(do())
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # or nobody may ask for it
        try:
            await asyncio.wait({task}, timeout=self.random.choice((0, 0.005, 0.1, 0.7, 3)))
        finally:
            task.cancel() if natively else scope.cancel()
            await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


class SharedScenario:
    """What happens in one schedule."""

    def __init__(self, random: Random, oracle: SharedOracle) -> None:
        self.random = random
        self.oracle = oracle
        choice = random.choice
        self.kind = choice(("fair", "fair", "deaths", "lossy", "rough", "rough"))
        self._lost = choice((0.02, 0.1, 0.2)) if self.kind in ("lossy", "rough") else 0.0
        self.weather = SeededWeather(random)
        self.server = oracle.server = MemoryServer(self.weather)
        self.is_faulty = True
        self.lease_time = choice((1.0, 2.0, 6.0))
        self.ttl: float | None = choice((None, None, 1.5, 20))
        oracle.fair = self.kind == "fair"
        oracle.held_up = self.kind == "rough"
        oracle.punctual = self.kind != "rough" and random.random() < 0.7
        self.keys = choice(("a", "abc"))
        self.options = {
            "max_size": choice((1, 2, 3, 5, 100)),
            "lease_time": self.lease_time,
            "put_timeout": choice((1.0, 4.0, 10.0)),
            "ttl": self.ttl,
            "overflow": choice(tuple(Overflow)),
            "partitions": choice((1, 1, 1, 2)),
            "key": lambda message: message[0],
        }
        self._serial = 0
        shown = ", ".join(f"{name}={value}" for name, value in self.options.items() if name != "key")
        oracle.tell("all", f"{self.kind}, {self._lost:.0%} lost, {shown}")

    def message(self) -> str:
        """A new one."""
        self._serial += 1
        return f"{self.random.choice(self.keys)}{self._serial}"

    def age(self, handed: Handed) -> float:
        """How long ago a message was handed out, in seconds."""
        return self.oracle.clock() - self._handed_out(handed)[handed.reply]

    def is_last(self, handed: Handed) -> bool:
        """Whether a message was handed out to nobody else since."""
        number = handed.reply.split(".")[5]
        return handed.reply == [reply for reply in self._handed_out(handed) if reply.split(".")[5] == number][-1]

    def _handed_out(self, handed: Handed) -> dict[str, float]:
        return self.server.jetstream.consumers[NAME, f"sender-{handed.partition}"].handed_out_at

    async def pause(self) -> None:
        """Take a turn or two, or some time."""
        if self.random.random() < 0.5:
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.random.choice((0.01, 0.2, 1)))

    async def play(self) -> None:
        """Play it."""
        failed = _Failures()
        logger = logging.getLogger("ridethrough.jetstream")
        logger.addHandler(failed)
        try:
            with clock_of_the_loop(), from_seed(self.random):
                await self._play()
        finally:
            logger.removeHandler(failed)
            if failed.errors:  # whatever else has gone wrong may come of that
                raise failed.errors[0]

    async def _play(self) -> None:
        random = self.random
        hosts = [Host(self, f"host {number}", self.options) for number in range(random.randint(2, 3))]
        for host in hosts:
            await host.__aenter__()
        self.weather.lost, self.weather.is_slow = self._lost, self.kind == "rough"
        self.oracle.slow = not self.oracle.punctual
        senders = hosts[-random.randint(1, 2) :]
        putting: list[asyncio.Future[None]] = [
            host.start(host.put_some) for host in hosts for _ in range(random.randint(1, 2))
        ]
        for host in senders:
            host.start(host.send_until_closed)
        for host in random.choices(hosts, k=random.randint(0, 2)):
            extra = random.choice(
                (host.drain_once, host.drain_once, host.flush_once, host.wait_once, host.resume_now_and_then)
            )
            putting.append(host.start(extra))
        storms: list[asyncio.Future[None]] = []
        if self.kind in STORMS:
            storms = [asyncio.ensure_future(self._storm(hosts)) for _ in range(random.randint(0, 2))]
        if self.kind != "fair" and random.random() < 0.6:
            putting.append(asyncio.ensure_future(self._lose(random.choice(hosts))))
        if random.random() < 0.3:
            putting.append(asyncio.ensure_future(self._close_early(random.choice(hosts))))
        await asyncio.wait([*putting, *storms], timeout=random.choice((5, 30)))
        for storm in storms:
            storm.cancel()
        await self._clear_up(hosts, senders, [*putting, *storms])

    async def _clear_up(self, hosts: list[Host], senders: list[Host], busy: list[asyncio.Future[None]]) -> None:
        """Nothing goes wrong any more: whatever is left gets sent, and everybody who waits for it learns of that."""
        self.is_faulty = self.oracle.slow = False
        self.weather.clear_up()
        self.oracle.tell("all", "it clears up")
        for host in hosts:
            if not host.is_dead:
                host.road.mend()
        if (
            not any(host in senders and not host.is_dead and not host.is_closed for host in hosts)
            or self.random.random() < 0.5
        ):
            hosts.append(Host(self, "the last one", self.options))
            await hosts[-1].__aenter__()
            hosts[-1].start(hosts[-1].send_until_closed)
        give_up = self.oracle.clock() + PATIENCE
        while left := [*self.oracle.stored(), *self._open(), *filterfalse(asyncio.Future.done, busy)]:
            self._raise(hosts)
            if self.oracle.clock() > give_up:
                raise Violation(f"promise 11: this waits for ever: {left}")
            await asyncio.sleep(0.5)
        for host in hosts:
            if not host.is_dead:
                await host.close(self.random.choice((0, 2)))
        for task in [task for host in hosts for task in host.tasks if not task.done()]:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait({task})
        self._raise(hosts)

    def _open(self) -> list[str]:
        return [
            f"{fact.message}: {fact.delivery!r}"
            for fact in self.oracle.put_by_now()
            if fact.host not in self.oracle.dead and fact.delivery is not None and fact.delivery.outcome is None
        ]

    def _raise(self, hosts: list[Host]) -> None:
        for host in hosts:
            if host.error is not None:
                raise host.error

    # ---------------------------------------------------------------- what goes wrong

    async def _lose(self, host: Host) -> None:
        await asyncio.sleep(self.random.random() * self.random.choice((0.1, 3)))
        await host.die()

    async def _close_early(self, host: Host) -> None:
        await asyncio.sleep(self.random.random() * self.random.choice((0.1, 3)))
        if not host.is_dead:
            await host.close(self.random.choice((0, 1)))

    async def _storm(self, hosts: list[Host]) -> None:
        random, weather = self.random, self.weather
        for _ in range(random.randint(1, 3)):
            await self.pause()
            kind = random.choice(STORMS[self.kind])
            seconds = random.choice((0.05, 0.5, 1.5, 6))
            host = random.choice(hosts)
            self.oracle.tell("all", f"{kind} of {host.id} for {seconds} s")
            if kind == "leader":
                weather.leader = random.choice(("silent", "gone", "unsure"))
                self.server.jetstream.forget_requests(random.choice(("", "409")))
                await asyncio.sleep(seconds)
                weather.leader = "there"
                continue
            if kind == "expel":
                host.clients[-1].expel()
                continue
            if kind.startswith("stall"):
                host.road.stall()
                await asyncio.sleep(seconds)
            if kind.endswith("cut"):
                host.road.cut()
                await asyncio.sleep(seconds)
            if not host.is_dead:
                host.road.mend()


class _Failures(logging.Handler):
    """Errors in the log: tasks that failed, of which nobody else learns."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.errors.append(error or Violation(f"logged: {record.getMessage()}"))
