"""backoff.py: exponential ceilings, and a random part of each."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.backoff import Backoff

seconds = st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False)


def test_ceiling_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(0.5, 60)
    assert [backoff.ceiling(failures) for failures in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_default_is_half_a_second_to_one_minute() -> None:
    assert Backoff() == Backoff(initial=0.5, maximum=60.0)


def test_ceiling_is_constant_if_both_are_equal() -> None:
    assert {Backoff(3, 3).ceiling(failures) for failures in (0, 1, 50)} == {3.0}


@given(initial=seconds, maximum=seconds, failures=st.integers(0, 10**30))
def test_ceiling_never_falls_and_never_exceeds_the_maximum(initial: float, maximum: float, failures: int) -> None:
    backoff = Backoff(min(initial, maximum), max(initial, maximum))
    now, then = backoff.ceiling(failures), backoff.ceiling(failures + 1)
    assert isinstance(now, float)
    assert 0 < now <= then <= backoff.maximum


def test_ceiling_bears_any_number_of_failures_and_any_size_of_int() -> None:
    assert Backoff().ceiling(10**400) == 60.0
    assert Backoff(10**300, 10**308).ceiling(10**9) == 1e308


@pytest.mark.parametrize("failures", [0, 1, 7, 5000])
def test_delay_is_that_part_of_the_ceiling(failures: int) -> None:
    backoff = Backoff(0.5, 60)
    assert backoff.delay(failures, lambda: 0.0) == 0.0
    assert backoff.delay(failures, lambda: 0.25) == backoff.ceiling(failures) / 4
    assert backoff.delay(failures, lambda: math.nextafter(1, 0)) < backoff.ceiling(failures)


def test_delay_is_spread_over_the_whole_range_by_default() -> None:
    backoff = Backoff(8, 8)
    delays = [backoff.delay(0) for _ in range(2000)]
    assert all(0 <= delay <= 8 for delay in delays)
    eighths = [sum(int(delay) == eighth for delay in delays) for eighth in range(8)]
    assert min(eighths) > 100, "each should have about 250: fewer than 100 does not happen by chance"


@pytest.mark.parametrize("call", [Backoff().ceiling, Backoff().delay])
def test_fewer_than_no_failures_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match=r"^failures must be an int of at least 0, not -1$"):
        call(-1)


@pytest.mark.parametrize("name", ["initial", "maximum"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (None, TypeError),
        ("1", TypeError),
    ],
)
def test_what_is_no_length_of_time_is_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name} must be a finite number of seconds, more than 0, not "):
        Backoff(**{name: value})


def test_a_maximum_below_the_initial_ceiling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^maximum must be at least initial=0.5, not 0.4$"):
        Backoff(maximum=0.4)


def test_backoff_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Backoff().initial = 1  # type: ignore[misc]
