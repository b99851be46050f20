"""What takes the daemon its time: everything here begins at once, and each test waits for its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest

from tests.answers import error, outcome
from tests.talk import request, send

from .rig import SignalRig, recipient
from .service import Delay, Hang

PATIENCE = 60
ANNA, BERT = recipient(1), recipient(2)

Heard = list[tuple[float, bytes]]
"""What came when: seconds after the beginning."""


@pytest.fixture(scope="module")
def begun(shared_rig: SignalRig) -> Iterator[dict[str, Future[Heard]]]:
    """The futures of what is heard, by name."""
    rig = shared_rig
    rig.reset()
    rig.service.modes |= {ANNA: Hang(), BERT: Delay(8)}  # and the rig is left alone until all have ended
    rig.service.statuses["/v1/devices"] = Hang()
    with ExitStack() as stack:

        def begin(address: Any, question: bytes, answers: int) -> Future[Heard]:
            connection = stack.enter_context(
                socket.create_connection(address) if isinstance(address, tuple) else _unix(address)
            )
            connection.settimeout(PATIENCE)
            return pool.submit(_listen, connection, question, answers)

        host, port = rig.http.removeprefix("http://").split(":")
        pool = stack.enter_context(ThreadPoolExecutor(4))
        http = (host, int(port))
        yield {
            "no answer": begin(str(rig.socket_file), _line(send("hello", ANNA)), 1),
            "late answer": begin(str(rig.socket_file), _line(send("hello", BERT)), 1),
            "devices": begin(str(rig.socket_file), _line(request("listDevices")), 1),
            "events": begin(http, b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n", 2),
        }
    rig.reset()


def _unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _listen(connection: socket.socket, question: bytes, answers: int) -> Heard:
    began = monotonic()
    connection.sendall(question)
    heard: Heard = []
    while len(heard) < answers:
        piece = connection.recv(65536)
        heard.append((monotonic() - began, piece))
    return heard


def test_late_answer_comes_on_the_same_connection(begun: dict[str, Future[Heard]]) -> None:
    ((seconds, line),) = begun["late answer"].result(PATIENCE)
    assert 8 <= seconds < 12
    assert json.loads(line)["result"]["results"] == [outcome(BERT)]


def test_daemon_gives_up_asking_for_devices_after_10_seconds(begun: dict[str, Future[Heard]]) -> None:
    ((seconds, line),) = begun["devices"].result(PATIENCE)
    assert 9 < seconds < 14
    why = "java.util.concurrent.TimeoutException: The source did not signal an event for 10 seconds"
    answer = error(-3, f"Failed to get linked devices: {why} and has been terminated.")
    assert json.loads(line) == answer


def test_header_of_the_events_comes_after_15_seconds_and_keepalives_every_15(begun: dict[str, Future[Heard]]) -> None:
    (first, header), (second, keepalive) = begun["events"].result(PATIENCE)
    assert 14 < first < 18
    assert header.startswith(b"HTTP/1.1 200 ")
    assert 14 < second - first < 18
    assert b":\n" in keepalive


def test_daemon_gives_up_after_40_seconds_and_two_tries(begun: dict[str, Future[Heard]], shared_rig: SignalRig) -> None:
    ((seconds, line),) = begun["no answer"].result(PATIENCE)
    assert 38 < seconds < 45
    answer = json.loads(line)["error"]
    assert answer["data"]["response"]["results"] == [outcome(ANNA, "NETWORK_FAILURE")]
    tries = [each.timestamp for each in shared_rig.service.sends if each.recipient == ANNA]
    assert tries == [answer["data"]["response"]["timestamp"]] * 2
