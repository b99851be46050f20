"""What signal-cli 0.13.19 writes about what comes in, with nulls and all, and what is read of it by an inbox."""

from __future__ import annotations

from typing import Any

from anyio import fail_after

from ridethrough.signal_cli.envelopes import Content, Data, Envelope, ReceivedAttachment
from ridethrough.signal_cli.inbox import Inbox, Mailbox
from ridethrough.signal_cli.reading import parse_notification
from tests.links import PATIENCE

OWN = "+15550001111"
ADA = "11111111-1111-4111-8111-000000000001"
BEN = "11111111-1111-4111-8111-000000000002"
BEN_NUMBER = "+15550002222"
GROUP = "AAECAwQFBgcICQoLDA0ODw=="
SENT = 1_700_000_000_123
PICTURE = {
    "contentType": "image/png",
    "filename": "cat.png",
    "id": "abc.png",
    "size": 1234,
    "width": 20,
    "height": 10,
    "caption": None,
    "uploadTimestamp": SENT,
}
READ_PICTURE = ReceivedAttachment("abc.png", "image/png", "cat.png", 1234, 20, 10, None)


def envelope(**content: Any) -> dict[str, Any]:
    """One from Ada, of whom the daemon knows no number."""
    return {
        "source": ADA,
        "sourceNumber": None,
        "sourceUuid": ADA,
        "sourceName": "Ada",
        "sourceDevice": 2,
        "timestamp": SENT,
        "serverReceivedTimestamp": SENT + 10,
        "serverDeliveredTimestamp": SENT + 20,
        **content,
    }


def notification(**content: Any) -> dict[str, Any]:
    """What tells of an envelope from Ada."""
    return {"envelope": envelope(**content), "account": OWN}


def data(message: str | None = "hello", **more: Any) -> dict[str, Any]:
    """A data message."""
    return {"timestamp": SENT, "message": message, "expiresInSeconds": 0, "viewOnce": False, **more}


def group_info(kind: str = "DELIVER") -> dict[str, Any]:
    """In which group something was sent."""
    return {"groupId": GROUP, "groupName": "The club", "revision": 3, "type": kind}


def receipt(*timestamps: int, kind: str = "delivery", **more: Any) -> dict[str, Any]:
    """A notification of a receipt from Ada."""
    stages = {f"is{stage.title()}": stage == kind for stage in ("delivery", "read", "viewed")}
    return notification(receiptMessage={"when": SENT + 30, **stages, "timestamps": [*timestamps]}, **more)


def say(*texts: str, mailbox: Mailbox) -> None:
    """Let a message with each text come in."""
    for text in texts:
        mailbox.deliver(notification(dataMessage=data(text)))


def text_of(envelope: Envelope) -> str:
    """The text of a message."""
    assert isinstance(envelope.content, Data)
    return envelope.content.text


async def next_texts(inbox: Inbox, count: int) -> list[str]:
    """The texts of the next messages."""
    with fail_after(PATIENCE):
        return [text_of(await anext(inbox)) for _ in range(count)]


async def all_texts(inbox: Inbox) -> list[str]:
    """The texts of all messages until the end."""
    with fail_after(PATIENCE):
        return [text_of(envelope) async for envelope in inbox]


def parse(params: dict[str, Any], account: str | None = OWN) -> Envelope:
    """What is read of a notification that tells of something."""
    envelope = parse_notification(params, account)
    assert envelope is not None
    return envelope


def read(**content: Any) -> Content:
    """The same, of one of an envelope from Ada."""
    return parse(notification(**content)).content


def read_data(*args: Any, **more: Any) -> Data:
    """The same, of a message."""
    content = read(dataMessage=data(*args, **more))
    assert isinstance(content, Data)
    return content


def reaction(number: str | None, uuid: str | None, **more: Any) -> dict[str, Any]:
    """A data message that is a reaction."""
    target = {"targetAuthor": uuid or number, "targetAuthorNumber": number, "targetAuthorUuid": uuid}
    reaction = {"emoji": "👍", **target, "targetSentTimestamp": SENT - 3, "isRemove": False, **more}
    return data(None, reaction=reaction)
