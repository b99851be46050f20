"""What one waits for at a Signal client, over a connection in memory, cancelled at each point."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, sleep

from ridethrough import Outcome
from ridethrough.signal_cli import Confirmation, DeliveryGroup, Envelope, SendResult
from tests.conformance.harness import start
from tests.sweep.memory import ANNA, BERT, HOME, MemoryDaemon
from tests.sweep.sweep import Call, every_kind, sweep
from tests.unit.signal_cli.incoming import ADA, data, envelope, receipt

pytestmark = pytest.mark.anyio


@every_kind()
async def test_send_to_several_that_waits_for_room(kind: str) -> None:
    async def story(call: Call[DeliveryGroup]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client(max_size=2)

        async def send() -> DeliveryGroup:
            return await client.send("2", to=[ANNA, BERT])

        async with create_task_group() as tasks:
            first = await client.send("1", to=ANNA)
            await call.start(tasks, send)
            other = await start(tasks, partial(client.send, "3", to=ANNA))
            async with client:
                await first
                await call.end()
                await sleep(10)
            assert other.state == "returned", "the wake-up was not passed on"
        assert sorted(daemon.texts) == (["1", "3"] if call.cancelled else ["1", "2", "2", "3"])
        assert daemon.texts[-1] == "3" or not call.cancelled

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_group_that_is_awaited(kind: str) -> None:
    async def story(call: Call[tuple[SendResult, ...]]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client()
        async with create_task_group() as tasks, client:
            await client.supervisor.wait_connected()
            group = await client.send("1", to=[ANNA, BERT])

            async def wait() -> tuple[SendResult, ...]:
                return await group

            await call.start(tasks, wait)
            await call.end()
            results = await group
            assert call.cancelled or call.result == results
            assert [delivery.outcome for delivery in group] == [Outcome.SENT] * 2
        assert daemon.texts == ["1", "1"]
        assert [result.timestamp for result in results] == [each.timestamp for each in daemon.signal.sends]

    assert await sweep(story, kind) >= 2


@every_kind()
@pytest.mark.parametrize("what", ["call", "typing"])
async def test_call_at_once(kind: str, what: str) -> None:
    """What follows a call that is cancelled goes over the same link or, if need be, over another."""

    async def story(call: Call[Any]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client()
        ask = partial(client.call, "listAccounts") if what == "call" else partial(client.typing, to=ANNA)
        expected = [{"number": HOME}] if what == "call" else True
        async with create_task_group() as tasks, client:
            await client.supervisor.wait_connected()
            await call.start(tasks, ask)
            delivery = await client.send("1", to=ANNA)
            await call.end()
            await delivery
            assert call.cancelled or call.result == expected
            await client.supervisor.wait_connected()
            assert await ask() == expected
            assert len(daemon.streams) == 1 or call.cancelled
        assert daemon.texts.count("1") == 1 and daemon.is_left

    assert await sweep(story, kind) >= 4


@every_kind()
async def test_wait_receipt(kind: str) -> None:
    async def story(call: Call[Confirmation]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client()
        async with create_task_group() as tasks, client:
            delivery = await client.send("1", to=ADA)
            await call.start(tasks, partial(client.wait_receipt, delivery))
            timestamp = (await delivery).timestamp
            daemon.push(receipt(timestamp)["envelope"])
            await call.end()
            confirmation = await client.wait_receipt(delivery)
            assert confirmation.uuid == ADA and (call.cancelled or call.result == confirmation)

    assert await sweep(story, kind) >= 2


@every_kind()
async def test_next_of_an_inbox(kind: str) -> None:
    async def story(call: Call[Envelope]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client()
        inbox = client.messages()
        async with create_task_group() as tasks, client:
            await client.supervisor.wait_connected()
            await call.start(tasks, inbox.__anext__)
            for text in "12":
                daemon.push(envelope(dataMessage=data(text)))
            await call.end()
            left = [] if call.result is None else [call.result]
            while len(left) < 2:
                left.append(await anext(inbox))
            await client.aclose()
            left += [each async for each in inbox]
        assert [each.raw["dataMessage"]["message"] for each in left] == ["1", "2"]

    assert await sweep(story, kind) >= 1
