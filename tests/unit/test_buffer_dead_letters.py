"""buffer.py with a journal: dead letters are seen, put again, and forgotten."""

from __future__ import annotations

from functools import partial

import pytest
from anyio import create_task_group

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Outcome
from ridethrough.abc import DeadLetter, JournalRecord
from ridethrough.errors import StoreError, StoreFull
from tests.clocks import all_blocked
from tests.conformance.harness import check, lease_all, put_all, start, ways_to_cancel
from tests.journals import FakeJournal, open_buffer

pytestmark = pytest.mark.anyio


def journal_with_letters(*bodies: bytes) -> FakeJournal:
    """A journal in which these are dead letters, numbered from 1, and nothing waits."""
    journal = FakeJournal()
    journal.shelf.last_id = len(bodies)
    journal.shelf.letters = [
        DeadLetter(number, body, Outcome.REJECTED, "no such number", 1e9, number, number % 2 == 0)
        for number, body in enumerate(bodies, 1)
    ]
    return journal


def letters_of(journal: FakeJournal) -> list[int]:
    return [letter.id for letter in journal.shelf.letters]


async def test_put_again_puts_at_the_tail_with_a_new_number() -> None:
    journal = journal_with_letters(b"a", b"b", b"c")
    async with open_buffer(journal) as buffer:
        await buffer.put("d")
        third, second = await buffer.put_again(3, 2)
        check(buffer)
        assert [(third.id, third.message), (second.id, second.message)] == [(5, "c"), (6, "b")]
        assert [(third.attempts, third.maybe_sent), (second.attempts, second.maybe_sent)] == [(3, False), (2, True)]
        assert [letter.id for letter in await buffer.dead_letters()] == [1]
        assert journal.commits[-1].forgotten == [3, 2], "in the same transaction"
        assert journal.commits[-1].appended == [JournalRecord(5, b"c", 3, False), JournalRecord(6, b"b", 2, True)]
        assert await lease_all(buffer) == "dcb"
        assert await third is None


async def test_put_again_keeps_attempts_and_doubt_through_the_next_restart() -> None:
    journal = journal_with_letters(b"a", b"b")
    async with open_buffer(journal) as buffer:
        await buffer.put_again(2)
    async with open_buffer(journal) as buffer:
        (delivery,) = buffer.waiting()
        assert (delivery.id, delivery.attempts, delivery.maybe_sent) == (3, 2, True)


async def test_put_again_has_the_buffers_age_limit() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal, ttl=1000) as buffer:
        await buffer.put_again(1)
        assert journal.commits[-1].appended[0].expires_at is not None


async def test_put_again_of_nothing_does_nothing() -> None:
    async with open_buffer(journal_with_letters(b"a")) as buffer:
        assert await buffer.put_again() == []
        assert buffer.is_empty()


@pytest.mark.parametrize(
    ("ids", "kind", "text"),
    [
        ((1, 7), LookupError, "there is no dead letter 7"),
        ((1, 2, 1), ValueError, "ids must name each dead letter once"),
    ],
)
async def test_put_again_of_what_is_not_there_or_twice_changes_nothing(
    ids: tuple[int, ...], kind: type[Exception], text: str
) -> None:
    journal = journal_with_letters(b"a", b"b")
    async with open_buffer(journal) as buffer:
        with pytest.raises(kind, match=f"^{text}$"):
            await buffer.put_again(*ids)
        assert buffer.statistics().accepted == 0
    assert letters_of(journal) == [1, 2]


async def test_put_again_of_the_same_at_the_same_time_happens_once() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        journal.shut()
        await start(tasks, partial(buffer.put, "b"))
        calls = [await start(tasks, partial(buffer.put_again, 1)) for _ in range(2)]  # who both see that it is there
        journal.open_gate()
        await all_blocked()
        assert sorted(call.state for call in calls) == ["raised", "returned"]
        assert [type(call.error) for call in calls if call.error] == [LookupError]
        assert await lease_all(buffer) == "ba"


