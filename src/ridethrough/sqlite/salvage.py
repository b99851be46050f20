"""What can be saved of a damaged outbox: its pages are read one by one, past all that leads from one to the next.

A row counts if its checksums say that it is whole, so whatever is found is what was put. What SQLite's files look like
is from https://www.sqlite.org/fileformat.html.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..abc import JournalRecord
from . import format as form
from .files import beside, create, sync_folder

_LOG_HEADER, _FRAME_HEADER = 32, 24
_TABLE_LEAF = 13
_ROOM = form.PAGE_SIZE - 35
_LEAST = (form.PAGE_SIZE - 12) * 32 // 255 - 23
_OVERFLOW = form.PAGE_SIZE - 4
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_UNKNOWN = 2**32
"""What is added to the highest number found, if the file does not tell what it was: so none is used twice."""


class Saved(NamedTuple):
    """What was saved of a file, and is in a fresh one in its place."""

    messages: int
    copy: Path
    """The damaged file."""


def was_ours(path: Path) -> bool:
    """Whether a file that SQLite cannot read is an outbox nevertheless. Nobody has it open."""
    with path.open("rb") as file:
        start = file.read(72)
    return start[68:] == form.APPLICATION_ID.to_bytes(4, "big") or not start


def salvage(path: Path) -> Saved:
    """Keep a copy of a damaged file which nobody has open, and put a fresh one with what is whole in its place."""
    copy = _keep_copy(path)
    messages: dict[int, JournalRecord] = {}
    letters: dict[int, form.Row] = {}
    last_id, unknown = 0, _UNKNOWN
    for number, values in _rows(_image(copy)):
        if len(values) == 7:
            if record := form.record_of((number, *values[1:])):
                messages[record.id] = max(record, messages.get(record.id, record), key=_how_far)
        elif len(values) == 12 and form.letter_of(values[1:]):
            letters[values[1]] = values[1:]
        elif len(values) == 2 and values[0] == "messages" and isinstance(values[1], int):
            last_id, unknown = max(last_id, values[1]), 0
    last_id = max([last_id, *messages, *letters]) + unknown
    records = sorted(record for record in messages.values() if record.id not in letters)
    _replace(path, records, list(letters.values()), last_id)
    return Saved(len(records), copy)


def _how_far(record: JournalRecord) -> tuple[int, bool]:
    return record.attempts, record.maybe_sent


def _keep_copy(path: Path) -> Path:
    number = 1
    while beside(path, f".corrupt-{number}").exists():
        number += 1
    copy = beside(path, f".corrupt-{number}")
    made = []
    try:
        for suffix in ("", "-wal"):
            if beside(path, suffix).exists():
                made.append(beside(copy, suffix))
                _copy(beside(path, suffix), made[-1])
    except OSError:
        for each in made:
            each.unlink(missing_ok=True)
        raise
    return copy


def _copy(path: Path, to: Path) -> None:
    with path.open("rb") as source, create(to) as target:
        shutil.copyfileobj(source, target)


def _image(copy: Path) -> bytes:
    """The pages of the file, with those that are in its log where they belong."""
    image = bytearray(copy.read_bytes())
    log = beside(copy, "-wal").read_bytes() if beside(copy, "-wal").exists() else b""
    pages: dict[int, bytes] = {}
    for start in range(_LOG_HEADER, len(log) - form.PAGE_SIZE, _FRAME_HEADER + form.PAGE_SIZE):
        head = log[start : start + _FRAME_HEADER]
        if head[8:16] != log[16:24]:  # what comes now is older than the log's beginning
            break
        content = start + _FRAME_HEADER
        pages[int.from_bytes(head[:4], "big")] = log[content : content + form.PAGE_SIZE]
        if (
            size := int.from_bytes(head[4:8], "big") * form.PAGE_SIZE
        ):  # the end of a transaction; the file is so long now
            image = image[:size].ljust(size, b"\0")
            for number, page in pages.items():
                image[(number - 1) * form.PAGE_SIZE : number * form.PAGE_SIZE] = page
            pages.clear()
    return bytes(image)


def _rows(image: bytes) -> Iterator[tuple[int, list[Any]]]:
    """Each row on each page that says it holds rows of a table: its number and its values.

    Pages of other kinds are left alone, although rows could be on one whose kind is what is damaged: on those hold
    the pieces of long bodies, and their writers could have made them look like rows.
    """
    for start in range(0, len(image), form.PAGE_SIZE):
        head = start + (100 if start == 0 else 0)
        if image[head : head + 1] != bytes((_TABLE_LEAF,)):
            continue
        for index in range(min(int.from_bytes(image[head + 3 : head + 5], "big"), form.PAGE_SIZE // 2)):
            place = head + 8 + 2 * index
            cell = start + int.from_bytes(image[place : place + 2], "big")
            with suppress(IndexError, struct.error, UnicodeDecodeError):
                yield _row(image, cell)


def _row(image: bytes, place: int) -> tuple[int, list[Any]]:
    size, place = _varint(image, place)
    number, place = _varint(image, place)
    record = _payload(image, place, size)
    head, place = _varint(record, 0)
    values: list[Any] = []
    content = head
    while place < head and len(values) <= 12:
        kind, place = _varint(record, place)
        value, content = _value(record, content, kind)
        values.append(value)
    return number, values


def _payload(image: bytes, place: int, size: int) -> bytes:
    """A row's bytes: on its own page, or for the most part on others, each of which names the next."""
    if size <= _ROOM:
        return image[place : place + size]
    if size > len(image):
        raise IndexError
    local = _LEAST + (size - _LEAST) % _OVERFLOW
    if local > _ROOM:
        local = _LEAST
    pieces = [image[place : place + local]]
    following = int.from_bytes(image[place + local : place + local + 4], "big")
    for _ in range(-(-(size - local) // _OVERFLOW)):
        page = image[(following - 1) * form.PAGE_SIZE : following * form.PAGE_SIZE] if following else b""
        if not page:
            break
        pieces.append(page[4:])
        following = int.from_bytes(page[:4], "big")
    return b"".join(pieces)[:size]


def _value(record: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind == 0:
        return None, place
    if kind in _INTEGERS:
        end = place + _INTEGERS[kind]
        return int.from_bytes(record[place:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", record[place : place + 8])[0], place + 8
    if kind in (8, 9):
        return kind - 8, place
    end = place + (kind - 12) // 2
    return (record[place:end].decode() if kind % 2 else record[place:end]), end


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[place + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + index + 1
    return value << 8 | data[place + 8], place + 9


def _replace(path: Path, records: list[JournalRecord], letters: list[form.Row], last_id: int) -> None:
    fresh = beside(path, "-fresh")
    fresh.unlink(missing_ok=True)
    with create(fresh):
        pass
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size={form.PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN")
        form.migrate(connection)
        connection.executemany(form.INSERT_MESSAGE, map(form.message_row, records))
        connection.executemany(form.INSERT_LETTER, letters)
        connection.execute("DELETE FROM sqlite_sequence")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', ?)", (last_id,))
        connection.execute("COMMIT")
    beside(path, "-wal").unlink(missing_ok=True)  # it would be taken for the fresh file's
    fresh.replace(path)
    sync_folder(path)
