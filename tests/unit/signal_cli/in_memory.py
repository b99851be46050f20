"""A daemon in memory, for links on clocks that jump: as FakeSignal answers, or as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NoReturn, cast

from anyio import Event, current_time
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, Backoff, LinkLost, ReconnectSupervisor
from ridethrough.signal_cli import DaemonError, ServiceStatus, SignalMessage, target_of
from ridethrough.signal_cli.connection import Connection, OnReceive
from ridethrough.signal_cli.endpoints import Endpoint
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.signal_cli.judge import Judge
from ridethrough.signal_cli.link import SignalLink
from ridethrough.testing.fake_signal import FakeSignal, RequestFailed

HOME = "+491701234567"


class Seeded(Backoff):
    """Draws its jitter from the time, which is the same each time that a test is run."""

    def delay(self, failures: int, random: Any = None) -> float:  # noqa: ARG002
        return Random(f"{failures} {current_time()}").random() * self.ceiling(failures)


class InMemory(Connection):
    """A daemon, an endpoint that leads to it, and the connection there.

    Attributes:
        signal: what it answers by; see there for what can be set.
        script: what it answers to the next requests that are no questions for the account: an error is raised, anything
            else is returned; when there is nothing left, it is up to ``signal``.
        asked: the requests so far: when, what, with which parameters, and for how long to wait.
        subscribed: the parameters of the subscriptions so far.
    """

    def __init__(self, backoff: Backoff = Backoff(), on_untrusted: str = "park") -> None:  # noqa: B008
        self.signal = FakeSignal([HOME])
        self.script: deque[Any] = deque()
        self.asked: list[tuple[float, str, dict[str, Any], float]] = []
        self.subscribed: list[dict[str, Any]] = []
        self.service = ServiceStatus()
        self.judge = Judge(self.service, backoff, on_untrusted)
        self.mailbox = Mailbox(None)
        self._backoff = backoff
        self._closed = Event()

    # ---------------------------------------------------------------- for tests

    @property
    def methods(self) -> list[str]:
        """What was asked, but for the account."""
        return [method for _, method, *_ in self.asked if method != "listAccounts"]

    @property
    def texts(self) -> list[str]:
        """What has reached Signal."""
        return [arrival.text for arrival in self.signal.sends]

    def tries(self) -> list[float]:
        """When it was asked for anything that needs Signal."""
        return [when for when, method, *_ in self.asked if method != "listAccounts"]

    def link(self, account: str | None = None, response_timeout: float = 60) -> SignalLink:
        """A link to it."""
        return SignalLink(cast("Endpoint", self), account, self.judge, self.mailbox, response_timeout)

    def supervise(
        self, buffer: AsyncMessageBuffer[SignalMessage], on_doubt: str = "retry"
    ) -> ReconnectSupervisor[SignalMessage]:
        """A supervisor that sends what is in a buffer over such links."""
        return ReconnectSupervisor(self.link, buffer, backoff=self._backoff, on_doubt=on_doubt)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Signal cannot be reached."""
        self.signal.service_reachable = False
        yield
        self.signal.service_reachable = True

    # ---------------------------------------------------------------- for links

    async def open(self, on_receive: OnReceive) -> Connection:
        await checkpoint()
        assert on_receive == self.mailbox.deliver
        self._closed = Event()
        return self

    async def call(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        self.asked.append((current_time(), method, params, timeout))
        await checkpoint()
        if method != "listAccounts" and self.script:
            answer = self.script.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        try:
            return self.signal.call(method, params)
        except RequestFailed as error:
            raise DaemonError(error.code, error.message, error.data) from None

    async def subscribe(self, params: dict[str, Any], timeout: float) -> None:
        assert timeout == 60
        self.subscribed.append(params)
        await checkpoint()
        if self.script:
            raise self.script.popleft()

    async def read(self) -> None:
        await self._closed.wait()

    async def wait_closed(self) -> NoReturn:
        await self._closed.wait()
        raise LinkLost("it was cut")

    async def aclose(self) -> None:
        self._closed.set()
        await checkpoint()


def buffer_of(count: int) -> AsyncMessageBuffer[SignalMessage]:
    """A buffer for that many messages."""
    return AsyncMessageBuffer(count, key=target_of)
