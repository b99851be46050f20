"""Parts: what a shared buffer is made of while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from secrets import token_hex
from typing import Any, Generic, NamedTuple, TypeVar

from ..abc import Overflow
from ..errors import StoreAway, StoreError
from .books import Books
from .failures import Lost, Refused
from .hosts import Hosts
from .intake import SharedIntake
from .layout import Asked, Layout, prepare
from .lease import SharedOwner
from .letters import DeadLetters
from .pulls import Pulls
from .removal import Removal
from .store import Store
from .tasks import Tasks
from .watch import Watch
from .wire import Wire

T = TypeVar("T")
R = TypeVar("R")


class Rules(NamedTuple):
    """What the maker of a buffer has said of its messages; as for the buffer."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    encode_result: Callable[[Any], bytes]
    decode_result: Callable[[bytes], Any]
    key: Callable[[Any], Hashable] | None
    ttl: float | None
    overflow: Overflow


class Parts(Generic[T]):
    """An open connection, and what works with it.

    Args:
        wire: the connection.
        layout: which streams there are.
        books: what this host knows of messages.
        rules: what is to be done with them.

    Attributes:
        closed: set when it is closed.
    """

    def __init__(self, wire: Wire, layout: Layout, books: Books[T], rules: Rules) -> None:
        self.wire: Wire = wire
        self.layout: Layout = layout
        self.closed: asyncio.Event = asyncio.Event()
        self._tasks = Tasks()
        host = token_hex(8)
        self.store: Store = Store(wire, layout, host)
        self.letters: DeadLetters = DeadLetters(wire, layout)
        self.pulls: Pulls = Pulls(wire, layout, self.store, self._tasks)
        self._hosts: Hosts[T] = Hosts(
            wire, layout, books, host, encode_result=rules.encode_result, decode_result=rules.decode_result
        )
        self.owner: SharedOwner[T] = SharedOwner(
            wire, self.store, self.letters, self.pulls, books, self._hosts, self._tasks,
            lease_time=layout.lease_time, decode=rules.decode, key=rules.key,
        )  # fmt: skip
        self.removal: Removal[T] = Removal(
            wire, layout, self.store, self.letters, self.pulls, books, self._hosts, self.owner
        )
        self.watch: Watch[T] = Watch(wire, self.store.messages, self.letters, books, self.removal)
        self.intake: SharedIntake[T] = SharedIntake(
            wire, layout, self.store, self.letters, books, self.removal, self.owner,
            encode=rules.encode, key=rules.key, ttl=rules.ttl, overflow=rules.overflow,
            on_expiring=self.watch.set_alarm,
        )  # fmt: skip

    async def listen(self) -> None:
        """Begin to hear from other hosts, and to look after what was put here."""
        await self._hosts.listen()
        self.wire.on_back = self._on_back
        self._tasks.start(self.watch.run())

    async def aclose(self) -> None:
        """Give back what is leased or in hand, and disconnect."""
        self.closed.set()
        await self.owner.aclose()
        await self.pulls.aclose()
        await self._tasks.aclose()
        await self.wire.aclose()

    async def ask(self, work: Callable[[], Awaitable[R]]) -> R:
        """Ask something of the streams.

        Raises:
            StoreAway: there was no answer within ``put_timeout``.
            StoreError: it was refused.
        """
        until = asyncio.get_running_loop().time() + self.layout.put_timeout
        return await self.answered(self.wire.insist(work, until))

    async def answered(self, work: Awaitable[R]) -> R:
        """Like :meth:`ask`, of something that insists by itself."""
        try:
            return await work
        except Lost as lost:
            raise StoreAway(f"JetStream did not answer in {self.layout.put_timeout:g} s: {lost}") from None
        except Refused as refused:
            raise StoreError(f"JetStream refuses: {refused}") from None

    def _on_back(self) -> None:
        self.pulls.forget()
        self.watch.look()


async def open_parts(wire: Wire, asked: Asked, books: Books[T], rules: Rules) -> Parts[T]:
    """Connect, make or check the streams, and begin to listen.

    Raises:
        StoreError, AuthenticationFailed: as the buffer's ``__aenter__``. The connection is for the caller to close.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + asked.put_timeout
    await wire.open(asked.put_timeout)
    layout = await prepare(wire, asked, max(1.0, give_up - loop.time()))
    parts = Parts(wire, layout, books, rules)
    await parts.listen()
    return parts
