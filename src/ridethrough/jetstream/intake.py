"""SharedIntake: puts messages into the stream, in the order of the calls, and sees to it when there is no room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from types import EllipsisType
from typing import Any, Generic, NamedTuple, TypeVar

from anyio.lowlevel import checkpoint_if_cancelled

from ..abc import Overflow
from ..delivery import Delivery, Outcome, Terms, make_delivery
from ..errors import BufferClosed, BufferFull, MessageTooLarge, StoreAway, StoreError, StoreFull, check_seconds
from ..intake import hashable, policy
from .books import Books, Fate
from .failures import NO_ROOM, Lost, Refused
from .headers import AGAIN, HEADROOM, Tries, of_message
from .layout import Layout
from .lease import SharedOwner
from .letters import DeadLetters, Letter
from .removal import Removal
from .store import Store
from .tasks import begin, see_through
from .wire import Wire

T = TypeVar("T")

_POLL = 0.1
"""How often to look whether there is room, in seconds: JetStream does not say."""

_RECORD = 46
"""What JetStream adds to the subject, the body and the headers of a message in a file, in bytes: 34, and 12 around the
headers."""


class Parcel(NamedTuple):
    """A message on its way in."""

    name: str
    subject: str
    body: bytes
    headers: dict[str, str]
    delivery: Delivery[Any]

    def __repr__(self) -> str:
        return f"<Parcel: {len(self.body)} bytes>"


class SharedIntake(Generic[T]):
    """Puts messages into the stream.

    Several may be under way at once. Once one of them finds no room or no answer, the next ones wait behind it.

    Args:
        wire, layout, store, letters, books, removal, owner: as their names say.
        encode, key, ttl, overflow: as for the buffer.
        on_expiring: called when a message that may become too old has come in.
    """

    def __init__(
        self,
        wire: Wire,
        layout: Layout,
        store: Store,
        letters: DeadLetters,
        books: Books[T],
        removal: Removal[T],
        owner: SharedOwner[T],
        *,
        encode: Callable[[T], bytes],
        key: Callable[[T], Hashable] | None,
        ttl: float | None,
        overflow: Overflow,
        on_expiring: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._layout = layout
        self._store = store
        self._letters = letters
        self._books = books
        self._removal = removal
        self._owner = owner
        self._encode = encode
        self._key = key
        self._ttl = ttl
        self._policy = overflow
        self._on_expiring = on_expiring
        self._turn = asyncio.Lock()  # of those who found no room, or no answer
        self._full = False  # the first of these found no room
        self.closed: int = 0

    async def put(
        self, messages: Iterable[T], ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> list[Delivery[T]]:
        """See :meth:`JetStreamMessageBuffer.put_many`."""
        rule = self._policy if isinstance(overflow, EllipsisType) else policy(overflow)
        if isinstance(ttl, EllipsisType):
            ttl = self._ttl
        else:
            check_seconds("ttl", ttl, none=True)
        if not isinstance(messages, Iterable):
            raise TypeError(f"messages must be an iterable, not {type(messages).__name__}")
        return await self._put_all(
            [self._parcel(self._store.new_name(), each, self._encode(each), ttl) for each in messages], rule
        )

    async def put_again(self, letters: Sequence[Letter]) -> list[Delivery[T]]:
        """See :meth:`JetStreamMessageBuffer.put_again`."""
        parcels = []
        for number, dead in letters:
            decoded = self._owner.decoded(dead.id, dead.body)
            if decoded is None:
                raise ValueError(f"dead letter {dead.id} cannot be decoded; nothing was put")
            tries = Tries(dead.attempts, dead.maybe_sent)
            parcels.append(self._parcel(f"{AGAIN}-{number}", decoded[0], dead.body, self._ttl, tries))
        done: list[Delivery[T]] = []
        for parcel, letter in zip(parcels, letters, strict=True):
            done += await self._put_all([parcel], self._policy)
            await see_through(self._forget(letter.dead.id))
        return done

    async def _forget(self, number: int) -> None:
        until = asyncio.get_running_loop().time() + self._layout.put_timeout
        try:
            await self._wire.insist(lambda: self._letters.forget(number), until)
        except Lost as lost:
            raise StoreAway(f"dead letter {number} was put again, and could not be erased: {lost}") from None
        except Refused as refused:
            raise StoreError(f"dead letter {number} was put again, and could not be erased: {refused}") from None

    async def _put_all(self, parcels: Sequence[Parcel], rule: Overflow) -> list[Delivery[T]]:
        await checkpoint_if_cancelled()
        deliveries = []
        for parcel in parcels:
            await begin()
            with self._books.coming_in(parcel.name, parcel.delivery):
                deliveries.append(await self._put(parcel, rule))
        return deliveries

    def _parcel(self, name: str, message: T, body: bytes, ttl: float | None, earlier: Tries | None = None) -> Parcel:
        key = None if self._key is None else hashable("key must return something", self._key(message))
        if type(body) is not bytes:
            raise TypeError(f"encode must return bytes, not {type(body).__name__}")
        subject = self._layout.inlet(partition_of(key, self._layout.partitions))
        expires_at = None if ttl is None else time.time() + ttl
        headers = of_message(name, expires_at, earlier)
        size = _RECORD + len(subject) + len(body) + sum(len(each) + len(headers[each]) + 4 for each in headers)
        if self._layout.max_bytes is not None and size > self._layout.max_bytes:
            raise MessageTooLarge(size, self._layout.max_bytes)
        if len(body) > self._wire.max_payload - HEADROOM:
            raise MessageTooLarge(len(body), self._wire.max_payload - HEADROOM)
        delivery = make_delivery(self._owner, 0, message, Terms(key, size, expires_at))
        return Parcel(name, subject, body, headers, delivery)

    async def _put(self, parcel: Parcel, rule: Overflow) -> Delivery[T]:
        if self.closed:
            raise BufferClosed("the buffer is closed")
        sent = False
        if not self._turn.locked():
            try:
                return await self._try(parcel)
            except Lost as lost:
                sent = lost.sent
            except Refused as refused:
                if not refused.is_full or rule in (Overflow.REJECT, Overflow.DROP_NEWEST):
                    return await self._refused(parcel, rule, refused)
        elif self._full and rule in (Overflow.REJECT, Overflow.DROP_NEWEST):
            return await self._refused(parcel, rule, NO_ROOM)
        self._books.waiting_to_put += 1
        try:
            await _in_time(self._turn.acquire(), unless=sent)
            try:
                return await self._put_in_turn(parcel, rule, sent)
            finally:
                self._turn.release()
        finally:
            self._books.waiting_to_put -= 1

    async def _put_in_turn(self, parcel: Parcel, rule: Overflow, sent: bool) -> Delivery[T]:
        """Put it, however often that has to be tried.

        Args:
            sent: whether it may have been put already, by a try that was lost.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._layout.put_timeout
        none_to_drop = False
        try:
            while sent or not self.closed:
                try:
                    return await self._try(parcel)
                except Lost as lost:
                    sent = sent or lost.sent
                    if loop.time() >= give_up or (sent and self._wire.closed):
                        raise self._away(str(lost), sent) from None
                    await _in_time(self._wire.pause(_POLL), unless=sent)
                except Refused as refused:
                    if not refused.is_full or rule in (Overflow.REJECT, Overflow.DROP_NEWEST):
                        return await self._refused(parcel, rule, refused)
                    self._full = True
                    give_up = loop.time() + self._layout.put_timeout
                    sent = False
                    if rule is Overflow.WAIT:
                        await asyncio.sleep(_POLL)
                    elif none_to_drop:
                        raise BufferFull("the buffer is full of what is being sent and never dropped") from None
                    else:
                        none_to_drop = not await see_through(self._make_room())  # perhaps there is room by now
        finally:
            self._full = False
        raise BufferClosed("the buffer was closed while this waited")

    async def _try(self, parcel: Parcel) -> Delivery[T]:
        """Put it, once.

        **Cancellation** comes to effect afterwards.
        """
        number = await self._store.put(parcel.subject, parcel.body, parcel.headers)
        parcel.delivery.id = number
        delivery: Delivery[T] = self._books.accept(parcel.name, parcel.delivery)
        if delivery._terms.expires_at is not None:
            self._on_expiring()
        return delivery

    async def _make_room(self) -> bool:
        try:
            return await self._removal.drop_oldest("the buffer was full")
        except Lost as lost:
            raise self._away(str(lost), sent=False) from None
        except Refused as refused:
            raise _as_store_error(refused) from None

    async def _refused(self, parcel: Parcel, rule: Overflow, refused: Refused) -> Delivery[T]:
        """There is no room, and none is made; or it is refused for another reason."""
        if not refused.is_full:
            raise _as_store_error(refused)
        if rule is Overflow.REJECT:
            raise BufferFull(f"the buffer is full: {refused}")
        fate = Fate(Outcome.DROPPED, "the buffer was full")
        until = asyncio.get_running_loop().time() + self._layout.put_timeout
        try:
            letter = await see_through(
                self._wire.insist(lambda: self._letters.bury(0, parcel.body, fate, parcel.name), until)
            )
        except Lost as lost:
            raise self._away(str(lost), sent=False) from None
        except Refused as other:
            raise _as_store_error(other) from None
        parcel.delivery.id = -letter
        self._books.end(parcel.delivery, fate)
        return parcel.delivery

    def _away(self, reason: str, sent: bool) -> StoreAway:
        known = "the message may have been put" if sent else "the message was not put"
        within = "before the buffer was closed" if self._wire.closed else f"in {self._layout.put_timeout:g} s"
        return StoreAway(f"JetStream did not answer {within}: {reason}; {known}")


