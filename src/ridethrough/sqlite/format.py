"""The format of an outbox file: its tables, its checksums, and how one version of it becomes the next."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..abc import DeadLetter, JournalRecord, Recovered
from ..delivery import Outcome
from ..errors import StoreError
from .files import damaged, not_ours

APPLICATION_ID = 0x52544F42
"""In the file's header: "RTOB"."""
PAGE_SIZE = 4096
Row = Sequence[Any]

# A flipped byte of a body is seen by SQLite nowhere, so rows have checksums: one for what stays as it was put, one for
# each thing that changes on its own.
_WAITED = (
    "body BLOB NOT NULL CHECK (typeof(body)='blob'), expires_at, put_sum INTEGER NOT NULL, "
    "attempts INTEGER, maybe_sent INTEGER, state_sum INTEGER"
)
_ENDED = "outcome TEXT NOT NULL, reason TEXT NOT NULL, ended_at NOT NULL, end_sum INTEGER NOT NULL"
_STEPS: list[tuple[str, ...]] = [
    (
        f"PRAGMA application_id={APPLICATION_ID}",
        f"CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, {_WAITED})",
        f"CREATE TABLE dead_letters (place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, {_WAITED}, {_ENDED})",
    ),
]
"""Step n makes of a file of version n one of the next. A file that was just made is of version 0."""
VERSION = len(_STEPS)

