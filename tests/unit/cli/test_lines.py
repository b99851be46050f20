"""Lines of the standard input, from whatever it is."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, StoreFull
from ridethrough.cli import lines as module
from ridethrough.cli.lines import LineIntake, Lines
from ridethrough.signal_cli import SignalMessage, TextMessage, make_target

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def all_of(file: int) -> list[bytes]:
    with fail_after(10):
        return [line async for line in Lines(file)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        (b"one\ntwo\r\n\nthree", [b"one", b"two", b"", b"three"]),
        (b"x" * 200_000 + b"\ny\n", [b"x" * 200_000, b"y"]),
        (b"a\rb\n", [b"a\rb"]),
    ],
)
async def test_lines_of_a_file(data: bytes, expected: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(data)
    with file.open("rb") as opened:
        assert await all_of(opened.fileno()) == expected


async def test_lines_of_nothing() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        assert await all_of(nothing) == []
    finally:
        os.close(nothing)


async def test_lines_of_a_pipe_as_they_come() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as ours, fail_after(10):
        lines = Lines(reading)
        ours.write(b"one\nt")
        assert await anext(lines) == b"one"
        assert lines.left
        ours.write(b"wo\nthree")
        assert await anext(lines) == b"two"
        ours.close()
        assert [line async for line in lines] == [b"three"]
        assert not lines.left


async def test_lines_of_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        ours.sendall(b"one\ntwo")
        ours.shutdown(socket.SHUT_WR)
        assert await all_of(theirs.fileno()) == [b"one", b"two"]


async def test_somebody_else_reads_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, fail_after(10):
        theirs.setblocking(False)
        read = os.read

        def steal(file: int, size: int) -> bytes:
            monkeypatch.setattr(os, "read", read)
            assert read(file, size) == b"stolen\n"
            ours.sendall(b"kept\n")
            raise BlockingIOError

        monkeypatch.setattr(os, "read", steal)
        ours.sendall(b"stolen\n")
        assert await anext(Lines(theirs.fileno())) == b"kept"


async def test_stopped_while_it_waits() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as ours, fail_after(10):
        lines = Lines(reading)
        ours.write(b"one\ntwo\nthr")
        assert await anext(lines) == b"one"
        async with create_task_group() as tasks:
            tasks.start_soon(stop, lines)
            assert [line async for line in lines] == [b"two"]
        assert lines.left
        ours.write(b"ee\n")
        assert [line async for line in lines] == []


async def stop(lines: Lines) -> None:
    for _ in range(5):
        await checkpoint()
    lines.stop()


async def test_stopped_before_it_has_begun(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\n")
    with file.open("rb") as opened:
        lines = Lines(opened.fileno())
        lines.stop()
        assert [line async for line in lines] == []


async def test_line_that_is_too_long_for_anybody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_LONGEST", 100_000)
    file = tmp_path / "lines"
    file.write_bytes(b"x" * 1_000_000 + b"\ny\n")
    with file.open("rb") as opened:
        first, second = await all_of(opened.fileno())
    assert 100_000 <= len(first) < 300_000 and second == b"y"


# What is put


SELF = make_target(note_to_self=True)


@asynccontextmanager
async def taking(
    data: bytes, buffer: AsyncMessageBuffer[SignalMessage], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LineIntake]:
    """Lines that come through a pipe which stays open, and are taken meanwhile."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as theirs, os.fdopen(writing, "wb", buffering=0) as ours:
        monkeypatch.setattr(sys, "stdin", theirs)
        ours.write(data)
        intake = LineIntake(buffer, [SELF])
        async with create_task_group() as tasks:
            tasks.start_soon(intake.run)
            with fail_after(10):
                yield intake
            tasks.cancel_scope.cancel()


async def texts(buffer: AsyncMessageBuffer[SignalMessage]) -> list[str]:
    return [message.text for message in await buffer.drain() if isinstance(message, TextMessage)]


async def test_finish_puts_what_has_come(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer()
    async with taking(b"one\n \ntwo\nthr", buffer, monkeypatch) as intake:
        while not len(buffer):
            await checkpoint()
        await intake.finish()
    assert await texts(buffer) == ["one", "two"]
    assert caplog.messages == ["line 4 of the standard input was not taken, nor what follows"]


async def test_cancelled_while_a_line_waits_for_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(1, overflow="wait")
    async with taking(b"one\ntwo\nthree\n", buffer, monkeypatch):
        while not buffer.statistics().waiting_to_put:
            await checkpoint()
    assert await texts(buffer) == ["one"]
    assert caplog.messages == ["line 2 of the standard input was not taken, nor what follows"]


async def test_cancelled_while_nothing_has_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer()
    async with taking(b"one\n", buffer, monkeypatch):
        while not len(buffer):
            await checkpoint()
        await checkpoint()
    assert await texts(buffer) == ["one"]
    assert not caplog.messages


async def test_line_that_is_refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(1, overflow="reject")
    async with taking(b"one\ntwo\n", buffer, monkeypatch):
        while not caplog.messages:
            await checkpoint()
    assert await texts(buffer) == ["one"]
    assert caplog.messages == ["line 2 of the standard input was not taken: the buffer is full: 1 of 1 messages"]


async def test_line_that_is_not_text(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer()
    async with taking(b"secret \xff\ntwo\n", buffer, monkeypatch):
        while not len(buffer):
            await checkpoint()
    assert await texts(buffer) == ["two"]
    assert caplog.messages == ["line 1 of the standard input was not taken: it is not in UTF-8"]


class FullDisk(AsyncMessageBuffer[SignalMessage]):
    """There is no room on the disk for the first tries."""

    tries = 0

    async def put_many(self, *args: object, **kwargs: object) -> list[object]:  # type: ignore[override]
        self.tries += 1
        if self.tries < 3:
            raise StoreFull("no room on the disk")
        return await super().put_many(*args, **kwargs)  # type: ignore[arg-type, return-value]


async def test_line_waits_for_room_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    buffer = FullDisk()
    async with taking(b"one\n", buffer, monkeypatch) as intake:
        while not len(buffer):
            await checkpoint()
        await intake.finish()
    assert await texts(buffer) == ["one"]
    assert caplog.messages == ["line 1 of the standard input waits: no room on the disk"]


@pytest.mark.parametrize("stdin", [None, io.StringIO("x")])
async def test_nothing_is_read_without_targets(stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer()
    intake = LineIntake(buffer, [] if stdin is not None else [SELF])
    await intake.run()
    await intake.finish()
    assert buffer.is_empty()
