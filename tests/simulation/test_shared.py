"""An outbox that hosts share: so many schedules that each bug shows, and they play the same each time."""

from __future__ import annotations

import sys

import pytest

from .play import play_shared

PLAYED = 800

SEEDS = {
    1714: "closed while a message is being taken back, which was then said not to be",
    3045: "the same, of another message",
    5106: "cut off between the dead letter and the taking out, and another host has sent it",
    10912: "closed while the watch is being handed what is too old",
    17718: "closed in the moment in which a put returns, whose Delivery nobody ended",
    117549: "not there at the second try to take it out, as it had been sent meanwhile",
    120816: "closed in the moment in which a put is cancelled, which waited for ever",
}
"""Schedules that once showed a bug: they stay for good."""


@pytest.mark.parametrize("seed", SEEDS)
def test_seed(seed: int) -> None:
    play_shared(seed)


@pytest.mark.parametrize("start", range(0, PLAYED, 100))
def test_hosts_that_share_an_outbox_lose_nothing_and_send_nothing_twice_unless_in_doubt(start: int) -> None:
    for seed in range(start, start + 100):
        try:
            play_shared(seed)
        except BaseException as error:
            error.add_note(f"python -m tests.simulation --shared --seed {seed}")
            raise


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_plays_the_same_each_time(seed: int) -> None:
    stories: list[list[str]] = [[], []]
    for story in stories:
        play_shared(seed, story)
    assert stories[0] == stories[1], f"on Python {sys.version}"
    assert len(stories[0]) > 5
