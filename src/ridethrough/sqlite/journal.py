"""SQLiteJournal: keeps messages on this machine, in one file of the standard library's SQLite."""

from __future__ import annotations

import ctypes
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, Literal, TypeVar, cast

from ..abc import DeadLetter, Journal, JournalChanges, Recovered
from ..errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from ..json_codec import from_json, to_json
from ..logs import get_logger
from . import format as form
from .files import Owner, Reserve, beside, create, damaged, gone, identity, make_private, not_ours, translate
from .salvage import salvage, was_ours

__all__ = ["Durability", "SQLiteJournal"]

T = TypeVar("T")
Durability = Literal["power-safe", "process-safe"]
_log = get_logger("sqlite")
_PAUSES = (0.01, 0.02, 0.04, 0.08)
"""Before each new try, at most, in seconds, if the file is locked and nobody says so: several began at once."""


class SQLiteJournal(Journal[T], Generic[T]):
    """Keeps messages in a file until they have ended.

    The file has one owner at a time. Beside it, while it is open, are its log (``-wal``), the number of the process
    that has it open (``-owner``), and some room for the time when the disk is full (``-reserve``). All of them can be
    read by their owner alone. A body is erased when its message has ended: from the file with the next checkpoint,
    and from the log when nothing has been written for a moment, or when the journal is closed.

    Whoever opens it closes it: the lock of one that is merely dropped lasts as long as the process. In a forked child,
    only a journal that the child itself has opened can be used.

    Args:
        path: the file. It is made when it is opened first; its folder must be there, on a disk of this machine.
        durability: ``"power-safe"``: what was committed is there after the power was cut. ``"process-safe"``: after
            the program was killed; the last commits before a power cut may be missing, so that none has to wait for
            the disk. What has ended may wait again after a power cut, with either.
        encode: makes bytes of a message. By default JSON, of what comes back from that as it was: None, booleans,
            numbers, strings, and lists and dicts of these. With ``decode``, or not at all.
        decode: makes the message of these bytes again.
        max_dead_letters: how many of these are kept; then the oldest are forgotten.

    Raises:
        TypeError, ValueError: for other arguments.

    Attributes:
        path: the file, without symbolic links.
        durability: as given.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power-safe",
        encode: Callable[[T], bytes] | None = None,
        decode: Callable[[bytes], T] | None = None,
        max_dead_letters: int = 1000,
    ) -> None:
        if durability not in ("power-safe", "process-safe"):
            raise ValueError(f"durability must be 'power-safe' or 'process-safe', not {durability!r}")
        if (encode is None) != (decode is None):
            raise TypeError("encode and decode must be given together, or neither")
        if isinstance(max_dead_letters, bool) or not isinstance(max_dead_letters, int):
            raise TypeError(f"max_dead_letters must be an int of at least 0, not {type(max_dead_letters).__name__}")
        if max_dead_letters < 0:
            raise ValueError(f"max_dead_letters must be an int of at least 0, not {max_dead_letters}")
        self.path: Path = Path(os.path.realpath(path))
        self.durability: Durability = durability
        self._encode = encode or to_json
        self._decode = decode or cast("Callable[[bytes], T]", from_json)
        self._max_dead_letters = max_dead_letters
        self._owner = Owner(self.path)
        self._reserve = Reserve(self.path)
        self._files = (self.path, beside(self.path, "-wal"))
        self._identities: list[tuple[int, int] | None] = []
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def __repr__(self) -> str:
        return f"<SQLiteJournal {self.path.name}: {'open' if self._connection else 'closed'}, {self.durability}>"

    def encode(self, message: T) -> bytes:
        """The message as bytes.

        Raises:
            TypeError, ValueError: it cannot be kept; nothing has changed then.
        """
        body = self._encode(message)
        if type(body) is not bytes:
            raise TypeError(f"encode must return bytes, not {type(body).__name__}")
        return body

    def decode(self, body: bytes) -> T:
        """The message again, from what :meth:`encode` made of it."""
        return self._decode(body)

    def open(self) -> Recovered:
        """Become the file's owner, and return what waits in it. A damaged row is left out, logged, and kept in a copy.

        Raises:
            StoreLocked, StoreFull, StoreReadOnly: as their names say.
            StoreCorrupt: SQLite cannot read the file. What could be saved is in a fresh one: open again to go on.
            StoreError: there is no such folder, or the file is another program's, or a newer version's.
            RuntimeError: the journal is open.
        """
        if self._connection is not None:
            self._own()
            raise RuntimeError("the journal is open")
        with self._translated():
            if not self.path.exists():
                with suppress(FileExistsError), create(self.path):
                    pass
            try:
                return self._load()
            except StoreCorrupt as damage:
                lost = damage.lost
            if not was_ours(self.path):
                raise not_ours(self.path)
            saved = salvage(self.path)
            if lost is None:
                raise StoreCorrupt(
                    f"{self.path} was damaged: {saved.messages} messages were saved, how many are lost cannot be told; "
                    f"the damaged file is kept as {saved.copy}; open the journal again to go on with what was saved",
                    saved=saved.messages,
                    copy=str(saved.copy),
                )
            _log.error("%d damaged messages left out of %s; they are in %s", lost, self.path, saved.copy)
            return self._load()

    def commit(self, changes: JournalChanges) -> None:
        """Make all of the changes, or none of them. Durable when it returns.

        On a full disk, only what appends nothing can be done: to end messages makes room, and some is kept for that.

        Raises:
            StoreFull, StoreGone, StoreError: none of them was made, or in a file that nobody would find again.
            RuntimeError: the journal is not open in this process.
        """
        connection = self._own()
        if not changes:
            return
        grows = bool(changes.appended)
        waited_for = grows or changes.updated or changes.forgotten  # what has ended may come again, and is not
        sync = "FULL" if self.durability == "power-safe" and waited_for else "NORMAL"
        ends = bool(changes.discarded or changes.buried or changes.forgotten)
        try:
            self._transact(connection, changes, sync)
        except StoreFull:
            if grows or not self._reserve.give_up():
                raise
            self._transact(connection, changes, sync)
        if self._is_gone():
            raise gone(self.path)
        if ends:
            self._reserve.make()

    def dead_letters(self) -> list[DeadLetter]:
        """The dead letters, in the order in which they ended; one that is damaged is left out and logged."""
        connection = self._own()
        with self._translated():
            letters = [form.letter_of(row) for row in connection.execute(form.SELECT_LETTERS)]
        good = [letter for letter in letters if letter is not None]
        if len(good) < len(letters):
            _log.error("%d damaged dead letters in %s", len(letters) - len(good), self.path)
        return good

    def tidy(self) -> None:
        """Make the file as small as it can be, and empty its log, in which there are bodies of what has ended."""
        connection = self._own()
        with suppress(StoreError), self._translated():  # what was committed stays so; the next time it is tried again
            with _transaction(connection, "NORMAL"):
                form.shrink(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file, for the next to open. Twice is once.

        Raises:
            RuntimeError: the journal was opened by the process that this one is a fork of.
        """
        if self._connection is None:
            return
        connection = self._own()
        self.tidy()
        self._connection = None
        if not self._is_gone():
            self._owner.forget()
        connection.close()
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(connection))

    # Within a process

    def _own(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the journal is not open")
        if self._process != os.getpid():
            raise RuntimeError(f"the journal is open in process {self._process}, of which this one is a fork")
        return self._connection

    def _is_gone(self) -> bool:
        return [identity(path) for path in self._files] != self._identities

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise translate(error, self.path) from error
        except UnicodeDecodeError:  # what SQLite says quotes the file
            raise damaged(self.path) from None

    # Opening

    def _load(self) -> Recovered:
        for pause in _PAUSES:
            try:
                return self._try_to_load()
            except StoreLocked as locked:
                if locked.owner is not None:
                    raise
                time.sleep(random.uniform(0, pause))  # noqa: S311
        return self._try_to_load()

    def _try_to_load(self) -> Recovered:
        path, log = self._files
        if not path.stat().st_size and log.exists() and log.stat().st_size:
            raise damaged(path)  # SQLite would take it for a new one, and remove the log
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            with self._translated():
                form.prepare(connection, path)
                recovered = form.load(connection, path)
                for each in self._files:
                    make_private(each)
                self._identities = [identity(each) for each in self._files]
        except BaseException:
            connection.close()
            raise
        # In a forked child, even the end of the interpreter would close the connection, and remove the log.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._connection, self._process = connection, os.getpid()
        self._owner.tell()
        self._reserve.look()
        return recovered

    # Transactions

    def _transact(self, connection: sqlite3.Connection, changes: JournalChanges, sync: str) -> None:
        with self._translated(), _transaction(connection, sync):
            self._write(connection, changes)

    def _write(self, connection: sqlite3.Connection, changes: JournalChanges) -> None:
        if changes.appended:
            form.append(connection, changes.appended)
        if changes.updated:
            connection.executemany(form.UPDATE_MESSAGE, [form.update_row(*each) for each in changes.updated])
        if changes.discarded:
            connection.executemany(form.DELETE_MESSAGE, [(number,) for number in changes.discarded])
        if changes.buried:
            now = time.time()
            connection.executemany(form.BURY_MESSAGE, [form.end_row(*each, now) for each in changes.buried])
            connection.executemany(form.DELETE_MESSAGE, [(number,) for number, _, _ in changes.buried])
            connection.execute(form.DELETE_OLDEST_LETTERS, (self._max_dead_letters,))
        if changes.forgotten:
            connection.executemany(form.DELETE_LETTER, [(number,) for number in changes.forgotten])
        if changes.discarded or changes.buried or changes.forgotten:
            form.shrink(connection, 64)


@contextmanager
def _transaction(connection: sqlite3.Connection, sync: str) -> Iterator[None]:
    connection.execute(f"PRAGMA synchronous={sync}")  # costs a microsecond, and has to be said outside of any
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back where it has to
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
