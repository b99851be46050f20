"""ReconnectSupervisor: the coroutine that connects, waits for messages, sends them in order, and backs off."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Self, TypeVar
from weakref import WeakSet

from anyio import CancelScope, Event, create_task_group, current_time, fail_after, move_on_after

from .abc import Link, MessageBuffer
from .backoff import Backoff
from .errors import (
    AuthenticationFailed,
    BufferClosed,
    FlushTimeout,
    LinkLost,
    RetryLater,
    RidethroughError,
    check_seconds,
)
from .sender import OnDoubt, Sender, link_error
from .state import RUNNING, ConnectionEvent, ConnectionState, Transition, next_state

T = TypeVar("T")

logger = logging.getLogger("ridethrough.supervisor")


class ReconnectSupervisor(Generic[T]):
    """Keeps a link, and sends what is in a buffer over it, one message after the other.

    What ``connect`` or the link raise decides what happens: :class:`~ridethrough.LinkLost` (likewise OSError, EOFError
    and anyio's stream errors) means back off and connect again, :class:`~ridethrough.RetryLater` a pause,
    :class:`~ridethrough.Rejected` the end of that message, :class:`~ridethrough.AuthenticationFailed` the end of all.
    Any other exception is a mistake in the program: :meth:`run` raises it, and the message stays in the buffer.

    Args:
        connect: makes the link: returns an async context manager that, once entered, gives a
            :class:`~ridethrough.Link` which is ready to send, and on leaving takes it down.
        buffer: what to send. It stays the caller's, who closes it.
        backoff: how long to wait after a failure.
        stable_after: for how long a link must have been up, in seconds, and have carried a send, for the backoff to
            start anew.
        max_outage: after how many seconds without a link to stop trying (SUSPENDED); None: never.
        on_doubt: see :class:`OnDoubt`.
        poison_after: how often running the link may be lost under the same message before that message is REJECTED;
            None: as often as it likes.
        connect_timeout: how long ``connect`` may take, in seconds; None: as long as it likes.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Link[T, Any]]],
        buffer: MessageBuffer[T],
        *,
        backoff: Backoff = Backoff(),  # noqa: B008, it is immutable
        stable_after: float = 30,
        max_outage: float | None = None,
        on_doubt: OnDoubt | str = OnDoubt.RETRY,
        poison_after: int | None = 5,
        connect_timeout: float | None = 60,
    ) -> None:
        if not callable(connect):
            raise TypeError(f"connect must be a function that makes a link, not {type(connect).__name__}")
        check_seconds("stable_after", stable_after, zero=True)
        check_seconds("max_outage", max_outage, none=True)
        check_seconds("connect_timeout", connect_timeout, none=True)
        if on_doubt not in tuple(OnDoubt):
            raise ValueError(f"on_doubt must be 'retry' or 'report', not {on_doubt!r}")
        if poison_after is not None and (isinstance(poison_after, bool) or not isinstance(poison_after, int)):
            raise TypeError(f"poison_after must be an int of at least 1, or None, not {type(poison_after).__name__}")
        if poison_after is not None and poison_after < 1:
            raise ValueError(f"poison_after must be an int of at least 1, or None, not {poison_after}")
        self._connect = connect
        self._buffer = buffer
        self._backoff = backoff
        self._stable_after = stable_after
        self._max_outage = max_outage
        self._sender = Sender(buffer, OnDoubt(on_doubt), poison_after)
        self._connect_timeout = connect_timeout

        self._state = ConnectionState.IDLE
        self._changed: Event | None = None  # set, and forgotten, at the next transition
        self._observers: WeakSet[Transitions] = WeakSet()
        self._scope: CancelScope | None = None  # of the run under way
        self._wait: Event | None = None  # of the backoff under way
        self._closing = False
        self._failure: RidethroughError | None = None
        self._attempt = 0
        self._down_since = 0.0

    @property
    def state(self) -> ConnectionState:
        """Where it stands with its link."""
        return self._state

    @property
    def attempt(self) -> int:
        """How many tries in a row have failed, or led to a link that did not last."""
        return self._attempt

    def __repr__(self) -> str:
        return f"<ReconnectSupervisor {self._state}, attempt {self._attempt}>"

    # ---------------------------------------------------------------- for observers

    def states(self) -> Transitions:
        """The transitions from now on, as an async iterator that ends when the supervisor is closed.

        It keeps up to 100 transitions for a slow reader, and then forgets the oldest.
        """
        transitions = Transitions(self._state is ConnectionState.CLOSED)
        self._observers.add(transitions)
        return transitions

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until there is a link.

        Args:
            timeout: for how long, in seconds; None: as long as it takes.

        Raises:
            TimeoutError: time is up.
            LinkLost: it is SUSPENDED or CLOSED, so there will be none.
            AuthenticationFailed: it has FAILED.
            TypeError, ValueError: what is no timeout.

        **Cancellation** changes nothing.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        with fail_after(timeout):
            while self._state is not ConnectionState.CONNECTED:
                if self._state is ConnectionState.FAILED and self._failure is not None:
                    raise self._failure
                if self._state in (ConnectionState.SUSPENDED, ConnectionState.CLOSED):
                    raise LinkLost(f"there will be no link: the supervisor is {self._state}", unsent=True)
                if self._changed is None:
                    self._changed = Event()
                await self._changed.wait()

    def retry_now(self) -> bool:
        """Cut the wait for the next try short.

        Returns:
            True if it was waiting for one.
        """
        if self._wait is None:
            return False
        self._wait.set()
        return True

    # ---------------------------------------------------------------- running

    async def run(self) -> None:
        """Keep the link and send, until this or the buffer is closed, or this is cancelled, suspended or refused.

        Returns when the buffer was closed, when :meth:`aclose` was called, or when there was no link for
        ``max_outage``: then it is SUSPENDED, the buffer keeps what is in it, and ``run`` may be called again.

        Raises:
            AuthenticationFailed: the other side refuses the credentials. The supervisor has FAILED for good.
            RuntimeError: it runs already, has failed, or is closed.

        **Cancellation** takes the link down and leaves the supervisor IDLE. A message being sent at that moment goes
        back to its place in the buffer, and its ``maybe_sent`` is true.
        """
        self._step(ConnectionEvent.RUN)
        self._attempt = 0
        self._down_since = current_time()
        error: Exception | None = None
        try:
            async with create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                tasks.start_soon(self._mind_buffer, tasks.cancel_scope)
                try:
                    await self._keep_connected()
                except BufferClosed:
                    pass
                except Exception as caught:
                    error = caught  # raised below, so that the task group does not wrap it
                tasks.cancel_scope.cancel()
            if error is not None:
                raise error
        finally:
            self._scope = None
            if self._state in RUNNING:
                self._step(ConnectionEvent.CLOSE if self._closing else ConnectionEvent.STOP)

    async def aclose(self, timeout: float | None = 0) -> None:
        """Stop for good, once what is in the buffer has gone, or time is up. The buffer stays open and keeps the rest.

        Closing it twice is closing it once.

        Args:
            timeout: how long to go on sending what the buffer holds now, in seconds; None: as long as it takes.

        Raises:
            TypeError, ValueError: what is no timeout.

        **Cancellation.** If it raises a cancellation, the supervisor goes on as before.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        if self._state in RUNNING and timeout != 0:
            try:
                await self._buffer.flush(timeout)
            except FlushTimeout as late:
                logger.info("closing with %d messages left in the buffer", late.left)
        if self._scope is not None:
            self._closing = True
            self._scope.cancel()
            while self._state in RUNNING:
                if self._changed is None:
                    self._changed = Event()
                await self._changed.wait()
        if self._state is not ConnectionState.CLOSED:
            self._step(ConnectionEvent.CLOSE)

    async def _mind_buffer(self, scope: CancelScope) -> None:
        """End messages that are too old, and all of this when the buffer is closed."""
        await self._buffer.enforce_ttl()
        scope.cancel()

    async def _keep_connected(self) -> None:
        while True:
            error = await self._hold_link()
            if isinstance(error, AuthenticationFailed):
                self._failure = error
                logger.error("the link refuses the credentials: %s", error)
                self._step(ConnectionEvent.REFUSED, str(error))
                raise error
            delay = self._backoff.delay(self._attempt)
            if isinstance(error, RetryLater):
                delay = max(delay, error.after)
            if not await self._back_off(error, delay):
                return

    async def _hold_link(self) -> Exception:
        """Make a link and serve it until it is gone; returns what became of it."""
        up_since: float | None = None
        lost: Exception | None = None
        try:
            with CancelScope(deadline=self._connect_deadline()) as connecting:
                async with self._connect() as link:
                    connecting.deadline = math.inf
                    up_since = current_time()
                    self._welcome(up_since)
                    lost = await self._sender.serve(link)
        except Exception as error:
            if link_error(error) is None:
                raise
            lost = lost or link_error(error)
        if up_since is None:
            return lost or LinkLost(f"connecting took longer than {self._connect_timeout} s")
        self._down_since = current_time()
        if self._sender.carried and self._down_since - up_since >= self._stable_after:
            self._attempt = 0
        return lost or LinkLost("the link was closed")

    def _connect_deadline(self) -> float:
        limits = [current_time() + self._connect_timeout] if self._connect_timeout is not None else []
        limits += [self._down_since + self._max_outage] if self._max_outage is not None else []
        return min(limits, default=math.inf)

    def _welcome(self, now: float) -> None:
        logger.info(
            "the link is ready after %.1f s; %d messages are waiting",
            now - self._down_since,
            self._buffer.statistics().queued,
        )
        self._step(ConnectionEvent.LINK_READY)

    async def _back_off(self, error: Exception, delay: float) -> bool:
        """Wait for the next try; False if the outage has taken too long."""
        reason = str(error) or type(error).__name__
        waiting = self._buffer.statistics().queued
        logger.log(
            logging.DEBUG if self._attempt else logging.WARNING,
            "no link: %s; next try in %.1f s; %d messages are waiting", reason, delay, waiting,
        )  # fmt: skip
        self._attempt += 1
        self._step(ConnectionEvent.LINK_LOST, reason, delay)
        left = math.inf if self._max_outage is None else self._down_since + self._max_outage - current_time()
        self._wait = Event()
        try:
            with move_on_after(max(0.0, min(delay, left))):
                await self._wait.wait()
            asked = self._wait.is_set()
        finally:
            self._wait = None
        if delay >= left and not asked:
            logger.error("no link for %s s; giving up with %d messages in the buffer", self._max_outage, waiting)
            self._step(ConnectionEvent.OUTAGE, f"no link for {self._max_outage} s")
            return False
        self._step(ConnectionEvent.RETRY)
        return True

    def _step(self, event: ConnectionEvent, reason: str = "", delay: float | None = None) -> None:
        """Make a transition: the only place where the state changes."""
        previous, self._state = self._state, next_state(self._state, event)
        transition = Transition(previous, event, self._state, reason, self._attempt, delay)
        for observer in self._observers:
            observer.add(transition)
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class Transitions:
    """The transitions of a supervisor, one after the other: an async iterator, for one reader."""

    def __init__(self, over: bool) -> None:
        self._transitions: deque[Transition] = deque(maxlen=100)
        self._arrived: Event | None = None
        self._over = over

    def add(self, transition: Transition) -> None:
        """Add one. For the supervisor."""
        self._transitions.append(transition)
        self._over = transition.state is ConnectionState.CLOSED
        if self._arrived is not None:
            self._arrived.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Transition:
        while not self._transitions:
            if self._over:
                raise StopAsyncIteration
            self._arrived = Event()
            await self._arrived.wait()
        return self._transitions.popleft()
