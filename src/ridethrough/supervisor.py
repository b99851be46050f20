"""ReconnectSupervisor: the coroutine that connects, waits for messages, sends them in order, and backs off."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    fail_after,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.lowlevel import checkpoint_if_cancelled

from .abc import Link, MessageBuffer
from .backoff import Backoff
from .errors import AuthenticationFailed, FlushTimeout, LinkLost, RetryLater, check_seconds, describe
from .logs import get_logger
from .observing import Observer, Observers
from .sender import LINK_ERRORS, OnDoubt, Sender, essence
from .state import RUNNING, ConnectionEvent, ConnectionState, Transition, next_state

T = TypeVar("T")

logger: logging.Logger = get_logger("supervisor")

"""The transitions of a supervisor, one after the other: an async iterator."""


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
        connect_timeout: how long making a link may take, and taking it down once it is gone, in seconds; None: as long
            as it likes.

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
        if not callable(connect) or iscoroutinefunction(connect):
            kind = "a coroutine function" if callable(connect) else type(connect).__name__
            raise TypeError(f"connect must be a function that returns an async context manager, not {kind}")
        if not isinstance(buffer, MessageBuffer):
            raise TypeError(f"buffer must be a MessageBuffer, not {type(buffer).__name__}")
        if not isinstance(backoff, Backoff):
            raise TypeError(f"backoff must be a Backoff, not {type(backoff).__name__}")
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
        self._observers: Observers[Transition] = Observers()
        self._scope: CancelScope | None = None  # of the run under way
        self._wait: Event | None = None  # of the backoff under way
        self._closing = False
        self._ending = (ConnectionEvent.STOP, "")  # what the end of the run under way will be, and why
        self._refusal = ""  # why it has FAILED
        self._attempt = 0
        self._reason = ""
        self._next_try: float | None = None  # on the loop's clock
        self._down_since = 0.0

    @property
    def state(self) -> ConnectionState:
        """Where it stands with its link."""
        return self._state

    @property
    def attempt(self) -> int:
        """How many tries in a row have failed, or led to a link that did not last."""
        return self._attempt

    @property
    def reason(self) -> str:
        """Why there is no link, in a few words; empty if there is one, or nothing has failed yet."""
        return self._reason

    @property
    def next_try(self) -> float | None:
        """In how many seconds it tries again; None if it does not wait for that. To be asked in the event loop."""
        return None if self._next_try is None else max(0.0, self._next_try - current_time())

    def __repr__(self) -> str:
        return f"<ReconnectSupervisor {self._state}, attempt {self._attempt}>"

    # ---------------------------------------------------------------- for observers

    def states(self) -> Observer[Transition]:
        """The transitions from now on, as an async iterator that ends when the supervisor is closed.

        It keeps up to 100 transitions for a slow reader, and then forgets the oldest.
        """
        return self._observers.add()

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
                if self._state is ConnectionState.FAILED:
                    raise AuthenticationFailed(self._refusal)
                if self._state in (ConnectionState.SUSPENDED, ConnectionState.CLOSED):
                    raise LinkLost(f"there will be no link: the supervisor is {self._state}", unsent=True)
                await self._change()

    def retry_now(self) -> bool:
        """Cut the wait for the next try short. To be called in the thread of the event loop.

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
            Exception: whatever ``connect`` or the link raise that is no matter of the link, as they raise it.

        **Cancellation** takes the link down and leaves the supervisor IDLE. A message being sent at that moment goes
        back to its place in the buffer, and its ``maybe_sent`` is true.
        """
        now = current_time()
        self._step(ConnectionEvent.RUN)
        self._attempt, self._down_since = 0, now
        self._ending = (ConnectionEvent.STOP, "")
        failures: list[Exception] = []

        async def part(work: Callable[[], Awaitable[None]]) -> None:
            """Do one part of this; all ends with it, and the task group does not wrap what it raises."""
            try:
                await work()
            except Exception as error:
                failures.append(error)
            finally:
                tasks.cancel_scope.cancel()

        event, reason = self._ending
        try:
            async with create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                tasks.start_soon(part, self._buffer.enforce_ttl)
                # In a task of its own: so a native cancellation of this one comes to it as that of a scope, which
                # stays in force even if the link swallows it.
                tasks.start_soon(part, self._keep_connected)
            event, reason = self._ending
            if failures:
                raise failures[0]
        finally:
            self._scope = None
            self._step(ConnectionEvent.CLOSE if self._closing else event, reason)

    async def aclose(self, timeout: float | None = 0) -> None:
        """Stop for good, once what is in the buffer has gone, or time is up. The buffer stays open and keeps the rest.

        Closing it twice is closing it once.

        Args:
            timeout: how long to go on sending what the buffer holds now, in seconds; None: as long as it takes. When
                it stops running meanwhile (suspended, say) nothing more is waited for.

        Raises:
            TypeError, ValueError: what is no timeout.

        **Cancellation.** If it raises a cancellation while it goes on sending, the supervisor goes on as before. Later,
        while the link is taken down, it is too late to call it back: the supervisor closes all the same.
        """
        check_seconds("timeout", timeout, zero=True, none=True)

        async def stop_waiting() -> None:
            await self._wait_stopped()  # and what has not gone by then does not go any more
            tasks.cancel_scope.cancel()

        if timeout != 0 and self._state in RUNNING:
            async with create_task_group() as tasks:
                tasks.start_soon(stop_waiting)
                try:
                    await self._buffer.flush(timeout)
                except FlushTimeout as late:
                    logger.info("closing with %d messages left in the buffer", late.left)
                tasks.cancel_scope.cancel()
        if self._scope is not None:
            self._closing = True
            self._scope.cancel()
            await self._wait_stopped()
        if self._state is not ConnectionState.CLOSED:
            self._step(ConnectionEvent.CLOSE)

    async def _wait_stopped(self) -> None:
        while self._state in RUNNING:
            await self._change()

    async def _keep_connected(self) -> None:
        while (error := await self._hold_link()) is not None:
            if isinstance(error, AuthenticationFailed):
                logger.error("the link refuses the credentials: %s", error)
                self._refusal = str(error)
                self._ending = (ConnectionEvent.REFUSED, self._refusal)
                raise error
            if not isinstance(error, LINK_ERRORS):
                raise error
            delay = self._backoff.delay(self._attempt)
            if isinstance(error, RetryLater):
                delay = max(delay, error.after)
            if not await self._back_off(error, delay):
                return

    async def _hold_link(self) -> Exception | None:
        """Make a link and serve it until it is gone.

        Returns:
            What became of it, or what was raised that is no matter of the link; None if the buffer was closed.
        """
        errors: list[Exception] = []
        was_up = False
        began = current_time()
        try:
            with CancelScope(deadline=self._connect_deadline()) as scope:
                async with self._connect() as link:
                    if not scope.cancel_called:  # else time was up when the link was just made
                        was_up = True
                        scope.deadline = math.inf
                        lost = await self._use_link(link, scope)
                        if lost is None:
                            return None
                        errors.append(lost)
        except BaseExceptionGroup as group:  # from a link with a task group of its own
            _, found = group.split(get_cancelled_exc_class())
            if not isinstance(found, ExceptionGroup):
                raise
            errors.append(found)
        except Exception as error:
            errors.append(error)
        gone = "the link was closed" if was_up else f"it was not made in {current_time() - began:.1f} s"
        end = essence(*errors) if errors else LinkLost(gone)
        if isinstance(end, LINK_ERRORS):  # it may have come about in the taking down, and replaced a cancellation
            await checkpoint_if_cancelled()
        if was_up:
            self._sender.link_lost()
        return end

    async def _use_link(self, link: Link[T, Any], scope: CancelScope) -> Exception | None:
        """Serve a link, which is ready; then give it time, by that scope, to be taken down."""
        up_since = current_time()
        logger.info(
            "the link is ready after %.1f s; %d messages are waiting",
            up_since - self._down_since,
            self._buffer.statistics().queued,
        )
        self._step(ConnectionEvent.LINK_READY)
        try:
            return await self._sender.serve(link)
        finally:
            self._down_since = current_time()
            if self._sender.carried and self._down_since - up_since >= self._stable_after:
                self._attempt = 0
            if self._connect_timeout is not None:
                scope.deadline = self._down_since + self._connect_timeout

    def _connect_deadline(self) -> float:
        limit = math.inf if self._connect_timeout is None else self._connect_timeout
        return min(current_time() + limit, self._outage_ends())

    def _outage_ends(self) -> float:
        return math.inf if self._max_outage is None else self._down_since + self._max_outage

    async def _back_off(self, error: Exception, delay: float) -> bool:
        """Wait for the next try; False if the outage has taken too long."""
        left = self._outage_ends() - current_time()
        reason = describe(error)
        logger.log(
            logging.DEBUG if self._attempt else logging.WARNING,
            "no link: %s; %s in %.1f s; %d messages are waiting",
            reason,
            "next try" if delay < left else "giving up",
            max(0.0, min(delay, left)),
            self._buffer.statistics().queued,
        )
        self._attempt += 1
        self._step(ConnectionEvent.LINK_LOST, reason, delay if delay < left else None)
        self._wait = Event()
        try:
            with move_on_after(max(0.0, min(delay, left))):
                await self._wait.wait()
            asked = self._wait.is_set()
        finally:
            self._wait = None
        if delay >= left and not asked:
            waiting = self._buffer.statistics().queued
            logger.error("no link for %s s; giving up with %d messages in the buffer", self._max_outage, waiting)
            self._ending = (ConnectionEvent.OUTAGE, f"no link for {self._max_outage} s")
            return False
        self._step(ConnectionEvent.RETRY)
        return True

    async def _change(self) -> None:
        """Wait for the next transition."""
        if self._changed is None:
            self._changed = Event()
        await self._changed.wait()

    def _step(self, event: ConnectionEvent, reason: str = "", delay: float | None = None) -> None:
        """Make a transition: the only place where the state changes."""
        previous, self._state = self._state, next_state(self._state, event)
        if reason or event is ConnectionEvent.LINK_READY:
            self._reason = reason
        self._next_try = None if delay is None else current_time() + delay
        self._observers.tell(Transition(previous, event, self._state, reason, self._attempt, delay))
        if self._state is ConnectionState.CLOSED:
            self._observers.end()
        if self._changed is not None:
            self._changed.set()
            self._changed = None
