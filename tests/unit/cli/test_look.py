"""``ridethrough status`` and ``ridethrough list``: what people and programs see of an outbox."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from ridethrough import AsyncMessageBuffer
from ridethrough.cli.look import _contents
from ridethrough.signal_cli import (
    Attachment,
    ExpirationTimer,
    MessageId,
    Reaction,
    RemoteDelete,
    SignalMessage,
    TextMessage,
    make_target,
)
from ridethrough.signal_cli.codec import decode_message, encode_message, summarize
from ridethrough.sqlite import SQLiteJournal
from ridethrough.testing import Failure, FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, COMMAND, PATIENCE, Call, Running, away

SELF = make_target(note_to_self=True)


def test_status_where_nobody_runs(call: Call, outbox: Path) -> None:
    call("send", "--to", ANNA, "hello")
    status, out, err = call("status")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"outbox        {outbox}",
        "owner         nobody: what waits is sent once somebody runs it",
        "waiting       1 of 10000",
        "dead letters  0",
    ]
    answer = json.loads(call("status", "--json").out)
    assert (answer["outbox"], answer["owner"], answer["statistics"]["queued"]) == (str(outbox), None, 1)


@pytest.mark.parametrize("command", [["status"], ["list"], ["retry", "--all"], ["cancel", "1"], ["forget", "1"]])
def test_outbox_that_is_not_there_is_not_made(command: list[str], call: Call, outbox: Path) -> None:
    assert call(*command) == (1, "", f"ridethrough {command[0]}: there is no outbox {outbox}\n")
    assert not outbox.exists()


def test_status_of_an_outage(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        runner = running("--account", "+15550001111", "--max-size", "5")
        call("send", "--to", ANNA, "hello")
        runner.wait_said("STATUS=backing off; 1 message waits")
        out = call("status").out
        link = json.loads(call("status", "--json").out)["link"]
    assert f"owner          process {runner.process.pid}, for {daemon.endpoint} as +15550001111\n" in out
    assert re.search(r"link           (backing off|connecting): Connect call failed.*", out)
    assert "waiting        1 of 5\n" in out
    assert "since it runs  nothing has ended\n" in out
    assert link["state"] in ("backing_off", "connecting") and link["attempt"] > 0


def test_status_of_who_is_held_up(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.per_recipient |= {each: Failure("RATE_LIMIT_FAILURE", retry_after=3600) for each in (ANNA, BERT)}
    running()
    call("send", "--to", ANNA, "--to", BERT, "--wait", "--timeout", "1", "hello")
    call("send", "--note-to-self", "--wait", "hello")
    out = call("status").out
    assert re.search(rf"\nheld up        \{ANNA}: rate limited; next try in 60 min\n +\{BERT}: rate limited; ", out)
    assert "signal         not known yet\n" in out
    assert "since it runs  1 sent\n" in out


def test_list(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        running()
        call("send", "--to", ANNA, "two\nlines\x1b[2J\u202e")
        assert "lines\\u001b[2J\\u202e" in call("list", "--json").out
        call("send", "--note-to-self", "漢字")
        assert call("list").out.splitlines() == [
            "ID  STATE    TRIES  TO            MESSAGE",
            " 1  waiting      0  +15550100300  two\\nlines\\x1b[2J\\u202e",
            " 2  waiting      0  note to self  漢字",
        ]
        found = json.loads(call("list", "--json").out)
        assert [each["id"] for each in found] == [1, 2]
        assert found[0]["summary"]["text"] == "two\nlines\x1b[2J\u202e"


def test_list_of_what_is_being_sent(
    call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal
) -> None:
    running()
    call("send", "--to", ANNA, "--wait", "first")
    portal.call(daemon.freeze)
    call("send", "--to", ANNA, "second")
    while "waiting        1 of 10000, 1 being sent\n" not in call("status").out:
        pass  # it has not come to that yet
    assert call("list").out.splitlines()[1] == " 2  in doubt      1  +15550100300  second"


def test_empty_lists(call: Call) -> None:
    call("send", "--to", ANNA, "x")
    call("cancel", "1")
    assert call("list") == (0, "nothing waits\n", "")
    assert call("list", "--dead") == (0, "there are no dead letters\n", "")
    assert call("list", "--json").out == call("list", "--dead", "--json").out == "[]\n"


def test_list_of_dead_letters(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.per_recipient[ANNA] = Failure("UNREGISTERED_FAILURE")
    running()
    call("send", "--to", ANNA, "--wait", "hello\x1b")
    heading, line = call("list", "--dead").out.splitlines()
    assert heading.split() == ["ID", "ENDED", "HOW", "TO", "MESSAGE"]
    assert re.fullmatch(r" 1  \d{4}-\d\d-\d\d \d\d:\d\d  rejected: .+  \+15550100300  hello\\x1b", line)
    (dead,) = json.loads(call("list", "--dead", "--json").out)
    assert (dead["id"], dead["outcome"], dead["summary"]["text"]) == (1, "rejected", "hello\x1b")


def test_list_on_a_terminal_is_as_wide_as_that(call: Call, outbox: Path) -> None:
    call("send", "--to", ANNA, "word " * 50)
    call("send", "--to", ANNA, "--ttl", "0.000001", "word " * 50)
    assert outbox.exists()
    for more in ([], ["--dead"]):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen([*COMMAND, "list", *more], stdout=theirs, env={**os.environ, "COLUMNS": ""})
        os.close(theirs)
        shown = b""
        while b"\n" not in shown.partition(b"word")[2]:
            shown += os.read(ours, 4096)
        process.wait(PATIENCE)
        os.close(ours)
        lines = shown.decode().split("\r\n")
        assert len(lines) == 3 and len(lines[1]) <= 80 and lines[1].endswith("…")


def test_list_page_by_page(call: Call, outbox: Path) -> None:
    put_all(outbox, [TextMessage(SELF, str(number)) for number in range(205)])
    assert [each["id"] for each in json.loads(call("list", "--json").out)] == list(range(1, 206))


def test_list_of_what_is_too_long_for_one_answer(
    call: Call, outbox: Path, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal
) -> None:
    put_all(outbox, [TextMessage(SELF, "x" * 5_000_000) for _ in range(8)])
    with away(portal, daemon):
        running()
        assert len(json.loads(call("list", "--json").out)) == 8


def put_all(outbox: Path, messages: list[SignalMessage]) -> None:
    """Put them where nobody runs."""

    async def put() -> None:
        journal: SQLiteJournal[SignalMessage] = SQLiteJournal(outbox, encode=encode_message, decode=decode_message)
        async with AsyncMessageBuffer(1000, journal=journal) as buffer:
            await buffer.put_many(messages)

    anyio.run(put)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (TextMessage(SELF, "hi"), "hi"),
        (TextMessage(SELF, "hi", (Attachment(b"x"), Attachment(b"y"))), "[2 attachments] hi"),
        (TextMessage(SELF, "", (Attachment(b"x"),)), "[1 attachment]"),
        (TextMessage(SELF, "hi", edits=MessageId(SELF, None, 1_700_000_000_000)), "[edits] hi"),
        (Reaction(SELF, "👍", MessageId(SELF, None, 1_700_000_000_000)), "[reaction] 👍"),
        (RemoteDelete(SELF, MessageId(SELF, None, 1_700_000_000_000)), "[delete]"),
        (ExpirationTimer(SELF, 60), "[expiration, 60 s]"),
    ],
)
def test_what_a_list_shows_of_a_message(message: SignalMessage, shown: str) -> None:
    assert _contents(summarize(message)) == ("note to self", shown)


def test_what_a_list_shows_of_what_cannot_be_read() -> None:
    assert _contents({"error": "cannot be shown"}) == ("?", "[cannot be shown]")
