"""Wire: one connection to NATS, requests over it with their answers, and whether it carries anything."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from anyio import CancelScope

from .._loop import find_event_loop
from ..backoff import Backoff
from ..errors import AuthenticationFailed, StoreAway
from ..logs import get_logger
from .failures import Lost, Refused, in_words, is_passing

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.errors import Error as NatsError
    from nats.errors import OutboundBufferLimitError
except ImportError:
    raise ImportError("the shared buffer needs nats-py: pip install 'ridethrough[nats]'") from None

R = TypeVar("R")

_log: logging.Logger = get_logger("jetstream")

_ONE_TRY = 3.0
"""How long to wait for an answer before asking again, in seconds: a leader that was killed gives none."""

_SWEEP = 0.1
"""How often to look whether that has passed, in seconds."""

_RETRY = Backoff(initial=0.1, maximum=1.0)

_DEFAULTS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
    "connect_timeout": 5,
    "ping_interval": 10,
    "max_outstanding_pings": 2,
}


class Wire:
    """A connection that comes back by itself, and nothing is sent over it late: while it is away, a request is lost.

    Args:
        servers: their addresses.
        options: for nats-py's ``connect``.
        make_client: makes what connects; nats-py's client, unless a test has another.

    Attributes:
        away_since: since when nothing was answered, on the loop's clock; None: it is there.
        reason: why it is away, in a few words.
        on_delivery: called with what comes of what was asked for with ``pull.`` to reply to.
        on_back: called when it has connected anew; only an answer tells that there is more than a connection.
    """

    def __init__(
        self, servers: Sequence[str], options: Mapping[str, Any], make_client: Callable[[], Client] = Client
    ) -> None:
        self._servers = list(servers)
        self._options = {**_DEFAULTS, **options, "pending_size": 0}  # what waits there would be sent when it is stale
        self._make_client = make_client
        self._client = make_client()
        self._tokens = count(1)
        self._asked: dict[str, tuple[asyncio.Future[Msg], float]] = {}  # and until when to wait for each
        self._sweeping: asyncio.TimerHandle | None = None
        self._subjects: dict[str, Callable[[Msg], None]] = {}
        self._changed = asyncio.Event()  # set, and forgotten, when it is there again, or closed
        self._reopening: asyncio.Task[None] | None = None
        self._refused: asyncio.Event | None = None  # while it is opened: the credentials are no good
        self.closed: bool = False
        self._inbox = ""
        self.away_since: float | None = None
        self.reason: str = ""
        self.on_delivery: Callable[[Msg], None] = lambda _: None
        self.on_back: Callable[[], None] = lambda: None

    # ---------------------------------------------------------------- the connection

    @property
    def version(self) -> tuple[int, int]:
        """Of the server that it is connected to."""
        version = self._client.connected_server_version
        return version.major, version.minor

    @property
    def max_payload(self) -> int:
        """How many bytes a message may have, with its headers."""
        return self._client.max_payload

    async def open(self, timeout: float) -> None:
        """Connect.

        Raises:
            AuthenticationFailed: the credentials are refused.
            StoreAway: no server could be reached in time.
        """
        self._refused = asyncio.Event()
        connecting = asyncio.create_task(self._connect())
        refused = asyncio.create_task(self._refused.wait())
        try:
            await asyncio.wait({connecting, refused}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
                return
            if refused.done():
                raise AuthenticationFailed("the NATS server refuses the credentials")
            raise StoreAway(f"no NATS server was reached in {timeout:g} s: {self.reason or 'no answer'}")
        finally:
            self._refused = None
            for task in (connecting, refused):
                task.cancel()
            await asyncio.wait({connecting, refused})

    async def _connect(self) -> None:
        client = self._client = self._make_client()
        await client.connect(
            self._servers,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            **self._options,
        )
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.answer.*", cb=self._on_answer)
        await client.subscribe(f"{self._inbox}.pull.*", cb=self._on_pulled)
        for subject, listener in self._subjects.items():
            await client.subscribe(subject, cb=_as_coroutine(listener))

    async def subscribe(self, subject: str, listener: Callable[[Msg], None]) -> None:
        """Hand whatever comes to a subject to the listener."""
        self._subjects[subject] = listener
        with suppress(NatsError, OSError):  # it is away, and will be told of this when it is connected anew
            await self._client.subscribe(subject, cb=_as_coroutine(listener))

    async def aclose(self) -> None:
        """Disconnect. Twice is once."""
        if self.closed:
            return
        self.closed = True
        self._lose_all("the connection was closed")
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._wake()
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.wait({self._reopening})
        await self._client.close()

    # ---------------------------------------------------------------- asking

    async def send(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Send something. It has not left if this raises.

        Args:
            reply: where the answers go: to ``on_delivery`` if it begins with ``pull.``.

        Raises:
            Lost: there is no connection.
        """
        try:
            await self._client.publish(subject, payload, reply and f"{self._inbox}.{reply}", headers)
        except OutboundBufferLimitError:
            raise self._lost(self.reason or "there is no connection", sent=False) from None
        except (NatsError, OSError) as error:
            raise self._lost(in_words(error), sent=False) from None

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        timeout: float = _ONE_TRY,
        finish: bool = False,
    ) -> Msg:
        """Send a request, once, and return its answer.

        Args:
            timeout: how long to wait for that, in seconds.
            finish: whether to wait for it even if cancelled.

        Raises:
            Lost: there was none.

        **Cancellation** leaves it open whether the request is carried out; with ``finish``, it comes to effect
        afterwards.
        """
        token = str(next(self._tokens))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        self._asked[token] = (answer, loop.time() + timeout)
        if self._sweeping is None:  # one timer for all of them, which costs each one next to nothing
            self._sweeping = loop.call_later(_SWEEP, self._sweep)
        try:
            await self.send(subject, payload, headers, f"answer.{token}")
            try:
                message = await answer
            except asyncio.CancelledError:
                if not finish:
                    raise
                message = await self._finish(token)
        except Lost as lost:
            self._lost(str(lost))
            raise
        finally:
            del self._asked[token]
        if message.headers is not None and message.headers.get("Status") == "503":
            raise self._lost("nobody is there to answer", sent=False)
        return message

    async def _finish(self, token: str) -> Msg:
        """Go on waiting for an answer, after a cancellation that is to come to effect afterwards."""
        answer, until = self._asked[token]
        if answer.cancelled():
            answer = asyncio.get_running_loop().create_future()
            self._asked[token] = (answer, until)
            if self.closed:
                _lose(answer, "the connection was closed")  # as all that was asked; nobody else would come to this one
            with CancelScope(shield=True):
                while not answer.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait({answer})
        find_event_loop().cancel_again()
        return answer.result()

    async def call(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None, *, finish: bool = False
    ) -> dict[str, Any]:
        """Like :meth:`ask`, of JetStream, which answers in JSON.

        Raises:
            Lost: there was no answer, or that JetStream cannot answer at the moment.
            Refused: the answer is an error.
        """
        message = await self.ask(subject, payload, headers, finish=finish)
        answer: dict[str, Any] = json.loads(message.data)
        error = answer.get("error")
        if error is None:
            self._there()
            return answer
        code, text = error.get("err_code", 0), error.get("description", "")
        if is_passing(error.get("code", 0), code):
            raise self._lost(text)
        self._there()
        raise Refused(code, text)

    async def insist(self, work: Callable[[], Awaitable[R]], until: float) -> R:
        """Do something that may be done twice, and try again for as long as the time allows if it was lost.

        Args:
            until: on the loop's clock.

        Raises:
            Lost: it was lost to the end.
            Refused: as ``work`` raises it.
        """
        tries = 0
        while True:
            try:
                return await work()
            except Lost:
                left = until - asyncio.get_running_loop().time()
                if left <= 0 or self.closed:
                    raise
                await self.pause(min(left, _RETRY.delay(tries)))
                tries += 1

    async def pause(self, seconds: float) -> None:
        """Return after that time, or when it is connected again."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    # ---------------------------------------------------------------- what nats-py tells

    async def _on_answer(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2]
        if token not in self._asked:
            return
        answer, until = self._asked[token]
        if answer.cancelled():  # whoever asked has yet to learn of that, and may go on waiting
            answer = asyncio.get_running_loop().create_future()
            self._asked[token] = (answer, until)
        if not answer.done():
            answer.set_result(message)

    async def _on_pulled(self, message: Msg) -> None:
        self.on_delivery(message)

    async def _on_error(self, error: Exception) -> None:
        self.reason = in_words(error)
        _log.debug("NATS: %s", self.reason)
        if self._refused is not None and "authoriz" in str(error).lower():
            self._refused.set()
        if "permissions violation" in str(error).lower():
            self._lose_all(self.reason)  # the server does not say of which

    async def _on_disconnected(self) -> None:
        self._lose_all("the connection was lost")

    async def _on_reconnected(self) -> None:
        self._wake()
        self.on_back()

    async def _on_closed(self) -> None:
        """Connect anew: some errors, as an expired credential, make nats-py give up."""
        if not self.closed and self._refused is None:
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        tries = 0
        while True:
            await asyncio.sleep(_RETRY.ceiling(tries))
            tries += 1
            try:
                await self._connect()
            except (NatsError, OSError) as error:
                self.reason = in_words(error)
            else:
                await self._on_reconnected()
                return

    # ---------------------------------------------------------------- whether it is there

    def _sweep(self) -> None:
        """Give up on what was not answered in time."""
        now = asyncio.get_running_loop().time()
        for answer, until in self._asked.values():
            if until <= now:
                _lose(answer, "no answer in time")
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP, self._sweep) if self._asked else None

    def _lose_all(self, reason: str) -> None:
        for answer, _ in self._asked.values():
            _lose(answer, reason)
        if not self.closed:
            self._lost(reason)

    def _lost(self, reason: str, *, sent: bool = True) -> Lost:
        if self.away_since is None and not self.closed:
            self.away_since = asyncio.get_running_loop().time()
            _log.warning("NATS is away: %s", reason)
        self.reason = reason
        return Lost(reason, sent=sent)

    def _there(self) -> None:
        if self.away_since is not None:
            _log.info("NATS is back after %.1f s", asyncio.get_running_loop().time() - self.away_since)
            self.away_since = None
            self.reason = ""

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _lose(answer: asyncio.Future[Msg], reason: str) -> None:
    if not answer.done():
        answer.set_exception(Lost(reason))


def _as_coroutine(listener: Callable[[Msg], None]) -> Callable[[Msg], Awaitable[None]]:
    async def listen(message: Msg) -> None:
        listener(message)

    return listen
