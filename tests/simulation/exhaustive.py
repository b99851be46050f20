"""All the schedules of a small case, up to so many deviations from the order in which asyncio itself would go."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from .loop import SimulationLoop, Stuck, run
from .oracle import Oracle, Violation

Case = Callable[[Oracle], Coroutine[Any, Any, None]]
"""Sets ``oracle.buffer``, does something with it, and closes it; called anew for each schedule."""

Deviations = tuple[tuple[int, int], ...]
"""At which choice, the how-manieth instead of the first."""


class _Chooser:
    """Takes the first, but where it is told to deviate; remembers how many there were to choose from."""

    def __init__(self, deviations: Deviations) -> None:
        self._deviations = dict(deviations)
        self.counts: list[int] = []

    def __call__(self, count: int) -> int:
        self.counts.append(count)
        return self._deviations.get(len(self.counts) - 1, 0)


def play(case: Case, deviations: Deviations, story: list[str] | None = None) -> list[int]:
    """Play one schedule.

    Returns:
        From how many there was to choose, at each choice.

    Raises:
        Violation: a promise was broken.
    """
    chooser = _Chooser(deviations)
    oracle = Oracle(lambda: loop.time(), story)
    loop = SimulationLoop(chooser, after_step=oracle.after_step, at_rest=oracle.at_rest)
    try:
        run(lambda: case(oracle), loop)
    except Stuck:
        raise Violation("promise 11: everybody sleeps, and nothing will wake them") from None
    oracle.in_the_end()
    return chooser.counts


def schedules(case: Case, at_most: int) -> Iterator[Deviations]:
    """Play all the schedules with at most so many deviations; each is yielded once it has passed."""
    todo: list[Deviations] = [()]
    while todo:
        deviations = todo.pop()
        try:
            counts = play(case, deviations)
        except Exception as error:
            error.add_note(f"deviations: {deviations}")
            raise
        yield deviations
        if len(deviations) < at_most:
            first = deviations[-1][0] + 1 if deviations else 0
            todo += [(*deviations, (at, other)) for at in range(first, len(counts)) for other in range(1, counts[at])]
