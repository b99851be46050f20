"""outbox.py: which message is put for what is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from anyio import fail_after

from ridethrough import BufferClosed, BufferFull, Undelivered
from ridethrough.signal_cli import (
    Attachment,
    Data,
    Edit,
    ExpirationTimer,
    LinkPreview,
    MessageId,
    Quote,
    Reacted,
    Reaction,
    Receipt,
    ReceiptKind,
    RemoteDelete,
    Sticker,
    Sync,
    Target,
    TextMessage,
    Unknown,
    make_target,
)
from ridethrough.signal_cli.envelopes import Content, Group
from tests.unit.signal_cli.clients import ANNA, BERT, GROUP
from tests.unit.signal_cli.outboxes import (
    BOLD,
    HERS,
    MENTION,
    OWN,
    SENT,
    TO_ANNA,
    TO_GROUP,
    MakeOutbox,
    acknowledge,
    by_anna,
    envelope,
    outboxes,
    put,
)
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def make_outbox() -> AsyncIterator[MakeOutbox]:
    async with outboxes() as make:
        yield make


# What is put


async def test_send_puts_a_text_message_with_all_that_was_given(make_outbox: MakeOutbox) -> None:
    outbox, text = make_outbox(), "hello https://example.org/"
    preview, picture = LinkPreview("https://example.org/", "Example"), Attachment(b"\x89PNG", "a.png", "image/png")
    story = MessageId(TO_ANNA, ANNA, SENT)
    delivery = await outbox.send(
        text,
        to=ANNA,
        attachments=iter([picture]),
        mentions=iter([MENTION]),
        styles=iter([BOLD]),
        quote=Quote(HERS, "what?"),
        preview=preview,
        story=story,
        view_once=True,
    )
    assert delivery.message == TextMessage(
        TO_ANNA,
        text,
        attachments=(picture,),
        mentions=(MENTION,),
        styles=(BOLD,),
        quote=Quote(HERS, "what?"),
        preview=preview,
        view_once=True,
        story=story,
    )
    sticker = await outbox.send(to=ANNA, sticker=Sticker("abcd", 7))
    assert sticker.message == TextMessage(TO_ANNA, sticker=Sticker("abcd", 7))
    assert await put(outbox) == [delivery.message, sticker.message]


@pytest.mark.parametrize(
    "address", [{"to": ANNA}, {"group": GROUP}, {"username": "anna.42"}, {"note_to_self": True}], ids=str
)
async def test_send_to_each_kind_of_target(make_outbox: MakeOutbox, address: dict[str, Any]) -> None:
    outbox = make_outbox()
    await outbox.send("hello", **address)
    assert await put(outbox) == [TextMessage(make_target(**address), "hello")]


async def test_send_in_answer_to_a_story(make_outbox: MakeOutbox) -> None:
    outbox, story = make_outbox(), envelope(Unknown())
    await outbox.send("nice", to=ANNA, story=story)
    assert await put(outbox) == [TextMessage(TO_ANNA, "nice", story=HERS)]


@pytest.mark.parametrize("waits", [False, True])
async def test_edit_of_a_delivery(make_outbox: MakeOutbox, waits: bool) -> None:
    outbox = make_outbox()
    first = await outbox.send("helo", to=ANNA)
    if not waits:
        await acknowledge(outbox, SENT)
    picture = Attachment(b"\x89PNG")
    preview = LinkPreview("https://example.org", "Example")
    text = "hello https://example.org"
    edit = await outbox.edit(
        first, text, attachments=[picture], mentions=[MENTION], styles=[BOLD], preview=preview, ttl=60
    )
    assert edit.message == TextMessage(
        TO_ANNA,
        text,
        attachments=(picture,),
        mentions=(MENTION,),
        styles=(BOLD,),
        preview=preview,
        edits=first,
    )


async def test_edit_of_an_identity(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    edit = await outbox.edit(OWN, "hello")
    assert edit.message == TextMessage(TO_ANNA, "hello", edits=OWN)


async def test_react_to_each_kind_of_message(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    first = await outbox.send("hello", group=GROUP)
    by_group = by_anna(group=Group(GROUP))
    reactions = [await outbox.react(message, "👍") for message in (first, HERS, by_anna(), by_group)]
    reactions.append(await outbox.react(first, "👍", remove=True))
    assert [reaction.message for reaction in reactions] == [
        Reaction(TO_GROUP, "👍", first),
        Reaction(TO_ANNA, "👍", HERS),
        Reaction(TO_ANNA, "👍", HERS),
        Reaction(TO_GROUP, "👍", MessageId(TO_GROUP, ANNA, SENT)),
        Reaction(TO_GROUP, "👍", first, remove=True),
    ]
    assert await put(outbox) == [first.message, *(reaction.message for reaction in reactions)]


async def test_delete(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    first = await outbox.send("hello", to=ANNA)
    deletes = [await outbox.delete(message) for message in (first, OWN)]
    assert [delete.message for delete in deletes] == [RemoteDelete(TO_ANNA, first), RemoteDelete(TO_ANNA, OWN)]


async def test_mark_read_goes_to_who_wrote_it_and_not_to_the_group(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    await outbox.mark_read(by_anna(group=Group(GROUP)))
    await outbox.mark_read(HERS, viewed=True)
    assert await put(outbox) == [
        Receipt(TO_ANNA, ReceiptKind.READ, (SENT,)),
        Receipt(TO_ANNA, ReceiptKind.VIEWED, (SENT,)),
    ]


async def test_set_expiration(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    await outbox.set_expiration(3600, to=ANNA)
    await outbox.set_expiration(0, group=GROUP)
    assert await put(outbox) == [ExpirationTimer(TO_ANNA, 3600), ExpirationTimer(TO_GROUP, 0)]


EACH: dict[str, Callable[..., Awaitable[Any]]] = {
    "send": lambda outbox, **terms: outbox.send("hello", to=ANNA, **terms),
    "send to several": lambda outbox, **terms: outbox.send("hello", to=[ANNA, BERT], **terms),
    "edit": lambda outbox, **terms: outbox.edit(OWN, "hello", **terms),
    "react": lambda outbox, **terms: outbox.react(OWN, "👍", **terms),
    "delete": lambda outbox, **terms: outbox.delete(OWN, **terms),
    "mark_read": lambda outbox, **terms: outbox.mark_read(HERS, **terms),
    "set_expiration": lambda outbox, **terms: outbox.set_expiration(0, to=ANNA, **terms),
}
each = pytest.mark.parametrize("call", EACH.values(), ids=EACH.keys())


@each
async def test_terms_reach_the_buffer(make_outbox: MakeOutbox, call: Callable[..., Awaitable[Any]]) -> None:
    outbox = make_outbox(max_size=1)
    waiting = await outbox.send("hello", to=BERT)
    with pytest.raises(BufferFull):
        await call(outbox, overflow="reject")
    assert waiting.outcome is None
    with pytest.raises(ValueError, match=r"^ttl must "):
        await call(outbox, ttl=-1)
    with pytest.raises(ValueError, match=r"^overflow must "):
        await call(outbox, overflow="spill")
    outbox = make_outbox(max_size=2)
    delivery = await call(outbox, ttl=0.001)
    with fail_after(PATIENCE), pytest.raises((Undelivered, ExceptionGroup)):
        await delivery
    assert outbox.buffer.statistics().expired == outbox.buffer.statistics().accepted > 0


@each
async def test_buffer_that_is_closed(make_outbox: MakeOutbox, call: Callable[..., Awaitable[Any]]) -> None:
    outbox = make_outbox()
    await outbox.buffer.aclose()
    with pytest.raises(BufferClosed):
        await call(outbox)


# Quotes


async def test_quote_of_what_was_sent_shows_its_own_text(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    first = await outbox.send("hello you", to=ANNA, mentions=[MENTION], styles=[BOLD])
    answer = await outbox.send("again", to=ANNA, quote=first)
    assert answer.message.quote == Quote(first, "hello you", (MENTION,), (BOLD,))


async def test_quote_of_an_identity_shows_no_text(make_outbox: MakeOutbox) -> None:
    answer = await make_outbox().send("yes", to=ANNA, quote=HERS)
    assert answer.message.quote == Quote(HERS, "")


DATA = Data(SENT + 1, "hello you", mentions=(MENTION,), styles=(BOLD,))


@pytest.mark.parametrize(
    ("content", "quoted", "text"),
    [
        (DATA, MessageId(TO_ANNA, ANNA, SENT + 1), "hello you"),
        (Edit(SENT, DATA), MessageId(TO_ANNA, ANNA, SENT + 1), "hello you"),
        (Sync(DATA, TO_ANNA), MessageId(TO_ANNA, None, SENT + 1), "hello you"),
        (Sync(Edit(SENT, DATA), TO_ANNA), MessageId(TO_ANNA, None, SENT + 1), "hello you"),
        (Reacted("👍", None, SENT), HERS, ""),
        (Sync(None, TO_ANNA), OWN, ""),
        (Unknown(), HERS, ""),
    ],
)
async def test_quote_of_what_came_in_shows_its_text(
    make_outbox: MakeOutbox, content: Content, quoted: MessageId, text: str
) -> None:
    answer = await make_outbox().send("yes", to=ANNA, quote=envelope(content))
    ranges: tuple[Any, Any] = ((MENTION,), (BOLD,)) if text else ((), ())
    assert answer.message.quote == Quote(quoted, text, *ranges)


@pytest.mark.parametrize(
    ("content", "target"), [(DATA, TO_ANNA), (Data(SENT, "hello", Group(GROUP)), TO_GROUP)], ids=["person", "group"]
)
async def test_send_to_where_something_came_from(make_outbox: MakeOutbox, content: Content, target: Target) -> None:
    answer = await make_outbox().send("yes", to=envelope(content))
    assert answer.message.target == target


async def test_message_that_another_device_has_sent_can_be_edited_and_deleted(make_outbox: MakeOutbox) -> None:
    outbox, sent = make_outbox(), envelope(Sync(DATA, TO_ANNA))
    its = MessageId(TO_ANNA, None, SENT + 1)
    assert (await outbox.edit(sent, "yes")).message == TextMessage(TO_ANNA, "yes", edits=its)
    assert (await outbox.delete(sent)).message == RemoteDelete(TO_ANNA, its)


async def test_quote_of_a_long_text_shows_its_beginning(make_outbox: MakeOutbox) -> None:
    answer = await make_outbox().send("yes", to=ANNA, quote=by_anna("x" * 10_000))
    assert answer.message.quote is not None
    assert 0 < len(answer.message.quote.text or "") < 10_000


async def test_quote_that_says_how_it_is_shown_stays_as_it_is(make_outbox: MakeOutbox) -> None:
    quote = Quote(HERS, "hello", styles=(BOLD,))
    assert (await make_outbox().send("yes", to=ANNA, quote=quote)).message.quote == quote
