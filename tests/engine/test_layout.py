"""The streams are made where they are missing, and checked where somebody else has made them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ridethrough import StoreAway, StoreError, StoreGone
from tests.nats.harness import put_all, send_all

from .faults import ALWAYS, Faults
from .harness import MemoryOutbox
from .server import MemoryServer
from .stream import MemoryStream

pytestmark = pytest.mark.anyio

_THERE = "stream name already in use with a different configuration"


async def _made(faults: Faults, outbox: MemoryOutbox, **other: Any) -> dict[str, Any]:
    """Have the streams made, and return the configuration of the first one, for an administrator to change."""
    async with outbox.open(**other):
        pass
    return faults.streams["outbox"].config


async def _what_is_wrong(outbox: MemoryOutbox, **options: Any) -> str:
    with pytest.raises(StoreError) as raised:
        await outbox.host(**options).__aenter__()
    return str(raised.value)


async def test_each_thing_that_is_wrong_is_said_and_nothing_is_changed(faults: Faults, outbox: MemoryOutbox) -> None:
    config = await _made(faults, outbox)
    nano = 1_000_000_000
    config |= {"discard": "old", "max_msgs": 50, "max_age": 60 * nano, "duplicate_window": 10 * nano}
    config |= {"deny_delete": True, "mirror": {"name": "another"}}
    faults.streams["outbox-state"].config["max_msgs"] = 999
    faults.consumers["outbox", "sender-0"].config |= {"ack_wait": nano, "max_ack_pending": 5}
    before = dict(config)
    said = await _what_is_wrong(outbox, max_size=100, replicas=1)
    assert said == (
        "stream outbox: discard is old and must be new; "
        "stream outbox: max_msgs is 50 and must be 100; "
        f"stream outbox: max_age is {60 * nano} and must be 0; "
        "stream outbox: duplicate_window is 10 s and must be at least 120 s; "
        "stream outbox: deny_delete must not be set; "
        "stream outbox: mirror must not be set; "
        "stream outbox-state: max_msgs is 999 and must be at least 1000; "
        "consumer sender-0: ack_wait is 1 s and must be at least 2 s; "
        "consumer sender-0: max_ack_pending is 5 and must be 1; "
        "nothing was changed"
    )
    assert config == before


async def test_streams_that_are_more_than_they_must_be_will_do(faults: Faults, outbox: MemoryOutbox) -> None:
    config = await _made(faults, outbox)
    config["duplicate_window"] *= 2
    faults.streams["outbox-state"].config["max_msgs"] = -1
    faults.consumers["outbox", "sender-0"].config["ack_wait"] *= 10
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        assert await send_all(buffer, 2) == "ab"


async def test_consumer_of_a_partition_that_is_none_is_named(faults: Faults, outbox: MemoryOutbox) -> None:
    config = await _made(faults, outbox, partitions=2)
    config["subjects"] = ["outbox.in.0"]
    said = await _what_is_wrong(outbox)
    assert said == "stream outbox: consumer sender-1 must not be there with partitions=1; nothing was changed"


async def test_replicas_that_are_asked_for_must_be_there(faults: Faults, outbox: MemoryOutbox) -> None:
    await _made(faults, outbox)
    said = await _what_is_wrong(outbox, replicas=3)
    names = ("outbox", "outbox-dead", "outbox-state")
    assert said == "; ".join(f"stream {name}: num_replicas is 1 and must be 3" for name in names) + (
        "; nothing was changed"
    )


async def test_on_one_server_three_replicas_are_refused_if_they_are_asked_for(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    assert await _what_is_wrong(outbox, replicas=3) == (
        "JetStream refuses: replicas > 1 not supported in non-clustered mode"
    )
    assert faults.streams == {}


async def test_what_is_missing_is_not_made_unless_it_may_be(faults: Faults, outbox: MemoryOutbox) -> None:
    with pytest.raises(StoreGone) as raised:
        await outbox.host(create=False).__aenter__()
    missing = ("stream outbox", "stream outbox-dead", "stream outbox-state", "consumer sender-0")
    assert str(raised.value) == "; ".join(f"{each} is missing" for each in missing)
    assert faults.streams == {}
    await _made(faults, outbox)
    del faults.consumers["outbox", "sender-0"]
    with pytest.raises(StoreGone, match=r"^consumer sender-0 is missing$"):
        await outbox.host(create=False).__aenter__()
    async with outbox.open() as buffer:
        await put_all(buffer, "a")
        assert await send_all(buffer, 1) == "a"


async def test_consumer_that_was_taken_away_while_it_was_looked_at_is_made_anew(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    await _made(faults, outbox)
    faults.before("$JS.API.CONSUMER.INFO.*", lambda: faults.consumers.clear())
    async with outbox.open() as buffer:
        await put_all(buffer, "a")
        assert await send_all(buffer, 1) == "a"


async def test_who_was_slower_and_asks_for_something_else_makes_nothing(faults: Faults, outbox: MemoryOutbox) -> None:
    create = "$JS.API.STREAM.CREATE.outbox"
    slower = faults.hold(create)
    wrong = asyncio.create_task(_what_is_wrong(outbox, max_size=5))
    await slower.there.wait()
    quicker = faults.hold(f"{create}-dead")
    async with asyncio.TaskGroup() as tasks:
        host = outbox.host(max_size=6)
        tasks.create_task(host.__aenter__())
        await quicker.there.wait()
        slower.let_go()
        assert await wrong == "stream outbox: max_msgs is 6 and must be 5"
        quicker.let_go()
    assert faults.streams["outbox-state"].config["max_msgs"] == 60
    await host.aclose()


async def test_who_was_quicker_and_asks_for_something_else_is_told_of(faults: Faults, outbox: MemoryOutbox) -> None:
    elsewhere = MemoryServer()
    quicker = await _made(Faults(elsewhere), MemoryOutbox(elsewhere), max_size=5)
    there = MemoryStream(quicker, lambda: 0.0)
    faults.before("$JS.API.STREAM.CREATE.outbox", lambda: faults.streams.update(outbox=there))
    assert await _what_is_wrong(outbox, max_size=6) == "stream outbox: max_msgs is 5 and must be 6"


async def test_stream_that_somebody_else_has_made_and_taken_away_again_is_told_of(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    faults.refuse("$JS.API.STREAM.CREATE.outbox", 10058, _THERE, times=ALWAYS)
    assert await _what_is_wrong(outbox) == f"JetStream refuses: {_THERE}"


async def test_account_that_may_not_look_is_told_why(faults: Faults, outbox: MemoryOutbox) -> None:
    faults.refuse("$JS.API.STREAM.INFO.outbox", 10039, "jetstream not enabled for account", status=503)
    assert await _what_is_wrong(outbox) == "JetStream refuses: jetstream not enabled for account"


async def test_server_that_does_not_make_them_in_time_is_away(faults: Faults, outbox: MemoryOutbox) -> None:
    faults.lose("$JS.API.STREAM.CREATE.outbox-dead", ALWAYS)
    with pytest.raises(StoreAway, match=r"^JetStream did not answer in 9.\d+ s: no answer in time$"):
        await outbox.host().__aenter__()
    faults.no_more()
    async with outbox.open() as buffer:
        await put_all(buffer, "a")


async def test_answer_of_making_one_that_was_lost_is_asked_for_again(faults: Faults, outbox: MemoryOutbox) -> None:
    faults.lose_answers("$JS.API.STREAM.CREATE.outbox")
    faults.lose_answers("$JS.API.CONSUMER.CREATE.*")
    async with outbox.open() as buffer:
        await put_all(buffer, "a")
        assert await send_all(buffer, 1) == "a"


async def test_size_is_not_known_before_there_is_a_stream(outbox: MemoryOutbox) -> None:
    buffer = outbox.host()
    with pytest.raises(RuntimeError, match="max_size is known once the buffer was entered"):
        _ = buffer.max_size
    assert outbox.host(max_size=3).max_size == 3
    async with buffer:
        assert buffer.max_size == 100
    assert buffer.max_size == 100
