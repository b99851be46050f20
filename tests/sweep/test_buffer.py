"""The buffer: a call that raises a cancellation did not happen, at whatever point it came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, current_time, sleep, sleep_until, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferClosed, Delivery, FlushTimeout, Outcome, Undelivered
from tests.conformance.harness import Buffer, BufferSuite, check, ends, lease_all, put_all, start
from tests.sweep.sweep import Call, every_kind, sweep

pytestmark = pytest.mark.anyio


class InMemory(BufferSuite):
    def make(self, **options: Any) -> AbstractAsyncContextManager[Buffer]:
        return AsyncMessageBuffer[str](**options)


open_buffer = InMemory().open


def wake_for_nothing(buffer: Buffer) -> None:
    """Let who waits for a message look for one in vain, without giving anybody a turn."""
    assert buffer.put_nowait("x").cancel()


async def pause(buffer: Buffer, seconds: float) -> None:
    """Let what is queued wait for so long. This gives nobody a turn."""
    async with buffer.lease() as lease:
        next(iter(lease)).defer(seconds, "all")


# What has nothing to wait for


async def lease_and_leave(buffer: Buffer) -> None:
    async with buffer.lease():
        pass


async def enter_and_leave(buffer: Buffer) -> None:
    async with buffer:
        pass


AT_ONCE: dict[str, tuple[str, Callable[[Buffer], Awaitable[object]]]] = {
    "put, drop_oldest": ("", lambda buffer: buffer.put("new")),
    "put, drop_newest": ("", lambda buffer: buffer.put("new", overflow="drop_newest")),
    "put, reject": ("", lambda buffer: buffer.put("new", overflow="reject")),
    "put, wait": ("", lambda buffer: buffer.put("new", overflow="wait", ttl=5)),
    "put that drops the oldest": ("ab", lambda buffer: buffer.put("new")),
    "put that drops the newest": ("ab", lambda buffer: buffer.put("new", overflow="drop_newest")),
    "put_many": ("", lambda buffer: buffer.put_many(["new", "newer"])),
    "put_many that drops the oldest": ("ab", lambda buffer: buffer.put_many(["new", "newer"])),
    "put_many that drops the newest": ("a", lambda buffer: buffer.put_many(["new", "newer"], overflow="drop_newest")),
    "put_many of nothing": ("ab", lambda buffer: buffer.put_many([], overflow="wait")),
    "drain": ("ab", lambda buffer: buffer.drain()),
    "wait_nonempty": ("a", lambda buffer: buffer.wait_nonempty()),
    "lease": ("ab", lease_and_leave),
    "flush": ("", lambda buffer: buffer.flush(60)),
    "aclose": ("ab", lambda buffer: buffer.aclose()),
    "async with": ("ab", enter_and_leave),
}


@every_kind()
@pytest.mark.parametrize("name", AT_ONCE)
async def test_what_has_nothing_to_wait_for_has_no_point(kind: str, name: str) -> None:
    before, function = AT_ONCE[name]

    async def story(call: Call[Any]) -> None:
        async with open_buffer(max_size=2) as buffer, create_task_group() as tasks:
            await put_all(buffer, before)
            await call.start(tasks, partial(function, buffer))
            assert call.state == "returned"

    assert await sweep(story, kind) == 0


# put


@every_kind()
async def test_put_that_waits_for_room(kind: str) -> None:
    async def story(call: Call[Delivery[str]]) -> None:
        async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "a")
            await call.start(tasks, partial(buffer.put, "b"))
            other = await start(tasks, partial(buffer.put, "c"))
            await buffer.put("x", overflow="drop_newest", ttl=5)  # wakes who waits for nothing, now and in 5 s
            await sleep(6)
            assert await buffer.drain() == ["a"]
            await wait_all_tasks_blocked()
            check(buffer)
            assert other.state == ("returned" if call.cancelled else "running")
            assert await buffer.drain() == (["c"] if call.cancelled else ["b"])
            await wait_all_tasks_blocked()
            assert await buffer.drain() == ([] if call.cancelled else ["c"])
            assert buffer.statistics().accepted == (3 if call.cancelled else 4)

    assert await sweep(story, kind) >= 3


@every_kind()
async def test_put_of_a_large_message_that_holds_up_a_small_one(kind: str) -> None:
    async def story(call: Call[Delivery[str]]) -> None:
        async with open_buffer(max_bytes=4, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, ["aa", "a"])
            await call.start(tasks, partial(buffer.put, "bbbb"))
            other = await start(tasks, partial(buffer.put, "c"))
            assert (call.state, other.state) in (("running", "running"), ("cancelled", "returned"))
            assert await lease_all(buffer, 1) == "aa"
            await wait_all_tasks_blocked()
            assert buffer.statistics().waiting_to_put == (0 if other.state == "returned" else 2)
            assert await lease_all(buffer, 1) == "a"
            assert await call.end() == ("cancelled" if other.state == "returned" else "returned")
            assert await lease_all(buffer, 1) == ("c" if call.cancelled else "bbbb")
            await wait_all_tasks_blocked()
            assert other.state == "returned"
            assert await buffer.drain() == ([] if call.cancelled else ["c"])
            check(buffer, 4)

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_put_that_drops_and_waits_behind_others(kind: str) -> None:
    """It sees to it that those before it get in, which it does not when it was cancelled."""

    async def story(call: Call[Delivery[str]]) -> None:
        async with open_buffer(max_size=2) as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            async with buffer.lease():
                others = [await start(tasks, partial(buffer.put, message, overflow="wait")) for message in "cd"]
                await call.start(tasks, partial(buffer.put, "e"))
                check(buffer)
                assert await call.end() != "raised"
                assert buffer.statistics().waiting_to_put == [each.state for each in others].count("running")
            left = await buffer.drain()
            await wait_all_tasks_blocked()
            left += await buffer.drain()
            assert [each.state for each in others] == ["returned", "returned"]
            assert left == sorted(left) and left[0] == "a"
            assert (left[-1] == "e") is not call.cancelled
            assert buffer.statistics().accepted == (4 if call.cancelled else 5)

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_put_many_that_waits_for_room_for_all(kind: str) -> None:
    async def story(call: Call[list[Delivery[str]]]) -> None:
        async with open_buffer(max_size=3, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            await call.start(tasks, partial(buffer.put_many, "xyz"))
            other = await start(tasks, partial(buffer.put_many, "de"))
            assert await lease_all(buffer, 1) == "a"
            await wait_all_tasks_blocked()
            await buffer.put_many("no", overflow="drop_newest", ttl=5)  # wakes who waits for nothing
            assert buffer.statistics().waiting_to_put == 2 - (call.state == "cancelled")
            assert await lease_all(buffer, 1) == "b"
            await wait_all_tasks_blocked()
            check(buffer)
            assert (other.state == "returned") is (call.state == "cancelled")
            assert await lease_all(buffer, 1) == "c"
            await wait_all_tasks_blocked()
            left = await buffer.drain()
            assert left == (["d", "e"] if call.cancelled else ["x", "y", "z"]), "some of them, or in between"
            await wait_all_tasks_blocked()
            assert other.state == "returned", "the wake-up was not passed on"
            assert await buffer.drain() == ([] if call.cancelled else ["d", "e"])
            assert buffer.statistics().accepted == (7 if call.cancelled else 10)

    assert await sweep(story, kind) >= 2


@every_kind()
async def test_put_many_that_drops_and_waits_behind_others(kind: str) -> None:
    async def story(call: Call[list[Delivery[str]]]) -> None:
        async with open_buffer(max_size=3) as buffer, create_task_group() as tasks:
            await put_all(buffer, "abc")
            async with buffer.lease():
                other = await start(tasks, partial(buffer.put_many, "de", overflow="wait"))
                await call.start(tasks, partial(buffer.put_many, "fg"))
                check(buffer)
                assert await call.end() != "raised"
            left = await buffer.drain()
            await wait_all_tasks_blocked()
            left += await buffer.drain()
            assert other.state == "returned"
            # Cancelled after it had joined the line, it may have let the others in already.
            assert left in ([["a", "f", "g"]] if not call.cancelled else [[*"abcde"], [*"ade"]])

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_put_whose_buffer_closes_while_it_waits(kind: str) -> None:
    async def story(call: Call[Delivery[str]]) -> None:
        async with open_buffer(max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await put_all(buffer, "a")
            await call.start(tasks, partial(buffer.put, "b"))
            assert await buffer.aclose() == ["a"]
            assert await call.end() in ("cancelled", "raised")
            assert isinstance(call.error, BufferClosed | None)
            assert buffer.statistics().accepted == 1

    assert await sweep(story, kind) >= 1


# wait_nonempty, lease


@every_kind()
async def test_wait_nonempty(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        async with open_buffer() as buffer, create_task_group() as tasks:
            await call.start(tasks, buffer.wait_nonempty)
            other = await start(tasks, buffer.wait_nonempty)
            wake_for_nothing(buffer)
            await wait_all_tasks_blocked()
            began = current_time()
            await put_all(buffer, "a")
            await pause(buffer, 10)
            await sleep_until(began + 9)
            assert call.state in ("running", "cancelled") and other.state == "running"
            await sleep_until(began + 11)
            await call.end()
            assert other.state == "returned", "the wake-up was not passed on"
            assert await lease_all(buffer) == "a"

    assert await sweep(story, kind) >= 3


@every_kind()
async def test_lease_from_entering_to_leaving(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        acked: list[str] = []

        async def send_three() -> None:
            async with buffer.lease(3) as lease:
                for entry in lease:
                    entry.begin()
                    await checkpoint()
                    assert entry.ack()
                    acked.append(entry.message)

        async with open_buffer() as buffer, create_task_group() as tasks:
            await call.start(tasks, send_three)
            other = await start(tasks, partial(lease_all, buffer, 1))
            wake_for_nothing(buffer)
            await wait_all_tasks_blocked()
            await put_all(buffer, "abcd")
            async with buffer.lease():  # before the others have their turn
                await wait_all_tasks_blocked()
            await call.end()
            await wait_all_tasks_blocked()
            check(buffer)
            assert isinstance(other.result, str), "the wake-up was not passed on"
            assert (len(acked) < 3) is call.cancelled
            left = await buffer.drain()
            assert acked == sorted(acked) and left == sorted(left)
            assert sorted([*acked, *left, other.result]) == list("abcd")
            counts = buffer.statistics()
            assert (counts.sent, counts.leased, counts.late) == (len(acked) + 1, 0, 0)

    assert await sweep(story, kind) >= 6


# flush, enforce_ttl, Delivery


@every_kind()
@pytest.mark.parametrize("timeout", [None, 60, 5])
async def test_flush(kind: str, timeout: float | None) -> None:
    async def story(call: Call[None]) -> None:
        async with open_buffer() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            await call.start(tasks, partial(buffer.flush, timeout))
            other = await start(tasks, buffer.flush)
            await buffer.put("c", ttl=3)  # wakes all who sleep longer than that, and is nothing that they wait for
            assert await lease_all(buffer, 1) == "a"
            await sleep(10)
            assert await lease_all(buffer, 1) == "b"
            await call.end()
            assert call.state in ("cancelled", "raised" if timeout == 5 else "returned")
            assert isinstance(call.error, FlushTimeout | None)
            await wait_all_tasks_blocked()
            assert other.state == "returned"
            assert buffer.statistics().expired == 1

    assert await sweep(story, kind) >= 2


@every_kind()
async def test_enforce_ttl(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        ended: list[float] = []
        began = current_time()

        def note(_: Delivery[str]) -> None:
            ended.append(current_time() - began)

        async with open_buffer(on_undelivered=note) as buffer, create_task_group() as tasks:

            async def take_over() -> None:
                if await call.end() == "cancelled":
                    await buffer.enforce_ttl()

            await buffer.put("b", ttl=10)
            await call.start(tasks, buffer.enforce_ttl)
            tasks.start_soon(take_over)
            await buffer.put("a", ttl=5)  # sooner than what it sleeps for
            await buffer.put("c", ttl=15)
            await sleep_until(began + 20)
            assert ended == pytest.approx([5, 10, 15], abs=0.5)
            await buffer.aclose()
            await call.end()

    assert await sweep(story, kind) >= 4


@every_kind()
@pytest.mark.parametrize("sent", [True, False])
async def test_awaiting_a_delivery_that_becomes_too_old_while_it_is_leased(kind: str, sent: bool) -> None:
    async def story(call: Call[Any]) -> None:
        async with open_buffer() as buffer, create_task_group() as tasks:
            delivery = await buffer.put("a", ttl=5)

            async def wait() -> Any:
                return await delivery

            await call.start(tasks, wait)
            other = await start(tasks, wait)
            async with buffer.lease() as lease:
                (entry,) = lease
                entry.begin()
                await sleep(10)
                assert len(lease) == 1 and call.state in ("running", "cancelled")
                if sent:
                    entry.ack("done")
            await call.end()
            await wait_all_tasks_blocked()
            if sent:
                assert (delivery.outcome, other.result) == (Outcome.SENT, "done")
                assert call.result == (None if call.cancelled else "done")
            else:
                assert delivery.outcome is Outcome.EXPIRED and isinstance(other.error, Undelivered)
                assert call.state in ("cancelled", "raised")

    assert await sweep(story, kind) >= 2


# aclose, async with


@every_kind()
@pytest.mark.parametrize("timeout", [None, 60])
async def test_aclose_that_flushes(kind: str, timeout: float | None) -> None:
    async def story(call: Call[list[str]]) -> None:
        async with open_buffer() as buffer, create_task_group() as tasks:
            await put_all(buffer, "ab")
            await buffer.put("c", ttl=5)
            await call.start(tasks, partial(buffer.aclose, timeout))
            assert await lease_all(buffer, 1) == "a"
            await sleep(10)
            late = await start(tasks, partial(buffer.put, "d"))
            assert late.state == ("returned" if call.state == "cancelled" else "raised")
            assert isinstance(late.error, BufferClosed | None)
            assert await lease_all(buffer, 1) == "b"
            await call.end()
            if call.cancelled:
                await buffer.put("e")
                assert await buffer.drain() == (["d", "e"] if late.state == "returned" else ["e"]), "it is open again"
            else:
                assert call.result == []
                with pytest.raises(BufferClosed):
                    await buffer.put("e")

    assert await sweep(story, kind) >= 2


@every_kind()
async def test_aclose_cancelled_while_another_one_closes(kind: str) -> None:
    async def story(call: Call[list[str]]) -> None:
        async with open_buffer() as buffer, create_task_group() as tasks:
            delivery = (await put_all(buffer, "a"))[0]
            await call.start(tasks, partial(buffer.aclose, 60))
            other = await start(tasks, partial(buffer.aclose, 30))
            with pytest.raises(BufferClosed):
                await buffer.put("b")
            await call.end() if call.state == "cancelled" else await sleep(40)
            if call.state != "running":
                with pytest.raises(BufferClosed):
                    await buffer.put("b")
            await ends(delivery)
            await call.end()
            assert (call.result or []) + (other.result or []) == ["a"]

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_async_with(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        buffer: Buffer = AsyncMessageBuffer(2, overflow="wait", on_undelivered=lambda each: lost.append(each.message))
        lost: list[str] = []
        sent: list[str] = []

        async def use() -> None:
            async with buffer:
                await put_all(buffer, "ab")
                async with create_task_group() as tasks:
                    tasks.start_soon(put_all, buffer, "cde")
                    for _ in range(4):
                        async with buffer.lease() as lease:
                            for entry in lease:
                                await checkpoint()
                                entry.ack()
                                sent.append(entry.message)

        async with create_task_group() as tasks:
            await call.start(tasks, use)
            await call.end()
        check(buffer)
        with pytest.raises(BufferClosed):
            await buffer.put("f")
        counts = buffer.statistics()
        assert (len(buffer), counts.abandoned, counts.waiting_to_put) == (0, len(lost), 0)
        assert "".join(sent + lost) == "abcde"[: counts.accepted]
        assert call.cancelled or (sent, lost) == (list("abcd"), ["e"])

    assert await sweep(story, kind) >= 8
