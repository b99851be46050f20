"""``ridethrough run``: owns an outbox, sends what is in it, and ends as it is told to."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal

from ridethrough.signal_cli.codec import decode_message, encode_message
from ridethrough.sqlite import SQLiteJournal
from ridethrough.testing import CutAfter, FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, Call, Running, away

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def texts(daemon: FakeSignalDaemon) -> list[str]:
    return [arrival.text for arrival in daemon.sends]


# Sending


def test_sends_what_waits_and_what_comes(call: Call, daemon: FakeSignalDaemon, running: Running, outbox: Path) -> None:
    call("send", "--to", ANNA, "before")
    runner = running()
    assert call("send", "--to", ANNA, "--wait", "after").status == 0
    runner.stop()
    ended = runner.wait()
    assert texts(daemon) == ["before", "after"]
    assert (ended.status, ended.out) == (0, "")
    lines = ended.err.splitlines()
    assert re.fullmatch(rf"{TIME} INFO \S+outbox.db is open: 1 message waits", lines[0])
    assert re.fullmatch(rf"{TIME} INFO stopped; nothing waits", lines[-1])
    assert "before" not in ended.err and ANNA not in ended.err
    assert not Path(f"{outbox}-door").exists() and not Path(f"{outbox}-owner").exists()


def test_sends_on_after_a_kill(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        runner = running()
        assert call("send", "--to", ANNA, "hello").status == 0
        runner.stop(signal.SIGKILL)
        assert runner.wait().status == -9
    running()
    assert call("send", "--to", ANNA, "--wait", "after").status == 0
    assert texts(daemon) == ["hello", "after"]


@pytest.mark.parametrize(("policy", "outcome", "copies"), [("retry", "sent", 2), ("report", "unknown", 1)])
def test_doubt(policy: str, outcome: str, copies: int, call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.fail_next(CutAfter())
    running("--on-doubt", policy)
    (told,) = json.loads(call("send", "--to", ANNA, "--wait", "--json", "x").out)["outcomes"]
    assert (told["outcome"], len(daemon.sends)) == (outcome, copies)


def test_settings_of_the_buffer(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        running("--max-size", "1", "--overflow", "reject")
        assert call("send", "--to", ANNA, "x").status == 0
        assert call("send", "--to", ANNA, "y") == (
            1,
            "",
            "ridethrough send: the buffer is full: 1 of 1 messages\n",
        )


def test_age(call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        running("--ttl", "0.05")
        assert call("send", "--to", ANNA, "--wait", "x") == (1, "1 expired: it was older than its ttl\n", "")


def test_account(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.accounts.append("+15550002222")
    running("--account", "+15550002222")
    assert call("send", "--to", ANNA, "--wait", "x").status == 0
    assert [arrival.account for arrival in daemon.sends] == ["+15550002222"]


# Lines


def test_lines_are_messages(daemon: FakeSignalDaemon, running: Running, call: Call) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as theirs, os.fdopen(writing, "wb") as ours:
        runner = running("--to", ANNA, "--to", BERT, stdin=theirs)
        ours.write(b"one\n\n  \ntwo\r\nsecret \xff\nlast")
    runner.wait_said("STATUS=connected; nothing waits")
    while len(daemon.sends) < 6:  # the end of the lines is not the end of it
        assert call("send", "--note-to-self", "--wait", "x").status == 0
        daemon.sends[:] = [arrival for arrival in daemon.sends if arrival.text != "x"]
    runner.stop()
    ended = runner.wait()
    assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
        (person, text) for text in ("one", "two", "last") for person in (ANNA, BERT)
    ]
    assert "ERROR line 5 of the standard input was not taken: it is not in UTF-8\n" in ended.err
    assert "secret" not in ended.err
    assert ended.status == 0


def test_lines_are_none_of_its_business_if_no_option_says_whom_they_go_to(
    daemon: FakeSignalDaemon, running: Running, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIDETHROUGH_TO", ANNA)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as theirs, os.fdopen(writing, "wb", buffering=0) as ours:
        running(stdin=theirs)
        ours.write(b"one\n")
        assert call("send", "--wait", "x").status == 0
        assert texts(daemon) == ["x"]
        assert theirs.readline() == b"one\n"


# The end


def test_stops_at_once_if_nothing_waits(running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        runner = running("--close-timeout", "1000")
        runner.stop()
        assert runner.wait().status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("heeding_interrupts")
def test_stops_with_messages_waiting(
    number: signal.Signals, call: Call, running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal, outbox: Path
) -> None:
    with away(portal, daemon):
        runner = running("--close-timeout", "0.1")
        call("send", "--to", ANNA, "hello")
        runner.stop(number)
        ended = runner.wait()
    assert ended.status == 3
    assert "INFO stopping: 1 message waits; what can be sent has 0.1 s, or until a second signal\n" in ended.err
    assert ended.err.endswith(f"WARNING stopped; 1 message waits in {outbox}, to be sent by the next run\n")
    assert "Traceback" not in ended.err and "dead letter" not in ended.err
    assert len(json.loads(call("list", "--json").out)) == 1


def test_second_signal_hurries(call: Call, running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal) -> None:
    with away(portal, daemon):
        runner = running("--close-timeout", "1000")
        call("send", "--to", ANNA, "hello")
        runner.stop()
        runner.wait_said("STOPPING=1")
        runner.stop()
        assert runner.wait().status == 3


def test_what_is_being_sent_gets_its_time(
    call: Call, running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal
) -> None:
    runner = running("--close-timeout", "1000")
    assert call("send", "--to", ANNA, "--wait", "first").status == 0
    portal.call(daemon.freeze)
    call("send", "--to", ANNA, "hello")
    runner.stop()
    runner.wait_said("STOPPING=1")
    assert call("send", "--to", ANNA, "and what comes meanwhile is taken").status == 0
    portal.call(daemon.thaw)
    assert runner.wait().status == 0
    assert texts(daemon) == ["first", "hello", "and what comes meanwhile is taken"]
    assert call("list").out == "nothing waits\n"


def test_lines_that_have_come_are_taken_before_the_end(
    daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as theirs, os.fdopen(writing, "wb", buffering=0) as ours:
        portal.call(daemon.freeze)
        runner = running("--to", ANNA, "--max-size", "1", "--overflow", "wait", "--close-timeout", "1000", stdin=theirs)
        ours.write(b"one\ntwo\nthree\n")
        runner.wait_said("STATUS=connecting; 1 message waits")
        runner.stop()
        runner.wait_said("STOPPING=1")
        portal.call(daemon.thaw)
        assert runner.wait().status == 0
    assert texts(daemon) == ["one", "two", "three"]


# What it tells


def test_tells_its_supervisor(running: Running, daemon: FakeSignalDaemon, call: Call) -> None:
    runner = running()
    runner.wait_said("STATUS=connected; nothing waits")
    assert call("send", "--to", ANNA, "--wait", "x").status == 0
    runner.stop()
    runner.wait_said("STOPPING=1")
    assert runner.wait().status == 0
    assert texts(daemon) == ["x"]


def test_lines_for_the_journal(
    running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    with away(portal, daemon):
        runner = running()
        runner.wait_said("STATUS=backing off; nothing waits")
        runner.stop()
        lines = runner.wait().err.splitlines()
    assert re.fullmatch(r"<6>\S+ is open: nothing waits", lines[0])
    assert lines[1].startswith("<4>no link: ")


def test_quiet(running: Running, daemon: FakeSignalDaemon, portal: BlockingPortal) -> None:
    runner = running("--quiet")
    runner.wait_said("STATUS=connected; nothing waits")
    portal.call(daemon.stop)
    runner.wait_said("STATUS=backing off; nothing waits")
    runner.stop()
    (line,) = runner.wait().err.splitlines()
    assert re.match(rf"{TIME} WARNING no link: ", line)


def test_live_display_on_a_terminal(call: Call, running: Running, daemon: FakeSignalDaemon) -> None:
    ours, theirs = pty.openpty()
    runner = running(stderr=theirs)
    os.close(theirs)
    assert call("send", "--to", ANNA, "--wait", "hello").status == 0
    shown = b""
    while b"sent   1" not in shown:
        shown += os.read(ours, 4096)
    runner.stop()
    while b"stopped; nothing waits" not in shown:
        shown += os.read(ours, 4096)
    assert runner.wait().status == 0
    os.close(ours)
    assert re.search(rb"\d\d:\d\d:\d\d the link is ready after 0\.\d s", shown)
    assert b"connected" in shown and b"hello" not in shown and ANNA.encode() not in shown
    assert texts(daemon) == ["hello"]


# What stands in its way


def test_no_daemon_named(call: Call) -> None:
    status, out, err = call("run")
    assert (status, out) == (2, "") and err.startswith("ridethrough run: which daemon? say where it listens by --end")


def test_endpoint_that_is_none(call: Call) -> None:
    status, out, err = call("run", "--endpoint", "tcp://user:secret@host:1")
    assert (status, out) == (2, "") and err.startswith("ridethrough run: endpoint must be") and "secret" not in err


@contextmanager
def owned(outbox: Path) -> Iterator[None]:
    """Somebody has the outbox open, and lets nobody in."""
    journal = SQLiteJournal(outbox, encode=encode_message, decode=decode_message)
    journal.open()
    yield
    journal.close()


def test_waits_for_an_outbox_that_is_in_use(running: Running, daemon: FakeSignalDaemon, outbox: Path) -> None:
    """And goes on when nobody reads any more what it says."""
    assert daemon
    reading, writing = os.pipe()
    with os.fdopen(reading) as log, owned(outbox):
        runner = running(ready=False, stderr=writing)
        os.close(writing)
        assert f"WARNING {outbox} is in use by process {os.getpid()}: waiting for it\n" in log.readline()
    runner.wait_said("READY=1")
    runner.stop()
    assert runner.wait().status == 0


def test_stopped_while_it_waits_for_an_outbox(running: Running, daemon: FakeSignalDaemon, outbox: Path) -> None:
    assert daemon
    reading, writing = os.pipe()
    with os.fdopen(reading) as log, owned(outbox):
        runner = running(ready=False, stderr=writing)
        os.close(writing)
        log.readline()
        runner.stop()
        assert runner.wait().status == 0


def test_outbox_that_stays_in_use(
    call: Call, daemon: FakeSignalDaemon, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daemon
    monkeypatch.setattr("ridethrough.cli.disk._LOCK_TIMEOUT", 0.1)
    with owned(outbox):
        status, out, err = call("run")
    assert (status, out) == (1, "")
    assert err.startswith(f"ridethrough run: {outbox} is in use by process {os.getpid()}: ")


def test_daemon_with_several_accounts(running: Running, daemon: FakeSignalDaemon, call: Call) -> None:
    daemon.accounts.append("+15550002222")
    call("send", "--to", ANNA, "hello")
    ended = running(ready=False).wait()
    assert ended.status == 1
    last = "ridethrough run: the daemon has 2 accounts: account= must say which one to send from"
    assert ended.err.splitlines()[-1] == last
    assert "Traceback" not in ended.err
    assert len(json.loads(call("list", "--json").out)) == 1


class Refusing(BaseHTTPRequestHandler):
    """A proxy that lets nobody in."""

    def do_GET(self) -> None:
        self.send_error(401)

    do_POST = do_GET  # noqa: N815, the names are the server's

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_proxy_that_refuses(running: Running, call: Call) -> None:
    call("send", "--to", ANNA, "hello")
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ended = running("--endpoint", f"http://127.0.0.1:{server.server_port}", ready=False).wait()
        server.shutdown()
        thread.join()
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("ridethrough run: ") and "401" in ended.err
    assert "Traceback" not in ended.err
    assert len(json.loads(call("list", "--json").out)) == 1


def test_runs_without_rich(
    running: Running, daemon: FakeSignalDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    ours, theirs = pty.openpty()
    runner = running(stderr=theirs)
    os.close(theirs)
    assert daemon.endpoint
    runner.stop()
    assert runner.wait().status == 0
    assert re.match(rf"{TIME} INFO ".encode(), os.read(ours, 4096))
    os.close(ours)
