"""The sweep: a call is cancelled at the first point at which it waits, in the next run at the second, and so on.

A point is a moment at which the call, or a task that it has started, gives the event loop a turn. On asyncio an
awaitable around each coroutine sees it; trio tells it. A story makes a world, has the call run in it, brings about
what it waits for, and checks what has come of it; :func:`sweep` tells the story once for each point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from typing import Any, Generic, TypeVar

import pytest
import trio
from anyio import CancelScope, Event, fail_after, get_cancelled_exc_class, wait_all_tasks_blocked
from anyio.abc import TaskGroup

from tests.clocks import jumping_backends
from tests.conformance.harness import is_asyncio

R = TypeVar("R")

ASYNCIO_KINDS = ("scope", "task", "task as it wakes")
"""By a scope of anyio, or by ``task.cancel()``: while it falls asleep at that point, or just as it is woken there."""
TRIO_KINDS = ("scope",)

PATIENCE = 1e6
"""In seconds, for clocks that jump."""

_CALL: ContextVar[Call[Any] | None] = ContextVar("_CALL", default=None)


def every_kind(backends: list[Any] | None = None) -> pytest.MarkDecorator:
    """Runs a test with each kind of cancellation on each event loop that has it; by default with clocks that jump."""
    on_asyncio, on_trio = backends or jumping_backends()
    pairs = [(on_asyncio, kind) for kind in ASYNCIO_KINDS] + [(on_trio, kind) for kind in TRIO_KINDS]
    ids = [f"asyncio-{kind}" for kind in ASYNCIO_KINDS] + [f"trio-{kind}" for kind in TRIO_KINDS]
    return pytest.mark.parametrize(("anyio_backend", "kind"), pairs, ids=ids)


class Call(Generic[R]):
    """A call that is cancelled at one of its points.

    Args:
        kind: one of the kinds above.
        at: at which point, counted from 1.

    Attributes:
        points: how many points it has come to so far.
        state: "new", "running", "returned", "raised" or "cancelled".
        result: what it returned.
        error: what it raised.
    """

    def __init__(self, kind: str, at: int) -> None:
        self.points = 0
        self.state = "new"
        self.result: R | None = None
        self.error: Exception | None = None
        self._kind = kind
        self._at = at
        self._scope = CancelScope()
        self._task: asyncio.Task[Any] | None = None
        self._over = Event()

    def start_soon(self, tasks: TaskGroup, function: Callable[[], Awaitable[R]]) -> None:
        """Start it in a task of its own."""
        token = _CALL.set(self)  # which that task inherits, and whatever tasks it starts
        tasks.start_soon(self._run, function)
        _CALL.reset(token)

    async def start(self, tasks: TaskGroup, function: Callable[[], Awaitable[R]]) -> None:
        """Start it; returns once everybody waits for something."""
        self.start_soon(tasks, function)
        await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()  # a scope on asyncio cancels a turn later

    async def end(self) -> str:
        """Wait for its end; returns how it ended."""
        await self._over.wait()
        return self.state

    @property
    def cancelled(self) -> bool:
        """Whether it raised the cancellation. To be asked when it is over."""
        assert self.state in ("returned", "cancelled"), f"it was to be over by now: {self.state}: {self.error!r}"
        return self.state == "cancelled"

    async def _run(self, function: Callable[[], Awaitable[R]]) -> None:
        self._task = asyncio.current_task() if is_asyncio() else None
        self.state = "running"
        with self._scope:
            try:
                self.result = await function()
            except get_cancelled_exc_class():
                self.state = "cancelled"
                if self._kind == "scope":
                    raise
            except Exception as error:
                self.state, self.error = "raised", error
            except BaseExceptionGroup:  # of cancellations: trio's nurseries raise such; another error gets out of here
                self.state = "cancelled"
                raise
            else:
                self.state = "returned"
        if self._kind != "scope":
            with suppress(asyncio.CancelledError):  # one that came too late for the call
                await asyncio.sleep(0)
        self._over.set()

    def come_to_a_point(self, waits_for: asyncio.Future[Any] | None) -> None:
        """Be told of a point, and of the future there, if there is one; cancels if it is the one to cancel at."""
        if self.state != "running":
            return
        self.points += 1
        if self.points != self._at:
            return
        if self._kind == "scope":
            self._scope.cancel()
        elif self._kind == "task":
            self._cancel_task()
        elif waits_for is None:
            asyncio.get_running_loop().call_soon(self._cancel_task)
        else:
            waits_for.add_done_callback(self._cancel_task)

    def _cancel_task(self, _: object = None) -> None:
        if self.state == "running":
            assert self._task is not None
            self._task.cancel()


async def sweep(story: Callable[[Call[Any]], Awaitable[object]], kind: str, patience: float = PATIENCE) -> int:
    """Tell a story again and again, each time with its call cancelled at the next point.

    Args:
        story: starts the call that it is given, waits for its end, and checks what has come of it.
        kind: how to cancel.
        patience: after how many seconds a story that waits for nothing fails.

    Returns:
        How many points there were; at the last telling nothing was cancelled.
    """
    for at in count(1):
        call: Call[Any] = Call(kind, at)
        try:
            with _told_of_points(), fail_after(patience):
                await story(call)
            assert call.state not in ("new", "running"), "the story has not seen its call to its end"
            if call.points < at:
                assert call.state != "cancelled"
                return call.points
        except BaseException as error:
            error.add_note(f"the call was to be cancelled at point {at} by {kind}; it came to {call.points}")
            raise
    raise AssertionError


@contextmanager
def _told_of_points() -> Iterator[None]:
    """Have the event loop tell each call of its points."""
    if is_asyncio():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_make_task)
        try:
            yield
        finally:
            loop.set_task_factory(None)
    else:
        watch = _Watch()
        trio.lowlevel.add_instrument(watch)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(watch)


class _Watch(trio.abc.Instrument):
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        call = task.context.get(_CALL)
        if call is not None:
            call.come_to_a_point(None)


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, R] | Generator[Any, None, R], **options: Any
) -> asyncio.Task[R]:
    assert isinstance(coroutine, Coroutine)
    call = _CALL.get()
    return asyncio.Task(coroutine if call is None else _watched(call, coroutine), loop=loop, **options)


async def _watched(call: Call[Any], coroutine: Coroutine[Any, Any, R]) -> R:
    return await _Points(call, coroutine)


class _Points(Generic[R]):
    """Drives a coroutine, and tells a call whenever it gives the event loop a turn."""

    def __init__(self, call: Call[Any], coroutine: Coroutine[Any, Any, R]) -> None:
        self._call = call
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, R]:
        steps = self._coroutine.__await__()
        try:
            waits_for = next(steps)
            while True:
                self._call.come_to_a_point(waits_for)
                thrown: BaseException | None = None
                try:
                    yield waits_for
                except BaseException as error:
                    thrown = error
                try:
                    waits_for = next(steps) if thrown is None else steps.throw(thrown)
                finally:
                    del thrown  # its traceback holds this frame
        except StopIteration as stop:
            result: R = stop.value
            return result
