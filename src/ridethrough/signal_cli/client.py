"""SignalClient: an async client for Signal through the signal-cli daemon."""

from __future__ import annotations

from logging import Logger
from types import EllipsisType, TracebackType
from typing import Self, cast

from anyio import CancelScope, create_task_group

from ..backoff import Backoff
from ..buffer import AsyncMessageBuffer
from ..delivery import Delivery
from ..errors import check_seconds
from ..intake import Overflow
from ..logs import get_logger
from ..sender import OnDoubt
from ..state import RUNNING, ConnectionState
from ..supervisor import ReconnectSupervisor
from .answers import Judge, SendResult
from .endpoints import parse_endpoint
from .link import SignalLink
from .messages import Target, TextMessage, check_account, make_target

logger: Logger = get_logger("signal_cli")


def target_of(message: TextMessage) -> Target:
    """The key of a message in its buffer: whom it goes to."""
    return message.target


class SignalClient:
    """Sends through Signal, by way of a signal-cli daemon that may come and go.

    ::

        async with SignalClient("tcp://127.0.0.1:7583", account="+15550100200") as client:
            delivery = await client.send("The build is green.", to="+15550100300")
            print((await delivery).timestamp)

    Every message goes through the buffer, connected or not, and is sent in the order in which it was put, one at a
    time: the daemon scrambles what is sent at once. The link is made, and made again, in the background.

    Leaving ``async with`` goes on sending for at most ``close_timeout`` seconds and then closes; if it is left by an
    exception, it closes at once. An error that is no matter of the link, such as a daemon with several accounts and no
    ``account``, ends the block, and ``async with`` raises it.

    Args:
        endpoint: where the daemon listens: ``unix:/run/signal-cli.sock`` or ``tcp://127.0.0.1:7583``.
        account: the telephone number to send from; None: the only account that the daemon has. A daemon that was
            started for one account (``signal-cli -a``) sends from that, and there is no way to ask it which one it is.
        buffer: holds the messages; by default one of 100 messages with the target as key. Give your own to choose its
            size, age, overflow policy and ``on_undelivered``, with ``key=target_of`` so that a pause for one target
            holds up no other. It is closed with the client.
        backoff: how long to wait after a failure: until the daemon is tried again, and while it cannot reach Signal.
        stable_after, max_outage, on_doubt, poison_after: see :class:`~ridethrough.ReconnectSupervisor`.
        response_timeout: for how long to wait for the daemon's answer, in seconds, before the connection is given up
            and the message is in doubt. The daemon itself takes up to 40 s when Signal does not answer it; a shorter
            time here than a minute makes duplicates.
        close_timeout: for how long leaving ``async with`` goes on sending, in seconds; None: until all has gone.

    Attributes:
        buffer: what waits; see there for ``flush``, ``statistics`` and so on.
        supervisor: what keeps the link; see there for ``state``, ``states``, ``wait_connected`` and ``retry_now``.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        account: str | None = None,
        buffer: AsyncMessageBuffer[TextMessage] | None = None,
        backoff: Backoff = Backoff(),  # noqa: B008, it is immutable
        stable_after: float = 30,
        max_outage: float | None = None,
        on_doubt: OnDoubt | str = OnDoubt.RETRY,
        poison_after: int | None = 5,
        response_timeout: float = 60.0,
        close_timeout: float | None = 10.0,
    ) -> None:
        where = parse_endpoint(endpoint)
        check_account(account)
        check_seconds("response_timeout", response_timeout)
        check_seconds("close_timeout", close_timeout, zero=True, none=True)
        if buffer is not None and not isinstance(buffer, AsyncMessageBuffer):
            raise TypeError(f"buffer must be an AsyncMessageBuffer or None, not {type(buffer).__name__}")
        judge = Judge(backoff)
        self.buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer(key=target_of) if buffer is None else buffer
        self.supervisor: ReconnectSupervisor[TextMessage] = ReconnectSupervisor(
            lambda: SignalLink(where, account, judge, response_timeout),
            self.buffer,
            backoff=backoff,
            stable_after=stable_after,
            max_outage=max_outage,
            on_doubt=on_doubt,
            poison_after=poison_after,
        )
        self._endpoint = where
        self._close_timeout = close_timeout
        self._starting = False  # the supervisor is about to run
        self._flush: CancelScope | None = None  # of what goes on sending before it closes
        self._mistake: Exception | None = None

    def __repr__(self) -> str:
        return f"<SignalClient {self._endpoint}, {self.supervisor.state}, {len(self.buffer)} messages>"

    async def __aenter__(self) -> Self:
        if self._starting or self.supervisor.state is not ConnectionState.IDLE:
            raise RuntimeError("a client is entered once, and not after it was closed; make another one")
        self._tasks = create_task_group()
        await self._tasks.__aenter__()
        self._starting = True
        self._tasks.start_soon(self._run)
        self._body = CancelScope()
        self._body.__enter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._body.__exit__(exc_type, exc, traceback)
        left: list[TextMessage] = []
        try:
            left = await self.aclose(self._close_timeout if exc is None else 0)
        except BaseException:  # cancelled while it went on sending
            left = await self.aclose()
            raise
        finally:
            if left:
                logger.warning("closed with %d messages that were not sent", len(left))
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)  # so that an error of the body is not wrapped in a group
        if self._mistake is not None:
            raise self._mistake from self._mistake.__cause__  # and not from the cancellation that it led to

    async def send(
        self,
        text: str,
        *,
        to: str | None = None,
        group: str | None = None,
        username: str | None = None,
        note_to_self: bool = False,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> Delivery[TextMessage, SendResult]:
        """Put a text into the buffer, to be sent in its turn.

        Args:
            text: what to send.
            to: a telephone number such as ``+15550100200``, or an account's UUID.
            group: a group's id in base64.
            username: a username with its number, such as ``anna.42``.
            note_to_self: True for one's own account. Exactly one of these four must be given.
            ttl: after how many seconds it is not worth sending any more; None: never. By default the buffer's.
            overflow: what to do if the buffer is full. By default as the buffer says.

        Returns:
            The message's fate: await it for the :class:`SendResult`, whose ``timestamp`` is its identity on Signal.

        Raises:
            TypeError, ValueError: a bad argument; nothing was put.
            BufferFull, BufferClosed, MessageTooLarge: see :meth:`~ridethrough.AsyncMessageBuffer.put`.

        **Cancellation.** If it raises a cancellation, the message was not put.
        """
        target = make_target(to=to, group=group, username=username, note_to_self=note_to_self)
        delivery = await self.buffer.put(TextMessage(target, text), ttl=ttl, overflow=overflow)
        return cast("Delivery[TextMessage, SendResult]", delivery)

    async def aclose(self, timeout: float | None = 0) -> list[TextMessage]:
        """Take no more, go on sending for at most that long, and close. Closing it twice is closing it once.

        Args:
            timeout: for how long to go on sending, in seconds; None: until all has gone. Once no link is kept any more
                (suspended, say) nothing is waited for.

        Returns:
            The messages that were not sent, in order; they have ended ABANDONED.

        Raises:
            TypeError, ValueError: what is no timeout.

        **Cancellation.** If it raises a cancellation while it goes on sending, the client is as open as before. Later,
        while the link is taken down, it is too late to call it back: the client closes all the same.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        left: list[TextMessage] = []
        if self._starting or self.supervisor.state in RUNNING:
            with CancelScope() as self._flush:
                left = await self.buffer.aclose(timeout)
        left += await self.buffer.aclose()
        with CancelScope(shield=True):  # to take the link down, which waits for nobody
            await self.supervisor.aclose()
        return left

    async def _run(self) -> None:
        self._starting = False
        if self.supervisor.state is ConnectionState.CLOSED:
            return  # before this has begun
        try:
            await self.supervisor.run()
        except Exception as error:  # raised on leaving, so that the task group does not wrap it
            self._mistake = error
            self._body.cancel()
        if self._flush is not None:
            self._flush.cancel()
