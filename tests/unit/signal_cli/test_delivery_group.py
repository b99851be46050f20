"""outbox.py: messages to several people, and the group of their Deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from anyio import create_task_group, move_on_after, wait_all_tasks_blocked

from ridethrough import BufferFull, Outcome, Undelivered
from ridethrough.signal_cli import (
    DeliveryGroup,
    SendResult,
    SignalOutbox,
    TextMessage,
)
from tests.unit.signal_cli.clients import ANNA, BERT
from tests.unit.signal_cli.outboxes import (
    SENT,
    TO_ANNA,
    TO_BERT,
    MakeOutbox,
    acknowledge,
    outboxes,
    put,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make_outbox() -> AsyncIterator[MakeOutbox]:
    async with outboxes() as make:
        yield make


@pytest.mark.parametrize("kind", [list, tuple])
async def test_send_to_several_puts_one_for_each_in_order_and_for_nobody_two(
    make_outbox: MakeOutbox, kind: type
) -> None:
    outbox = make_outbox()
    deliveries = await outbox.send("hello", to=kind([BERT, ANNA, BERT, ANNA.upper(), BERT]))
    assert isinstance(deliveries, DeliveryGroup)
    assert [delivery.message for delivery in deliveries] == [TextMessage(to, "hello") for to in (TO_BERT, TO_ANNA)]
    assert await put(outbox) == [delivery.message for delivery in deliveries]


@pytest.mark.parametrize("kind", [set, frozenset])
async def test_send_to_a_set(make_outbox: MakeOutbox, kind: type) -> None:
    outbox = make_outbox()
    deliveries = await outbox.send("hello", to=kind([ANNA, BERT]))
    assert {delivery.message.target for delivery in deliveries} == {TO_ANNA, TO_BERT}


async def test_send_to_a_list_of_one_gives_a_group_of_one(make_outbox: MakeOutbox) -> None:
    assert len(await make_outbox().send("hello", to=[ANNA])) == 1


@pytest.mark.parametrize("limit", [{"max_size": 2}, {"max_bytes": 9}])
async def test_send_to_several_puts_all_or_none(make_outbox: MakeOutbox, limit: dict[str, Any]) -> None:
    outbox = make_outbox(**limit)
    await outbox.send("wait", to=ANNA)
    with pytest.raises(BufferFull):
        await outbox.send("hello", to=[ANNA, BERT], overflow="reject")
    assert [message.size for message in await put(outbox)] == [4]


async def test_send_to_several_cancelled_while_it_waits_for_room(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_size=2)
    await outbox.send("wait", to=ANNA)
    with move_on_after(0.001) as scope:
        await outbox.send("hello", to=[ANNA, BERT], overflow="wait")
    assert scope.cancelled_caught
    assert len(await put(outbox)) == 1


async def make_group(outbox: SignalOutbox, count: int = 3) -> DeliveryGroup:
    return await outbox.send("hello", to=[ANNA[:-1] + f"{number}" for number in range(count)])


async def test_group_gives_the_results_in_order(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    group = await make_group(outbox)
    async with outbox.buffer.lease(3) as lease:
        for number, entry in reversed([*enumerate(lease)]):
            entry.begin()
            entry.ack(SendResult(SENT + number))
    assert await group == tuple(SendResult(SENT + number) for number in range(3)) == await group


async def test_group_raises_what_failed_once_all_have_ended(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    group = await make_group(outbox, 4)
    caught: list[BaseException] = []

    async def wait() -> None:
        try:
            await group
        except ExceptionGroup as error:
            caught.append(error)

    async with create_task_group() as tasks:
        tasks.start_soon(wait)
        group[0].cancel()
        async with outbox.buffer.lease(2) as lease:
            sent, rejected = lease
            rejected.begin()
            rejected.reject("no such person")
            sent.begin()
            sent.ack(SendResult(SENT))
        await wait_all_tasks_blocked()
        assert not caught, "one still waits"
        await outbox.buffer.aclose()
    (error,) = caught
    assert isinstance(error, ExceptionGroup)
    assert error.message == "3 of 4 messages were not delivered"
    assert [each.outcome for each in error.exceptions if isinstance(each, Undelivered)] == [
        Outcome.CANCELLED, Outcome.REJECTED, Outcome.ABANDONED,
    ]  # fmt: skip


async def test_group_cancelled_while_awaited_changes_nothing(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    group = await make_group(outbox)
    await acknowledge(outbox, SENT)
    with move_on_after(0.001) as scope:
        await group
    assert scope.cancelled_caught
    assert [delivery.outcome for delivery in group] == [Outcome.SENT, None, None]
    await acknowledge(outbox, SENT + 1, SENT + 2)
    assert [result.timestamp for result in await group] == [SENT, SENT + 1, SENT + 2]
