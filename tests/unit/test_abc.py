"""abc.py: the values that are handed over, and what every buffer inherits."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough.abc import BufferStatistics, MessageBuffer
from ridethrough.delivery import Outcome

pytestmark = pytest.mark.anyio


class Buffer(MessageBuffer[str]):
    """A buffer that counts how often it was closed, and has nothing else."""

    closed = 0

    async def aclose(self, timeout: float | None = 0) -> list[str]:
        assert timeout == 0
        self.closed += 1
        return []

    put: Any = None
    put_many: Any = None
    resume: Any = None
    drain: Any = None
    wait_nonempty: Any = None
    lease: Any = None
    flush: Any = None
    statistics: Any = None
    enforce_ttl: Any = None


def test_statistics_have_a_counter_for_each_outcome() -> None:
    assert {outcome.value for outcome in Outcome} <= set(BufferStatistics._fields)


def test_ended_is_the_sum_over_all_outcomes() -> None:
    counts = dict.fromkeys(BufferStatistics._fields, 0)
    for power, outcome in enumerate(Outcome):
        counts[outcome.value] = 2**power
    others = {name: 10**6 for name in counts if name not in tuple(Outcome)}
    assert BufferStatistics(**counts | others).ended == 2 ** len(Outcome) - 1


def test_message_buffer_says_what_a_buffer_must_have() -> None:
    with pytest.raises(TypeError, match="abstract"):
        MessageBuffer()  # type: ignore[abstract]


async def test_leaving_a_buffer_closes_it() -> None:
    async with Buffer() as buffer:
        assert isinstance(buffer, Buffer) and buffer.closed == 0
    assert buffer.closed == 1


async def test_leaving_a_buffer_by_an_error_closes_it_and_lets_the_error_pass() -> None:
    buffer = Buffer()
    with pytest.raises(KeyError):
        async with buffer:
            raise KeyError
    assert buffer.closed == 1
