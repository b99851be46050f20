"""sqlite/handler.py: what can be asked of an outbox, and the answers."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferFull
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.handler import PARAMS, RequestHandler

pytestmark = pytest.mark.anyio

PATIENCE = 30


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Outbox(NamedTuple):
    buffer: AsyncMessageBuffer[Any]
    journal: SQLiteJournal[Any]
    handler: RequestHandler[Any]

    async def ask(self, method: str, **params: Any) -> Any:
        """The answer, which JSON gives back as it is."""
        with fail_after(PATIENCE):
            answer = await self.handler.answer(method, params)
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer
        return answer

    async def put(self, *messages: Any, **params: Any) -> list[int]:
        ids: list[int] = (await self.ask("put", bodies=[body(message) for message in messages], **params))["ids"]
        return ids

    def waiting(self) -> list[Any]:
        return [delivery.message for delivery in self.buffer.waiting()]

    async def end_next(self, **how: Any) -> None:
        """Have the first message sent, with that result, or refused for that reason."""
        async with self.buffer.lease() as lease:
            for entry in lease:
                entry.begin()
                assert entry.reject(how["reject"]) if "reject" in how else entry.ack(how["ack"])


@asynccontextmanager
async def outbox(path: Path, max_size: int = 10, *, journal: Any = None, **options: Any) -> AsyncIterator[Outbox]:
    of_handler = {name: options.pop(name) for name in ("summarize", "about") if name in options}
    kept = journal or SQLiteJournal[Any](path / "outbox.db")
    async with AsyncMessageBuffer[Any](max_size, journal=kept, **options) as buffer:
        yield Outbox(buffer, kept, RequestHandler(buffer, kept, **of_handler))


def body(message: Any) -> str:
    return base64.b64encode(json.dumps(message).encode()).decode()


async def ended(outbox: Outbox, *texts: str) -> list[int]:
    """Put messages that end as dead letters."""
    ids = await outbox.put(*texts)
    for _ in texts:
        await outbox.end_next(reject="too long")
    return ids


# put


async def test_put_puts_messages_in_order(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        assert await box.put("a", {"b": 1}) == [1, 2]
        assert await box.put() == []
        assert await box.put("c") == [3]
        assert box.waiting() == ["a", {"b": 1}, "c"]
    async with outbox(tmp_path) as box:
        assert box.waiting() == ["a", {"b": 1}, "c"]


async def test_put_takes_ttl_and_overflow(tmp_path: Path) -> None:
    async with outbox(tmp_path, 1, ttl=1e-9) as box:
        assert await box.put("too old") == [1]
        assert await box.put("for ever", ttl=None) == [2]
        with pytest.raises(BufferFull):
            await box.put("refused", overflow="reject")
        assert box.waiting() == ["for ever"]
        assert await box.put("too old as well", ttl=1e-9) == [3]
        assert box.waiting() == []
        assert [(each["id"], each["outcome"]) for each in await box.ask("dead_letters")] == [
            (1, "expired"),
            (2, "dropped"),
            (3, "expired"),
        ]


async def test_put_is_all_or_none(tmp_path: Path) -> None:
    async with outbox(tmp_path, 2) as box:
        with pytest.raises(BufferFull):
            await box.put("a", "b", "c")
        with pytest.raises(ValueError, match="Expecting value"):
            await box.ask("put", bodies=[body("a"), base64.b64encode(b"no JSON").decode()])
        assert box.waiting() == []
        assert box.buffer.statistics().accepted == 0


async def test_put_cancelled_while_waiting_for_room(tmp_path: Path) -> None:
    async with outbox(tmp_path, 1, overflow="wait") as box:
        await box.put("first")
        async with create_task_group() as tasks:
            tasks.start_soon(box.put, "second")
            while not box.buffer.statistics().waiting_to_put:
                await checkpoint()
            tasks.cancel_scope.cancel()
        await box.buffer.drain()
        assert box.buffer.statistics().accepted == 1


# wait


@dataclass
class Receipt:
    at: int
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("acknowledged", "result"),
    [
        (None, None),
        ({"at": 5}, {"at": 5}),
        (Receipt(7, ("a",)), {"at": 7, "names": ["a"]}),
        (Receipt, None),
        ({1}, None),
    ],
)
async def test_wait_for_a_message_that_is_sent(tmp_path: Path, acknowledged: Any, result: Any) -> None:
    async with outbox(tmp_path) as box:
        await box.put("a", "b")
        answers: list[Any] = []

        async def wait() -> None:
            answers.append(await box.ask("wait", id=1))

        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            assert not answers
            await box.end_next(ack=acknowledged)
        fate = {"outcome": "sent", "reason": "", "attempts": 1, "maybe_sent": False, "result": result}
        assert answers == [fate]
        assert await box.ask("wait", id=1) == fate  # it was the last put of this client


async def test_wait_for_a_message_of_an_earlier_owner(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        await box.put("a")
    async with outbox(tmp_path) as box, create_task_group() as tasks:

        async def wait() -> None:
            answer = await box.ask("wait", id=1)
            assert (answer["outcome"], answer["reason"], answer["result"]) == ("rejected", "too long", None)

        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        await box.end_next(reject="too long")


async def test_wait_for_what_has_ended(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        sent, refused, _ = await box.put("a", "b", "c")
        await box.end_next(ack="well")
        await box.end_next(reject="too long")
        stranger = box._replace(handler=RequestHandler(box.buffer, box.journal))
        nothing = {"outcome": None, "reason": "", "attempts": 0, "maybe_sent": False, "result": None}
        assert await stranger.ask("wait", id=sent) == nothing
        fate = {"outcome": "rejected", "reason": "too long", "attempts": 1, "maybe_sent": False, "result": None}
        assert await stranger.ask("wait", id=refused) == fate
        assert await stranger.ask("wait", id=99) == nothing
        assert (await box.ask("wait", id=sent))["result"] == "well"


# lists


async def test_status(tmp_path: Path) -> None:
    async with outbox(tmp_path, about=lambda: {"link": "connected"}) as box:
        await ended(box, "a", "b")
        await box.put("c")
        status = await box.ask("status")
        assert status.pop("statistics") == box.buffer.statistics()._asdict()
        assert status == {"owner": os.getpid(), "max_size": 10, "dead_letters": 2, "link": "connected"}


async def test_lists_in_order_and_by_page(tmp_path: Path) -> None:
    async with outbox(tmp_path, 300, overflow="reject") as box:
        await ended(box, "a", "b", "c")
        await box.put(*range(120))
        waiting = await box.ask("waiting")
        assert len(waiting) == 100
        assert waiting[0] == {"id": 4, "attempts": 0, "maybe_sent": False, "summary": {"message": 0}}
        assert [each["id"] for each in await box.ask("waiting", after=103, limit=3)] == [104, 105, 106]
        assert await box.ask("waiting", after=123) == []
        letters = await box.ask("dead_letters", after=1, limit=1)
        assert letters[0].pop("ended_at") > 1_700_000_000
        assert letters == [
            {
                "id": 2,
                "attempts": 1,
                "maybe_sent": False,
                "outcome": "rejected",
                "reason": "too long",
                "summary": {"message": "b"},
            }
        ]


async def test_summary_of_what_cannot_be_shown(tmp_path: Path) -> None:
    def decode(kept: bytes) -> Any:
        if broken:
            raise KeyError(kept)
        return json.loads(kept)

    def summarize(message: str) -> dict[str, Any]:
        if message == "secret":
            raise ValueError(message)
        return {"length": len(message), "bad": {1} if message == "no JSON" else None}

    broken = False
    encode = lambda message: json.dumps(message).encode()  # noqa: E731
    journal = SQLiteJournal[Any](tmp_path / "outbox.db", encode=encode, decode=decode)
    async with outbox(tmp_path, journal=journal, summarize=summarize) as box:
        await ended(box, "abc", "secret")
        await box.put("secret", "no JSON", "ab")
        shown = [each["summary"] for each in await box.ask("waiting")]
        assert shown == [
            {"error": "cannot be shown: ValueError"},
            {"error": "cannot be shown: TypeError"},
            {"length": 2, "bad": None},
        ]
        shown = [each["summary"] for each in await box.ask("dead_letters")]
        assert shown == [{"length": 3, "bad": None}, {"error": "cannot be shown: ValueError"}]
        broken = True
        shown = [each["summary"] for each in await box.ask("dead_letters")]
        assert shown == [{"error": "cannot be decoded: KeyError"}] * 2


# changes


async def test_retry_puts_dead_letters_again(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        await ended(box, "a", "b", "c")
        await box.put("d")
        assert await box.ask("retry", ids=[3, 1]) == {"ids": [5, 6]}
        assert box.waiting() == ["d", "c", "a"]
        assert [each["id"] for each in await box.ask("dead_letters")] == [2]
        for ids in ([2, 1], [4]):
            with pytest.raises(LookupError, match=f"no dead letter {ids[-1]}"):
                await box.ask("retry", ids=ids)
        assert box.waiting() == ["d", "c", "a"]


async def test_cancel_takes_back_what_is_in_time(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        await box.put("a", "b", "c")
        async with box.buffer.lease():
            assert await box.ask("cancel", ids=[1, 3, 99]) == {"cancelled": [3]}
        assert box.waiting() == ["a", "b"]
        assert box.buffer.statistics().cancelled == 1
        assert await box.ask("cancel", ids=[3]) == {"cancelled": []}


async def test_forget_erases_dead_letters(tmp_path: Path) -> None:
    async with outbox(tmp_path) as box:
        await ended(box, "a", "b")
        assert await box.ask("forget", ids=[2, 99]) == {"forgotten": 1}
        assert [each["id"] for each in await box.ask("dead_letters")] == [1]


# what is no request


@pytest.mark.parametrize(
    ("method", "params", "kind", "problem"),
    [
        ("steal", {}, ValueError, "method must be one of put, wait, status, .* not 'steal'"),
        ("status", {"x": 1}, TypeError, "status takes no parameters, and not x"),
        ("put", {"bodies": [], "b": 1, "a": 1}, TypeError, "put takes bodies, ttl, overflow, and not a, b"),
        ("put", {}, TypeError, "bodies must be a list of strings in base64"),
        ("put", {"bodies": "YQ=="}, TypeError, "bodies must be a list of strings in base64"),
        ("put", {"bodies": [7]}, TypeError, "bodies must be a list of strings in base64"),
        ("put", {"bodies": ["?"]}, ValueError, "bodies must be a list of strings in base64"),
        ("put", {"bodies": ["MQ=="], "ttl": "1"}, TypeError, "ttl must be a finite number of seconds"),
        ("put", {"bodies": ["MQ=="], "ttl": -1}, ValueError, "ttl must be a finite number of seconds"),
        ("put", {"bodies": ["MQ=="], "overflow": ["wait"]}, ValueError, "overflow must be one of 'drop_oldest'"),
        ("put", {"bodies": ["MQ=="], "overflow": None}, ValueError, "overflow must be one of 'drop_oldest'"),
        ("wait", {}, TypeError, "id must be an int of at least 1, not NoneType"),
        ("wait", {"id": True}, TypeError, "id must be an int of at least 1, not bool"),
        ("wait", {"id": 0}, ValueError, "id must be an int of at least 1, not 0"),
        ("waiting", {"after": -1}, ValueError, "after must be an int of at least 0, not -1"),
        ("waiting", {"limit": 0}, ValueError, "limit must be an int of at least 1, not 0"),
        ("dead_letters", {"limit": 1.0}, TypeError, "limit must be an int of at least 1, not float"),
        ("retry", {}, TypeError, "ids must be a list of numbers of messages, not NoneType"),
        ("cancel", {"ids": 1}, TypeError, "ids must be a list of numbers of messages, not int"),
        ("forget", {"ids": [1, "2"]}, TypeError, "ids must be an int of at least 1, not str"),
    ],
)
async def test_bad_request_changes_nothing(
    tmp_path: Path, method: str, params: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    async with outbox(tmp_path) as box:
        await ended(box, "dead")
        await box.put("waits")
        before = box.buffer.statistics()
        with pytest.raises(kind, match=problem) as caught:
            await box.ask(method, **params)
        assert type(caught.value) is kind
        assert box.buffer.statistics() == before
        assert box.waiting() == ["waits"]
        assert len(await box.buffer.dead_letters()) == 1


def test_each_method_is_told_of() -> None:
    assert RequestHandler.answer.__doc__ is not None
    assert all(f"- ``{method}``" in RequestHandler.answer.__doc__ for method in PARAMS)
