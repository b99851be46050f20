"""The streams are made where they are missing, and checked where somebody else has made them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, StreamConfig

from ridethrough import StoreError, StoreGone

from .harness import Outbox, put_all, send_all
from .servers import connected, one_server

pytestmark = pytest.mark.anyio


async def test_streams_are_made_and_fit_the_next_time(outbox: Outbox) -> None:
    async with outbox.open(max_size=7, max_bytes=5000) as buffer, connected(outbox.servers) as client:
        await put_all(buffer, "ab")
        for name in ("", "-dead", "-state"):
            assert (await client.jetstream().stream_info(f"{outbox.name}{name}")).config.num_replicas == 1
        config = (await client.jetstream().stream_info(outbox.name)).config
        assert (config.retention, config.discard, config.storage) == ("workqueue", "new", "file")
        assert (config.max_msgs, config.max_bytes, config.num_replicas) == (7, 5000, 1)
        consumer = (await client.jetstream().consumer_info(outbox.name, "sender-0")).config
        assert (consumer.max_ack_pending, consumer.ack_wait, consumer.max_deliver) == (1, 2.0, -1)
    async with outbox.open(max_size=7, max_bytes=5000) as buffer:
        assert await send_all(buffer, 2) == "ab"


async def test_hosts_that_come_at_once_make_them_together(outbox: Outbox) -> None:
    hosts = [outbox.host(partitions=2) for _ in range(5)]
    await asyncio.gather(*(host.__aenter__() for host in hosts))
    await put_all(hosts[0], "a")
    assert await hosts[4].drain() == ["a"]
    for host in hosts:
        await host.aclose()


async def _as_an_administrator_would(outbox: Outbox, jetstream: JetStreamContext, **other: Any) -> None:
    name = outbox.name
    window = {"duplicate_window": 120, "storage": "file"}
    queue = {"subjects": [f"{name}.in.0"], "retention": "workqueue", "discard": DiscardPolicy.NEW, "max_msgs": 100}
    await jetstream.add_stream(StreamConfig(name, **{**window, **queue, **other}))
    await jetstream.add_stream(
        StreamConfig(f"{name}-dead", subjects=[f"{name}.dead.*"], max_msgs=1000, **window)  # type: ignore[arg-type]
    )
    await jetstream.add_stream(
        StreamConfig(f"{name}-state", subjects=[f"{name}.state.*"], max_msgs_per_subject=1, storage="file")  # type: ignore[arg-type]
    )


async def test_streams_of_an_administrator_will_do(outbox: Outbox) -> None:
    async with connected(outbox.servers) as client:
        jetstream = client.jetstream()
        await _as_an_administrator_would(outbox, jetstream)
        await jetstream.add_consumer(
            outbox.name,
            ConsumerConfig(
                durable_name="sender-0", filter_subject=f"{outbox.name}.in.0", ack_wait=60, max_ack_pending=1
            ),
        )
        async with outbox.open() as buffer:
            await put_all(buffer, "ab")
            assert await send_all(buffer, 2) == "ab"
        assert (await jetstream.consumer_info(outbox.name, "sender-0")).config.ack_wait == 60


async def test_each_thing_that_is_wrong_is_said_and_nothing_is_changed(outbox: Outbox) -> None:
    async with connected(outbox.servers) as client:
        jetstream = client.jetstream()
        await _as_an_administrator_would(
            outbox, jetstream, discard=DiscardPolicy.OLD, max_msgs=50, max_age=60, duplicate_window=10, deny_delete=True
        )
        with pytest.raises(StoreError) as raised:
            await outbox.host(max_size=100).__aenter__()
        said = str(raised.value)
        for problem in (
            "discard is old and must be new",
            "max_msgs is 50 and must be 100",
            "max_age is 60000000000 and must be 0",
            "duplicate_window is 10 s and must be at least 120 s",
            "deny_delete must not be set",
        ):
            assert f"stream {outbox.name}: {problem}" in said
        assert said.endswith("; nothing was changed")
        assert (await jetstream.stream_info(outbox.name)).config.max_msgs == 50
        assert await jetstream.consumers_info(outbox.name) == []


async def test_each_thing_that_is_wrong_with_a_consumer_is_said(outbox: Outbox) -> None:
    async with connected(outbox.servers) as client:
        jetstream = client.jetstream()
        await _as_an_administrator_would(outbox, jetstream)
        await jetstream.add_consumer(
            outbox.name,
            ConsumerConfig(
                durable_name="sender-0",
                filter_subject=f"{outbox.name}.in.0",
                ack_wait=1,
                max_ack_pending=5,
                max_deliver=3,
            ),
        )
        await jetstream.add_consumer(
            outbox.name, ConsumerConfig(durable_name="other", filter_subject=f"{outbox.name}.in.1")
        )
        with pytest.raises(StoreError) as raised:
            await outbox.host().__aenter__()
        said = str(raised.value)
        assert "consumer sender-0: ack_wait is 1 s and must be at least 2 s" in said
        assert "consumer sender-0: max_ack_pending is 5 and must be 1" in said
        assert "consumer sender-0: max_deliver is 3 and must be -1" in said
        assert f"stream {outbox.name}: consumer other must not be there with partitions=1" in said


async def test_host_takes_what_is_there_as_it_is(outbox: Outbox) -> None:
    given = {"max_size": 7, "max_bytes": 5000, "partitions": 3, "lease_time": 4.0, "max_dead_letters": 2}
    key = {"key": lambda message: message}
    async with outbox.open(**given, **key) as one, outbox.open(lease_time=None, create=False, **key) as other:
        assert other.max_size == 7
        assert one._open is not None and other._open is not None
        assert other._open.layout == one._open.layout
        await put_all(other, "abcd")
        assert sorted(await one.drain()) == list("abcd")


async def test_what_is_missing_is_not_made_unless_it_may_be(outbox: Outbox) -> None:
    async with connected(outbox.servers) as client:
        jetstream = client.jetstream()
        name = outbox.name
        with pytest.raises(StoreGone) as raised:
            await outbox.host(create=False).__aenter__()
        missing = (f"stream {name}", f"stream {name}-dead", f"stream {name}-state", "consumer sender-0")
        assert str(raised.value) == "; ".join(f"{each} is missing" for each in missing)
        assert name not in {each.config.name for each in await jetstream.streams_info()}
        await _as_an_administrator_would(outbox, jetstream)
        with pytest.raises(StoreGone, match=r"^consumer sender-0 is missing$"):
            await outbox.host(create=False).__aenter__()
        async with outbox.open():
            pass
        async with outbox.open(create=False) as buffer:
            assert buffer.max_size == 100


async def test_who_comes_at_once_and_asks_for_something_else_is_told(outbox: Outbox) -> None:
    hosts = [outbox.host(max_size=size) for size in (5, 6, 5, 6)]
    done = await asyncio.gather(*(host.__aenter__() for host in hosts), return_exceptions=True)
    refused = [str(each) for each in done if isinstance(each, StoreError)]
    assert len(refused) == 2
    assert all("max_msgs is" in each for each in refused)
    for host in hosts:
        await host.aclose()


async def test_hosts_must_agree_on_partitions_and_size(outbox: Outbox) -> None:
    async with outbox.open(partitions=2):
        with pytest.raises(StoreError, match=r'consumer|subjects is \[.*in.1"\] and must be \[.*in.2"\]'):
            await outbox.host(partitions=3).__aenter__()
        with pytest.raises(StoreError, match="max_msgs is 100 and must be 99"):
            await outbox.host(partitions=2, max_size=99).__aenter__()


async def test_stream_that_was_made_anew_is_not_taken_for_the_old_one(outbox: Outbox) -> None:
    async with outbox.open() as old, connected(outbox.servers) as client:
        (delivery,) = await put_all(old, "a")
        async with old.lease() as lease:
            next(iter(lease)).begin()
        await client.jetstream().delete_stream(outbox.name)
        async with outbox.open() as new:
            await put_all(new, "b")
            assert await send_all(old, 1) == "b", "it has the number of the other one"
        assert delivery.outcome != "sent"


async def test_three_replicas_need_a_cluster(outbox: Outbox) -> None:
    with pytest.raises(StoreError, match="JetStream refuses: replicas > 1 not supported"):
        await outbox.host(replicas=3).__aenter__()


async def test_user_who_may_not_make_streams_is_told() -> None:
    may = 'permissions: { publish: ["other.>"] }'
    with one_server(extra=f'authorization {{ users: [ {{ user: "me", password: "x", {may} }} ] }}') as server:
        outbox = Outbox(server.url)
        with pytest.raises(StoreError, match="the account lacks a permission"):
            await outbox.host(options={"user": "me", "password": "x"}, put_timeout=1.0).__aenter__()
