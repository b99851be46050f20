"""sqlite/client.py, and owners that end while something is asked of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio import (
    create_task_group,
    fail_after,
    wait_all_tasks_blocked,
    wait_readable,
)

from ridethrough import StoreError
from ridethrough.errors import RidethroughError
from ridethrough.sqlite.client import connect, put
from ridethrough.sqlite.door import Lines, encode_line, error_to_json
from tests.unit.sqlite.doors import PATIENCE, kept, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


class FakeOwner:
    """Somebody who opens the door and does with one request after another what it is told, and shuts it then."""

    def __init__(self, path: Path, *turns: Callable[[Lines, dict[str, Any]], bytes]) -> None:
        self._turns = turns
        self._place = path.with_name("outbox.db-door")
        self.requests: list[dict[str, Any]] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self._place))
        self.listener.listen()
        self.listener.setblocking(False)

    async def serve(self) -> None:
        with self.listener:
            for turn in self._turns:
                await wait_readable(self.listener)
                with self.listener.accept()[0] as client:
                    lines = Lines(client)
                    self.requests.append(await lines.read())
                    last = len(self.requests) == len(self._turns)
                    if last:
                        self.listener.close()
                        self._place.unlink()
                    await lines.write(turn(lines, self.requests[-1]))


def says(*messages: dict[str, Any]) -> Callable[[Lines, dict[str, Any]], bytes]:
    return lambda _lines, _request: b"".join(map(encode_line, messages))


def ends(_lines: Lines, _request: dict[str, Any]) -> bytes:
    return b""


def babbles(_lines: Lines, _request: dict[str, Any]) -> bytes:
    return b"no JSON\n"


closes = says({"closing": True})


async def while_faked(owner: FakeOwner, work: Callable[[], Any]) -> Any:
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(owner.serve)
            return await work()


async def test_put_that_a_closing_owner_did_not_take_is_put_elsewhere(path: Path) -> None:
    owner = FakeOwner(path, closes, closes)
    assert await while_faked(owner, lambda: put(path, "a")) == 1
    assert [request["method"] for request in owner.requests] == ["put", "put"]
    assert kept(path) == {1: "a"}


@pytest.mark.parametrize("last", [ends, babbles])
async def test_put_of_which_nobody_knows_is_put_again(path: Path, last: Any) -> None:
    owner = FakeOwner(path, last)
    assert await while_faked(owner, lambda: put(path, "a")) == 1
    assert len(owner.requests) == 1
    assert kept(path) == {1: "a"}


@pytest.mark.parametrize("method", ["retry", "cancel", "forget"])
async def test_change_of_which_nobody_knows_is_not_asked_for_again(path: Path, method: str) -> None:
    async def ask() -> None:
        async with connect(path) as client:
            with pytest.raises(StoreError, match=r"the owner of .*outbox.db ended before it answered"):
                await client.request(method, ids=[1])

    await while_faked(FakeOwner(path, ends), ask)


async def test_change_that_was_certainly_not_made_is_asked_for_again(path: Path) -> None:
    async def ask() -> Any:
        async with connect(path) as client:
            return await client.request("forget", ids=[1])

    assert await while_faked(FakeOwner(path, closes), ask) == {"forgotten": 0}


async def test_owner_that_ended_between_two_requests(path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving(path):
            client = await stack.enter_async_context(connect(path))
            await client.put("a")
        assert await client.request("forget", ids=[1]) == {"forgotten": 0}
        assert client.is_owner
    answer = says({"id": 1, "result": {"forgotten": 0}})

    async def ask_twice() -> None:
        async with connect(path) as client:
            await client.request("forget", ids=[1])
            assert not client.is_owner
            await wait_all_tasks_blocked()
            await client.request("forget", ids=[1])
            assert client.is_owner

    await while_faked(FakeOwner(path, answer), ask_twice)


async def test_owner_that_does_not_let_this_user_in(path: Path) -> None:
    refusal = says({"id": None, "error": error_to_json(StoreError("the outbox belongs to another user"))})

    async def ask() -> None:
        async with connect(path) as client:
            with pytest.raises(StoreError, match="the outbox belongs to another user"):
                await client.put("a")
            assert await client.put("b") == [1]

    await while_faked(FakeOwner(path, refusal), ask)
    assert kept(path) == {1: "b"}


async def test_owner_of_a_later_version(path: Path) -> None:
    answer = says({"id": 1, "error": {"kind": "StoreMelted", "text": "too hot", "args": [], "fields": {}}})

    async def ask() -> None:
        with pytest.raises(RidethroughError, match="StoreMelted: too hot"):
            await put(path, "a")

    await while_faked(FakeOwner(path, answer), ask)
