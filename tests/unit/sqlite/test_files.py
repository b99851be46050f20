"""The files of a journal: who may read them, who owns them, and what a disk, a user or a fork can do to them."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ridethrough.abc import JournalChanges, JournalRecord, Recovered
from ridethrough.errors import StoreCorrupt, StoreGone, StoreLocked
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.files import Owner

# Opens the file, appends what it is told, says so, and waits.
CHILD = """
import os, sys
from ridethrough.abc import JournalChanges, JournalRecord
from ridethrough.sqlite import SQLiteJournal
journal = SQLiteJournal(sys.argv[1], durability=sys.argv[2])
journal.open()
for number in range(1, 301):
    journal.commit(JournalChanges(appended=[JournalRecord(number, b"body-%d" % number)]))
FORK
print(os.getpid(), flush=True)
sys.stdin.read()
"""
FORK = """
if (child := os.fork()) == 0:
    for call in (journal.open, journal.dead_letters, journal.close,
                 lambda: journal.commit(JournalChanges(discarded=[1]))):
        try:
            call()
        except RuntimeError as error:
            assert f"process {os.getppid()}, of which this one is a fork" in str(error)
        else:
            os._exit(1)
    sys.exit(0)  # with all that the interpreter does at its end
assert os.waitpid(child, 0)[1] == 0
journal.commit(JournalChanges(appended=[JournalRecord(301, b"body-301")]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SQLiteJournal[Any]]:
    journal = SQLiteJournal[Any](path)
    yield journal
    journal.close()


@contextmanager
def child(path: Path, durability: str = "power-safe", fork: str = "") -> Iterator[int]:
    """Another program that has the file open, and is killed in the end."""
    code = [sys.executable, "-c", CHILD.replace("FORK", fork), str(path), durability]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def append(journal: SQLiteJournal[Any], *ids: int, size: int = 250) -> None:
    journal.commit(JournalChanges(appended=[JournalRecord(number, bytes(size)) for number in ids]))


# Who may read


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_files_are_for_their_owner_alone(journal: SQLiteJournal[Any], path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        journal.open()
        append(journal, 1)
    finally:
        os.umask(before)
    files = sorted(each.name for each in path.parent.iterdir())
    assert files == ["outbox.db", "outbox.db-owner", "outbox.db-reserve", "outbox.db-wal"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_files_that_others_could_read_are_taken_from_their_eyes(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.open()
    journal.close()
    path.chmod(0o666)
    journal.open()
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_link_that_leads_nowhere_makes_no_file_that_others_can_read(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    with closing(SQLiteJournal[Any](link)) as journal:
        before = os.umask(0)
        try:
            journal.open()
        finally:
            os.umask(before)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert (tmp_path / "target-wal").exists()


# Who owns


def test_second_program_is_refused_at_once_and_told_by_whom(journal: SQLiteJournal[Any], path: Path) -> None:
    with child(path) as pid:
        before = time.perf_counter()
        with pytest.raises(StoreLocked, match=f"outbox.db is in use by process {pid}: .* end that one first") as caught:
            journal.open()
        assert time.perf_counter() - before < 1
        assert caught.value.owner == pid
    assert len(journal.open().records) == 300


def test_second_journal_of_the_same_program_is_refused_and_the_first_goes_on(path: Path) -> None:
    first, second = SQLiteJournal[Any](path), SQLiteJournal[Any](path)
    first.open()
    with pytest.raises(StoreLocked) as caught:
        second.open()
    assert caught.value.owner == os.getpid()
    append(first, 1)
    with child_refused(path) as owner:  # to look did not release the lock
        assert owner == str(os.getpid())
    first.close()
    assert second.open().last_id == 1
    second.close()


@contextmanager
def child_refused(path: Path) -> Iterator[str]:
    code = (
        "import sys\nfrom ridethrough import StoreLocked\nfrom ridethrough.sqlite import SQLiteJournal\n"
        "try:\n    SQLiteJournal(sys.argv[1]).open()\nexcept StoreLocked as error:\n    print(error.owner)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    yield run.stdout.strip()


def test_locked_by_who_does_not_say_so(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.open()
    journal.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked, match="in use by another program: ") as caught:
            journal.open()
        assert caught.value.owner is None
    journal.open()


@pytest.mark.parametrize("durability", ["power-safe", "process-safe"])
def test_lock_ends_and_nothing_is_lost_when_the_owner_is_killed(path: Path, durability: str) -> None:
    with child(path, durability):
        pass
    with closing(SQLiteJournal[Any](path)) as journal:
        assert Owner(path).read() is None
        bodies = [record.body for record in journal.open().records]
        assert bodies == [b"body-%d" % number for number in range(1, 301)]
        assert Owner(path).read() == os.getpid()


def test_lock_of_others_who_begin_at_the_same_time_is_waited_out(
    journal: SQLiteJournal[Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who begin at once can be in each other's way: then neither gets the lock, and neither says so."""
    journal.open()
    journal.close()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        pauses: list[float] = []

        def pass_time(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.close()

        monkeypatch.setattr(time, "sleep", pass_time)
        journal.open()
    assert len(pauses) == 3 and sum(pauses) < 0.2


def test_one_of_many_who_begin_at_once_becomes_the_owner(path: Path) -> None:
    journals = [SQLiteJournal[Any](path) for _ in range(4)]
    for _ in range(10):
        barrier = threading.Barrier(4)
        owners: list[SQLiteJournal[Any]] = []
        refused: list[SQLiteJournal[Any]] = []

        def begin(
            journal: SQLiteJournal[Any],
            barrier: threading.Barrier = barrier,
            owners: list[Any] = owners,
            refused: list[Any] = refused,
        ) -> None:
            barrier.wait()
            try:
                journal.open()
            except StoreLocked:
                refused.append(journal)
            else:
                owners.append(journal)

        threads = [threading.Thread(target=begin, args=(journal,)) for journal in journals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(owners), len(refused)) == (1, 3)
        owners[0].close()


@pytest.mark.parametrize("content", [b"", b"nobody", b"99999999999999999999999", b"4194999"])
def test_owner_file_that_tells_nothing(path: Path, content: bytes) -> None:
    path.with_name("outbox.db-owner").write_bytes(content)
    assert Owner(path).read() is None


def test_owner_of_another_user(path: Path) -> None:
    path.with_name("outbox.db-owner").write_bytes(b"1")  # init's, or a container's first
    assert Owner(path).read() == 1


def test_journal_of_the_parent_is_nothing_for_a_forked_child(path: Path) -> None:
    """Were the child's end to close SQLite's connection, the log would be removed under the parent."""
    with child(path, fork=FORK):
        assert path.with_name("outbox.db-wal").stat().st_size
    with closing(SQLiteJournal[Any](path)) as journal:
        assert [record.id for record in journal.open().records] == list(range(1, 302))


def test_journal_of_another_process_does_nothing(
    journal: SQLiteJournal[Any], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.open()
    owner = os.getpid()
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: owner + 1)
        for call in (journal.open, journal.dead_letters, journal.close, lambda: append(journal, 1)):
            with pytest.raises(
                RuntimeError, match=f"the journal is open in process {owner}, of which this one is a fork"
            ):
                call()
    append(journal, 1)
    assert path.with_name("outbox.db-owner").exists()


def test_journal_is_used_by_one_thread_after_another(journal: SQLiteJournal[Any]) -> None:
    for work in (journal.open, lambda: append(journal, 1), journal.close):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert journal.open().last_id == 1


# A file that was taken away


@pytest.mark.parametrize("name", ["outbox.db", "outbox.db-wal"])
@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_file_that_is_gone_takes_nothing_more(journal: SQLiteJournal[Any], path: Path, name: str, how: str) -> None:
    journal.open()
    append(journal, 1)
    file = path.with_name(name)
    file.rename(path.with_name("elsewhere"))
    if how == "removed":
        path.with_name("elsewhere").unlink()
    elif how == "replaced":
        file.write_bytes(b"another's")
    append_one, discard_one = JournalChanges(appended=[JournalRecord(2, b"")]), JournalChanges(discarded=[1])
    for changes in (append_one, discard_one, JournalChanges(forgotten=[1])):
        with pytest.raises(StoreGone, match=r"outbox.db was removed, moved or replaced while it was open: "):
            journal.commit(changes)
    journal.close()
    if how == "replaced" and file == path:
        assert file.read_bytes() == b"another's"


def test_moved_file_is_whole_after_close(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.open()
    append(journal, 1)
    path.rename(path.with_name("elsewhere"))
    journal.close()
    with closing(SQLiteJournal[Any](path.with_name("elsewhere"))) as moved:
        assert moved.open() == Recovered(1, [JournalRecord(1, bytes(250))])


def test_journal_at_the_old_name_lives_on_after_close_of_one_whose_file_was_moved(path: Path) -> None:
    old, new = SQLiteJournal[Any](path), SQLiteJournal[Any](path)
    old.open()
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).unlink()
    new.open()
    append(new, 1)
    old.close()
    append(new, 2)
    assert Owner(path).read() == os.getpid()
    new.close()
    assert new.open().last_id == 2
    new.close()


def test_damage_that_is_met_at_work(journal: SQLiteJournal[Any], path: Path) -> None:
    journal.open()
    append(journal, *range(1, 10_001), size=500)  # more than SQLite remembers
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (len(content) - 4096))
    with pytest.raises(
        StoreCorrupt, match=r"outbox.db is damaged: close it and open it again, to save what can be read"
    ):
        journal.commit(JournalChanges(discarded=list(range(1, 10_001))))
    journal.close()
    with pytest.raises(StoreCorrupt, match="0 messages were saved"):
        journal.open()
    assert journal.open().records == []