async def _in_time(work: Coroutine[Any, Any, object], *, unless: bool) -> None:
    """Do something that a cancellation ends; unless that would come too late, and so comes to effect afterwards."""
    await (see_through(work) if unless else work)


def _as_store_error(refused: Refused) -> StoreError:
    if refused.no_disk:
        return StoreFull(f"JetStream has no room on its disks: {refused}")
    return StoreError(f"JetStream refuses: {refused}")


def partition_of(key: Hashable, partitions: int) -> int:
    """Where the messages of a key go: the same on every host, and nothing of the key can be told from it."""
    if partitions == 1:
        return 0
    return int.from_bytes(sha256(_as_bytes(key)).digest()[:8]) % partitions


def _as_bytes(key: object) -> bytes:
    """A key as bytes, the same for equal ones in any process."""
    match key:
        case str():
            return b"s" + key.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + key
        case int():
            return b"i%d" % key
        case None:
            return b""
        case tuple():
            parts = [_as_bytes(each) for each in key]
        case _ if is_dataclass(key):
            parts = [_as_bytes(getattr(key, field.name)) for field in fields(key)]
        case _:
            allowed = "a str, bytes, an int, None, or a tuple or dataclass of these"
            raise TypeError(f"with several partitions, key must return {allowed}, not {type(key).__name__}")
    return b"t" + b"".join(b"%d:%b" % (len(part), part) for part in parts)
