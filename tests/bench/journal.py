"""What a durable put costs, against other queues in SQLite, and against SQLite itself.

Messages have 250 bytes, and every put is on the disk when it returns: WAL with ``synchronous=FULL``, for all of them.
The other queues make a transaction of each put, in as many threads as there are producers. SQLite itself is one
connection in a worker thread, with a table of a number and a body. What counts is the disk under the folder for
temporary files.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from persistqueue import SQLiteAckQueue

from ridethrough import AsyncMessageBuffer
from ridethrough.abc import JournalChanges, JournalRecord
from ridethrough.sqlite import SQLiteJournal

from .pairs import Figure, Sample, figure_of, ratio_here
from .report import Line

MESSAGE = "m" * 248
"""With its quotation marks, 250 bytes in JSON."""
BODY = b"m" * 250
PRODUCERS = 100
PUTS = 10
"""Of each producer, in a sample."""
ALONE = 200
"""Puts of one producer, in a sample."""
TOGETHER = 1_000
MANY = 100_000
ROUNDS = 15
OPENINGS = 5
BURSTS = 3

LiteQueue: Any = import_module("litequeue").LiteQueue  # it has no types

Bench = AbstractAsyncContextManager[Sample]
"""Has a file open; gives what is timed."""


@asynccontextmanager
async def durable_buffer(folder: str) -> AsyncIterator[AsyncMessageBuffer[str]]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        async with AsyncMessageBuffer[str](10 * MANY, journal=SQLiteJournal(Path(own, "outbox.db"))) as buffer:
            yield buffer


async def by_each(work: Callable[[], object]) -> None:
    """Have each of the producers do that in a thread of its own, over and over."""
    threads = CapacityLimiter(PRODUCERS)

    async def produce() -> None:
        for _ in range(PUTS):
            await run_sync(work, limiter=threads)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(PRODUCERS):
            tasks.create_task(produce())


# ---------------------------------------------------------------- samples: ours


@asynccontextmanager
async def puts_by_many(folder: str) -> AsyncIterator[Sample]:
    async with durable_buffer(folder) as buffer:

        async def produce() -> None:
            for _ in range(PUTS):
                await buffer.put(MESSAGE)

        async def produce_all() -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(PRODUCERS):
                    tasks.create_task(produce())

        yield produce_all


@asynccontextmanager
async def puts_by_one(folder: str) -> AsyncIterator[Sample]:
    async with durable_buffer(folder) as buffer:

        async def produce() -> None:
            for _ in range(ALONE):
                await buffer.put(MESSAGE)

        yield produce


@asynccontextmanager
async def put_together(folder: str) -> AsyncIterator[Sample]:
    async with durable_buffer(folder) as buffer:

        async def put() -> None:
            await buffer.put_many([MESSAGE] * TOGETHER)

        yield put


# ---------------------------------------------------------------- samples: theirs


@asynccontextmanager
async def by_persist_queue(folder: str) -> AsyncIterator[Sample]:
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        closing(SQLiteAckQueue(own, multithreading=True, auto_commit=True)) as queue,
    ):
        yield lambda: by_each(lambda: queue.put(BODY))


@asynccontextmanager
async def by_litequeue(folder: str) -> AsyncIterator[Sample]:
    with tempfile.TemporaryDirectory(dir=folder) as own, closing(LiteQueue(str(Path(own, "queue.db")))) as queue:
        queue.conn.execute("PRAGMA synchronous=FULL")  # it would not wait for the disk by itself
        yield lambda: by_each(lambda: queue.put(MESSAGE))


@asynccontextmanager
async def by_hand(folder: str, rows: int, transactions: int) -> AsyncIterator[Sample]:
    numbers = count(1)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        connection = sqlite3.connect(Path(own, "rows.db"), isolation_level=None, check_same_thread=False)
        with closing(connection):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB)")

            def insert() -> None:
                connection.execute("BEGIN")
                values = [(next(numbers), BODY) for _ in range(rows)]
                connection.executemany("INSERT INTO messages VALUES (?, ?)", values)
                connection.execute("COMMIT")

            async def insert_all() -> None:
                for _ in range(transactions):
                    await run_sync(insert)

            yield insert_all


# ---------------------------------------------------------------- figures


async def compare(bench: Bench, other: Bench) -> Figure:
    async with bench as sample, other as other_sample:
        return await ratio_here(sample, other_sample, ROUNDS, time.perf_counter)


async def open_many(folder: str) -> Figure:
    """How long it takes to be entered with many messages waiting, in seconds."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own, "outbox.db")
        journal = SQLiteJournal[str](path)
        journal.open()
        body = journal.encode(MESSAGE)
        journal.commit(JournalChanges([JournalRecord(number, body) for number in range(1, MANY + 1)]))
        journal.close()
        times: list[float] = []
        for _ in range(OPENINGS):
            buffer = AsyncMessageBuffer[str](MANY, journal=SQLiteJournal(path))
            start = time.perf_counter()
            async with buffer:
                times.append(time.perf_counter() - start)
                assert len(buffer) == MANY
        return figure_of(times)


async def send_many(folder: str) -> tuple[float, float]:
    """How large the file and its log are at once when many messages have been put and sent, in KiB."""
    async with durable_buffer(folder) as buffer:
        for _ in range(MANY // TOGETHER):
            await buffer.put_many([MESSAGE] * TOGETHER)
            async with buffer.lease(TOGETHER) as lease:
                for entry in lease:
                    entry.begin()
                    entry.ack()
        await buffer.dead_letters()  # after all that was to be written
        assert isinstance(buffer.journal, SQLiteJournal)
        path = buffer.journal.path
        file, log = (path.with_name(name).stat().st_size / 1024 for name in (path.name, f"{path.name}-wal"))
        return file, log


def measure() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        by_peer = asyncio.run(compare(puts_by_many(folder), by_persist_queue(folder)))
        yield Line("puts by 100 producers / by persist-queue's SQLiteAckQueue", by_peer, 0.1)
        by_peer = asyncio.run(compare(puts_by_many(folder), by_litequeue(folder)))
        yield Line("puts by 100 producers / by litequeue", by_peer, 0.1)
        by_sqlite = asyncio.run(compare(puts_by_one(folder), by_hand(folder, 1, ALONE)))
        yield Line("puts by one producer / INSERT and COMMIT of SQLite", by_sqlite, 1.43)
        by_sqlite = asyncio.run(compare(put_together(folder), by_hand(folder, TOGETHER, 1)))
        yield Line("put_many of 1,000 / executemany and COMMIT of SQLite", by_sqlite, 2)
        yield Line("opening with 100,000 messages waiting", asyncio.run(open_many(folder)), 2, "s")
        bursts = [asyncio.run(send_many(folder)) for _ in range(BURSTS)]
        sizes = figure_of([file for file, _ in bursts])
        yield Line("the file, after 100,000 messages were put and sent", sizes, 1024, "KiB")
        yield Line("its log then, until it has nothing to do", figure_of([log for _, log in bursts]), None, "KiB")
