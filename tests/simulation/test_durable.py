"""Programs with a journal, one after the other, and some of them killed: so many schedules that each bug shows."""

from __future__ import annotations

import pytest

from .play import DURABLE, play

PLAYED = 3_000


@pytest.mark.parametrize("start", range(0, PLAYED, 500))
def test_what_was_promised_is_there_after_a_kill(start: int) -> None:
    for seed in range(start + DURABLE, start + 500, 5):
        try:
            play(seed)
        except BaseException as error:
            error.add_note(f"python -m tests.simulation --seed {seed}")
            raise
