"""sweep.py: no point is left out, and a call that is cancelled is told from one that is not."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import Event, create_task_group, sleep
from anyio.lowlevel import checkpoint

from tests.sweep.sweep import ASYNCIO_KINDS, Call, every_kind, sweep

pytestmark = pytest.mark.anyio


@every_kind()
async def test_each_point_is_cancelled_once(kind: str) -> None:
    reached: list[list[str]] = []

    async def steps() -> None:
        reached.append([])
        for name in ("first", "second", "third"):
            await sleep(1)
            reached[-1].append(name)

    async def story(call: Call[Any]) -> None:
        async with create_task_group() as tasks:
            await call.start(tasks, steps)
            await call.end()
            assert call.cancelled is (len(reached[-1]) < 3)

    assert await sweep(story, kind) == 3
    assert reached == [[], ["first"], ["first", "second"], ["first", "second", "third"]]


@every_kind()
async def test_call_that_never_waits_has_no_point(kind: str) -> None:
    async def story(call: Call[int]) -> None:
        async def never_wait() -> int:
            return 5

        async with create_task_group() as tasks:
            await call.start(tasks, never_wait)
        assert (call.state, call.result) == ("returned", 5)

    assert await sweep(story, kind) == 0


@every_kind()
async def test_tasks_of_a_call_have_points_too(kind: str) -> None:
    async def wait() -> None:
        for _ in range(10):
            await checkpoint()

    async def start_three() -> None:
        async with create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)

    async def story(call: Call[Any]) -> None:
        async with create_task_group() as tasks:
            await call.start(tasks, start_three)
            await call.end()

    assert await sweep(story, kind) > 30


@every_kind()
async def test_error_of_a_call_is_no_cancellation(kind: str) -> None:
    ends: list[str] = []

    async def fail() -> None:
        await sleep(1)
        raise LookupError

    async def story(call: Call[Any]) -> None:
        async with create_task_group() as tasks:
            await call.start(tasks, fail)
            ends.append(await call.end())

    assert await sweep(story, kind) == 1
    assert ends == ["cancelled", "raised"]


@every_kind()
async def test_call_woken_and_cancelled_at_once(kind: str) -> None:
    """Only a task's own cancellation can do that; a scope's comes at the next point."""
    woken, ends = [], []

    async def story(call: Call[Any]) -> None:
        event = Event()
        async with create_task_group() as tasks:
            await call.start(tasks, event.wait)
            woken.append(call.state == "running")
            event.set()
            ends.append(await call.end())

    assert await sweep(story, kind) == 1
    assert ends == ["cancelled", "returned"]
    assert woken == [kind == ASYNCIO_KINDS[2], True]


@every_kind()
async def test_story_that_forgets_its_call_fails(kind: str) -> None:
    async def story(_: Call[Any]) -> None:
        pass

    with pytest.raises(AssertionError, match="has not seen its call"):
        await sweep(story, kind)
