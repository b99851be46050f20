"""ServiceStatus: the second link, from the daemon to Signal, as far as the daemon's answers tell of it."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import NamedTuple

from anyio import current_time

from ..logs import get_logger
from ..observing import Observer, Observers

logger: logging.Logger = get_logger("signal_cli")


class ServiceState(StrEnum):
    """Whether the daemon reaches Signal."""

    UNKNOWN = "unknown"
    """No answer has told yet."""
    REACHABLE = "reachable"
    """It did when it was last heard."""
    UNREACHABLE = "unreachable"
    """It did not, or Signal refuses the account; everything waits for the next try."""


class ServiceChange(NamedTuple):
    """One change of a :class:`ServiceStatus`, or another try that has failed."""

    previous: ServiceState
    state: ServiceState
    reason: str
    """Why, in a few words; empty if there is nothing to say."""
    attempt: int
    """How many tries in a row have failed, or got through with no message sent after it."""
    delay: float | None
    """Seconds until the next try; None if none is planned."""


class ServiceStatus:
    """Where the daemon stands with Signal.

    The link to the daemon may be up while this one is down. The daemon tells of it in nothing but its answers, so this
    changes when there is something to send, and not by itself.
    """

    def __init__(self) -> None:
        self._state = ServiceState.UNKNOWN
        self._reason = ""
        self._attempt = 0
        self._next_try: float | None = None
        self._down_since = 0.0
        self._warned: set[str] = set()  # for what reasons, since a message was sent
        self._observers: Observers[ServiceChange] = Observers()

    @property
    def state(self) -> ServiceState:
        """Whether the daemon reaches Signal."""
        return self._state

    @property
    def reason(self) -> str:
        """Why it does not; empty if it does."""
        return self._reason

    @property
    def attempt(self) -> int:
        """How many tries in a row have failed, or got through with no message sent after it."""
        return self._attempt

    @property
    def next_try(self) -> float | None:
        """In how many seconds it is tried again; None if it need not be. To be asked in the event loop."""
        return None if self._next_try is None else max(0.0, self._next_try - current_time())

    def __repr__(self) -> str:
        return f"<ServiceStatus {self._state}, attempt {self._attempt}>"

    def changes(self) -> Observer[ServiceChange]:
        """What changes from now on, as an async iterator that ends when the client is closed.

        It keeps up to 100 changes for a slow reader, and then forgets the oldest.
        """
        return self._observers.add()

    # ---------------------------------------------------------------- for the judge, and for whom closes

    def failed(self, reason: str, delay: float) -> None:
        """A try has failed for that reason; the next one comes in so many seconds."""
        again = reason in self._warned
        logger.log(logging.DEBUG if again else logging.WARNING, "%s; next try in %.1f s", reason, delay)
        self._warned.add(reason)
        now = current_time()
        if self._state is not ServiceState.UNREACHABLE:
            self._down_since = now
        self._attempt += 1
        self._next_try = now + delay
        self._change(ServiceState.UNREACHABLE, reason, delay)

    def reached(self) -> None:
        """Signal has answered."""
        self._next_try = None
        if self._state is ServiceState.UNREACHABLE:
            logger.info("Signal is reached again after %.1f s", current_time() - self._down_since)
        if self._state is not ServiceState.REACHABLE:
            self._change(ServiceState.REACHABLE, "", None)

    def worked(self) -> None:
        """A message was sent: the next failure will be the first one."""
        self._attempt = 0
        self._warned.clear()
        self.reached()

    def end(self) -> None:
        """There will be no more changes. Twice is once."""
        self._observers.end()

    def _change(self, state: ServiceState, reason: str, delay: float | None) -> None:
        """The only place where the state changes."""
        previous, self._state, self._reason = self._state, state, reason
        self._observers.tell(ServiceChange(previous, state, reason, self._attempt, delay))
