"""No body and no full telephone number in anything that is shown, whatever goes wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from anyio import fail_after
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, Backoff, Delivery, RidethroughError
from ridethrough.signal_cli import SignalClient, SignalMessage, TextMessage, make_target, target_of
from ridethrough.testing import (
    CutAfter,
    CutBefore,
    CutInAnswer,
    Failure,
    FakeSignalDaemon,
    Fault,
    Garbage,
    Refuse,
    Stall,
    WrongId,
)
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio

HOME, AWAY, ANNA = "+491701234567", "+491707654321", "+493012345678"
SECRET = "meet me at noon"
QUOTE = f"{SECRET} {HOME} {ANNA}"
SECRETS = [SECRET, HOME, AWAY, ANNA, *(number.removeprefix("+") for number in (HOME, AWAY, ANNA))]

RESULT = {"recipientAddress": {"uuid": None, "number": ANNA}, "type": "IDENTITY_FAILURE", "token": QUOTE}

FAULTS: list[Fault] = [
    CutBefore(),
    CutAfter(),
    CutInAnswer(),
    Stall(),
    WrongId(),
    Garbage(QUOTE.encode()),
    Garbage(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"%s"}}' % QUOTE.encode()),
    Garbage(b'{"jsonrpc":"2.0","id":"%s","result":"%s"}' % (QUOTE.encode(), QUOTE.encode())),
    Failure("NETWORK_FAILURE"),
    Failure("RATE_LIMIT_FAILURE", token=QUOTE),
    Failure("IDENTITY_FAILURE"),
    Failure("UNREGISTERED_FAILURE"),
    Refuse(-1, QUOTE),
    Refuse(-1, QUOTE, QUOTE),
    Refuse(-3, QUOTE),
    Refuse(-4, QUOTE, {"response": {"timestamp": 1, "results": [RESULT]}}),
    Refuse(-32602, QUOTE),
    Refuse(-32603, f"{QUOTE} ({HOME.removeprefix('+')})"),
    Refuse(-32603, f"{QUOTE} ({SECRET}) (SocketException) (UnexpectedErrorException)"),
    Refuse(-32603, f"(SocketException) {QUOTE} (AttachmentInvalidException)"),
]


class Shown:
    """Everything that was shown."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self._parts: list[str] = []

    def add(self, *things: object) -> None:
        for thing in things:
            self._parts += [repr(thing), str(thing)]
            if isinstance(thing, BaseException):
                self._parts.append("".join(traceback.format_exception(thing)))

    def check(self) -> None:
        for record in self._caplog.records:
            self.add(record.args, record.exc_info, record.exc_text)
        shown = "\n".join([*self._parts, self._caplog.text])
        assert not [secret for secret in SECRETS if secret in shown]


async def until(condition: Callable[[], object]) -> None:
    with fail_after(PATIENCE):
        while not condition():
            await checkpoint()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault!r}"[:40])
async def test_fault_shows_nothing(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(caplog)
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(key=target_of, on_undelivered=shown.add)
    async with FakeSignalDaemon(accounts=[HOME]) as daemon:
        client = SignalClient(
            daemon.endpoint, account=HOME, buffer=buffer, backoff=Backoff(0.001, 0.01), response_timeout=0.1,
            close_timeout=0,
        )  # fmt: skip
        transitions = client.supervisor.states()
        with fail_after(PATIENCE):
            async with client:
                daemon.fail_next(fault)
                delivery = await client.send(SECRET, to=ANNA)
                await until(lambda: delivery.outcome or (delivery.attempts and not buffer.statistics().leased))
                shown.add(client, client.supervisor, buffer, buffer.statistics(), delivery, delivery.message)
                await client.aclose()
                await show_fate(shown, delivery)
        shown.add(*[transition async for transition in transitions])
    shown.check()


async def show_fate(shown: Shown, delivery: Delivery[Any]) -> None:
    try:
        shown.add(await delivery)
    except RidethroughError as error:
        shown.add(error, error.__cause__, error.__cause__ and error.__cause__.__cause__)


@pytest.mark.parametrize("accounts", [[AWAY], [AWAY, HOME]], ids=["another", "several"])
async def test_accounts_of_the_daemon_are_not_shown(accounts: list[str], caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(caplog)
    account = HOME if len(accounts) == 1 else None
    async with FakeSignalDaemon(accounts=accounts) as daemon:
        try:
            async with SignalClient(daemon.endpoint, account=account, backoff=Backoff(0.001, 0.01)) as client:
                await until(lambda: client.supervisor.attempt > 2)
                shown.add(client, client.supervisor)
        except ValueError as error:
            shown.add(error)
    shown.check()


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": SECRET, "to": ANNA + "x"},
        {"text": SECRET, "to": SECRET},
        {"text": SECRET, "to": ANNA, "username": HOME},
        {"text": SECRET, "username": ANNA},
        {"text": SECRET, "group": ANNA},
        {"text": SECRET + "\ud83d", "to": ANNA},
        {"text": SECRET + "x" * 20_000_000, "to": ANNA},
        {"text": SECRET.encode(), "to": ANNA},
        {"text": SECRET, "to": ANNA, "ttl": -1},
        {"text": SECRET, "to": ANNA, "overflow": "spill"},
    ],
    ids="-".join,
)
async def test_bad_argument_is_not_repeated(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(caplog)
    client = SignalClient("unix:/nowhere/socket", account=HOME)
    with pytest.raises((TypeError, ValueError)) as caught:
        await client.send(**arguments)
    shown.add(caught.value, caught.value.__context__, client)
    shown.check()


def test_account_that_is_none_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(caplog)
    with suppress(ValueError):
        SignalClient("unix:/nowhere/socket", account=f"{HOME}x")
    for endpoint in (f"tcp://{HOME}:secret@localhost:7583", f"http://localhost/{HOME}", HOME):
        with pytest.raises(ValueError) as caught:
            SignalClient(endpoint)
        shown.add(caught.value)
    shown.check()


def test_targets_and_messages_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    shown = Shown(caplog)
    target = make_target(to=ANNA)
    shown.add(target, TextMessage(target, SECRET), [target], {target: 1})
    shown.check()
