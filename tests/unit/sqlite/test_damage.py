"""Damaged files, and those that are none of ours: what is whole is saved, and nothing else is ever taken for it."""

from __future__ import annotations

import logging
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ridethrough.abc import DeadLetter, JournalChanges, JournalRecord, Recovered
from ridethrough.delivery import Outcome
from ridethrough.errors import StoreCorrupt, StoreError, StoreFull
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite import format as form
from tests.unit.sqlite.test_disk import small_disk

PAGE = 4096


def body_of(number: int) -> bytes:
    """Of many lengths: some of them take several pages."""
    return b"%d:" % number + bytes([number % 251]) * [0, 30, 250, 300, 3000, 4060, 9000][number % 7]


RECORDS = [JournalRecord(number, body_of(number), number % 3, number % 2 == 0, number / 3) for number in range(1, 301)]
LETTERS = range(301, 321)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An outbox in which 300 messages wait and 20 dead letters are."""
    path = tmp_path / "outbox.db"
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        letters = [JournalRecord(number, body_of(number)) for number in LETTERS]
        journal.commit(
            JournalChanges(RECORDS + letters, buried=[(each.id, Outcome.EXPIRED, "old") for each in letters])
        )
    return path


def salvaged(path: Path) -> StoreCorrupt:
    with pytest.raises(StoreCorrupt) as caught:
        SQLiteJournal[Any](path).open()
    return caught.value


def everything(path: Path) -> tuple[Recovered, list[DeadLetter]]:
    with closing(SQLiteJournal[Any](path)) as journal:
        return journal.open(), journal.dead_letters()


def check_is_of_what_was(recovered: Recovered, letters: list[DeadLetter]) -> None:
    """Nothing but what was put, in order; where the attempts are damaged, the message is in doubt."""
    ids = [record.id for record in recovered.records]
    assert ids == sorted(set(ids))
    for record in recovered.records:
        assert record in (RECORDS[record.id - 1], RECORDS[record.id - 1]._replace(attempts=1, maybe_sent=True))
    for letter in letters:
        assert letter.id in LETTERS and letter.body == body_of(letter.id) and letter.outcome is Outcome.EXPIRED
    assert recovered.last_id >= max([0, *ids, *(letter.id for letter in letters)])


@pytest.mark.parametrize("part", range(10))
def test_flipped_bytes_anywhere(path: Path, part: int) -> None:
    chance = random.Random(part)
    original = path.read_bytes()
    kept = refused = 0
    for _ in range(20):
        for each in path.parent.iterdir():
            each.unlink()
        damaged = bytearray(original)
        for _ in range(chance.choice([1, 1, 1, 20])):
            place = chance.choice([chance.randrange(len(damaged)), chance.randrange(200), chance.randrange(3 * PAGE)])
            damaged[place] ^= chance.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            recovered, letters = everything(path)
        except StoreCorrupt as error:
            assert error.copy is not None and Path(error.copy).read_bytes() == damaged
            recovered, letters = everything(path)
            assert error.saved == len(recovered.records)
        except StoreError as error:  # it is what says that it is ours, or of which version, that is damaged
            assert "is not an outbox" in str(error) or "newer version" in str(error)
            assert path.read_bytes() == damaged
            refused += 1
            continue
        check_is_of_what_was(recovered, letters)
        kept += len(recovered.records)
    assert kept > 250 * (20 - refused) and refused < 10


def test_flipped_byte_of_a_body(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"9:" + b"\x09" * 100, b"9:" + b"\x08" + b"\x09" * 99))
    damaged = path.read_bytes()
    recovered, letters = everything(path)
    assert recovered == Recovered(320, [record for record in RECORDS if record.id != 9])
    assert len(letters) == 20
    copy = path.with_name("outbox.db.corrupt-1")
    assert copy.read_bytes() == damaged and copy.stat().st_mode & 0o777 == 0o600
    told = f"1 damaged messages left out of {path}; they are in {copy}"
    assert caplog.record_tuples == [("ridethrough.sqlite", logging.ERROR, told)]
    assert everything(path)[0] == recovered
    assert not path.with_name("outbox.db.corrupt-2").exists()


def test_flipped_byte_of_the_attempts_leaves_the_message_in_doubt(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE messages SET attempts=attempts+64 WHERE id=6")
    recovered, _ = everything(path)
    assert recovered.records[5] == RECORDS[5]._replace(attempts=1, maybe_sent=True)
    assert len(recovered.records) == 300


def test_damaged_page_costs_what_is_on_it_alone(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"150:") // PAGE * PAGE
    content[place : place + PAGE] = bytes(PAGE)
    path.write_bytes(content)
    error = salvaged(path)
    recovered, letters = everything(path)
    check_is_of_what_was(recovered, letters)
    assert 250 < error.saved == len(recovered.records) < 300 and len(letters) == 20
    assert (error.lost, error.copy) == (None, str(path.with_name("outbox.db.corrupt-1")))
    for part in (f"outbox.db was damaged: {error.saved} messages were saved", "how many are lost", error.copy, "again"):
        assert part is not None and part in str(error)


@pytest.mark.parametrize("page", [0, 1, 2, 3])
def test_damaged_pages_from_which_all_others_are_found(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    start = page * PAGE + (100 if page == 0 else 0)
    content[start : (page + 1) * PAGE] = bytes((page + 1) * PAGE - start)
    path.write_bytes(content)
    try:
        recovered, letters = everything(path)
    except StoreCorrupt:
        recovered, letters = everything(path)
    assert recovered.records == RECORDS and len(letters) == 20
    assert recovered.last_id >= 320


def test_damaged_magic_string(path: Path) -> None:
    content = b"sqlite" + path.read_bytes()[6:]
    path.write_bytes(content)
    error = salvaged(path)
    assert everything(path)[0] == Recovered(320, RECORDS)
    assert (error.saved, Path(error.copy or "").read_bytes()) == (300, content)


def without_close(path: Path) -> None:
    """What is on the disk when the program is killed after some commits more."""
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        journal.commit(JournalChanges([JournalRecord(400, b"late")], discarded=[1], updated=[(2, 9, True)]))
        files = {each: each.read_bytes() for each in (path, path.with_name("outbox.db-wal"))}
    for each, content in files.items():
        each.write_bytes(content)


LATE = Recovered(400, [RECORDS[1]._replace(attempts=9), *RECORDS[2:], JournalRecord(400, b"late")])


def test_damage_after_a_crash_loses_nothing_of_the_log(path: Path) -> None:
    without_close(path)
    path.write_bytes(b"sqlite" + path.read_bytes()[6:])
    assert salvaged(path).saved == 300
    assert everything(path)[0] == LATE


@pytest.mark.parametrize("pages", [1, 3, 100])
def test_truncated_after_a_crash(path: Path, pages: int) -> None:
    without_close(path)
    path.write_bytes(path.read_bytes()[: pages * PAGE])
    salvaged(path)
    recovered, _ = everything(path)
    ids = [record.id for record in recovered.records]
    assert ids[-1] == 400 and 1 not in ids
    assert next(record for record in recovered.records if record.id == 2).attempts == 9
    check_is_of_what_was(Recovered(320, [record for record in recovered.records if 2 < record.id < 400]), [])


def test_what_is_left_in_the_log_of_earlier_times_is_not_saved(path: Path) -> None:
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        for number in range(1, 151):  # the log begins anew on its way, and keeps its length
            journal.commit(JournalChanges(updated=[(number, number, False)]))
            journal.commit(JournalChanges(discarded=[number]))
        assert path.with_name("outbox.db-wal").stat().st_size > 100 * PAGE
        files = {each: each.read_bytes() for each in (path, path.with_name("outbox.db-wal"))}
    for each, content in files.items():
        each.write_bytes(content)
    path.write_bytes(files[path][:PAGE])
    salvaged(path)
    recovered, _ = everything(path)
    check_is_of_what_was(recovered, [])
    assert not recovered.records or recovered.records[0].id > 150


def test_log_without_its_file_is_not_thrown_away(path: Path) -> None:
    without_close(path)
    path.unlink()
    assert salvaged(path).copy == str(path.with_name("outbox.db.corrupt-1"))
    recovered, _ = everything(path)
    assert JournalRecord(400, b"late") in recovered.records
    names = sorted(each.name for each in path.parent.iterdir())
    kept = ["outbox.db.corrupt-1", "outbox.db.corrupt-1-wal"]
    assert names == ["outbox.db", "outbox.db-reserve", *kept]
    assert {path.with_name(name).stat().st_mode & 0o777 for name in kept} == {0o600}
    assert path.with_name(kept[1]).stat().st_size


@pytest.mark.parametrize("size", [100, PAGE - 1, PAGE, 5 * PAGE, 5 * PAGE + 17, 100 * PAGE, -PAGE])
def test_truncated_file(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    error = salvaged(path)
    recovered, letters = everything(path)
    check_is_of_what_was(recovered, letters)
    assert error.saved == len(recovered.records)
    assert size > 0 or error.saved > 250
    assert recovered.last_id >= 320
    if 0 < size <= PAGE:
        assert recovered.last_id == 2**32  # how high the numbers were, nobody knows


def test_values_of_every_kind_are_saved(path: Path) -> None:
    attempts = [0, 1, 100, -(10**4), 10**6, 2**40, 2**60]
    records = [JournalRecord(2**62 + number, b"", each, False, number / 2) for number, each in enumerate(attempts)]
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        journal.commit(JournalChanges(records))
    path.write_bytes(b"sqlite" + path.read_bytes()[6:])
    assert salvaged(path).saved == 307
    assert everything(path)[0] == Recovered(2**62 + 6, RECORDS + records)


@pytest.mark.parametrize(("name", "wrong"), [(b"messages", b"\xb3essages"), (b"messages", b"massages")])
def test_damaged_names_of_the_tables(path: Path, name: bytes, wrong: bytes) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:PAGE].replace(name, wrong) + content[PAGE:])
    assert salvaged(path).saved == 300
    assert everything(path)[0] == Recovered(320, RECORDS)


@pytest.mark.parametrize("length", [1, 3, 8])
def test_damaged_sizes_of_rows_cost_these_rows_alone(path: Path, length: int) -> None:
    """And neither the time nor the memory that they pretend to need."""
    content = bytearray(path.read_bytes())
    leaves = [start for start in range(10 * PAGE, len(content), PAGE) if content[start] == 13][:3]
    for start in leaves:
        row = start + int.from_bytes(content[start + 8 : start + 10], "big")
        content[row : row + length] = b"\xff" * (length - 1) + b"\x7f"
    path.write_bytes(content)
    assert 290 < salvaged(path).saved < 300
    check_is_of_what_was(*everything(path))


def test_damaged_chain_of_pages_that_never_ends(path: Path) -> None:
    """A row says that it takes petabytes, and its rest is on a page that is followed by itself."""
    content = bytearray(path.read_bytes())
    leaf, page = len(content), len(content) + PAGE
    size = 489 + (PAGE - 4) * 2**40  # so 489 bytes are on the leaf itself
    sizes = [size >> shift & 0x7F | 0x80 for shift in range(49, 0, -7)] + [size & 0x7F]
    itself = (page // PAGE + 1).to_bytes(4, "big")
    row = bytes([*sizes, 1]) + bytes(489) + itself
    content += (b"\x0d\0\0\0\x01\0\0\0\x01\0".ljust(256, b"\0") + row).ljust(PAGE, b"\0") + itself.ljust(PAGE, b"\0")
    assert len(content) == page + PAGE and content[leaf + 8 : leaf + 10] == b"\x01\0"
    path.write_bytes(b"sqlite" + content[6:])
    assert salvaged(path).saved == 300


def test_each_copy_has_a_name_of_its_own(path: Path) -> None:
    content = path.read_bytes()
    for number in (1, 2, 3):
        path.write_bytes(content[: 100 * PAGE])
        assert salvaged(path).copy == str(path.with_name(f"outbox.db.corrupt-{number}"))


def test_no_room_to_save_what_can_be_read(path: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    content = path.read_bytes()
    damaged = content[: len(content) - PAGE]
    with small_disk(disk, len(content) * 3 // 2):
        (disk / "outbox.db").write_bytes(damaged)
        with pytest.raises(StoreFull):
            SQLiteJournal[Any](disk / "outbox.db").open()
        assert (disk / "outbox.db").read_bytes() == damaged
        assert [each.name for each in disk.iterdir()] == ["outbox.db"]


def test_body_that_looks_like_a_page_of_rows_is_none(path: Path, tmp_path: Path) -> None:
    """A sender's message must not become other messages when the file is damaged."""
    forger = tmp_path / "forger.db"
    with closing(SQLiteJournal[Any](forger)) as journal:
        journal.open()
        journal.commit(JournalChanges([JournalRecord(7000, b"forged")]))
    pages = forger.read_bytes()
    page = next(start for start in range(0, len(pages), PAGE) if b"forged" in pages[start : start + PAGE])
    forged = pages[page : page + PAGE]
    body = b"".join(bytes(shift) + forged * 3 for shift in range(0, PAGE, 64))
    with closing(SQLiteJournal[Any](path)) as journal:
        journal.open()
        journal.commit(JournalChanges([JournalRecord(500, body)]))
    path.write_bytes(b"sqlite" + path.read_bytes()[6:])
    assert salvaged(path).saved == 301
    ids = [record.id for record in everything(path)[0].records]
    assert 500 in ids and 7000 not in ids


