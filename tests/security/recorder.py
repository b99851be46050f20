"""A daemon that keeps every byte that it hears, and agrees to everything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import BrokenResourceError, EndOfStream, create_task_group, create_tcp_listener
from anyio.abc import SocketAttribute, SocketStream

HOME = "+491701234567"
_QUESTIONS = ("listAccounts", "listDevices")
"""What sends nothing."""


class Recorder:
    """What was heard.

    Attributes:
        endpoint: where it listens.
        heard: every byte, of all connections.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.heard = bytearray()

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """The methods and parameters of the requests that send something, after a look at the form of all of them.

        It must be one object of JSON a line, each with the members of a request and no others, and an id of its own.
        A line ends where a reader in Java sees it end: at a newline, or a carriage return.
        """
        lines = bytes(self.heard).splitlines()
        assert b"".join(line + b"\n" for line in lines) == self.heard
        requests = [json.loads(line, object_pairs_hook=_members_once) for line in lines]
        assert all(request.keys() == {"jsonrpc", "id", "method", "params"} for request in requests)
        assert [request["id"] for request in requests] == list(range(1, len(requests) + 1))
        assert [request["method"] for request in requests[:1]] == ["listAccounts"]
        return [(each["method"], each["params"]) for each in requests if each["method"] not in _QUESTIONS]

    async def serve(self, stream: SocketStream) -> None:
        """Answer each line of a connection."""
        async with stream:
            await self._answer_all(stream)

    async def _answer_all(self, stream: SocketStream) -> None:
        answered = 0
        with suppress(EndOfStream, BrokenResourceError):
            while True:
                self.heard += await stream.receive()
                *lines, _ = bytes(self.heard[answered:]).split(b"\n")
                for line in lines:
                    answered += len(line) + 1
                    await stream.send(_answer(json.loads(line)))


def _answer(request: dict[str, Any]) -> bytes:
    result = [{"number": HOME}] if request["method"] == "listAccounts" else {"timestamp": 1, "results": []}
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode() + b"\n"


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    assert len(members) == len(pairs), "a member comes twice"
    return members


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    """Listen."""
    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as tasks:
        recorder = Recorder(listener.extra(SocketAttribute.local_port))
        tasks.start_soon(listener.serve, recorder.serve)
        yield recorder
        tasks.cancel_scope.cancel()
