"""Intake: who gets into a buffer, in which order, and what happens when there is no room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from inspect import iscoroutinefunction
from threading import Event, get_ident
from types import EllipsisType
from typing import Any, Generic, TypeVar

from .abc import Overflow
from .delivery import NO_TERMS, Delivery, Terms
from .errors import BufferClosed, BufferFull, MessageTooLarge, check_seconds
from .ledger import Ledger
from .monitor import Monitor

T = TypeVar("T")


class Turn(Generic[T]):
    """Messages on their way in together; a place in the line, if their putter has to wait for room."""

    __slots__ = ("count", "parts", "policy", "size", "ttl", "wake")

    count: int
    parts: list[tuple[T, Hashable, int]]  # each message with its key and its size
    policy: Overflow
    size: int  # of all
    ttl: float | None
    wake: Callable[[], object]  # wakes their putter; set when that one joins the line


class Intake(Generic[T]):
    """Lets messages into a ledger: straight, by making room, or in turn.

    While a putter waits, later ones neither overtake it nor wait because of it, if their policy is not to wait: what
    may drop old messages to make room does so for those before it as well.

    Args:
        ledger: what to put into.
        monitor: the guard of that.
        size_of, ttl, overflow, key: as for :class:`~ridethrough.AsyncMessageBuffer`.

    Attributes:
        closed: whether no message gets in; see :meth:`close` and :meth:`reopen`.
    """

    _new_turn: type[Turn[T]] = Turn

    def __init__(
        self,
        ledger: Ledger[T],
        monitor: Monitor[T],
        *,
        size_of: Callable[[T], int] | None,
        ttl: float | None,
        overflow: Overflow | str,
        key: Callable[[T], Hashable] | None,
    ) -> None:
        check_seconds("ttl", ttl, none=True)
        self._ledger = ledger
        self._monitor = monitor
        self._policy = policy(overflow)
        self._size_of = function("size_of", size_of) or size_in_bytes
        self._ttl = ttl
        self._key = function("key", key)
        self._plain = ledger.max_bytes is None and ttl is None and key is None
        self._line: deque[Turn[T]] = deque()  # the first is woken, and served, and then the next
        self._dropping = 0  # how many of these may drop old messages
        self.closed: int = 0
        self._set_straight()

    def __len__(self) -> int:
        """How many putters wait."""
        return len(self._line)

    async def put(
        self, messages: Iterable[T], ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> list[Delivery[T]]:
        """See :meth:`AsyncMessageBuffer.put_many`."""
        return await self._let_in(self._turn(messages, ttl, overflow))

    def put_nowait(
        self, message: T, ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> Delivery[T]:
        """See :meth:`AsyncMessageBuffer.put_nowait`."""
        if ttl is ... and overflow is ... and (delivery := self._put_straight(message)) is not None:
            return delivery
        put = self._offer(self._turn((message,), ttl, overflow), None)
        assert put is not None
        return put[0]

    def put_from_thread(
        self, message: T, ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> Delivery[T]:
        """See :meth:`AsyncMessageBuffer.put_from_thread`."""
        loop = self._monitor.loop
        if get_ident() == loop.thread and loop.is_running():
            if (self._policy if isinstance(overflow, EllipsisType) else policy(overflow)) is Overflow.WAIT:
                raise RuntimeError("put_from_thread would block the event loop: use await put, or another policy")
            return self.put_nowait(message, ttl, overflow)
        if ttl is ... and overflow is ... and (delivery := self._put_straight(message)) is not None:
            return delivery
        return self._let_in_from_thread(self._turn((message,), ttl, overflow))[0]

    def close(self) -> None:
        """Let nobody in any more, nor those who wait; counted. The lock is held."""
        self.closed += 1
        self._set_straight()

    def reopen(self) -> None:
        """Take back one :meth:`close`. The lock is held."""
        self.closed -= 1
        self._set_straight()

    def is_due(self) -> bool:
        """Whether the first in the line has something to wake up for: room, or that it need not wait any longer."""
        first, ledger = self._line[0], self._ledger
        has_room = ledger.could_have_room if self._dropping else ledger.has_room
        return has_room(first.count, first.size) or first.policy is Overflow.DROP_OLDEST or self.closed > 0

    def wake(self) -> None:
        """Wake the first in the line."""
        self._line[0].wake()

    async def _let_in(self, turn: Turn[T]) -> list[Delivery[T]]:
        """Accept the messages, in turn if they have to wait for room."""
        loop = self._monitor.loop
        waiter: Any = None
        deliveries = self._offer(turn, lambda: waiter is None or loop.wake(waiter))
        if deliveries is not None:
            return deliveries
        try:
            waiter = loop.waiter()
            while (deliveries := self._take_turn(turn)) is None:
                await loop.sleep(waiter, self._monitor.alarm)
                waiter = loop.waiter()
            return deliveries
        except BaseException:
            self._leave(turn)
            raise

    def _let_in_from_thread(self, turn: Turn[T]) -> list[Delivery[T]]:
        """Accept the messages like :meth:`_let_in`, in a thread that is not the event loop's."""
        awake = Event()
        deliveries = self._offer(turn, awake.set)
        if deliveries is not None:
            return deliveries
        try:
            while (deliveries := self._take_turn(turn)) is None:
                alarm = self._monitor.alarm
                awake.wait(None if alarm is None else max(0.0, alarm - self._ledger.clock()))
                awake.clear()
            return deliveries
        except BaseException:
            self._leave(turn)
            raise

    def _put_straight(self, message: T) -> Delivery[T] | None:
        """Accept a message with which there is nothing else to consider, as most are; None: there is something."""
        ledger, monitor = self._ledger, self._monitor
        with monitor.lock:
            if ledger.open >= ledger.straight or monitor.alarm is not None:
                return None
            delivery = ledger.accept(message, NO_TERMS)
            if monitor.takers and ledger.lease is None:
                monitor.loop.wake(*monitor.takers)
                monitor.takers.clear()
            return delivery

    def _offer(self, turn: Turn[T], wake: Callable[[], object] | None) -> list[Delivery[T]] | None:
        """Accept the messages; or join the line with what wakes their putter, unless it may not wait, for None."""
        ledger = self._ledger
        if not turn.parts:
            return []
        with self._monitor:
            if self.closed:
                raise BufferClosed("the buffer is closed")
            if not self._line and ledger.has_room(turn.count, turn.size):
                return self._accept(turn)
            if turn.policy is Overflow.DROP_NEWEST:
                return self._accept(turn, only_what_fits=True)
            if turn.policy is Overflow.REJECT:
                raise BufferFull(f"the buffer is full: {ledger.fullness()}")
            if turn.policy is Overflow.DROP_OLDEST:
                self._check_droppable(turn)
                if not self._line:
                    ledger.drop_oldest_for(turn.count, turn.size)
                    return self._accept(turn)
            if wake is None:
                raise BufferFull("the buffer is full, and this may neither wait for room nor overtake those who do")
            turn.wake = wake
            self._join(turn)
            return None

    def _take_turn(self, turn: Turn[T]) -> list[Delivery[T]] | None:
        """Accept the messages of a waiting putter, if it is its turn and there is room."""
        with self._monitor:
            if self.closed:
                raise BufferClosed("the buffer was closed while this waited for room")
            if self._line[0] is not turn or not self.is_due():
                return None
            if turn.policy is Overflow.DROP_OLDEST:
                self._check_droppable(turn)
            self._ledger.drop_oldest_for(turn.count, turn.size)
            self._remove(turn)
            return self._accept(turn)

    def _leave(self, turn: Turn[T]) -> None:
        """Give up a turn that was not taken; whoever is first then is woken if there is room."""
        with self._monitor:
            if turn in self._line:
                self._remove(turn)

    def _join(self, turn: Turn[T]) -> None:
        if not self._line:
            self._monitor.sleepers.append(self)
        self._line.append(turn)
        self._dropping += turn.policy is Overflow.DROP_OLDEST
        self._set_straight()

    def _remove(self, turn: Turn[T]) -> None:
        self._line.remove(turn)
        self._dropping -= turn.policy is Overflow.DROP_OLDEST
        if not self._line:
            self._monitor.sleepers.remove(self)
            self._set_straight()
        elif self._monitor.alarm is not None:
            self.wake()  # of an alarm that has changed, only the first was told

    def _check_droppable(self, turn: Turn[T]) -> None:
        ledger = self._ledger
        if not ledger.could_have_room(turn.count, turn.size):
            raise BufferFull(f"the buffer is full of what is leased and never dropped: {ledger.fullness()}")

    def _set_straight(self) -> None:
        self._ledger.straight = self._ledger.max_size if self._plain and not self._line and not self.closed else 0

    def _turn(
        self, messages: Iterable[T], ttl: float | EllipsisType | None, overflow: Overflow | str | EllipsisType
    ) -> Turn[T]:
        """What is agreed for messages; raises before anything has changed. Calls user code, so without the lock."""
        turn = self._new_turn()
        turn.policy = self._policy if isinstance(overflow, EllipsisType) else policy(overflow)
        if isinstance(ttl, EllipsisType):
            turn.ttl = self._ttl
        else:
            check_seconds("ttl", ttl, none=True)
            turn.ttl = ttl
        parts: list[tuple[T, Hashable, int]] = []
        turn.parts = parts
        turn.size = 0
        max_bytes = self._ledger.max_bytes
        if self._key is None and max_bytes is None:
            parts += [(message, None, 0) for message in _iterate(messages)]
        else:
            for message in _iterate(messages):
                key, size = self._measure(message)
                if max_bytes is not None and size > max_bytes:
                    raise MessageTooLarge(size, max_bytes)
                parts.append((message, key, size))
                turn.size += size
        turn.count = len(parts)
        if turn.policy is not Overflow.DROP_NEWEST and not self._ledger.can_hold(turn.count, turn.size):
            raise BufferFull(f"together they never fit in: {self._ledger.in_words(turn.count, turn.size)}")
        return turn

    def _measure(self, message: T) -> tuple[Hashable, int]:
        """A message's key, and what it takes of ``max_bytes`` (0 without such a bound)."""
        key = None if self._key is None else hashable("key must return something", self._key(message))
        if self._ledger.max_bytes is None:
            return key, 0
        size = self._size_of(message)
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"size_of must return an int of at least 0, not {type(size).__name__}")
        if size < 0:
            raise ValueError(f"size_of must return an int of at least 0, not {size}")
        return key, size

    def _accept(self, turn: Turn[T], *, only_what_fits: bool = False) -> list[Delivery[T]]:
        """Accept messages now, from when on their age counts; drop those that do not fit. The lock is held."""
        ledger = self._ledger
        expires_at = None if turn.ttl is None else ledger.clock() + turn.ttl
        deliveries: list[Delivery[T]] = []
        for message, key, size in turn.parts:
            terms = NO_TERMS if expires_at is None and key is None and not size else Terms(key, size, expires_at)
            fits = not only_what_fits or (not self._line and ledger.has_room(1, size))
            deliveries.append(ledger.accept(message, terms) if fits else ledger.drop_newest(message, terms))
        return deliveries


