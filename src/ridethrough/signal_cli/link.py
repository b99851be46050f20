"""SignalLink: the link to the daemon as a supervisor sees it, ready once the account is there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from anyio import create_task_group

from ..errors import AuthenticationFailed, LinkLost, Rejected
from ..jsonrpc import LocalProtocolError
from ..logs import get_logger
from .answers import ACCOUNT_MISSING, IO_ERROR, METHOD_NOT_FOUND, DaemonError, SendResult, all_failed, read_unknown
from .endpoints import Endpoint
from .inbox import Mailbox
from .judge import Judge
from .messages import SignalMessage

logger: logging.Logger = get_logger("signal_cli")

_UPLOAD_SPEED = 50_000
"""In bytes a second: who uploads an attachment more slowly than that is not waited for."""


class SignalLink:
    """A link to the daemon: connected on entering it with ``async with``, taken down on leaving.

    Args:
        endpoint: where the daemon listens.
        account: whose messages to send; None: of the only account there is.
        judge: tells what the answers lead to.
        mailbox: takes what comes in, once somebody wants it.
        response_timeout: for how long to wait for an answer, in seconds. A message with something to upload gets a
            second more for each 50,000 bytes.

    Attributes:
        number: the account's telephone number, once it is connected; None if the daemon was started for one account
            and nobody has named it.
    """

    def __init__(
        self, endpoint: Endpoint, account: str | None, judge: Judge, mailbox: Mailbox, response_timeout: float
    ) -> None:
        self.number: str | None = account
        self._endpoint = endpoint
        self._wanted = account
        self._account: dict[str, str] = {}  # how to name it to the daemon
        self._judge = judge
        self._mailbox = mailbox
        self._response_timeout = response_timeout

    async def __aenter__(self) -> Self:
        """Connect, and see that the account is there.

        Raises:
            OSError, LinkLost: the daemon does not listen, or answer, or the account is not there (yet).
            AuthenticationFailed: something on the way to the daemon refuses who we say we are.
            ValueError: the daemon has several accounts, and none was named.

        **Cancellation** leaves no connection.
        """
        self._connection = await self._endpoint.open(self._mailbox.deliver)
        self._tasks = create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._connection.read)
        try:
            await self._find_account()
        except BaseException:
            await self._take_down()
            raise
        self._tasks.start_soon(self._subscribe)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._take_down()

    async def _take_down(self) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)  # so that an error of the body is not wrapped in a group
        finally:
            await self._connection.aclose()

    async def send(self, message: SignalMessage) -> SendResult | None:
        """Send a message; see :meth:`ridethrough.abc.Link.send`."""
        self._judge.begin()
        reached = self._judge.wants_probe(message) and await self._probe(unsent=True)
        method, params = message.request(self.number)
        try:
            answer = await self._ask(method, params, message.upload_size / _UPLOAD_SPEED)
        except LocalProtocolError as error:
            raise Rejected(str(error)) from None
        failure = answer if isinstance(answer, DaemonError) else all_failed(answer)
        if failure is None:
            return self._judge.sent(message, answer)
        if unknown := read_unknown(failure, message.target):
            reached = reached or await self._probe(unsent=False)
            if not await self._is_unregistered(unknown):
                raise self._judge.not_looked_up(message.target)
        raise self._judge.failed(message.target, failure, reached=reached)

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """Call a method of the daemon, for the account.

        Returns:
            The result.

        Raises:
            DaemonError, LinkLost, LocalProtocolError, Rejected, AuthenticationFailed: see :class:`Connection`.

        **Cancellation** forgets the answer. The daemon may carry it out all the same.
        """
        return await self._connection.call(method, {**self._account, **params}, self._response_timeout)

    async def wait_closed(self) -> None:
        """Raise LinkLost, with what became of it, once the connection is gone. **Cancellation** changes nothing."""
        await self._connection.wait_closed()

    async def _subscribe(self) -> None:
        """Ask for what comes in, once somebody wants it."""
        await self._mailbox.wanted()
        try:
            await self._connection.subscribe(dict(self._account), self._response_timeout)
        except (DaemonError, Rejected, AuthenticationFailed) as error:
            logger.warning("the daemon does not let us receive: %s", error)
        except LinkLost as lost:
            logger.debug("the link was lost before it let us receive: %s", lost)

    # ---------------------------------------------------------------- asking

    async def _ask(self, method: str, params: Mapping[str, Any], more_time: float = 0.0) -> Any:
        """What the daemon answers: a result, or a DaemonError, which is returned.

        Raises:
            LinkLost: the link is gone, or the account is.
        """
        timeout = self._response_timeout + more_time
        answer = await self._answer(method, {**self._account, **params}, timeout)
        if isinstance(answer, DaemonError) and answer.code == ACCOUNT_MISSING:
            await self._find_account()  # which raises, unless it has just come back
            answer = await self._answer(method, {**self._account, **params}, timeout)
        return answer

    async def _answer(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        try:
            return await self._connection.call(method, params, timeout)
        except DaemonError as error:
            return error

    async def _find_account(self) -> None:
        """Learn how to name the account to the daemon, if that has it."""
        with _sending_nothing():
            answer = await self._answer("listAccounts", {}, self._response_timeout)
        if isinstance(answer, DaemonError) and answer.code == METHOD_NOT_FOUND:
            self._account = {}  # it was started for one account, and sends from that whatever it is told
            return
        if isinstance(answer, DaemonError):
            raise LinkLost(f"the daemon does not tell its accounts: {answer}", unsent=True)
        entries = answer if isinstance(answer, list) else []
        numbers = [entry.get("number") for entry in entries if isinstance(entry, dict)]
        known = [number for number in numbers if isinstance(number, str)]
        if self._wanted is None and len(known) > 1:
            raise ValueError(f"the daemon has {len(known)} accounts: account= must say which one to send from")
        number = known[0] if self._wanted is None and known else self._wanted
        if number not in known:
            raise LinkLost(f"the account is not there (the daemon has {len(known)} accounts)", unsent=True)
        self.number = number
        self._account = {"account": number}

    async def _probe(self, *, unsent: bool) -> bool:
        """Find out whether the daemon reaches Signal; see :meth:`Judge.probed`."""
        with _sending_nothing():
            answer = await self._ask("listDevices", {})
        return self._judge.probed(answer, unsent=unsent)

    async def _is_unregistered(self, who: Mapping[str, Any]) -> bool:
        """Whether somebody is not on Signal.

        The daemon says so of whom it has never sent to whenever it cannot look the number or the username up, as when
        Signal is away (measured on 0.13.19). Asked for just that, it tells the two apart.
        """
        with _sending_nothing():
            answer = await self._ask("getUserStatus", who)
        if isinstance(answer, DaemonError):
            return answer.code != IO_ERROR
        entries = answer if isinstance(answer, list) else []
        return not any(isinstance(entry, dict) and entry.get("isRegistered") is True for entry in entries)


@contextmanager
def _sending_nothing() -> Iterator[None]:
    """If the link is lost in here, no message is in doubt."""
    try:
        yield
    except LinkLost as lost:
        raise LinkLost(str(lost), unsent=True) from None
