"""The shell under load: two thousand messages from eight processes, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.shell import Course, judge, play


def test_two_thousand_messages_while_the_daemon_and_the_owner_are_killed(tmp_path: Path) -> None:
    judge(play(tmp_path))


@pytest.mark.parametrize(
    ("arrived", "what"),
    [
        (["0-0", "1-0", "1-1"], "lost"),
        (["0-1", "0-0", "1-0", "1-1"], "came after"),
        (["0-0", "0-0", "0-0", "0-1", "1-0", "1-1"], "came twice"),
    ],
)
def test_judge_sees(arrived: list[str], what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        judge(Course(arrived, stops=1, kills=0), senders=2, each=2)