# Files that are none of ours


def make_other(path: Path, *statements: str) -> bytes:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE messages (id)"],
        ["PRAGMA application_id=1"],
        ["PRAGMA user_version=1"],
        ["PRAGMA user_version=99", "CREATE TABLE t (id)"],
        ["PRAGMA journal_mode=WAL", "CREATE TABLE t (id)"],
    ],
    ids=lambda statements: statements[0],
)
def test_database_of_another_program_is_left_alone(path: Path, statements: list[str]) -> None:
    content = make_other(path, *statements)
    path.chmod(0o644)
    with pytest.raises(StoreError, match=r"outbox.db is not an outbox of ridethrough: use another file"):
        SQLiteJournal[Any](path).open()
    assert path.read_bytes() == content and path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", bytes(PAGE), bytes(range(256)) * 64], ids=["text", "zeros", "any"])
def test_file_of_another_kind_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"outbox.db is not an outbox of ridethrough"):
        SQLiteJournal[Any](path).open()
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir() if "corrupt" in each.name] == []


def test_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={form.VERSION + 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    with pytest.raises(StoreError, match=r"outbox.db was made by a newer version of ridethrough: use that one"):
        SQLiteJournal[Any](path).open()
    assert path.read_bytes() == content


def test_file_of_an_older_version_is_brought_to_this_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "_STEPS", [*form._STEPS, ("ALTER TABLE messages ADD COLUMN colour",)])
    monkeypatch.setattr(form, "VERSION", 2)
    assert everything(path)[0] == Recovered(320, RECORDS)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT DISTINCT colour FROM messages").fetchall() == [(None,)]


def test_empty_file_is_a_new_one(path: Path) -> None:
    path.write_bytes(b"")
    assert everything(path) == (Recovered(0, []), [])


def test_file_whose_making_was_cut_short_is_made_anew(path: Path) -> None:
    make_other(path, "PRAGMA journal_mode=WAL")
    assert path.stat().st_size == PAGE
    assert everything(path) == (Recovered(0, []), [])


def test_file_system_without_a_log() -> None:
    refused = pytest.raises(StoreError, match=r"outbox.db cannot have a write-ahead log: use a file on a disk of this")
    with closing(sqlite3.connect(":memory:")) as connection, refused:
        form.prepare(connection, Path("outbox.db"))
