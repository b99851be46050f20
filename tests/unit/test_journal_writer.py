"""journal_writer.py: one thread writes, tidies and closes; what could go wrong there is told."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import pytest
from anyio import create_task_group, to_thread

from ridethrough.delivery import NO_TERMS, Delivery
from ridethrough.durable_ledger import DurableLedger, Proposal, Ticket
from ridethrough.errors import StoreFull
from ridethrough.journal_writer import JournalWriter
from ridethrough.monitor import Monitor
from tests.by_hand import NobodyAsks
from tests.clocks import all_blocked, held_while
from tests.conformance.harness import start, until
from tests.journals import FakeJournal, at_work

pytestmark = pytest.mark.anyio

SECRET = "meet me at noon"


class Case:
    """A writer that is open, and what it writes from."""

    def __init__(self, journal: FakeJournal | None = None) -> None:
        self.journal = journal or FakeJournal()
        self.ledger: DurableLedger[str] = DurableLedger(NobodyAsks(), 10, None, lambda: 0.0)
        self.told: list[Delivery[str]] = []
        self.monitor: Monitor[str] = Monitor(self.ledger, self.told.append)
        self.writer: JournalWriter[str] = JournalWriter(self.journal, self.ledger, self.monitor)
        self._clocks = ExitStack()

    async def __aenter__(self) -> Self:
        self.monitor.check_loop()
        self._clocks.enter_context(held_while(lambda: at_work(self.writer)))
        await self.writer.open()
        self.writer.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._clocks:
            await self.writer.close()

    def propose(self, *messages: str, fit: bool = True) -> Ticket:
        """Have these written."""
        proposal: Proposal[str] = Proposal()
        with self.monitor:
            self.ledger.propose(proposal, [(each, NO_TERMS, each.encode()) for each in messages], None, fit=fit)
            self.ledger.submit(proposal)
        return proposal.ticket


async def test_all_is_done_in_one_thread_of_its_own() -> None:
    threads: set[threading.Thread] = set()

    class Watched(FakeJournal):
        def open(self) -> Any:
            threads.add(threading.current_thread())
            return super().open()

        def commit(self, changes: Any) -> None:
            threads.add(threading.current_thread())
            super().commit(changes)

        def close(self) -> None:
            threads.add(threading.current_thread())
            super().close()

    async with Case(Watched()) as case:
        await case.writer.wait(case.propose("a"))
        threads.add(await case.writer.run(threading.current_thread))
        assert case.journal.is_open
    (thread,) = threads
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("ridethrough journal", True)
    await to_thread.run_sync(thread.join)


async def test_idle_is_it_when_nothing_is_or_will_be_written() -> None:
    def idle() -> bool:
        return case.writer.idle

    case = Case()
    assert idle(), "it was not opened"
    async with case, create_task_group() as tasks:
        await all_blocked()
        assert idle()
        case.journal.shut()
        await start(tasks, partial(case.writer.wait, case.propose("a")))
        assert not idle()
        case.propose("b")
        case.journal.let_pass()
        await all_blocked()
        assert not idle(), "the second is to be written"
        case.journal.open_gate()
        await all_blocked()
        assert idle()
    assert idle()


def wait_until_idle(writer: JournalWriter[str]) -> None:
    while not writer.idle:
        time.sleep(0)


async def test_is_not_idle_before_its_last_word_is_said() -> None:
    """A clock that jumps as soon as it is idle jumps over nobody whom it is about to wake."""
    for _ in range(10):
        async with Case() as case:
            closing = Ticket()
            with case.monitor.lock:
                case.writer._closers.append(closing)
                case.ledger.on_change()
            await to_thread.run_sync(wait_until_idle, case.writer)
            assert closing.done


async def test_tickets_are_done_after_what_was_to_be_written_by_then() -> None:
    async with Case() as case, create_task_group() as tasks:
        case.journal.shut()
        first = case.propose("a")
        await start(tasks, partial(case.writer.wait, first))
        second = case.propose("b")
        bodies = await start(tasks, partial(case.writer.run, case.journal.shelf.bodies))
        case.journal.open_gate()
        await all_blocked()
        assert bodies.result == ["a", "b"]
        assert second.done


async def test_what_work_raises_comes_out_and_the_thread_goes_on() -> None:
    async with Case() as case:
        with pytest.raises(ZeroDivisionError):
            await case.writer.run(lambda: 1 // 0)
        assert await case.writer.run(lambda: 5) == 5
        await case.writer.wait(case.propose("a"))


async def test_sync_returns_even_if_nothing_can_be_written(caplog: pytest.LogCaptureFixture) -> None:
    async with Case() as case:
        case.journal.error = StoreFull("the disk is full")
        case.ledger.changes.discarded.append(1)
        for _ in range(3):
            await case.writer.sync()
        case.journal.error = None
        await case.writer.sync()
        assert not case.ledger.changes
        await case.writer.sync()
    assert [record.levelno for record in caplog.records] == [logging.ERROR], "once, and not each time"


async def test_wait_and_block_return_at_once_for_what_is_done() -> None:
    async with Case() as case:
        ticket = case.propose("a")
        await case.writer.wait(ticket)
        assert await case.writer.wait(ticket) is None
        case.writer.block(ticket)
        ticket.error = StoreFull("the disk is full")
        with pytest.raises(StoreFull):
            await case.writer.wait(ticket)
        with pytest.raises(StoreFull):
            case.writer.block(ticket)


async def test_what_has_ended_is_told_of_before_the_wait_returns_even_if_that_need_not_sleep() -> None:
    async with Case() as case:
        ticket = case.propose("a", fit=False)
        wait_until_idle(case.writer)  # without giving the event loop a turn
        assert (ticket.done, case.told) == (True, [])
        await case.writer.wait(ticket)
        assert [delivery.message for delivery in case.told] == ["a"]


async def test_closed_writer_does_nothing_more() -> None:
    async with Case() as case:
        pass
    await case.writer.close()
    await case.writer.sync()
    with pytest.raises(RuntimeError, match="the journal is closed"):
        await case.writer.run(lambda: 5)
    with pytest.raises(RuntimeError, match="a buffer with a journal is entered once"):
        await case.writer.open()


async def test_what_was_handed_in_before_the_close_is_done() -> None:
    async with Case() as case, create_task_group() as tasks:
        case.journal.shut()
        await start(tasks, partial(case.writer.wait, case.propose("a")))
        asked = await start(tasks, partial(case.writer.run, lambda: 5))
        closing = [await start(tasks, case.writer.close) for _ in range(2)]
        assert not case.writer.idle
        case.journal.open_gate()
        await all_blocked()
        assert [call.state for call in closing] == ["returned"] * 2
        assert asked.result == 5
        assert not case.journal.is_open


async def test_writer_of_another_process_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Case() as case:
        owner = os.getpid()
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: owner + 1)
            with pytest.raises(RuntimeError, match=f"the journal is open in process {owner}, of which this one is a f"):
                await case.writer.run(lambda: 5)
            await case.writer.sync()
            await case.writer.close()
        assert case.journal.is_open
        await case.writer.wait(case.propose("a"))


# Tidying


class Tidied(FakeJournal):
    """Counts how often it was tidied."""

    tidied = 0
    fails = False

    def tidy(self) -> None:
        self.tidied += 1
        if self.fails:
            raise ValueError(SECRET)


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait before it tidies."""
    monkeypatch.setattr("ridethrough.journal_writer._TIDY_AFTER", 0.001)


