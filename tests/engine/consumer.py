"""MemoryConsumer: hands the messages of a stream out, one at a time, and again until they are acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from .message import Message
from .stream import MemoryStream

_NANO = 1_000_000_000

Send = Callable[["Message", str], None]
"""Called with a message, and with where it goes."""


class _Request:
    """Somebody waits to be handed a message."""

    def __init__(self, reply: str, timers: list[asyncio.TimerHandle]) -> None:
        self.reply = reply
        self.timers = timers

    def end(self) -> None:
        for timer in self.timers:
            timer.cancel()


class MemoryConsumer:
    """A durable pull consumer with ``max_ack_pending=1``, whatever its configuration says.

    Args:
        stream: whose messages it hands out.
        config: as it was asked for.
        send: sends something to a subject.
        listens: whether anybody listens to a subject.

    Attributes:
        handed_out_at: when each message was, on the loop's clock, by where to say what became of it.
    """

    def __init__(
        self, stream: MemoryStream, config: dict[str, Any], send: Send, listens: Callable[[str], bool]
    ) -> None:
        self.config = config
        self._stream = stream
        self._send = send
        self._listens = listens
        self.handed_out_at: dict[str, float] = {}
        self._requests: list[_Request] = []
        self._handed_out = 0  # the number of the last message that was, for the first time
        self._deliveries = 0  # of all messages together
        self._pending: int | None = None  # the number of the message that is out
        self._times: dict[int, int] = {}  # how often each was handed out
        self._again = False  # it is to be handed out again
        self._timer: asyncio.TimerHandle | None = None
        stream.on_removed.append(self._was_removed)

    @property
    def info(self) -> dict[str, Any]:
        """As JetStream describes it."""
        out = self._pending is not None
        return {
            "stream_name": self._stream.config["name"],
            "name": self.config["durable_name"],
            "config": self.config,
            "delivered": {"consumer_seq": self._deliveries, "stream_seq": self._handed_out},
            "num_ack_pending": int(out),
            "num_redelivered": int(out and self._times[self._pending or 0] > 1),
            "num_waiting": len(self._requests),
            "num_pending": self._left(),
        }

    def _left(self) -> int:
        return self._stream.count(self._handed_out + 1, self.config["filter_subject"])

    # ---------------------------------------------------------------- who waits

    def pull(self, reply: str, asked: dict[str, Any]) -> None:
        """Somebody asks to be handed the next message."""
        loop = asyncio.get_running_loop()
        request = _Request(reply, [])
        if expires := asked.get("expires"):
            request.timers.append(loop.call_later(expires / _NANO, self._give_up, request))
        if heartbeat := asked.get("idle_heartbeat"):
            request.timers.append(loop.call_later(heartbeat / _NANO, self._beat, request, heartbeat / _NANO))
        self._requests.append(request)
        self.look()

    def _beat(self, request: _Request, every: float) -> None:
        if not self._listens(request.reply):
            self._forget(request)
            return
        self._say(request, "100")
        request.timers[-1] = asyncio.get_running_loop().call_later(every, self._beat, request, every)

    def _give_up(self, request: _Request) -> None:
        self._forget(request)
        self._say(request, "408")

    def _say(self, request: _Request, status: str) -> None:
        self._send(Message(request.reply, "", b"", {"Status": status}), request.reply)

    def _forget(self, request: _Request) -> None:
        request.end()
        self._requests.remove(request)

    def forget_requests(self, status: str = "") -> None:
        """Another server leads now: it knows of nobody who waits; those are told so, or not."""
        for request in self._requests:
            request.end()
            if status:
                self._say(request, status)
        self._requests.clear()

    # ---------------------------------------------------------------- handing out

    def look(self) -> None:
        """Hand out what can be, if somebody waits for it."""
        while self._requests and not self._listens(self._requests[0].reply):
            self._forget(self._requests[0])
        if not self._requests:
            return
        if self._pending is None:
            message = self._stream.next(self._handed_out + 1, self.config["filter_subject"])
            if message is None:
                return
            self._pending = self._handed_out = message.number
        elif self._again:
            message = self._stream.messages[self._pending]
        else:
            return
        request = self._requests[0]
        self._forget(request)
        self._again = False
        self._deliveries += 1
        self._times[message.number] = times = self._times.get(message.number, 0) + 1
        self._wait(self.config["ack_wait"] / _NANO)
        name, consumer = self._stream.config["name"], self.config["durable_name"]
        reply = f"$JS.ACK.{name}.{consumer}.{times}.{message.number}.{self._deliveries}.0.{self._left()}"
        self.handed_out_at[reply] = asyncio.get_running_loop().time()
        self._send(Message(message.subject, reply, message.data, message.headers), request.reply)

    def _wait(self, seconds: float) -> None:
        """Take the message for lost if nothing is said of it for that long."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._again = True
        self.look()

    # ---------------------------------------------------------------- what is said of it

    def hear(self, number: int, text: bytes) -> None:
        """Something is said of a message, by whoever had it once: JetStream does not ask who has it now."""
        if number != self._pending:
            return
        if text == b"+ACK":
            self._stream.remove(number)
        elif text == b"+WPI":
            if not self._again:
                self._wait(self.config["ack_wait"] / _NANO)
        elif text.startswith(b"-NAK"):
            delay = json.loads(text[4:])["delay"] / _NANO if len(text) > 4 else 0
            if delay:
                self._again = False
                self._wait(delay)
            else:
                self._again = True
                self.look()

    def _was_removed(self, number: int) -> None:
        self._times.pop(number, None)
        if number == self._pending:
            self._pending = None
            self._again = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            asyncio.get_running_loop().call_soon(self.look)
