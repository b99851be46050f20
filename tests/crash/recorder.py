"""SQLite's writes and syncs as they come: a journal run through a VFS that passes them on and writes them down."""

from __future__ import annotations

import os
import random
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import apsw

from .adapter import connecting_through
from .disk import Begun, Delete, Durable, Event, Opened, Sync, SyncFolder, Truncate, Write
from .model import Level, State, Step, Store, next_step

if TYPE_CHECKING:
    from _typeshed import HasFileno

NAME = "journal.db"
MEMORY = Path("/dev/shm")
FOLDER = str(MEMORY) if MEMORY.is_dir() else None
"""Where files need no real disk: cuts are made from the record, and a sync costs nothing there."""
_numbers = count()


class Recording(NamedTuple):
    """A journal's life, down to its writes."""

    files: dict[str, bytes]
    """What it began with."""
    events: list[Event]
    states: list[State]
    """What it should have held before its first step, and after each."""
    steps: list[Step]


class _File(apsw.VFSFile):
    def __init__(self, name: str, events: list[Event], filename: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("", filename, flags)
        self._name = name
        self._events = events
        # The system's VFS syncs the folder with the first sync of a new log or rollback journal.
        self._folder_too = False
        self._is_log = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))

    def created(self) -> None:
        self._folder_too = self._is_log

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._events.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._events.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._events.append(Sync(self._name))
        if self._folder_too:
            self._events.append(SyncFolder())
            self._folder_too = False


class _VFS(apsw.VFS):
    def __init__(self, events: list[Event]) -> None:
        self.name = f"recorder-{next(_numbers)}"
        self._events = events
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:
            return apsw.VFSFile("", name, flags)  # of this connection alone: nothing of it is read after a cut
        path = Path(name if isinstance(name, str) else name.filename())
        new = not path.exists()
        file = _File(path.name, self._events, name, flags)
        self._events.append(Opened(path.name, new))
        if new:
            file.created()
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self._events.append(Delete(Path(filename).name))
        if syncdir:
            self._events.append(SyncFolder())


@contextmanager
def _folder_syncs(events: list[Event]) -> Iterator[None]:
    """Write down where the journal itself syncs the folder."""
    ordinary = os.fsync

    def fsync(fd: int | HasFileno) -> None:
        ordinary(fd)
        if stat.S_ISDIR(os.fstat(fd if isinstance(fd, int) else fd.fileno()).st_mode):
            events.append(SyncFolder())

    os.fsync = fsync
    try:
        yield
    finally:
        os.fsync = ordinary


@contextmanager
def writing_down(events: list[Event], synchronous: str | None = None) -> Iterator[None]:
    """Within this, write down what journals write and sync; ``synchronous`` as for :func:`record`."""
    vfs = _VFS(events)
    with connecting_through(vfs.name, synchronous), _folder_syncs(events):
        yield
    vfs.unregister()


def record(
    rng: random.Random,
    level: Level,
    steps: int,
    *,
    files: dict[str, bytes] | None = None,
    synchronous: str | None = None,
) -> Recording:
    """Run a journal through random steps, and close it.

    Args:
        rng: where the steps come from.
        level: the journal's durability.
        steps: how many.
        files: what a power cut has left, by name, to go on with.
        synchronous: what the pragma of that name is set to each time, whatever the journal says; None: what it says.
    """
    events: list[Event] = []
    recording = Recording(files or {}, events, [], [])
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        for name, content in recording.files.items():
            Path(folder, name).write_bytes(content)
        with writing_down(events, synchronous):
            store = Store(Path(folder, NAME), level)
            state = store.found
            recording.states.append(state)
            for number in range(1, steps + 1):
                step = next_step(rng, state)
                state = state.after(step)
                recording.states.append(state)
                recording.steps.append(step)
                events.append(Begun(number))
                store.take(step)
                events.append(Durable(number))
            store.close()
    return recording
