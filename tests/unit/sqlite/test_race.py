"""Owners of an outbox come and go, gently or killed, while many other processes put into it."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.unit.sqlite.doors import kept

PUTTERS = 8
MESSAGES = 40
PATIENCE = 120

PROGRAM = """
import random, sys
from anyio import create_task_group, run, sleep
from ridethrough import AsyncMessageBuffer, StoreLocked
from ridethrough.sqlite import SQLiteJournal
from ridethrough.sqlite.client import connect, put
from ridethrough.sqlite.door import serve

async def own(path, seed):
    rng = random.Random(int(seed))
    while True:
        try:
            async with AsyncMessageBuffer(10_000, journal=SQLiteJournal(path)) as buffer:
                before = len(buffer)
                async with create_task_group() as tasks:
                    await tasks.start(serve, buffer)
                    print("serves", flush=True)
                    await sleep(rng.uniform(0, 0.1))
                    tasks.cancel_scope.cancel()
                print("has taken", buffer.statistics().accepted - before, flush=True)
        except StoreLocked:
            pass
        await sleep(rng.uniform(0, 0.02))

async def put_many(path, name, count):
    for number in range(0, int(count), 2):
        print(await put(path, f"{name} {number}", timeout=60), f"{name} {number}", flush=True)
        async with connect(path, timeout=60) as outbox:
            [found] = await outbox.put(f"{name} {number + 1}")
            print(found, f"{name} {number + 1}", flush=True)

what, backend, *arguments = sys.argv[1:]
run({"own": own, "put": put_many}[what], *arguments, backend=backend)
"""


def start(what: str, number: int, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, what, ("asyncio", "trio")[number % 2], *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def putters(path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started = [start("put", number, path, f"putter-{number}", MESSAGES) for number in range(PUTTERS)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def told(processes: list[subprocess.Popen[str]]) -> list[list[tuple[int, str]]]:
    """What each of them has put, by the number that it was told, once they are done."""
    puts = []
    for process in processes:
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        puts.append([(int(number), text) for number, text in (line.split(" ", 1) for line in output.splitlines())])
    return puts


def check(puts: list[list[tuple[int, str]]], found: dict[int, Any]) -> None:
    """Each put that has returned is there under its number, and the puts of each process are in their order."""
    for number, own in enumerate(puts):
        assert [text for _, text in own] == [f"putter-{number} {n}" for n in range(MESSAGES)]
        assert [message for message, _ in own] == sorted(message for message, _ in own)
        assert [found.get(message) for message, _ in own] == [text for _, text in own]


def test_owner_that_comes_and_goes_gently_loses_nothing_and_takes_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with putters(path) as processes, start("own", 0, path, 1) as owner:
        try:
            puts = told(processes)
        finally:
            owner.kill()
        lives = [int(line.split()[-1]) for line in owner.communicate()[0].splitlines() if line.startswith("has taken")]
    found = kept(path)
    check(puts, found)
    assert len(found) == PUTTERS * MESSAGES
    assert len(lives) > 1 and 0 < sum(lives) < PUTTERS * MESSAGES  # some through a door, and some without an owner


def test_owner_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    rng = random.Random(1)
    kills = 0
    with putters(path) as processes:
        done = threading.Event()

        def kill_owners() -> None:
            nonlocal kills
            while not done.is_set():
                with start("own", kills, path, kills) as owner:
                    assert owner.stdout is not None
                    owner.stdout.readline()
                    done.wait(rng.uniform(0, 0.2))
                    owner.kill()
                    owner.communicate()
                kills += 1

        killer = threading.Thread(target=kill_owners)
        killer.start()
        try:
            puts = told(processes)
        finally:
            done.set()
            killer.join()
    found = kept(path)
    check(puts, found)
    again = Counter(found.values())
    assert set(again) == {text for own in puts for _, text in own}
    assert kills > 1
    assert again.total() - len(again) <= kills * PUTTERS  # perhaps twice: each of those under way when one was killed
