"""JetStreamMessageBuffer: one outbox for many machines, kept by a cluster of NATS servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import EllipsisType
from typing import Any, Generic, Self, TypeVar

from .._loop import AsyncioLoop, find_event_loop
from ..abc import BufferStatistics, DeadLetter, MessageBuffer, Overflow
from ..delivery import Delivery, Outcome
from ..errors import BufferClosed, FlushTimeout, check_seconds
from ..intake import function, hashable, policy, positive_int
from ..json_codec import from_json, to_json
from .arguments import addresses, client_options, message_ids, optional_int
from .books import Books, Fate
from .layout import Asked
from .lease import SharedLease
from .letters import Letter
from .parts import Parts, Rules, open_parts
from .store import WaitingMessage
from .tasks import begin, see_through
from .wire import Wire

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CLOSED = "the buffer is closed"


class JetStreamMessageBuffer(MessageBuffer[T], Generic[T]):
    """A bounded FIFO of outgoing messages that any number of hosts put into, and one at a time sends from.

    It keeps the contract of :class:`~ridethrough.MessageBuffer` as far as JetStream lets it; what it cannot promise
    stands in the documentation of the shared buffer. It runs on asyncio alone, as nats-py does. Enter it with
    ``async with`` before anything else: that connects, and makes the streams or checks them.

    What is None below is as it is in the streams that are there already; so one host alone has to say it.

    Args:
        servers: the address of a NATS server, or several of one cluster, such as ``"nats://127.0.0.1:4222"``.
        name: of the stream, in which its messages are, and what those of dead letters (``NAME-dead``) and of what is
            known of messages that were given back (``NAME-state``) begin with: 1 to 64 letters, digits, ``-`` and
            ``_``.
        create: whether to make what is missing of the streams.
        max_size: how many messages it holds at most. 100, if it is made now.
        max_bytes: how many bytes these may have in the stream, headers included. No limit, if it is made now.
        ttl, overflow, key: as for :class:`~ridethrough.AsyncMessageBuffer`. There is no event for room: with ``wait``,
            a putter looks ten times a second.
        encode: makes bytes of a message. By default JSON, of what comes back from that as it was: None, booleans,
            numbers, strings, and lists and dicts of these. With ``decode``, or not at all; the same on each host.
        decode: makes the message of these bytes again.
        encode_result: makes bytes of the result of an acknowledgement, for the host that has put the message; if it
            raises, that host gets None. By default JSON, likewise. With ``decode_result``, or not at all.
        decode_result: makes the result of these bytes again.
        on_undelivered: called with the Delivery of each message that was put here, or was being sent from here, and
            ended DROPPED, EXPIRED, REJECTED, ABANDONED or UNKNOWN.
        lease_time: for how long a host that has died holds up the message that it was sending, in seconds, of at least
            1; while a host lives, it lengthens its lease. 30, if it is made now.
        replicas: on how many servers the streams are. If they are made now, on three of a cluster, else on one.
        partitions: how many hosts can send at a time. The messages of one key stay in order; those of different keys
            do not, if this is more than 1. A key must be a str, bytes, an int, None, or a tuple or dataclass of these
            then. 1, if it is made now.
        max_dead_letters: how many of these are kept; then the oldest are forgotten. 1000, if it is made now.
        put_timeout: how long to try to put a message while the servers do not answer, in seconds; likewise to enter.
        options: for nats-py's ``connect``: credentials, TLS.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.

    Attributes:
        name: as given.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        name: str = "outbox",
        *,
        create: bool = True,
        max_size: int | None = None,
        max_bytes: int | None = None,
        ttl: float | None = None,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
        key: Callable[[T], Hashable] | None = None,
        encode: Callable[[T], bytes] | None = None,
        decode: Callable[[bytes], T] | None = None,
        encode_result: Callable[[Any], bytes] | None = None,
        decode_result: Callable[[bytes], Any] | None = None,
        on_undelivered: Callable[[Delivery[T]], object] | None = None,
        lease_time: float | None = None,
        replicas: int | None = None,
        partitions: int | None = None,
        max_dead_letters: int | None = None,
        put_timeout: float = 30.0,
        options: Mapping[str, Any] = {},
    ) -> None:
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise ValueError(f"name must be 1 to 64 letters, digits, - and _, not {name!r}")
        self._servers = addresses(servers)
        check_seconds("ttl", ttl, none=True)
        check_seconds("lease_time", lease_time, none=True)
        check_seconds("put_timeout", put_timeout)
        if lease_time is not None and lease_time < 1:
            raise ValueError(f"lease_time must be at least 1 second, not {lease_time}")
        for what, there, back in (("", encode, decode), ("_result", encode_result, decode_result)):
            if (there is None) != (back is None):
                raise TypeError(f"encode{what} and decode{what} must be given together, or neither")
        self.name: str = name
        self._asked = Asked(
            name,
            put_timeout=float(put_timeout),
            create=create,
            max_size=optional_int("max_size", max_size),
            max_bytes=optional_int("max_bytes", max_bytes),
            partitions=optional_int("partitions", partitions),
            lease_time=lease_time,
            max_dead_letters=optional_int("max_dead_letters", max_dead_letters),
            replicas=optional_int("replicas", replicas),
        )
        self._rules = Rules(
            encode=function("encode", encode) or to_json,
            decode=function("decode", decode) or from_json,
            encode_result=function("encode_result", encode_result) or to_json,
            decode_result=function("decode_result", decode_result) or from_json,
            key=function("key", key),
            ttl=ttl,
            overflow=policy(overflow),
        )
        self._options = client_options(options)
        self._books: Books[T] = Books(function("on_undelivered", on_undelivered))
        self._max_size = max_size
        self._open: Parts[T] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Connect, make the streams that are missing, and check those that are there.

        Raises:
            StoreAway: the servers did not answer within ``put_timeout``.
            AuthenticationFailed: they refuse the credentials.
            StoreError: a server is older than 2.11, or a stream is not as it must be: the text says each thing.
            StoreGone: something is missing, with ``create=False``.
            RuntimeError: this is not asyncio, or the buffer was entered before.

        **Cancellation.** If it raises a cancellation, it has disconnected; streams that it has made stay.
        """
        if not isinstance(find_event_loop(), AsyncioLoop):
            raise RuntimeError("the shared buffer runs on asyncio, as nats-py does, and not on trio")
        if self._open is not None or self._closed:
            raise RuntimeError("a shared buffer is entered once")
        wire = self._make_wire()
        try:
            self._open = await open_parts(wire, self._asked, self._books, self._rules)
        except BaseException:
            await see_through(wire.aclose())
            raise
        self._max_size = self._open.layout.max_size
        return self

    def _make_wire(self) -> Wire:
        return Wire(self._servers, self._options)

    def _parts(self) -> Parts[T]:
        if self._open is None:
            raise (
                BufferClosed(_CLOSED)
                if self._closed
                else RuntimeError("a shared buffer is entered with async with before it is used")
            )
        return self._open

    # ---------------------------------------------------------------- what there is

    @property
    def max_size(self) -> int:
        """How many messages it holds at most.

        Raises:
            RuntimeError: it was not given, and the buffer was not entered, so that this is not known.
        """
        if self._max_size is None:
            raise RuntimeError("max_size is known once the buffer was entered")
        return self._max_size

    @property
    def state(self) -> str:
        """``"connected"``, ``"away"`` while the servers do not answer, or ``"closed"``."""
        if self._open is None:
            return "closed"
        return "connected" if self._open.wire.away_since is None else "away"

    @property
    def reason(self) -> str:
        """Why it is away, in a few words; empty if it is not."""
        return "" if self._open is None or self._open.wire.away_since is None else self._open.wire.reason

    def statistics(self) -> BufferStatistics:
        """Where every message is that was put here or sent from here, as far as this host knows: it asks nobody.

        A message of another host's counts as accepted while it is leased here, and if it ended here.
        """
        return self._books.statistics()

    async def count(self) -> int:
        """How many messages it holds, of all hosts: queued and leased.

        Raises:
            StoreAway: the servers did not answer.

        **Cancellation** changes nothing.
        """
        parts = self._parts()
        return (await parts.ask(parts.store.messages.contents)).messages

    async def waiting(self) -> list[WaitingMessage]:
        """The messages that it holds, of all hosts, queued and leased, in order.

        Raises:
            StoreAway: the servers did not answer.

        **Cancellation** changes nothing.
        """
        parts = self._parts()
        return await parts.ask(parts.store.waiting)

    def __repr__(self) -> str:
        return f"<JetStreamMessageBuffer {self.name}: {self.state}, {len(self._books.open)} messages of this host's>"

    # ---------------------------------------------------------------- in

    async def put(
        self, message: T, *, ttl: float | EllipsisType | None = ..., overflow: Overflow | str | EllipsisType = ...
    ) -> Delivery[T]:
        """Hand a message over; from then on it is the cluster's to keep.

        It returns once JetStream has acknowledged the message. While that does not answer, it is put again, and
        JetStream knows it again if it has it already.

        Args:
            message: what to send.
            ttl: how old this one may become, in seconds; None: no limit. By default the buffer's.
            overflow: what to do about this one if there is no room. By default the buffer's.

        Returns:
            The message's fate; its ``id`` is the message's number in the stream. One that was dropped as the newest
            has none there, and one below 0 instead.

        Raises:
            BufferFull: there is no room and none was made; the message is not accepted.
            MessageTooLarge: it would not fit even into the empty buffer, or the servers take no message that large.
            BufferClosed: the buffer is closed or closing, or was while this waited.
            StoreAway: the servers did not answer within ``put_timeout``: the text says whether it may have been put.
            StoreFull: the servers' disks are full.
            TypeError, ValueError: a bad argument, or a message that cannot be encoded; nothing has changed.
            RuntimeError: the buffer was not entered.

        **Cancellation.** If it raises a cancellation, the message was not accepted. One that comes when it has been
        sent to the servers comes to effect after the return.
        """
        return (await self._parts().intake.put((message,), ttl, overflow))[0]

    async def put_many(
        self,
        messages: Iterable[T],
        *,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[Delivery[T]]:
        """Hand messages over like :meth:`put`, one after the other; those of other hosts may come in between.

        All of them are encoded before the first is put. If one raises, those before it have been put.

        **Cancellation.** As for :meth:`put`, of the first that was not put yet.
        """
        return await self._parts().intake.put(messages, ttl, overflow)

    # ---------------------------------------------------------------- out

    async def drain(self) -> list[T]:
        """Take out everything that is not leased, of all hosts; the caller owns it then.

        What is behind a message that another host is sending, or has deferred, can be had only when that one is done:
        this waits for it for ``lease_time`` at most.

        Returns:
            The messages, in order. If the servers stop answering in the middle of it, what was taken out by then.

        Raises:
            StoreAway: the servers did not answer.

        **Cancellation** comes to effect afterwards.
        """
        parts = self._parts()
        await begin()
        return await see_through(parts.answered(parts.removal.drain(parts.layout.lease_time)))

    async def wait_nonempty(self) -> None:
        """Wait until something can be leased. For a second, it is kept for a lease of this host.

        Raises:
            BufferClosed: the buffer is closed.

        **Cancellation** changes nothing.
        """
        await self._parts().owner.wait_nonempty()

    def lease(self, limit: int = 1) -> SharedLease[T]:
        """Take the message at the head, to send it: one at a time, whatever the limit.

        Raises:
            TypeError, ValueError: what is no limit.
            BufferClosed: the buffer is closed; on entering: or was closed meanwhile.
        """
        return SharedLease(self._parts().owner, positive_int("limit", limit))

    def resume(self, *keys: Hashable) -> None:
        """End the pauses of what was deferred on this host; what another host has deferred pauses on.

        Args:
            keys: whose pauses to end. Without keys: every one.

        Raises:
            TypeError: one cannot be hashed; nothing has changed.
        """
        for each in keys:
            hashable("keys must be", each)
        self._parts().owner.resume(*keys)

    async def cancel(self, message: Delivery[T] | int) -> bool:
        """Take a message back: what ``Delivery.cancel`` does elsewhere, which returns False here.

        Args:
            message: its Delivery, if it was put here; or its id, whoever has put it.

        Returns:
            True if it was waiting, and has ended CANCELLED. False if it is leased, or has ended.

        Raises:
            StoreAway: the servers did not answer.
            TypeError: it is neither.

        **Cancellation** comes to effect afterwards.
        """
        parts = self._parts()
        if isinstance(message, Delivery):
            if message not in self._books.open.values():
                return False
            message = message.id
        (number,) = message_ids((message,))
        await begin()
        return await see_through(parts.answered(parts.removal.cancel(number)))

    # ---------------------------------------------------------------- the end

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything that is in the stream now, of all hosts, has reached its outcome. It looks, and waits.

        Args:
            timeout: for how long, in seconds; 0: only look; None: as long as it takes.

        Raises:
            FlushTimeout: messages were left; it tells how many.
            BufferClosed: the buffer is closed, or was meanwhile: what is left in the stream, it cannot know then.
            StoreError: the stream is gone.
            TypeError, ValueError: what is no timeout.

        **Cancellation** changes nothing.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        parts = self._parts()
        await parts.answered(parts.watch.flush(timeout))

    async def enforce_ttl(self) -> None:
        """Return when the buffer is closed. While it is open, it ends what was put here EXPIRED when its time comes.

        **Cancellation** changes nothing.
        """
        await self._parts().closed.wait()

    async def aclose(self, timeout: float | None = 0) -> list[T]:
        """Take no more, flush for at most that long, give back what is leased, and disconnect.

        What was put here and has not ended stays in the stream, for other hosts to send; the Deliveries of it end
        ABANDONED here, as nobody tells them any more. Closing it twice is closing it once.

        Args:
            timeout: for how long to flush, in seconds; None: as long as it takes.

        Returns:
            The messages whose Deliveries this call ended ABANDONED, in order.

        Raises:
            TypeError, ValueError: what is no timeout.

        **Cancellation.** If it raises a cancellation, the buffer is open again.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        parts = self._open
        if parts is None:
            self._closed = True
            return []
        parts.intake.closed += 1
        try:
            if timeout != 0:
                with suppress(BufferClosed, FlushTimeout):  # or another call has closed it
                    await parts.answered(parts.watch.flush(timeout))
        except BaseException:
            parts.intake.closed -= 1
            raise
        self._closed = True
        await see_through(parts.aclose())
        self._open = None
        self._books.at_closing = Fate(Outcome.ABANDONED, "the buffer was closed")
        abandoned = sorted(self._books.open.values(), key=lambda delivery: delivery.id)
        for delivery in abandoned:
            fate = Fate(Outcome.ABANDONED, "the buffer was closed", delivery.attempts, delivery.maybe_sent)
            self._books.end(delivery, fate)
        return [delivery.message for delivery in abandoned]

    # ---------------------------------------------------------------- dead letters

    async def dead_letters(self) -> list[DeadLetter]:
        """What ended DROPPED, EXPIRED, REJECTED or UNKNOWN and is still kept, of all hosts, in the order of that.

        Raises:
            StoreAway: the servers did not answer.

        **Cancellation** changes nothing.
        """
        parts = self._parts()
        return await parts.ask(parts.letters.all)

    async def put_again(self, *ids: int) -> list[Delivery[T]]:
        """Put dead letters like new messages, one after the other, in this order; then they are dead letters no more.

        Each has a new id, and keeps its ``attempts`` and ``maybe_sent``; its age begins anew. If several hosts put one
        again at the same time, it is put once.

        Args:
            ids: whose; each once.

        Returns:
            The fate of each, in the same order.

        Raises:
            LookupError: there is no dead letter of that id; nothing has changed.
            ValueError: an id is there twice, or a message cannot be decoded; nothing has changed.
            TypeError: what is no id.
            BufferFull, MessageTooLarge, BufferClosed, StoreError, RuntimeError: as :meth:`put`; those before are put.

        **Cancellation.** As for :meth:`put`, of the first that was not put yet.
        """
        parts = self._parts()
        letters: list[Letter] = []
        for number in message_ids(ids):
            letter = await parts.ask(partial(parts.letters.find, number))
            if letter is None:
                raise LookupError(f"there is no dead letter {number}")
            letters.append(letter)
        if len(set(ids)) < len(ids):
            raise ValueError("ids must name each dead letter once")
        return await parts.intake.put_again(letters)

    async def forget(self, *ids: int) -> int:
        """Erase dead letters.

        Args:
            ids: whose; one that is none's does no harm.

        Returns:
            How many there were.

        Raises:
            StoreAway: the servers did not answer; those before may have been erased.
            TypeError: what is no id.

        **Cancellation** leaves it open which of them were erased.
        """
        parts = self._parts()
        each_once = dict.fromkeys(message_ids(ids))
        return sum([await parts.ask(partial(parts.letters.forget, number)) for number in each_once])
