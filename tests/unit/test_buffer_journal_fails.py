"""buffer.py with a journal that cannot be opened, read or written, and which comes back."""

from __future__ import annotations

import logging
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest
from anyio import create_task_group, to_thread

from ridethrough import AsyncMessageBuffer, BufferFull, Delivery, Outcome
from ridethrough.abc import JournalRecord, Recovered
from ridethrough.errors import StoreError, StoreFull, StoreLocked
from ridethrough.sqlite import SQLiteJournal
from tests.clocks import all_blocked
from tests.conformance.harness import check, lease_all, put_all, start, until
from tests.journals import FakeJournal, open_buffer

pytestmark = pytest.mark.anyio

FULL = StoreFull("the disk is full")


# It cannot be written


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "reject", "wait"])
async def test_put_that_cannot_be_written_is_not_accepted_and_drops_nothing(policy: str) -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2, overflow=policy) as buffer:
        await put_all(buffer, "a" if policy in ("reject", "wait") else "ab")
        journal.error = FULL
        before = buffer.statistics()
        for put in (partial(buffer.put, "x"), partial(buffer.put, "x", ttl=5), partial(buffer.put_many, "x")):
            with pytest.raises(StoreFull, match="the disk is full"):
                await put()
            assert buffer.statistics() == before
        journal.error = None
        if policy in ("reject", "wait"):
            await buffer.put("b")  # for there is room again
        assert await lease_all(buffer) == "ab"
        assert [letter.body for letter in await buffer.dead_letters()] == []


async def test_put_from_thread_that_cannot_be_written_raises() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, threads=True) as buffer:
        journal.error = FULL
        with pytest.raises(StoreFull):
            await to_thread.run_sync(buffer.put_from_thread, "a")
        assert buffer.is_empty()


async def test_numbers_of_what_could_not_be_written_are_nobodys() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        journal.error = FULL
        with pytest.raises(StoreFull):
            await buffer.put_many("xyz")
        journal.error = None
        assert (await buffer.put("a")).id > 3
        check(buffer)
        assert buffer.statistics().accepted == 1


async def test_putter_in_line_gets_the_room_of_one_that_could_not_be_written() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=1, overflow="wait") as buffer, create_task_group() as tasks:
        journal.shut()
        first = await start(tasks, partial(buffer.put, "a"))
        second = await start(tasks, partial(buffer.put, "b"))
        assert (buffer.statistics().waiting_to_put, len(buffer)) == (1, 0)
        journal.let_pass(FULL)
        await all_blocked()
        assert (repr(first.error), second.state) == (repr(FULL), "running")
        journal.open_gate()
        await all_blocked()
        assert second.state == "returned"
        assert await lease_all(buffer) == "b"


async def test_on_a_full_disk_messages_still_end_which_makes_room() -> None:
    journal = FakeJournal()
    journal.only_appends_fail = True
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        await put_all(buffer, "abc")
        journal.error = FULL
        journal.shut()
        syncing = await start(tasks, lambda: buffer.forget())
        async with create_task_group() as puts:
            put = await start(puts, partial(buffer.put, "x"))
            assert buffer.waiting()[0].cancel()  # in the same transaction as that put
            journal.open_gate()
        assert (repr(put.error), journal.shelf.bodies()) == (repr(FULL), ["b", "c"])
        assert await lease_all(buffer, 1) == "b"
        await buffer.drain()
        assert journal.shelf.bodies() == []
        assert syncing.state == "returned"


async def test_journal_that_fails_and_comes_back_knows_all_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ridethrough.journal")
    journal = FakeJournal()
    async with open_buffer(journal, max_size=3) as buffer:
        await put_all(buffer, "abc")
        journal.error = StoreError("the disk is gone")
        assert await lease_all(buffer, 1) == "a"
        async with buffer.lease() as lease:
            next(iter(lease)).begin()
        assert buffer.waiting()[1].cancel()
        with pytest.raises(StoreError, match="the disk is gone"):
            await buffer.put("x")
        assert journal.shelf.bodies() == ["a", "b", "c"]
        journal.error = None
        await buffer.put("d")
        kept = [(record.body, record.attempts, record.maybe_sent) for record in journal.shelf.records.values()]
        assert kept == [(b"b", 1, True), (b"d", 0, False)]
        check(buffer)
    assert [record.getMessage() for record in caplog.records] == [
        "the journal cannot be written: the disk is gone; it is tried again every 1 s",
        "the journal can be written again",
    ]


