"""The files of an outbox, for nobody but their owner to read, and what goes wrong with them in words that help."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import StoreCorrupt, StoreError, StoreFull, StoreGone, StoreLocked, StoreReadOnly

RESERVE_SIZE = 256 * 1024
_KINDS: dict[int, type[StoreError]] = {
    sqlite3.SQLITE_BUSY: StoreLocked,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreCorrupt,
    sqlite3.SQLITE_NOTADB: StoreCorrupt,
    sqlite3.SQLITE_ERROR: StoreCorrupt,  # no such table, or format: our statements are right, so it is the file
}


def beside(path: Path, suffix: str) -> Path:
    """A file that belongs to the outbox at this path: ``-wal``, ``-owner``, ``-reserve``."""
    return path.with_name(path.name + suffix)


@contextmanager
def create(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A new file, 0600 from its first byte. If it is to be durable, it is on the disk when this is left.

    Raises:
        FileExistsError: there is one.
    """
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        yield file
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable:
        sync_folder(path)


def sync_folder(path: Path) -> None:
    """See to it that what this file is called now is on the disk."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_private(path: Path) -> None:
    """Take a file away from the eyes of others, if there is one and they could read it."""
    with suppress(FileNotFoundError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name now. Looks without opening it: closing it again would release SQLite's lock on it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class Owner:
    """The number of the process which has the outbox open, for those that it is closed to."""

    def __init__(self, path: Path) -> None:
        self._path = beside(path, "-owner")

    def tell(self) -> None:
        """Write that it is this process. Without that, all works as well."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            with create(self._path, durable=False) as file:
                file.write(b"%d" % os.getpid())

    def read(self) -> int | None:
        """The process that wrote last, if it is still there."""
        try:
            pid = int(self._path.read_bytes())
            os.getpgid(pid)
        except (OSError, ValueError, OverflowError):
            return None
        return pid

    def forget(self) -> None:
        """Nobody has the outbox open any more."""
        with suppress(OSError):
            self._path.unlink()


class Reserve:
    """Room on the disk which is kept for the time when there is none: to end messages takes some as well."""

    def __init__(self, path: Path) -> None:
        self._path = beside(path, "-reserve")
        self._there = False

    def make(self) -> None:
        """Take the room, if there is more than enough."""
        if self._there:
            return
        with suppress(OSError):
            room = os.statvfs(self._path.parent)
            if room.f_bavail * room.f_frsize < 2 * RESERVE_SIZE:
                return
            self._path.unlink(missing_ok=True)
            with create(self._path) as file:
                file.write(os.urandom(RESERVE_SIZE))  # a file system may take nothing for zeros
            self._there = True

    def look(self) -> None:
        """Find what an earlier owner left, or take it anew."""
        with suppress(FileNotFoundError):
            self._there = self._path.stat().st_size == RESERVE_SIZE
        self.make()

    def give_up(self) -> bool:
        """Give the room back, for SQLite to use; False if there was none to give."""
        given, self._there = self._there, False
        with suppress(OSError):
            self._path.unlink()
        return given


def translate(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """What SQLite or the system says, as what a person can do about it."""
    if isinstance(error, OSError):
        kind, name = _kind_of_system(error.errno), error.strerror or type(error).__name__
    else:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        kind = _kind_of_sqlite(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE), path)
    if kind is StoreLocked:
        return locked_by(Owner(path).read(), path)
    if kind is StoreFull:
        return StoreFull(f"no room on the disk for {path}: make some; what is in it is safe, and can be sent and ended")
    if kind is StoreReadOnly:
        return StoreReadOnly(f"{path} may not be written: its owner needs to write it, and its folder")
    if kind is StoreCorrupt:
        return damaged(path)
    if isinstance(error, FileNotFoundError):
        return StoreError(f"there is no folder for {path}: make it first")
    return StoreError(f"{path} cannot be used: {name}")


def _kind_of_system(code: int | None) -> type[StoreError]:
    if code in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull
    return StoreReadOnly if code in (errno.EACCES, errno.EPERM, errno.EROFS) else StoreError


def _kind_of_sqlite(code: int, path: Path) -> type[StoreError]:
    """By SQLite's extended code, the last byte of which is the kind of error that it is of."""
    if code == sqlite3.SQLITE_IOERR_LOCK:  # so a file that may only be read shows
        return StoreReadOnly
    if code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        if not (_may_write(path) and _may_write(path.parent)):
            return StoreReadOnly
        # SQLite takes a file for one to be read only if its header says so, and ours do not
        return StoreCorrupt if code == sqlite3.SQLITE_READONLY else StoreError
    return _KINDS.get(code & 0xFF, StoreError)


def locked_by(owner: int | None, path: Path) -> StoreLocked:
    """The error for an outbox that somebody else has open."""
    by = "another program" if owner is None else f"process {owner}"
    return StoreLocked(f"{path} is in use by {by}: an outbox has one owner at a time; end that one first", owner=owner)


def gone(path: Path) -> StoreGone:
    """The error for an outbox that is no longer where it was."""
    return StoreGone(
        f"{path} was removed, moved or replaced while it was open: what waits is in memory alone now; take it out "
        f"of the buffer, put the file back, and open it again"
    )


def damaged(path: Path, *, lost: int | None = None) -> StoreCorrupt:
    """The error for an outbox that is damaged, as long as nothing was saved of it."""
    return StoreCorrupt(f"{path} is damaged: close it and open it again, to save what can be read", lost=lost)


def not_ours(path: Path) -> StoreError:
    """The error for a file that is no outbox, and stays as it is."""
    return StoreError(f"{path} is not an outbox of ridethrough: use another file")


def _may_write(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)
