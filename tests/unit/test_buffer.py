"""buffer.py: what is this buffer's own; its promises are in the conformance suites."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest
import trio
from anyio import create_task_group, current_time, sleep, to_thread, wait_all_tasks_blocked

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Delivery, MessageTooLarge, Outcome, Undelivered
from tests.clocks import jumping_backends

pytestmark = pytest.mark.anyio

SECRET = "meet +4915112345678 at noon"


async def coroutine_function(message: object) -> int:
    raise AssertionError(message)


# ---------------------------------------------------------------- arguments

NO_INTS: list[Any] = [True, 5.0, "5"]
BAD_TIMEOUTS: list[tuple[Any, type[Exception]]] = [
    (-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (False, TypeError),
]  # fmt: skip

INT, SECONDS = "an int of at least 1", "a finite number of seconds, more than 0, or None"
FUNCTION, POLICIES = "a function that is no coroutine function", "'drop_oldest', 'drop_newest', 'reject', 'wait'"

BAD_ARGUMENTS: list[tuple[str, list[Any], type[Exception], str]] = [
    ("max_size", [*NO_INTS, None], TypeError, INT),
    ("max_size", [0, -1], ValueError, INT),
    ("max_bytes", NO_INTS, TypeError, INT),
    ("max_bytes", [0, -1], ValueError, INT),
    ("ttl", [True, "5"], TypeError, SECONDS),
    ("ttl", [0, -1, float("nan"), float("inf")], ValueError, SECONDS),
    ("overflow", ["block", 1, None], ValueError, POLICIES),
    ("size_of", [5, coroutine_function], TypeError, FUNCTION),
    ("key", ["chat", coroutine_function], TypeError, FUNCTION),
    ("on_undelivered", [[], coroutine_function], TypeError, FUNCTION),
]


@pytest.mark.parametrize(
    ("name", "value", "error", "allowed"),
    [(name, value, error, allowed) for name, values, error, allowed in BAD_ARGUMENTS for value in values],
)
def test_bad_argument_is_named_with_what_is_allowed(
    name: str, value: Any, error: type[Exception], allowed: str
) -> None:
    options: dict[str, Any] = {"max_size": 5, name: value}
    with pytest.raises(error) as caught:
        AsyncMessageBuffer(**options)
    assert name in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "allowed"),
    [
        ({"ttl": 0}, ValueError, "ttl must be a finite number of seconds, more than 0, or None"),
        ({"ttl": True}, TypeError, "ttl must be a finite number of seconds, more than 0, or None"),
        ({"overflow": "block"}, ValueError, "overflow must be one of 'drop_oldest'"),
    ],
)
async def test_bad_argument_of_a_put_changes_nothing(
    options: dict[str, Any], error: type[Exception], allowed: str
) -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="reject")
    before = buffer.statistics()
    with pytest.raises(error, match=allowed):
        await buffer.put("a", **options)
    for messages in ("ab", ""):
        with pytest.raises(error, match=allowed):
            await buffer.put_many(messages, **options)
    with pytest.raises(error, match=allowed):
        buffer.put_nowait("a", **options)
    with pytest.raises(error, match=allowed):
        await to_thread.run_sync(partial(buffer.put_from_thread, "a", **options))
    assert buffer.statistics() == before


@pytest.mark.parametrize("messages", [5, None, object(), AsyncMessageBuffer])
async def test_messages_that_are_no_iterable_change_nothing(messages: Any) -> None:
    buffer = AsyncMessageBuffer[str](1, overflow="reject")
    with pytest.raises(TypeError, match=f"messages must be an iterable, not {type(messages).__name__}"):
        await buffer.put_many(messages)
    assert buffer.statistics().accepted == 0


async def test_bad_limit_and_bad_timeouts_are_refused() -> None:
    buffer = AsyncMessageBuffer[str]()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="limit must be an int of at least 1"):
            buffer.lease(bad)
    for bad in NO_INTS:
        with pytest.raises(TypeError, match="limit must be an int of at least 1"):
            buffer.lease(bad)
    for call in (buffer.flush, buffer.aclose):
        for timeout, error in BAD_TIMEOUTS:
            with pytest.raises(error, match="timeout must be a finite number of seconds, at least 0, or None"):
                await call(timeout)
    await buffer.put("a")
    await buffer.drain()


# ---------------------------------------------------------------- event loops


@pytest.mark.parametrize("backend", jumping_backends(), ids=["asyncio", "trio"])
def test_made_and_filled_before_a_loop_runs(backend: tuple[str, dict[str, Any]]) -> None:
    buffer = AsyncMessageBuffer[str]()
    early = buffer.put_nowait("early", ttl=5)
    late = buffer.put_nowait("late", ttl=60)
    assert len(buffer) == 2

    async def main() -> None:
        began = current_time()
        with pytest.raises(Undelivered):
            await early
        assert 4 < current_time() - began < 5.1, "its age goes on, on the loop's clock"
        await sleep(50)
        assert (early.outcome, late.outcome) == (Outcome.EXPIRED, None)
        assert await buffer.drain() == ["late"]

    anyio.run(main, backend=backend[0], backend_options=backend[1])


def _uses(buffer: AsyncMessageBuffer[str], delivery: Delivery[str]) -> list[Callable[[], Awaitable[object]]]:
    async def wait() -> object:
        return await delivery

    return [
        partial(buffer.put, "a"), partial(buffer.put, "a", ttl=1), partial(buffer.put_many, "ab"),
        partial(buffer.put_many, ""), buffer.drain, buffer.wait_nonempty, buffer.lease().__aenter__, buffer.flush,
        buffer.enforce_ttl, buffer.aclose, wait,
    ]  # fmt: skip


@pytest.mark.parametrize("second", ["asyncio", "trio"])
@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_use_in_a_second_loop_is_refused(first: str, second: str) -> None:
    buffer = AsyncMessageBuffer[str]()

    async def use() -> None:
        await buffer.drain()

    async def misuse() -> None:
        for call in _uses(buffer, delivery):
            with pytest.raises(RuntimeError, match="belongs to another event loop: make one buffer for each"):
                await call()

    anyio.run(use, backend=first)
    delivery = buffer.put_nowait("a")
    before = buffer.statistics()
    anyio.run(misuse, backend=second)
    assert buffer.statistics() == before
    assert delivery.cancel()


def test_resume_needs_no_loop() -> None:
    loop = asyncio.new_event_loop()
    buffer = AsyncMessageBuffer[str](key=len)
    buffer.resume()

    async def pause() -> None:
        await buffer.put("a")
        async with buffer.lease() as lease:
            next(iter(lease)).defer(3600)

    loop.run_until_complete(pause())
    buffer.resume(1)
    loop.run_until_complete(asyncio.wait_for(buffer.wait_nonempty(), 10))
    assert loop.run_until_complete(buffer.drain()) == ["a"]
    loop.close()


def test_use_without_a_loop_is_refused() -> None:
    buffer = AsyncMessageBuffer[str]()
    delivery = buffer.put_nowait("a")
    for call in _uses(buffer, delivery):
        with pytest.raises(RuntimeError, match="no event loop runs in this thread; from other threads, use put_from_t"):
            call().__await__().send(None)
    assert delivery.cancel()


def test_in_a_loop_that_moves_to_another_thread_a_put_still_wakes_who_waits() -> None:
    loop = asyncio.new_event_loop()
    buffer = AsyncMessageBuffer[str]()
    loop.run_until_complete(buffer.drain())
    waiting = threading.Event()

    async def wait() -> None:
        async with create_task_group() as tasks:
            tasks.start_soon(buffer.wait_nonempty)
            await wait_all_tasks_blocked()
            waiting.set()

    thread = threading.Thread(target=loop.run_until_complete, args=[wait()], daemon=True)
    thread.start()
    assert waiting.wait(10)
    delivery = buffer.put_nowait("a")  # in the thread that the loop ran in at first
    thread.join(10)
    assert not thread.is_alive()
    loop.close()
    assert delivery.cancel()


# ---------------------------------------------------------------- what it looks like


async def test_buffer_is_true_even_when_it_is_empty() -> None:
    buffer = AsyncMessageBuffer[str]()
    assert (bool(buffer), len(buffer), buffer.is_empty()) == (True, 0, True)


async def test_repr_tells_state_and_counts() -> None:
    buffer = AsyncMessageBuffer[str](5)
    assert repr(buffer) == "<AsyncMessageBuffer open, 0 of 5 messages>"
    await buffer.put("a")
    async with create_task_group() as tasks:
        tasks.start_soon(buffer.aclose, 60)
        await wait_all_tasks_blocked()
        assert repr(buffer) == "<AsyncMessageBuffer closing, 1 of 5 messages>"
        await buffer.drain()
    assert repr(buffer) == "<AsyncMessageBuffer closed, 0 of 5 messages>"


def test_forgotten_buffer_with_messages_warns() -> None:
    def forget() -> None:
        AsyncMessageBuffer[str](5).put_nowait(SECRET)
        gc.collect()

    with pytest.warns(ResourceWarning, match="open, 1 of 5 messages> was forgotten with messages in it") as caught:
        forget()
    assert SECRET not in str(caught[0].message)


def test_forgotten_buffer_without_messages_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AsyncMessageBuffer[str]()
        with pytest.raises(ValueError, match="max_size"):
            AsyncMessageBuffer(0)
        buffer = AsyncMessageBuffer[str]()
        buffer.put_nowait("a").cancel()
        del buffer
        gc.collect()


async def test_no_message_text_in_any_log_repr_or_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def fail(delivery: Delivery[str]) -> None:
        raise ValueError(delivery.message)

    caplog.set_level(logging.DEBUG)
    buffer = AsyncMessageBuffer[str](2, max_bytes=60, key=lambda _: "+4915112345678", on_undelivered=fail)
    shown: list[object] = [buffer]
    errors: list[BaseException] = []

    async def catch(error: type[Exception], call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(error) as caught:
            await call()
        errors.append(caught.value)

    dropped = await buffer.put(SECRET)
    shown += [dropped, await buffer.put(SECRET), await buffer.put(SECRET)]
    await catch(BufferFull, partial(buffer.put, SECRET, overflow="reject"))
    await catch(MessageTooLarge, partial(buffer.put, SECRET * 10))
    await catch(BufferFull, partial(buffer.put_many, [SECRET] * 3, overflow="reject"))
    await catch(MessageTooLarge, partial(buffer.put_many, [SECRET, SECRET * 10]))
    async with buffer.lease(2) as lease:
        await catch(BufferFull, partial(buffer.put, SECRET))
        shown += [lease, *lease]
        next(iter(lease)).reject("no such user")
    shown.append(buffer.statistics())
    await buffer.aclose()
    await catch(BufferClosed, partial(buffer.put, SECRET))

    async def wait() -> object:
        return await dropped

    await catch(Undelivered, wait)
    texts = [*map(repr, shown), caplog.text, *("".join(traceback.format_exception(error)) for error in errors)]
    assert len(caplog.records) == 3
    for text in texts:
        assert SECRET not in text
        assert "+49" not in text


# ---------------------------------------------------------------- races


async def test_lease_looks_again_when_its_message_is_gone_by_the_time_it_takes_it() -> None:
    buffer = AsyncMessageBuffer[str](on_undelivered=lambda _: second.cancel())
    await buffer.put("a", ttl=5)
    second = await buffer.put("b")
    await sleep(6)
    async with create_task_group() as tasks:
        messages: list[str] = []

        async def lease() -> None:
            async with buffer.lease() as lease:  # ends "a", upon which "b" is taken back
                messages.extend(entry.message for entry in lease)

        tasks.start_soon(lease)
        await wait_all_tasks_blocked()
        assert (second.outcome, messages) == (Outcome.CANCELLED, [])
        await buffer.put("c")
    assert messages == ["c"]
    assert await buffer.drain() == ["c"]


def test_trio_in_guest_mode_is_woken_by_a_put_of_its_host() -> None:
    """A graphical program: trio runs as the guest of another loop, whose callbacks run between trio's turns."""
    host = asyncio.new_event_loop()
    buffer = AsyncMessageBuffer[str]()

    async def guest() -> list[str]:
        await buffer.wait_nonempty()
        return await buffer.drain()

    done = host.create_future()
    trio.lowlevel.start_guest_run(
        guest, run_sync_soon_threadsafe=host.call_soon_threadsafe, done_callback=done.set_result
    )
    host.call_later(0.01, buffer.put_nowait, "pressed")
    assert host.run_until_complete(asyncio.wait_for(done, 10)).unwrap() == ["pressed"]
    host.close()


def test_put_from_thread_does_where_the_loop_ran_once_it_is_over() -> None:
    buffer = AsyncMessageBuffer[str](2, overflow="wait")

    async def use() -> None:
        await buffer.put("a")
        await buffer.drain()

    asyncio.run(use())
    assert buffer.put_from_thread("b").cancel()
