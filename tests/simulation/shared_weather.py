"""What happens on the way between hosts and servers, from the seed."""

from __future__ import annotations

from random import Random

from tests.engine.weather import Weather


class SeededWeather(Weather):
    """Fair at first; then things may be slow, and some lost, until it clears up.

    Args:
        random: where it comes from.

    Attributes:
        lost: how likely it is that a request, or an answer, is lost.
        is_slow: whether something is held up for long now and then.
    """

    def __init__(self, random: Random) -> None:
        self.lost = 0.0
        self.is_slow = False
        self._random = random

    def clear_up(self) -> None:
        """From now on, everything arrives soon, and JetStream is there."""
        self.lost = 0.0
        self.is_slow = False
        self.leader = "there"

    def delay(self) -> float:
        if self._random.random() < 0.6:
            return 0.0
        if self.is_slow and self._random.random() < 0.05:
            return self._random.choice((0.3, 1.0, 4.0))
        return self._random.random() * 0.01

    def loses(self, what: str) -> bool:  # noqa: ARG002, either is as likely
        return self.lost > 0 and self._random.random() < self.lost

    def arrives(self, waiting: int) -> int:
        return self._random.randint(0, waiting)
