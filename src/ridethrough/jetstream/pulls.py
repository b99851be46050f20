"""Pulls: asks JetStream for messages, and keeps what it hands over until somebody here takes it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from ..errors import BufferClosed
from .failures import Lost, Refused
from .headers import Tries, earlier
from .layout import Layout
from .store import Handed, State, Store
from .tasks import Tasks
from .wire import Wire

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_EXPIRES = 30.0
"""How long one request to be handed a message lasts, in seconds."""
_HEARTBEAT = 1.0
"""How often JetStream says that such a request still stands, in seconds: a new leader does not know of it."""
_SILENCE = 2.3
"""After how long without that, in seconds, to ask anew."""
_IN_HAND = 1.0
"""How long a message is kept here that nobody takes, in seconds; then another host may have it."""
_AGAIN = 0.25
"""How long to wait before asking anew if JetStream cannot hand out, in seconds."""

_REQUEST = json.dumps({"batch": 1, "expires": int(_EXPIRES * 1e9), "idle_heartbeat": int(_HEARTBEAT * 1e9)}).encode()


class _Pull:
    """A request to be handed a message of one partition."""

    __slots__ = ("heard", "number")

    def __init__(self, number: int, heard: float) -> None:
        self.number = number
        self.heard = heard


class Pulls:
    """Messages that JetStream hands to this host, one of each partition at most.

    It asks while somebody waits. What comes when nobody does any more is in hand for a second, and then given back.

    Args:
        wire, layout, store: as their names say.
        tasks: what is given back is given back in one of these.
    """

    def __init__(self, wire: Wire, layout: Layout, store: Store, tasks: Tasks) -> None:
        self._wire = wire
        self._layout = layout
        self._store = store
        self._tasks = tasks
        self._numbers = count(1)
        self._pulls: dict[int, _Pull] = {}
        self._in_hand: dict[int, tuple[Handed, asyncio.TimerHandle]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._not_before = 0.0  # since JetStream could not hand out
        self._closed = False
        self._keep_for = min(_IN_HAND, layout.lease_time / 4)
        self._wire.on_delivery = self._on_message

    async def take(self, timeout: float | None = None, *, paused: bool = False) -> Handed | None:
        """Wait for a message and take it; None: time is up.

        Args:
            timeout: for how long, in seconds; None: as long as it takes.
            paused: whether to take it even during a pause.

        Raises:
            BufferClosed: there will be none.

        **Cancellation.** If it raises a cancellation, it has taken nothing.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while True:
            if self._closed:
                raise BufferClosed("the buffer is closed")
            now = loop.time()
            not_before = self._not_before if paused else max(self._not_before, self._paused_until)
            while self._in_hand and now >= not_before:
                handed = self._take_up(next(iter(self._in_hand)))
                if now < handed.until:
                    return handed
            if deadline is not None and now >= deadline:
                return None
            until = not_before
            if now >= not_before:
                await self._ask(now)
                until = now + _HEARTBEAT
            await self._wait(until if deadline is None else min(until, deadline))

    async def take_this(self, number: int, timeout: float) -> Handed | None:
        """Like :meth:`take`, of that message alone, even during a pause."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        others: list[Handed] = []
        try:
            while (handed := await self.take(deadline - loop.time(), paused=True)) is not None:
                if handed.number == number:
                    return handed
                others.append(handed)
            return None
        finally:
            for other in others:
                self.keep(other)

    async def _wait(self, until: float) -> None:
        """Return when it is time to look again."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(until, _wake, waiter)
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.remove(waiter)

    async def _ask(self, now: float) -> None:
        """See to it that JetStream is asked for a message of each partition."""
        for partition in range(self._layout.partitions):
            pull = self._pulls.get(partition)
            if pull is not None and now - pull.heard < _SILENCE:
                continue
            number = next(self._numbers)
            self._pulls[partition] = _Pull(number, now)
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._layout.name}.{self._layout.consumer(partition)}"
            try:
                await self._wire.send(subject, _REQUEST, reply=f"pull.{partition}-{number}")
            except Lost:
                del self._pulls[partition]
                self._not_before = now + _AGAIN
                return

    def _on_message(self, message: Msg) -> None:
        now = asyncio.get_running_loop().time()
        if message.reply:
            handed = self._handed(message, now)
            self._pulls.pop(handed.partition, None)
            self.keep(handed)
            return
        partition, number = map(int, message.subject.rpartition(".")[2].split("-"))
        pull = self._pulls.get(partition)
        if pull is None or pull.number != number:
            return  # it was given up long since
        status = (message.headers or {}).get("Status")
        if status == "100":
            pull.heard = now
            return
        del self._pulls[partition]
        if status != "408":  # the request has had its time
            self._not_before = now + _AGAIN
        self.poke()

    def _handed(self, message: Msg, now: float) -> Handed:
        fields = message.reply.split(".")
        consumer, times, number, _, _, left = fields[3:9] if len(fields) == 9 else fields[5:11]
        partition = int(consumer.rpartition("-")[2])
        until = now + 0.9 * self._layout.lease_time  # it was under way for a moment
        return Handed(
            int(number), message.data, message.headers or {}, int(times), int(left), partition, message.reply, until
        )

    def poke(self) -> None:
        """Let everybody who waits look again."""
        for waiter in self._waiting:
            _wake(waiter)

    def forget(self) -> None:
        """Be told that no request stands any more: the connection is a new one."""
        self._pulls.clear()
        self.poke()

    # ---------------------------------------------------------------- what is not sent now

    def pause(self, until: float) -> None:
        """Hand nothing out before that time."""
        self._paused_until = max(self._paused_until, until)

    def resume(self) -> None:
        """End the pause."""
        self._paused_until = 0.0
        self.poke()

    def keep(self, handed: Handed) -> None:
        """Keep a message in hand for whoever takes one next; of one that was handed out again meanwhile, the last."""
        if handed.number in self._in_hand:
            handed = max(handed, self._take_up(handed.number), key=lambda each: each.times)
        timer = asyncio.get_running_loop().call_later(self._keep_for, self._put_down, handed.number)
        self._in_hand[handed.number] = (handed, timer)
        self.poke()

    def _take_up(self, number: int) -> Handed:
        handed, timer = self._in_hand.pop(number)
        timer.cancel()
        return handed

    def _put_down(self, number: int) -> None:
        self._tasks.start(self.give_back_untouched(self._take_up(number)))

    async def known(self, handed: Handed) -> Tries:
        """What is known of a message that was just handed out: of each time that nobody noted, that it was tried.

        Raises:
            Lost: it could not be asked for.
        """
        before = handed.times - 1
        if not before:
            return earlier(handed.headers)
        state = await self._wire.insist(lambda: self._store.state(handed.number), handed.until)
        times, tries = state or (0, earlier(handed.headers))
        missing = max(0, before - times)
        return Tries(tries.attempts + missing, tries.maybe_sent or missing > 0)

    async def give_back_untouched(self, handed: Handed) -> None:
        """Give a message back that nothing was done with."""
        try:
            known = await self.known(handed)
        except (Lost, Refused):
            return
        await self.give_back(handed, known)

    async def give_back(self, handed: Handed, tries: Tries, delay: float = 0) -> bool:
        """Let a message be handed out again, and what is known of it be known; False: it may have come too late."""
        loop = asyncio.get_running_loop()
        state = State(handed.times, tries)
        until = min(handed.until, loop.time() + 5)
        try:
            await self._wire.insist(lambda: self._store.note_state(handed.number, state), until)
            if loop.time() >= handed.until:
                return False
            await self._store.give_back(handed, delay)
        except (Lost, Refused):
            return False  # it comes back when its time is up
        return True

    async def aclose(self) -> None:
        """Hand nothing out any more, and give back what is in hand."""
        self._closed = True
        self.poke()
        while self._in_hand:
            await self.give_back_untouched(self._take_up(next(iter(self._in_hand))))


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
