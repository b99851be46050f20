"""sqlite/journal.py: what is kept, what is erased, what comes back."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ridethrough.abc import DeadLetter, Journal, JournalChanges, JournalRecord, Recovered
from ridethrough.delivery import Outcome
from ridethrough.errors import StoreError
from ridethrough.sqlite import Durability, SQLiteJournal

BODY = b"meet me at noon"


@pytest.fixture(params=["power-safe", "process-safe"])
def durability(request: pytest.FixtureRequest) -> Durability:
    level: Durability = request.param
    return level


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def journal(path: Path, durability: Durability) -> Iterator[SQLiteJournal[Any]]:
    journal = SQLiteJournal[Any](path, durability=durability)
    journal.open()
    yield journal
    journal.close()


def records(*ids: int, body: bytes = BODY) -> JournalChanges:
    return JournalChanges(appended=[JournalRecord(number, body) for number in ids])


def ended(*ids: int) -> JournalChanges:
    return JournalChanges(discarded=list(ids))


def buried(*ids: int, reason: str = "no such number") -> JournalChanges:
    return JournalChanges(buried=[(number, Outcome.REJECTED, reason) for number in ids])


def forgotten(*ids: int) -> JournalChanges:
    return JournalChanges(forgotten=list(ids))


def reopened(journal: SQLiteJournal[Any]) -> Recovered:
    journal.close()
    return journal.open()


def found(path: Path, text: bytes = BODY) -> list[str]:
    """The files of the outbox in which this can be read."""
    return [each.name for each in sorted(path.parent.iterdir()) if text in each.read_bytes()]


def test_new_file_holds_nothing(path: Path, durability: Durability) -> None:
    journal = SQLiteJournal[Any](path, durability=durability)
    assert isinstance(journal, Journal)
    assert journal.open() == Recovered(0, [])
    assert journal.dead_letters() == []
    journal.close()


def test_what_was_appended_is_there_again_in_order(journal: SQLiteJournal[Any]) -> None:
    first = JournalRecord(1, b"", 0, False, None)
    second = JournalRecord(7, b"\0\xff" * 5000, 3, True, 1e9 + 0.1)
    third = JournalRecord(2**62, b"c", 0, False, float("inf"))
    journal.commit(JournalChanges(appended=[second]))
    journal.commit(JournalChanges(appended=[third, first]))
    assert reopened(journal) == Recovered(2**62, [first, second, third])


def test_expiry_in_whole_seconds_comes_back_as_it_was(journal: SQLiteJournal[Any]) -> None:
    journal.commit(JournalChanges(appended=[JournalRecord(1, BODY, expires_at=5)]))
    assert reopened(journal).records == [JournalRecord(1, BODY, expires_at=5.0)]


def test_update_of_attempts_and_doubt(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2))
    journal.commit(JournalChanges(updated=[(1, 4, True), (9, 1, True)]))
    assert reopened(journal).records == [JournalRecord(1, BODY, 4, True), JournalRecord(2, BODY)]
    journal.commit(JournalChanges(updated=[(1, 3, False), (2, 0, True)]))
    assert reopened(journal).records == [JournalRecord(1, BODY, 3, False), JournalRecord(2, BODY, 0, True)]
    journal.commit(JournalChanges(updated=[(1, 0, False), (2, 0, False)]))
    assert reopened(journal).records == [JournalRecord(1, BODY), JournalRecord(2, BODY)]


def test_what_was_discarded_is_gone(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2, 3))
    journal.commit(ended(2, 9))
    assert [record.id for record in reopened(journal).records] == [1, 3]
    assert journal.dead_letters() == []


def test_all_kinds_of_changes_in_one_transaction(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2))
    journal.commit(
        JournalChanges(
            appended=[JournalRecord(number, BODY) for number in (3, 4)],
            updated=[(4, 2, True), (2, 1, False)],
            discarded=[1, 3],
            buried=[(2, Outcome.EXPIRED, "too old")],
        )
    )
    assert reopened(journal) == Recovered(4, [JournalRecord(4, BODY, 2, True)])
    assert [(letter.id, letter.attempts) for letter in journal.dead_letters()] == [(2, 1)]


def test_nothing_to_commit_writes_nothing(journal: SQLiteJournal[Any], path: Path) -> None:
    before = path.with_name("outbox.db-wal").read_bytes()
    journal.commit(JournalChanges())
    assert path.with_name("outbox.db-wal").read_bytes() == before


def test_transaction_that_fails_changes_nothing(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1))
    changes = records(2, 1)
    changes.discarded = [1]
    with pytest.raises(StoreError, match=r"outbox.db cannot be used: SQLITE_CONSTRAINT"):
        journal.commit(changes)
    assert reopened(journal) == Recovered(1, [JournalRecord(1, BODY)])


def test_transaction_with_a_number_that_sqlite_cannot_hold_changes_nothing(journal: SQLiteJournal[Any]) -> None:
    with pytest.raises(OverflowError):
        journal.commit(records(1, 2**63))
    journal.commit(records(2))
    assert reopened(journal) == Recovered(2, [JournalRecord(2, BODY)])


def test_body_that_is_no_blob_is_refused_by_the_file_itself(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.close()
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        connection.execute("INSERT INTO messages VALUES (1, 'text', NULL, 0, 0, 0, 0)")
    connection.close()


def test_numbers_are_not_used_again_after_the_file_was_emptied(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2, 41))
    journal.commit(ended(1, 2, 41))
    assert reopened(journal) == Recovered(41, [])
    assert reopened(journal) == Recovered(41, [])


def test_numbers_of_dead_letters_are_not_used_again(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.commit(records(41))
    journal.commit(buried(41))
    journal.close()
    with sqlite3.connect(path) as connection:  # as if damaged
        connection.execute("DELETE FROM sqlite_sequence")
    connection.close()
    assert journal.open().last_id == 41


# Dead letters


def test_dead_letter_tells_all(journal: SQLiteJournal[Any]) -> None:
    journal.commit(JournalChanges(appended=[JournalRecord(5, BODY, 2, True, 1e9)]))
    before = time.time()
    journal.commit(buried(5, reason="no such number: \ud800"))
    (letter,) = journal.dead_letters()
    assert before <= letter.ended_at <= time.time()
    assert letter == DeadLetter(5, BODY, Outcome.REJECTED, "no such number: \\ud800", letter.ended_at, 2, True)
    assert letter.outcome is Outcome.REJECTED
    assert reopened(journal) == Recovered(5, [])
    assert journal.dead_letters() == [letter]


def test_dead_letters_are_in_the_order_in_which_they_ended(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2, 3))
    journal.commit(buried(2))
    journal.commit(buried(3, 1, 77))
    assert [letter.id for letter in journal.dead_letters()] == [2, 3, 1]


def test_forgotten_dead_letters_are_erased(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.commit(records(1, 2, 3))
    journal.commit(buried(1, 2, 3))
    journal.commit(forgotten(1, 3, 99))
    assert [letter.id for letter in journal.dead_letters()] == [2]
    journal.tidy()
    assert found(path) == ["outbox.db"]
    journal.commit(forgotten(2))
    journal.tidy()
    assert found(path) == []


def test_forgotten_are_dead_letters_and_not_what_waits(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1, 2))
    journal.commit(forgotten(1))
    assert [record.id for record in reopened(journal).records] == [1, 2]


def test_dead_letter_becomes_a_message_again_in_one_transaction(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(1))
    journal.commit(buried(1))
    journal.commit(JournalChanges(appended=[JournalRecord(2, BODY, 3, True)], forgotten=[1]))
    assert reopened(journal) == Recovered(2, [JournalRecord(2, BODY, 3, True)])
    assert journal.dead_letters() == []


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_oldest_dead_letters_are_forgotten_first_and_erased(path: Path, limit: int) -> None:
    journal = SQLiteJournal[Any](path, max_dead_letters=limit)
    journal.open()
    for number in range(10, 0, -1):
        journal.commit(records(number, body=b"body-%d." % number))
        journal.commit(buried(number))
    kept = list(range(limit, 0, -1))
    assert [letter.id for letter in journal.dead_letters()] == kept
    journal.close()
    for number in range(1, 11):
        assert found(path, b"body-%d." % number) == (["outbox.db"] if number in kept else [])


def test_damaged_dead_letter_is_left_out_and_logged(
    journal: SQLiteJournal[Any], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.commit(records(1, 2, 3))
    journal.commit(buried(1, 2, 3))
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE dead_letters SET body=x'00' WHERE id=1")
        connection.execute("UPDATE dead_letters SET outcome='sent' WHERE id=3")
    connection.close()
    journal.open()
    assert [letter.id for letter in journal.dead_letters()] == [2]
    assert caplog.record_tuples == [("ridethrough.sqlite", logging.ERROR, f"2 damaged dead letters in {path}")]
    journal.commit(forgotten(1, 3))
    caplog.clear()
    assert [letter.id for letter in journal.dead_letters()] == [2]
    assert not caplog.records


# Bodies are erased, and the file shrinks


@pytest.mark.parametrize("size", [1, 30, 700])
def test_no_body_is_left_on_the_disk_once_all_have_ended_and_it_is_tidied(
    journal: SQLiteJournal[Any], path: Path, size: int
) -> None:
    journal.commit(records(*range(1, 200), body=BODY * size))
    assert found(path)
    journal.commit(JournalChanges(updated=[(number, 1, True) for number in range(1, 200)]))
    for number in range(1, 200):
        journal.commit(ended(number))
    journal.tidy()
    assert found(path) == []


def test_no_body_is_left_on_the_disk_after_close_although_others_wait(journal: SQLiteJournal[Any], path: Path) -> None:
    for number in range(1, 200):
        journal.commit(records(number, body=b"body-%d." % number * 9))
    for number in range(1, 200, 2):
        journal.commit(ended(number))
    journal.close()
    for number in range(1, 200):
        assert found(path, b"body-%d." % number) == ([] if number % 2 else ["outbox.db"])
    assert not path.with_name("outbox.db-wal").exists()


def test_file_is_small_again_after_many_messages_went_through(journal: SQLiteJournal[Any], path: Path) -> None:
    for start in range(1, 100_001, 10_000):
        journal.commit(records(*range(start, start + 10_000), body=BODY * 16))
        for first in range(start, start + 10_000, 250):
            journal.commit(ended(*range(first, first + 250)))
    journal.tidy()
    assert sum(each.stat().st_size for each in path.parent.iterdir()) < 2**20
    assert reopened(journal) == Recovered(100_000, [])


def test_file_is_small_again_after_everything_was_taken_out_at_once(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.commit(records(*range(1, 100_001), body=BODY * 16))
    journal.commit(ended(*range(1, 100_001)))
    assert path.stat().st_size > 2**20
    journal.close()
    assert path.stat().st_size < 2**20


def test_open_with_many_messages_takes_no_time(journal: SQLiteJournal[Any]) -> None:
    journal.commit(records(*range(1, 100_001), body=BODY * 16))
    journal.close()
    before = time.perf_counter()
    recovered = journal.open()
    assert time.perf_counter() - before < 10  # about 0.6 s: this sees what grows with the square
    assert len(recovered.records) == 100_000


# Arguments, states, and what can be seen


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"durability": "safe"}, ValueError, "durability must be 'power-safe' or 'process-safe', not 'safe'"),
        ({"encode": bytes}, TypeError, "encode and decode must be given together, or neither"),
        ({"decode": bytes}, TypeError, "encode and decode must be given together, or neither"),
        ({"max_dead_letters": -1}, ValueError, "max_dead_letters must be an int of at least 0, not -1"),
        ({"max_dead_letters": True}, TypeError, "max_dead_letters must be an int of at least 0, not bool"),
        ({"max_dead_letters": 1.5}, TypeError, "max_dead_letters must be an int of at least 0, not float"),
    ],
)
def test_wrong_arguments(path: Path, arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=f"^{text}$"):
        SQLiteJournal(path, **arguments)
    assert not path.exists()


def test_path_as_a_string_in_the_folder_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = SQLiteJournal[Any]("out ?#%20box.db")
    monkeypatch.chdir("/")
    journal.open()
    assert journal.path == tmp_path / "out ?#%20box.db" and journal.path.exists()
    journal.close()


def test_open_twice_is_refused(journal: SQLiteJournal[Any]) -> None:
    with pytest.raises(RuntimeError, match="the journal is open"):
        journal.open()
    journal.commit(records(1))


def test_closed_journal_does_nothing(journal: SQLiteJournal[Any]) -> None:
    journal.close()
    journal.close()
    for call in (lambda: journal.commit(records(1)), journal.dead_letters):
        with pytest.raises(RuntimeError, match="the journal is not open"):
            call()
    assert journal.open() == Recovered(0, [])


def test_repr_shows_state_and_no_more(journal: SQLiteJournal[Any], durability: Durability) -> None:
    assert repr(journal) == f"<SQLiteJournal outbox.db: open, {durability}>"
    journal.close()
    assert repr(journal) == f"<SQLiteJournal outbox.db: closed, {durability}>"


def test_power_safe_waits_for_the_disk_only_where_a_loss_would_matter(
    journal: SQLiteJournal[Any], durability: Durability
) -> None:
    def level_after(changes: JournalChanges) -> int:
        journal.commit(changes)
        (level,) = journal._own().execute("PRAGMA synchronous").fetchone()
        return int(level)

    normal, full = 1, 2 if durability == "power-safe" else 1
    assert level_after(records(1, 2)) == full
    assert level_after(ended(1)) == normal
    assert level_after(JournalChanges(updated=[(2, 1, True)])) == full
    assert level_after(buried(2)) == normal
    assert level_after(forgotten(2)) == full
    mixed = records(3)
    mixed.discarded = [3]
    assert level_after(mixed) == full


def test_settings_of_the_connection(journal: SQLiteJournal[Any]) -> None:
    def setting(name: str) -> Any:
        (value,) = journal._own().execute(f"PRAGMA {name}").fetchone()
        return value

    names = ("locking_mode", "journal_mode", "auto_vacuum", "secure_delete", "cell_size_check", "wal_autocheckpoint")
    assert [setting(name) for name in names] == ["exclusive", "wal", 2, 1, 1, 100]
    assert setting("busy_timeout") == 0
