"""intake.py: sizes, keys, and putters in other threads; the policies are in the conformance suites."""

from __future__ import annotations

import threading
from array import array
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, to_thread

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, MessageTooLarge, Outcome, Overflow
from tests.conformance.harness import start, until

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- sizes and keys


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b"12345", 5),
        (bytearray(b"12345"), 5),
        (memoryview(array("i", [1, 2])), 2 * array("i").itemsize),
        ("aé€", 6),
        ("\N{PILE OF POO}", 4),
        ("\udcff", 3),  # what surrogateescape has made of a byte
        ("", 0),
        (b"", 0),
    ],
)
def test_size_of_what_tells_it_is_its_bytes(message: Any, size: int) -> None:
    buffer = AsyncMessageBuffer[Any](max_bytes=8)
    buffer.put_nowait(message).cancel()
    assert buffer.statistics().size == 0
    delivery = buffer.put_nowait(message)
    assert buffer.statistics().size == size
    assert delivery.cancel()


@pytest.mark.parametrize("message", [5, None, {"text": "hello"}, ["hello"], object()])
def test_other_messages_need_size_of_with_max_bytes(message: Any) -> None:
    buffer = AsyncMessageBuffer[Any](max_bytes=8)
    with pytest.raises(TypeError, match=f"max_bytes with messages of type {type(message).__name__} needs size_of="):
        buffer.put_nowait(message)
    assert buffer.statistics().accepted == 0
    for able in (AsyncMessageBuffer[Any](), AsyncMessageBuffer[Any](max_bytes=8, size_of=lambda _: 8)):
        assert able.put_nowait(message).cancel()


@pytest.mark.parametrize(
    ("size", "error"), [(True, TypeError), (1.0, TypeError), (None, TypeError), ("1", TypeError), (-1, ValueError)]
)
def test_bad_result_of_size_of_changes_nothing(size: Any, error: type[Exception]) -> None:
    buffer = AsyncMessageBuffer[str](max_bytes=8, size_of=lambda _: size)
    with pytest.raises(error, match="size_of must return an int of at least 0"):
        buffer.put_nowait("a")
    assert buffer.statistics().accepted == 0


def test_size_of_is_not_asked_without_max_bytes() -> None:
    def fail(message: str) -> int:
        raise AssertionError(message)

    buffer = AsyncMessageBuffer[str](size_of=fail)
    assert buffer.put_nowait("a").cancel()


def test_key_that_cannot_be_hashed_changes_nothing() -> None:
    def key(message: str) -> Any:
        return [message]

    buffer = AsyncMessageBuffer[str](key=key)
    with pytest.raises(TypeError, match="key must return something hashable, not list"):
        buffer.put_nowait("a")
    assert buffer.statistics().accepted == 0


@pytest.mark.parametrize("option", ["key", "size_of"])
def test_what_a_callback_raises_reaches_the_putter_and_changes_nothing(option: str) -> None:
    def fail(message: str) -> float:
        return 1 / len(message)

    options: dict[str, Any] = {option: fail}
    buffer = AsyncMessageBuffer[str](max_bytes=8, **options)
    with pytest.raises(ZeroDivisionError):
        buffer.put_nowait("")
    assert buffer.statistics().accepted == 0


def test_callbacks_may_use_the_buffer() -> None:
    buffer = AsyncMessageBuffer[str](key=lambda _: len(buffer))
    buffer.put_nowait("a").cancel()
    assert buffer.is_empty()


def test_size_and_limit_are_in_the_error() -> None:
    with pytest.raises(MessageTooLarge, match="the message has 9 bytes, and this buffer takes at most max_bytes=8"):
        AsyncMessageBuffer[str](max_bytes=8).put_nowait("123456789")


# ---------------------------------------------------------------- threads


async def test_put_from_thread_in_the_loops_own_thread_may_not_wait() -> None:
    buffer = AsyncMessageBuffer[str](1)
    await buffer.put("a")
    with pytest.raises(RuntimeError, match="put_from_thread would block the event loop"):
        buffer.put_from_thread("b", overflow=Overflow.WAIT)
    waiting = AsyncMessageBuffer[str](1, overflow="wait")
    await waiting.drain()
    with pytest.raises(RuntimeError, match="put_from_thread would block the event loop"):
        waiting.put_from_thread("b")
    with pytest.raises(ValueError, match="overflow must be one of"):
        buffer.put_from_thread("b", overflow="block")
    assert buffer.put_from_thread("b", overflow="drop_newest").outcome is Outcome.DROPPED
    assert buffer.put_from_thread("c").outcome is None
    assert await buffer.drain() == ["c"]


