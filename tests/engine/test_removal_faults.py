"""What can go wrong while messages are taken out that are not being sent, and what must hold then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ridethrough import BufferFull, Outcome, StoreError
from tests.nats.harness import Buffer, check, ends, put_all, send_all, send_next, soon, waits

from .faults import ALWAYS, Faults
from .harness import MemoryOutbox
from .host import MemoryHost

pytestmark = pytest.mark.anyio

_DELETE = "$JS.API.STREAM.MSG.DELETE.outbox"


def _decode(body: bytes) -> str:
    if body == b"bad":
        raise ValueError(body)
    return body.decode()


_CODEC: dict[str, Any] = {"encode": str.encode, "decode": _decode}


async def _begin_and_give_back(buffer: Buffer) -> None:
    async with buffer.lease() as lease:
        next(iter(lease)).begin()


# ---------------------------------------------------------------- draining


@pytest.mark.parametrize("leasing", [False, True])
async def test_what_cannot_be_decoded_is_rejected_when_it_is_drained(
    outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture, leasing: bool
) -> None:
    async with outbox.open(**_CODEC) as buffer:
        if leasing:
            await buffer.put("head")
            lease = await buffer.lease().__aenter__()
        bad, _ = await put_all(buffer, ["bad", "good"])
        assert await buffer.drain() == ["good"]
        assert await ends(bad) == "rejected: the host that was to send it could not decode it"
        assert [letter.body for letter in await buffer.dead_letters()] == [b"bad"]
        if leasing:
            next(iter(lease)).ack()
            await lease.__aexit__(None, None, None)
        assert await buffer.count() == 0
    assert "cannot be decoded: ValueError" in caplog.text
    assert "bad" not in caplog.text


async def test_what_was_drained_is_returned_though_the_servers_fall_silent(
    faults: Faults, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with outbox.open(put_timeout=5.0) as buffer:
        first, second = await put_all(buffer, "ab")
        faults.before("$JS.ACK.*", lambda: faults.lose("$JS.*", ALWAYS))
        assert await buffer.drain() == ["a"]
        faults.no_more()
        assert (first.outcome, second.outcome) == (Outcome.DRAINED, None)
        check(buffer)
        assert await send_next(buffer) == "b"
        assert await buffer.count() == 0
    assert "not everything could be drained: no answer in time" in caplog.text


async def test_what_was_drained_beside_a_lease_is_returned_though_the_answers_are_lost(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(put_timeout=5.0, lease_time=60.0) as buffer:
        _, second, third = await put_all(buffer, "abc")
        async with buffer.lease() as lease:
            faults.before(_DELETE, lambda: faults.lose(_DELETE, ALWAYS))
            faults.lose_answers(_DELETE)
            assert await buffer.drain() == ["b", "c"], "nobody knows whether the last one was taken out"
            faults.no_more()
            next(iter(lease)).ack()
        assert await soon(second, 20) is None
        assert third.outcome is None


@pytest.mark.parametrize("taking", ["cancel", "drain", "drop"])
async def test_message_is_not_taken_for_sent_while_the_answer_to_its_taking_out_is_lost(
    faults: Faults, outbox: MemoryOutbox, taking: str
) -> None:
    async with outbox.open(max_size=1) as buffer:
        delivery = await buffer.put("a")
        faults.lose_answers("$JS.ACK.*" if taking == "drain" else _DELETE, 2)
        match taking:
            case "cancel":
                assert await buffer.cancel(delivery)
                assert delivery.outcome is Outcome.CANCELLED
            case "drain":
                assert await buffer.drain() == ["a"]
                assert delivery.outcome is Outcome.DRAINED
            case _:
                async with buffer.lease():
                    pass
                await buffer.put("b")
                assert delivery.outcome is Outcome.DROPPED


async def test_message_is_taken_back_though_nobody_tells_whether_it_was_handed_out_meanwhile(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(put_timeout=5.0) as buffer:
        _, second = await put_all(buffer, "ab")
        faults.before(_DELETE, lambda: faults.lose("$JS.API.CONSUMER.INFO.*", ALWAYS))
        assert await buffer.cancel(second)
        faults.no_more()
        assert (second.outcome, second.maybe_sent) == (Outcome.CANCELLED, True)


async def test_what_was_drained_and_is_in_the_stream_still_may_be_sent(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two(lease_time=2.0) as (one, other):
        assert isinstance(one, MemoryHost)
        delivery = await one.put("a")
        faults.lose("$JS.ACK.*", happen=one.road.cut)
        assert await one.drain() == ["a"]
        assert (delivery.outcome, delivery.maybe_sent) == (Outcome.DRAINED, True)
        one.road.mend()
        assert await soon(send_next(other), 20) == "a"


# ---------------------------------------------------------------- in the moment in which it is handed out


async def test_message_that_is_leased_before_it_is_dropped_is_no_dead_letter(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two(max_size=2) as (one, other):
        first, second = await put_all(one, "ab")
        async with one.lease() as lease:
            held = faults.hold("outbox.dead.*")
            call = asyncio.create_task(one.put("c"))
            await held.there.wait()
            next(iter(lease)).ack()
        async with other.lease() as lease:
            held.let_go()
            assert (await soon(call)).id == 3, "the first one has made room"
            assert await one.dead_letters() == []
            next(iter(lease)).ack()
        assert [await soon(delivery) for delivery in (first, second)] == [None, None]
        assert (first.outcome, second.outcome) == (Outcome.SENT, Outcome.SENT)
        assert await send_next(other) == "c"


async def test_message_that_is_sent_before_it_is_dropped_is_no_dead_letter(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two(max_size=2) as (one, other):
        await put_all(one, "ab")
        async with one.lease() as lease:
            held = faults.hold(_DELETE)
            call = asyncio.create_task(one.put("c"))
            await held.there.wait()
            next(iter(lease)).ack()
        assert await send_next(other) == "b"
        held.let_go()
        await soon(call)
        assert await one.dead_letters() == []
        assert await send_next(other) == "c"


async def test_message_that_is_sent_before_it_is_taken_back_was_sent(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        _, second = await put_all(one, "ab")
        held = faults.hold(_DELETE)
        call = asyncio.create_task(one.cancel(second))
        await held.there.wait()
        assert await send_all(other, 2) == "ab"
        held.let_go()
        assert not await soon(call)
        assert await soon(second) is None


async def test_message_that_is_sent_while_its_taking_back_is_lost_was_sent(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        _, second = await put_all(one, "ab")
        faults.lose(_DELETE)
        call = asyncio.create_task(one.cancel(second))
        assert await waits(call)
        assert await send_all(other, 2) == "ab"
        assert not await call
        assert second.outcome is Outcome.SENT


async def test_message_that_is_leased_in_the_moment_in_which_it_is_taken_back_may_have_been_sent(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        _, second = await put_all(one, "ab")
        held = faults.hold(_DELETE)
        call = asyncio.create_task(one.cancel(second))
        await held.there.wait()
        assert await send_next(other) == "a"
        async with other.lease() as lease:
            held.let_go()
            assert await soon(call)
            assert (second.outcome, second.maybe_sent) == (Outcome.CANCELLED, True)
            next(iter(lease)).ack()
        assert await one.count() == 0
        check(one)


async def test_message_that_is_sent_from_here_in_the_moment_in_which_it_is_dropped_is_no_dead_letter(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(max_size=2) as buffer:
        _, second = await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            held = faults.hold(_DELETE)
            call = asyncio.create_task(buffer.put("c"))
            await held.there.wait()
            next(iter(lease)).ack()
        async with buffer.lease() as lease:
            assert next(iter(lease)).ack("ok")
            held.let_go()
            await soon(call)
        assert await second == "ok"
        assert await buffer.dead_letters() == []
        assert (buffer.statistics().sent, buffer.statistics().dropped) == (2, 0)
        assert await send_next(buffer) == "c"


async def test_message_that_was_given_back_is_taken_back_while_another_partition_has_one(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two(partitions=2, key=lambda message: message) as (one, other):
        back = await one.put("f")
        await _begin_and_give_back(other)
        await one.put("a")
        assert [each.subject for each in faults.streams["outbox"].messages.values()] == ["outbox.in.1", "outbox.in.0"]
        await asyncio.sleep(1)  # until the other host has given back what it has in hand
        assert await one.cancel(back)
        assert (back.outcome, back.attempts, back.maybe_sent) == (Outcome.CANCELLED, 1, True)
        began = asyncio.get_running_loop().time()
        assert await send_next(one) == "a"
        assert asyncio.get_running_loop().time() - began < 0.1, "it was in hand"
        assert await one.count() == 0


async def test_message_that_the_servers_have_kept_after_its_acknowledgement_can_be_taken_out(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two(max_size=1, overflow="reject") as (one, other):
        await one.put("a")
        await _begin_and_give_back(one)
        queue = faults.streams["outbox"]
        kept = queue.messages[1]
        faults.lose("$JS.API.STREAM.PURGE.outbox-state")
        assert await send_next(other) == "a"
        queue.messages[1] = kept  # a server has come back without what it had carried out
        with pytest.raises(BufferFull):
            await one.put("b")
        assert [(each.id, each.attempts, each.maybe_sent) for each in await one.waiting()] == [(1, 1, True)]
        assert await one.cancel(1)
        assert await one.count() == 0
        assert faults.streams["outbox-state"].messages == {}
        await one.put("b")
        assert await send_next(other) == "b"


# ---------------------------------------------------------------- what is refused


async def test_stream_that_is_gone_is_told_of(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        faults.refuse(_DELETE, 10059, "stream not found", status=404)
        with pytest.raises(StoreError, match=r"^JetStream refuses: stream not found$"):
            await buffer.cancel(2)
        del faults.streams["outbox"]
        for ask in (lambda: buffer.cancel(1), buffer.count, buffer.waiting, buffer.drain, buffer.flush):
            with pytest.raises(StoreError, match=r"^JetStream refuses: stream not found$"):
                await ask()
