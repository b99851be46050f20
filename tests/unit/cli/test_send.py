"""``ridethrough send``: what is put, what is printed, and what is waited for."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from ridethrough.signal_cli import Attachment, SignalMessage, TextMessage, make_target
from ridethrough.signal_cli.codec import decode_message, encode_message
from ridethrough.sqlite import SQLiteJournal
from ridethrough.testing import CutAfter, Failure, FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, COMMAND, PATIENCE, Call, Running, away


def kept(outbox: Path) -> list[SignalMessage]:
    """What waits in an outbox that nobody owns."""
    journal: SQLiteJournal[SignalMessage] = SQLiteJournal(outbox, encode=encode_message, decode=decode_message)
    try:
        return [decode_message(record.body) for record in journal.open().records]
    finally:
        journal.close()


def test_put_where_nobody_runs(call: Call, outbox: Path) -> None:
    assert call("send", "--to", ANNA, "hello") == (0, "1\n", f"{outbox} is a new outbox\n")
    assert call("send", "--to", ANNA, "--to", BERT, "--json", "both") == (0, '{"ids": [2, 3]}\n', "")
    anna, bert = make_target(to=ANNA), make_target(to=BERT)
    assert kept(outbox) == [TextMessage(anna, "hello"), TextMessage(anna, "both"), TextMessage(bert, "both")]
    assert outbox.stat().st_mode & 0o777 == 0o600


def test_whom_the_environment_names(call: Call, outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIDETHROUGH_NOTE_TO_SELF", "true")
    assert call("send", "hello").status == 0
    assert kept(outbox) == [TextMessage(make_target(note_to_self=True), "hello")]


def test_attachments(call: Call, outbox: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.txt"
    file.write_text("A plan.")
    assert call("send", "--to", ANNA, "--attach", str(file)).status == 0
    file.unlink()
    attachment = Attachment(b"A plan.", "plan.txt", "text/plain")
    assert kept(outbox) == [TextMessage(make_target(to=ANNA), "", (attachment,))]


class StandardInput(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


@pytest.mark.parametrize(("data", "text"), [(b"two\nlines\n", "two\nlines"), ("é\r\n\n".encode(), "é")])
def test_text_of_the_standard_input(
    data: bytes, text: str, call: Call, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput(data))
    assert call("send", "--to", ANNA, "-").status == 0
    assert kept(outbox) == [TextMessage(make_target(to=ANNA), text)]


def test_text_that_is_not_utf_8(call: Call, outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput(b"secret \xff"))
    ended = call("send", "--to", ANNA, "-")
    assert ended == (2, "", "ridethrough send: the standard input must be text in UTF-8\n")
    assert not outbox.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["x"], "to whom? say so by --to, --group, --username or --note-to-self"),
        (["--to", ANNA], "text must not be empty"),
        (["--to", ANNA, "\udcff"], "text must be valid Unicode: it has a lone surrogate, which cannot be encoded"),
        (["--to", ANNA, "--timeout", "5", "x"], "--timeout goes with --wait"),
        (["--to", ANNA, "--wait", "--timeout", "x", "x"], "--timeout must be a number of seconds, at least 0"),
        (["--to", ANNA, "--attach", "/nowhere/x", "x"], "--attach /nowhere/x: No such file or directory"),
        (["--to", ANNA, "--attach", "/", "x"], "--attach /: path must be of a regular file"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, call: Call, outbox: Path) -> None:
    assert call("send", *arguments) == (2, "", f"ridethrough send: {problem}\n")
    assert not outbox.exists()


def test_no_folder(call: Call) -> None:
    ended = call("send", "--outbox", "/nowhere/o.db", "--to", ANNA, "x")
    assert ended == (1, "", "ridethrough send: there is no folder for /nowhere/o.db: make it first\n")


def test_file_that_is_no_outbox(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    status, out, err = call("send", "--outbox", str(file), "--to", ANNA, "x")
    assert (status, out) == (1, "") and "is not an outbox of ridethrough" in err


def test_full_outbox_that_nobody_runs(call: Call, outbox: Path) -> None:
    terms = ("--max-size", "1", "--to", ANNA)
    assert call("send", *terms, "one").status == 0
    status, out, err = call("send", *terms, "two")
    assert (status, out) == (1, "") and err.startswith("ridethrough send: ")
    assert call("send", *terms, "--overflow", "drop_oldest", "three").status == 0
    assert kept(outbox) == [TextMessage(make_target(to=ANNA), "three")]
    status, out, err = call("send", *terms, "--to", BERT, "--overflow", "wait", "there will never be room for two")
    assert (status, out) == (1, "")


def test_put_that_waits_for_room_lets_others_at_the_outbox(call: Call, outbox: Path) -> None:
    terms = ("--max-size", "1", "--to", ANNA)
    assert call("send", *terms, "one").status == 0
    waiting = subprocess.Popen(
        [*COMMAND, "send", *terms, "--overflow", "wait", "two"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == f"{outbox} is full, and nobody runs it: waiting for room\n".encode()
    assert call("cancel", "1").status == 0
    out, _ = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out) == (0, b"2\n")
    assert kept(outbox) == [TextMessage(make_target(to=ANNA), "two")]


def test_age(call: Call, outbox: Path) -> None:
    assert call("send", "--to", ANNA, "--ttl", "0.000001", "x").status == 0
    assert json.loads(call("list", "--json").out) == []
    (dead,) = json.loads(call("list", "--dead", "--json").out)
    assert dead["outcome"] == "expired"
    assert outbox.exists()


# With somebody who runs it


def test_wait_until_sent(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    running()
    assert call("send", "--to", ANNA, "--wait", "hello") == (0, "1 sent\n", "")
    ended = call("send", "--to", ANNA, "--to", BERT, "--wait", "--json", "both")
    answer = json.loads(ended.out)
    assert (ended.status, answer["ids"]) == (0, [2, 3])
    assert [outcome["outcome"] for outcome in answer["outcomes"]] == ["sent", "sent"]
    assert answer["outcomes"][1]["result"]["timestamp"] == daemon.sends[-1].timestamp
    assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
        (ANNA, "hello"),
        (ANNA, "both"),
        (BERT, "both"),
    ]


def test_wait_for_what_is_rejected(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.per_recipient[ANNA] = Failure("UNREGISTERED_FAILURE")
    runner = running()
    status, out, err = call("send", "--to", ANNA, "--to", BERT, "--wait", "hello")
    first, second = out.splitlines()
    assert (status, err) == (1, "") and first.startswith("1 rejected: ") and second == "2 sent"
    runner.stop()
    assert f"WARNING message {first.replace('rejected', 'ended rejected')}" in runner.wait().err


def test_wait_until_time_is_up(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        running()
        assert call("send", "--to", ANNA, "--wait", "--timeout", "0.1", "hello") == (3, "1 waiting\n", "")


def test_wait_tells_what_was_sent_behind_one_that_waits(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.per_recipient[ANNA] = Failure("RATE_LIMIT_FAILURE", retry_after=3600)
    running()
    assert call("send", "--to", BERT, "--wait", "before").status == 0
    status, out, _ = call("send", "--to", ANNA, "--to", BERT, "--wait", "--timeout", "2", "x")
    assert (status, out) == (3, "2 waiting\n3 sent or cancelled, while nobody looked\n")


def test_wait_through_the_death_of_who_runs_it(
    call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal
) -> None:
    with away(portal, daemon):
        first = running()
        waiting = subprocess.Popen(
            [*COMMAND, "send", "--to", ANNA, "--wait", "hello"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        first.wait_said("STATUS=backing off; 1 message waits")
        first.process.kill()
        first.wait()
        running()
        assert call("send", "--to", ANNA, "--wait", "--timeout", "1", "so the other one has found it too").status == 3
    out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out) == (0, b"1 sent\n")
    assert b"Traceback" not in err


def test_wait_for_what_may_arrive_twice(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.fail_next(CutAfter())
    running()
    (outcome,) = json.loads(call("send", "--to", ANNA, "--wait", "--json", "hello").out)["outcomes"]
    assert (outcome["outcome"], outcome["maybe_sent"], outcome["attempts"]) == ("sent", True, 2)


def test_wait_while_nobody_runs_it(call: Call, outbox: Path) -> None:
    status, out, err = call("send", "--to", ANNA, "--wait", "--timeout", "0.1", "hello")
    assert (status, out) == (3, "1 waiting\n")
    assert err.splitlines()[-1] == f"nobody runs {outbox}: waiting for somebody who does"


@pytest.mark.usefixtures("heeding_interrupts")
def test_interrupted_while_it_waits(outbox: Path) -> None:
    assert outbox
    process = subprocess.Popen(
        [*COMMAND, "send", "--to", ANNA, "--wait", "hello"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines = [process.stderr.readline(), process.stderr.readline()]
    assert lines[-1].startswith("nobody runs ")
    process.send_signal(2)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
