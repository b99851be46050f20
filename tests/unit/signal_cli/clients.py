"""A client with a link to a fake daemon, as the tests of SignalClient need it again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import fail_after
from anyio.lowlevel import checkpoint

from ridethrough import Backoff
from ridethrough.signal_cli import SignalClient
from ridethrough.testing import FakeSignalDaemon, Fault
from tests.unit.signal_cli.scripted import PATIENCE

HOME, AWAY = "+491701234567", "+491707654321"
ANNA, BERT = "11111111-1111-4111-8111-000000000001", "11111111-1111-4111-8111-000000000002"
GROUP = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
NOWHERE = "unix:/nowhere/socket"
QUICK: dict[str, Any] = {"backoff": Backoff(0.001, 0.01)}


@asynccontextmanager
async def at_work(
    *faults: Fault, endpoint: str = "tcp://127.0.0.1:0", receive_mode: str = "on-start", **options: Any
) -> AsyncIterator[tuple[FakeSignalDaemon, SignalClient]]:
    """A daemon whose next sends meet these faults, and a client that has a link to it."""
    async with FakeSignalDaemon(endpoint, accounts=[HOME], receive_mode=receive_mode) as daemon:
        daemon.fail_next(*faults)
        with fail_after(PATIENCE):
            async with SignalClient(daemon.endpoint, **QUICK | options) as client:
                await client.supervisor.wait_connected()
                yield daemon, client


async def until(condition: Callable[[], object]) -> None:
    """Return once that is true."""
    with fail_after(PATIENCE):
        while not condition():
            await checkpoint()


def texts(daemon: FakeSignalDaemon) -> list[str]:
    """What has reached Signal."""
    return [each.text for each in daemon.sends]
