"""buffer.py with a journal: what is kept, and what waits there is there again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from anyio import create_task_group, sleep

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, Outcome, Undelivered
from ridethrough.abc import JournalRecord
from ridethrough.sqlite import SQLiteJournal
from tests.clocks import all_blocked
from tests.conformance.harness import check, ends, lease_all, put_all, start
from tests.journals import FakeJournal, Shelf, open_buffer

pytestmark = pytest.mark.anyio


def shelf_with(*records: JournalRecord) -> Shelf:
    """A shelf on which these wait."""
    shelf = Shelf()
    shelf.last_id = max(record.id for record in records)
    shelf.records = {record.id: record for record in records}
    return shelf


# What waited is there again


async def test_what_waited_is_there_again_in_order() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "abcd")
        assert await lease_all(buffer, 1) == "a"
    assert not journal.is_open
    async with open_buffer(journal) as buffer:
        assert [(delivery.id, delivery.message) for delivery in buffer.waiting()] == [(2, "b"), (3, "c"), (4, "d")]
        now = buffer.statistics()
        assert (now.accepted, now.queued, len(buffer)) == (3, 3, 3)
        check(buffer)
        assert (await buffer.put("e")).id == 5
        assert await lease_all(buffer) == "bcde"
    assert journal.shelf.bodies() == []


async def test_what_waited_on_the_disk_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with open_buffer(SQLiteJournal[str](path)) as buffer:
        await put_all(buffer, "abc")
        async with buffer.lease() as lease:
            next(iter(lease)).begin()
    async with open_buffer(SQLiteJournal[str](path)) as buffer:
        assert buffer.journal is not None
        first, *_ = buffer.waiting()
        assert (first.attempts, first.maybe_sent) == (1, True)
        assert await lease_all(buffer) == "abc"
    async with open_buffer(SQLiteJournal[str](path)) as buffer:
        assert buffer.is_empty()
        assert (await buffer.put("d")).id == 4


async def test_attempts_and_doubt_are_there_again() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "abc")
        for _ in range(2):
            async with buffer.lease(2) as lease:
                entry, _ = lease
                entry.begin()
    async with open_buffer(journal) as buffer:
        states = [(delivery.attempts, delivery.maybe_sent) for delivery in buffer.waiting()]
        assert states == [(2, True), (0, False), (0, False)]


async def test_message_is_in_doubt_in_the_journal_before_it_is_handed_out() -> None:
    shelf = FakeJournal(shelf_with(JournalRecord(1, b"a"), JournalRecord(2, b"b", 3, False), JournalRecord(3, b"c")))
    async with open_buffer(shelf) as buffer:
        async with buffer.lease(2):
            kept = [(record.attempts, record.maybe_sent) for record in shelf.shelf.records.values()]
            assert kept == [(1, True), (4, True), (0, False)]
        assert [delivery.attempts for delivery in buffer.waiting()] == [0, 3, 0]
    kept = [(record.attempts, record.maybe_sent) for record in shelf.shelf.records.values()]
    assert kept == [(0, False), (3, False), (0, False)], "what was given back is not in doubt"


async def test_doubt_of_a_lease_that_closing_ends_is_kept() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "abc")
        async with buffer.lease(2) as lease:
            next(iter(lease)).begin()
            assert await buffer.aclose() == ["a", "b", "c"]
    kept = [(record.attempts, record.maybe_sent) for record in journal.shelf.records.values()]
    assert kept == [(1, True), (0, False), (0, False)]


async def test_age_went_on_while_the_program_did_not_run() -> None:
    now = time.time()
    old, young = JournalRecord(1, b"a", expires_at=now - 1), JournalRecord(2, b"b", expires_at=now + 1000)
    journal = FakeJournal(shelf_with(old, young, JournalRecord(3, b"c")))
    reported: list[Delivery[str]] = []
    async with open_buffer(journal, ttl=5, on_undelivered=reported.append) as buffer:
        second, third = buffer.waiting()
        (first,) = reported
        assert (first.message, first.outcome, second.outcome) == ("a", Outcome.EXPIRED, None)
        assert "older than its ttl" in await ends(first)
        await sleep(900)
        check(buffer)
        assert buffer.waiting() == [second, third]
        await sleep(101)
        assert buffer.waiting() == [third], "it was put without a ttl"
        assert second.outcome is Outcome.EXPIRED
        assert await lease_all(buffer) == "c"
        assert [letter.id for letter in await buffer.dead_letters()] == [1, 2]


async def test_age_is_kept_by_the_clock_on_the_wall() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        before = time.time()
        await buffer.put("a", ttl=1000)
        await buffer.put("b")
        first, second = journal.shelf.records.values()
        assert first.expires_at is not None
        assert before + 1000 <= first.expires_at <= time.time() + 1000
        assert second.expires_at is None


async def test_numbers_grow_for_ever() -> None:
    journal = FakeJournal()
    for number in (1, 2, 3):
        async with open_buffer(journal) as buffer:
            assert (await buffer.put("a")).id == number
            assert await lease_all(buffer) == "a"
            assert buffer.statistics().accepted == 1


async def test_what_waits_is_taken_in_even_if_it_is_more_than_there_is_room_for() -> None:
    journal = FakeJournal(shelf_with(*(JournalRecord(number, b"%d" % number) for number in range(1, 6))))
    async with open_buffer(journal, max_size=2, overflow="wait") as buffer, create_task_group() as tasks:
        assert len(buffer) == 5
        with pytest.raises(BufferFull, match="5 of 2 messages"):
            await buffer.put("6", overflow="reject")
        call = await start(tasks, lambda: buffer.put("6"))
        async with buffer.lease(3) as lease:
            for entry in lease:
                entry.ack()
        assert call.state == "running"
        check(buffer)
        assert await lease_all(buffer, 1) == "4"
        await all_blocked()
        assert await lease_all(buffer, 3) == "56"


async def test_what_waits_has_its_key_and_its_size() -> None:
    journal = FakeJournal(shelf_with(JournalRecord(1, b"a1"), JournalRecord(2, b"b1"), JournalRecord(3, b"a2")))
    async with open_buffer(journal, key=lambda message: message[0], max_bytes=10) as buffer:
        assert buffer.statistics().size == 6
        async with buffer.lease() as lease:
            next(iter(lease)).defer(60)
        assert await lease_all(buffer) == "b1"
        assert await lease_all(buffer) == "a1a2"


async def test_flush_waits_for_what_was_there_before() -> None:
    journal = FakeJournal(shelf_with(JournalRecord(7, b"a")))
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        call = await start(tasks, buffer.flush)
        assert call.state == "running"
        assert await lease_all(buffer) == "a"
        await buffer.flush()


# What becomes of a message in the journal


async def test_what_was_sent_drained_or_cancelled_is_erased() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "abc")
        assert await lease_all(buffer, 1) == "a"
        assert buffer.waiting()[0].cancel()
        assert await buffer.drain() == ["c"]
        assert journal.shelf.bodies() == [], "drain waits until it is forgotten"
        assert await buffer.dead_letters() == []


async def test_what_was_given_up_becomes_a_dead_letter() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=4) as buffer:
        before = time.time()
        await put_all(buffer, "abc")
        await buffer.put("d", ttl=5)
        await buffer.put("e")  # drops "a"
        async with buffer.lease(2) as lease:
            rejected, unknown = lease
            for entry in (rejected, unknown):
                entry.begin()
            rejected.reject("no such number")
            unknown.unknown(ConnectionResetError("reset"))
        await sleep(6)
        check(buffer)
        letters = await buffer.dead_letters()
        assert [(letter.id, letter.body, letter.outcome) for letter in letters] == [
            (1, b"a", Outcome.DROPPED),
            (2, b"b", Outcome.REJECTED),
            (3, b"c", Outcome.UNKNOWN),
            (4, b"d", Outcome.EXPIRED),
        ]
        assert [letter.reason for letter in letters][:2] == ["the buffer was full", "no such number"]
        assert [(letter.attempts, letter.maybe_sent) for letter in letters] == [
            (0, False),
            (1, False),
            (1, True),
            (0, False),
        ]
        assert all(before <= letter.ended_at <= time.time() for letter in letters)
        assert journal.shelf.bodies() == ["e"]


async def test_what_drop_newest_drops_becomes_a_dead_letter() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow="drop_newest") as buffer:
        deliveries = await buffer.put_many("abcd")
        assert [delivery.outcome for delivery in deliveries] == [None, None, Outcome.DROPPED, Outcome.DROPPED]
        assert [letter.body for letter in await buffer.dead_letters()] == [b"c", b"d"]


async def test_what_is_abandoned_stays_and_its_sender_learns_that_it_is_over_here() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        delivery = await buffer.put("a")
        assert await buffer.aclose() == ["a"]
        with pytest.raises(Undelivered):
            await delivery
        assert delivery.outcome is Outcome.ABANDONED
    assert journal.shelf.bodies() == ["a"]
    assert journal.shelf.letters == []


# Transactions


async def test_messages_put_together_are_one_transaction() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await buffer.put_many("abc")
        assert [len(changes.appended) for changes in journal.commits] == [3]


async def test_what_comes_during_a_commit_is_the_next_transaction() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=100) as buffer, create_task_group() as tasks:
        journal.shut()
        calls = [await start(tasks, lambda: buffer.put("a")) for _ in range(50)]
        assert journal.waiting
        assert {call.state for call in calls} == {"running"}
        assert buffer.is_empty(), "nothing is accepted before it is written"
        journal.open_gate()
        await buffer.put("b")
        await all_blocked()
        assert [len(changes.appended) for changes in journal.commits] == [1, 50]
        assert [call.state for call in calls] == ["returned"] * 50
        assert [call.result and call.result.id for call in calls] == list(range(1, 51))
        check(buffer)


async def test_journal_of_a_buffer_is_known() -> None:
    journal = FakeJournal()
    assert AsyncMessageBuffer[str](journal=journal).journal is journal
    assert AsyncMessageBuffer[str]().journal is None
    with pytest.raises(TypeError, match="journal must be a Journal or None, not str"):
        AsyncMessageBuffer[str](journal="outbox.db")  # type: ignore[arg-type]


async def test_waiting_tells_what_is_queued_and_leased_in_order() -> None:
    async with AsyncMessageBuffer[str]() as buffer:
        assert buffer.waiting() == []
        deliveries = [await buffer.put(message) for message in "abc"]
        async with buffer.lease(2) as lease:
            assert buffer.waiting() == deliveries
            next(iter(lease)).ack()
            assert buffer.waiting() == deliveries[1:]
        await buffer.drain()
        assert buffer.waiting() == []
