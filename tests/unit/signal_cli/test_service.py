"""service.py: whether the daemon reaches Signal, as it changes, and in the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from anyio import fail_after, sleep

from ridethrough.signal_cli.service import ServiceChange, ServiceState, ServiceStatus
from tests.clocks import jumping_backends
from tests.links import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


AWAY, REFUSED = "the daemon cannot reach Signal", "Signal refuses the account"
UNKNOWN, REACHABLE, UNREACHABLE = ServiceState.UNKNOWN, ServiceState.REACHABLE, ServiceState.UNREACHABLE


async def seen(changes: Any) -> list[ServiceChange]:
    with fail_after(PATIENCE):
        return [change async for change in changes]
    raise AssertionError


def now(service: ServiceStatus) -> tuple[ServiceState, str, int, float | None]:
    return service.state, service.reason, service.attempt, service.next_try


async def test_nothing_is_known_at_first() -> None:
    service = ServiceStatus()
    assert now(service) == (UNKNOWN, "", 0, None)
    assert repr(service) == "<ServiceStatus unknown, attempt 0>"


async def test_failure_tells_why_and_when_it_is_tried_again() -> None:
    service = ServiceStatus()
    service.failed(AWAY, 8)
    assert now(service) == (UNREACHABLE, AWAY, 1, 8)
    await sleep(5)
    assert now(service) == (UNREACHABLE, AWAY, 1, 3)
    await sleep(5)
    assert service.next_try == 0, "it is due, and not in the past"
    service.failed(REFUSED, 16)
    assert now(service) == (UNREACHABLE, REFUSED, 2, 16)


async def test_attempts_count_until_a_message_was_sent_and_not_only_until_signal_was_reached() -> None:
    service = ServiceStatus()
    service.failed(AWAY, 8)
    service.reached()
    assert now(service) == (REACHABLE, "", 1, None)
    service.failed(AWAY, 8)
    assert service.attempt == 2
    service.worked()
    assert now(service) == (REACHABLE, "", 0, None)


async def test_each_failure_and_each_change_of_state_is_observed() -> None:
    service = ServiceStatus()
    changes = service.changes()
    service.failed(AWAY, 1)
    service.failed(AWAY, 2)
    late = service.changes()
    service.reached()
    service.reached()
    service.worked()
    service.failed(REFUSED, 0.5)
    service.worked()
    service.end()
    service.end()
    told = await seen(changes)
    assert told == [
        (UNKNOWN, UNREACHABLE, AWAY, 1, 1),
        (UNREACHABLE, UNREACHABLE, AWAY, 2, 2),
        (UNREACHABLE, REACHABLE, "", 2, None),
        (REACHABLE, UNREACHABLE, REFUSED, 1, 0.5),
        (UNREACHABLE, REACHABLE, "", 0, None),
    ]
    assert await seen(late) == told[2:]
    assert await seen(service.changes()) == [], "there will be no more"


async def test_log_warns_of_each_reason_once_until_a_message_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ridethrough")
    service = ServiceStatus()
    service.worked()
    service.failed(AWAY, 0.25)
    await sleep(2)
    service.failed(AWAY, 1)
    await sleep(3)
    service.failed(REFUSED, 2)
    service.reached()
    await sleep(1)
    service.failed(AWAY, 4)
    await sleep(4)
    service.worked()
    service.failed(AWAY, 0.5)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the daemon cannot reach Signal; next try in 0.2 s"),
        ("DEBUG", "the daemon cannot reach Signal; next try in 1.0 s"),
        ("WARNING", "Signal refuses the account; next try in 2.0 s"),
        ("INFO", "Signal is reached again after 5.0 s"),
        ("DEBUG", "the daemon cannot reach Signal; next try in 4.0 s"),
        ("INFO", "Signal is reached again after 4.0 s"),
        ("WARNING", "the daemon cannot reach Signal; next try in 0.5 s"),
    ]
    assert {record.name for record in caplog.records} == {"ridethrough.signal_cli"}
