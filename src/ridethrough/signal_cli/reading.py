"""Reading envelopes from the JSON of signal-cli's ``receive`` notifications. Whatever comes, nothing of it raises.

What a content needs and has not, or has in another form, makes it :class:`Unknown`. What stands in a list, and is not
of the form that it should have, is left out. What is not known is left alone, and stands in ``raw``.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TypeVar

from .content import Mention, Sticker, Style, StyleKind
from .envelopes import (
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
    ReceiptStage,
    ReceivedAttachment,
    ReceivedPreview,
    Source,
    Story,
    Sync,
    Typing,
    Undecryptable,
    Unknown,
)
from .targets import Target, TargetKind, make_target, read_person

T = TypeVar("T")

_LARGEST = 2**63 - 1
"""The daemon's numbers are Java's."""
_CLASS = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)


def parse_notification(params: dict[str, Any], account: str | None) -> Envelope | None:
    """Read what a ``receive`` notification tells. Whatever that is, this does not raise.

    Args:
        params: the parameters of the notification: ``envelope`` and ``account``, by themselves or, if it comes by a
            subscription, in ``result``.
        account: the number of one's own account; None: of whichever the daemon has.

    Returns:
        The envelope; None if there is none, or if it came to another account.
    """
    told = params if "envelope" in params else params.get("result")
    if not isinstance(told, dict) or not isinstance(raw := told.get("envelope"), dict):
        return None
    to = told.get("account")
    if not isinstance(to, str):
        to = account
    elif account is not None and to != account:
        return None
    head = _Fields(raw)
    source = Source(
        uuid=_or_none(lambda: head.person("sourceUuid")),
        number=_or_none(lambda: head.person("sourceNumber")),
        name=_or_none(lambda: head.text("sourceName")) or None,
        device=_or_none(lambda: head.number("sourceDevice")),
    )
    own = (to, source.uuid, source.number) if "syncMessage" in head else (to,)
    content = _read_content(_Fields(raw, frozenset(each for each in own if each)))
    exception = _or_none(lambda: _Fields(told).part("exception", _read_exception))
    return Envelope(
        account=to,
        source=source,
        timestamp=_or_none(lambda: head.number("timestamp")) or 0,
        server_timestamp=_or_none(lambda: head.number("serverReceivedTimestamp")) or 0,
        content=exception or content,
        raw=raw,
    )


# ---------------------------------------------------------------- JSON; what is of no use raises ValueError


class _Fields:
    """An object of JSON. What is null in it is missing.

    Args:
        raw: the object.
        own: the addresses of one's own account, as far as they are known.
    """

    def __init__(self, raw: Any, own: frozenset[str] = frozenset()) -> None:
        self._raw = _check(raw, dict)
        self._own = own

    def __contains__(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def text(self, name: str) -> str | None:
        return _check(self._raw[name], str) if name in self else None

    def flag(self, name: str) -> bool:
        return name in self and _check(self._raw[name], bool)

    def number(self, name: str) -> int | None:
        return _check_number(self._raw[name]) if name in self else None

    def numbers(self, name: str) -> tuple[int, ...]:
        return _each(_check_number, _check(self._raw[name], list)) if name in self else ()

    def part(self, name: str, read: Callable[[_Fields], T]) -> T | None:
        return read(_Fields(self._raw[name], self._own)) if name in self else None

    def parts(self, name: str, read: Callable[[_Fields], T]) -> tuple[T, ...]:
        objects = _check(self._raw[name], list) if name in self else []
        return _each(lambda raw: read(_Fields(raw, self._own)), objects)

    def person(self, *names: str) -> str:
        """The first address that stands under one of these names."""
        for name in names:
            if name in self:
                return read_person(name, self.text(name) or "")
        raise ValueError("it names nobody")

    def author(self, *names: str) -> str | None:
        """The same; None if it is one's own account."""
        return None if self._own & {self.text(name) for name in names} else self.person(*names)


