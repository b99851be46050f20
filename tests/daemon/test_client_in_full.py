"""What a bot and an alerting program meet: many recipients, Signal away for a while, and every kind of message."""

from __future__ import annotations

from itertools import pairwise

import pytest
from anyio import fail_after, sleep

from ridethrough.signal_cli import HoldReason, ServiceState, SignalClient

from .rig import NUMBER, SignalRig, recipient
from .service import Rekey, Status

pytestmark = pytest.mark.anyio


async def test_two_of_twenty_recipients_hold_up_nobody_else(rig: SignalRig, anyio_backend: str) -> None:
    first_number = 100 if anyio_backend == "asyncio" else 200  # the daemon remembers whom it has trusted
    people = [recipient(first_number + number) for number in range(20)]
    limited, rekeyed = people[3], people[7]
    others = [person for person in people if person not in (limited, rekeyed)]
    rig.meet(*people)
    rig.service.modes.update({limited: Status(429), rekeyed: Rekey()})
    async with SignalClient(rig.unix, account=NUMBER, close_timeout=0) as client:
        with fail_after(60):
            deliveries = await client.send("hello", to=people)
            first, second = deliveries[3], deliveries[7]
            for delivery in deliveries:
                if delivery not in (first, second):
                    await delivery
            assert [send.recipient for send in rig.service.sends if send.recipient in others] == others
            assert {delivery.attempts for delivery in deliveries} == {1}
            assert {hold.reason for hold in client.holds()} == {HoldReason.RATE_LIMITED, HoldReason.UNTRUSTED}
            assert (first.outcome, second.outcome) == (None, None)

            del rig.service.modes[limited]
            client.retry_now()
            await first
            await client.trust(rekeyed)
            await second
            assert client.holds() == ()


async def test_signal_away_for_ten_seconds_with_a_hundred_messages_waiting(rig: SignalRig) -> None:
    people = [recipient(number) for number in range(5)]
    rig.meet(*people)
    rig.service.reachable = False
    async with SignalClient(rig.unix, account=NUMBER, close_timeout=0) as client:
        changes = client.service.changes()
        deliveries = [await client.send(f"message {number}", to=people[number % 5]) for number in range(100)]
        await sleep(10)  # this is how long it is away
        rig.service.reachable = True
        client.retry_now()
        with fail_after(60):
            timestamps = [(await delivery).timestamp for delivery in deliveries]
    tries = [change async for change in changes if change.state is ServiceState.UNREACHABLE]
    assert 3 <= len(tries) <= 12
    assert all(earlier < later for earlier, later in pairwise(timestamps))
    assert [send.timestamp for send in rig.service.sends] == timestamps, "each once, and in order"
