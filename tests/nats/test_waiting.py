"""Promises 2, 8, 11 and 12 across hosts: what is learnt of messages, pauses, waiting, and closing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

from ridethrough import BufferClosed, FlushTimeout, Outcome

from .harness import Outbox, check, ends, put_all, send_all, send_next, soon, until, waits
from .servers import connected

pytestmark = pytest.mark.anyio


@dataclass
class Receipt:
    at: float


@pytest.mark.parametrize(("result", "arrives"), [({"at": 1.5}, {"at": 1.5}), (None, None), (Receipt(1.5), None)])
async def test_result_reaches_the_host_that_put_it_if_json_takes_it(
    outbox: Outbox, result: object, arrives: object
) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        assert await send_next(other, result) == "a"
        assert await soon(delivery) == arrives
        own = await one.put("b")
        assert await send_next(one, result) == "b"
        assert await own is result


async def test_result_reaches_the_host_that_put_it_as_it_was_encoded(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    def encode(receipt: Receipt) -> bytes:
        return b"x" * 1_000_000 if receipt.at > 8 else str(1 / receipt.at).encode()

    codec: dict[str, Any] = {"encode_result": encode, "decode_result": lambda body: Receipt(1 / float(body))}
    async with outbox.two(**codec) as (one, other):
        for at, arrives in ((4.0, Receipt(4.0)), (0.0, None), (9.0, None)):  # it cannot be encoded, or is too long
            delivery = await one.put("a")
            assert await send_next(other, Receipt(at)) == "a"
            assert await soon(delivery) == arrives
    async with outbox.open() as one, outbox.open(encode_result=str.encode, decode_result=bytes.decode) as other:
        delivery = await one.put("a")
        assert await send_next(other, "no JSON") == "a"
        assert await soon(delivery, 10) is None
    assert "what another host has told cannot be read: JSONDecodeError" in caplog.text
    assert "no JSON" not in caplog.text


async def test_refusal_reaches_the_host_that_put_it(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        async with other.lease() as lease:
            next(iter(lease)).reject("no such account")
        assert await ends(delivery) == "rejected: no such account"
        assert other.statistics().rejected == one.statistics().rejected == 1


async def test_text_of_a_foreign_error_is_not_told(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        async with other.lease() as lease:
            next(iter(lease)).reject(ValueError("the body of it"))
        assert await ends(delivery) == "rejected: ValueError"
        assert [letter.reason for letter in await one.dead_letters()] == ["ValueError"]


async def test_outcome_that_was_told_while_a_host_was_away_is_found_out(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (one, proxy), outbox.open() as other:
        sent, rejected, waiting = await put_all(one, "abc")
        proxy.cut()
        await until(lambda: one.state == "away")
        assert await send_next(other, "lost") == "a"
        async with other.lease() as lease:
            next(iter(lease)).reject("no")
        await proxy.mend()
        assert await soon(sent, 10) is None
        assert await ends(rejected) == "rejected: no"
        assert waiting.outcome is None


async def test_wait_nonempty_returns_when_something_can_be_leased(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        call = asyncio.create_task(one.wait_nonempty())
        assert await waits(call)
        await other.put("a")
        await soon(call, 1)
        began = time.monotonic()
        assert await send_next(one) == "a"
        assert time.monotonic() - began < 0.3, "it was kept for this host"


async def test_wait_nonempty_does_not_return_while_a_lease_is_under_way(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "ab")
        for sender in (one, other):
            async with sender.lease() as lease:
                call = asyncio.create_task(one.wait_nonempty())
                assert await waits(call)
                next(iter(lease)).ack()
            if sender is one:
                await soon(call, 2)
            else:
                assert await waits(call)
                await one.aclose()
                with pytest.raises(BufferClosed):
                    await call


async def test_wait_nonempty_does_not_return_for_what_is_too_old(outbox: Outbox) -> None:
    async with outbox.host() as gone:
        await gone.put("a", ttl=0.2)
    await asyncio.sleep(0.3)
    async with outbox.open() as buffer:
        call = asyncio.create_task(buffer.wait_nonempty())
        assert await waits(call)
        assert await buffer.count() == 0
        await buffer.put("b")
        await soon(call, 1)


async def test_cancelled_wait_nonempty_changes_nothing(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        call = asyncio.create_task(buffer.wait_nonempty())
        assert await waits(call)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        await buffer.put("a")
        assert await soon(send_next(buffer), 2) == "a"


async def test_deferred_message_keeps_its_place_for_every_host(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            assert entry.defer(1.0)
        began = time.monotonic()
        assert await send_all(other, 2) == "ab"
        assert 0.8 < time.monotonic() - began < 2


async def test_deferred_message_may_be_in_doubt(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        delivery = await one.put("a")
        async with other.lease() as lease:
            (entry,) = lease
            entry.begin()
            entry.defer(0, in_doubt=True)
        async with one.lease() as lease:
            (entry,) = lease
            assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (1, True)
            assert entry.ack()
        assert (delivery.attempts, delivery.maybe_sent) == (1, True)


@pytest.mark.parametrize("scope", ["key", "all"])
async def test_resume_ends_the_pause_of_what_was_deferred_here(outbox: Outbox, scope: str) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            entry.defer(60, scope)  # type: ignore[arg-type]
        other.resume()
        call = asyncio.create_task(send_next(one))
        assert await waits(call)
        one.resume()
        assert await soon(call, 2) == "a"


async def test_resume_of_another_key_leaves_the_pause(outbox: Outbox) -> None:
    async with outbox.open(key=lambda message: message[0]) as buffer:
        await put_all(buffer, ["a1", "a2"])
        async with buffer.lease() as lease:
            next(iter(lease)).defer(60)
        buffer.resume("b")
        call = asyncio.create_task(send_next(buffer))
        assert await waits(call)
        buffer.resume("b", "a")
        assert await soon(call, 2) == "a1"
        with pytest.raises(TypeError, match="keys must be hashable"):
            buffer.resume([])  # type: ignore[arg-type]


async def test_flush_waits_for_everything_put_before_by_any_host(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await soon(one.flush(), 1)
        await put_all(one, "a")
        await put_all(other, "b")
        flushes = [asyncio.create_task(buffer.flush()) for buffer in (one, other)]
        assert await waits(flushes[0])
        await put_all(other, "c")
        assert await send_next(other) == "a"
        assert await waits(flushes[0])
        assert await send_next(other) == "b"
        for flush in flushes:
            await soon(flush, 3)
        with pytest.raises(FlushTimeout) as raised:
            await one.flush(0)
        assert raised.value.left == 1
        assert await send_next(one) == "c"


async def test_flush_returns_after_the_outcomes_are_known_here(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        deliveries = await put_all(one, "abc")
        flush = asyncio.create_task(one.flush(10))
        assert await send_all(other, 3) == "abc"
        await flush
        assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT] * 3


async def test_flush_timeout_tells_how_many_are_left(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        await put_all(one, "abc")
        await send_next(other)
        began = time.monotonic()
        with pytest.raises(FlushTimeout) as raised:
            await other.flush(0.5)
        assert raised.value.left == 2
        assert 0.4 < time.monotonic() - began < 2
        with pytest.raises(ValueError, match="timeout must be"):
            await one.flush(-1)


async def test_closing_leaves_what_is_open_to_other_hosts(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        a, b, c = await put_all(one, "abc")
        assert await send_next(one) == "a"
        assert await one.aclose() == ["b", "c"]
        assert await one.aclose() == []
        assert await ends(b) == "abandoned: the buffer was closed"
        assert (a.outcome, c.outcome) == (Outcome.SENT, Outcome.ABANDONED)
        check(one)
        assert one.state == "closed"
        assert await send_all(other, 2) == "bc"


async def test_closing_flushes_first(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        deliveries = await put_all(one, "ab")
        call = asyncio.create_task(one.aclose(10))
        await asyncio.sleep(0.1)
        with pytest.raises(BufferClosed):
            await one.put("c")
        assert await send_all(other, 2) == "ab"
        assert await soon(call) == []
        assert [delivery.outcome for delivery in deliveries] == [Outcome.SENT] * 2


async def test_cancelled_close_leaves_the_buffer_open(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        await buffer.put("a")
        call = asyncio.create_task(buffer.aclose(None))
        assert await waits(call)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        await buffer.put("b")
        assert await send_all(buffer, 2) == "ab"


@pytest.mark.parametrize("timeout", [None, 30])
async def test_flush_raises_when_the_buffer_is_closed_meanwhile(outbox: Outbox, timeout: float | None) -> None:
    async with outbox.open() as buffer:
        await buffer.put("a")
        flush = asyncio.create_task(buffer.flush(timeout))
        closing = asyncio.create_task(buffer.aclose(timeout))
        assert await waits(flush)
        assert await buffer.aclose() == ["a"]
        assert await soon(closing, 1) == []
        with pytest.raises(BufferClosed):
            await soon(flush, 1)


async def test_enforce_ttl_returns_when_the_buffer_is_closed(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        call = asyncio.create_task(buffer.enforce_ttl())
        assert await waits(call)
        await buffer.aclose()
        await soon(call, 1)


async def test_no_task_is_left_and_a_buffer_is_entered_once(outbox: Outbox) -> None:
    before = asyncio.all_tasks()
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        await buffer.wait_nonempty()
        with pytest.raises(RuntimeError, match="entered once"):
            await buffer.__aenter__()
    assert asyncio.all_tasks() == before
    with pytest.raises(RuntimeError, match="entered once"):
        await buffer.__aenter__()


async def test_what_was_known_of_a_message_goes_when_it_has_ended(outbox: Outbox) -> None:
    async with outbox.open() as buffer, connected(outbox.servers) as client:
        await put_all(buffer, "ab")
        for _ in range(3):
            async with buffer.lease() as lease:
                next(iter(lease)).begin()
        jetstream = client.jetstream()
        assert (await jetstream.stream_info(f"{outbox.name}-state")).state.messages == 1
        assert await send_all(buffer, 2) == "ab"
        async with asyncio.timeout(3):
            while (await jetstream.stream_info(f"{outbox.name}-state")).state.messages:  # noqa: ASYNC110, no event tells
                await asyncio.sleep(0.05)
