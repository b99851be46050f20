"""SharedLease: one message being sent from this host, which no other host is handed meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Generic, TypeVar

from ..delivery import Delivery, Outcome, Terms, make_delivery
from ..lease import BufferLease
from ..logs import get_logger
from .books import Books, Fate
from .failures import Lost, Refused
from .headers import Tries, expiry, name_of
from .hosts import Hosts
from .letters import DeadLetters
from .pulls import Pulls
from .store import Handed, Store
from .tasks import Tasks, see_through
from .wire import Wire

T = TypeVar("T")
R = TypeVar("R")

_log: logging.Logger = get_logger("jetstream")

_LATE = 60.0
"""How long to try to say that a message was sent, after its lease, in seconds."""

_REMEMBERED = 1000
"""Of how many messages to remember what may be of use if they are handed out again."""

UNREADABLE = "the host that was to send it could not decode it"
TOO_OLD = "it was older than its ttl"


class SharedLease(BufferLease[T]):
    """A lease whose end is told to JetStream: leaving it waits until that has been done.

    It is over, too, when its time has passed on this host's clock since JetStream last agreed to lengthen it.

    **Cancellation.** A cancelled wait on entering has taken nothing. On leaving, it comes to effect afterwards.
    """

    __slots__ = ("_ended", "_shared", "fate", "handed", "keeper", "pause", "timer", "until")

    def __init__(self, owner: SharedOwner[T], limit: int) -> None:
        self._ended = False
        self.until: float = float("inf")
        super().__init__(owner, limit)
        self._shared = owner
        self.handed: Handed | None = None
        self.fate: Fate | None = None
        self.pause: float = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.keeper: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, or its time has passed."""
        return self._ended or asyncio.get_running_loop().time() >= self.until

    @over.setter
    def over(self, value: bool) -> None:
        self._ended = value

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._shared.finish(self)


