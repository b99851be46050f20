"""No body and no whole number in what a program with a client, or the command, shows of them."""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import asdict
from typing import Any

import pytest
from anyio import create_task_group, fail_after, run_process

from ridethrough import AsyncMessageBuffer, BufferFull
from ridethrough.cli import main
from ridethrough.demo import DemoFailed, run_demo
from ridethrough.signal_cli import (
    DaemonError,
    RecipientResult,
    ResultType,
    SendResult,
    SignalClient,
    SignalMessage,
    TextMessage,
    make_target,
    target_of,
)
from ridethrough.testing import FakeSignalDaemon, Relay, Stall
from ridethrough.views import LineView, LiveView
from tests.security.canary import NUMBER, OTHER, SECRET, Canary, make_talkative

pytestmark = pytest.mark.anyio

PATIENCE = 30


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


async def test_client_that_closes_with_messages_left(canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
    make_talkative()
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(2, key=target_of, overflow="reject")
    async with FakeSignalDaemon(accounts=[NUMBER]) as daemon, Relay(daemon.endpoint) as relay:
        daemon.fail_next(Stall())
        with fail_after(PATIENCE):
            async with SignalClient(relay.endpoint, buffer=buffer, close_timeout=0) as client:
                deliveries = [await client.send(SECRET, to=NUMBER) for _ in range(2)]
                assert type(await canary.show_error_of(client.send(SECRET, to=NUMBER))) is BufferFull
                await client.supervisor.wait_connected()
                await relay.cut()
                canary.show(client, relay, daemon, *daemon.sends)
        for delivery in deliveries:
            await canary.show_error_of(delivery)
    assert "closed with 2 messages" in caplog.text
    canary.check()


async def test_body_that_raises_takes_nothing_along(canary: Canary) -> None:
    async def use() -> None:
        async with SignalClient("unix:/nowhere", account=NUMBER) as client, create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lose, await client.send(SECRET, to=NUMBER))
            raise LookupError

    async def lose(delivery: Any) -> None:
        await delivery

    with fail_after(PATIENCE):
        await canary.show_error_of(use())
    canary.check()


def test_values_and_their_copies(canary: Canary) -> None:
    target = make_target(to=NUMBER)
    sent = SendResult(1, (RecipientResult(ResultType.IDENTITY_FAILURE, None, NUMBER),))
    for value in (target, TextMessage(target, SECRET), sent):
        canary.show(value, pickle.loads(pickle.dumps(value)), {"value": value})
    assert SECRET in str(asdict(TextMessage(target, SECRET))), "what is asked for is there"
    canary.show(DaemonError(-1, f"{SECRET} {NUMBER}", {"recipient": NUMBER}))
    canary.check()


# The command


@pytest.mark.parametrize("view", [LineView, LiveView])
async def test_demo_that_fails(view: type[LineView | LiveView], canary: Canary) -> None:
    """The daemon is there, and the account is not."""
    output = io.StringIO()
    async with FakeSignalDaemon(accounts=[OTHER]) as daemon:
        with view(output) as shown:
            demo = run_demo(daemon.endpoint, NUMBER, make_target(to=NUMBER), shown, patience=0.3)
            assert type(await canary.show_error_of(demo)) is DemoFailed
    assert "the account is not there" in output.getvalue()
    canary.show(output.getvalue())
    canary.check()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_demo_that_is_carried_out(canary: Canary) -> None:
    """With the log at DEBUG, in Python's development mode."""
    program = "import logging, sys, ridethrough.cli; logging.basicConfig(level=0); sys.exit(ridethrough.cli.main())"
    async with FakeSignalDaemon(accounts=[NUMBER, OTHER]) as daemon:
        command = [sys.executable, "-X", "dev", "-c", program, "demo", "--account", NUMBER, "--to", OTHER]
        with fail_after(PATIENCE):
            done = await run_process([*command, "--endpoint", daemon.endpoint], check=False)
        assert done.returncode == 0, done.stderr
        assert {arrival.target for arrival in daemon.sends} == {OTHER}
    assert b"DEBUG:ridethrough" in done.stderr
    shown = done.stdout.decode() + done.stderr.decode()
    assert OTHER.removeprefix("+") not in shown
    canary.show(shown)
    canary.check()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", NUMBER],
        ["--account", NUMBER],
        ["--endpoint", f"tcp://{NUMBER}:secret@localhost:1"],
        ["--endpoint", "tcp://localhost:1", "--to", f"{NUMBER}x"],
        ["--endpoint", "tcp://localhost:1", "--account", f"{NUMBER} "],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], canary: Canary, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", *arguments])
    canary.show(caught.value, *capsys.readouterr())
    canary.check()
