"""sqlite/door.py: the owner's side of the door."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferFull, MessageTooLarge, StoreCorrupt, StoreError, StoreLocked
from ridethrough.abc import JournalChanges
from ridethrough.errors import RidethroughError
from ridethrough.sqlite import SQLiteJournal, door
from ridethrough.sqlite.door import MAX_LINE, error_from_json, error_to_json, knock, serve
from tests.talk import Talk
from tests.unit.sqlite.doors import PATIENCE, client_of, kept, put, request, serving, texts

pytestmark = pytest.mark.anyio

CLOSING = {"closing": True}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


# The socket


async def test_socket_is_there_as_long_as_the_outbox_is_served(path: Path) -> None:
    before = os.umask(0)
    try:
        async with serving(path):
            mode = path.with_name("outbox.db-door").stat().st_mode
            assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    finally:
        os.umask(before)
    assert not path.with_name("outbox.db-door").exists()


def test_socket_is_private_from_its_first_moment(path: Path) -> None:
    program = """
import os, sys, anyio
from ridethrough import AsyncMessageBuffer
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.door import serve

def note(event, arguments):
    if event == "os.chmod" and str(arguments[0]).endswith("-door"):
        print(oct(os.stat(arguments[0]).st_mode & 0o777))

async def main():
    async with AsyncMessageBuffer(journal=SQLiteJournal(sys.argv[1])) as buffer, anyio.create_task_group() as tasks:
        await tasks.start(serve, buffer)
        tasks.cancel_scope.cancel()

sys.addaudithook(note)
os.umask(0)
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0o600" if sys.platform == "linux" else "0o777"]


async def test_stale_socket_of_an_owner_that_was_killed_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{path}-door")
    assert knock(path) is None
    async with serving(path), client_of(path) as client:
        assert (await client.ask(request("waiting")))["result"] == []


async def test_what_is_no_socket_stays(path: Path) -> None:
    path.with_name("outbox.db-door").write_text("a diary")
    async with AsyncMessageBuffer[Any](journal=SQLiteJournal[Any](path)) as buffer:
        with pytest.raises(StoreError, match=r"no socket can be made at .*outbox.db-door: .*in use"):
            await serve(buffer)
    assert path.with_name("outbox.db-door").read_text() == "a diary"


async def test_socket_that_has_taken_the_place_of_ours_stays(path: Path) -> None:
    place = path.with_name("outbox.db-door")
    with socket.socket(socket.AF_UNIX) as other:
        async with serving(path):
            place.rename(place.with_name("moved"))
            other.bind(str(place))
        assert place.is_socket()


async def test_folder_that_may_not_be_written_any_more(unprivileged: Path) -> None:
    async with serving(unprivileged / "outbox.db"):
        unprivileged.chmod(0o500)  # noqa: ASYNC240
    unprivileged.chmod(0o700)  # noqa: ASYNC240
    assert (unprivileged / "outbox.db-door").is_socket()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an address is as long as it is")
