"""apsw's connection in the place of sqlite3's, as far as a journal asks for it: apsw can put a VFS under it.

So it is the journal's own code that runs, down to each statement, on the SQLite that apsw brings.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw


class _Rows:
    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class _Connection:
    text_factory: Any = str  # for texts that are damaged; here, nothing is

    def __init__(self, uri: str, vfs: str, synchronous: str | None) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        self._connection = apsw.Connection(uri, flags, vfs)
        self._synchronous = synchronous

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Sequence[Any] = ()) -> _Rows:
        if self._synchronous is not None:
            statement = re.sub(r"(?i)(?<=PRAGMA synchronous=)\w+", self._synchronous, statement)
        before = self._connection.total_changes()
        rows = self._connection.execute(statement, tuple(values)).fetchall()
        return _Rows(rows, self._connection.total_changes() - before)

    def executemany(self, statement: str, values: Iterable[Sequence[Any]]) -> _Rows:
        before = self._connection.total_changes()
        self._connection.executemany(statement, [tuple(each) for each in values])
        return _Rows([], self._connection.total_changes() - before)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def connecting_through(vfs: str, synchronous: str | None = None) -> Iterator[None]:
    """Within this, ``sqlite3.connect`` of this process connects by apsw.

    Args:
        vfs: the name of the VFS that it goes through.
        synchronous: what the pragma of that name is set to each time; None: what the statement says.
    """
    ordinary = sqlite3.connect
    setattr(sqlite3, "connect", lambda database, **_: _Connection(database, vfs, synchronous))  # noqa: B010
    try:
        yield
    finally:
        setattr(sqlite3, "connect", ordinary)  # noqa: B010
