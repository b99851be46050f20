"""A disk whose power can go: what was synced stays, and of the rest each sector keeps any of its versions, or two torn.

Nothing else is damaged: a write to a part of a sector leaves the rest of it as it was, as SQLite takes for granted
where it runs (``SQLITE_IOCAP_POWERSAFE_OVERWRITE``).
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

SECTOR = 512
"""What a disk writes at once, in bytes; or tears."""


class Opened(NamedTuple):
    """A file is there, and empty, if it was not before."""

    name: str
    new: bool = True
    """SQLite has made it, and the folder was not synced yet. Else its maker has done that, as the journal does."""


class Write(NamedTuple):
    """Bytes for a file, not synced yet."""

    name: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A new size for a file, not synced yet."""

    name: str
    size: int


class Sync(NamedTuple):
    """All of a file is on the disk; perhaps not its name."""

    name: str


class Delete(NamedTuple):
    """A file is gone; it may come back as long as the folder was not synced."""

    name: str


class SyncFolder(NamedTuple):
    """What the folder says is on the disk: which files there are."""


class Begun(NamedTuple):
    """The program begins that step."""

    step: int


class Durable(NamedTuple):
    """The program was told that this step is durable."""

    step: int


class Said(NamedTuple):
    """The program has told something."""

    line: list[Any]


Event = Opened | Write | Truncate | Sync | Delete | SyncFolder | Begun | Durable | Said


class _File:
    """What is on the disk of one file, and the writes since, in order."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced
        self.pending: list[Write | Truncate] = []

    def sync(self) -> None:
        content = bytearray(self.synced)
        for change in self.pending:
            _apply(content, change)
        self.synced = bytes(content)
        self.pending.clear()

    def image(self, rng: random.Random) -> bytes:
        """What a power cut could leave of it."""
        kept = rng.choice(("nothing", "all", "first", "any", "any", "any"))
        if kept == "nothing" or not self.pending:
            return self.synced
        if kept == "any":
            return self._any_of_each_sector(rng)
        content = bytearray(self.synced)
        count = len(self.pending) if kept == "all" else rng.randrange(len(self.pending))
        for change in self.pending[:count]:
            _apply(content, change)
        if count < len(self.pending):  # and of the next one, its beginning
            change = self.pending[count]
            if isinstance(change, Write):
                _apply(content, change._replace(data=change.data[: rng.randrange(len(change.data))]))
        return bytes(content)

    def _any_of_each_sector(self, rng: random.Random) -> bytes:
        content, base = bytearray(self.synced), bytearray(self.synced)
        sizes = [len(content)]
        versions: dict[int, list[bytes]] = {}
        for change in self.pending:
            if isinstance(change, Truncate):
                # What is cut off is cut off as a whole, with all its past; or not, and what comes later may be there.
                if rng.random() < 0.5:
                    continue
                _apply(content, change)
                _apply(base, change)
                sizes = [change.size]
                for start, known in list(versions.items()):
                    versions[start] = [each[: max(0, change.size - start)].ljust(SECTOR, b"\0") for each in known]
                continue
            _apply(content, change)
            sizes.append(len(content))
            for start in range(change.offset - change.offset % SECTOR, change.offset + len(change.data), SECTOR):
                versions.setdefault(start, [_sector(base, start)]).append(_sector(content, start))
        newest, torn = rng.random(), rng.choice((0.0, 0.05, 0.3))
        size = sizes[-1] if rng.random() < 0.6 else rng.choice(sizes)
        result = base[:size].ljust(size, b"\0")
        for start, known in versions.items():
            sector = known[-1] if rng.random() < newest else rng.choice(known)
            if rng.random() < torn:
                cut = rng.randrange(SECTOR)
                sector = sector[:cut] + rng.choice(known)[cut:]
            result[start : start + SECTOR] = sector[: max(0, size - start)]
        return bytes(result)


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
    else:
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.data)] = change.data


def _sector(content: bytes | bytearray, start: int) -> bytes:
    return bytes(content[start : start + SECTOR]).ljust(SECTOR, b"\0")


class Disk:
    """The files of one folder.

    Args:
        files: what is there and synced, by name.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        # What the folder may say of a name after a cut, the latest last: nothing, or a file.
        self._entries: dict[str, list[_File | None]] = {name: [_File(content)] for name, content in files.items()}

    def do(self, event: Event) -> None:
        """Let it happen."""
        if isinstance(event, Begun | Durable | Said):
            return
        if isinstance(event, SyncFolder):
            for versions in self._entries.values():
                del versions[:-1]
            return
        versions = self._entries.setdefault(event.name, [None])
        file = versions[-1]
        if isinstance(event, Opened):
            if file is None:
                versions.append(_File())
            if not event.new:
                del versions[:-1]
            return
        assert file is not None
        if isinstance(event, Delete):
            versions.append(None)
        elif isinstance(event, Sync):
            file.sync()
        else:
            file.pending.append(event)

    def image(self, rng: random.Random) -> dict[str, bytes]:
        """What a power cut could leave now, by name."""
        chosen = {name: rng.choice(versions) for name, versions in self._entries.items()}
        return {name: file.image(rng) for name, file in chosen.items() if file is not None}