def positive_int(name: str, value: int) -> int:
    """The value, if it is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of at least 1, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be an int of at least 1, not {value}")
    return value


def policy(overflow: Overflow | str) -> Overflow:
    """The policy of that name."""
    try:
        return Overflow(overflow)
    except ValueError:
        allowed = ", ".join(repr(policy.value) for policy in Overflow)
        raise ValueError(f"overflow must be one of {allowed}, not {overflow!r}") from None


def function(name: str, function: Any) -> Any:
    """The function, if it is None or one that can be called here, where nothing can be awaited."""
    if function is not None and (not callable(function) or iscoroutinefunction(function)):
        raise TypeError(f"{name} must be a function that is no coroutine function, not {type(function).__name__}")
    return function


def hashable(rule: str, value: Hashable) -> Hashable:
    """The value, if it can be hashed; what its error says begins with ``rule``."""
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"{rule} hashable, not {type(value).__name__}") from None
    return value


def _iterate(messages: Iterable[T]) -> Iterator[T]:
    try:
        return iter(messages)
    except TypeError:
        raise TypeError(f"messages must be an iterable, not {type(messages).__name__}") from None


def size_in_bytes(message: Any) -> int:
    """The size of a message whose type tells it."""
    if isinstance(message, bytes | bytearray):
        return len(message)
    if isinstance(message, memoryview):
        return message.nbytes
    if isinstance(message, str):
        return len(message.encode(errors="surrogatepass"))
    raise TypeError(f"max_bytes with messages of type {type(message).__name__} needs size_of=")