@pytest.mark.usefixtures("no_rest")
async def test_journal_is_tidied_once_after_each_time_that_it_was_written() -> None:
    journal = Tidied()
    async with Case(journal) as case:
        await until(lambda: journal.tidied == 1 and case.writer.idle)
        await case.writer.wait(case.propose("a"))
        await until(lambda: journal.tidied == 2 and case.writer.idle)


@pytest.mark.usefixtures("no_rest")
async def test_journal_that_cannot_be_tidied_is_logged_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    journal = Tidied()
    journal.fails = True
    async with Case(journal) as case:
        await until(lambda: journal.tidied == 1)
        await case.writer.wait(case.propose("a"))
        assert journal.shelf.bodies() == ["a"]
    assert caplog.records[0].getMessage() == "the journal was not tidied: ValueError"
    assert SECRET not in caplog.text


async def test_journal_that_has_nothing_to_tidy_need_not_say_so() -> None:
    FakeJournal().tidy()


async def test_logs_show_no_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Case() as case:
        case.journal.error = ValueError(SECRET)
        with pytest.raises(ValueError, match=SECRET):
            await case.writer.wait(case.propose(SECRET))
        case.ledger.changes.discarded.append(1)
        await case.writer.sync()
        case.journal.error = None
        await case.writer.wait(case.propose(SECRET))
    assert len(caplog.records) >= 2
    assert SECRET not in caplog.text
