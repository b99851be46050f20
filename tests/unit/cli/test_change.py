"""``ridethrough retry``, ``cancel`` and ``forget``."""

from __future__ import annotations

import json

import pytest
from anyio.from_thread import BlockingPortal

from ridethrough.testing import Failure, FakeSignalDaemon
from tests.unit.cli.commands import ANNA, BERT, Call, Running, away


@pytest.fixture
def dead(call: Call) -> None:
    """Two dead letters, 1 and 2, in an outbox that nobody runs."""
    call("send", "--to", ANNA, "--to", BERT, "--ttl", "0.000001", "x")
    assert len(json.loads(call("list", "--dead", "--json").out)) == 2


@pytest.mark.parametrize("command", ["retry", "cancel", "forget"])
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "which ones? give their numbers, as list shows them, or --all"),
        (["--all", "1"], "which ones? give their numbers, as list shows them, or --all"),
        (["one"], "ID must be a number, as list shows it"),
        (["0x1"], "ID must be a number, as list shows it"),
        (["9" * 30], "ID must be a number, as list shows it"),
    ],
)
def test_wrong_usage(command: str, arguments: list[str], problem: str, call: Call) -> None:
    assert call(command, *arguments) == (2, "", f"ridethrough {command}: {problem}\n")


@pytest.mark.usefixtures("dead")
def test_retry(call: Call) -> None:
    assert call("retry", "2", "1", "2") == (0, "2 waits again, as 3\n1 waits again, as 4\n", "")
    assert [each["summary"]["to"] for each in json.loads(call("list", "--json").out)] == [BERT, ANNA]
    assert call("retry", "--all") == (0, "there are no dead letters\n", "")


@pytest.mark.usefixtures("dead")
def test_retry_of_what_is_no_dead_letter_changes_nothing(call: Call) -> None:
    assert call("retry", "1", "9") == (1, "", "ridethrough retry: there is no dead letter 9\n")
    assert call("retry", "--all", "--json") == (0, '{"ids": [3, 4]}\n', "")


def test_retry_once_somebody_is_back(call: Call, daemon: FakeSignalDaemon, running: Running) -> None:
    daemon.per_recipient[ANNA] = Failure("UNREGISTERED_FAILURE")
    running()
    assert call("send", "--to", ANNA, "--wait", "hello").status == 1
    daemon.per_recipient.clear()
    assert call("retry", "1").out == "1 waits again, as 2\n"
    assert call("send", "--to", ANNA, "--wait", "after").status == 0
    assert [arrival.text for arrival in daemon.sends] == ["hello", "after"]


def test_cancel(call: Call) -> None:
    call("send", "--to", ANNA, "--to", BERT, "x")
    assert call("cancel", "2", "9") == (1, "2 is cancelled\n", "ridethrough cancel: too late, or no such message: 9\n")
    assert call("cancel", "--all", "--json") == (0, '{"cancelled": [1]}\n', "")
    assert call("cancel", "--all") == (0, "nothing waits\n", "")


def test_cancel_what_somebody_runs(
    call: Call, daemon: FakeSignalDaemon, running: Running, portal: BlockingPortal
) -> None:
    with away(portal, daemon):
        running()
        call("send", "--to", ANNA, "taken back")
        assert call("cancel", "1") == (0, "1 is cancelled\n", "")
        call("send", "--to", ANNA, "not taken back")
    assert call("send", "--to", ANNA, "--wait", "after").status == 0
    assert [arrival.text for arrival in daemon.sends] == ["not taken back", "after"]


@pytest.mark.usefixtures("dead")
def test_forget(call: Call) -> None:
    status, out, err = call("forget", "2", "9")
    assert (status, out) == (1, "1 dead letter forgotten\n")
    assert err == "ridethrough forget: 1 of these 2 were no dead letters\n"
    assert call("forget", "--all", "--json") == (0, '{"forgotten": 1}\n', "")
    assert call("forget", "--all") == (0, "0 dead letters forgotten\n", "")
