"""Limits: what the peers keep when there is too much, for how long, and what it costs them.

Index: sizes; the bound; what is kept of too many; bytes; age; memory.

The peers: asyncio.Queue and queue.Queue, janus and culsans, anyio's and trio's channels, paho.mqtt.python and nats.py.
"""

from __future__ import annotations

import gc
import math
from collections import Counter
from weakref import ref

import pytest
from anyio import current_time, sleep, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, MessageTooLarge, Outcome
from tests.conformance.harness import ends, put_all
from tests.links import Network, running, supervise

from .outbox import offline, open_buffer

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("case", "max_size", "error"),
    [
        ("asyncio.Queue, test_float_maxsize: rounds 1.3 up to 2", 1.3, TypeError),
        ("asyncio.Queue and janus, test_maxsize_default: 0 is no limit", 0, ValueError),
        ("queue.Queue: a negative size is no limit", -1, ValueError),
        ("anyio, test_invalid_max_buffer: refuses 1.0", 1.0, TypeError),
        ("trio, test_inf_capacity: infinity is no limit", math.inf, TypeError),
        ("trio, test_unbuffered: nothing is kept, each message is handed over", 0, ValueError),
    ],
)
def test_size_that_is_none_is_refused(case: str, max_size: int, error: type[Exception]) -> None:
    """An outbox has a bound that can be kept; the table says what the peers make of such a size."""
    with pytest.raises(error, match="max_size must be an int of at least 1"):
        AsyncMessageBuffer[str](max_size)
    assert case


async def test_bound_cannot_be_moved_under_those_who_wait() -> None:
    """queue.Queue, test_shrinking_queue; culsans 0.2.0: their maxsize may change at any time. This one is fixed."""
    name = "max_size"
    async with open_buffer(max_size=3) as buffer:
        with pytest.raises(AttributeError):
            setattr(buffer, name, 2)
        await put_all(buffer, "abc")
        assert (buffer.max_size, await buffer.drain()) == (3, list("abc"))


# ---------------------------------------------------------------- the bound


async def test_bound_holds_though_messages_come_back() -> None:
    """anyio #146, #147: an item that a cancelled receiver gave back could overfill the buffer."""
    for policy in ("reject", "drop_oldest", "drop_newest"):
        async with open_buffer(max_size=2, overflow=policy) as buffer:
            await put_all(buffer, "ab")
            async with buffer.lease(2):
                if policy == "drop_newest":
                    assert (await buffer.put("c")).outcome is Outcome.DROPPED
                else:
                    with pytest.raises(BufferFull):
                        await buffer.put("c")
            assert await buffer.drain() == ["a", "b"]


async def test_newest_may_replace_the_oldest() -> None:
    """trio #1744: send_nowait for a consumer that wants the latest; who was replaced is told."""
    async with open_buffer(max_size=1) as buffer:
        oldest = await buffer.put("1")
        await put_all(buffer, "23")
        assert await ends(oldest) == "dropped: the buffer was full"
        assert await buffer.drain() == ["3"]


# ---------------------------------------------------------------- what is kept of too many, and how many bytes


@pytest.mark.parametrize(
    ("case", "policy", "kept"),
    [
        ("paho #856: the newest five are wanted, as in a ring", "drop_oldest", "56789"),
        ("paho, max_queued_messages_set: the oldest are kept, and the rest is gone", "drop_newest", "01234"),
        ("paho, MQTT_ERR_QUEUE_SIZE; nats.py, OutboundBufferLimitError: publish fails", "reject", "01234"),
    ],
)
async def test_what_is_kept_of_ten_in_five_places_is_chosen_by_name(case: str, policy: str, kept: str) -> None:
    """Whatever is not kept is accounted for: refused at the put, or its Delivery tells."""
    network = Network()
    network.on_connect.extend(offline(3))
    deliveries: list[Delivery[str]] = []
    refused: list[str] = []
    async with AsyncMessageBuffer[str](5, overflow=policy) as buffer, running(supervise(network, buffer)):
        for message in "0123456789":
            try:
                deliveries.append(await buffer.put(message))
            except BufferFull:
                refused.append(message)
        await buffer.flush(60)
        dropped = [delivery for delivery in deliveries if delivery.outcome is Outcome.DROPPED]
        assert [await ends(delivery) for delivery in dropped] == ["dropped: the buffer was full"] * len(dropped)
        assert len(dropped) + len(refused) == 5, case
    assert network.received == list(kept)


async def test_bytes_that_wait_are_counted_up_and_down_and_limited() -> None:
    """nats.py, test_pending_data_size_tracking, test_buf_size_force_flush: pending grows offline, to its limit."""
    network = Network()
    network.on_connect.extend(offline(3))
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer(max_bytes=1024, overflow="reject")
    async with buffer, running(supervise(network, buffer)):
        await buffer.put("x" * 1000)
        with pytest.raises(BufferFull):
            await buffer.put("y" * 25)
        with pytest.raises(MessageTooLarge):
            await buffer.put("z" * 1025)
        assert buffer.statistics().size == 1000
        await buffer.put("ü" * 12)
        assert buffer.statistics().size == 1024
        await buffer.flush(60)
        assert buffer.statistics().size == 0
        await buffer.put("y" * 25)


# ---------------------------------------------------------------- age


async def test_stale_messages_are_not_replayed_after_a_long_outage() -> None:
    """choria #164, loxMqttRelay #23: with the reconnect came old rubbish, or commands that nobody wanted by then."""
    network = Network()
    network.on_connect.extend(offline(7))  # for 63.5 s
    told: dict[str, float] = {}

    def note(delivery: Delivery[str]) -> None:
        told[delivery.message] = current_time() - began

    began = current_time()
    async with AsyncMessageBuffer[str](ttl=30, on_undelivered=note) as buffer, running(supervise(network, buffer)):
        await put_all(buffer, "ab")
        await sleep(50)
        assert told == pytest.approx({"a": 30, "b": 30})
        await put_all(buffer, "cd")
        await buffer.flush(60)
        assert (network.received, buffer.statistics().expired) == (["c", "d"], 2)


# ---------------------------------------------------------------- memory


class _Message(str):
    """A message that can be watched going."""

    __slots__ = ("__weakref__",)


async def test_outage_of_any_length_takes_no_more_memory_than_was_agreed() -> None:
    """nats.py, test_buf_size_force_flush: pending must not grow for ever. Nor may anything be dropped in silence."""
    network = Network()
    network.on_connect.extend(offline(1000))
    reported: Counter[Outcome | None] = Counter()

    def count(delivery: Delivery[str]) -> None:
        reported[delivery.outcome] += 1

    async with AsyncMessageBuffer[str](50, on_undelivered=count) as buffer, running(supervise(network, buffer)):
        alive: list[ref[_Message]] = []
        for number in range(2000):
            message = _Message(number)
            alive.append(ref(message))
            await buffer.put(message)
            if number % 100 == 0:
                await checkpoint()
        del message
        await wait_all_tasks_blocked()
        gc.collect()
        assert sum(message() is not None for message in alive) == len(buffer) == 50
        assert reported == {Outcome.DROPPED: 1950}  # not one of them in silence
        await buffer.drain()
