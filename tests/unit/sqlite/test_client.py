"""sqlite/client.py: a way into an outbox, whoever owns it."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from anyio import (
    CancelScope,
    create_task_group,
    fail_after,
    move_on_after,
    to_thread,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferFull, MessageTooLarge, StoreError, StoreLocked
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.client import OutboxClient, connect, put
from ridethrough.sqlite.door import serve
from tests.unit.sqlite.doors import PATIENCE, kept, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@asynccontextmanager
async def nobody(path: Path, *_: Any, **options: Any) -> AsyncIterator[None]:
    """Nobody who owns the outbox."""
    assert options.keys() <= {"ttl"}
    assert not path.with_name("outbox.db-door").exists()
    with fail_after(PATIENCE):
        yield None


both_ways = pytest.mark.parametrize("owner", [serving, nobody])


# Who owns it


async def test_who_finds_nobody_is_the_owner(path: Path) -> None:
    async with nobody(path), connect(path) as client:
        assert client.is_owner
        assert await client.put("a", "b") == [1, 2]
        with pytest.raises(StoreLocked):
            SQLiteJournal[Any](path).open()
    assert kept(path) == {1: "a", 2: "b"}


async def test_who_finds_an_owner_goes_through_its_door(path: Path) -> None:
    async with serving(path) as buffer, connect(path) as client:
        assert not client.is_owner
        assert await client.put("a", "b") == [1, 2]
        assert [delivery.message for delivery in buffer.waiting()] == ["a", "b"]
    assert kept(path) == {1: "a", 2: "b"}


async def test_who_finds_what_a_killed_owner_has_left_is_the_owner(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{path}-door")
    assert await put(path, "a") == 1
    assert kept(path) == {1: "a"}


async def test_link_to_an_outbox_leads_to_its_door(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    async with serving(path), connect(link) as client:
        assert not client.is_owner


async def test_owner_that_takes_no_requests_is_waited_for(path: Path) -> None:
    journal = SQLiteJournal[Any](path)
    journal.open()
    async with create_task_group() as tasks:
        tasks.start_soon(put, path, "a")
        for _ in range(5):
            await wait_all_tasks_blocked()
        journal.close()
    assert kept(path) == {1: "a"}


@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_owner_that_takes_no_requests_is_not_waited_for_ever(path: Path, timeout: float) -> None:
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        with pytest.raises(
            StoreLocked, match=f"outbox.db is in use by process .* let nobody in for {timeout} s"
        ) as told:
            await put(path, "a", timeout=timeout)
        assert told.value.owner is not None
        path.with_name("outbox.db-owner").unlink()
        with pytest.raises(StoreLocked, match=r"outbox.db is in use by another program, which"):
            await put(path, "a", timeout=timeout)
    assert kept(path) == {}


async def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        await put(tmp_path / "nowhere" / "outbox.db", "a")


# The same either way


@both_ways
async def test_put_takes_ttl_and_overflow(path: Path, owner: Any) -> None:
    async with owner(path, 3, ttl=1e-9), connect(path, max_size=3) as client:
        assert await client.put() == []
        assert await client.put("a", "b", "c", ttl=None) == [1, 2, 3]
        with pytest.raises(BufferFull, match="the buffer is full: 3 of 3 messages"):
            await client.put("d", overflow="reject")
        assert await client.put("d", ttl=None, overflow="drop_oldest") == [4]
        assert [each["summary"]["message"] for each in await client.request("waiting")] == ["b", "c", "d"]
    assert await put(path, "e", max_size=3, ttl=1e-9, overflow="drop_oldest") == 5
    assert list(kept(path).values())[:2] == ["c", "d"]


@both_ways
async def test_requests_are_answered(path: Path, owner: Any) -> None:
    async with owner(path), connect(path) as client:
        ids = await client.put("a", "b", overflow="reject")
        assert (await client.request("status"))["statistics"]["queued"] == 2
        assert await client.request("cancel", ids=ids[:1]) == {"cancelled": [1]}
        assert await client.request("forget", ids=[9]) == {"forgotten": 0}


@both_ways
async def test_errors_are_raised_as_they_are(path: Path, owner: Any) -> None:
    async with owner(path, 1), connect(path, max_size=1) as client:
        await client.put("a")
        with pytest.raises(BufferFull):
            await client.put("b", overflow="reject")
        with pytest.raises(ValueError, match="ttl must be a finite number of seconds"):
            await client.put("b", ttl=-1)
        with pytest.raises(TypeError, match="message must be None, a boolean"):
            await client.put({1})
        with pytest.raises(LookupError, match="no dead letter 5"):
            await client.request("retry", ids=[5])
        with pytest.raises(ValueError, match="method must be one of"):
            await client.request("steal")
        with pytest.raises(TypeError, match="status takes no parameters, and not x"):
            await client.request("status", x=1)
        assert len(await client.request("waiting")) == 1


@both_ways
async def test_tasks_use_one_client_at_the_same_time(path: Path, owner: Any) -> None:
    ids: list[int] = []

    async def put_some(client: OutboxClient[Any]) -> None:
        for number in range(5):
            ids.extend(await client.put(number))

    async with owner(path, 1000), connect(path) as client:
        async with create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(put_some, client)
        assert sorted(ids) == list(range(1, 51))
    assert len(kept(path)) == 50


async def test_tasks_that_find_nobody_any_more_become_the_owner_once(path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving(path):
            client = await stack.enter_async_context(connect(path))
        async with create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(client.put, number)
        assert client.is_owner
    assert sorted(kept(path).values()) == list(range(10))


async def test_codec_is_used(path: Path) -> None:
    codec: Any = {"encode": lambda message: message.hex().encode(), "decode": lambda body: bytes.fromhex(body.decode())}
    journal = SQLiteJournal[Any](path, **codec)
    async with serving(path, journal=journal) as buffer:
        await put(path, b"\0\1", **codec)
        assert [delivery.message for delivery in buffer.waiting()] == [b"\0\1"]
    summarize: Callable[[bytes], dict[str, Any]] = lambda message: {"length": len(message)}  # noqa: E731
    async with connect(path, summarize=summarize, durability="process-safe", **codec) as client:
        assert [each["summary"] for each in await client.request("waiting")] == [{"length": 2}]


async def test_message_that_is_too_large_for_the_door(path: Path) -> None:
    async with serving(path), connect(path) as client:
        with pytest.raises(ValueError, match="go through the door: ask for less"):
            await client.put("x" * 25 * 2**20)
        assert await client.put("a") == [1]
    async with (
        AsyncMessageBuffer[Any](journal=SQLiteJournal[Any](path), max_bytes=10, size_of=len) as buffer,
        create_task_group() as tasks,
    ):
        await tasks.start(serve, buffer)
        with pytest.raises(MessageTooLarge) as caught:
            await put(path, "x" * 11)
        assert (caught.value.size, caught.value.max_bytes) == (11, 10)
        tasks.cancel_scope.cancel()


# wait


async def test_wait_until_it_is_sent(path: Path) -> None:
    async with serving(path) as buffer, connect(path) as client:
        (number,) = await client.put("a")
        async with buffer.lease() as lease:
            for entry in lease:
                entry.begin()
                entry.ack({"at": 5})
        assert await client.request("wait", id=number) == {
            "outcome": "sent",
            "reason": "",
            "attempts": 1,
            "maybe_sent": False,
            "result": {"at": 5},
        }


async def test_wait_for_nobody(path: Path) -> None:
    async with connect(path) as client:
        with pytest.raises(RuntimeError, match=r"nobody sends what waits in .*outbox.db: its owner does not run"):
            await client.request("wait", id=1)


async def test_wait_for_an_owner_that_does_not_come_back(path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving(path):
            client = await stack.enter_async_context(connect(path, timeout=0.05))
        with pytest.raises(RuntimeError, match="its owner does not run"):
            await client.request("wait", id=1)
        assert not client.is_owner


async def test_wait_goes_on_with_the_next_owner(path: Path) -> None:
    answers: list[Any] = []

    async def wait(client: OutboxClient[Any]) -> None:
        answers.append(await client.request("wait", id=1))

    async with AsyncExitStack() as stack, create_task_group() as tasks:
        async with serving(path):
            client = await stack.enter_async_context(connect(path))
            await client.put("a")
            tasks.start_soon(wait, client)
            await wait_all_tasks_blocked()
        async with serving(path) as buffer:
            await to_thread.run_sync(threading.Event().wait, 0.3)
            await wait_all_tasks_blocked()
            buffer.waiting()[0].cancel()
            while not answers:
                await checkpoint()
    assert answers[0]["outcome"] == "cancelled"


# Cancellation, and the end


async def test_put_cancelled_while_the_owner_has_no_room(path: Path) -> None:
    async with serving(path, 1, overflow="wait") as buffer, connect(path) as client:
        await client.put("a")
        with move_on_after(0.05):
            await client.put("b")
        while buffer.statistics().waiting_to_put:
            await checkpoint()
        await buffer.drain()
        assert await client.put("c") == [2]


async def test_owner_that_sends_nothing_does_not_wait_for_room(path: Path) -> None:
    with fail_after(PATIENCE):
        async with connect(path, max_size=1, overflow="wait") as client:
            await client.put("a")
            with pytest.raises(BufferFull):
                await client.put("b")
            with pytest.raises(BufferFull):
                await client.put("b", overflow="wait")
    assert kept(path) == {1: "a"}


@pytest.mark.parametrize("moment", [1, 2, 3])
async def test_put_cancelled_at_some_moment_as_the_owner_is_put_or_raises(path: Path, moment: int) -> None:
    moments = count(1)
    scope = CancelScope()

    def encode(message: str) -> bytes:
        if next(moments) == moment:
            scope.cancel()
        return message.encode()

    def decode(body: bytes) -> str:
        return encode(body.decode()).decode()

    returned = False
    with scope:
        await put(path, "a", encode=encode, decode=decode)
        returned = True
    with closing(SQLiteJournal[str](path)) as journal:
        assert len(journal.open().records) == returned


async def test_cancelled_while_looking_for_the_owner(path: Path) -> None:
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        with move_on_after(0.05) as scope:
            await put(path, "a")
        assert scope.cancelled_caught
    assert kept(path) == {}


@both_ways
async def test_client_is_used_within_its_async_with(path: Path, owner: Any) -> None:
    async with owner(path):
        client = connect(path)
        with pytest.raises(RuntimeError, match="an OutboxClient is used within its async with"):
            await client.put("a")
        async with client:
            await client.put("b")
        with pytest.raises(RuntimeError, match="an OutboxClient is used within its async with"):
            await client.put("c")


async def test_request_that_outlives_its_client_leaves_nothing_open(path: Path) -> None:
    async with serving(path, 1, overflow="wait") as buffer, create_task_group() as tasks:
        async with connect(path) as client:
            await client.put("a")
            tasks.start_soon(client.put, "b")
            await wait_all_tasks_blocked()
        await buffer.drain()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout": -1}, "timeout must be a finite number of seconds, at least 0"),
        ({"max_size": 0}, "max_size must be an int of at least 1"),
        ({"overflow": "nope"}, "overflow must be one of"),
        ({"durability": "nope"}, "durability must be 'power-safe' or 'process-safe'"),
        ({"encode": bytes}, "encode and decode must be given together"),
    ],
)
def test_bad_argument_is_refused(path: Path, options: dict[str, Any], problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        connect(path, **options)
    assert not path.exists()
