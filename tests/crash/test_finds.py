"""That the harness finds losses where there are some: else its silence would say nothing."""

from __future__ import annotations

import pytest

from .images import PER_RECORDING, play
from .kills import kill_in_a_row
from .model import Level
from .program_cuts import PER_PROGRAM, cut_a_program
from .program_kills import kill_programs_in_a_row

POWER_SAFE = range(PER_RECORDING)
PROCESS_SAFE = range(3 * PER_RECORDING, 4 * PER_RECORDING)


def losses(seeds: range, synchronous: str | None = None, *, asked: bool = False) -> list[str]:
    """What is lost in these images; ``asked``: by what only ``power-safe`` promises."""
    promised: Level | None = "power-safe" if asked else None
    return [loss for seed in seeds if (loss := play(seed, promised=promised, synchronous=synchronous).loss)]


def test_nothing_is_lost() -> None:
    assert losses(POWER_SAFE) == []
    assert losses(PROCESS_SAFE) == []


def test_puts_that_are_not_synced_are_lost_with_the_power() -> None:
    lost = losses(POWER_SAFE, "NORMAL")
    assert len(lost) > PER_RECORDING // 5
    assert not any("corrupt" in loss.lower() for loss in lost)


def test_process_safe_does_not_keep_what_power_safe_promises() -> None:
    assert losses(PROCESS_SAFE, asked=True)


def test_a_file_that_is_never_synced_is_corrupt_after_a_cut() -> None:
    assert any("StoreCorrupt" in loss or "found corrupt" in loss for loss in losses(POWER_SAFE, "OFF"))


def test_an_image_is_the_same_each_time() -> None:
    assert play(3).where == play(3).where
    assert play(3, synchronous="NORMAL") == play(3, synchronous="NORMAL")


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_called_durable_before_it_is_stored_is_lost_in_a_kill(seed: int) -> None:
    assert kill_in_a_row(seed, kills=30, early=True).loss


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_buffer_calls_put_before_it_is_stored_is_lost_in_a_kill(seed: int) -> None:
    assert kill_programs_in_a_row(seed, kills=30, early=True).loss


def test_puts_of_a_buffer_that_are_not_synced_are_lost_with_the_power() -> None:
    lost = cut_a_program(0, synchronous="NORMAL")
    assert len(lost) > PER_PROGRAM // 5
    assert any("is lost" in loss for loss in lost)
    assert not any("damaged" in loss for loss in lost)


def test_an_outbox_that_is_never_synced_is_damaged_after_a_cut() -> None:
    assert any("damaged" in loss for loss in cut_a_program(0, synchronous="OFF"))
