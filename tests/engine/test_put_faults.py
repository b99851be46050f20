"""What can go wrong while a message is put, and what must hold then."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough import BufferFull, Outcome, StoreAway, StoreError, StoreFull
from tests.nats.harness import check, put_all, send_all, send_next, waits

from .faults import ALWAYS, Faults
from .harness import MemoryOutbox
from .server import MemoryServer

pytestmark = pytest.mark.anyio

_PUT = "outbox.in.0"
_NO_DISK = (10023, "insufficient resources")


async def test_what_is_no_iterable_is_not_put(outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        with pytest.raises(TypeError, match="messages must be an iterable, not int"):
            await buffer.put_many(3)  # type: ignore[arg-type]
        assert await buffer.count() == 0


@pytest.mark.parametrize("overflow", ["reject", "drop_newest"])
async def test_put_that_was_lost_and_finds_no_room_when_it_is_tried_again(
    faults: Faults, outbox: MemoryOutbox, overflow: str
) -> None:
    async with outbox.two(max_size=1, overflow=overflow) as (one, other):
        faults.lose(_PUT)
        call = asyncio.create_task(one.put("a"))
        assert await waits(call)
        assert (await other.put("b")).id == 1
        if overflow == "reject":
            with pytest.raises(BufferFull, match=r"^the buffer is full: maximum messages exceeded$"):
                await call
        else:
            assert (await call).outcome is Outcome.DROPPED
            assert [letter.body for letter in await one.dead_letters()] == [b'"a"']
        check(one)
        assert await send_next(other) == "b"
        assert await other.count() == 0


async def test_put_whose_answer_was_lost_is_kept_once_though_there_is_no_room_any_more(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(max_size=1, overflow="reject") as buffer:
        faults.lose_answers(_PUT)
        assert (await buffer.put("a")).id == 1
        assert await buffer.count() == 1
        assert await buffer.dead_letters() == []


async def test_message_that_is_sent_from_here_before_its_put_is_answered_is_sent_once(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open() as buffer:
        held = faults.hold_answer(_PUT)
        call = asyncio.create_task(buffer.put("a"))
        await held.there.wait()
        assert await send_next(buffer, "ok") == "a"
        held.let_go()
        delivery = await call
        assert (delivery.outcome, await delivery) == (Outcome.SENT, "ok")
        assert (buffer.statistics().accepted, buffer.statistics().sent) == (1, 1)


@pytest.mark.parametrize("lost", [False, True])
async def test_servers_whose_disks_are_full_take_nothing(faults: Faults, outbox: MemoryOutbox, lost: bool) -> None:
    async with outbox.open() as buffer:
        if lost:
            faults.lose(_PUT)
        faults.refuse(_PUT, *_NO_DISK, status=503)
        with pytest.raises(StoreFull, match=r"^JetStream has no room on its disks: insufficient resources$"):
            await buffer.put("a")
        assert buffer.state == "connected"
        assert await buffer.count() == buffer.statistics().accepted == 0
        await buffer.put("b")
        assert await send_next(buffer) == "b"


async def test_put_that_is_refused_for_another_reason_says_which(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open(overflow="drop_newest") as buffer:
        faults.refuse(_PUT, 10054, "message size exceeds maximum allowed")
        with pytest.raises(StoreError, match=r"^JetStream refuses: message size exceeds maximum allowed$"):
            await buffer.put("a")
        assert buffer.statistics().accepted == 0
        assert await buffer.dead_letters() == []


@pytest.mark.parametrize(("leader", "why"), [("gone", "nobody is there to answer"), ("unsure", "JetStream system")])
async def test_put_while_nobody_leads_is_tried_again(
    server: MemoryServer, outbox: MemoryOutbox, leader: str, why: str
) -> None:
    async with outbox.open() as buffer:
        server.weather.leader = leader
        call = asyncio.create_task(buffer.put("a"))
        assert await waits(call, 5)
        assert buffer.state == "away"
        assert buffer.reason.startswith(why)
        server.weather.leader = "there"
        assert (await call).id == 1
        assert await send_next(buffer) == "a"


async def test_put_that_nobody_was_there_to_take_was_not_put(server: MemoryServer, outbox: MemoryOutbox) -> None:
    async with outbox.open(put_timeout=1.0) as buffer:
        server.weather.leader = "gone"
        text = "JetStream did not answer in 1 s: nobody is there to answer; the message was not put"
        with pytest.raises(StoreAway, match=f"^{text}$"):
            await buffer.put("a")
        server.weather.leader = "there"
        assert await buffer.count() == 0


# ---------------------------------------------------------------- making room


async def test_servers_that_are_silent_while_room_is_made_are_away(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open(max_size=1, put_timeout=5.0) as buffer:
        first = await buffer.put("a")
        faults.lose("$JS.API.*", ALWAYS)
        with pytest.raises(StoreAway, match=r"did not answer in 5 s: no answer in time; the message was not put$"):
            await buffer.put("b")
        faults.no_more()
        assert first.outcome is None
        assert await buffer.waiting() != []
        assert await send_next(buffer) == "a"
        assert await buffer.count() == 0


async def test_stream_that_is_gone_while_room_is_made_is_told(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open(max_size=1) as buffer:
        await buffer.put("a")
        faults.lose("$JS.API.CONSUMER.MSG.NEXT.*")
        faults.refuse("$JS.API.STREAM.MSG.GET.outbox", 10059, "stream not found", status=404)
        with pytest.raises(StoreError, match=r"^JetStream refuses: stream not found$"):
            await buffer.put("b")


async def test_newest_that_cannot_be_kept_as_a_dead_letter_is_not_accepted(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(max_size=1, overflow="drop_newest", put_timeout=5.0) as buffer:
        await buffer.put("a")
        faults.lose("outbox.dead.0", ALWAYS)
        with pytest.raises(StoreAway, match=r"the message was not put$"):
            await buffer.put("b")
        faults.no_more()
        faults.refuse("outbox.dead.0", *_NO_DISK, status=503)
        with pytest.raises(StoreFull, match="JetStream has no room on its disks"):
            await buffer.put("c")
        assert (buffer.statistics().accepted, buffer.statistics().dropped) == (1, 0)
        assert (await buffer.put("d")).outcome is Outcome.DROPPED


async def test_room_that_is_made_is_made_once_though_an_answer_is_lost(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open(max_size=3) as buffer:
        await put_all(buffer, "abc")
        faults.lose("$JS.API.CONSUMER.MSG.NEXT.*")
        faults.lose_answers("$JS.API.STREAM.MSG.DELETE.outbox")
        await buffer.put("d")
        assert buffer.statistics().dropped == 1
        assert await send_all(buffer, 3) == "bcd"
