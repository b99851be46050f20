"""No text, no name and no number in what is shown of what comes in, however wrong it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, fail_after, wait_all_tasks_blocked

from ridethrough import AsyncMessageBuffer, RidethroughError
from ridethrough.signal_cli import Envelope, SignalMessage, SignalOutbox, Unknown, size_of, target_of
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.testing import FakeSignalDaemon
from tests.security.canary import (
    CONTACT,
    FILE_NAME,
    HOME,
    KINDS,
    NUMBER,
    OTHER,
    PATIENCE,
    QUOTE,
    SECRET,
    UNKNOWN,
    Canary,
    endpoint_of,
    make_talkative,
    running,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


THEN = 1_700_000_000_000
ACI = "11111111-1111-4111-8111-000000000001"
GROUP = "AAECAwQFBgcICQoLDA0ODw=="

RANGE = {"start": 0, "length": 4}
MENTION = {**RANGE, "name": CONTACT, "number": OTHER, "uuid": None}
FILE = {"contentType": "text/plain", "filename": FILE_NAME, "id": "a1.txt", "size": 5, "caption": SECRET}
QUOTED = {
    "id": THEN,
    "author": OTHER,
    "authorNumber": OTHER,
    "authorUuid": None,
    "text": SECRET,
    "mentions": [MENTION],
    "textStyles": [{**RANGE, "style": "BOLD"}],
    "attachments": [FILE],
}
DATA = {
    "timestamp": THEN,
    "message": f"{SECRET} {CONTACT}",
    "expiresInSeconds": 0,
    "viewOnce": False,
    "groupInfo": {"groupId": GROUP, "groupName": CONTACT, "revision": 1, "type": "DELIVER"},
    "quote": QUOTED,
    "mentions": [MENTION],
    "textStyles": [{**RANGE, "style": "ITALIC"}],
    "attachments": [FILE],
    "previews": [{"url": f"https://{FILE_NAME}", "title": SECRET, "description": CONTACT, "image": FILE}],
    "sticker": {"packId": "ab", "stickerId": 1},
    "storyContext": {"authorNumber": OTHER, "authorUuid": None, "sentTimestamp": THEN},
    "contacts": [{"name": {"display": CONTACT}, "phone": [{"value": UNKNOWN}]}],
}
EDIT = {"targetSentTimestamp": THEN, "dataMessage": DATA}
REACTION = {
    "emoji": SECRET,
    "targetAuthor": OTHER,
    "targetAuthorNumber": OTHER,
    "targetAuthorUuid": None,
    "targetSentTimestamp": THEN,
    "isRemove": False,
}
DESTINATION = {"destination": OTHER, "destinationNumber": OTHER, "destinationUuid": None}

CONTENTS: dict[str, dict[str, Any]] = {
    "data": {"dataMessage": DATA},
    "reaction": {"dataMessage": {"timestamp": THEN, "reaction": REACTION}},
    "deletion": {"dataMessage": {"timestamp": THEN, "remoteDelete": {"timestamp": THEN}}},
    "edit": {"editMessage": EDIT},
    "receipt": {"receiptMessage": {"when": THEN, "isRead": True, "timestamps": [THEN]}},
    "typing": {"typingMessage": {"action": "STARTED", "timestamp": THEN, "groupId": GROUP}},
    "call": {"callMessage": {"offerMessage": {"id": 1, "type": "AUDIO_CALL", "opaque": SECRET}}},
    "text story": {"storyMessage": {"allowsReplies": True, "textAttachment": {"text": SECRET}}},
    "film story": {"storyMessage": {"allowsReplies": True, "groupId": GROUP, "fileAttachment": FILE}},
    "sent": {"syncMessage": {"sentMessage": {**DESTINATION, **DATA}}},
    "edited": {"syncMessage": {"sentMessage": {**DESTINATION, "editMessage": EDIT}}},
    "sent story": {"syncMessage": {"sentStoryMessage": {**DESTINATION, "textAttachment": {"text": SECRET}}}},
    "read": {"syncMessage": {"readMessages": [{"sender": OTHER, "senderNumber": OTHER, "timestamp": THEN}]}},
    "unknown": {"newMessage": {SECRET: [NUMBER, CONTACT]}},
}  # fmt: skip
EXCEPTION = {"message": QUOTE, "type": "UntrustedIdentityException"}


def incoming(name: str) -> dict[str, Any]:
    """An envelope from NUMBER."""
    head = {"source": NUMBER, "sourceNumber": NUMBER, "sourceUuid": None, "sourceName": CONTACT, "sourceDevice": 1}
    return {**head, "timestamp": THEN, "serverReceivedTimestamp": THEN, **CONTENTS[name]}


NESTED: list[Any] = []
for _ in range(500):
    NESTED = [NESTED, SECRET]
WRONG: list[Any] = [
    None, SECRET, NUMBER, f"{NUMBER}x", SECRET + "\ud83d", "", True, -1, 2**70, 1.5, [SECRET, NUMBER], [[SECRET]],
    {SECRET: NUMBER}, NESTED,
]  # fmt: skip


def damaged(value: Any) -> Iterator[Any]:
    """The value with something in it missing, or something else in its place."""
    members: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
        yield from ({other: value[other] for other in value if other != name} for name in value)
    elif isinstance(value, list):
        members = list(enumerate(value))
    for name, member in members:
        for wrong in (*WRONG, *damaged(member)):
            copy = value.copy()
            copy[name] = wrong
            yield copy


async def read_all(mailbox: Mailbox, notifications: list[dict[str, Any]], **options: Any) -> list[Envelope]:
    """What these tell."""
    inbox = mailbox.open_inbox(**{"max_size": 100_000, **options})
    for notification in notifications:
        mailbox.deliver(notification)
    inbox.close()
    return [envelope async for envelope in inbox]


async def show(canary: Canary, envelope: Envelope) -> None:
    """Show it, and what comes of answering it."""
    canary.show(envelope, envelope.source, envelope.content)
    buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(key=target_of, size_of=size_of)
    outbox = SignalOutbox(buffer)
    for attribute in ("target", "message_id"):
        try:
            canary.show(getattr(envelope, attribute))
        except ValueError as error:
            canary.show(error)
    for call in (
        outbox.send(SECRET, to=NUMBER, quote=envelope),
        outbox.send(SECRET, to=NUMBER, story=envelope),
        outbox.react(envelope, "\N{HONEYBEE}"),
        outbox.mark_read(envelope),
    ):
        try:
            delivery: Any = await call
            canary.show(delivery, delivery.message)
        except (TypeError, ValueError) as error:
            canary.show(error)
    await buffer.drain()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", CONTENTS)
async def test_whatever_comes_in(name: str, canary: Canary) -> None:
    """As it should be, with anything missing, and with anything in the place of anything."""
    whole = incoming(name)
    told = [{"envelope": whole, "account": HOME}, *damaged({"envelope": whole, "account": HOME})]
    first, *others = await read_all(Mailbox(None), told)
    assert (name == "unknown") is isinstance(first.content, Unknown)
    assert len(others) > len(told) / 2
    for envelope in (first, *others):
        await show(canary, envelope)
    canary.check()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_could_not_be_read(canary: Canary) -> None:
    told: dict[str, Any] = {"envelope": incoming("data"), "account": HOME, "exception": EXCEPTION}
    for each in (told, *damaged(told)):
        for envelope in await read_all(Mailbox(HOME), [each]):  # another mailbox: they have the same envelope
            await show(canary, envelope)
    canary.check()


async def test_what_is_left_out(canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
    """Since it is for another account, is nested too deep, or there is no room for it."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    mailbox = Mailbox(HOME)
    some = [{"envelope": {**incoming("data"), "timestamp": THEN + number}, "account": HOME} for number in range(5)]
    told: list[dict[str, Any]] = [
        {"envelope": {**incoming("data"), SECRET: deep}},
        {**some[0], "account": OTHER},
        *some,
    ]
    for overflow in ("drop_oldest", "drop_newest"):
        assert len(await read_all(mailbox, told, max_size=1, overflow=overflow)) <= 1
    assert "nested too deep" in caplog.text
    assert "an inbox is full" in caplog.text
    canary.show(mailbox)
    while deep:  # or it would be too deep for Python to let go of
        deep = deep.pop()
    canary.check()