async def test_thread_waits_for_room() -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="wait")
    await buffer.put("a")
    async with create_task_group() as tasks:
        tasks.start_soon(partial(to_thread.run_sync, buffer.put_from_thread, "b"))
        await until(lambda: buffer.statistics().waiting_to_put == 1)
        assert await buffer.drain() == ["a"]
    assert await buffer.drain() == ["b"]


def test_thread_that_waits_gets_in_when_a_message_expires_and_nobody_touches_the_buffer() -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="wait")
    old = buffer.put_nowait("old", ttl=0.02)
    put: list[Delivery[str]] = []
    thread = threading.Thread(target=lambda: put.append(buffer.put_from_thread("new")), daemon=True)
    thread.start()
    thread.join(3)
    assert (old.outcome, len(put)) == (Outcome.EXPIRED, 1)
    assert put[0].cancel()


def test_thread_waits_for_room_where_no_loop_runs() -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="wait")
    first = buffer.put_nowait("a")
    put: list[Delivery[str]] = []
    thread = threading.Thread(target=lambda: put.append(buffer.put_from_thread("b")), daemon=True)
    thread.start()
    while buffer.statistics().waiting_to_put == 0:
        assert thread.is_alive()
    assert first.cancel()
    thread.join(10)
    with pytest.raises(BufferFull):
        buffer.put_nowait("c", overflow="reject")
    assert put[0].cancel()


# ---------------------------------------------------------------- the line


class Stop(BaseException):
    """What ends a program, like KeyboardInterrupt."""


@pytest.mark.parametrize("from_thread", [False, True])
async def test_books_stay_right_when_a_callback_stops_a_putter_in_its_turn(from_thread: bool) -> None:
    def stop(delivery: Delivery[str]) -> None:
        raise Stop(delivery)

    async def put() -> None:
        with pytest.raises(Stop):
            if from_thread:
                await to_thread.run_sync(buffer.put_from_thread, "xyz")
            else:
                await buffer.put("xyz")

    buffer = AsyncMessageBuffer[str](max_bytes=10, on_undelivered=stop)
    for message in ("1234", "567", "89"):
        await buffer.put(message)
    async with buffer.lease(), create_task_group() as tasks:
        large = await start(tasks, partial(buffer.put, "abcdefg", overflow="wait"))
        tasks.start_soon(put)
        await until(lambda: buffer.statistics().waiting_to_put == 2)
        large.cancel("scope")  # now it is the turn of the other one, which drops "567"
    assert (buffer.statistics().waiting_to_put, buffer.statistics().dropped) == (0, 1)
    assert await buffer.drain() == ["1234", "89", "xyz"]


async def test_buffer_full_tells_how_full_in_what() -> None:
    buffer = AsyncMessageBuffer[str](3, max_bytes=4, overflow="reject")
    await buffer.put("abc")
    with pytest.raises(BufferFull, match=r"^the buffer is full: 1 of 3 messages, 3 of 4 bytes$"):
        await buffer.put("de")
    assert await buffer.drain() == ["abc"]


async def test_messages_put_together_are_gone_through_once() -> None:
    asked: list[tuple[str, str]] = []

    def key(message: str) -> str:
        asked.append(("key", message))
        return message

    def size_of(message: str) -> int:
        asked.append(("size", message))
        return 4

    buffer = AsyncMessageBuffer[str](max_bytes=10, key=key, size_of=size_of, overflow="wait")
    async with create_task_group() as tasks:
        await buffer.put_many(iter("ab"))
        waits = await start(tasks, partial(buffer.put_many, iter("cd")))
        assert await buffer.drain() == ["a", "b"]
    assert waits.state == "returned"
    assert asked == [(what, message) for message in "abcd" for what in ("key", "size")]
    assert await buffer.drain() == ["c", "d"]


async def test_messages_put_together_that_cannot_all_get_in_change_nothing() -> None:
    buffer = AsyncMessageBuffer[Any](3, max_bytes=8)
    await buffer.put(b"12345678")
    with pytest.raises(TypeError, match="max_bytes with messages of type int needs size_of="):
        await buffer.put_many([b"1", 5])
    with pytest.raises(BufferFull, match=r"^together they never fit in: 4 of 3 messages, 0 of 8 bytes$"):
        await buffer.put_many([b""] * 4)
    assert buffer.statistics().accepted == 1
    assert len(await buffer.put_many([b""] * 3)) == 3
    assert await buffer.drain() == [b""] * 3
