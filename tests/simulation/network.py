"""The other side, and the way there, with faults from the seed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from anyio import Event, move_on_after, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from ridethrough import LinkLost, Rejected, RetryLater

if TYPE_CHECKING:
    from .oracle import Oracle


class Message(NamedTuple):
    """What is sent in a simulation: each is there once."""

    serial: int
    key: str

    def __str__(self) -> str:
        return f"{self.key}{self.serial}"


SENDS = (
    "well", "well", "well", "well", "well", "slow", "cut before", "cut in", "cut after", "cut as it answers", "hang",
    "later", "later all", "reject",
)  # fmt: skip
CONNECTS = ("well", "well", "well", "refuse", "refuse", "slow", "hang", "flap")


class Network:
    """Makes links, and remembers what has arrived through them.

    Args:
        random: where the faults come from.
        oracle: told of everything that arrives.
        faulty: False: nothing goes wrong any more.
    """

    def __init__(self, random: Random, oracle: Oracle) -> None:
        self.random = random
        self.oracle = oracle
        self.faulty = random.random() < 0.9
        self.links: list[Link] = []

    def pick(self, kinds: tuple[str, ...]) -> str:
        """What happens next."""
        return self.random.choice(kinds) if self.faulty else "well"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        """A link, or a failure to make one."""
        kind = self.pick(CONNECTS)
        self.oracle.tell(f"connect goes: {kind}")
        await self.dawdle()
        if kind == "refuse":
            raise ConnectionRefusedError
        if kind == "slow":
            await sleep(self.random.choice((1, 5, 30)))
        if kind == "hang":
            await sleep_forever()
        link = Link(self)
        self.links.append(link)
        if kind == "flap":
            link.closed.set()
        try:
            yield link
        finally:
            link.closed.set()
            link.busy = False
            await self.dawdle()

    async def dawdle(self) -> None:
        """Take a few turns."""
        for _ in range(self.random.randrange(3)):
            await checkpoint()

    def cut(self) -> None:
        """Cut the link that there is, if there is one."""
        if self.links and not self.links[-1].closed.is_set():
            self.oracle.tell("the link is cut")
            self.links[-1].closed.set()


class Link:
    """A link; see :class:`ridethrough.abc.Link`.

    Attributes:
        busy: whether a send is under way.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.closed = Event()
        self.busy = False

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def send(self, message: Message) -> str:
        network, oracle = self.network, self.network.oracle
        if self.closed.is_set():
            raise LinkLost("it was closed before", unsent=True)
        kind = network.pick(SENDS)
        oracle.send_begins(message, kind)
        self.busy = True
        try:
            return await self._send(message, kind)
        finally:
            self.busy = False

    async def _send(self, message: Message, kind: str) -> str:
        network, oracle = self.network, self.network.oracle
        if kind == "cut before":
            self.closed.set()
            oracle.unsent(message)
            raise LinkLost("cut before", unsent=True)
        await network.dawdle()
        if kind == "cut in":
            self.closed.set()
            raise LinkLost("cut in the send")
        if kind in ("later", "later all"):
            pause = RetryLater(network.random.choice((0, 1, 7)), "all" if kind == "later all" else "key")
            oracle.paused(message, pause)
            raise pause
        if kind == "reject":
            oracle.settled(message)
            raise Rejected("never")
        if kind in ("slow", "hang"):
            early = network.random.random() < 0.5
            if early:
                oracle.arrived(message)
            with move_on_after(60 if kind == "hang" else network.random.choice((0.5, 3, 20))):
                await self.closed.wait()
            if kind == "hang" or self.closed.is_set():
                self.closed.set()
                raise LinkLost("no answer came")
            if early:
                oracle.settled(message)
                return f"took {message}"
        oracle.arrived(message)
        if kind == "cut after":
            self.closed.set()
            raise ConnectionResetError
        if kind == "cut as it answers":
            self.closed.set()
        await network.dawdle()
        oracle.settled(message)
        return f"took {message}"
