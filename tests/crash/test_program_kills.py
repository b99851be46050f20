"""Programs with a buffer and a journal in SQLite, killed at random."""

from __future__ import annotations

import pytest

from .program_kills import kill_programs_in_a_row


@pytest.mark.parametrize("seed", [2, 3])
def test_what_was_promised_is_there_after_a_kill(seed: int) -> None:
    assert kill_programs_in_a_row(seed).loss is None
