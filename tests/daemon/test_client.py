"""SignalClient and the real daemon, through outages. What reached the service is the truth."""

from __future__ import annotations

from itertools import pairwise

import pytest
from anyio import create_task_group, fail_after
from anyio.to_thread import run_sync

from ridethrough import Backoff, ConnectionState, Delivery, Outcome, Undelivered
from ridethrough.signal_cli import SendResult, SignalClient, TextMessage

from .rig import NUMBER, SignalRig, recipient
from .service import Delay

pytestmark = pytest.mark.anyio

Deliveries = list[Delivery[TextMessage, SendResult]]


def client_of(rig: SignalRig, endpoint: str | None = None, backoff: Backoff = Backoff(0.05, 0.5)) -> SignalClient:  # noqa: B008
    return SignalClient(endpoint or rig.tcp, account=NUMBER, backoff=backoff, close_timeout=0)


async def put(client: SignalClient, count: int, *, recipients: int = 3) -> Deliveries:
    return [await client.send(f"message {number}", to=recipient(number % recipients)) for number in range(count)]


async def check_all_arrived(rig: SignalRig, deliveries: Deliveries, seconds: float = 60) -> int:
    """All are sent, in order, and only those in doubt more than once; returns how many of these there were."""
    with fail_after(seconds):
        timestamps = [(await delivery).timestamp for delivery in deliveries]
    assert all(earlier < later for earlier, later in pairwise(timestamps)), "out of order"
    arrived = [send.timestamp for send in rig.service.sends]
    assert sorted(arrived) == arrived
    assert set(timestamps) <= set(arrived), "lost"
    assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT] * len(deliveries)
    duplicates = len(arrived) - len(timestamps)
    assert duplicates <= sum(delivery.attempts - 1 for delivery in deliveries if delivery.maybe_sent)
    return duplicates


@pytest.mark.parametrize("endpoint", ["tcp", "unix"])
async def test_messages_arrive_in_order(rig: SignalRig, endpoint: str) -> None:
    async with client_of(rig, getattr(rig, endpoint)) as client:
        deliveries = await put(client, 50)
        assert await check_all_arrived(rig, deliveries) == 0
    assert [send.recipient for send in rig.service.sends] == [recipient(number % 3) for number in range(50)]
    assert not any(delivery.maybe_sent for delivery in deliveries)


async def test_account_need_not_be_named_if_there_is_one(rig: SignalRig) -> None:
    async with SignalClient(rig.unix) as client:
        assert (await client.send("hello", to=recipient(1))).outcome is None
        await client.buffer.flush(30)
    assert len(rig.service.sends) == 1


async def test_note_to_self(rig: SignalRig) -> None:
    async with client_of(rig) as client:
        with fail_after(30):
            assert (await (await client.send("hello", note_to_self=True))).failures == ()


async def test_what_is_refused_ends_and_the_next_goes_on(rig: SignalRig) -> None:
    async with client_of(rig) as client:
        refused = await client.send("hello", group="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        deliveries = await put(client, 3)
        await check_all_arrived(rig, deliveries)
        with pytest.raises(Undelivered) as caught:
            await refused
        assert caught.value.outcome is Outcome.REJECTED


async def test_daemon_killed_in_mid_burst_and_restarted(rig: SignalRig) -> None:
    async with client_of(rig) as client:
        deliveries = await put(client, 60)
        await deliveries[20]
        await run_sync(rig.kill)
        deliveries += await put(client, 10)
        assert not deliveries[-1].outcome
        await run_sync(rig.start)
        duplicates = await check_all_arrived(rig, deliveries)
    assert duplicates <= 1, "one is under way at a time"


async def test_connection_cut_while_the_daemon_sends(rig: SignalRig) -> None:
    rig.service.modes[recipient(1)] = Delay(0.3)
    async with client_of(rig) as client:
        deliveries = await put(client, 1)
        await deliveries[0]
        deliveries.append(await client.send("slow", to=recipient(1)))
        await run_sync(rig.service.wait_for_sends, 2)
        rig.terminate()
        await run_sync(rig.wait)
        rig.service.modes.clear()
        await run_sync(rig.start)
        assert await check_all_arrived(rig, deliveries) == 1
    assert deliveries[1].maybe_sent and deliveries[1].attempts == 2


async def test_daemon_frozen_and_thawed(rig: SignalRig) -> None:
    async with client_of(rig) as client:
        deliveries = await put(client, 30)
        await deliveries[10]
        rig.freeze()
        deliveries += await put(client, 10)
        with pytest.raises(TimeoutError), fail_after(1):
            await deliveries[-1]
        rig.thaw()
        assert await check_all_arrived(rig, deliveries) == 0
        assert client.supervisor.attempt == 0


async def test_service_unreachable_and_back(rig: SignalRig) -> None:
    async with client_of(rig, backoff=Backoff(0.5, 2)) as client:
        deliveries = await put(client, 3)
        await check_all_arrived(rig, deliveries)
        rig.service.reachable = False
        deliveries += await put(client, 30)
        with pytest.raises(TimeoutError), fail_after(3):
            await deliveries[3]
        tries = deliveries[3].attempts
        assert 1 <= tries <= 12, "it hammers at the daemon"
        assert client.supervisor.state is ConnectionState.CONNECTED
        assert [delivery.attempts for delivery in deliveries[4:]] == [0] * 29
        rig.service.reachable = True
        assert await check_all_arrived(rig, deliveries) == 0


async def test_account_missing_and_back(rig: SignalRig) -> None:
    await run_sync(rig.kill)
    await run_sync(lambda: rig.start(account=False))
    async with client_of(rig) as client, create_task_group() as tasks:
        deliveries = await put(client, 5)
        steps = client.supervisor.states()
        with fail_after(30):
            reasons = [(await anext(steps)).reason for _ in range(4)]
        assert any("the account is not there" in reason for reason in reasons)
        assert NUMBER not in "".join(reasons)
        await run_sync(rig.kill)
        await run_sync(rig.start)
        await check_all_arrived(rig, deliveries)
        assert [delivery.attempts for delivery in deliveries] == [1] * 5, "it tried without the account"
        tasks.cancel_scope.cancel()
