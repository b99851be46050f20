"""outbox.py: what is wrong is named, and nothing is put."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ridethrough import AsyncMessageBuffer, Delivery, MessageTooLarge
from ridethrough.signal_cli import (
    MessageId,
    Style,
    StyleKind,
    Unknown,
)
from tests.unit.signal_cli.clients import ANNA, BERT, GROUP
from tests.unit.signal_cli.outboxes import (
    BOLD,
    HERS,
    MENTION,
    OWN,
    SENT,
    TO_GROUP,
    MakeOutbox,
    by_anna,
    envelope,
    outboxes,
    put,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make_outbox() -> AsyncIterator[MakeOutbox]:
    async with outboxes() as make:
        yield make


async def test_bad_shares_files(make_outbox: MakeOutbox) -> None:
    with pytest.raises(TypeError, match=r"^shares_files must be a bool, not int$"):
        make_outbox(shares_files=1)  # type: ignore[arg-type]


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("send", {}, ValueError, "exactly one of to=, group=, username= and note_to_self=True must be given, not none"),
    ("send", {"to": ANNA, "group": GROUP}, ValueError, "exactly one of "),
    ("send", {"to": envelope(Unknown()), "group": GROUP}, ValueError, "exactly one of "),
    ("send", {"to": "anna"}, ValueError, "to must "),
    ("send", {"to": 5}, TypeError, "to must "),
    ("send", {"to": []}, ValueError, "to must name at least one person"),
    ("send", {"to": [ANNA, "anna"]}, ValueError, "to must "),
    ("send", {"to": [ANNA, 5]}, TypeError, "to must "),
    ("send", {"to": [ANNA], "group": GROUP}, ValueError, "exactly one of "),
    ("send", {"to": [None], "group": GROUP}, TypeError, "to must hold strings alone, not NoneType"),
    ("send", {"group": "club"}, ValueError, "group must "),
    ("send", {"username": "anna"}, ValueError, "username must "),
    ("send", {"note_to_self": 1}, TypeError, "note_to_self must "),
    ("send", {"to": ANNA, "text": ""}, ValueError, "text must "),
    ("send", {"to": ANNA, "text": None}, TypeError, "text must "),
    ("send", {"to": [ANNA, BERT], "text": "\ud800"}, ValueError, "text must "),
    ("send", {"to": ANNA, "attachments": "notes.txt"}, TypeError, "attachments must be a list of paths and "),
    ("send", {"to": ANNA, "attachments": Path("notes.txt")}, TypeError, "attachments must be a list or the like, "),
    ("send", {"to": ANNA, "attachments": 5}, TypeError, "attachments must be a list or the like, not int"),
    ("send", {"to": ANNA, "attachments": [5]}, TypeError, "path must "),
    ("send", {"to": ANNA, "attachments": [Path(__file__).parent]}, ValueError, "path must be of a regular file"),
    ("send", {"to": ANNA, "mentions": MENTION}, TypeError, "mentions must be a list or the like, not Mention"),
    ("send", {"to": ANNA, "mentions": [BOLD]}, TypeError, "mentions must "),
    ("send", {"to": ANNA, "styles": BOLD}, TypeError, "styles must be a list or the like, not Style"),
    ("send", {"to": ANNA, "styles": [Style(3, 3, StyleKind.BOLD)]}, ValueError, "mentions and styles must "),
    ("send", {"to": ANNA, "quote": "hello"}, TypeError, "quote must be what was sent or came in, or a Quote, not str"),
    ("send", {"to": BERT, "quote": MessageId(TO_GROUP, ANNA, SENT)}, ValueError, "quote must "),
    ("send", {"to": [ANNA, BERT], "quote": MessageId(TO_GROUP, ANNA, SENT)}, ValueError, "quote must "),
    ("send", {"to": ANNA, "quote": envelope(Unknown(), None)}, ValueError, "the envelope does not tell whom "),
    ("send", {"to": ANNA, "preview": "https://example.org"}, TypeError, "preview must "),
    ("send", {"to": ANNA, "sticker": "abcd:7"}, TypeError, "sticker must "),
    ("send", {"to": ANNA, "story": SENT}, TypeError, "story must "),
    ("send", {"to": ANNA, "view_once": True}, ValueError, "view_once needs "),
    ("edit", {"message": "hello"}, TypeError, "message must be a Delivery, a MessageId or an Envelope, not str"),
    ("edit", {"message": OWN, "text": ""}, ValueError, "text must "),
    ("edit", {"message": HERS}, ValueError, "message must be a message of one's own"),
    ("edit", {"message": by_anna()}, ValueError, "message must be a message of one's own"),
    ("edit", {"message": OWN, "attachments": 5}, TypeError, "attachments must "),
    ("edit", {"message": OWN, "mentions": 5}, TypeError, "mentions must "),
    ("edit", {"message": OWN, "styles": 5}, TypeError, "styles must "),
    ("edit", {"message": OWN, "preview": 5}, TypeError, "preview must "),
    ("react", {"message": None, "emoji": "👍"}, TypeError, "message must "),
    ("react", {"message": HERS, "emoji": "+1"}, ValueError, "emoji must "),
    ("react", {"message": HERS, "emoji": "👍", "remove": 1}, TypeError, "remove must "),
    ("react", {"message": envelope(Unknown(), None), "emoji": "👍"}, ValueError, "the envelope names nobody "),
    ("delete", {"message": 5}, TypeError, "message must "),
    ("delete", {"message": HERS}, ValueError, "message must be a message of one's own"),
    ("mark_read", {"message": "hello"}, TypeError, "message must be an Envelope or a MessageId, not str"),
    ("mark_read", {"message": OWN}, ValueError, "message must be somebody else's"),
    ("set_expiration", {"seconds": -1, "to": ANNA}, ValueError, "seconds must "),
    ("set_expiration", {"seconds": 1.5, "to": ANNA}, TypeError, "seconds must "),
    ("set_expiration", {"seconds": 5}, ValueError, "exactly one of "),
    ("set_expiration", {"seconds": 5, "to": ANNA, "group": GROUP}, ValueError, "exactly one of "),
]


@pytest.mark.parametrize(("method", "arguments", "error", "problem"), BAD)
async def test_bad_argument_is_named_and_nothing_is_put(
    make_outbox: MakeOutbox, method: str, arguments: dict[str, Any], error: type[Exception], problem: str
) -> None:
    outbox = make_outbox()
    if method in ("send", "edit"):
        arguments = {"text": "hello", **arguments}
    with pytest.raises(error, match=f"^{problem}"):
        await getattr(outbox, method)(**arguments)
    assert outbox.buffer.statistics().accepted == 0


async def test_delivery_that_no_message_can_be_about(make_outbox: MakeOutbox) -> None:
    outbox, other = make_outbox(), AsyncMessageBuffer[str]()
    text, reaction = await outbox.send("hello", to=ANNA), await outbox.react(OWN, "👍")
    text.cancel()
    strange: Delivery[Any, Any] = await other.put("hello")
    for delivery, error, problem in (
        (text, ValueError, r"must be a message that was sent or waits to be, not one that was cancelled$"),
        (reaction, ValueError, r"must be the Delivery of a TextMessage, not of a Reaction$"),
        (strange, TypeError, r"^message must "),
    ):
        for call in (outbox.edit(delivery, "hello"), outbox.react(delivery, "👍"), outbox.delete(delivery)):
            with pytest.raises(error, match=problem):
                await call
    await other.aclose()
    assert await put(outbox) == [reaction.message]


async def test_message_that_is_too_large(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(max_bytes=10)
    for to in (ANNA, [ANNA]):
        with pytest.raises(MessageTooLarge):
            await outbox.send("x" * 11, to=to)
    assert outbox.buffer.is_empty()