async def test_what_could_not_be_written_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ridethrough.journal_writer._RETRY", 0.001)
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await buffer.put("a")
        journal.error = FULL
        assert await buffer.drain() == ["a"]
        await until(lambda: len(journal.commits) > 5)
        journal.error = None
        await until(lambda: journal.shelf.bodies() == [])


async def test_close_writes_what_could_not_be_written_before() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "ab")
        journal.error = FULL
        assert await lease_all(buffer, 1) == "a"
        journal.error = None
    assert journal.shelf.bodies() == ["b"]


async def test_close_of_a_journal_that_cannot_be_written_closes_it_all_the_same() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        await put_all(buffer, "ab")
        journal.error = FULL
        assert await lease_all(buffer, 1) == "a"
        assert await buffer.aclose() == ["b"]
        assert not journal.is_open
    assert journal.shelf.bodies() == ["a", "b"]
    assert journal.shelf.records[1].maybe_sent is False, "nothing could be written since"


class BrokenWhenClosed(FakeJournal):
    """Cannot be closed."""

    def close(self) -> None:
        super().close()
        raise OSError(5, "meet me at noon")


async def test_journal_that_cannot_be_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with open_buffer(BrokenWhenClosed()) as buffer:
        await buffer.put("a")
    (record,) = caplog.records
    assert record.getMessage().startswith("the journal was not closed as it should be: ")
    with pytest.raises(RuntimeError, match="the journal is closed"):
        await buffer.dead_letters()


async def test_drop_after_the_commit_that_finds_all_leased_is_refused_and_erased() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=1) as buffer, create_task_group() as tasks:
        await buffer.put("a")
        journal.shut()
        call = await start(tasks, partial(buffer.put, "b"))  # which is to drop "a"
        sending = await start(tasks, partial(lease_all, buffer, 1))  # and that is leased meanwhile
        journal.let_pass()
        await all_blocked()
        assert (call.state, journal.shelf.bodies()) == ("running", ["a", "b"])
        journal.open_gate()
        await all_blocked()
        assert isinstance(call.error, BufferFull)
        assert "b" not in journal.shelf.bodies()
        assert (sending.state, sending.result) == ("returned", "a")
        check(buffer)
        assert buffer.statistics().accepted == 1
        await buffer.put("c")
        assert journal.shelf.bodies() == ["c"]


# It cannot be opened, or not read


class Locked(FakeJournal):
    """Belongs to somebody else for a while."""

    locked = True

    def open(self) -> Recovered:
        if self.locked:
            raise StoreLocked("process 7 has it", owner=7)
        return super().open()


async def test_journal_that_cannot_be_opened_can_be_entered_later() -> None:
    journal = Locked()
    buffer = AsyncMessageBuffer[str](journal=journal)
    for _ in range(2):
        with pytest.raises(StoreLocked, match="process 7 has it"):
            await buffer.__aenter__()
        with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
            await buffer.put("a")
    journal.locked = False
    async with buffer:
        await buffer.put("a")
    assert journal.shelf.bodies() == ["a"]


def journal_with(*bodies: bytes) -> FakeJournal:
    journal = FakeJournal()
    journal.shelf.last_id = len(bodies)
    journal.shelf.records = {number: JournalRecord(number, body) for number, body in enumerate(bodies, 1)}
    return journal


async def test_message_that_cannot_be_decoded_is_told_by_its_number_and_nothing_changes() -> None:
    journal = journal_with(b"a", b"\xff meet me at noon", b"c")
    with pytest.raises(StoreError, match=r"^message 2 cannot be decoded \(UnicodeDecodeError\): ") as caught:
        async with open_buffer(journal):
            raise AssertionError("it was entered")
    assert "noon" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert not journal.is_open
    assert journal.commits == []
    journal.shelf.records[2] = JournalRecord(2, b"b")
    async with open_buffer(journal) as buffer:
        assert await lease_all(buffer) == "abc"


@pytest.mark.parametrize("option", ["key", "size_of"])
async def test_what_a_callback_raises_of_what_waits_comes_out_and_nothing_changes(option: str) -> None:
    def fail(message: str) -> int:
        return 1 // (message != "b")

    journal = journal_with(b"a", b"b", b"c")
    options: dict[str, Any] = {option: fail}
    buffer = AsyncMessageBuffer[str](max_bytes=10, journal=journal, **options)
    with pytest.raises(ZeroDivisionError):
        await buffer.__aenter__()
    assert not journal.is_open
    assert journal.shelf.bodies() == ["a", "b", "c"]
    assert buffer.is_empty()
    with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
        await buffer.put("d")