def _check(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"it is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _check_number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:  # for Python, true is an int
        raise ValueError("it is no number that the daemon writes")
    return value


def _need(value: T | None) -> T:
    if value is None:
        raise ValueError("it is missing")
    return value


def _or_none(read: Callable[[], T | None]) -> T | None:
    with suppress(ValueError):
        return read()
    return None


def _each(read: Callable[[Any], T], values: list[Any]) -> tuple[T, ...]:
    """What is of use in a list."""
    found = []
    for value in values:
        with suppress(ValueError):
            found.append(read(value))
    return tuple(found)


# ---------------------------------------------------------------- contents


def _read_exception(exception: _Fields) -> Undecryptable:
    kind, reason = _or_none(lambda: exception.text("type")) or "", _or_none(lambda: exception.text("message")) or ""
    return Undecryptable(kind if _CLASS.fullmatch(kind) else "", reason)


def _read_content(envelope: _Fields) -> Content:
    with suppress(ValueError):
        for name, read in _CONTENTS.items():
            if (content := envelope.part(name, read)) is not None:
                return content
    return Unknown()


def _read_data(fields: _Fields) -> Data | Reacted | Deleted:
    if "reaction" in fields:
        return _need(fields.part("reaction", lambda reaction: _read_reaction(reaction, _read_group(fields))))
    if "remoteDelete" in fields:
        return Deleted(_need(fields.part("remoteDelete", _read_timestamp)), _read_group(fields))
    return _read_message(fields)


def _read_message(fields: _Fields) -> Data:
    text = fields.text("message") or ""
    mentions, styles = _read_ranges(fields, text)
    return Data(
        timestamp=_read_timestamp(fields),
        text=text,
        group=_read_group(fields),
        quote=fields.part("quote", _read_quote),
        attachments=fields.parts("attachments", _read_attachment),
        mentions=mentions,
        styles=styles,
        sticker=fields.part("sticker", _read_sticker),
        previews=fields.parts("previews", _read_preview),
        expires_in=fields.number("expiresInSeconds") or 0,
        view_once=fields.flag("viewOnce"),
        story=fields.part("storyContext", _read_story_context),
    )


def _read_timestamp(fields: _Fields) -> int:
    return _need(fields.number("timestamp"))


def _read_group(fields: _Fields) -> Group | None:
    return fields.part(
        "groupInfo", lambda info: Group(_read_group_id(info), info.text("groupName"), info.text("type") == "UPDATE")
    )


def _read_group_by_id(fields: _Fields) -> Group | None:
    """The group of what names it by its id alone."""
    return Group(_read_group_id(fields)) if "groupId" in fields else None


def _read_group_id(fields: _Fields) -> str:
    return make_target(group=_need(fields.text("groupId"))).address


def _read_quote(fields: _Fields) -> Quoted:
    author, text = fields.author("authorUuid", "authorNumber"), fields.text("text") or ""
    return Quoted(author, _need(fields.number("id")), text, *_read_ranges(fields, text))


def _read_ranges(fields: _Fields, text: str) -> tuple[tuple[Mention, ...], tuple[Style, ...]]:
    """The mentions and styles in a text."""
    if "mentions" not in fields and "textStyles" not in fields:
        return (), ()
    units = Units(text)

    def range_of(fields: _Fields) -> tuple[int, int]:
        start = _need(fields.number("start"))
        first, end = units.position(start), units.position(start + _need(fields.number("length")))
        return first, end - first

    return (
        fields.parts("mentions", lambda each: Mention(*range_of(each), _read_mentioned(each))),
        fields.parts("textStyles", lambda each: Style(*range_of(each), StyleKind(_need(each.text("style"))))),
    )


def _read_mentioned(fields: _Fields) -> str:
    return fields.author("uuid", "number") or fields.person("number", "uuid")


def _read_attachment(fields: _Fields) -> ReceivedAttachment:
    return ReceivedAttachment(
        id=fields.text("id"),
        mime_type=fields.text("contentType"),
        name=fields.text("filename"),
        size=fields.number("size"),
        width=fields.number("width"),
        height=fields.number("height"),
        caption=fields.text("caption"),
    )


def _read_sticker(fields: _Fields) -> Sticker:
    return Sticker(_need(fields.text("packId")), _need(fields.number("stickerId")))


def _read_preview(fields: _Fields) -> ReceivedPreview:
    return ReceivedPreview(
        _need(fields.text("url")),
        fields.text("title") or "",
        fields.text("description") or "",
        fields.part("image", _read_attachment),
    )


def _read_story_context(fields: _Fields) -> Mark:
    return Mark(fields.author("authorUuid", "authorNumber"), _need(fields.number("sentTimestamp")))


def _read_reaction(fields: _Fields, group: Group | None) -> Reacted:
    return Reacted(
        _need(fields.text("emoji")),
        fields.author("targetAuthorUuid", "targetAuthorNumber"),
        _need(fields.number("targetSentTimestamp")),
        fields.flag("isRemove"),
        group,
    )


def _read_edit(fields: _Fields) -> Edit:
    return Edit(_need(fields.number("targetSentTimestamp")), _need(fields.part("dataMessage", _read_message)))


def _read_story(fields: _Fields) -> Story:
    return Story(
        fields.part("textAttachment", lambda attachment: attachment.text("text") or "") or "",
        fields.part("fileAttachment", _read_attachment),
        _read_group_by_id(fields),
        fields.flag("allowsReplies"),
    )


def _read_sync(fields: _Fields) -> Sync:
    for name, read in {"sentMessage": _read_sent, "sentStoryMessage": _read_story}.items():
        if name in fields:
            return Sync(fields.part(name, read), fields.part(name, _read_destination))
    return Sync(read=fields.parts("readMessages", _read_mark))


def _read_mark(fields: _Fields) -> Mark:
    return Mark(fields.author("senderUuid", "senderNumber"), _read_timestamp(fields))


def _read_sent(fields: _Fields) -> Data | Edit | Reacted | Deleted:
    return fields.part("editMessage", _read_edit) or _read_data(fields)


def _read_destination(fields: _Fields) -> Target | None:
    if "destinationUuid" not in fields and "destinationNumber" not in fields:
        return None
    person = fields.author("destinationUuid", "destinationNumber")
    return Target(TargetKind.SELF) if person is None else make_target(to=person)


def _read_receipts(fields: _Fields) -> Receipts:
    for name, kind in _STAGES.items():
        if fields.flag(name):
            return Receipts(kind, fields.numbers("timestamps"), _need(fields.number("when")))
    raise ValueError("it is of no known kind")


def _read_typing(fields: _Fields) -> Typing:
    return Typing(_need(_ACTIONS.get(_need(fields.text("action")))), _read_group_by_id(fields))


def _read_call(fields: _Fields) -> Call:
    return Call(_need(next((kind for name, kind in _CALLS.items() if name in fields), None)))


_CONTENTS: dict[str, Callable[[_Fields], Content]] = {
    "dataMessage": _read_data,
    "editMessage": _read_edit,
    "syncMessage": _read_sync,
    "receiptMessage": _read_receipts,
    "typingMessage": _read_typing,
    "callMessage": _read_call,
    "storyMessage": _read_story,
}
_STAGES: dict[str, ReceiptStage] = {"isDelivery": "delivery", "isRead": "read", "isViewed": "viewed"}
_ACTIONS = {"STARTED": True, "STOPPED": False}
_CALLS: dict[str, Literal["offer", "answer", "busy", "hangup", "ice"]] = {
    "offerMessage": "offer",
    "answerMessage": "answer",
    "busyMessage": "busy",
    "hangupMessage": "hangup",
    "iceUpdateMessages": "ice",
}


class Units:
    """Finds positions in a text that are counted in UTF-16 units, as Java does.

    Args:
        text: the text.
    """

    def __init__(self, text: str) -> None:
        large = (position for position, character in enumerate(text) if character > "\uffff")
        self._large = array("Q", (position + before for before, position in enumerate(large)))  # where, in units
        self._length = len(text) + len(self._large)

    def position(self, units: int) -> int:
        """The same position in the Python string.

        Raises:
            ValueError: it is beyond the text, or in the middle of a character.
        """
        before = bisect_left(self._large, units)
        if units > self._length or (before and self._large[before - 1] == units - 1):
            raise ValueError("it is no position in the text")
        return units - before
