"""Dead letters that are put again, or forgotten; and what waits, to be looked at."""

from __future__ import annotations

import asyncio

import pytest

from ridethrough import Delivery, MessageTooLarge, Outcome, StoreAway

from .harness import Buffer, Outbox, ends, put_all, send_all, send_next, soon, until
from .servers import connected

pytestmark = pytest.mark.anyio


async def _refused(buffer: Buffer, message: str) -> Delivery[str]:
    """Put a message and refuse it, after a try that nobody knows the end of."""
    delivery = await buffer.put(message)
    async with buffer.lease() as lease:
        (entry,) = lease
        entry.begin()
        entry.reject("no")
    return delivery


async def test_dead_letters_are_put_again_in_the_order_asked_for(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        letters = [await _refused(buffer, message) for message in "abc"]
        again = await buffer.put_again(letters[2].id, letters[0].id)
        assert [each.message for each in again] == ["c", "a"]
        assert [letter.id for letter in await buffer.dead_letters()] == [letters[1].id]
        assert await send_all(buffer, 2) == "ca"
        assert [each.outcome for each in again] == [Outcome.SENT, Outcome.SENT]


async def test_what_was_tried_before_is_known(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        first = await one.put("a")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            entry.unknown("the link was lost")
        assert (first.attempts, first.maybe_sent) == (1, True)
        (again,) = await other.put_again(first.id)
        (waiting,) = await one.waiting()
        assert (waiting.id, waiting.attempts, waiting.maybe_sent) == (again.id, 1, True)
        for attempts in (1, 2):  # also when it was handed out before
            async with one.lease() as lease:
                (entry,) = lease
                assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (attempts, True)
                entry.begin()
        assert await one.cancel(again.id)
        assert await ends(again) == "cancelled: its sender took it back"
        assert (again.attempts, again.maybe_sent) == (3, True)


async def test_its_age_begins_anew(outbox: Outbox) -> None:
    async with outbox.open(ttl=0.3) as buffer:
        first = await buffer.put("a")
        assert await ends(first) == "expired: it was older than its ttl"
        (again,) = await buffer.put_again(first.id)
        (waiting,) = await buffer.waiting()
        assert waiting.expires_at is not None
        assert await ends(again) == "expired: it was older than its ttl"
        assert [letter.id for letter in await buffer.dead_letters()] == [again.id]


async def test_nothing_changes_if_one_is_none(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        letter = await _refused(buffer, "a")
        with pytest.raises(LookupError, match="there is no dead letter 7"):
            await buffer.put_again(letter.id, 7)
        with pytest.raises(LookupError, match="there is no dead letter 0"):
            await buffer.put_again(0)
        with pytest.raises(ValueError, match="ids must name each dead letter once"):
            await buffer.put_again(letter.id, letter.id)
        with pytest.raises(TypeError, match="ids must be ints, not str"):
            await buffer.put_again("1")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="ids must be ints, not bool"):
            await buffer.forget(True)
        assert await buffer.put_again() == []
        assert await buffer.count() == 0
        assert len(await buffer.dead_letters()) == 1


async def test_one_that_cannot_be_decoded_is_not_put(outbox: Outbox) -> None:
    def decode(body: bytes) -> str:
        assert body != b"b"
        return body.decode()

    async with outbox.open(max_size=1, encode=str.encode, decode=decode) as buffer:
        dropped = (await put_all(buffer, "abc"))[:2]
        with pytest.raises(ValueError, match=f"dead letter {dropped[1].id} cannot be decoded; nothing was put"):
            await buffer.put_again(*(each.id for each in dropped))
        assert await send_next(buffer) == "c"
        assert await buffer.count() == 0
        assert len(await buffer.dead_letters()) == 2


async def test_hosts_that_want_the_same_put_it_once(outbox: Outbox) -> None:
    async with outbox.two() as (one, other):
        letter = await _refused(one, "a")
        puts = [host.put_again(letter.id) for host in (one, other, one)]
        done = await asyncio.gather(*puts, return_exceptions=True)
        deliveries = [each[0] for each in done if not isinstance(each, BaseException)]
        assert deliveries
        assert all(isinstance(each, LookupError) for each in done if isinstance(each, BaseException))
        assert await one.count() == 1
        assert await send_next(one) == "a"
        for delivery in deliveries:
            assert await soon(delivery) is None
            assert delivery.outcome is Outcome.SENT
        assert await one.dead_letters() == []


async def test_letter_stays_if_there_is_no_room(outbox: Outbox) -> None:
    async with outbox.open(max_size=1, overflow="reject", max_bytes=300) as buffer:
        letter = await _refused(buffer, "a" * 100)
        await put_all(buffer, "b")
        with pytest.raises(Exception, match="the buffer is full"):
            await buffer.put_again(letter.id)
        assert await send_next(buffer) == "b"
        large = await buffer.put("c" * 200)
        async with buffer.lease() as lease:
            next(iter(lease)).reject("no")
        with pytest.raises(MessageTooLarge):  # it takes more to say of it what was tried
            await buffer.put_again(large.id)
        assert [each.id for each in await buffer.dead_letters()] == [letter.id, large.id]


async def test_newest_that_was_dropped_has_a_number_of_its_own(outbox: Outbox) -> None:
    async with outbox.open(max_size=1, overflow="drop_newest") as buffer:
        _, second, third = await put_all(buffer, "abc")
        assert (second.id, third.id) == (-1, -2)
        assert [(letter.id, letter.body) for letter in await buffer.dead_letters()] == [(-1, b'"b"'), (-2, b'"c"')]
        assert await send_next(buffer) == "a"
        (again,) = await buffer.put_again(third.id)
        assert await send_next(buffer) == "c"
        assert await again is None
        assert await buffer.forget(third.id, -7, 0) == 0
        assert await buffer.forget(second.id, second.id) == 1
        assert await buffer.dead_letters() == []


async def test_forgotten_letters_are_gone_from_the_stream(outbox: Outbox) -> None:
    async with outbox.two() as (one, other), connected(outbox.servers) as client:
        letters = [await _refused(one, message) for message in "abc"]
        assert await other.forget(letters[0].id, letters[2].id, 99) == 2
        assert [letter.id for letter in await one.dead_letters()] == [letters[1].id]
        assert (await client.jetstream().stream_info(f"{outbox.name}-dead")).state.messages == 1


async def test_erasing_that_is_not_answered_is_told(outbox: Outbox) -> None:
    async with outbox.through_proxy(put_timeout=1.0) as (buffer, proxy):
        letter = await _refused(buffer, "a")
        proxy.cut()
        await until(lambda: buffer.state == "away")
        for call in (buffer.put_again(letter.id), buffer.forget(letter.id), buffer.waiting()):
            with pytest.raises(StoreAway, match=r"JetStream did not answer in 1 s"):
                await call
        await proxy.mend()


async def test_what_waits_is_shown_in_order(outbox: Outbox) -> None:
    async with outbox.two(partitions=2, key=lambda message: message) as (one, other):
        assert await one.waiting() == []
        await put_all(one, "ab")
        await other.put("c", ttl=60)
        waiting = await one.waiting()
        assert [(each.id, each.body, each.attempts, each.maybe_sent) for each in waiting] == [
            (1, b'"a"', 0, False), (2, b'"b"', 0, False), (3, b'"c"', 0, False),
        ]  # fmt: skip
        assert [each.expires_at is None for each in waiting] == [True, True, False]
        async with other.lease() as lease:
            (entry,) = lease
            number = entry.delivery.id
            (shown,) = [each for each in await one.waiting() if each.id == number]
            assert (shown.attempts, shown.maybe_sent) == (1, True), "for all that one can know from here"
        (shown,) = [each for each in await one.waiting() if each.id == number]
        assert (shown.attempts, shown.maybe_sent) == (0, False), "it was never begun"


async def test_many_are_shown_and_what_was_taken_out_in_between_is_not(outbox: Outbox) -> None:
    async with outbox.open(max_size=1000) as buffer:
        await asyncio.gather(*(buffer.put(str(number)) for number in range(150)))
        assert await buffer.cancel(75)
        assert [each.id for each in await buffer.waiting()] == [number for number in range(1, 151) if number != 75]


async def test_where_there_are_nearly_only_gaps_each_message_is_found(outbox: Outbox) -> None:
    async with outbox.open() as buffer, connected(outbox.servers) as client:
        await put_all(buffer, "ab")
        jetstream = client.jetstream()
        await client.request(f"$JS.API.STREAM.PURGE.{outbox.name}", b'{"seq": 20002}', timeout=5)
        await buffer.put("c")
        await client.request(f"$JS.API.STREAM.PURGE.{outbox.name}-dead", b'{"seq": 9}', timeout=5)
        assert (await jetstream.stream_info(outbox.name)).state.first_seq == 20002
        assert [each.body for each in await buffer.waiting()] == [b'"c"']
