"""The Signal client, over a connection in memory, cancelled at each point."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from ridethrough import BufferClosed, ConnectionState, Delivery, LinkLost, Outcome
from ridethrough.signal_cli import SendResult, SignalMessage, TextMessage
from tests.conformance.harness import start
from tests.sweep.memory import ANNA, HOME, MemoryDaemon, text_message
from tests.sweep.sweep import Call, every_kind, sweep

pytestmark = pytest.mark.anyio

Sent = Delivery[TextMessage, SendResult]

LISTED = [{"number": HOME}]


def check_honest(daemon: MemoryDaemon, deliveries: list[Sent]) -> None:
    """What has reached Signal, and what may have, is known of each; nothing has overtaken."""
    for delivery in deliveries:
        times = daemon.texts.count(delivery.message.text)
        assert times == 0 or delivery.outcome is Outcome.SENT or delivery.maybe_sent
        assert times < 2 or delivery.maybe_sent
        assert times > 0 or delivery.outcome is not Outcome.SENT
    first = list(dict.fromkeys(daemon.texts))
    assert first == sorted(first)


# Connection, SignalLink


@every_kind()
async def test_call_while_one_is_written_and_another_waits(kind: str) -> None:
    async def story(call: Call[Any]) -> None:
        daemon = MemoryDaemon()
        connection = await daemon.open(lambda _: None)

        async def send() -> Any:
            return await connection.call("send", {"recipient": [ANNA], "message": "hello"}, 60)

        ask = partial(connection.call, "listAccounts", {}, 60)
        async with create_task_group() as tasks:
            tasks.start_soon(connection.read)
            before = await start(tasks, ask)
            await call.start(tasks, send)
            after = await start(tasks, ask)
            await call.end()
            await sleep(10)
            if after.state == "returned":
                assert before.result == after.result == LISTED
                assert await ask() == LISTED, "the connection is as good as before"
            else:  # it was given up in the middle of its line, perhaps
                assert call.cancelled
                assert isinstance(after.error, LinkLost) and after.error.unsent
                assert before.result == LISTED or (isinstance(before.error, LinkLost) and not before.error.unsent)
            assert call.cancelled or daemon.texts == ["hello"]
            tasks.cancel_scope.cancel()

    assert await sweep(story, kind) >= 4


@every_kind()
async def test_link_from_connecting_to_closing(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        daemon = MemoryDaemon()

        async def send() -> None:
            async with daemon.link() as link:
                await link.send(text_message("1"))
                await link.send(text_message("2"))

        async with create_task_group() as tasks:
            await call.start(tasks, send)
            await call.end()
        assert daemon.is_left
        assert daemon.texts in ([], ["1"], ["1", "2"])
        async with daemon.link() as link:
            await link.send(text_message("3"))
        assert daemon.texts[-1] == "3" and daemon.is_left

    assert await sweep(story, kind) >= 15


# SignalClient


@every_kind()
async def test_send_that_waits_for_room(kind: str) -> None:
    async def story(call: Call[Sent]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client(max_size=1)
        async with create_task_group() as tasks:
            first = await client.send("1", to=ANNA)
            await call.start(tasks, partial(client.send, "2", to=ANNA))
            other = await start(tasks, partial(client.send, "3", to=ANNA))
            async with client:
                await first
                await call.end()
                await sleep(10)
            assert other.state == "returned", "the wake-up was not passed on"
        assert daemon.texts == (["1", "3"] if call.cancelled else ["1", "2", "3"])

    assert await sweep(story, kind) >= 1


@every_kind()
async def test_aclose_that_goes_on_sending(kind: str) -> None:
    async def story(call: Call[list[SignalMessage]]) -> None:
        daemon = MemoryDaemon()
        client = daemon.client()
        inbox, changes = client.messages(), client.service.changes()
        async with create_task_group() as tasks, client:
            deliveries = [await client.send(text, to=ANNA) for text in "123"]
            await client.supervisor.wait_connected()
            daemon.faults.append("cut after")
            await call.start(tasks, partial(client.aclose, 1000))
            await call.end()
            if call.cancelled:
                with suppress(BufferClosed):  # a task's own cancellation can come while the link is taken down
                    deliveries.append(await client.send("4", to=ANNA))
                    await client.buffer.flush()
                    assert daemon.texts[-1] == "4", "it is as open as before"
                    await client.aclose()
                assert len(deliveries) == 4 or kind != "scope"
            await wait_all_tasks_blocked()
            assert client.supervisor.state is ConnectionState.CLOSED
            assert [each async for each in inbox] == []
            assert not [each async for each in changes], "they end as well"
            with pytest.raises(BufferClosed):
                await client.send("5", to=ANNA)
        assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT] * len(deliveries)
        check_honest(daemon, deliveries)
        assert daemon.is_left

    assert await sweep(story, kind) >= 2


@every_kind()
async def test_async_with(kind: str) -> None:
    async def story(call: Call[None]) -> None:
        daemon = MemoryDaemon()
        daemon.refusals = 1
        daemon.faults.extend(["cut after", "well", "cut before"])
        client = daemon.client(max_size=2, close_timeout=5)
        deliveries: list[Sent] = []

        async def use() -> None:
            async with client:
                for text in "01234":
                    delivery = await client.send(text, to=ANNA)
                    deliveries.append(delivery)
                await deliveries[1]

        async with create_task_group() as tasks:
            await call.start(tasks, use)
            await call.end()
        assert client.supervisor.state is ConnectionState.CLOSED and daemon.is_left
        with pytest.raises(BufferClosed):
            await client.send("late", to=ANNA)
        check_honest(daemon, deliveries)
        counts = client.buffer.statistics()
        assert counts.accepted == len(deliveries) == counts.sent + counts.abandoned
        assert call.cancelled or len(deliveries) == 5

    assert await sweep(story, kind) >= 60