async def test_put_again_without_room_leaves_the_letters_where_they_are() -> None:
    journal = journal_with_letters(b"a", b"b")
    async with open_buffer(journal, max_size=2, overflow="reject") as buffer:
        await buffer.put("c")
        with pytest.raises(BufferFull):
            await buffer.put_again(1, 2)
        assert letters_of(journal) == [1, 2]
        await buffer.put_again(2)
        assert await lease_all(buffer) == "cb"


async def test_put_again_cancelled_while_it_waits_for_room_leaves_the_letter_where_it_is() -> None:
    for way in ways_to_cancel():
        journal = journal_with_letters(b"a")
        async with open_buffer(journal, max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
            await buffer.put("b")
            call = await start(tasks, partial(buffer.put_again, 1))
            await all_blocked()
            assert buffer.statistics().waiting_to_put == 1
            call.cancel(way)
            await all_blocked()
            assert (call.state, letters_of(journal)) == ("cancelled", [1])
            assert await lease_all(buffer) == "b"
            await buffer.put_again(1)
            assert await lease_all(buffer) == "a"


async def test_put_again_that_cannot_be_written_leaves_the_letter_where_it_is() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal) as buffer:
        journal.error = StoreFull("the disk is full")
        with pytest.raises(StoreFull):
            await buffer.put_again(1)
        assert letters_of(journal) == [1]
        journal.error = None
        await buffer.put_again(1)
        assert await lease_all(buffer) == "a"


async def test_put_again_of_a_letter_that_cannot_be_decoded_changes_nothing() -> None:
    journal = journal_with_letters(b"a", b"\xff meet me at noon")
    async with open_buffer(journal) as buffer:
        with pytest.raises(StoreError, match=r"^message 2 cannot be decoded \(UnicodeDecodeError\): ") as caught:
            await buffer.put_again(1, 2)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
        assert (letters_of(journal), buffer.statistics().accepted) == ([1, 2], 0)


async def test_put_again_into_a_closing_buffer_is_refused() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        await buffer.put("b")
        closing = await start(tasks, partial(buffer.aclose, 60))
        with pytest.raises(BufferClosed):
            await buffer.put_again(1)
        assert await lease_all(buffer) == "b"
        await all_blocked()
        assert closing.state == "returned"
    assert letters_of(journal) == [1]


async def test_forget_erases_and_counts() -> None:
    journal = journal_with_letters(b"a", b"b", b"c")
    async with open_buffer(journal) as buffer:
        assert await buffer.forget(1, 3, 99, 1) == 2
        assert [letter.id for letter in await buffer.dead_letters()] == [2]
        assert await buffer.forget() == 0
        assert await buffer.forget(1) == 0
        assert await buffer.forget(2) == 1


async def test_forget_does_not_touch_what_waits() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal) as buffer:
        delivery = await buffer.put("b")
        assert await buffer.forget(delivery.id) == 0
        assert await lease_all(buffer) == "b"


async def test_forget_that_cannot_be_written_raises() -> None:
    journal = journal_with_letters(b"a")
    async with open_buffer(journal) as buffer:
        journal.error = StoreFull("the disk is full")
        with pytest.raises(StoreFull):
            await buffer.forget(1)
        journal.error = None
        assert await buffer.forget(1) == 1


async def test_letters_are_seen_after_all_that_ended_before() -> None:
    async with open_buffer(FakeJournal(), max_size=1) as buffer:
        await put_all(buffer, "abcdef")
        assert [letter.body for letter in await buffer.dead_letters()] == [b"a", b"b", b"c", b"d", b"e"]


async def test_without_an_open_journal_there_are_no_dead_letters() -> None:
    async with AsyncMessageBuffer[str]() as plain:
        for call in (plain.dead_letters, plain.put_again, plain.forget):
            with pytest.raises(RuntimeError, match="dead letters are kept by a journal: make the buffer with journal="):
                await call()
    buffer = AsyncMessageBuffer[str](journal=FakeJournal())
    for call in (buffer.dead_letters, buffer.put_again, buffer.forget):
        with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
            await call()
    async with buffer:
        pass
    for call in (buffer.dead_letters, buffer.put_again, buffer.forget):
        with pytest.raises(RuntimeError, match="the journal is closed"):
            await call()
