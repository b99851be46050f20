"""What a disk can do to a journal: it is full, or may not be written."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ridethrough.abc import JournalChanges, JournalRecord
from ridethrough.delivery import Outcome
from ridethrough.errors import StoreError, StoreFull, StoreReadOnly
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.files import RESERVE_SIZE, Reserve, translate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SQLiteJournal[Any]]:
    journal = SQLiteJournal[Any](path)
    yield journal
    journal.close()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes in this folder, if that is allowed here."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        allowed = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def append(journal: SQLiteJournal[Any], *ids: int, size: int = 250) -> None:
    journal.commit(JournalChanges(appended=[JournalRecord(number, bytes(size)) for number in ids]))


def fill(journal: SQLiteJournal[Any]) -> int:
    """Append until nothing can be appended any more, and return how many were."""
    for number in range(1, 100_000):
        try:
            append(journal, number)
        except StoreFull:
            return number - 1
    raise AssertionError("the disk is not small")


# A full disk


def test_full_disk_can_be_emptied_message_by_message(tmp_path: Path) -> None:
    with small_disk(tmp_path, 2 * 2**20), closing(SQLiteJournal[Any](tmp_path / "outbox.db")) as journal:
        journal.open()
        count = fill(journal)
        assert count > 1000
        with pytest.raises(StoreFull, match=r"no room on the disk for .*outbox.db: make some"):
            append(journal, count + 1)
        filler = (tmp_path / "filler").open("wb")
        with pytest.raises(OSError, match="No space left"), filler:
            filler.write(bytes(2**20))
        for number in range(1, count + 1):
            journal.commit(JournalChanges(updated=[(number, 1, True)]))
            changes = [JournalChanges(discarded=[number]), JournalChanges(buried=[(number, Outcome.EXPIRED, "")])]
            journal.commit(changes[number % 10 == 0])
        assert len(journal.dead_letters()) == count // 10
        journal.commit(JournalChanges(forgotten=[letter.id for letter in journal.dead_letters()]))
        assert journal.dead_letters() == []
        (tmp_path / "filler").unlink()
        append(journal, count + 1)
        journal.commit(JournalChanges(discarded=[count + 1]))
        assert (tmp_path / "outbox.db-reserve").stat().st_size == RESERVE_SIZE


def test_nothing_of_what_found_no_room_is_kept(tmp_path: Path) -> None:
    with small_disk(tmp_path, 2 * 2**20), closing(SQLiteJournal[Any](tmp_path / "outbox.db")) as journal:
        journal.open()
        append(journal, 1)
        both = JournalChanges(appended=[JournalRecord(2, b""), JournalRecord(3, bytes(2**22))], discarded=[1])
        with pytest.raises(StoreFull):
            journal.commit(both)
        assert (tmp_path / "outbox.db-reserve").exists()  # not for what appends
        journal.close()
        assert [record.id for record in journal.open().records] == [1]


def test_file_at_its_limit_as_on_a_full_disk(journal: SQLiteJournal[Any], path: Path) -> None:
    """SQLite's own limit on pages stands in for the disk's: the reserve is given up in vain, and taken anew."""
    journal.open()
    append(journal, 1, 2)
    (pages,) = journal._own().execute("PRAGMA page_count").fetchone()
    journal._own().execute(f"PRAGMA max_page_count={pages}").fetchone()
    with pytest.raises(StoreFull):
        append(journal, 3, size=10**5)
    reserve = path.with_name("outbox.db-reserve")
    assert reserve.exists()
    with pytest.raises(StoreFull):
        journal.commit(JournalChanges(buried=[(1, Outcome.REJECTED, "x" * 10**5)]))
    assert not reserve.exists()
    with pytest.raises(StoreFull):
        journal.commit(JournalChanges(buried=[(1, Outcome.REJECTED, "x" * 10**5)]))
    journal.commit(JournalChanges(discarded=[1]))
    assert reserve.exists()
    journal.close()
    assert [record.id for record in journal.open().records] == [2]


def test_reserve_is_taken_only_of_what_is_there(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "outbox.db")
    with small_disk(tmp_path, RESERVE_SIZE):
        reserve.look()
        assert list(tmp_path.iterdir()) == [] and not reserve.give_up()


def test_reserve_of_another_size_is_made_anew(journal: SQLiteJournal[Any], path: Path) -> None:
    reserve = path.with_name("outbox.db-reserve")
    reserve.write_bytes(b"short")
    journal.open()
    assert reserve.stat().st_size == RESERVE_SIZE
    made = reserve.stat().st_ino
    journal.close()
    journal.open()
    assert reserve.stat().st_ino == made


# A disk that may not be written


@pytest.mark.parametrize("mode", [0o400, 0o000])
def test_file_that_may_only_be_read(unprivileged: Path, mode: int) -> None:
    path = unprivileged / "outbox.db"
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        append(journal, 1)
        journal.close()
        path.chmod(mode)
        with pytest.raises(StoreReadOnly, match=r"outbox.db may not be written: "):
            journal.open()
        path.chmod(0o600)
        assert journal.open().last_id == 1


@pytest.mark.parametrize("made", [False, True])
def test_folder_that_may_only_be_read(unprivileged: Path, made: bool) -> None:
    with closing(SQLiteJournal[Any](unprivileged / "outbox.db")) as journal:
        if made:
            journal.open()
            journal.close()
        unprivileged.chmod(0o500)
        with pytest.raises(StoreReadOnly, match=r"outbox.db may not be written: "):
            journal.open()
        unprivileged.chmod(0o700)
        journal.open()


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no folder for .*/missing/outbox.db: make it first"):
        SQLiteJournal[Any](tmp_path / "missing" / "outbox.db").open()


def test_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be used: SQLITE_CANTOPEN"):
        SQLiteJournal[Any](tmp_path).open()


def test_errors_of_the_system() -> None:
    path = Path("/outbox.db")
    for code in (errno.ENOSPC, errno.EDQUOT):
        assert type(translate(OSError(code, "no"), path)) is StoreFull
    for code in (errno.EACCES, errno.EPERM, errno.EROFS):
        assert type(translate(OSError(code, "no"), path)) is StoreReadOnly
    assert type(translate(OSError(errno.EIO, "no"), path)) is StoreError
    assert str(translate(OSError(), path)) == "/outbox.db cannot be used: OSError"
    assert str(translate(sqlite3.ProgrammingError("of ours"), path)) == "/outbox.db cannot be used: ProgrammingError"
