"""What can go wrong while a message is handed out and sent, and what must hold then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ridethrough import Outcome
from tests.nats.harness import Buffer, check, put_all, send_all, send_next, soon, until, waits

from .faults import ALWAYS, Faults
from .harness import MemoryOutbox
from .server import MemoryServer

pytestmark = pytest.mark.anyio

_NEXT = "$JS.API.CONSUMER.MSG.NEXT.outbox.sender-0"
_STATE = "$JS.API.STREAM.MSG.GET.outbox-state"


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _begin_and_give_back(buffer: Buffer) -> None:
    """Begin to send the next message, and give it back in doubt."""
    async with buffer.lease() as lease:
        next(iter(lease)).begin()


async def _attempts(buffer: Buffer) -> tuple[str, int, bool]:
    """Send the next message; returns it, and what was known of it before."""
    async with buffer.lease() as lease:
        (entry,) = lease
        before = (entry.message, entry.delivery.attempts, entry.delivery.maybe_sent)
        entry.begin()
        assert entry.ack()
    check(buffer)
    return before


# ---------------------------------------------------------------- before it is sent


async def test_message_of_which_nobody_tells_what_is_known_waits_for_its_next_turn(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        await _begin_and_give_back(other)
        faults.lose(_STATE, 1)
        began = _now()
        assert await _attempts(one) == ("a", 2, True), "it was handed out once in between, for all that is known"
        assert _now() - began < 8


async def test_lease_cancelled_while_it_is_asked_what_is_known_has_taken_nothing(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        await _begin_and_give_back(other)
        held = faults.hold(_STATE)
        call = asyncio.create_task(one.lease().__aenter__())
        await held.there.wait()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        began = _now()
        assert await _attempts(one) == ("a", 1, True)
        assert _now() - began < 0.1, "it was in hand"


async def test_message_that_was_in_hand_for_too_long_is_not_leased(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        await _begin_and_give_back(other)
        faults.lose(_STATE)
        call = asyncio.create_task(one.lease().__aenter__())
        await asyncio.sleep(1.75)
        call.cancel()
        await asyncio.wait({call})
        await asyncio.sleep(0.1)
        async with one.lease() as lease:
            (entry,) = lease
            assert not lease.over
            assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (2, True)
            assert entry.ack()
        assert await other.count() == 0


async def test_message_that_was_handed_out_again_meanwhile_is_the_later_one(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        (delivery,) = await put_all(one, "a")
        await _begin_and_give_back(other)
        faults.lose(_STATE)
        call = asyncio.create_task(one.lease().__aenter__())
        await asyncio.sleep(0.1)
        assert not await one.cancel(delivery), "it is about to be sent"
        await asyncio.sleep(1.55)
        assert await waits(call, 0.3), "by now, it has been handed out again, to the same host"
        call.cancel()
        await asyncio.wait({call})
        began = _now()
        async with one.lease() as lease:
            assert lease.until - began > 1.5
            assert _now() - began < 0.1, "it was in hand"
            next(iter(lease)).ack()
        assert await other.count() == 0


async def test_message_that_nobody_here_takes_comes_back_though_that_cannot_be_said(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        await _begin_and_give_back(other)
        await one.wait_nonempty()
        faults.lose(_STATE)
        assert await soon(_attempts(other)) == ("a", 2, True)
        await asyncio.sleep(5)
        assert faults.asked["outbox.state.1"] == 1, "once it may be another host's, nothing is said of it"


@pytest.mark.parametrize("lost", [False, True])
async def test_message_of_which_nothing_can_be_noted_comes_back_in_doubt(
    faults: Faults, outbox: MemoryOutbox, lost: bool
) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        if lost:
            faults.lose("outbox.state.1", ALWAYS)
        else:
            faults.refuse("outbox.state.1", 10023, "insufficient resources", status=503)
        await _begin_and_give_back(one)
        assert await soon(_attempts(other)) == ("a", 1, True)


async def test_message_is_not_given_back_once_another_host_may_have_it(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "a")
        held = faults.hold_answer("outbox.state.1")
        giving = asyncio.create_task(_begin_and_give_back(one))
        await held.there.wait()
        async with other.lease() as lease:
            held.let_go()
            await giving
            assert faults.asked["$JS.ACK.outbox.sender-0.1.1.1.0.0"] == 0
            call = asyncio.create_task(send_next(one))
            assert await waits(call, 1)
            assert next(iter(lease)).ack()
        await other.put("b")
        assert await soon(call, 1) == "b"


async def test_message_of_a_stranger_is_sent_as_well(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        queue = faults.streams["outbox"]
        queue.store("outbox.in.0", b'"a"', None)
        queue.store("outbox.in.0", b'"b"', {"Nats-Msg-Id": "mine"})
        queue.store("outbox.in.0", b'"c"', {"Ridethrough-Expires": "soon"})
        await put_all(one, "d")
        await _begin_and_give_back(one)
        assert await _attempts(other) == ("a", 1, True)
        assert await send_all(one, 3) == "bcd", "none of them is taken for another"
        assert one.statistics().sent == 3


# ---------------------------------------------------------------- when it was sent


async def test_message_whose_acknowledgements_are_lost_is_not_sent_again_however_often_it_comes(
    faults: Faults, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with outbox.host() as buffer:
        deliveries = await put_all(buffer, "ab")
        for times in (1, 2):
            faults.lose(f"$JS.ACK.outbox.sender-0.{times}.1.*", ALWAYS)
        assert await send_next(buffer, "ok") == "a"
        assert await deliveries[0] == "ok"
        assert await soon(send_next(buffer), 30) == "b"
        assert faults.asked["$JS.ACK.outbox.sender-0.3.1.3.0.1"] == 1
        assert await buffer.count() == 0
        assert buffer.statistics().sent == 2
        assert faults.asked["$JS.ACK.outbox.sender-0.2.1.2.0.1"] == 1, "the first is still tried, which does as well"
        await asyncio.sleep(70)
        tried = faults.asked["$JS.ACK.outbox.sender-0.1.1.1.0.1"]
        assert tried > 10
        await asyncio.sleep(20)
        assert faults.asked["$JS.ACK.outbox.sender-0.1.1.1.0.1"] == tried, "it was given up"
    assert "message 1 has ended sent, and the stream has it still: no answer in time" in caplog.text


async def test_message_whose_outcome_cannot_be_told_is_found_out(outbox: MemoryOutbox) -> None:
    cut: list[Callable[[], None]] = []

    def encode(result: object) -> bytes:
        for each in cut:
            each()
        return str(result).encode()

    codec = {"encode_result": encode, "decode_result": bytes.decode}
    async with outbox.open(**codec) as one, outbox.through_proxy(**codec) as (other, way):
        delivery = await one.put("a")
        cut.append(way.cut)
        assert await send_next(other, "ok") == "a"
        assert await soon(delivery, 10) is None
        assert delivery.outcome is Outcome.SENT
        await way.mend()
        await until(lambda: other.state == "connected")


async def test_only_so_many_messages_that_have_ended_are_remembered(outbox: MemoryOutbox) -> None:
    async with outbox.two(max_size=2000) as (one, other):
        await one.put_many(str(number) for number in range(1100))
        for _ in range(1100):
            await send_next(other)
        assert other._open is not None
        assert len(other._open.owner._ended) == 1000
        assert other._open.owner._seen == {}


# ---------------------------------------------------------------- pauses


async def test_pause_that_is_nearly_over_is_waited_out(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "a")
        async with buffer.lease() as lease:
            next(iter(lease)).defer(1)
        began = _now()
        await asyncio.sleep(0.7)
        buffer.resume()
        assert await send_next(buffer) == "a"
        assert 0.9 < _now() - began < 1.3
        assert faults.asked["$JS.ACK.outbox.sender-0.1.1.1.0.0"] == 1, "another host might have it by then"


async def test_pause_that_cannot_be_ended_is_waited_out(outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture) -> None:
    async with outbox.through_proxy() as (buffer, way):
        await put_all(buffer, "a")
        async with buffer.lease() as lease:
            next(iter(lease)).defer(20)
        began = _now()
        way.cut()
        buffer.resume()
        await asyncio.sleep(1)
        await way.mend()
        assert await soon(send_next(buffer), 30) == "a"
        assert 19 < _now() - began < 21
    assert "message 1 waits until its pause is over: it could not be resumed" in caplog.text


# ---------------------------------------------------------------- requests for a message


async def test_request_that_has_had_its_time_is_made_anew(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(send_next(one))
        assert await waits(call, 29.9)
        assert faults.asked[_NEXT] == 1
        assert await waits(call, 0.2)
        assert faults.asked[_NEXT] == 2
        began = _now()
        await other.put("a")
        assert await soon(call) == "a"
        assert _now() - began < 0.1


async def test_request_that_a_new_leader_refuses_is_made_anew(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(send_next(one))
        assert await waits(call)
        faults.forget_requests("409")
        await other.put("a")
        assert await soon(call, 0.5) == "a"


async def test_while_nobody_leads_requests_are_made_now_and_then(
    server: MemoryServer, faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open() as buffer:
        server.weather.leader = "gone"
        call = asyncio.create_task(send_next(buffer))
        assert await waits(call, 10)
        assert 30 < faults.asked[_NEXT] < 50
        server.weather.leader = "there"
        await buffer.put("a")
        assert await soon(call, 0.5) == "a"


async def test_request_of_which_a_new_leader_does_not_know_is_made_anew(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(send_next(one))
        assert await waits(call)
        faults.forget_requests()
        await other.put("a")
        assert await soon(call, 3.5) == "a"


async def test_what_is_said_of_a_request_that_was_given_up_changes_nothing(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.through_proxy() as (one, way), outbox.open() as other:
        call = asyncio.create_task(send_all(one, 3))
        assert await waits(call)
        way.stall()
        assert await waits(call, 6), "by now it has been asked for more than once"
        await way.mend()
        assert await waits(call, 1)
        asked = faults.asked[_NEXT]
        assert await waits(call, 26), "by now the first one has had its time, and the last one has not"
        assert faults.asked[_NEXT] == asked > 1
        deliveries = await put_all(other, "abc")
        assert await soon(call, 1) == "abc"
        assert await asyncio.gather(*deliveries) == [None] * 3
        assert {(delivery.attempts, delivery.maybe_sent) for delivery in deliveries} == {(1, False)}


async def test_close_waits_until_a_lease_that_is_just_being_left_has_been_told(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        lease = await one.lease().__aenter__()
        next(iter(lease)).ack()
        held = faults.hold("$JS.ACK.*")
        leaving = asyncio.create_task(lease.__aexit__(None, None, None))
        await held.there.wait()
        closing = asyncio.create_task(one.aclose())
        assert await waits(closing)
        held.let_go()
        assert await soon(closing) == []
        await leaving
        assert await delivery is None
        assert await other.count() == 0
