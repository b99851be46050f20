"""Parts: what a shared buffer is made of while it is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..abc import Overflow
from ..errors import StoreAway, StoreError
from ..logs import get_logger
from .books import Books
from .failures import Lost, Refused
from .intake import SharedIntake
from .lease import SharedOwner
from .pulls import Pulls
from .removal import Removal
from .store import Store, told
from .streams import Layout, prepare
from .tasks import Tasks
from .watch import Watch
from .wire import Wire

if TYPE_CHECKING:
    from nats.aio.msg import Msg

T = TypeVar("T")
R = TypeVar("R")

_log: logging.Logger = get_logger("jetstream")


class Parts(Generic[T]):
    """An open connection, and what works with it.

    Args:
        servers, options, layout: where the streams are, how to get there, and which they are.
        books: what this host knows of messages.
        encode, decode, key, ttl, overflow: as for the buffer.

    Attributes:
        closed: set when it is closed.
    """

    def __init__(
        self,
        servers: Sequence[str],
        options: Mapping[str, Any],
        layout: Layout,
        books: Books[T],
        *,
        encode: Callable[[T], bytes],
        decode: Callable[[bytes], T],
        key: Callable[[T], Hashable] | None,
        ttl: float | None,
        overflow: Overflow,
    ) -> None:
        self.wire: Wire = Wire(servers, options)
        self.closed: asyncio.Event = asyncio.Event()
        self._layout = layout
        self._books = books
        self._tasks = Tasks()
        self._host = token_hex(8)
        store = self._store = Store(self.wire, layout, self._host)
        self.pulls: Pulls = Pulls(self.wire, layout, store, self._tasks)
        self.owner: SharedOwner[T] = SharedOwner(
            self.wire, store, self.pulls, books, self._tasks, lease_time=layout.lease_time, decode=decode, key=key
        )
        self.removal: Removal[T] = Removal(self.wire, layout, store, self.pulls, books, self.owner)
        self.watch: Watch[T] = Watch(self.wire, store, books, self.removal)
        self.intake: SharedIntake[T] = SharedIntake(
            self.wire, layout, store, books, self.removal, self.owner,
            encode=encode, key=key, ttl=ttl, overflow=overflow, on_expiring=self.watch.set_alarm,
        )  # fmt: skip

    async def open(self) -> None:
        """Connect, make or check the streams, and begin to listen.

        Raises:
            StoreError: as the buffer's ``__aenter__``.
            AuthenticationFailed: likewise.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._layout.put_timeout
        await self.wire.open(self._layout.put_timeout)
        await self.wire.subscribe(self._layout.ended(self._host), self._on_ended)
        await prepare(self.wire, self._layout, max(1.0, give_up - loop.time()))
        self.wire.on_back = self._on_back
        self._tasks.start(self.watch.run())

    async def aclose(self) -> None:
        """Give back what is leased or in hand, and disconnect."""
        self.closed.set()
        await self.owner.aclose()
        await self.pulls.aclose()
        await self._tasks.aclose()
        await self.wire.aclose()

    async def ask(self, work: Callable[[Store], Awaitable[R]]) -> R:
        """Ask something of the streams.

        Raises:
            StoreAway: there was no answer within ``put_timeout``.
            StoreError: it was refused.
        """
        until = asyncio.get_running_loop().time() + self._layout.put_timeout
        return await self.answered(self.wire.insist(lambda: work(self._store), until))

    async def answered(self, work: Awaitable[R]) -> R:
        """Like :meth:`ask`, of something that insists by itself."""
        try:
            return await work
        except Lost as lost:
            raise StoreAway(f"JetStream did not answer in {self._layout.put_timeout:g} s: {lost}") from None
        except Refused as refused:
            raise StoreError(f"JetStream refuses: {refused}") from None

    def _on_ended(self, message: Msg) -> None:
        try:
            name, fate = told(message.data)
        except (ValueError, TypeError):
            _log.warning("what another host has told cannot be read")
        else:
            self._books.hear(name, fate)

    def _on_back(self) -> None:
        self.pulls.forget()
        self.watch.look()