class SharedOwner(Generic[T]):
    """What leases and deliveries ask of the shared buffer.

    Args:
        wire, store, letters, pulls, books, hosts, tasks: as their names say.
        lease_time: as for the buffer.
        decode, key: as for the buffer.
    """

    def __init__(
        self,
        wire: Wire,
        store: Store,
        letters: DeadLetters,
        pulls: Pulls,
        books: Books[T],
        hosts: Hosts[T],
        tasks: Tasks,
        *,
        lease_time: float,
        decode: Callable[[bytes], T],
        key: Callable[[T], Hashable] | None,
    ) -> None:
        self._wire = wire
        self._store = store
        self._letters = letters
        self._pulls = pulls
        self._books = books
        self._hosts = hosts
        self._tasks = tasks
        self._lease_time = lease_time
        self._decode = decode
        self._key = key
        self._turn = asyncio.Lock()  # held while a lease is open
        self._lease: SharedLease[T] | None = None
        self._left: asyncio.Future[None] | None = None  # who closes waits for a lease that is just being left
        self._ended: dict[str, Fate] = {}  # here; what is handed out all the same, or was on its way, is not sent again
        self._seen: dict[
            str, Delivery[T]
        ] = {}  # of other hosts: given back, and the same when they are handed out again
        self._deferred: dict[int, tuple[Handed, Hashable, float]] = {}
        self.closed: bool = False

    async def wait_nonempty(self) -> None:
        """See :meth:`JetStreamMessageBuffer.wait_nonempty`."""
        async with self._turn:
            handed, _ = await self._take()
            self._pulls.keep(handed)

    # ---------------------------------------------------------------- for leases

    async def start_lease(self, lease: BufferLease[T], /) -> None:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        assert isinstance(lease, SharedLease)
        await self._turn.acquire()
        try:
            handed, delivery = await self._take()
        except BaseException:
            self._turn.release()
            raise
        lease.fill([delivery], delivery._terms.size, restricted=True)
        lease.handed, lease.until = handed, handed.until
        self._lease, self._books.leased = lease, delivery
        lease.timer = asyncio.get_running_loop().call_later(self._lease_time / 3, self._start_to_keep, lease)

    def _start_to_keep(self, lease: SharedLease[T]) -> None:
        """Have a lease lengthened, as its send takes long; most do not."""
        lease.keeper = self._tasks.start(self._keep(lease))

    async def _take(self) -> tuple[Handed, Delivery[T]]:
        """Wait for a message that can be sent, and take it; what has ended and comes all the same is ended again."""
        while True:
            handed = await self._pulls.take()
            assert handed is not None
            try:
                delivery = await self._look_at(handed)
            except (Lost, Refused):
                continue  # it comes back when its time is up
            except BaseException:
                self._pulls.keep(handed)
                raise
            if delivery is not None:
                return handed, delivery

    async def _look_at(self, handed: Handed) -> Delivery[T] | None:
        """The Delivery of a message that was handed out; None: it cannot be sent, and was ended."""
        name = name_of(handed.headers)
        if (fate := self._ended.get(name)) is not None:
            await see_through(self.end_handed(handed, fate, handed.until))
            return None
        known = await self._pulls.known(handed)
        delivery = self._books.open.get(name) or self._books.coming.get(name) or self._seen.get(name)
        expires_at = expiry(handed.headers)
        if delivery is None:
            found = self.decoded(handed.number, handed.body)
            if found is None:
                fate = Fate(Outcome.REJECTED, UNREADABLE, known.attempts, known.maybe_sent)
                await see_through(self.end_handed(handed, fate, handed.until))
                return None
            delivery = make_delivery(self, handed.number, found[0], Terms(found[1], len(handed.body), expires_at))
            if name:
                _remember(self._seen, name, delivery)
        delivery.id, delivery.attempts, delivery.maybe_sent = handed.number, known.attempts, known.maybe_sent
        if is_too_old(expires_at):
            fate = Fate(Outcome.EXPIRED, TOO_OLD, known.attempts, known.maybe_sent)
            self._books.end(delivery, fate)
            await see_through(self.end_handed(handed, fate, handed.until))
            return None
        return delivery

    def decoded(self, number: int, body: bytes) -> tuple[T, Hashable] | None:
        """The message and its key; None: it cannot be decoded."""
        try:
            message = self._decode(body)
            return message, None if self._key is None else self._key(message)
        except Exception as error:
            _log.error("message %d cannot be decoded: %s", number, type(error).__name__)
            return None

    async def _keep(self, lease: SharedLease[T]) -> None:
        """Lengthen a lease until it ends, or its time has passed because that did not succeed."""
        loop = asyncio.get_running_loop()
        handed = lease.handed
        assert handed is not None
        while True:
            asked = loop.time()
            if asked >= lease.until:  # another host may have it, and what is said now would lengthen its lease
                _log.warning("the lease of message %d ended before its send did", handed.number)
                return
            try:
                await self._store.extend(handed, min(3.0, self._lease_time / 6))
            except Lost:
                await asyncio.sleep(min(0.5, self._lease_time / 10))
            else:
                lease.until = asked + 0.9 * self._lease_time
                await asyncio.sleep(self._lease_time / 3)

    async def finish(self, lease: SharedLease[T]) -> None:
        """Say what became of the message of a lease, and end that. Twice is once.

        **Cancellation** comes to effect afterwards.
        """
        delivery, handed = self._books.leased, lease.handed
        if self._lease is not lease or handed is None or delivery is None:
            return
        self._lease = None
        assert lease.timer is not None
        lease.timer.cancel()
        if lease.keeper is not None:
            lease.keeper.cancel()
        in_time = not lease.over
        lease.end()  # what is settled from now on, as it is being closed, comes too late to be told
        try:
            if not await self._confirm_at_once(lease, handed):
                await see_through(self._finish(lease, handed, delivery, in_time))
        finally:
            self._books.leased = None
            self._turn.release()
            if self._left is not None:
                self._left.set_result(None)
                self._left = None

    async def _confirm_at_once(self, lease: SharedLease[T], handed: Handed) -> bool:
        """Say that the message was sent, if that is so and the first try does it, as nearly always: without a task."""
        if lease.fate is None or lease.fate.outcome is not Outcome.SENT:
            return False
        try:
            await self._store.confirm(handed)
        except Lost:
            return False
        await self._tell(handed, lease.fate)
        return True

    async def _finish(self, lease: SharedLease[T], handed: Handed, delivery: Delivery[T], in_time: bool) -> None:
        if lease.fate is not None:
            await self.end_handed(handed, lease.fate, max(lease.until, asyncio.get_running_loop().time() + 1))
        elif in_time and is_too_old(expiry(handed.headers)):
            fate = Fate(Outcome.EXPIRED, TOO_OLD, delivery.attempts, delivery.maybe_sent)
            self._books.end(delivery, fate)
            await self.end_handed(handed, fate, lease.until)
        elif in_time:
            await self._give_back(lease, handed, delivery)

    async def _give_back(self, lease: SharedLease[T], handed: Handed, delivery: Delivery[T]) -> None:
        handed = handed._replace(until=lease.until)
        until = asyncio.get_running_loop().time() + lease.pause
        done = await self._pulls.give_back(handed, Tries(delivery.attempts, delivery.maybe_sent), lease.pause)
        if done and lease.pause:
            self._deferred[handed.number] = (handed, delivery._terms.key, until)

    async def end_handed(self, handed: Handed, fate: Fate, until: float) -> bool:
        """Take a message out of the stream that has ended; False: it is done when it is handed to this host again."""
        try:
            if fate.outcome not in (Outcome.SENT, Outcome.DRAINED):
                await self._wire.insist(lambda: self._letters.bury(handed.number, handed.body, fate), until)
            await self._wire.insist(lambda: self._store.confirm(handed), until)
        except (Lost, Refused) as error:
            _log.warning("message %d has ended %s, and the stream has it still: %s", handed.number, fate.outcome, error)
            if fate.outcome is Outcome.SENT and name_of(handed.headers) not in self._ended:
                self._tasks.start(self._confirm_late(handed, fate))
            self._note_end(handed, fate)
            return False
        await self._tell(handed, fate)
        return True

    async def _confirm_late(self, handed: Handed, fate: Fate) -> None:
        """Say that a message was sent, even if another host may have it by now: the less often it is sent again."""
        try:
            await self._wire.insist(lambda: self._store.confirm(handed), asyncio.get_running_loop().time() + _LATE)
        except Lost:
            return
        await self._tell(handed, fate)

    def _note_end(self, handed: Handed, fate: Fate) -> None:
        if name := name_of(handed.headers):
            _remember(self._ended, name, fate)

    async def _tell(self, handed: Handed, fate: Fate) -> None:
        name = name_of(handed.headers)
        self._note_end(handed, fate)
        self._seen.pop(name, None)
        try:
            await self._hosts.tell(name, fate)
            if handed.times > 1:
                await self._store.forget_state(handed.number)
        except Lost:
            return  # who put it will look for it

    def end_lease(self, lease: BufferLease[T], /) -> None:
        """Nothing: a lease of this is left by :meth:`finish`."""

    def may_hand_out(self, lease: BufferLease[T], delivery: Delivery[T], /) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        assert isinstance(lease, SharedLease)
        assert lease.handed is not None
        if is_too_old(expiry(lease.handed.headers)):
            self.settle(lease, delivery, Outcome.EXPIRED, TOO_OLD, None)
            return False
        return not lease.steps_over(delivery)

    def settle(
        self, lease: BufferLease[T], delivery: Delivery[T], outcome: Outcome, result: object, doubt: bool | None, /
    ) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        assert isinstance(lease, SharedLease)
        if lease.over or delivery.outcome is not None:
            self._books.late += 1
            return False
        lease.unsettled -= 1
        lease.fate = Fate(outcome, result, delivery.attempts, delivery.maybe_sent if doubt is None else doubt)
        return self._books.end(delivery, lease.fate)

    def defer(self, lease: BufferLease[T], delivery: Delivery[T], after: float, scope: str, /) -> bool:
        """See :class:`~ridethrough.lease.LeaseOwner`."""
        assert isinstance(lease, SharedLease)
        if lease.over or delivery.outcome is not None:
            self._books.late += 1
            return False
        lease.pause = max(lease.pause, after)
        lease.step_over_all()
        if scope == "all":
            self._pulls.pause(asyncio.get_running_loop().time() + after)
        return True

    def resume(self, *keys: Hashable) -> None:
        """End the pauses of what was deferred here; without keys, that of everything here as well."""
        self.resume_deferred(*keys)
        if not keys:
            self._pulls.resume()

    def resume_deferred(self, *keys: Hashable) -> None:
        """Have what was deferred here handed out again."""
        now = asyncio.get_running_loop().time()
        for number, (handed, key, until) in list(self._deferred.items()):
            if until - now < 0.5:  # nearly over: another host might have it by the time that this is said
                del self._deferred[number]
            elif not keys or self._key is None or key in keys:
                del self._deferred[number]
                self._tasks.start(self._resume(handed))

    async def _resume(self, handed: Handed) -> None:
        try:
            await self._store.give_back(handed)
        except Lost:
            _log.warning("message %d waits until its pause is over: %s", handed.number, "it could not be resumed")

    # ---------------------------------------------------------------- for deliveries

    def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:  # noqa: ARG002
        """False: to take a message back, JetStream has to be asked; see :meth:`JetStreamMessageBuffer.cancel`."""
        return False

    async def wait_ended(self, delivery: Delivery[Any, Any], /) -> None:
        """See :class:`~ridethrough.delivery.DeliveryOwner`."""
        await self._books.wait_ended(delivery)

    # ---------------------------------------------------------------- the end

    def leased_number(self) -> int | None:
        """The number of the message that is leased here."""
        return None if self._lease is None or self._lease.handed is None else self._lease.handed.number

    async def aclose(self) -> None:
        """End the lease that is open here: what has not ended goes back."""
        self.closed = True
        if self._lease is not None:
            await self.finish(self._lease)
        elif self._books.leased is not None:
            self._left = self._left or asyncio.get_running_loop().create_future()
            await self._left


def _remember(known: dict[str, R], name: str, value: R) -> None:
    known[name] = value
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]


def is_too_old(expires_at: float | None) -> bool:
    """Whether that time on the wall clock has come."""
    return expires_at is not None and expires_at <= time.time()
