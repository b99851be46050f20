"""No body, no attachment, no name and no number in what a client shows, whatever the daemon answers or does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ridethrough import Backoff, RidethroughError
from ridethrough.signal_cli import (
    Attachment,
    LinkPreview,
    Mention,
    MessageId,
    Quote,
    SignalClient,
    Style,
    StyleKind,
    make_target,
)
from ridethrough.testing import (
    CutAfter,
    CutBefore,
    CutInAnswer,
    Failure,
    FakeSignalDaemon,
    Fault,
    Flood,
    Garbage,
    Late,
    Refuse,
    Stall,
    WrongId,
)
from tests.security.canary import (
    CONTACT,
    FILE,
    FILE_NAME,
    HOME,
    KINDS,
    NUMBER,
    OTHER,
    QUOTE,
    SECRET,
    UNKNOWN,
    Canary,
    endpoint_of,
    make_talkative,
    running,
)

pytestmark = pytest.mark.anyio

PATIENCE = 30
GROUP = "b3VyIHRlc3QgZnJpZW5kcw=="
THEN = 1_700_000_000_000
_UNEXPECTED = "(UnexpectedErrorException)"
_PUSH = "org.whispersystems.signalservice.api.push.exceptions"


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong.

    Attributes:
        faults: what happens to the first sends.
        begin: makes the daemon one that fails.
        end: makes it one that works, once it was tried in vain; None: it need not be made to.
        options: of the client.
    """

    faults: tuple[Fault, ...] = ()
    begin: Callable[[FakeSignalDaemon], object] = lambda _: None
    end: Callable[[FakeSignalDaemon], object] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def failing(failure: Failure, *people: str, **options: Any) -> Trouble:
    """These people do not get anything; NUMBER if none is named."""

    def begin(daemon: FakeSignalDaemon) -> None:
        daemon.per_recipient = dict.fromkeys(people or (NUMBER,), failure)

    return Trouble(begin=begin, options=options)


def having(name: str, value: Any, good: Any) -> Trouble:
    """An attribute of the daemon has that value, and, after a while, a good one."""
    return Trouble(begin=lambda daemon: setattr(daemon, name, value), end=lambda daemon: setattr(daemon, name, good))


def results(*types: str) -> dict[str, Any]:
    """The data of an error in answer to a message."""
    address = {"uuid": None, "number": NUMBER, "username": QUOTE}
    return {"response": {"timestamp": 1, "results": [{"type": each, "recipientAddress": address} for each in types]}}


REFUSALS: dict[str, tuple[int, str, Any]] = {
    "-1": (-1, QUOTE, None),
    "-1 with data": (-1, QUOTE, {QUOTE: [QUOTE]}),
    "-1 that is a text": (-1, QUOTE, QUOTE),
    "-1, network": (-1, QUOTE, results("NETWORK_FAILURE")),
    "-1, of all sorts": (-1, QUOTE, results("NETWORK_FAILURE", "RATE_LIMIT_FAILURE", QUOTE)),
    "-1, unregistered": (-1, QUOTE, results("UNREGISTERED_FAILURE")),
    "-1, not registered": (-1, f"The user {NUMBER} is not registered.", None),
    "-1, prekey": (-1, QUOTE, results("INVALID_PRE_KEY_FAILURE")),
    "-1, unknown type": (-1, QUOTE, results(QUOTE)),
    "-1, group that was left": (-1, f"User is not a member in group: {QUOTE} ({GROUP})", None),
    "-3": (-3, QUOTE, None),
    "-4": (-4, QUOTE, results("IDENTITY_FAILURE")),
    "-4 without results": (-4, QUOTE, None),
    "-5": (-5, QUOTE, results("RATE_LIMIT_FAILURE")),
    "-6": (-6, QUOTE, None),
    "-32601": (-32601, QUOTE, None),
    "-32602": (-32602, QUOTE, None),
    "-32603": (-32603, QUOTE, None),
    "-32603, class like a number": (-32603, f"{QUOTE} ({NUMBER.removeprefix('+')})", None),
    "-32603, class like a text": (-32603, f"({SECRET}Exception)", None),
    "-32603, network": (-32603, f"Failed to send message: {QUOTE} (SocketException) {_UNEXPECTED}", None),
    "-32603, file": (
        -32603,
        f"Failed to send message: /{FILE_NAME}: /{FILE_NAME} (No such file) (AttachmentInvalidException) {_UNEXPECTED}",
        None,
    ),
    "-32603, limit": (-32603, f"Failed to send message: [429] {QUOTE} (RateLimitException) {_UNEXPECTED}", None),
    "-32603, member": (
        -32603,
        f"Failed to send message: {_PUSH}.SomeException: [503] {QUOTE} (IOException) {_UNEXPECTED}",
        None,
    ),
}
LINES = [
    QUOTE,
    f'{{"jsonrpc":"2.0","id":null,"error":{{"code":-32700,"message":"{QUOTE}"}}}}',
    f'{{"jsonrpc":"2.0","id":"{QUOTE}","result":"{QUOTE}"}}',
    f'{{"jsonrpc":"2.0","id":2,"result":"{QUOTE}"}}',
    f'{{"jsonrpc":"2.0","id":2,"error":"{QUOTE}"}}',
    f'{{"jsonrpc":"{QUOTE}","id":2,"result":{{}}}}',
    f'{{"jsonrpc":"2.0","method":"{QUOTE}","params":["{QUOTE}"]}}',
    f'["{QUOTE}"]',
    f'"{QUOTE}',
]

