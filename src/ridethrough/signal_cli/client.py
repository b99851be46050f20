"""SignalClient: an async client for Signal through the signal-cli daemon."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from types import TracebackType
from typing import Any, Literal, Self, get_args

from anyio import CancelScope, create_task_group, fail_after

from ..abc import MessageBuffer
from ..backoff import Backoff
from ..buffer import AsyncMessageBuffer
from ..delivery import Delivery, Outcome
from ..errors import LinkLost, RidethroughError, Undelivered, check_seconds
from ..logs import get_logger
from ..sender import OnDoubt
from ..state import RUNNING, ConnectionState
from ..supervisor import ReconnectSupervisor
from .answers import SendResult
from .endpoints import parse_endpoint
from .envelopes import ReceiptStage
from .inbox import Confirmation, Inbox, Mailbox
from .judge import Hold, HoldReason, Judge, OnUntrusted
from .link import SignalLink
from .messages import ExpirationTimer, SignalMessage, size_of, target_of
from .outbox import B_co, SignalOutbox
from .service import ServiceStatus
from .targets import check_account, make_target, read_person

logger: Logger = get_logger("signal_cli")


class SignalClient(SignalOutbox[B_co]):
    """Sends and receives through Signal, by way of a signal-cli daemon that may come and go.

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
        endpoint: where the daemon listens: ``unix:/run/signal-cli.sock``, ``tcp://127.0.0.1:7583``, or with the extra
            ``http`` ``http://127.0.0.1:8080``, ``https://signal.example/``.
        account: the telephone number to send from; None: the only account that the daemon has. A daemon that was
            started for one account (``signal-cli -a``) sends from that, and there is no way to ask it which one it is.
        headers: what to send with each HTTP request, for a proxy that asks for authentication.
        buffer: holds the messages; by default one of 100 messages with the target as key. Give your own to choose its
            size, age, overflow policy and ``on_undelivered``, with ``key=target_of`` so that a pause for one target
            holds up no other, and with ``size_of=size_of`` if it has ``max_bytes``; or any other
            :class:`~ridethrough.abc.MessageBuffer`. It is closed with the client.
        shares_files: whether the daemon sees this machine's files: see :class:`SignalOutbox`.
        on_untrusted: what to do about a message for somebody whose safety number has changed; see
            :class:`OnUntrusted`.
        backoff: how long to wait after a failure: until the daemon is tried again, and while it cannot reach Signal.
        stable_after, max_outage, on_doubt, poison_after: see :class:`~ridethrough.ReconnectSupervisor`.
        response_timeout: for how long to wait for the daemon's answer, in seconds, before the connection is given up
            and the message is in doubt; what has to be uploaded first gets more. The daemon itself takes up to 40 s
            when Signal does not answer it; a shorter time here than a minute makes duplicates.
        close_timeout: for how long leaving ``async with`` goes on sending, in seconds; None: until all has gone.

    Attributes:
        buffer: what waits; see there for ``flush``, ``statistics`` and so on.
        supervisor: what keeps the link to the daemon; see there for ``state``, ``states`` and ``wait_connected``.
        service: the daemon's own link to Signal, as its answers tell of it.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
        ImportError: an HTTP endpoint without the extra ``http``.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        account: str | None = None,
        headers: Mapping[str, str] | None = None,
        buffer: B_co | AsyncMessageBuffer[SignalMessage] | None = None,
        shares_files: bool = False,
        on_untrusted: OnUntrusted | str = OnUntrusted.PARK,
        backoff: Backoff = Backoff(),  # noqa: B008, it is immutable
        stable_after: float = 30,
        max_outage: float | None = None,
        on_doubt: OnDoubt | str = OnDoubt.RETRY,
        poison_after: int | None = 5,
        response_timeout: float = 60.0,
        close_timeout: float | None = 10.0,
    ) -> None:
        where = parse_endpoint(endpoint, headers)
        check_account(account)
        check_seconds("response_timeout", response_timeout)
        check_seconds("close_timeout", close_timeout, zero=True, none=True)
        if buffer is None:
            buffer = AsyncMessageBuffer(key=target_of, size_of=size_of)
        elif not isinstance(buffer, MessageBuffer):
            raise TypeError(f"buffer must be a MessageBuffer or None, not {type(buffer).__name__}")
        super().__init__(buffer, shares_files=shares_files)
        self.service: ServiceStatus = ServiceStatus()
        self._judge = Judge(self.service, backoff, on_untrusted)
        self._mailbox = Mailbox(account)
        self._link: SignalLink | None = None  # the latest

        def connect() -> SignalLink:
            self._link = SignalLink(where, account, self._judge, self._mailbox, response_timeout)
            return self._link

        self.supervisor: ReconnectSupervisor[SignalMessage] = ReconnectSupervisor(
            connect,
            self.buffer,
            backoff=backoff,
            stable_after=stable_after,
            max_outage=max_outage,
            on_doubt=on_doubt,
            poison_after=poison_after,
        )
        self._endpoint = where
        self._response_timeout = response_timeout
        self._close_timeout = close_timeout
        self._starting = False  # the supervisor is about to run
        self._flush: CancelScope | None = None  # of what goes on sending before it closes
        self._mistake: Exception | None = None

    def __repr__(self) -> str:
        now = self.buffer.statistics()
        return f"<SignalClient {self._endpoint}, {self.supervisor.state}, {now.queued + now.leased} messages>"

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
        left: list[SignalMessage] = []
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

    # ---------------------------------------------------------------- receiving

    def messages(
        self, max_size: int = 1000, *, overflow: Literal["drop_oldest", "drop_newest"] = "drop_oldest"
    ) -> Inbox:
        """What comes in from now on, as an async iterator of :class:`Envelope` that ends when the client is closed.

        The daemon is asked for it once there is a link, and again with each new one. What comes while there is none may
        be lost, depending on how the daemon was started. Call it before ``async with`` to miss nothing of the first
        link. Each call makes an iterator of its own, which gets everything.

        Args:
            max_size: how many envelopes it keeps for a slow reader; an int of at least 1.
            overflow: what it gives up when it has more: ``"drop_oldest"`` or ``"drop_newest"``. Its ``dropped`` counts.

        Raises:
            TypeError, ValueError: naming the argument and what is allowed.
        """
        return self._mailbox.open_inbox(max_size, overflow)

    async def wait_receipt(
        self,
        delivery: Delivery[Any, SendResult],
        kind: ReceiptStage = "delivery",
        *,
        timeout: float | None = None,
    ) -> Confirmation:
        """Wait until a message was sent, and a receipt has told that it got as far as ``kind`` says.

        Args:
            delivery: what ``send`` returned for it.
            kind: ``"delivery"``, ``"read"`` or ``"viewed"``. What was read was delivered, and what was viewed was read.
            timeout: for how long, in seconds; None: as long as it takes. People can switch receipts off, and those that
                come while there is no link may be lost: without a timeout this may wait for ever.

        Returns:
            Who has told so, and when. Of a message to a group, the first who has.

        Raises:
            TimeoutError: time is up.
            Undelivered: the message was not sent.
            LookupError: another host has sent it, and its result is not known here.
            BufferClosed: the client was closed, so nothing more comes.
            TypeError, ValueError: naming the argument and what is allowed.

        **Cancellation** changes nothing.
        """
        check_seconds("timeout", timeout, zero=True, none=True)
        if not isinstance(delivery, Delivery) or isinstance(delivery.message, ExpirationTimer):
            raise TypeError("delivery must be the Delivery of a message, as send returns it")
        if kind not in get_args(ReceiptStage):
            raise ValueError(f"kind must be 'delivery', 'read' or 'viewed', not {kind!r}")
        with fail_after(timeout):
            result = await delivery
            if delivery.outcome is Outcome.DRAINED:
                raise Undelivered(Outcome.DRAINED, "")
            if not isinstance(result, SendResult):
                raise LookupError("another host has sent the message, and its result is not known here")
            # Anybody who knows the timestamp could make a receipt up: only those count whom the message went to.
            of = {address for each in result.results for address in (each.uuid, each.number) if address is not None}
            return await self._mailbox.wait_receipt(result.timestamp, kind, of=of)

    # ---------------------------------------------------------------- the daemon

    async def call(self, method: str, /, **params: Any) -> Any:
        """Call any method of the daemon at once, over the link that there is. Nothing is kept or tried again.

        Args:
            method: what to call, such as ``"listGroups"``.
            params: its parameters in the daemon's own names; the account is added. The daemon ignores what it does not
                know.

        Returns:
            The result, as JSON.

        Raises:
            DaemonError: the answer is an error.
            LinkLost: there is no link, or it is gone before there was an answer; ``unsent`` if nothing has left.
            LocalProtocolError, Rejected: this cannot be sent.
            AuthenticationFailed: a proxy refuses who we say we are.

        **Cancellation** forgets the answer. The daemon may carry it out all the same.
        """
        if self._link is None or self.supervisor.state is not ConnectionState.CONNECTED:
            raise LinkLost("there is no link to the daemon", unsent=True)
        return await self._link.call(method, params)

    async def typing(self, *, to: str | None = None, group: str | None = None, stop: bool = False) -> bool:
        """Show that a message is being typed, for some 15 s; or that it is not any more. Never kept for later.

        Args:
            to, group: the conversation, as in :meth:`send`; exactly one of the two.
            stop: True for not any more.

        Returns:
            Whether the daemon has told them. False without a link, or if it could not.

        Raises:
            TypeError, ValueError: naming the argument and what is allowed.

        **Cancellation** forgets the answer.
        """
        target = make_target(to=to, group=group)
        try:
            await self.call("sendTyping", **target.params(), **({"stop": True} if stop else {}))
        except RidethroughError:
            return False
        return True

    # ---------------------------------------------------------------- what holds messages up

    def holds(self) -> tuple[Hold, ...]:
        """Whose messages are held up at the moment, why, and until when."""
        return self._judge.holds()

    def retry_now(self) -> None:
        """Try at once whatever waits for a time to come: the link, Signal behind it, and everybody who is held up."""
        self.supervisor.retry_now()
        self.buffer.resume()

    async def trust(self, person: str, *, safety_number: str | None = None) -> None:
        """Trust somebody's new identity, and go on with the messages that it holds up.

        Args:
            person: a telephone number or an account's UUID.
            safety_number: the number of 60 digits that was compared with theirs; None: trust whatever Signal says.

        Raises:
            DaemonError, LinkLost: see :meth:`call`.
            TypeError, ValueError: naming the argument and what is allowed.

        **Cancellation** forgets the answer.
        """
        address = read_person("person", person)
        how = {"trustAllKnownKeys": True} if safety_number is None else {"verifiedSafetyNumber": safety_number}
        await self.call("trust", recipient=address, **how)
        # A message for somebody else may wait for this person: for a group, or for another address of theirs.
        self._go_on(HoldReason.UNTRUSTED)

    async def submit_challenge(self, token: str, captcha: str) -> None:
        """Answer a CAPTCHA, and go on with the messages that it holds up.

        Args:
            token: the ``token`` of the :class:`Hold`.
            captcha: what solving it has given, beginning with ``signalcaptcha://``.

        Raises:
            DaemonError, LinkLost: see :meth:`call`.

        **Cancellation** forgets the answer.
        """
        await self.call("submitRateLimitChallenge", challenge=token, captcha=captcha)
        self._go_on(HoldReason.CAPTCHA)

    def _go_on(self, reason: HoldReason) -> None:
        """Try again at once what is held up for that reason."""
        if held_up := self._judge.release(reason):
            self.buffer.resume(*held_up)  # without any, it would resume everything

    # ---------------------------------------------------------------- the end

    async def aclose(self, timeout: float | None = 0) -> list[SignalMessage]:
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
        left: list[SignalMessage] = []
        if self._starting or self.supervisor.state in RUNNING:
            with CancelScope() as self._flush:
                left = await self.buffer.aclose(timeout)
        left += await self.buffer.aclose()
        try:
            with CancelScope(shield=True):  # to take the link down, which waits for nobody
                await self.supervisor.aclose()
        finally:  # asyncio's own cancellation knows no shield
            self._mailbox.close()
            self.service.end()
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
