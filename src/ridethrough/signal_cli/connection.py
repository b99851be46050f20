"""Connection: one connection to the daemon, whatever it runs over; and LineConnection, over a stream of lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    Lock,
    aclose_forcefully,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.abc import SocketStream

from ..errors import LinkLost
from ..jsonrpc import ClientProtocol, Error, Notification, RemoteProtocolError, Result
from ..jsonrpc import Event as ProtocolEvent
from .answers import DaemonError

OnReceive = Callable[[dict[str, Any]], object]
"""Told of each incoming message: the params of a ``receive`` notification. It must not raise."""


class Connection(ABC):
    """A connection to the daemon, from ``await endpoint.open(on_receive)`` on. :meth:`read` runs while it is in use."""

    @abstractmethod
    async def call(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        """Send a request and wait for its answer.

        Args:
            method: what to call.
            params: its parameters by name.
            timeout: for how long, in seconds. When time is up, the connection is of no more use.

        Returns:
            The result.

        Raises:
            DaemonError: the answer is an error.
            LinkLost: the connection is gone, or time is up; ``unsent`` if nothing of the request has left.
            LocalProtocolError: the request cannot be sent, over whatever connection.
            Rejected: something on the way to the daemon does not let a request of this size through (only over HTTP).
            AuthenticationFailed: something on the way to the daemon refuses who we say we are (only over HTTP).

        **Cancellation** forgets the answer. The daemon may carry the request out all the same.
        """

    @abstractmethod
    async def subscribe(self, params: dict[str, Any], timeout: float) -> None:
        """Ask for incoming messages, which then go to ``on_receive`` for as long as the connection lives.

        Args:
            params: which account's; as for :meth:`call`.
            timeout: for how long to wait for the answer, in seconds. Over HTTP it takes its own time, up to 45 s.

        Raises:
            DaemonError, Rejected, AuthenticationFailed: there are none to be had; the connection is as good as before.
            LinkLost: the connection is gone, or time is up.

        **Cancellation**: perhaps it was asked for, perhaps not.
        """

    @abstractmethod
    async def read(self) -> None:
        """Take in what comes, and return when the connection is gone. **Cancellation** ends the connection."""

    @abstractmethod
    async def wait_closed(self) -> NoReturn:
        """Raise LinkLost, with what became of it, once the connection is gone. **Cancellation** changes nothing."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close it at once, with what is under way. Closing it twice is closing it once.

        **Cancellation**: it is closed all the same.
        """


class _Call:
    """A request under way: answered once there is an answer, or there will be none."""

    __slots__ = ("answer", "answered", "begun")

    def __init__(self) -> None:
        self.answered = Event()
        self.answer: Result | Error | None = None
        self.begun = False  # whether some of it may have left


class LineConnection(Connection):
    """A connection over a stream of lines, a message each.

    Args:
        stream: a stream that has just been connected; the connection's own from now on.
        after_read: called with the stream after each read.
        on_receive: told of incoming messages.
    """

    def __init__(
        self, stream: SocketStream, after_read: Callable[[SocketStream], object], on_receive: OnReceive
    ) -> None:
        self._stream = stream
        self._after_read = after_read
        self._on_receive = on_receive
        self._protocol = ClientProtocol()
        self._calls: dict[int, _Call] = {}
        self._writing = Lock()
        self._closed = Event()
        self._reason = ""

    async def call(self, method: str, params: dict[str, Any], timeout: float) -> Any:
        if self._closed.is_set():
            raise LinkLost(self._reason, unsent=True)
        request_id, line = self._protocol.request(method, params)
        call = self._calls[request_id] = _Call()
        try:
            with move_on_after(timeout):
                await self._write(call, line)
                await call.answered.wait()
        finally:
            del self._calls[request_id]
            self._protocol.forget(request_id)
        if not call.answered.is_set():
            self._end(f"no answer within {timeout:g} s")
        if call.answer is None:
            raise LinkLost(self._reason, unsent=not call.begun)
        if isinstance(call.answer, Error):
            raise DaemonError(call.answer.code, call.answer.message, call.answer.data)
        return call.answer.value

    async def subscribe(self, params: dict[str, Any], timeout: float) -> None:
        await self.call("subscribeReceive", params, timeout)

    async def read(self) -> None:
        reason = "the daemon has closed the connection"
        try:
            while True:
                data = await self._stream.receive()
                self._after_read(self._stream)
                for event in self._protocol.receive_data(data):
                    self._dispatch(event)
        except EndOfStream:
            pass
        except (BrokenResourceError, ClosedResourceError):
            reason = "the connection broke"
        except RemoteProtocolError as error:
            reason = f"the daemon does not speak JSON-RPC: {error}"
        finally:
            self._end(reason)

    async def wait_closed(self) -> NoReturn:
        await self._closed.wait()
        raise LinkLost(self._reason)

    async def aclose(self) -> None:
        self._end("the connection was closed")
        await aclose_forcefully(self._stream)

    async def _write(self, call: _Call, line: bytes) -> None:
        async with self._writing:
            if self._closed.is_set():
                return  # while this waited for its turn, perhaps in the middle of another line
            call.begun = True
            try:
                await self._stream.send(line)
            except (BrokenResourceError, ClosedResourceError):
                self._end("the connection broke")
            except get_cancelled_exc_class():
                self._end("a request was given up in the middle of its line")
                raise

    def _dispatch(self, event: ProtocolEvent) -> None:
        if isinstance(event, Notification):
            if event.method == "receive":
                self._on_receive(event.params)
            return
        if event.id is None:
            raise RemoteProtocolError("it could not read a request")
        call = self._calls[event.id]
        call.answer = event
        call.answered.set()

    def _end(self, reason: str) -> None:
        if not self._closed.is_set():
            self._reason = reason
            self._closed.set()
            for call in self._calls.values():
                call.answered.set()