TROUBLES: dict[str, Trouble] = {
    "none": Trouble(),
    "some of a group": failing(Failure("RATE_LIMIT_FAILURE"), OTHER),
    "network": Trouble((Failure("NETWORK_FAILURE"),)),
    "network, just after Signal was reached": Trouble((Failure("NETWORK_FAILURE"), Failure("NETWORK_FAILURE"))),
    "network, reported": Trouble((Failure("NETWORK_FAILURE"),), options={"on_doubt": "report"}),
    "rate limit": failing(Failure("RATE_LIMIT_FAILURE")),
    "rate limit with a time": failing(Failure("RATE_LIMIT_FAILURE", retry_after=3600)),
    "CAPTCHA": failing(Failure("RATE_LIMIT_FAILURE", token="a-token")),
    "CAPTCHA with words": failing(Failure("RATE_LIMIT_FAILURE", token=QUOTE)),
    "identity, parked": failing(Failure("IDENTITY_FAILURE")),
    "identity, rejected": failing(Failure("IDENTITY_FAILURE"), on_untrusted="reject"),
    "unregistered": failing(Failure("UNREGISTERED_FAILURE")),
    "prekey": failing(Failure("INVALID_PRE_KEY_FAILURE")),
    "all of a group": failing(Failure("NETWORK_FAILURE"), OTHER, UNKNOWN, backoff=Backoff(0.01, 0.5)),
    "service away": having("service_reachable", False, True),
    "service refuses": having("service_status", 403, None),
    "service is broken": having("service_status", 503, None),
    "account is missing": having("accounts", [OTHER], [HOME]),
    "cut before": Trouble((CutBefore(),)),
    "cut after": Trouble((CutAfter(),)),
    "cut after, reported": Trouble((CutAfter(),), options={"on_doubt": "report"}),
    "cut in the answer": Trouble((CutInAnswer(),)),
    "poison": Trouble((CutAfter(), CutInAnswer()), options={"poison_after": 2}),
    "no answer": Trouble((Stall(),), options={"response_timeout": 0.3}),
    "late": Trouble((Late(0.01),)),
    "flood": Trouble((Flood(),)),
    "wrong id": Trouble((WrongId(),)),
    **{f"line {line[:20]}": Trouble((Garbage(line.encode()),)) for line in LINES},
    **{name: Trouble((Refuse(*refusal),)) for name, refusal in REFUSALS.items()},
}


MET = [(name, kind) for name in TROUBLES for kind in KINDS if kind != "unix" or name.startswith(("none", "cut"))]
"""A socket in a file differs from TCP in how it begins and ends, and in nothing that is said over it."""


@pytest.mark.parametrize(("name", "kind"), MET)
async def test_trouble(name: str, kind: str, tmp_path: Path, canary: Canary) -> None:
    """All kinds of messages meet it. Some are left when the client is closed."""
    trouble = TROUBLES[name]
    make_talkative()
    deliveries: list[Any] = []
    async with FakeSignalDaemon(endpoint_of(kind, tmp_path), accounts=[HOME]) as daemon:
        daemon.groups[GROUP] = (OTHER, UNKNOWN)
        trouble.begin(daemon)
        daemon.fail_next(*trouble.faults)
        async with running(canary, daemon, **trouble.options) as (client, in_vain):
            deliveries += await put_all_kinds(client)
            canary.show(*deliveries)
            if trouble.end is not None:
                await in_vain.wait()
                canary.show(client, client.service, *deliveries)
                trouble.end(daemon)
            last = await client.send(SECRET, note_to_self=True)
            canary.show(await last)  # all others have had their turn
        canary.show(daemon, *daemon.sends)
    for delivery in deliveries:
        canary.show(delivery, delivery.message)
        try:
            canary.show(await delivery)
        except RidethroughError as error:
            canary.show(error)
    canary.check()


async def put_all_kinds(client: SignalClient) -> list[Any]:
    """A message of each kind, with a secret in each place."""
    theirs = MessageId(make_target(to=NUMBER), NUMBER, THEN)
    link = f"https://{FILE_NAME}/"
    file = Attachment(FILE.encode(), FILE_NAME)
    full = await client.send(
        f"{SECRET} {CONTACT} {link}",
        to=NUMBER,
        attachments=[file],
        mentions=[Mention(0, 4, OTHER)],
        styles=[Style(0, 4, StyleKind.BOLD)],
        quote=Quote(theirs, SECRET, (Mention(0, 4, HOME),)),
        preview=LinkPreview(link, SECRET, CONTACT, file),
    )
    return [
        full,
        await client.edit(full, f"{SECRET} {CONTACT}"),
        await client.react(full, "\N{HONEYBEE}"),
        await client.send(SECRET, to=NUMBER, quote=full),
        await client.delete(full),
        await client.react(theirs, "\N{HONEYBEE}"),
        await client.mark_read(theirs),
        await client.set_expiration(60, to=NUMBER),
        await client.send(SECRET, group=GROUP),
        await client.set_expiration(60, group=GROUP),
        *await client.send(SECRET, to=[OTHER, UNKNOWN]),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accounts", [[OTHER], [OTHER, HOME], []], ids=len)
async def test_accounts_of_the_daemon(accounts: list[str], kind: str, tmp_path: Path, canary: Canary) -> None:
    """It has another one, several of which none was named, or none."""
    make_talkative()
    async with FakeSignalDaemon(endpoint_of(kind, tmp_path), accounts=accounts) as daemon:

        async def use() -> None:
            account = None if len(accounts) > 1 else HOME
            async with running(canary, daemon, account=account) as (client, in_vain):
                await client.send(SECRET, to=NUMBER)
                await in_vain.wait()
                raise LookupError

        await canary.show_error_of(use())
    canary.check()