async def test_path_that_is_longer_than_an_address(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    async with serving(folder / "outbox.db") as buffer:
        found = knock(folder / "outbox.db")
        assert found is not None
        with found:
            lines = door.Lines(found)
            await lines.write(door.encode_line(put("hello")))
            assert (await lines.read())["result"] == {"ids": [1]}
        assert texts(buffer) == ["hello"]


async def test_name_that_is_longer_than_an_address(tmp_path: Path) -> None:
    async with AsyncMessageBuffer[Any](journal=SQLiteJournal[Any](tmp_path / ("x" * 200))) as buffer:
        with pytest.raises(StoreError, match=r"no socket can be made at .*xxx-door: .*too long"):
            await serve(buffer)
    assert knock(tmp_path / ("x" * 200)) is None


# What can be served


async def test_only_an_outbox_in_a_file_can_be_served(path: Path) -> None:
    with pytest.raises(TypeError, match="buffer must have a SQLiteJournal as its journal"):
        await serve(AsyncMessageBuffer[Any]())
    buffer = AsyncMessageBuffer[Any](journal=SQLiteJournal[Any](path))
    with pytest.raises(RuntimeError, match="the journal is not open"):
        await serve(buffer)
    async with buffer:
        pass
    with pytest.raises(RuntimeError, match="the journal is not open"):
        await serve(buffer)
    assert not path.with_name("outbox.db-door").exists()


# Requests


async def test_put_is_on_the_disk_when_it_is_answered(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client:
        assert await client.ask(put("a", "b")) == {"id": 1, "result": {"ids": [1, 2]}}
        assert texts(buffer) == ["a", "b"]
    assert kept(path) == {1: "a", 2: "b"}


async def test_summarize_and_about_are_used(path: Path) -> None:
    options: Any = {"summarize": lambda message: {"length": len(message)}, "about": lambda: {"link": "away"}}
    async with serving(path, **options), client_of(path) as client:
        await client.ask(put("abc"))
        assert (await client.ask(request("waiting")))["result"][0]["summary"] == {"length": 3}
        assert (await client.ask(request("status")))["result"]["link"] == "away"


async def test_wait_does_not_hold_up_a_put(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client:
        await client.ask(put("a"))
        await client.say(request("wait", 2, id=1), put("b", number=3))
        assert (await client.hear())["id"] == 3
        await buffer.drain()
        assert (await client.hear())["result"]["outcome"] == "drained"


async def test_request_that_comes_in_pieces(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client:
        line, short = (json.dumps(each).encode() + b"\n" for each in (put("a" * 100), put("b")))
        for piece in (line[:50], line[50:-1], line[-1:] + short):
            await client.stream.send(piece)
            await wait_all_tasks_blocked()
        assert sorted([(await client.hear())["result"]["ids"] for _ in range(2)]) == [[1], [2]]
        assert texts(buffer) == ["a" * 100, "b"]


async def test_puts_of_a_client_that_does_not_wait_keep_their_order(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client:
        for numbers in (range(n, n + 10) for n in range(0, 100, 10)):
            await client.say(*(put(number) for number in numbers))
            for _ in numbers:
                assert "result" in await client.hear()
        assert texts(buffer) == list(range(100))


async def test_wait_for_the_last_put_of_the_same_client(path: Path) -> None:
    async with serving(path) as buffer, client_of(path) as client, client_of(path) as other:
        await client.ask(put("a"))
        await buffer.drain()
        assert (await client.ask(request("wait", id=1)))["result"]["outcome"] == "drained"
        assert (await other.ask(request("wait", id=1)))["result"]["outcome"] is None


async def test_error_is_told_and_the_next_request_goes_on(path: Path) -> None:
    async with serving(path, 1) as buffer, client_of(path) as client:
        await client.ask(put("a"))
        for asked, kind, text in (
            (put("b", overflow="reject"), "BufferFull", "the buffer is full: 1 of 1 messages"),
            (request("retry", 2, ids=[5]), "LookupError", "there is no dead letter 5"),
            (request("steal", 3), "ValueError", "method must be one of put, "),
        ):
            answer = await client.ask(asked)
            assert (answer["id"], answer["error"]["kind"]) == (asked["id"], kind)
            assert answer["error"]["text"].startswith(text)
        assert texts(buffer) == ["a"]


async def test_failure_of_the_owner_is_told_and_logged_without_its_words(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Exception):
        pass

    def about() -> dict[str, Any]:
        raise Broken("secret")

    async with serving(path, about=about), client_of(path) as client:
        error = (await client.ask(request("status")))["error"]
        assert (error["kind"], error["text"]) == ("RuntimeError", "the owner of the outbox failed: Broken")
        assert (await client.ask(request("waiting")))["result"] == []
    assert [record.getMessage() for record in caplog.records if record.name == "ridethrough.sqlite"] == [
        "a request failed in the owner of the outbox: Broken"
    ]


async def test_answer_that_is_longer_than_a_line(path: Path) -> None:
    async with serving(path, summarize=lambda _: {"text": "x" * (MAX_LINE // 2)}), client_of(path) as client:
        await client.ask(put("a", "b"))
        error = (await client.ask(request("waiting")))["error"]
        assert error["kind"] == "ValueError" and f"at most {MAX_LINE} go through the door" in error["text"]


# The end


class SlowJournal(SQLiteJournal[Any]):
    """Writes when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun, self.go = threading.Event(), threading.Event()

    def commit(self, changes: JournalChanges) -> None:
        if changes.appended:
            self.begun.set()
            assert self.go.wait(PATIENCE)
        super().commit(changes)


async def test_put_that_is_being_written_comes_to_its_answer(path: Path) -> None:
    journal = SlowJournal(path)

    async def hear_goodbye(client: Talk) -> None:
        assert await client.hear() == CLOSING
        assert knock(path) is None  # so that whoever has heard it does not come back here
        journal.go.set()

    async with AsyncExitStack() as stack, create_task_group() as tasks:
        async with serving(path, 1, journal=journal):
            client, other = [await stack.enter_async_context(client_of(path)) for _ in range(2)]
            await client.say(put("written"), put("no room", number=2))
            await to_thread.run_sync(journal.begun.wait, PATIENCE)
            tasks.start_soon(hear_goodbye, other)
            await wait_all_tasks_blocked()
        assert await client.hear() == {"id": 1, "result": {"ids": [1]}}
        assert await client.hear() == CLOSING
        assert await client.hear_end() == b""
    assert kept(path) == {1: "written"}


async def test_clients_are_told_that_it_closes(path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving(path, 1) as buffer:
            clients = [await stack.enter_async_context(client_of(path)) for _ in range(3)]
            await clients[0].ask(put("a"))
            await clients[0].say(put("b"), request("wait", id=1))
            await clients[1].stream.send(b'{"id": 1, "meth')
            await clients[2].ask(request("status"))
            while not buffer.statistics().waiting_to_put:
                await checkpoint()
        for client in clients:
            assert await client.hear() == CLOSING
            assert await client.hear_end() == b""
    assert knock(path) is None


# Errors as JSON


@pytest.mark.parametrize(
    "error",
    [
        BufferFull("full"),
        MessageTooLarge(3, 2),
        StoreLocked("in use", owner=7),
        StoreCorrupt("damaged", saved=3, lost=None, copy="/somewhere"),
        ValueError("no"),
        TypeError("no"),
        LookupError("no"),
        RuntimeError(),
    ],
)
def test_error_comes_back_as_it_was(error: Exception) -> None:
    again = error_from_json(json.loads(door.encode_line(error_to_json(error))))
    assert type(again) is type(error)
    assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))


def test_error_of_a_kind_that_is_not_known_on_the_other_side() -> None:
    class Special(ValueError):
        pass

    for error, kind in ((Special(1, 2), ValueError), (KeyError("k"), LookupError), (ValueError(b"\xff"), ValueError)):
        again = error_from_json(json.loads(door.encode_line(error_to_json(error))))
        assert type(again) is kind
        assert str(again) == str(error)
    newer = {"kind": "StoreMelted", "text": "too hot", "args": [], "fields": {}}
    for value in (newer, newer | {"kind": "MessageTooLarge"}):
        again = error_from_json(value)
        assert type(again) is RidethroughError
        assert str(again) == f"{value['kind']}: too hot"
