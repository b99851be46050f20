"""An outbox on servers, which any machine can reach: as ``run`` sends from it, and as the others put and look."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
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
from ..errors import RidethroughError, StoreAway, StoreError, StoreGone, Undelivered, describe
from ..logs import get_logger
from ..signal_cli.codec import decode_message, decode_result, encode_message, encode_result, summarize
from ..signal_cli.messages import SignalMessage, target_of
from .address import Servers
from .exits import CommandFailed, UsageError
from .settings import MAX_SIZE, Settings

if TYPE_CHECKING:
    from ..jetstream import JetStreamMessageBuffer, WaitingMessage
    from ..signal_cli import SignalClient

    _Buffer = JetStreamMessageBuffer[SignalMessage]

_TRY = 10.0
"""For how long ``run`` tries to reach the servers before it says so, in seconds; then it tries again."""
_ANSWER = 2.0
"""How long to wait for an answer that is nice to have, in seconds."""
_REFRESH = 1.0
"""How old may be what is shown of the servers, in seconds."""
logger: Logger = get_logger("cli")


def _maker(servers: Servers, settings: Settings, **terms: Any) -> Callable[..., _Buffer]:
    """What makes the buffer, as it is asked for.

    Raises:
        UsageError: it cannot be made: something is not installed, or the credentials are none.
    """
    try:
        from ..jetstream import JetStreamMessageBuffer  # noqa: PLC0415, it comes with the extra
    except ImportError as error:
        raise UsageError(str(error)) from None
    options: dict[str, Any] = dict(servers.login)
    if settings.nats_creds is not None:
        _check(settings.nats_creds)
        options["user_credentials"] = str(settings.nats_creds)
    return partial(
        JetStreamMessageBuffer[SignalMessage],
        servers.addresses,
        servers.name,
        ttl=settings.ttl,
        key=target_of,
        encode=encode_message,
        decode=decode_message,
        encode_result=encode_result,
        decode_result=decode_result,
        options=options,
        **terms,
    )


async def _enter(
    stack: AsyncExitStack, make: Callable[..., _Buffer], settings: Settings, *, create: bool
) -> tuple[_Buffer, bool]:
    """Enter the outbox there, whatever its size, if nobody has said that; also tells whether it was made now.

    Raises:
        StoreGone: there is none, and it is not to be made.
        StoreError, AuthenticationFailed: as the buffer raises them.
    """
    try:
        return await stack.enter_async_context(make(create=False, max_size=settings.max_size)), False
    except StoreGone:
        if not create:
            raise
    return await stack.enter_async_context(make(max_size=settings.max_size or MAX_SIZE)), True


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

    def __init__(self, buffer: _Buffer) -> None:
        self.buffer: _Buffer = buffer
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
    make = _maker(servers, settings, overflow=overflow, on_undelivered=on_undelivered, put_timeout=_TRY)
    async with AsyncExitStack() as stack:
        for attempt in count():
            if attempt == 0:
                logger.info("reaching %s", servers)
            try:
                buffer, _ = await _enter(stack, make, settings, create=True)
                break
            except StoreAway as away:
                if attempt == 0:
                    logger.warning("%s: waiting for it", away)
        yield SharedOutbox(buffer)


class SharedClient:
    """A way into an outbox on servers for a command that does not send. It connects when that is needed.

    It is used like an :class:`~ridethrough.sqlite.client.OutboxClient`.

    Args:
        servers, settings: where the outbox is, and what else was asked for.
        create: whether to make it if it is missing.

    Attributes:
        is_owner: whether nobody else has the outbox: never so.
        made: whether it was made now.
    """

    is_owner = False

    def __init__(self, servers: Servers, settings: Settings, *, create: bool) -> None:
        self.made: bool = False
        self._servers = servers
        self._settings = settings
        self._create = create
        self._stack = AsyncExitStack()
        self._buffer: _Buffer | None = None
        self._put_here: dict[int, Delivery[SignalMessage]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _connected(self) -> _Buffer:
        if self._buffer is None:
            make = _maker(self._servers, self._settings, overflow=self._settings.overflow or Overflow.REJECT)
            try:
                self._buffer, self.made = await _enter(self._stack, make, self._settings, create=self._create)
            except StoreGone as gone:
                raise CommandFailed(f"there is no outbox {self._servers}: {gone}") from gone
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
        """Ask for something, as an owner of an outbox on a disk is asked; ``wait`` only of what was put here.

        Returns:
            Values of JSON, likewise; of ``waiting`` and ``dead_letters`` all that there are.

        Raises:
            LookupError: ``retry`` of what is no dead letter.
            RidethroughError: as the buffer raises it.
        """
        buffer = await self._connected()
        match method:
            case "wait":
                return await _fate(self._put_here[params["id"]])
            case "waiting":
                return [_shown(message) for message in await buffer.waiting()]
            case "dead_letters":
                return [_letter(letter) for letter in await buffer.dead_letters()]
            case "retry":
                return {"ids": [delivery.id for delivery in await buffer.put_again(*params["ids"])]}
            case "cancel":
                return {"cancelled": [number for number in params["ids"] if await buffer.cancel(number)]}
            case "forget":
                return {"forgotten": await buffer.forget(*params["ids"])}
        assert method == "status"
        statistics = buffer.statistics()._replace(queued=await buffer.count())
        dead_letters = len(await buffer.dead_letters())
        return {"statistics": statistics._asdict(), "max_size": buffer.max_size, "dead_letters": dead_letters}


async def _fate(delivery: Delivery[SignalMessage]) -> dict[str, Any]:
    result = None
    with suppress(Undelivered):
        result = await delivery
    attempts = {"attempts": delivery.attempts, "maybe_sent": delivery.maybe_sent}
    result = None if result is None else asdict(result)
    return {"outcome": delivery.outcome, "reason": delivery.reason, **attempts, "result": result}


def _shown(message: WaitingMessage | DeadLetter) -> dict[str, Any]:
    try:
        summary = summarize(decode_message(message.body))
    except ValueError as error:
        summary = {"error": f"cannot be decoded: {describe(error)}"}
    return {"id": message.id, "attempts": message.attempts, "maybe_sent": message.maybe_sent, "summary": summary}


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {**_shown(letter), "outcome": letter.outcome, "reason": letter.reason, "ended_at": letter.ended_at}
