"""reading.py: what is not of the form that it should have, and arbitrary JSON; positions in UTF-16."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.signal_cli.content import Mention, Style, StyleKind
from ridethrough.signal_cli.envelopes import (
    Receipts,
    ReceivedPreview,
    Unknown,
)
from ridethrough.signal_cli.reading import Units, parse_notification
from tests.unit.signal_cli.incoming import (
    BEN,
    BEN_NUMBER,
    GROUP,
    OWN,
    PICTURE,
    READ_PICTURE,
    SENT,
    data,
    group_info,
    notification,
    reaction,
    read,
    read_data,
    receipt,
)

# what is not of the form that it should have


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"dataMessage": None},
        {"dataMessage": "text"},
        {"newMessage": {}},
        {"dataMessage": data(timestamp=None)},
        {"dataMessage": data() | {"message": ["text"]}},
        {"dataMessage": data(viewOnce=1)},
        {"dataMessage": data(expiresInSeconds=True)},
        {"dataMessage": data(attachments={})},
        {"dataMessage": data(sticker={"packId": "x", "stickerId": 1})},
        {"dataMessage": data(sticker={"packId": "aa"})},
        {"dataMessage": data(quote={"id": 1, "authorUuid": None, "authorNumber": None, "text": ""})},
        {"dataMessage": data(quote={"id": 1, "authorUuid": 5, "authorNumber": None, "text": ""})},
        {"dataMessage": data(quote={"id": 1, "authorUuid": "", "authorNumber": None, "text": ""})},
        {"dataMessage": reaction(None, BEN, emoji=None)},
        {"dataMessage": reaction(None, None)},
        {"dataMessage": data(remoteDelete={})},
        {"editMessage": {"targetSentTimestamp": 1}},
        {"editMessage": {"dataMessage": data()}},
        {"receiptMessage": {"when": 1, "isDelivery": False, "timestamps": [1]}},
        {"receiptMessage": {"isDelivery": True, "timestamps": [1]}},
        {"receiptMessage": {"when": 1, "isDelivery": True, "timestamps": 1}},
        {"typingMessage": {"action": "PAUSED"}},
        {"typingMessage": {}},
        {"callMessage": {}},
        {"storyMessage": []},
        {"syncMessage": {"sentMessage": {"destinationUuid": "x"}}},
        {"syncMessage": {"sentMessage": data() | {"destinationUuid": "x"}}},
    ],
)
def test_content_of_another_form_is_unknown(content: dict[str, Any]) -> None:
    assert read(**content) == Unknown()


@pytest.mark.parametrize("group", [{}, {"groupId": "short"}, {"groupId": None}, "club", group_info() | {"type": 1}])
def test_message_to_a_group_that_cannot_be_told_is_not_taken_for_one_to_a_person(group: Any) -> None:
    assert read(dataMessage=data(groupInfo=group)) == Unknown()
    assert read(dataMessage=reaction(None, BEN) | {"groupInfo": group}) == Unknown()


def test_receipts_without_timestamps() -> None:
    assert read(receiptMessage={"when": 1, "isDelivery": True}) == Receipts("delivery", (), 1)


def test_what_is_of_another_form_in_a_list_is_left_out() -> None:
    assert read_data(attachments=[1, PICTURE, {"size": "big"}, None]).attachments == (READ_PICTURE,)
    assert read_data(previews=[{}, {"url": "https://example.org"}]).previews == (
        ReceivedPreview("https://example.org"),
    )
    content = read(receiptMessage={"when": 1, "isRead": True, "timestamps": [1, "2", None, True, 3]})
    assert content == Receipts("read", (1, 3), 1)


def test_mentions_and_styles_that_are_not_inside_the_text_are_left_out() -> None:
    def mention(start: Any, length: Any = 1, **more: Any) -> dict[str, Any]:
        return {"number": None, "uuid": BEN, "start": start, "length": length, **more}

    wrong = [mention(1), mention(0), mention(3), mention(2, 2), mention(2, 0), mention(-1), mention("0"), mention(None)]
    nobody = [mention(2, uuid=None), mention(2, uuid="x")]
    assert read_data("😀a", mentions=[*wrong, *nobody, mention(2)]).mentions == (Mention(1, 1, BEN),)
    styles = [{"style": style, "start": 0, "length": 2} for style in ("NONE", None, 5, "SPOILER")]
    assert read_data("😀a", textStyles=styles).styles == (Style(0, 1, StyleKind.SPOILER),)
    assert read_data(None, mentions=[mention(0)]).mentions == ()


# whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
GOOD = [
    notification(dataMessage=data("😀", groupInfo=group_info(), attachments=[PICTURE])),
    notification(dataMessage=data("x", mentions=[{"uuid": BEN, "start": 0, "length": 1}], textStyles=[{}])),
    notification(dataMessage=reaction(BEN_NUMBER, BEN)),
    notification(dataMessage=data(quote={"id": SENT, "authorUuid": BEN, "text": "x", "mentions": []})),
    notification(editMessage={"targetSentTimestamp": SENT, "dataMessage": data()}),
    notification(syncMessage={"sentMessage": data() | {"destinationUuid": BEN}}),
    notification(syncMessage={"readMessages": [{"senderUuid": BEN, "timestamp": SENT}]}),
    notification(typingMessage={"action": "STARTED", "groupId": GROUP}),
    notification(storyMessage={"allowsReplies": True, "textAttachment": {"text": "x"}}),
    notification(callMessage={"offerMessage": {"id": 1}}),
    notification() | {"exception": {"message": "x", "type": "X"}},
    receipt(SENT),
]


def spoil(value: Any, draw: Any) -> Any:
    """A value of JSON with something else in one place, anywhere in it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JSON)
    if isinstance(value, list):
        return [spoil(value[0], draw), *value[1:]]
    name = draw(st.sampled_from(sorted(value)))
    return value | {name: spoil(value[name], draw)}


@given(JSON | st.dictionaries(st.sampled_from(["envelope", "account", "exception", "result"]), JSON))
def test_arbitrary_json_never_raises(value: Any) -> None:
    for params in ({"envelope": value}, {"result": value}, value if isinstance(value, dict) else {}):
        repr(parse_notification(params, OWN))


@given(st.data())
def test_json_of_nearly_the_right_form_never_raises(drawn: st.DataObject) -> None:
    params = spoil(drawn.draw(st.sampled_from(GOOD)), drawn.draw)
    if isinstance(params, dict):
        repr(parse_notification(params, OWN))


TEXT = st.text(st.sampled_from("a😀\ufffcé\ud83d"), max_size=20) | st.text(st.characters())


@given(TEXT, st.data())
def test_positions_go_from_python_to_utf_16_and_back(text: str, drawn: st.DataObject) -> None:
    position = drawn.draw(st.integers(0, len(text)))
    in_units = len(text[:position].encode("utf-16-le", "surrogatepass")) // 2
    assert Units(text).position(in_units) == position


@given(TEXT)
def test_units_that_are_no_position_are_refused(text: str) -> None:
    positions = {len(text[:end].encode("utf-16-le", "surrogatepass")) // 2 for end in range(len(text) + 1)}
    units = Units(text)
    for each in set(range(max(positions) + 3)) - positions:
        with pytest.raises(ValueError):
            units.position(each)
