"""One schedule, from its seed."""

from __future__ import annotations

from random import Random

from .durable_oracle import DurableOracle
from .durable_scenario import DurableScenario
from .loop import SimulationLoop, Stuck, run
from .oracle import Oracle, Violation
from .scenario import Scenario
from .shared_oracle import SharedOracle
from .shared_scenario import SharedScenario
from .signal_scenario import SignalScenario

DURABLE = 4
"""The seeds that leave this over when divided by 5 play with a journal. The others are older, and stay as they were."""


def play(seed: int, story: list[str] | None = None) -> None:
    """Play the schedule of that seed.

    Args:
        seed: where everything comes from.
        story: gets a line for each thing that happens.

    Raises:
        Violation: a promise was broken.
    """
    random = Random(seed)
    oracle = (DurableOracle if seed % 5 == DURABLE else Oracle)(lambda: loop.time(), story)
    loop = SimulationLoop(
        lambda count: int(random.random() * count),
        early=lambda: random.random() < 0.5,
        after_step=oracle.after_step,
        at_rest=oracle.at_rest,
    )
    scenario: Scenario | DurableScenario
    if isinstance(oracle, DurableOracle):
        scenario = DurableScenario(random, oracle)
    else:
        scenario = random.choice((Scenario, Scenario, SignalScenario))(random, oracle)
    _to_the_end(scenario, loop)
    oracle.in_the_end()


def play_shared(seed: int, story: list[str] | None = None) -> None:
    """Play the schedule of that seed on an outbox that hosts share; these seeds are counted by themselves.

    Args:
        seed: where everything comes from.
        story: gets a line for each thing that happens.

    Raises:
        Violation: a promise was broken.
    """
    random = Random(seed)
    oracle = SharedOracle(lambda: loop.time(), story)
    loop = SimulationLoop(
        lambda count: int(random.random() * count), early=lambda: oracle.slow and random.random() < 0.5
    )
    _to_the_end(SharedScenario(random, oracle), loop)
    oracle.in_the_end()


def _to_the_end(scenario: Scenario | DurableScenario | SharedScenario, loop: SimulationLoop) -> None:
    try:
        run(scenario.play, loop)
    except Stuck:
        raise Violation("promise 11: everybody sleeps, and nothing will wake them") from None
