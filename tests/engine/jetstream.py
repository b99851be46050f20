"""JetStream: the subjects of its interface that the shared buffer uses, answered as the real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from .consumer import MemoryConsumer
from .message import Message
from .stream import ApiError, MemoryStream, shown
from .weather import Weather

_NO_STREAM = (404, 10059, "stream not found")
_NO_CONSUMER = (404, 10014, "consumer not found")
_NO_MESSAGE = (404, 10037, "no message found")
_UNSURE = (503, 10008, "JetStream system temporarily unavailable")


class JetStream:
    """Streams, and their consumers.

    Args:
        weather: whether anybody leads, and what is lost.
        deliver: sends a message to who listens to a subject.
        listens: whether anybody listens to a subject.

    Attributes:
        streams: by their names.
        consumers: by the names of their streams and their own.
    """

    def __init__(
        self, weather: Weather, deliver: Callable[[Message, str], bool], listens: Callable[[str], bool]
    ) -> None:
        self.streams: dict[str, MemoryStream] = {}
        self.consumers: dict[tuple[str, str], MemoryConsumer] = {}
        self._weather = weather
        self._deliver = deliver
        self._listens = listens

    def take(self, message: Message) -> bool:
        """Do what a message asks for; False: it asks for nothing, or nobody is there to do it."""
        work = self._work(message)
        if work is None or self._weather.leader == "gone":
            return False
        if self._weather.leader == "silent" or self._weather.loses("request"):
            return True
        try:
            if self._weather.leader == "unsure":
                raise ApiError(*_UNSURE)
            answer = work()
        except ApiError as error:
            answer = {"error": error.answer}
        if message.reply and answer is not None and not self._weather.loses("answer"):
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self._send(Message(message.reply, "", data, None), message.reply)
        return True

    def forget_requests(self, status: str = "") -> None:
        """Another server leads now, and knows of nobody who waits for a message."""
        for consumer in self.consumers.values():
            consumer.forget_requests(status)

    def _send(self, message: Message, to: str) -> None:
        self._deliver(message, to)

    def _work(self, message: Message) -> Callable[[], dict[str, Any] | bytes | None] | None:
        """What a message asks for, to be done."""
        subject = message.subject
        if subject.startswith("$JS.API."):
            return self._request(message)
        if subject.startswith("$JS.ACK."):
            return self._acknowledgement(message)
        stream = next((stream for stream in self.streams.values() if stream.takes(subject)), None)
        return None if stream is None else lambda: self._put(stream, message)

    def _put(self, stream: MemoryStream, message: Message) -> dict[str, Any]:
        answer: dict[str, Any] = {"stream": stream.config["name"]}
        try:
            answer["seq"], duplicate = stream.store(message.subject, message.data, message.headers)
        except ApiError as error:
            return {**answer, "error": error.answer, "seq": 0}
        for (name, _), consumer in self.consumers.items():
            if name == stream.config["name"]:
                asyncio.get_running_loop().call_soon(consumer.look)
        return {**answer, "duplicate": True} if duplicate else answer

    def _acknowledgement(self, message: Message) -> Callable[[], bytes] | None:
        _, _, stream, name, _, number, *_ = message.subject.split(".")
        consumer = self.consumers.get((stream, name))
        if consumer is None:
            return None

        def hear() -> bytes:
            consumer.hear(int(number), message.data)
            return b""

        return hear

    def _request(self, message: Message) -> Callable[[], dict[str, Any] | None] | None:
        asked = json.loads(message.data or b"{}")
        match message.subject.split(".")[2:]:
            case ["STREAM", "INFO", stream]:
                return lambda: self._describe(self._stream(stream), asked)
            case ["STREAM", "CREATE", stream]:
                return lambda: self._make_stream(stream, asked)
            case ["STREAM", "PURGE", stream]:
                return lambda: {"success": True, "purged": self._stream(stream).purge(asked["filter"])}
            case ["STREAM", "MSG", "GET", stream]:
                return lambda: self._get(self._stream(stream), **asked)
            case ["STREAM", "MSG", "DELETE", stream]:
                return lambda: self._delete(self._stream(stream), asked["seq"])
            case ["CONSUMER", "NAMES", stream]:
                return lambda: self._names(self._stream(stream))
            case ["CONSUMER", "INFO", stream, name]:
                return lambda: self._consumer(stream, name).info
            case ["CONSUMER", "CREATE", stream, name]:
                return lambda: self._make_consumer(self._stream(stream), name, asked["config"])
            case ["CONSUMER", "MSG", "NEXT", stream, name] if (stream, name) in self.consumers:
                return lambda: self.consumers[stream, name].pull(message.reply, asked)
        return None

    # ---------------------------------------------------------------- what can be asked for

    def _stream(self, name: str) -> MemoryStream:
        if name not in self.streams:
            raise ApiError(*_NO_STREAM)
        return self.streams[name]

    def _consumer(self, stream: str, name: str) -> MemoryConsumer:
        self._stream(stream)
        if (stream, name) not in self.consumers:
            raise ApiError(*_NO_CONSUMER)
        return self.consumers[stream, name]

    def _describe(self, stream: MemoryStream, asked: dict[str, Any]) -> dict[str, Any]:
        return {"config": stream.config, "state": stream.state(details=asked.get("deleted_details", False))}

    def _make_stream(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        if config.get("num_replicas", 1) > 1:
            raise ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")
        made = MemoryStream(config, asyncio.get_running_loop().time)
        there = self.streams.setdefault(name, made)
        if there.config != made.config:
            raise ApiError(400, 10058, "stream name already in use with a different configuration")
        return self._describe(there, {})

    def _names(self, stream: MemoryStream) -> dict[str, Any]:
        name = stream.config["name"]
        return {"consumers": [consumer for of, consumer in self.consumers if of == name]}

    def _make_consumer(self, stream: MemoryStream, name: str, config: dict[str, Any]) -> dict[str, Any]:
        key = (stream.config["name"], name)
        if key in self.consumers:
            self.consumers[key].config = config
        else:
            self.consumers[key] = MemoryConsumer(stream, config, self._send, self._listens)
        return self.consumers[key].info

    def _get(
        self, stream: MemoryStream, seq: int = 0, next_by_subj: str = "", last_by_subj: str = ""
    ) -> dict[str, Any]:
        if last_by_subj:
            found = stream.newest(last_by_subj)
        else:
            found = stream.next(seq, next_by_subj) if next_by_subj else stream.messages.get(seq)
        if found is None:
            raise ApiError(*_NO_MESSAGE)
        return {"message": shown(found)}

    def _delete(self, stream: MemoryStream, number: int) -> dict[str, Any]:
        if not stream.remove(number):
            raise ApiError(500, 10057, "no message found")
        return {"success": True}
