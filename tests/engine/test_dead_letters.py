"""Dead letters on servers in memory: as on real ones, and while these fail."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from ridethrough import Outcome, StoreAway, StoreError
from tests.nats import test_dead_letters
from tests.nats.harness import Buffer, put_all, send_next, soon, waits

from .faults import ALWAYS, Faults
from .harness import MemoryOutbox

pytestmark = pytest.mark.anyio

globals().update(
    {
        name: test
        for name, test in vars(test_dead_letters).items()
        if name.startswith("test_") and "connected(" not in inspect.getsource(test)
    }
)

_ERASE = "$JS.API.STREAM.PURGE.outbox-dead"


async def _refused(buffer: Buffer, message: str) -> int:
    """Put a message and refuse it; returns its id."""
    delivery = await buffer.put(message)
    async with buffer.lease() as lease:
        next(iter(lease)).reject("no")
    return delivery.id


async def test_letter_that_was_put_again_and_not_erased_is_put_once(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.two(put_timeout=5.0) as (one, other):
        number = await _refused(one, "a")
        faults.lose(_ERASE, ALWAYS)
        text = f"dead letter {number} was put again, and could not be erased: no answer in time"
        with pytest.raises(StoreAway, match=f"^{text}$"):
            await one.put_again(number)
        faults.no_more()
        assert [letter.id for letter in await one.dead_letters()] == [number]
        (again,) = await other.put_again(number)
        assert await one.count() == 1
        assert await send_next(one) == "a"
        assert await soon(again) is None
        assert await one.dead_letters() == []


async def test_letter_that_was_put_again_and_may_not_be_erased_is_told(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        number = await _refused(buffer, "a")
        faults.refuse(_ERASE, 10059, "stream not found", status=404)
        with pytest.raises(StoreError, match=rf"^dead letter {number} was put again, .*: stream not found$"):
            await buffer.put_again(number)
        assert await send_next(buffer) == "a"


async def test_what_no_host_has_written_is_no_dead_letter(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        letters = faults.streams["outbox-dead"]
        for headers in (None, {"Ridethrough-Fate": "{}"}, {"Ridethrough-Fate": '{"id": 7, "outcome": "x"}'}):
            letters.store("outbox.dead.7", b"from a stranger", headers)
        number = await _refused(buffer, "a")
        assert [letter.id for letter in await buffer.dead_letters()] == [number]
        with pytest.raises(LookupError, match="there is no dead letter 7"):
            await buffer.put_again(7)
        assert await buffer.forget(number) == 1


async def test_letters_are_shown_where_nearly_all_were_forgotten(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        first = await _refused(buffer, "a")
        faults.streams["outbox-dead"].last = 20_000
        last = await _refused(buffer, "b")
        assert [(letter.id, letter.outcome) for letter in await buffer.dead_letters()] == [
            (first, Outcome.REJECTED), (last, Outcome.REJECTED),
        ]  # fmt: skip


async def test_what_waits_is_shown_where_there_are_nearly_only_gaps(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "ab")
        faults.streams["outbox"].last = 20_000
        await buffer.put("c")
        before = faults.asked.total()
        assert [(each.id, each.body) for each in await buffer.waiting()] == [
            (1, b'"a"'), (2, b'"b"'), (20_001, b'"c"'),
        ]  # fmt: skip
        assert faults.asked.total() - before < 10


async def test_cancelled_while_the_letter_is_erased_it_was_put_again_and_is_none_any_more(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open(max_size=1) as buffer:
        first, _ = await put_all(buffer, "ab")
        assert await send_next(buffer) == "b"
        held = faults.hold("$JS.API.STREAM.PURGE.outbox-dead")
        call = asyncio.create_task(buffer.put_again(first.id))
        await held.there.wait()
        call.cancel()
        assert await waits(call)
        held.let_go()
        (again,) = await soon(call)
        assert await buffer.dead_letters() == []
        assert await send_next(buffer) == "a"
        assert await again is None