async def test_message_that_cannot_be_encoded_changes_nothing() -> None:
    journal = FakeJournal()
    async with open_buffer(journal, max_size=2) as buffer:
        await put_all(buffer, "ab")
        before = buffer.statistics()
        number: Any = 5
        for put in (partial(buffer.put, number), partial(buffer.put_many, ["b", number])):
            with pytest.raises(TypeError, match="only strings can be kept"):
                await put()
        assert buffer.statistics() == before
        assert journal.shelf.bodies() == ["a", "b"]


# When it may be used


async def test_buffer_with_a_journal_is_entered_before_it_is_used() -> None:
    buffer = AsyncMessageBuffer[str](journal=FakeJournal())
    for put in (partial(buffer.put, "a"), partial(buffer.put_many, "a")):
        with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
            await put()
    with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
        await to_thread.run_sync(buffer.put_from_thread, "a")
    assert await buffer.drain() == []
    await buffer.flush()
    assert await buffer.aclose() == []


async def test_put_while_the_journal_is_being_opened_is_refused() -> None:
    journal = journal_with(b"a")
    journal.shut()
    buffer = AsyncMessageBuffer[str](journal=journal)
    async with create_task_group() as tasks:
        entering = await start(tasks, buffer.__aenter__)
        with pytest.raises(RuntimeError, match="is entered with async with before it is used"):
            await buffer.put("b")
        journal.open_gate()
        await until(lambda: entering.state == "returned")
        assert await lease_all(buffer) == "a"
        await buffer.aclose()


async def test_buffer_with_a_journal_is_entered_once() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer:
        with pytest.raises(RuntimeError, match="a buffer with a journal is entered once"):
            await buffer.__aenter__()
        await buffer.put("a")
    with pytest.raises(RuntimeError, match="a buffer with a journal is entered once"):
        await buffer.__aenter__()
    assert not journal.is_open


FORK = """
import os, sys, anyio
from ridethrough import AsyncMessageBuffer
from ridethrough.sqlite import SQLiteJournal

async def main():
    async with AsyncMessageBuffer(journal=SQLiteJournal(sys.argv[1])) as buffer:
        await buffer.put("a")
        while not buffer._writer.idle:  # its thread would hold the lock for ever in the child
            await anyio.sleep(0.001)
        if (child := os.fork()) == 0:
            for call in (buffer.put, buffer.put_many, buffer.forget):
                try:
                    await call("b")
                except RuntimeError as error:
                    assert f"the journal is open in process {os.getppid()}, of which this one is a fork" in str(error)
                else:
                    os._exit(1)
            assert await buffer.aclose() == ["a"]
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await buffer.put("c")

anyio.run(main)
"""


def test_forked_child_puts_nothing_and_closes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "outbox.db")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, path]
    subprocess.run(command, check=True, timeout=60)
    with closing(SQLiteJournal[str](path)) as journal:
        assert [record.body for record in journal.open().records] == [b'"a"', b'"c"']


# Who is told


async def test_undelivered_message_is_told_of_in_the_loops_thread() -> None:
    told: list[tuple[int, Outcome | None]] = []

    def tell(delivery: Delivery[str]) -> None:
        told.append((get_ident(), delivery.outcome))

    async with open_buffer(FakeJournal(), threads=True, max_size=1, on_undelivered=tell) as buffer:
        await put_all(buffer, "ab")
        await to_thread.run_sync(buffer.put_from_thread, "c")
        await until(lambda: len(told) == 2)
    assert told == [(get_ident(), Outcome.DROPPED)] * 2 + [(get_ident(), Outcome.ABANDONED)]


async def test_each_putter_of_a_transaction_that_failed_has_an_error_of_its_own() -> None:
    journal = FakeJournal()
    async with open_buffer(journal) as buffer, create_task_group() as tasks:
        journal.shut()
        calls = [await start(tasks, partial(buffer.put, message)) for message in "abc"]
        for _ in range(2):  # the first message has a transaction to itself
            journal.let_pass(FULL)
            await all_blocked()
        errors = [call.error for call in calls]
        assert [repr(error) for error in errors] == [repr(FULL)] * 3
        assert len(set(map(id, errors))) == 3
