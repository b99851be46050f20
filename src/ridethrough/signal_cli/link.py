"""SignalLink: the link to the daemon as a supervisor sees it, ready once the account is there."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from anyio import aclose_forcefully, create_task_group

from ..errors import LinkLost, Rejected
from ..jsonrpc import LocalProtocolError
from .answers import ACCOUNT_MISSING, IO_ERROR, METHOD_NOT_FOUND, DaemonError, Judge, SendResult, was_not_looked_up
from .connection import Connection
from .endpoints import Endpoint
from .messages import Target, TextMessage


class SignalLink:
    """A link to the daemon: connected on entering it with ``async with``, taken down on leaving.

    Args:
        endpoint: where the daemon listens.
        account: whose messages to send; None: of the only account there is.
        judge: tells what the answers lead to.
        response_timeout: for how long to wait for an answer, in seconds.
    """

    def __init__(self, endpoint: Endpoint, account: str | None, judge: Judge, response_timeout: float) -> None:
        self._endpoint = endpoint
        self._wanted = account
        self._account: dict[str, str] = {}
        self._judge = judge
        self._response_timeout = response_timeout

    async def __aenter__(self) -> Self:
        """Connect, and see that the account is there.

        Raises:
            OSError, LinkLost: the daemon does not listen, or answer, or the account is not there (yet).
            ValueError: the daemon has several accounts, and none was named.

        **Cancellation** leaves no connection.
        """
        self._stream = await self._endpoint.connect()
        self._connection = Connection(self._endpoint, self._stream)
        self._tasks = create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._connection.read)
        try:
            await self._find_account()
        except BaseException:
            await self._take_down()
            raise
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
            await aclose_forcefully(self._stream)

    async def send(self, message: TextMessage) -> SendResult:
        """Send a message; see :meth:`ridethrough.abc.Link.send`."""
        target = message.target
        try:
            answer = await self._call("send", {**self._account, **message.params()})
            if isinstance(answer, DaemonError) and answer.code == ACCOUNT_MISSING:
                await self._find_account()  # which raises, unless it has just come back
                answer = await self._call("send", {**self._account, **message.params()})
        except LocalProtocolError as error:
            raise Rejected(str(error)) from None
        if not isinstance(answer, DaemonError):
            return self._judge.sent(target, answer)
        if was_not_looked_up(answer) and not await self._is_unregistered(target):
            raise self._judge.not_looked_up(target)
        raise self._judge.failed(target, answer)

    async def wait_closed(self) -> None:
        """Raise LinkLost, with what became of it, once the connection is gone. **Cancellation** changes nothing."""
        await self._connection.wait_closed()

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        """What the daemon answers: a result, or a DaemonError, which is returned."""
        try:
            return await self._connection.call(method, params, self._response_timeout)
        except DaemonError as error:
            return error

    async def _ask(self, method: str, params: dict[str, Any]) -> Any:
        """Like :meth:`_call`, of what sends nothing: if the link is lost under it, no message is in doubt."""
        try:
            return await self._call(method, params)
        except LinkLost as lost:
            raise LinkLost(str(lost), unsent=True) from None

    async def _find_account(self) -> None:
        """Learn how to name the account to the daemon, if that has it."""
        answer = await self._ask("listAccounts", {})
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
        self._account = {"account": number}

    async def _is_unregistered(self, target: Target) -> bool:
        """Whether a target is not on Signal.

        The daemon says so of whom it has never sent to whenever it cannot look the number or the username up, as when
        Signal is away (measured on 0.13.19). Asked for just that, it tells the two apart.
        """
        answer = await self._ask("getUserStatus", {**self._account, **target.params()})
        if isinstance(answer, DaemonError):
            return answer.code != IO_ERROR
        entries = answer if isinstance(answer, list) else []
        return not any(isinstance(entry, dict) and entry.get("isRegistered") is True for entry in entries)
