"""Schedules that once showed a bug, or that show much at once: they stay for good."""

from __future__ import annotations

import sys

import pytest

from .play import play

SEEDS = {
    17: "a message that was rejected as poison, and was in doubt (found on 3.11)",
    100: "closed in the moment in which the answer came",
    360: "a connect that hangs until its time is up, again and again",
    591: "a putter that waits for bytes, not for a place",
    2765: "a batch during which the pause of an older message ends",
    3114: "the power is cut before it is durable that a put which was refused after all has been erased",
    3409: "killed before a put that was refused after all has been erased",
    5089: "the same, of a put that drops old messages",
    209825: "a pause for one target, in a buffer without keys",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_seed(seed: int) -> None:
    play(seed)


@pytest.mark.parametrize("seed", range(40))
def test_a_seed_plays_the_same_each_time(seed: int) -> None:
    stories: list[list[str]] = [[], []]
    for story in stories:
        play(seed, story)
    assert stories[0] == stories[1], f"on Python {sys.version}"
    assert len(stories[0]) > 5
