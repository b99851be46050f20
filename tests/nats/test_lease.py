"""Promises 6 and 7 across hosts: one host at a time has a message, and what it does not acknowledge comes back."""

from __future__ import annotations

import asyncio
import time

import pytest

from ridethrough import BufferClosed, Outcome

from .harness import Buffer, Outbox, check, ends, put_all, send_all, send_next, soon, until, waits

pytestmark = pytest.mark.anyio


async def _attempt(buffer: Buffer, answer: str = "") -> tuple[int, bool]:
    """Lease the next message, begin to send it and answer so, if at all; returns what was known of it before."""
    async with buffer.lease() as lease:
        (entry,) = lease
        before = (entry.delivery.attempts, entry.delivery.maybe_sent)
        entry.begin()
        if answer in ("reject", "unknown"):
            getattr(entry, answer)("not you")
        elif answer == "defer":
            entry.defer(0)
        elif answer:
            getattr(entry, answer)()
    check(buffer)
    return before


async def test_messages_come_in_the_order_of_their_puts_whoever_sends(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "abc")
        await put_all(other, "def")
        assert await send_next(other) + await send_next(one) + await send_next(other) == "abc"
        assert await send_all(one, 3) == "def"
        assert await one.count() == 0


async def test_lease_holds_one_message_whatever_its_limit(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "abc")
        async with buffer.lease(100) as lease:
            assert [entry.message for entry in lease] == ["a"]
            assert len(lease) == 1
            assert buffer.statistics().leased == 1


async def test_lease_waits_for_a_message(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(send_next(one))
        assert await waits(call)
        await other.put("a")
        assert await soon(call, 1) == "a"


async def test_only_one_host_at_a_time_sends(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            call = asyncio.create_task(send_next(other))
            assert await waits(call)
            entry.begin()
            assert entry.ack()
            assert await waits(call)
        assert await soon(call, 1) == "b"


async def test_second_lease_of_a_host_waits_for_the_first(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            call = asyncio.create_task(send_next(buffer))
            next(iter(lease)).ack()
            assert await waits(call)
        assert await soon(call, 1) == "b"


async def test_what_is_not_acknowledged_is_back_in_its_place_for_any_host(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "ab")
        with pytest.raises(ZeroDivisionError):
            async with one.lease():
                raise ZeroDivisionError
        check(one)
        began = time.monotonic()
        assert await send_all(other, 2) == "ab"
        assert time.monotonic() - began < 1, "it was not given back, but waited for"


async def test_lease_is_kept_while_a_send_takes_longer_than_its_time(outbox: Outbox) -> None:
    async with outbox.two(lease_time=1.0) as (one, other):
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            call = asyncio.create_task(send_next(other))
            assert await waits(call, 3)
            assert entry.ack()
        assert await soon(call, 1) == "b"


async def test_late_acknowledgement_changes_nothing_and_is_counted(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        delivery, _ = await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            entry = next(iter(lease))
        assert not entry.ack()
        assert not entry.reject("no")
        assert not entry.unknown("perhaps")
        assert not entry.defer(1)
        check(buffer)
        assert (delivery.outcome, buffer.statistics().late) == (None, 4)
        assert await send_all(buffer, 2) == "ab"
        assert not entry.ack()
        assert (buffer.statistics().sent, buffer.statistics().late) == (2, 5)


async def test_second_answer_to_a_message_changes_nothing_and_is_counted(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        delivery = await buffer.put("a")
        async with buffer.lease() as lease:
            entry = next(iter(lease))
            assert entry.ack(1)
            assert not entry.ack(2)
            assert not entry.reject("no")
        assert await delivery == 1
        assert buffer.statistics().late == 2


async def test_acknowledgement_after_closing_is_late(outbox: Outbox) -> None:
    async with outbox.two() as (buffer, other):
        delivery = await buffer.put("a")
        async with buffer.lease() as lease:
            entry = next(iter(lease))
            assert await buffer.aclose() == ["a"]
            assert not entry.ack()
        assert (delivery.outcome, buffer.statistics().late) == (Outcome.ABANDONED, 1)
        assert await soon(send_next(other), 1) == "a"


async def test_lease_of_a_closed_buffer_raises(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        lease = buffer.lease()
        call = asyncio.create_task(buffer.lease().__aenter__())
        assert await waits(call)
        await buffer.aclose()
        with pytest.raises(BufferClosed):
            await call
        with pytest.raises(BufferClosed):
            await lease.__aenter__()
        with pytest.raises(BufferClosed):
            buffer.lease()


async def test_send_cannot_begin_twice_nor_after_the_lease(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await buffer.put("a")
        async with buffer.lease() as lease:
            entry = next(iter(lease))
            entry.begin()
            with pytest.raises(RuntimeError):
                entry.begin()
        with pytest.raises(RuntimeError):
            entry.begin()
        assert not entry.unbegin()


@pytest.mark.parametrize(
    ("answer", "then"),
    [("", (1, True)), ("unbegin", (0, False)), ("defer", (1, False))],
)
async def test_next_host_knows_what_the_last_one_did(outbox: Outbox, answer: str, then: tuple[int, bool]) -> None:
    async with outbox.two() as (one, other):
        await one.put("a")
        assert await _attempt(one, answer) == (0, False)
        assert await _attempt(other) == then
        assert await _attempt(one, "ack") == (then[0] + 1, True)


@pytest.mark.parametrize(
    ("answer", "outcome", "doubt"),
    [("ack", Outcome.SENT, False), ("reject", Outcome.REJECTED, False), ("unknown", Outcome.UNKNOWN, True)],
)
async def test_answer_settles_the_send(outbox: Outbox, answer: str, outcome: Outcome, doubt: bool) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        await _attempt(other, answer)
        await until(lambda: delivery.outcome is not None, 2)
        assert (delivery.outcome, delivery.attempts, delivery.maybe_sent) == (outcome, 1, doubt)
        assert await one.count() == 0


async def test_message_given_back_by_nobody_is_in_hand_for_a_second_at_most(outbox: Outbox) -> None:
    async with outbox.two(lease_time=10.0) as (one, other):
        waiting = asyncio.create_task(one.wait_nonempty())
        await other.put("a")
        await soon(waiting, 1)
        began = time.monotonic()
        assert await _attempt(other, "ack") == (0, False)
        assert time.monotonic() - began < 3


async def test_cancelled_wait_for_a_lease_has_taken_nothing(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(one.lease().__aenter__())
        assert await waits(call)
        call.cancel()
        await asyncio.wait({call})
        delivery = await other.put("a")
        assert await soon(_attempt(other, "ack"), 3) == (0, False)
        assert delivery.outcome is Outcome.SENT


async def test_what_cannot_be_decoded_is_rejected_and_the_next_goes_on(outbox: Outbox) -> None:
    def refuse(body: bytes) -> str:
        if b"a" in body:
            raise ValueError(body)
        return body.decode()

    async with outbox.open() as one, outbox.open(encode=str.encode, decode=refuse) as other:
        bad, _ = await put_all(one, "ab")
        assert await soon(send_next(other)) == '"b"'
        assert await ends(bad) == "rejected: the host that was to send it could not decode it"
        assert [letter.body for letter in await one.dead_letters()] == [b'"a"']
