"""Links to a scripted other side, in memory: each fault happens when the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NoReturn, Self

from anyio import Event, create_task_group, current_time, fail_after, move_on_after, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, Backoff, Delivery, LinkLost, OnDoubt, Outcome, ReconnectSupervisor
from ridethrough.observing import Observer
from ridethrough.sender import Sender
from ridethrough.state import RUNNING, Transition

Fault = Callable[..., Awaitable[Any]]
"""What happens instead of a connect, a send (called with the link and the message) or the taking down of a link."""

PATIENCE = 1e7
"""Seconds, on clocks that jump, after which a test that waits for nothing fails."""


class Network:
    """The other side, and the way there.

    Attributes:
        received: what the other side has taken, in order, duplicates included.
        tries: when ``connect`` was called.
        links: the links made so far.
        on_connect, on_send, on_leave: what happens to the next ones; when there is nothing left, all goes well.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self.tries: list[float] = []
        self.links: list[FakeLink] = []
        self.on_connect: deque[Fault] = deque()
        self.on_send: deque[Fault] = deque()
        self.on_leave: deque[Fault] = deque()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeLink]:
        """A link."""
        self.tries.append(current_time())
        await self._happen(self.on_connect)
        link = FakeLink(self)
        self.links.append(link)
        try:
            yield link
        finally:
            link.closed.set()
            await self._happen(self.on_leave)

    @asynccontextmanager
    async def connect_with_reader(
        self, read: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> AsyncIterator[FakeLink]:
        """A link with a task group of its own, and a reader in it: that one, or what :meth:`FakeLink.crash` ends."""
        async with self.connect() as link, create_task_group() as tasks:
            tasks.start_soon(read or link.read)
            yield link
            tasks.cancel_scope.cancel()

    @property
    def link(self) -> FakeLink:
        """The link made last."""
        return self.links[-1]

    async def _happen(self, faults: deque[Fault]) -> None:
        if faults:
            await faults.popleft()()


class FakeLink:
    """A link; a send takes two turns of the event loop, and the answer names the message."""

    def __init__(self, network: Network) -> None:
        self.closed = Event()
        self.network = network
        self._crashed = Event()
        self._reason: Exception | None = None

    async def send(self, message: str) -> str:
        if self.closed.is_set():
            raise LinkLost("closed before the send", unsent=True)
        if self.network.on_send:
            result: str = await self.network.on_send.popleft()(self, message)
            return result
        await checkpoint()
        answer = self.take(message)
        await checkpoint()
        return answer

    async def wait_closed(self) -> None:
        await self.closed.wait()
        if self._reason is not None:
            raise self._reason

    async def read(self) -> None:
        """Wait for the crash."""
        await self._crashed.wait()
        assert self._reason is not None
        raise self._reason

    def take(self, message: str) -> str:
        """Let the other side take a message; returns its answer."""
        self.network.received.append(message)
        return f"took {message}"

    def cut(self, reason: Exception | None = None) -> None:
        """Close it; ``wait_closed`` returns, or raises the reason."""
        self._reason = reason
        self.closed.set()

    def crash(self, reason: Exception) -> None:
        """Let the reader raise that."""
        self._reason = reason
        self._crashed.set()


# Faults


def raising(error: BaseException) -> Fault:
    """Raise that."""

    async def fault(*_: object) -> NoReturn:
        raise error

    return fault


def slow(seconds: float) -> Fault:
    """Take that long, and then go well."""

    async def fault(*sent: Any) -> object:
        await sleep(seconds)
        return sent[0].take(sent[1]) if sent else None

    return fault


async def hang(*_: object) -> None:
    """Never come to an end."""
    await sleep_forever()


async def cut_before(link: FakeLink, message: str) -> NoReturn:  # noqa: ARG001
    """Lose the link before anything of the message has left."""
    link.cut()
    raise LinkLost("the link was cut before the send", unsent=True)


async def cut_in(link: FakeLink, message: str) -> NoReturn:  # noqa: ARG001
    """Lose the link in the middle of the message, which the other side does not take."""
    await checkpoint()
    link.cut()
    raise LinkLost("the link was cut in the send")


async def cut_after(link: FakeLink, message: str) -> NoReturn:
    """Lose the link after the other side has taken the message, and before its answer."""
    await checkpoint()
    link.take(message)
    link.cut()
    raise ConnectionResetError("the link was cut after the send")


async def cut_and_answer(link: FakeLink, message: str) -> str:
    """Lose the link in the moment in which the answer arrives."""
    await checkpoint()
    link.cut()
    await checkpoint()
    await checkpoint()
    return link.take(message)


# Around the sender and the supervisor


class Line:
    """A buffer, a network and a sender between them; a test that hangs in it fails."""

    def __init__(self, on_doubt: str = "retry", poison_after: int | None = 5, **options: Any) -> None:
        self.buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer(**options)
        self.network = Network()
        self.sender = Sender(self.buffer, OnDoubt(on_doubt), poison_after)

    async def serve(self) -> Exception | None:
        """Send over a link until it is gone."""
        async with self.network.connect() as link:
            return await self.sender.serve(link)

    async def serve_for(self, seconds: float) -> None:
        """Send over a link, and then give up."""
        with move_on_after(seconds):
            await self.serve()

    async def __aenter__(self) -> Self:
        self._patience = fail_after(PATIENCE)
        self._patience.__enter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        await self.buffer.aclose()
        return self._patience.__exit__(exc_type, exc, traceback)


class NoJitter(Backoff):
    """Waits for the longest delay there could be."""

    def delay(self, failures: int, random: Callable[[], float] | None = None) -> float:  # noqa: ARG002
        return self.ceiling(failures)


def supervise(network: Network, buffer: AsyncMessageBuffer[str], **options: Any) -> ReconnectSupervisor[str]:
    """A supervisor without jitter."""
    options = {"connect": network.connect, "backoff": NoJitter(), **options}
    return ReconnectSupervisor(options.pop("connect"), buffer, **options)


async def run_to_its_end(supervisor: ReconnectSupervisor[Any]) -> None:
    """Run a supervisor that is to stop by itself."""
    with fail_after(PATIENCE):
        await supervisor.run()


async def seen_by(observer: Observer[Transition]) -> list[Transition]:
    """What the observer of a supervisor that was closed has seen."""
    with fail_after(PATIENCE):
        return [transition async for transition in observer]
    raise AssertionError


@asynccontextmanager
async def running(supervisor: ReconnectSupervisor[Any]) -> AsyncIterator[None]:
    """Run a supervisor in the background, and close it at the end."""
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(supervisor.run)
            while supervisor.state not in RUNNING:
                await checkpoint()
            yield
            await supervisor.aclose()


def fate(delivery: Delivery[str]) -> tuple[Outcome | None, int, bool]:
    """Its outcome, how often it was tried, and whether it may have been sent."""
    return delivery.outcome, delivery.attempts, delivery.maybe_sent


async def put_all(buffer: AsyncMessageBuffer[str], messages: str) -> None:
    """Put each of these letters."""
    for message in messages:
        await buffer.put(message)
