"""Backoff: how long to wait before the next try. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import check_seconds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: a random part of a ceiling that doubles with each failure.

    Full jitter spreads the clients that an outage has put in step better than any other kind (Marc Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        initial: the ceiling of the first delay, in seconds.
        maximum: what the ceiling never exceeds, in seconds.

    Raises:
        TypeError, ValueError: what is no length of time, or a maximum below the initial ceiling.
    """

    initial: float = 0.5
    maximum: float = 60.0

    def __post_init__(self) -> None:
        check_seconds("initial", self.initial)
        check_seconds("maximum", self.maximum)
        if self.maximum < self.initial:
            raise ValueError(f"maximum must be at least initial={self.initial}, not {self.maximum}")

    def ceiling(self, failures: int) -> float:
        """The longest delay after so many failures in a row before this one, in seconds.

        Raises:
            ValueError: fewer than 0 failures.
        """
        if failures < 0:
            raise ValueError(f"failures must be an int of at least 0, not {failures}")
        doublings = min(failures, 1000)  # 2.0 ** 1024 is no float any more
        return float(min(self.maximum, self.initial * 2.0**doublings))

    def delay(self, failures: int, random: Callable[[], float] | None = None) -> float:
        """How long to wait this time.

        Args:
            failures: how many failures in a row there were before this one.
            random: gives numbers of at least 0 and less than 1; by default Python's.

        Returns:
            A delay in seconds, of at least 0 and at most :meth:`ceiling`.

        Raises:
            ValueError: fewer than 0 failures.
        """
        if random is None:
            import random as generator  # noqa: PLC0415, takes longer to import than half of this package

            random = generator.random
        return random() * self.ceiling(failures)