async def test_receipts(canary: Canary) -> None:
    mailbox = Mailbox(HOME)
    for told in damaged({"envelope": incoming("receipt"), "account": HOME}):
        mailbox.deliver(told)
    with fail_after(PATIENCE):
        canary.show(await mailbox.wait_receipt(THEN), mailbox)
        for confirmation in mailbox._confirmations.values():
            canary.show(confirmation)
        async with create_task_group() as tasks:
            tasks.start_soon(canary.show_error_of, mailbox.wait_receipt(THEN + 1))
            await wait_all_tasks_blocked()
            canary.show(mailbox)
            mailbox.close()
    canary.check()


@pytest.mark.parametrize("kind", KINDS)
async def test_over_a_link(kind: str, tmp_path: Path, canary: Canary) -> None:
    """The same once more, with what logs of what comes in on the way."""
    make_talkative()
    async with FakeSignalDaemon(endpoint_of(kind, tmp_path), accounts=[HOME], receive_mode="manual") as daemon:
        await daemon.push({**incoming("data"), "timestamp": 0})  # once it is there, it was asked for
        async with running(canary, daemon) as (client, _):
            inbox = client.messages()
            await show(canary, await anext(inbox))
            for name in CONTENTS:
                await daemon.push(incoming(name))
                await daemon.push({**incoming(name), "timestamp": SECRET, "sourceNumber": [NUMBER], "sourceName": {}})
            for _ in range(2 * len(CONTENTS)):
                envelope = await anext(inbox)
                await show(canary, envelope)
                try:
                    canary.show(await client.mark_read(envelope), await client.react(envelope, "\N{HONEYBEE}"))
                except ValueError as error:
                    canary.show(error)
            delivery = await client.send(SECRET, to=NUMBER)
            timestamp = (await delivery).timestamp
            await canary.show_error_of(client.wait_receipt(delivery, "read", timeout=0.01))
            receipt = {"when": THEN, "isRead": True, "timestamps": [timestamp]}
            await daemon.push({**incoming("receipt"), "receiptMessage": receipt})
            canary.show(await client.wait_receipt(delivery, "read"), inbox)
        canary.show(inbox)
        with pytest.raises(RidethroughError) as caught:
            await client.wait_receipt(delivery, "viewed")
        canary.show(caught.value)
    canary.check()
