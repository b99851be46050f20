"""SimulationLoop: asyncio's loop with a clock that jumps and an order of turns that is chosen.

A jumping clock alone finds no lost wake-up: whoever is ready must also come in any order. Who comes next is therefore
asked for at each step, and the answers make the schedule: from a seed, or one after the other, all of them.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from asyncio import base_events
from collections.abc import Callable, Coroutine
from typing import Any

from anyio._backends._asyncio import CancelScope

_EARLY = 24
"""One step in so many, the clock jumps although somebody is ready: who was ready has been slow."""


class Stuck(Exception):
    """Everybody sleeps, and there is no timer that would wake anybody."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number in its loop: so a set of tasks has the same order each time."""

    number = 0

    def __hash__(self) -> int:
        return self.number


_numbered: dict[int, tuple[CancelScope, int]] = {}


def _number_of_scope(scope: CancelScope) -> int:
    """The hash of a cancel scope, for the same reason: anyio keeps the scopes inside one in a set."""
    return _numbered.setdefault(id(scope), (scope, len(_numbered)))[1]


CancelScope.__hash__ = _number_of_scope  # type: ignore[assignment]


class SimulationLoop(base_events.BaseEventLoop):
    """A loop in which nothing happens that was not chosen.

    Args:
        choose: called with how many may be next, at least 2; returns which one is, from 0 on.
        early: called now and then to ask whether the clock jumps although somebody is ready.
        after_step: called after each step.
        at_rest: called when everybody sleeps, before the clock jumps.
    """

    def __init__(
        self,
        choose: Callable[[int], int],
        *,
        early: Callable[[], bool] = lambda: False,
        after_step: Callable[[], None] = lambda: None,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.steps = 0
        self._choose = choose
        self._early = early
        self._after_step = after_step
        self._at_rest = at_rest
        self._now = 1000.0
        self._tasks = 0
        _numbered.clear()
        self.set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> NumberedTask:
        self._tasks += 1
        task = NumberedTask.__new__(NumberedTask)
        task.number = self._tasks
        task.__init__(coroutine, loop=loop, **options)  # type: ignore[misc]
        return task

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        timers: Any = self._scheduled  # type: ignore[attr-defined]
        while timers and (timers[0]._cancelled or math.isinf(timers[0]._when)):
            heapq.heappop(timers)  # what sleeps for ever has one that never comes
        if not ready:
            self._at_rest()
            if not ready and not timers:
                raise Stuck
        if not ready or (timers and self.steps % _EARLY == 0 and self._early()):
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        if not ready:
            return
        chosen = self._choose(len(ready)) if len(ready) > 1 else 0
        handle = ready[chosen]
        del ready[chosen]
        self.steps += 1
        if not handle._cancelled:
            handle._run()
            self._after_step()

    def _process_events(self, event_list: Any) -> None:
        """There are no files."""

    def _write_to_self(self) -> None:
        """A thread has asked for a turn; whoever sleeps here is looked at in each step."""


def run(main: Callable[[], Coroutine[Any, Any, None]], loop: SimulationLoop) -> None:
    """Run a coroutine to its end in that loop; what any callback raises comes out here."""
    failures: list[BaseException] = []

    def note(_loop: object, context: dict[str, Any]) -> None:
        failures.append(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(note)
    loop.slow_callback_duration = 1e9
    asyncio.set_event_loop(None)
    try:
        loop.run_until_complete(main())
    except Stuck:
        if not failures:
            raise
    finally:
        for task in asyncio.all_tasks(loop):  # after a failure: let nobody complain of unfinished tasks
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
    if failures:
        raise failures[0]
