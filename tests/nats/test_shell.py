"""The command, with its outbox on servers: each ``ridethrough`` is a process, as on a host of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ridethrough.testing import Failure, FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, COMMAND, PATIENCE, Ended, Runner, away

from .harness import Outbox
from .servers import Server, one_server

Call = Callable[..., Ended]
Run = Callable[..., Runner]

WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from ridethrough.cli import main; sys.exit(main())"
"""The command where a module is not installed."""


@pytest.fixture
def url(outbox: Outbox) -> str:
    """The address of an outbox that is there for this test alone."""
    return f"{outbox.servers}/{outbox.name}"


@pytest.fixture
def call(url: str, tmp_path: Path) -> Call:
    """Runs the command as a process; its outbox is that of the test, unless an option names another."""

    def run(*arguments: str, command: list[str] = COMMAND) -> Ended:
        done = subprocess.run(
            [*command, *arguments],
            env=_environment(RIDETHROUGH_OUTBOX=url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=tmp_path,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def daemon(portal: BlockingPortal) -> Iterator[FakeSignalDaemon]:
    with portal.wrap_async_context_manager(FakeSignalDaemon()) as daemon:
        yield daemon


@pytest.fixture
def run(url: str, daemon: FakeSignalDaemon, tmp_path: Path) -> Iterator[Run]:
    """Starts ``ridethrough run``, and by default returns once it takes messages."""
    started: list[tuple[Runner, socket.socket]] = []

    def start(*arguments: str, stdin: int = subprocess.DEVNULL, ready: bool = True) -> Runner:
        address = f"ridethrough-nats-{os.getpid()}-{len(started)}"
        notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notes.bind(f"\0{address}")
        notes.settimeout(PATIENCE)
        process = subprocess.Popen(
            [*COMMAND, "run", *arguments],
            env=_environment(RIDETHROUGH_OUTBOX=url, RIDETHROUGH_ENDPOINT=daemon.endpoint, NOTIFY_SOCKET=f"@{address}"),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
        runner = Runner(process, notes)
        started.append((runner, notes))
        if ready:
            runner.wait_said("READY=1")
        return runner

    yield start
    for runner, notes in started:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.process.communicate()
        notes.close()


def _environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RIDETHROUGH_")}
    kept.pop("JOURNAL_STREAM", None)
    return {**kept, **variables}


def _texts(daemon: FakeSignalDaemon) -> list[str]:
    return [arrival.text for arrival in daemon.sends]


# Putting and sending


def test_one_host_puts_and_another_sends(call: Call, run: Run, daemon: FakeSignalDaemon, url: str) -> None:
    assert call("send", "--to", ANNA, "to-be-sent") == (0, "1\n", f"{url} is a new outbox\n")
    assert call("send", "--to", ANNA, "--to", BERT, "--json", "to-both") == (0, '{"ids": [2, 3]}\n', "")
    runner = run()
    assert call("send", "--to", ANNA, "--wait", "at-once") == (0, "4 sent\n", "")
    runner.stop()
    status, out, err = runner.wait()
    assert (status, out) == (0, "")
    assert f"INFO {url} is open: 3 messages wait\n" in err
    assert err.endswith("INFO stopped; nothing waits\n")
    assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
        (ANNA, "to-be-sent"), (ANNA, "to-both"), (BERT, "to-both"), (ANNA, "at-once"),
    ]  # fmt: skip
    assert not any(secret in err for secret in ("to-be-sent", "to-both", "at-once", ANNA, BERT))


def test_lines_are_messages(call: Call, run: Run, daemon: FakeSignalDaemon) -> None:
    reading, writing = os.pipe()
    runner = run("--to", ANNA, "--to", BERT, stdin=reading)
    os.close(reading)
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    while len(daemon.sends) < 4:
        assert call("status").status == 0
    runner.stop()
    assert runner.wait().status == 0
    assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [
        (person, text) for text in ("one", "two") for person in (ANNA, BERT)
    ]


def test_another_host_goes_on_when_one_is_killed(call: Call, run: Run, daemon: FakeSignalDaemon) -> None:
    first = run()
    assert call("send", "--to", ANNA, "--wait", "one").status == 0
    run()
    first.stop(signal.SIGKILL)
    assert first.wait().status == -9
    assert call("send", "--to", ANNA, "--wait", "two").status == 0
    assert _texts(daemon) == ["one", "two"]


def test_what_waits_when_it_is_stopped(
    call: Call, run: Run, daemon: FakeSignalDaemon, portal: BlockingPortal, url: str
) -> None:
    with away(portal, daemon):
        runner = run("--close-timeout", "0.2")
        assert call("send", "--to", ANNA, "hello").status == 0
        runner.stop()
        status, _, err = runner.wait()
        assert status == 3
        assert err.endswith(f"WARNING stopped; 1 message waits in {url}, to be sent by the next run\n")
    run()
    assert call("send", "--to", ANNA, "--wait", "after").status == 0
    assert _texts(daemon) == ["hello", "after"]


def test_waits_no_longer_than_it_is_told_to(call: Call) -> None:
    assert call("send", "--to", ANNA, "--wait", "--timeout", "0.2", "x")[:2] == (3, "1 waiting\n")
    assert call("send", "--to", ANNA, "--wait", "--ttl", "0.2", "y") == (
        1,
        "2 expired: it was older than its ttl\n",
        "",
    )


def test_full(call: Call) -> None:
    assert call("send", "--max-size", "2", "--to", ANNA, "one").status == 0
    status, out, err = call("send", "--max-size", "2", "--to", ANNA, "--to", BERT, "two")
    assert (status, out) == (1, "")
    assert err.startswith("ridethrough send: the buffer is full")
    assert err.endswith("; the first 1 of 2 are put, as 2\n")
    assert call("send", "--max-size", "2", "--to", ANNA, "x").err.startswith("ridethrough send: the buffer is full")
    newest = call("send", "--max-size", "2", "--overflow", "drop_newest", "--to", ANNA, "--wait", "x")
    assert newest.out.startswith("-1 dropped: ")
    assert call("forget", "-1") == (0, "1 dead letter forgotten\n", "")
    assert call("send", "--max-size", "2", "--overflow", "drop_oldest", "--to", ANNA, "x").status == 0
    other = call("send", "--max-size", "3", "--to", ANNA, "x")
    assert other.status == 1 and "max_msgs is 2 and must be 3" in other.err


def test_streams_are_taken_as_they_are(
    call: Call, run: Run, daemon: FakeSignalDaemon, portal: BlockingPortal, outbox: Outbox
) -> None:
    with portal.wrap_async_context_manager(outbox.host(max_size=5, partitions=2, lease_time=3.0)):
        pass
    people = [f"+1555010030{digit}" for digit in range(6)]
    for person in people[:5]:
        assert call("send", "--to", person, "x").status == 0
    assert call("send", "--to", people[5], "x").err.startswith("ridethrough send: the buffer is full")
    assert "waiting       5 of 5\n" in call("status").out
    assert call("cancel", "2") == (0, "2 is cancelled\n", "")
    run(), run()
    assert call("send", "--to", people[5], "--wait", "x").status == 0
    while "waiting       0 of 5\n" not in call("status").out:
        pass
    assert sorted(arrival.target for arrival in daemon.sends) == [people[0], *people[2:]]


# Looking


def test_status(call: Call, run: Run, url: str) -> None:
    call("send", "--to", ANNA, "one")
    call("send", "--to", ANNA, "--ttl", "0.1", "--wait", "two")
    assert call("status") == (0, f"outbox        {url}\nwaiting       1 of 10000\ndead letters  1\n", "")
    answer = json.loads(call("status", "--json").out)
    assert (answer["outbox"], answer["statistics"]["queued"], answer["dead_letters"]) == (url, 1, 1)
    run().wait_said("STATUS=connected; nothing waits")
    assert "waiting       0 of" in call("status").out


def test_dead_letters(call: Call, run: Run, daemon: FakeSignalDaemon) -> None:
    run()
    assert call("list", "--dead") == (0, "there are no dead letters\n", "")
    daemon.per_recipient[ANNA] = Failure("UNREGISTERED_FAILURE")
    status, out, _ = call("send", "--to", ANNA, "--wait", "\x1b[2Jhello")
    assert status == 1 and out.startswith("1 rejected: ")
    status, out, _ = call("list", "--dead")
    assert status == 0 and ANNA in out and "\x1b" not in out and "hello" in out
    (letter,) = json.loads(call("list", "--dead", "--json").out)
    assert (letter["id"], letter["outcome"], letter["summary"]["to"]) == (1, "rejected", ANNA)


def test_list_and_take_back(call: Call) -> None:
    call("send", "--max-size", "7", "--to", ANNA, "--to", BERT, "hello")
    call("send", "--to", BERT, "later")
    rows = [(1, ANNA, "hello"), (2, BERT, "hello"), (3, BERT, "later")]
    assert call("list").out.splitlines()[1:] == [f" {n}  waiting      0  {to}  {text}" for n, to, text in rows]
    too_late = "ridethrough cancel: too late, or no such message: 9\n"
    assert call("cancel", "2", "9") == (1, "2 is cancelled\n", too_late)
    assert [each["id"] for each in json.loads(call("list", "--json").out)] == [1, 3]
    assert call("cancel", "--all") == (0, "1 is cancelled\n3 is cancelled\n", "")
    assert call("list") == (0, "nothing waits\n", "")
    assert call("list", "--dead").out == "there are no dead letters\n"


def test_sender_learns_that_somebody_has_taken_its_message_back(call: Call, url: str) -> None:
    command = [*COMMAND, "send", "--outbox", url, "--to", ANNA, "--wait", "hello"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while call("cancel", "1").status:
            pass
        assert process.communicate(timeout=PATIENCE)[0] == b"1 cancelled: its sender took it back\n"
    assert process.returncode == 1


def test_dead_letters_are_put_again_and_forgotten(call: Call, run: Run, daemon: FakeSignalDaemon) -> None:
    for text in ("one", "two", "three"):
        call("send", "--to", ANNA, "--ttl", "0.1", "--wait", text)
    assert call("retry", "3", "4") == (1, "", "ridethrough retry: there is no dead letter 4\n")
    assert call("retry", "3", "1") == (0, "3 waits again, as 4\n1 waits again, as 5\n", "")
    assert call("forget", "1", "2") == (
        1,
        "1 dead letter forgotten\n",
        "ridethrough forget: 1 of these 2 were no dead letters\n",
    )
    assert call("retry", "--all").out == "there are no dead letters\n"
    run().wait_said("STATUS=connected; nothing waits")
    assert _texts(daemon) == ["three", "one"]


def test_result_reaches_who_waits_for_it(call: Call, run: Run, daemon: FakeSignalDaemon) -> None:
    run()
    (outcome,) = json.loads(call("send", "--to", ANNA, "--wait", "--json", "x").out)["outcomes"]
    assert outcome["result"]["timestamp"] == daemon.sends[-1].timestamp
    assert [each["number"] for each in outcome["result"]["results"]] == [ANNA]


@pytest.mark.parametrize("arguments", [["status"], ["list"], ["cancel", "1"], ["retry", "--all"], ["forget", "1"]])
def test_wrong_name_makes_no_outbox(arguments: list[str], call: Call, url: str) -> None:
    status, out, err = call(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"ridethrough {arguments[0]}: there is no outbox {url}: stream ")
    assert call("send", "--to", ANNA, "x") == (0, "1\n", f"{url} is a new outbox\n")
    assert call("send", "--to", ANNA, "x") == (0, "2\n", "")


# The servers


def test_login(call: Call, run: Run, tmp_path: Path) -> None:
    with one_server(extra='authorization { user: anna, password: "se/cret" }') as server:
        host = server.url.removeprefix("nats://")
        address = f"nats://anna:se%2Fcret@{host}"
        runner = run("--outbox", address)
        assert call("send", "--outbox", address, "--to", ANNA, "--wait", "x") == (0, "1 sent\n", "")
        assert call("status", "--outbox", address).out.startswith(f"outbox        nats://{host}/outbox\n")
        config = tmp_path / "ridethrough.toml"
        config.write_text(f'outbox = "{address}"')
        in_file = call("status", command=["env", "-u", "RIDETHROUGH_OUTBOX", f"RIDETHROUGH_CONFIG={config}", *COMMAND])
        assert in_file.status == 0
        for command in (["send", "--to", ANNA, "x"], ["run", "--endpoint", "tcp://127.0.0.1:1"]):
            refused = call(*command, "--outbox", f"nats://anna:wrong@{host}")
            assert refused.status == 1 and refused.err.endswith("the NATS server refuses the credentials\n")
            assert "wrong" not in refused.err
        runner.stop()
        status, _, err = runner.wait()
        assert status == 0 and "se%2Fcret" not in err and "se/cret" not in err


def test_run_waits_for_the_servers(call: Call, run: Run, own_server: Server) -> None:
    own_server.kill()
    runner = run("--outbox", own_server.url, ready=False)
    own_server.start()
    runner.wait_said("READY=1")
    assert call("send", "--outbox", own_server.url, "--to", ANNA, "--wait", "x").status == 0


def test_run_is_stopped_while_it_waits_for_the_servers(run: Run) -> None:
    runner = run("--outbox", "nats://127.0.0.1:1", ready=False)
    assert runner.process.stderr is not None
    assert runner.process.stderr.readline().endswith(b" INFO reaching nats://127.0.0.1:1/outbox\n")
    runner.stop()
    assert runner.wait() == (0, "", "")


def test_servers_go_away_and_come_back(call: Call, run: Run, daemon: FakeSignalDaemon, own_server: Server) -> None:
    address = own_server.url
    runner = run("--outbox", address)
    call("send", "--outbox", address, "--to", ANNA, "--wait", "one")
    own_server.kill()
    runner.wait_said("STATUS=connected; the servers are away: ")
    own_server.start()
    assert call("send", "--outbox", address, "--to", ANNA, "--wait", "two").status == 0
    runner.stop()
    assert runner.wait().status == 0
    assert _texts(daemon) == ["one", "two"]


# What the page shows


def test_commands_of_the_page(call: Call, run: Run, daemon: FakeSignalDaemon, url: str) -> None:
    page = Path(__file__, "../../../docs/shell.md").resolve().read_text()
    first, second = re.findall(r"^\$ ridethrough (.* nats://.*)$", page, re.MULTILINE)
    for text in (first, second):
        assert "nats://one,two,three/alerts" in text
    words = shlex.split(
        first.replace("nats://one,two,three/alerts", url).replace("tcp://127.0.0.1:7583", daemon.endpoint)
    )
    assert words[0] == "run"
    run(*words[1:])
    assert call(*shlex.split(second.replace("nats://one,two,three/alerts", url)), "--wait").status == 0
    assert _texts(daemon) == ["The disk of db1 is full."]


# What has to be installed


def test_extra_is_missing(call: Call) -> None:
    without = [sys.executable, "-c", WITHOUT, "nats"]
    for command in (["send", "--to", ANNA, "x"], ["status"], ["run", "--endpoint", "tcp://127.0.0.1:1"]):
        ended = call(*command, command=without)
        text = "the shared buffer needs nats-py: pip install 'ridethrough[nats]'"
        assert ended == (2, "", f"ridethrough {command[0]}: {text}\n")


def test_credentials_need_more(call: Call) -> None:
    ended = call("status", "--nats-creds", "a.creds", command=[sys.executable, "-c", WITHOUT, "nkeys"])
    assert ended == (2, "", "ridethrough status: nats-creds needs nkeys: pip install 'nats-py[nkeys]'\n")


def test_what_are_no_credentials(call: Call, tmp_path: Path) -> None:
    (tmp_path / "nkeys.py").touch()  # which the command finds, as it is installed
    file = tmp_path / "x.creds"
    assert call("status", "--nats-creds", str(file)) == (
        2, "", f"ridethrough status: {file} cannot be read: No such file or directory\n",
    )  # fmt: skip
    file.write_text("secret")
    assert call("status", "--nats-creds", str(file)) == (
        2, "", f"ridethrough status: {file} holds no credentials of a user of NATS\n",
    )  # fmt: skip
