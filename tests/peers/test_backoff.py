"""How often it is tried: backoff, its start anew, and the stampede.

Index: how far apart; when the backoff starts anew; many clients at once.

The peers: paho.mqtt.python and mosquitto (reconnect_delay_set), websockets, aioesphomeapi, and the issues of many more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import NoReturn

import pytest
from anyio import current_time, sleep

from ridethrough import AsyncMessageBuffer, Backoff
from tests.links import FakeLink, Network, NoJitter, cut_before, running, slow, supervise

from .outbox import offline

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- how far apart


@pytest.mark.parametrize(
    ("case", "backoff", "ceilings"),
    [
        ("paho #195: 1, 2, 4 ... 120 s", Backoff(1, 120), [1, 2, 4, 8, 16, 32, 64, 120, 120]),
        ("paho #218: the longest delay was set to the shortest", Backoff(1, 3), [1, 2, 3, 3]),
        ("mosquitto #2759: 3, 12, 27 where 3, 6, 12 was said", Backoff(3, 30), [3, 6, 12, 24, 30, 30]),
        ("aioesphomeapi #1826: never longer than the device is awake", Backoff(2, 15), [2, 4, 8, 15, 15]),
        ("myskoda #314: the limit was exceeded by the jitter", Backoff(10, 10), [10, 10, 10]),
    ],
)
def test_delays_are_those_that_were_asked_for(case: str, backoff: Backoff, ceilings: list[float]) -> None:
    """Doubled from the first to the longest; chance takes something off, and never adds."""
    assert [backoff.ceiling(failures) for failures in range(len(ceilings))] == ceilings, case
    chance = Random(1).random
    assert all(backoff.delay(failures, chance) <= most for failures, most in enumerate(ceilings))


async def test_it_still_tries_after_a_day_and_a_thousand_failures() -> None:
    """Home Assistant #21005: after 19 hours of an ESPHome device being offline it was never tried again."""
    network = Network()

    async def refuse() -> NoReturn:
        raise ConnectionRefusedError

    network.on_connect.extend([refuse] * 1100)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        async with running(supervise(network, buffer, backoff=NoJitter(1, 80))):
            assert await delivery == "took a"
        assert network.tries[-1] - network.tries[0] > 24 * 3600


# ---------------------------------------------------------------- when the backoff starts anew


@pytest.mark.parametrize(
    ("case", "sends"),
    [
        ("aiohomekit #599: accepted and reset, 101 times in 50 s; mosquitto #737", False),
        ("mosquitto #1027: the connection stands, and what is said over it is refused", True),
    ],
)
async def test_other_side_that_accepts_and_hangs_up_is_not_hammered(case: str, sends: bool) -> None:
    """A connection that opens is no success yet: the delays go on growing."""
    network = Network()
    network.on_send = deque([cut_before] * 100)

    @asynccontextmanager
    async def connect() -> AsyncIterator[FakeLink]:
        assert len(network.tries) < 20  # without any delay the time would not pass
        async with network.connect() as link:
            if not sends:
                link.cut()
            yield link

    async with AsyncMessageBuffer[str]() as buffer:
        await buffer.put("a")
        async with running(supervise(network, buffer, connect=connect, backoff=NoJitter(0.5, 60))):
            await sleep(50)
            assert len(network.tries) == len(network.links) == 7, case


async def test_link_that_was_good_for_hours_is_made_anew_at_once() -> None:
    """react-websocket #33, oscmcompany/fund #1020: attempts never reset, so after hours a blip took the longest."""
    network = Network()
    network.on_connect.extend([*offline(6), slow(0), slow(0)])
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer, backoff=NoJitter(0.5, 60))):
        await buffer.put("a")
        await sleep(3 * 3600)
        network.link.cut()
        went = current_time()
        await sleep(10)
        assert [at - went for at in network.tries if at > went] == pytest.approx([0.5])


# ---------------------------------------------------------------- many clients at once


def test_clients_that_an_outage_has_put_in_step_do_not_come_back_in_step() -> None:
    """omi #5617 and many others: all clients reconnect at the same moment, and the server is down again."""
    chance = Random(2)
    backoff = Backoff(0.5, 10)
    arrivals = Counter(int(10 * backoff.delay(10, chance.random)) for _ in range(200))  # by tenths of a second
    assert max(arrivals.values()) < 10
    without_jitter = Counter(int(10 * backoff.ceiling(10)) for _ in range(200))
    assert max(without_jitter.values()) == 200
