"""outbox.py: files are read when they are put, or not at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from anyio.to_thread import current_default_thread_limiter

from ridethrough.signal_cli import (
    Attachment,
    TextMessage,
)
from tests.unit.signal_cli.clients import ANNA, BERT
from tests.unit.signal_cli.outboxes import (
    OWN,
    TO_ANNA,
    TO_BERT,
    MakeOutbox,
    outboxes,
    put,
)

pytestmark = pytest.mark.anyio


NOTES = b"what was said"


@pytest.fixture
async def make_outbox() -> AsyncIterator[MakeOutbox]:
    async with outboxes() as make:
        yield make


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_bytes(NOTES)
    return path


async def test_attachment_is_read_when_it_is_put(make_outbox: MakeOutbox, notes: Path) -> None:
    outbox = make_outbox()
    await outbox.send("see", to=ANNA, attachments=[notes, str(notes), Attachment(b"more")])
    await outbox.edit(OWN, "see", attachments=[notes])
    notes.unlink()  # noqa: ASYNC240
    read = Attachment(NOTES, "notes.txt", "text/plain")
    assert await put(outbox) == [
        TextMessage(TO_ANNA, "see", attachments=(read, read, Attachment(b"more"))),
        TextMessage(TO_ANNA, "see", attachments=(read,), edits=OWN),
    ]


async def test_attachment_goes_by_its_path_if_the_daemon_shares_files(make_outbox: MakeOutbox, notes: Path) -> None:
    outbox = make_outbox(shares_files=True)
    await outbox.send("see", to=ANNA, attachments=[notes, Attachment(b"more")])
    by_path = Attachment(path=str(notes), size=len(NOTES))
    assert await put(outbox) == [TextMessage(TO_ANNA, "see", attachments=(by_path, Attachment(b"more")))]


@pytest.mark.parametrize("shares_files", [False, True])
async def test_attachment_that_is_not_there(make_outbox: MakeOutbox, shares_files: bool, tmp_path: Path) -> None:
    outbox = make_outbox(shares_files)
    with pytest.raises(FileNotFoundError):
        await outbox.send("see", to=[ANNA, BERT], attachments=[tmp_path / "none"])
    assert outbox.buffer.statistics().accepted == 0


async def test_bad_target_is_found_before_any_file_is_read(make_outbox: MakeOutbox, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^to must "):
        await make_outbox().send("see", to="anna", attachments=[tmp_path / "none"])


class SlowPath(os.PathLike[str]):
    """A path that takes long to find: until somebody has written to a pipe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read, self._write = os.pipe()

    def __fspath__(self) -> str:
        os.read(self._read, 1)
        return str(self._path)

    def find(self) -> None:
        os.write(self._write, b"!")


@pytest.fixture
def slow(notes: Path) -> Iterator[SlowPath]:
    path = SlowPath(notes)
    yield path
    for descriptor in (path._read, path._write):
        os.close(descriptor)


async def test_others_go_on_while_a_file_is_read(make_outbox: MakeOutbox, slow: SlowPath) -> None:
    outbox = make_outbox()
    async with create_task_group() as tasks:
        tasks.start_soon(partial(outbox.send, "see", to=ANNA, attachments=[slow]))
        await wait_all_tasks_blocked()
        await outbox.send("hello", to=BERT)
        slow.find()
    assert [message.target for message in await put(outbox)] == [TO_BERT, TO_ANNA]


async def test_cancelled_while_a_file_is_read_puts_nothing_and_waits_for_no_file(
    make_outbox: MakeOutbox, slow: SlowPath
) -> None:
    outbox, limiter = make_outbox(), current_default_thread_limiter()
    scope, ended = CancelScope(), Event()

    async def send() -> None:
        with scope:
            await outbox.send("see", to=ANNA, attachments=[slow])
        ended.set()

    async with create_task_group() as tasks:
        tasks.start_soon(send)
        await wait_all_tasks_blocked()
        assert limiter.borrowed_tokens == 1, "it is being read"
        scope.cancel()
        await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()  # a scope on asyncio cancels a turn later
        has_ended = ended.is_set()
        slow.find()
    while limiter.borrowed_tokens:
        await checkpoint()
    assert has_ended and scope.cancelled_caught
    assert outbox.buffer.statistics().accepted == 0
