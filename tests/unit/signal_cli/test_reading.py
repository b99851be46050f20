"""reading.py: envelopes from the JSON of the daemon."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough.signal_cli.content import Mention, Sticker, Style, StyleKind
from ridethrough.signal_cli.envelopes import (
    Call,
    Content,
    Data,
    Deleted,
    Edit,
    Envelope,
    Group,
    Mark,
    Quoted,
    Reacted,
    Receipts,
    ReceivedAttachment,
    ReceivedPreview,
    Source,
    Story,
    Sync,
    Typing,
    Undecryptable,
    Unknown,
)
from ridethrough.signal_cli.reading import parse_notification
from ridethrough.signal_cli.targets import Target, TargetKind, make_target
from tests.unit.signal_cli.incoming import (
    ADA,
    BEN,
    BEN_NUMBER,
    GROUP,
    OWN,
    PICTURE,
    READ_PICTURE,
    SENT,
    data,
    envelope,
    group_info,
    notification,
    parse,
    reaction,
    read,
    read_data,
    receipt,
)

CLUB = Group(GROUP, "The club")

# the envelope


def test_envelope() -> None:
    params = notification(dataMessage=data("hello"))
    assert parse(params) == Envelope(
        OWN, Source(ADA, None, "Ada", 2), SENT, SENT + 10, Data(SENT, "hello"), params["envelope"]
    )
    assert parse(params).raw is params["envelope"]


def test_envelope_that_comes_by_a_subscription_is_the_same() -> None:
    params = notification(dataMessage=data())
    assert parse({"subscription": 5, "result": params}) == parse(params)


def test_account_is_the_one_that_the_daemon_names_or_the_one_that_was_asked_for() -> None:
    params = notification(dataMessage=data())
    assert parse(params, None).account == OWN
    assert parse({"envelope": params["envelope"]}, OWN).account == OWN
    assert parse({"envelope": params["envelope"], "account": None}, OWN).account == OWN
    assert parse({"envelope": params["envelope"]}, None).account is None


def test_envelope_to_another_account_is_none() -> None:
    params = notification(dataMessage=data())
    assert parse_notification(params, BEN_NUMBER) is None
    assert parse_notification({"subscription": 5, "result": params}, BEN_NUMBER) is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"account": OWN},
        {"account": OWN, "exception": {"message": "no", "type": "IOException"}},
        {"envelope": None, "account": OWN},
        {"envelope": [], "account": OWN},
        {"subscription": 5, "result": None},
        {"subscription": 5, "result": 7},
        {"subscription": 5, "result": {"account": OWN}},
    ],
)
def test_notification_without_an_envelope_is_none(params: dict[str, Any]) -> None:
    assert parse_notification(params, OWN) is None


def test_source_is_as_much_as_is_told() -> None:
    def source(**more: Any) -> Source:
        return parse(notification(**more)).source

    nobody = {"sourceUuid": None, "sourceNumber": None, "sourceName": None, "sourceDevice": None}
    assert source(**nobody) == Source()
    assert source(sourceNumber=BEN_NUMBER, sourceUuid=None, sourceName="") == Source(None, BEN_NUMBER, None, 2)
    assert source(sourceUuid=BEN.upper(), sourceNumber="+1") == Source(BEN, None, "Ada", 2)
    assert source(sourceUuid=7, sourceNumber=[], sourceName={}, sourceDevice=-1) == Source()
    assert source(sourceDevice=True, sourceUuid="x") == Source(None, None, "Ada", None)


def test_times_that_are_not_told_are_0() -> None:
    for wrong in (None, "1", -1, 2**63, 1.5, True):
        envelope = parse(notification(timestamp=wrong, serverReceivedTimestamp=wrong))
        assert (envelope.timestamp, envelope.server_timestamp) == (0, 0)
    assert parse({"envelope": {}}, None) == Envelope(None, Source(), 0, 0, Unknown(), {})


def test_largest_number_of_the_daemon_is_read() -> None:
    assert parse(notification(timestamp=2**63 - 1)).timestamp == 2**63 - 1


# messages


def test_message() -> None:
    content = read(
        dataMessage=data(
            "hello ￼, see https://example.org",
            expiresInSeconds=3600,
            viewOnce=True,
            groupInfo=group_info(),
            mentions=[{"name": BEN, "number": None, "uuid": BEN, "start": 6, "length": 1}],
            textStyles=[{"style": "BOLD", "start": 0, "length": 5}],
            attachments=[PICTURE],
            previews=[{"url": "https://example.org", "title": "E", "description": "of", "image": PICTURE}],
            sticker={"packId": "AABB", "stickerId": 3},
            storyContext={"authorNumber": BEN_NUMBER, "authorUuid": BEN, "sentTimestamp": SENT - 5},
        )
    )
    assert content == Data(
        timestamp=SENT,
        text="hello ￼, see https://example.org",
        group=CLUB,
        attachments=(READ_PICTURE,),
        mentions=(Mention(6, 1, BEN),),
        styles=(Style(0, 5, StyleKind.BOLD),),
        sticker=Sticker("aabb", 3),
        previews=(ReceivedPreview("https://example.org", "E", "of", READ_PICTURE),),
        expires_in=3600,
        view_once=True,
        story=Mark(BEN, SENT - 5),
    )


def test_message_without_a_text() -> None:
    assert read_data(None, expiresInSeconds=None, viewOnce=None) == Data(SENT)


def test_message_that_updates_the_group() -> None:
    assert read_data(None, groupInfo=group_info("UPDATE")).group == Group(GROUP, "The club", updated=True)


def test_quote() -> None:
    quote = {
        "id": SENT - 7,
        "author": BEN,
        "authorNumber": None,
        "authorUuid": BEN,
        "text": "😀 yes",
        "attachments": [],
        "mentions": [{"name": OWN, "number": OWN, "uuid": ADA, "start": 2, "length": 1}],
        "textStyles": [{"style": "ITALIC", "start": 3, "length": 3}],
    }
    expected = Quoted(BEN, SENT - 7, "😀 yes", (Mention(1, 1, OWN),), (Style(2, 3, StyleKind.ITALIC),))
    assert read_data(quote=quote).quote == expected


def test_quote_of_ones_own_message_without_a_text() -> None:
    quote = {"id": SENT - 7, "author": OWN, "authorNumber": OWN, "authorUuid": BEN, "text": None, "attachments": []}
    assert read_data(quote=quote).quote == Quoted(None, SENT - 7)


def test_attachment_of_which_little_is_told() -> None:
    unknown = dict.fromkeys(PICTURE)
    assert read_data(attachments=[unknown]).attachments == (ReceivedAttachment(None, None),)


def test_preview_of_which_little_is_told() -> None:
    preview = {"url": "https://example.org", "title": None, "description": None, "image": None}
    assert read_data(previews=[preview]).previews == (ReceivedPreview("https://example.org"),)


def test_edit() -> None:
    edit = {"targetSentTimestamp": SENT - 9, "dataMessage": data("better", groupInfo=group_info())}
    assert read(editMessage=edit) == Edit(SENT - 9, Data(SENT, "better", CLUB))


def test_reaction() -> None:
    assert read(dataMessage=reaction(BEN_NUMBER, BEN)) == Reacted("👍", BEN, SENT - 3)
    assert read(dataMessage=reaction(BEN_NUMBER, None)) == Reacted("👍", BEN_NUMBER, SENT - 3)
    assert read(dataMessage=reaction(OWN, BEN)) == Reacted("👍", None, SENT - 3)
    removed = reaction(None, BEN, isRemove=True) | {"groupInfo": group_info()}
    assert read(dataMessage=removed) == Reacted("👍", BEN, SENT - 3, removed=True, group=CLUB)


def test_nobody_is_oneself_as_long_as_ones_own_number_is_not_known() -> None:
    params = {"envelope": envelope(dataMessage=reaction(OWN, None))}
    assert parse(params, None).content == Reacted("👍", OWN, SENT - 3)


def test_delete() -> None:
    assert read(dataMessage=data(None, remoteDelete={"timestamp": SENT - 4})) == Deleted(SENT - 4)
    deleted = data(None, remoteDelete={"timestamp": SENT - 4}, groupInfo=group_info())
    assert read(dataMessage=deleted) == Deleted(SENT - 4, CLUB)


# other contents


@pytest.mark.parametrize("kind", ["delivery", "read", "viewed"])
def test_receipts(kind: Any) -> None:
    assert parse(receipt(SENT, SENT + 1, kind=kind)).content == Receipts(kind, (SENT, SENT + 1), SENT + 30)


def test_typing() -> None:
    typing = {"action": "STARTED", "timestamp": SENT}
    assert read(typingMessage=typing) == Typing(started=True)
    assert read(typingMessage=typing | {"action": "STOPPED", "groupId": GROUP}) == Typing(False, Group(GROUP))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("offerMessage", "offer"),
        ("answerMessage", "answer"),
        ("busyMessage", "busy"),
        ("hangupMessage", "hangup"),
        ("iceUpdateMessages", "ice"),
    ],
)
def test_call(name: str, kind: Any) -> None:
    assert read(callMessage={name: {"id": 1}}) == Call(kind)


def test_story() -> None:
    text = {"text": "once upon a time", "style": "SERIF"}
    assert read(storyMessage={"allowsReplies": True, "textAttachment": text}) == Story("once upon a time")
    picture = {"allowsReplies": False, "groupId": GROUP, "fileAttachment": PICTURE}
    assert read(storyMessage=picture) == Story("", READ_PICTURE, Group(GROUP), allows_replies=False)
    assert read(storyMessage={"allowsReplies": True, "textAttachment": {"text": None}}) == Story("")


def sent(number: str | None = None, uuid: str | None = None, **more: Any) -> Content:
    where = {"destination": uuid or number, "destinationNumber": number, "destinationUuid": uuid}
    return read(syncMessage={"sentMessage": where | more})


def test_sync_of_what_was_sent() -> None:
    assert sent(uuid=BEN, **data("hi")) == Sync(Data(SENT, "hi"), make_target(to=BEN))
    assert sent(number=BEN_NUMBER, **data("hi")) == Sync(Data(SENT, "hi"), make_target(to=BEN_NUMBER))
    assert sent(**data("hi", groupInfo=group_info())) == Sync(Data(SENT, "hi", CLUB))
    assert sent(uuid=BEN, **reaction(None, ADA)) == Sync(Reacted("👍", None, SENT - 3), make_target(to=BEN))
    edit = {"targetSentTimestamp": SENT - 9, "dataMessage": data("better")}
    assert sent(uuid=BEN, editMessage=edit) == Sync(Edit(SENT - 9, Data(SENT, "better")), make_target(to=BEN))


def test_sync_of_a_note_to_self() -> None:
    for address in ({"uuid": ADA}, {"number": OWN}, {"number": OWN, "uuid": BEN}):
        assert sent(**address, **data("note")) == Sync(Data(SENT, "note"), Target(TargetKind.SELF))


def test_sync_of_a_story() -> None:
    story = {"destinationNumber": None, "destinationUuid": None, "allowsReplies": True, "groupId": GROUP}
    assert read(syncMessage={"sentStoryMessage": story}) == Sync(Story(group=Group(GROUP)))


def test_sync_of_what_was_read() -> None:
    marks = [
        {"sender": BEN, "senderNumber": None, "senderUuid": BEN, "timestamp": SENT},
        {"sender": OWN, "senderNumber": OWN, "senderUuid": ADA, "timestamp": SENT + 1},
        {"sender": None, "senderNumber": None, "senderUuid": None, "timestamp": SENT + 2},
    ]
    assert read(syncMessage={"readMessages": marks}) == Sync(read=(Mark(BEN, SENT), Mark(None, SENT + 1)))


def test_sync_of_anything_else() -> None:
    others: list[dict[str, Any]] = [{}, {"type": "CONTACTS_SYNC"}, {"blockedNumbers": [], "blockedGroupIds": []}]
    for other in others:
        assert read(syncMessage=other) == Sync()


def test_what_could_not_be_decrypted() -> None:
    def undecryptable(exception: Any) -> Content:
        return parse(notification() | {"exception": exception}).content

    exception = {"message": "secret", "type": "UntrustedIdentityException"}
    assert undecryptable(exception) == Undecryptable("UntrustedIdentityException", "secret")
    assert undecryptable({"message": None, "type": "no class, but +15550001111"}) == Undecryptable("")
    assert undecryptable({"message": 1, "type": 2}) == Undecryptable("")
    assert undecryptable("of no known form") == Unknown()
