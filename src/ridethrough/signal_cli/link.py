"""SignalLink: the link to the daemon as a supervisor sees it, ready once the account is there."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from anyio import aclose_forcefully, create_task_group

from ..errors import LinkLost, Rejected
from ..jsonrpc import LocalProtocolError
from .answers import ACCOUNT_MISSING, METHOD_NOT_FOUND, DaemonError, Judge, SendResult
from .connection import Connection
from .endpoints import Endpoint
from .messages import TextMessage


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
            self._account = await self._find_account()
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
        failure: DaemonError
        try:
            result = await self._connection.call("send", {**self._account, **message.params()}, self._response_timeout)
            return self._judge.sent(message.target, result)
        except LocalProtocolError as error:
            raise Rejected(str(error)) from None
        except DaemonError as error:
            failure = error
        if failure.code == ACCOUNT_MISSING:
            await self._find_account()
        raise self._judge.failed(message.target, failure)

    async def wait_closed(self) -> None:
        """Return once the connection is gone. **Cancellation** changes nothing."""
        await self._connection.wait_closed()

    async def _find_account(self) -> dict[str, str]:
        """The parameter that names the account, if the daemon has it."""
        try:
            answer = await self._connection.call("listAccounts", {}, self._response_timeout)
        except DaemonError as error:
            if error.code == METHOD_NOT_FOUND:
                return {}  # it was started for one account, and takes no other
            raise LinkLost(f"the daemon does not tell its accounts: {error}", unsent=True) from None
        entries = answer if isinstance(answer, list) else []
        numbers: list[Any] = [entry["number"] for entry in entries if isinstance(entry, dict) and "number" in entry]
        if self._wanted is not None and self._wanted in numbers:
            return {"account": self._wanted}
        if self._wanted is None and len(numbers) == 1:
            return {"account": numbers[0]}
        if self._wanted is None and numbers:
            raise ValueError(f"the daemon has {len(numbers)} accounts: account= must say which one to send from")
        raise LinkLost(f"the account is not there (the daemon has {len(numbers)} accounts)", unsent=True)