_MESSAGE = "id, body, expires_at, put_sum, attempts, maybe_sent, state_sum"
_LETTER = f"{_MESSAGE}, outcome, reason, ended_at, end_sum"
_SELECT_MESSAGES = f"SELECT {_MESSAGE} FROM messages ORDER BY id"  # noqa: S608
SELECT_LETTERS = f"SELECT {_LETTER} FROM dead_letters ORDER BY place"  # noqa: S608
INSERT_MESSAGE = f"INSERT INTO messages ({_MESSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_INSERT_ONE = "INSERT INTO messages (id, body, put_sum) VALUES (?, ?, ?)"
_SEVERAL = 3 * 50
"""Values for 50 of these in one statement: SQLite then notes once what the highest number is."""
_INSERT_SEVERAL = _INSERT_ONE + ", (?, ?, ?)" * (_SEVERAL // 3 - 1)
INSERT_LETTER = f"INSERT INTO dead_letters ({_LETTER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
UPDATE_MESSAGE = "UPDATE messages SET attempts=?, maybe_sent=?, state_sum=? WHERE id=?"
DELETE_MESSAGE = "DELETE FROM messages WHERE id=?"
BURY_MESSAGE = f"INSERT INTO dead_letters ({_LETTER}) SELECT {_MESSAGE}, ?, ?, ?, ? FROM messages WHERE id=?"  # noqa: S608
DELETE_LETTER = "DELETE FROM dead_letters WHERE id=?"
DELETE_OLDEST_LETTERS = (
    "DELETE FROM dead_letters WHERE place <= (SELECT place FROM dead_letters ORDER BY place DESC LIMIT 1 OFFSET ?)"
)
_SELECT_LAST_ID = (
    "SELECT max(ifnull((SELECT max(seq) FROM sqlite_sequence WHERE name='messages'), 0), "
    "ifnull((SELECT max(id) FROM messages), 0), ifnull((SELECT max(id) FROM dead_letters), 0))"
)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Take the file for this connection alone, and bring it to this version of the format. Changes no other file.

    Raises:
        sqlite3.Error, StoreError: it cannot be had, or is not what it should be.
    """
    connection.text_factory = _text
    connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()  # before WAL: so it needs no memory to share
    its_version = _pragma(connection, "user_version")
    new = not (_pragma(connection, "application_id") or its_version or _pragma(connection, "schema_version"))
    if not new and _pragma(connection, "application_id") != APPLICATION_ID:
        raise not_ours(path)
    if its_version > VERSION:
        raise StoreError(f"{path} was made by a newer version of ridethrough: use that one, or another file")
    if new:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA secure_delete=ON").fetchall()
    # The switch deletes a rollback journal, which a power cut must not bring back: only EXTRA syncs the folder then.
    connection.execute("PRAGMA synchronous=EXTRA").fetchall()
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{path} cannot have a write-ahead log: use a file on a disk of this machine")
    connection.execute("PRAGMA wal_autocheckpoint=100").fetchall()
    if its_version < VERSION:
        connection.execute("BEGIN IMMEDIATE")
        migrate(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to this version of the format, in the connection's transaction."""
    for step in _STEPS[_pragma(connection, "user_version") :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={VERSION}")


def load(connection: sqlite3.Connection, path: Path) -> Recovered:
    """What waits in the file.

    Raises:
        sqlite3.Error: SQLite cannot read it.
        StoreCorrupt: SQLite finds faults in it (``lost`` is None), or there are rows that are not whole.
    """
    if _tables(connection) != _tables_of_a_new_file():
        raise damaged(path)
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise damaged(path)
    read = [record_of(row) for row in connection.execute(_SELECT_MESSAGES)]
    (last_id,) = connection.execute(_SELECT_LAST_ID).fetchone()
    records = [record for record in read if record is not None]
    if len(records) < len(read):
        raise damaged(path, lost=len(read) - len(records))
    return Recovered(last_id, records)


def shrink(connection: sqlite3.Connection, most: int | None = None) -> None:
    """Give back the pages that are no longer used, or so many at most, in the connection's transaction."""
    free = _pragma(connection, "freelist_count")
    for _ in range(free if most is None else min(free, most)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # a page a step, and this module makes but one


def _tables(connection: sqlite3.Connection) -> list[Row]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def _tables_of_a_new_file() -> list[Row]:
    with closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection)
        return _tables(connection)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")  # what is damaged shows by its checksum


def _sum(values: str, body: bytes = b"") -> int:
    return zlib.crc32(body, zlib.crc32(values.encode(errors="backslashreplace")))


def _state(number: int, attempts: int, maybe_sent: bool) -> Row:
    """What changes while a message waits, and its checksum. Nothing is written of what most have when they are put."""
    if not (attempts or maybe_sent):
        return None, None, None
    return attempts, int(maybe_sent), _sum(f"{number},{attempts!r},{int(maybe_sent)!r}")


def message_row(record: JournalRecord) -> Row:
    """What is written of a message that waits."""
    number, body, attempts, maybe_sent, expires_at = record
    expires_at = None if expires_at is None else float(expires_at)
    return number, body, expires_at, _sum(f"{number},{expires_at!r}", body), *_state(number, attempts, maybe_sent)


def append(connection: sqlite3.Connection, records: Sequence[JournalRecord]) -> None:
    """Write messages, in the connection's transaction."""
    new: list[Any] = []
    for number, body, attempts, maybe_sent, expires_at in records:
        if expires_at is None and not (attempts or maybe_sent):  # as most are, which has them half as dear
            new += number, bytearray(body), zlib.crc32(body, zlib.crc32(b"%d,None" % number))
    several = len(new) // _SEVERAL * _SEVERAL
    connection.executemany(_INSERT_SEVERAL, [new[at : at + _SEVERAL] for at in range(0, several, _SEVERAL)])
    connection.executemany(_INSERT_ONE, [new[at : at + 3] for at in range(several, len(new), 3)])
    if len(new) < 3 * len(records):
        others = [record for record in records if record.expires_at is not None or record.attempts or record.maybe_sent]
        connection.executemany(INSERT_MESSAGE, map(message_row, others))


def update_row(number: int, attempts: int, maybe_sent: bool) -> Row:
    """The values for UPDATE_MESSAGE."""
    return *_state(number, attempts, maybe_sent), number


def end_row(number: int, outcome: Outcome, reason: str, ended_at: float) -> Row:
    """The values for BURY_MESSAGE."""
    reason = reason.encode(errors="backslashreplace").decode()  # SQLite takes no lone surrogate
    return str(outcome), reason, ended_at, _sum(f"{number},{str(outcome)!r},{reason!r},{ended_at!r}"), number


def record_of(row: Row) -> JournalRecord | None:
    """What was written of a message, or None if it is damaged."""
    number, body, expires_at, put_sum, attempts, maybe_sent, its_sum = row
    if not isinstance(body, bytes) or put_sum != _sum(f"{number},{expires_at!r}", body):
        return None
    if attempts is maybe_sent is its_sum is None:
        return JournalRecord(number, body, 0, False, expires_at)
    if its_sum != _sum(f"{number},{attempts!r},{maybe_sent!r}"):  # the message itself is whole: it stays, in doubt
        return JournalRecord(number, body, 1, True, expires_at)
    return JournalRecord(number, body, attempts, bool(maybe_sent), expires_at)


def letter_of(row: Row) -> DeadLetter | None:
    """What was written of a dead letter, or None if it is damaged."""
    record = record_of(row[:7])
    outcome, reason, ended_at, its_sum = row[7:]
    if record is None or its_sum != _sum(f"{record.id},{outcome!r},{reason!r},{ended_at!r}"):
        return None
    return DeadLetter(record.id, record.body, Outcome(outcome), reason, ended_at, record.attempts, record.maybe_sent)
