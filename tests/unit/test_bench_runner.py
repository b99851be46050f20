"""The runner of paired benchmarks: the order of its samples, what counts, and when garbage is collected."""

from __future__ import annotations

import gc

import pytest

from tests.bench.pairs import Figure, Sample, ratio


class Bench:
    """A clock that only its samples move, and what they did."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []
        self.collecting: set[bool] = set()

    def clock(self) -> float:
        return self.now

    def sample(self, name: str, *seconds: float) -> Sample:
        """A sample that takes each of these times in turn, and then the last one always."""
        left = list(seconds)

        async def run() -> None:
            self.ran.append(name)
            self.collecting.add(gc.isenabled())
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_pairs_run_in_turns_and_the_first_does_not_count() -> None:
    bench = Bench()
    figure = ratio(bench.sample("ours", 100, 3), bench.sample("theirs", 2), 3, bench.clock)
    assert bench.ran == ["theirs", "ours", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert figure == Figure(1.5, 1.5, 1.5)


def test_the_figure_is_the_median_of_the_pairs_with_quartiles() -> None:
    bench = Bench()
    figure = ratio(bench.sample("ours", 1, 5, 1, 3, 2, 400), bench.sample("theirs", 1), 5, bench.clock)
    assert figure == Figure(3, 2, 5)


def test_no_garbage_is_collected_in_a_sample() -> None:
    bench = Bench()
    ratio(bench.sample("ours", 1), bench.sample("theirs", 1), 2, bench.clock)
    assert bench.collecting == {False}
    assert gc.isenabled()


def test_a_failing_sample_leaves_the_garbage_collector_on() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        ratio(fail, Bench().sample("theirs", 1))
    assert gc.isenabled()
