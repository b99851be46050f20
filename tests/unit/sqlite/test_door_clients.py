"""sqlite/door.py, and clients that are many, or strangers, or do not do as they should."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough.sqlite import door
from ridethrough.sqlite.door import CONNECTIONS, MAX_LINE, REQUESTS, knock
from tests.unit.sqlite.doors import PATIENCE, client_of, put, request, serving, texts

pytestmark = pytest.mark.anyio

CLOSING = {"closing": True}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id": 1, "method": "wait", "params": {"id": NaN}}',
        b"[]",
        b'{"id": "1", "method": "status", "params": {}}',
        b'{"id": 1, "method": ["status"], "params": {}}',
        b'{"id": 1, "method": "status", "params": [1]}',
        b'{"id": 1, "method": "status"}',
    ],
)
async def test_client_that_asks_nonsense_is_let_go(path: Path, line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(path) as buffer, client_of(path) as other, client_of(path) as client:
        await client.say(put("a"))
        assert (await client.hear())["result"] == {"ids": [1]}
        answer = await client.ask(line)
        assert (answer["id"], answer["error"]["kind"]) == (None, "ValueError")
        assert await client.hear_end() == b""
        assert (await other.ask(put("b")))["result"] == {"ids": [2]}
        assert texts(buffer) == ["a", "b"]
    assert line.decode("latin-1") not in caplog.text


async def test_flood_without_a_newline_is_cut(path: Path) -> None:
    async with serving(path), client_of(path) as other, client_of(path) as client:

        async def flood() -> None:
            with pytest.raises(ConnectionError):
                await to_thread.run_sync(lambda: send_all(f"{path}-door", bytes(MAX_LINE + 2**20)))

        async with create_task_group() as tasks:
            tasks.start_soon(flood)
            assert (await other.ask(put("b")))["result"] == {"ids": [1]}
        assert (await client.ask(put("c")))["result"] == {"ids": [2]}


def send_all(address: str, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        client.settimeout(PATIENCE)
        client.sendall(data)
        while client.recv(65536):
            pass
        raise ConnectionError("it was cut")


async def test_request_that_is_cut_off_is_none(path: Path) -> None:
    async with serving(path) as buffer:
        async with client_of(path) as client:
            await client.stream.send(json.dumps(put("a")).encode())
        async with client_of(path) as client:
            await client.ask(put("b"))
        assert texts(buffer) == ["b"]


async def test_what_a_client_waited_for_ends_when_it_has_gone(path: Path) -> None:
    async with serving(path, 1) as buffer:
        async with client_of(path) as client:
            await client.ask(put("a"))
            await client.say(put("b"), request("wait", id=1))
            while not buffer.statistics().waiting_to_put:
                await checkpoint()
        while buffer.statistics().waiting_to_put:
            await checkpoint()
        assert texts(buffer) == ["a"]


async def test_client_that_does_not_read_is_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.3)
    async with serving(path, summarize=lambda _: {"text": "x" * 2**22}), client_of(path) as other:
        await other.ask(put("a"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{path}-door")
            client.sendall(door.encode_line(request("waiting")) + door.encode_line(request("status", 2)))
            while not caplog.records:
                await checkpoint()
            heard = await to_thread.run_sync(read_to_the_end, client)
        assert 0 < len(heard) < 2**22 and b"\n" not in heard
        assert (await other.ask(put("b")))["result"] == {"ids": [2]}
    told = [record.getMessage() for record in caplog.records]
    assert told == ["a client of the outbox was let go: it does not read what it asked for"]


def read_to_the_end(client: socket.socket) -> bytes:
    client.settimeout(PATIENCE)
    return b"".join(iter(lambda: client.recv(2**20), b""))


async def test_client_with_too_much_under_way_is_read_no_further(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client, client_of(path) as other:
        await client.ask(put("a"))
        await client.say(*(request("wait", number, id=1) for number in range(REQUESTS)), put("b", number=REQUESTS))
        for _ in range(5):
            assert len((await other.ask(request("waiting")))["result"]) == 1
        await wait_all_tasks_blocked()
        await buffer.drain()
        answers = [await client.hear() for _ in range(REQUESTS + 1)]
        assert sorted(answer["id"] for answer in answers) == list(range(REQUESTS + 1))
        assert texts(buffer) == ["b"]


async def test_too_many_clients_have_the_idle_ones_let_go(path: Path) -> None:
    async with serving(path, 1) as buffer, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(path)) for _ in range(CONNECTIONS)]
        await clients[0].ask(put("a"))
        await clients[0].say(put("b"))  # waits for room, and so is not let go
        await clients[1].say(request("wait", id=1))
        for client in clients[2:]:
            await client.ask(request("waiting"))
        newcomers = [await stack.enter_async_context(client_of(path)) for _ in range(2)]
        for client in newcomers:
            assert len((await client.ask(request("waiting")))["result"]) == 1
        assert [await client.hear() for client in clients[1:3]] == [CLOSING, CLOSING]
        assert len((await clients[3].ask(request("waiting")))["result"]) == 1
        await buffer.drain()
        assert (await clients[0].hear())["result"] == {"ids": [2]}


async def test_newcomer_waits_for_one_of_too_many_clients_to_be_done(path: Path) -> None:
    async with serving(path, 1) as buffer, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(path)) for _ in range(CONNECTIONS)]
        await clients[0].ask(put("a"))
        for number, client in enumerate(clients):
            await client.say(put(number, overflow="wait"))
        while buffer.statistics().waiting_to_put < CONNECTIONS:
            await checkpoint()
        newcomer = await stack.enter_async_context(client_of(path))
        await newcomer.say(request("status"))
        await wait_all_tasks_blocked()
        await buffer.drain()
        assert (await clients[0].hear())["result"] == {"ids": [2]}
        assert (await newcomer.hear())["result"]["statistics"]["queued"] == 1


async def test_too_many_open_files(path: Path) -> None:
    async with serving(path):
        with socket.socket(socket.AF_UNIX) as client:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            client.connect(f"{path}-door")
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    os.dup(client.fileno())
                for _ in range(20):
                    await checkpoint()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            client.sendall(door.encode_line(put("a")))
            lines = door.Lines(client)
            assert (await lines.read())["result"] == {"ids": [1]}


@contextmanager
def as_root() -> Iterator[None]:
    """Become another user than the test is for the moment; root gets in everywhere."""
    if os.getuid() != 0:
        pytest.skip("there is no other user to become")
    before = os.geteuid()
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(before)


async def test_client_of_another_user_is_not_let_in(unprivileged: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = unprivileged / "outbox.db"
    async with serving(path) as buffer:
        with socket.socket(socket.AF_UNIX) as client:
            with as_root():
                client.connect(f"{path}-door")
            lines = door.Lines(client)
            await lines.write(door.encode_line(put("a")))
            assert (await lines.read())["error"]["text"] == "the outbox belongs to another user"
            with pytest.raises(EOFError):
                await lines.read()
        assert texts(buffer) == []
    assert "somebody else's process was not let in" in caplog.text


async def test_door_of_another_user_is_none(unprivileged: Path) -> None:
    async with serving(unprivileged / "outbox.db"):
        with as_root():
            assert knock(unprivileged / "outbox.db") is None
        found = knock(unprivileged / "outbox.db")
        assert found is not None
        found.close()


async def test_where_the_system_does_not_tell_who_comes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_PEERCRED", None)
    async with serving(path), client_of(path) as client:
        assert (await client.ask(put("a")))["result"] == {"ids": [1]}
