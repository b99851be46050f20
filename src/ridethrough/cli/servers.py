"""An outbox on servers, which any machine can reach: as ``run`` sends from it, and as the others put and look."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from itertools import count
from logging import Logger
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

from anyio import TASK_STATUS_IGNORED, CancelScope, current_time, move_on_after, sleep_forever
from anyio.abc import TaskStatus

from ..abc import BufferStatistics, DeadLetter, Overflow
from ..delivery import Delivery
from ..errors import RidethroughError, StoreAway, StoreError, Undelivered, describe
from ..logs import get_logger
from ..signal_cli.codec import decode_message, encode_message, summarize
from ..signal_cli.messages import SignalMessage, target_of
from .address import Servers
from .exits import CommandFailed, UsageError
from .settings import Settings

if TYPE_CHECKING:
    from ..jetstream import JetStreamMessageBuffer
    from ..signal_cli import SignalClient

_TRY = 10.0
"""For how long ``run`` tries to reach the servers before it says so, in seconds; then it tries again."""
_ANSWER = 2.0
"""How long to wait for an answer that is nice to have, in seconds."""
_REFRESH = 1.0
"""How old may be what is shown of the servers, in seconds."""
_INSTEAD = {
    "waiting": "see what waits by: nats stream view {name}",
    "cancel": "take a message back by: nats stream rmm {name} ID",
    "forget": "erase a dead letter by: nats stream purge {name}-dead --subject {name}.dead.ID",
    "retry": "put it again by: ridethrough send",
}
"""What the command cannot do there, and what does it."""
logger: Logger = get_logger("cli")


def _make_buffer(servers: Servers, settings: Settings, **more: Any) -> JetStreamMessageBuffer[SignalMessage]:
    try:
        from ..jetstream import JetStreamMessageBuffer  # noqa: PLC0415, it comes with the extra
    except ImportError as error:
        raise UsageError(str(error)) from None
    options: dict[str, Any] = dict(servers.login)
    if settings.nats_creds is not None:
        _check(settings.nats_creds)
        options["user_credentials"] = str(settings.nats_creds)
    return JetStreamMessageBuffer(
        servers.addresses,
        servers.name,
        max_size=settings.max_size,
        ttl=settings.ttl,
        key=target_of,
        encode=encode_message,
        decode=decode_message,
        options=options,
        **more,
    )


def _check(creds: Path) -> None:
    if find_spec("nkeys") is None:
        raise UsageError("nats-creds needs nkeys: pip install 'nats-py[nkeys]'")
    try:
        content = creds.read_bytes()
    except OSError as error:
        raise UsageError(f"{creds} cannot be read: {error.strerror}") from None
    if not all(part in content for part in (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")):
        raise UsageError(f"{creds} holds no credentials of a user of NATS")


class SharedOutbox:
    """An outbox on servers that this process sends from, when it is its turn.

    Attributes:
        buffer: leads to the messages.
    """

    def __init__(self, buffer: JetStreamMessageBuffer[SignalMessage]) -> None:
        self.buffer: JetStreamMessageBuffer[SignalMessage] = buffer
        self._waiting = 0
        self._asked_at = -math.inf

    @property
    def trouble(self) -> str:
        """What keeps this from it, in a few words; empty: nothing."""
        return f"the servers are away: {self.buffer.reason}" if self.buffer.reason else ""

    async def serve(
        self, _: Callable[[], dict[str, Any]], *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        """Nothing, until cancelled: others put and look by way of the servers."""
        task_status.started()
        await sleep_forever()

    async def statistics(self) -> BufferStatistics:
        """Where the messages are: those of this machine, but for what waits, which is of all machines."""
        if current_time() - self._asked_at >= _REFRESH:
            await self._ask()
        now = self.buffer.statistics()
        return now._replace(queued=max(0, self._waiting - now.leased))

    async def _ask(self) -> bool:
        """Ask the servers how many messages there are; False: they do not answer."""
        self._asked_at = current_time()
        with suppress(StoreError), move_on_after(_ANSWER):
            self._waiting = await self.buffer.count()
            return True
        return False

    async def close(self, client: SignalClient[Any], _: Callable[[], CancelScope]) -> int | None:
        """Let go of it; returns how many messages are there, of all machines; None: nobody knows."""
        answered = await self._ask()
        await client.aclose()
        return self._waiting if answered else None


@asynccontextmanager
async def open_on_servers(
    servers: Servers, settings: Settings, on_undelivered: Callable[[Delivery[Any]], object]
) -> AsyncIterator[SharedOutbox]:
    """Reach the outbox there, for as long as it takes.

    Raises:
        AuthenticationFailed: the servers refuse who this is.
        StoreError: the outbox there is another than this asks for.
    """
    overflow = settings.overflow or Overflow.DROP_OLDEST
    async with AsyncExitStack() as stack:
        for attempt in count():
            buffer = _make_buffer(servers, settings, overflow=overflow, on_undelivered=on_undelivered, put_timeout=_TRY)
            if attempt == 0:
                logger.info("reaching %s", servers)
            try:
                await stack.enter_async_context(buffer)
                break
            except StoreAway as away:
                if attempt == 0:
                    logger.warning("%s: waiting for it", away)
        yield SharedOutbox(buffer)


class SharedClient:
    """A way into an outbox on servers for a command that does not send. It connects when that is needed.

    It is used like an :class:`~ridethrough.sqlite.client.OutboxClient`, and cannot do all that this can.

    Attributes:
        is_owner: whether nobody else has the outbox: never so.
    """

    is_owner = False

    def __init__(self, servers: Servers, settings: Settings) -> None:
        self._servers = servers
        self._settings = settings
        self._stack = AsyncExitStack()
        self._buffer: JetStreamMessageBuffer[SignalMessage] | None = None
        self._put_here: dict[int, Delivery[SignalMessage]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _connected(self) -> JetStreamMessageBuffer[SignalMessage]:
        if self._buffer is None:
            overflow = self._settings.overflow or Overflow.REJECT
            self._buffer = await self._stack.enter_async_context(
                _make_buffer(self._servers, self._settings, overflow=overflow)
            )
        return self._buffer

    async def put(
        self,
        *messages: SignalMessage,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[int]:
        """Put messages, one after the other, and return their numbers. The servers have them when it returns.

        Raises:
            CommandFailed: some of them were put, and it says which.
            RidethroughError: as the buffer's ``put``; none was put.
        """
        buffer = await self._connected()
        deliveries: list[Delivery[SignalMessage]] = []
        for message in messages:
            try:
                deliveries.append(await buffer.put(message, ttl=ttl, overflow=overflow))
            except RidethroughError as error:
                if not deliveries:
                    raise
                numbers = ", ".join(str(each.id) for each in deliveries)
                put = f"the first {len(deliveries)} of {len(messages)} are put, as {numbers}"
                raise CommandFailed(f"{error}; {put}") from error
        self._put_here = {delivery.id: delivery for delivery in deliveries}
        return [delivery.id for delivery in deliveries]

    async def request(self, method: str, **params: Any) -> Any:
        """Ask for ``wait``, of what was put here, ``status`` or ``dead_letters``, of which it gives all.

        Returns:
            Values of JSON, as the owner of an outbox on a disk would.

        Raises:
            UsageError: it is another method; the text says what to use.
            RidethroughError: as the buffer raises it.
        """
        if method in _INSTEAD:
            raise UsageError(f"{self._servers} is on servers: {_INSTEAD[method].format(name=self._servers.name)}")
        if method == "wait":
            return await self._wait(self._put_here[params["id"]])
        buffer = await self._connected()
        if method == "dead_letters":
            return [_shown(letter) for letter in await buffer.dead_letters()]
        statistics = buffer.statistics()._replace(queued=await buffer.count())
        dead_letters = len(await buffer.dead_letters())
        return {"statistics": statistics._asdict(), "max_size": buffer.max_size, "dead_letters": dead_letters}

    async def _wait(self, delivery: Delivery[SignalMessage]) -> dict[str, Any]:
        with suppress(Undelivered):
            await delivery
        attempts = {"attempts": delivery.attempts, "maybe_sent": delivery.maybe_sent}
        return {"outcome": delivery.outcome, "reason": delivery.reason, **attempts, "result": None}


def _shown(letter: DeadLetter) -> dict[str, Any]:
    try:
        summary = summarize(decode_message(letter.body))
    except ValueError as error:
        summary = {"error": f"cannot be decoded: {describe(error)}"}
    return {
        "id": letter.id,
        "attempts": letter.attempts,
        "maybe_sent": letter.maybe_sent,
        "outcome": letter.outcome,
        "reason": letter.reason,
        "ended_at": letter.ended_at,
        "summary": summary,
    }
